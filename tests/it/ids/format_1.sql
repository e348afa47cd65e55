-- A journal as readhook wrote it before format 2.
CREATE TABLE receipts (
    seq         INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    key         BLOB UNIQUE,
    json        TEXT NOT NULL
) STRICT;
CREATE TABLE cursors (
    sink TEXT PRIMARY KEY,
    seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE dead_letters (
    sink   TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    reason TEXT NOT NULL,
    json   TEXT NOT NULL,
    PRIMARY KEY (sink, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE marks (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO cursors VALUES ('events', 1990);
INSERT INTO marks VALUES ('pruned', 4);
INSERT INTO dead_letters VALUES ('events', 7, 1, 'refused', '{}');
PRAGMA application_id = 0x5264486B;
PRAGMA user_version = 1;
