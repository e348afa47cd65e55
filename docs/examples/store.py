"""What the examples keep: which receipts have been taken, and how far each reader is.

An SQLite file, in place of your own database. Receipts, and where a consumer stands in its source, change in one
transaction; so a receipt that comes again changes nothing, and a crash between two of them costs nothing.
"""
import json
import sqlite3
import threading

TABLES = """
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, received_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS positions (
    vendor TEXT, app TEXT, type TEXT, conversation TEXT, reader TEXT,
    message_seq INTEGER, up_to_time TEXT, conversation_read_at TEXT, read_at TEXT,
    PRIMARY KEY (vendor, app, type, conversation, reader)
);
CREATE TABLE IF NOT EXISTS places (source TEXT PRIMARY KEY, place TEXT NOT NULL);
"""

# The greater of each, whatever comes first: so neither order nor repeats make a difference. Times are all of one length,
# so that they can be compared as text. A conversation that the vendor does not name is the empty one.
MERGE = """
INSERT INTO positions VALUES (:vendor, :app, :type, :conversation, :reader, :seq, :up_to, :whole, :read_at)
ON CONFLICT DO UPDATE SET
    message_seq = max(ifnull(message_seq, excluded.message_seq), ifnull(excluded.message_seq, message_seq)),
    up_to_time = max(ifnull(up_to_time, excluded.up_to_time), ifnull(excluded.up_to_time, up_to_time)),
    conversation_read_at = max(ifnull(conversation_read_at, excluded.conversation_read_at),
                               ifnull(excluded.conversation_read_at, conversation_read_at)),
    read_at = max(ifnull(read_at, excluded.read_at), ifnull(excluded.read_at, read_at))
"""


class Store:
    def __init__(self, path):
        self.lock = threading.Lock()
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.executescript(TABLES)

    def take(self, receipts, source=None, place=None):
        """All of them or none, and durable when it returns. How many were new?"""
        with self.lock, self.db:
            self.db.execute("BEGIN IMMEDIATE")
            new = sum(self._take(receipt) for receipt in receipts)
            if source:
                self.db.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (source, json.dumps(place)))
            return new

    def _take(self, receipt):
        seen = self.db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (receipt["id"], receipt["received_at"]))
        if not seen.rowcount:
            return 0
        # What must happen once for each receipt, counting it for example, belongs here, in this transaction.
        whole = (receipt["read_at"] or receipt["received_at"]) if receipt["scope"] == "conversation" else None
        self.db.execute(MERGE, {
            "vendor": receipt["vendor"], "app": receipt["app"], "type": receipt["conversation"]["type"],
            "conversation": receipt["conversation"]["id"] or "", "reader": receipt["reader"],
            "seq": receipt.get("message_seq"), "up_to": receipt.get("up_to_time"), "whole": whole,
            "read_at": receipt["read_at"],
        })
        return 1

    def place(self, source):
        """Where the consumer of a source stands, as it was given to `take`."""
        row = self.db.execute("SELECT place FROM places WHERE source = ?", (source,)).fetchone()
        return row and json.loads(row[0])
