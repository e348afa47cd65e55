//! Receipts into PostgreSQL, at a server of the test's own: all of them, once each, in order, whatever
//! breaks; and what is refused, by whom, with which words.

mod cluster;
mod tls;

use std::sync::Arc;

use readhook::config::SinkConfig;
use readhook::dispatch::Dispatcher;
use readhook::journal::Stored;
use readhook::sink::{DeliverError, Sink, open};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::endurance::{RECEIPTS, complete, endures, entry, journal, receipt, sink_config};
use crate::house::PATIENCE;
use crate::wire::Wire;
use cluster::Cluster;

fn stored(receipts: &[Value]) -> Vec<Stored> {
    let stored = |(seq, receipt): (i64, &Value)| Stored {
        seq,
        received_at: 1_767_323_045_678,
        json: receipt.to_string().into(),
        trace: None,
    };
    (1..).zip(receipts).map(stored).collect()
}

fn numbers(numbers: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    numbers.map(receipt).collect()
}

/// Why a delivery is to be tried again.
async fn retried(sink: &dyn Sink, receipts: &[Value]) -> String {
    match sink.deliver(&stored(receipts)).await {
        Err(DeliverError::Retry { done: 0, why, .. }) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn tells(why: &str, words: &[&str]) {
    for word in words {
        assert!(why.contains(word), "{word} is not in: {why}");
    }
    assert!(!why.contains('\n'), "one line: {why}");
}

/// Delivers receipts as the service does; returns how many were parked.
async fn dispatched(config: SinkConfig, receipts: &[Value]) -> u64 {
    let (journal, metrics, _dir) = journal(0).await;
    journal.commit(receipts.iter().map(entry).collect()).await.unwrap();
    let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
    stop.cancel();
    let sink = open(&config).unwrap();
    let standing = Arc::default();
    let dispatcher =
        Dispatcher { name: "s".to_owned(), config, sink, journal: journal.clone(), metrics, standing };
    let (_handle, orders) = dispatcher.handle();
    timeout(PATIENCE, dispatcher.run(orders, stop, give_up)).await.unwrap();
    journal.dead_letters().await.unwrap().into_iter().map(|(_, count)| u64::try_from(count).unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn everything_arrives_once_and_in_order_whatever_breaks() {
    let mut cluster = Cluster::start().await;
    let wire = Wire::to(cluster.server.address).await;
    let url = format!("postgres://postgres@{}/postgres", wire.address);
    let config =
        sink_config(&format!("type = \"postgres\"\nurl = \"{url}\"\nbatch = 200\ntimeout_ms = 2000"));
    open(&config).unwrap().probe().await.unwrap();
    // A column of the operator's own, in which rows have the order of their coming.
    cluster.sql("ALTER TABLE read_receipts ADD COLUMN arrived bigserial");
    endures(config, &wire, async || cluster.kill_and_restart().await).await;
    assert_eq!(complete(&cluster.receipts("read_receipts", "arrived"), RECEIPTS), 0, "repeats");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn the_table_is_made_once_and_explains_itself() {
    let cluster = Cluster::start().await;
    for round in 0..5 {
        let config = cluster.sink("postgres", &format!("table = \"receipts_{round}\""));
        let probe = || {
            let sink = open(&config).unwrap();
            async move { sink.probe().await.unwrap() }
        };
        tokio::join!(probe(), probe(), probe(), probe(), probe(), probe(), probe(), probe());
    }
    let count = |what: &str| cluster.sql(&format!("SELECT count(*) FROM {what}"));
    assert_eq!(count("receipts_4"), "0", "nothing is delivered by looking");
    assert_eq!(
        count("pg_description WHERE objoid = 'receipts_4'::regclass"),
        "20",
        "one for the table, one per column"
    );
    assert_eq!(count("pg_indexes WHERE tablename = 'receipts_4'"), "5");
    // A table that was put aside keeps the names of its indexes, and is not in the way.
    cluster.sql("ALTER TABLE receipts_4 RENAME TO old");
    let sink = open(&cluster.sink("postgres", "table = \"receipts_4\"")).unwrap();
    sink.deliver(&stored(&numbers(1..=2_000))).await.unwrap();
    cluster.sql("ANALYZE receipts_4");
    assert_eq!(count("pg_indexes WHERE tablename = 'receipts_4'"), "5");
    let app = "vendor = 'easemob' AND app = '1122334455#demo'";
    for (asked, by) in [
        ("AND conversation_id = 'g.1 *' AND message_id = 'm1'", "message_id ="),
        ("AND conversation_id = 'g.1 *' AND message_seq >= 7", "message_seq >="),
        ("AND reader = '读者-1' AND received_at > '2026-01-01'", "reader ="),
        ("AND received_at > now()", "received_at >"),
    ] {
        let explain = "SET enable_seqscan = off; EXPLAIN SELECT * FROM receipts_4 WHERE";
        let plan = cluster.sql(&format!("{explain} {app} {asked}"));
        let condition = plan.lines().find(|line| line.contains("Index Cond")).unwrap_or_default();
        assert!(condition.contains(by), "{asked}: {plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn every_value_is_stored_exactly() {
    let cluster = Cluster::start().await;
    let mut receipts = numbers(1..=4);
    receipts[0]["message_seq"] = json!(i64::MAX);
    receipts[0]["counts"] = json!({ "read": i64::MIN });
    receipts[0]["reader"] = json!("é́ 读者 👩‍👩‍👧 \u{feff}\u{10fffd} '\"\\ {,NULL}");
    receipts[0]["extra"] = json!({ "n": i64::MIN, "m": i64::MAX, "text": "\\u0000 \u{1}\"é\" 读", "é": "" });
    receipts[1] = json!({
        "id": format!("{:032x}", u128::MAX), "vendor": "tencent", "app": "", "reader": "", "author": "a",
        "conversation": { "type": "unknown", "id": null }, "scope": "up_to", "event": "e", "event_id": "i",
        "up_to_time": "2026-02-28T23:59:59.999Z", "read_at": "1970-01-01T00:00:00.000Z",
        "received_at": "9999-12-30T21:59:59.999Z", "verified_by": "app_id",
    });
    receipts[2]["counts"] = json!({ "unread": 0 });
    receipts[2]["verified_by"] = json!("path_token");
    receipts[3]["conversation"]["type"] = json!("notification");
    receipts[3]["scope"] = json!("conversation");
    // A schema, and names that are words of SQL.
    cluster.sql("CREATE SCHEMA \"order\"");
    let host = cluster.sockets().display().to_string().replace('/', "%2F");
    let port = cluster.server.address.port();
    let socket = sink_config(&format!(
        "type = \"postgres\"\nurl = \"postgres://postgres@{host}:{port}/postgres\"\ntable = \"order.user\""
    ));
    let sink = open(&socket).unwrap();
    sink.deliver(&stored(&receipts)).await.unwrap();
    assert_eq!(cluster.receipts("\"order\".\"user\"", "ctid"), receipts);
    // The same again, in another order and with twice the same in a batch.
    receipts.push(receipt(5));
    let again: Vec<Value> = receipts.iter().rev().chain(&receipts).cloned().collect();
    sink.deliver(&stored(&again)).await.unwrap();
    assert_eq!(cluster.receipts("\"order\".\"user\"", "ctid"), receipts);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn the_session_does_not_lower_what_the_operator_has_set() {
    let cluster = Cluster::start().await;
    cluster.sql("CREATE ROLE weak LOGIN SUPERUSER; ALTER ROLE weak SET synchronous_commit = off");
    cluster
        .sql("CREATE ROLE strong LOGIN SUPERUSER; ALTER ROLE strong SET synchronous_commit = remote_apply");
    let weak = open(&cluster.sink("weak", "timeout_ms = 10000")).unwrap();
    weak.probe().await.unwrap();
    cluster.sql(
        "ALTER TABLE read_receipts ADD COLUMN session text DEFAULT concat_ws(' ', \
         current_setting('synchronous_commit'), current_setting('statement_timeout'), \
         current_setting('application_name'))",
    );
    weak.deliver(&stored(&numbers(1..=1))).await.unwrap();
    let strong = open(&cluster.sink("strong", "timeout_ms = 10000")).unwrap();
    strong.deliver(&stored(&numbers(2..=2))).await.unwrap();
    let sessions = cluster.sql("SELECT session FROM read_receipts ORDER BY id");
    assert_eq!(sessions, "on 9s readhook\nremote_apply 9s readhook");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn what_postgresql_refuses_for_its_content_is_parked_and_nothing_else() {
    let cluster = Cluster::start().await;
    let mut receipts = numbers(1..=60);
    receipts[4]["reader"] = json!("nul \0");
    receipts[5]["extra"]["text"] = json!("\\\0");
    receipts[6]["extra"] = json!({ "nul \0 in a name": "" });
    // Too long for an index, and nothing that could be compressed.
    let noise: String = (0..9_000_u64)
        .map(|n| format!("{:x}", n.wrapping_mul(n).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40))
        .collect();
    receipts[20]["conversation"]["id"] = json!(noise);
    receipts[21]["reader"] = json!("unwanted");
    receipts[59]["reader"] = json!("unwanted");
    let config = cluster.sink("postgres", "");
    open(&config).unwrap().probe().await.unwrap();
    cluster.sql("ALTER TABLE read_receipts ADD COLUMN arrived bigserial, ADD CHECK (reader <> 'unwanted')");
    assert_eq!(dispatched(config.clone(), &receipts).await, 6);
    for refused in [59, 21, 20, 6, 5, 4] {
        receipts.remove(refused);
    }
    assert_eq!(cluster.receipts("read_receipts", "arrived"), receipts);

    let mut receipts = numbers(101..=110);
    receipts[7]["reader"] = json!("unwanted");
    let refused = open(&config).unwrap().deliver(&stored(&receipts)).await;
    let Err(DeliverError::Reject { refused, why }) = refused else { panic!("{refused:?}") };
    assert_eq!(refused, 7..8);
    tells(&why.to_string(), &["read_receipts_reader_check", "23514"]);
    assert!(!why.to_string().contains("unwanted"), "what a receipt says has no place in a log: {why}");
    let first = cluster.sql("SELECT count(*) FROM read_receipts WHERE message_seq BETWEEN 101 AND 107");
    assert_eq!(first, "7", "what is before it is stored");
    for (place, value) in [("reader", json!("nul \0")), ("extra", json!({ "text": "\\\0" }))] {
        let mut receipts = numbers(201..=202);
        receipts[1][place] = value;
        let refused = open(&config).unwrap().deliver(&stored(&receipts)).await;
        let Err(DeliverError::Reject { refused, why }) = refused else { panic!("{refused:?}") };
        assert_eq!(refused, 1..2);
        tells(&why.to_string(), &[place, "U+0000"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn what_an_operator_can_mend_is_tried_again() {
    let cluster = Cluster::start().await;
    let sink = |role: &str, table: &str| open(&cluster.sink(role, &format!("table = \"{table}\""))).unwrap();

    cluster.sql("CREATE TABLE narrow (id text PRIMARY KEY, vendor text, extra jsonb, note text DEFAULT '')");
    let narrow = sink("postgres", "narrow");
    let why = retried(&*narrow, &numbers(1..=3)).await;
    tells(
        &why,
        &["`narrow` has no app, conversation_type,", "ALTER TABLE \"narrow\" ADD COLUMN app text NOT NULL"],
    );
    cluster.sql(why.split_once("add them: ").unwrap().1);
    narrow.deliver(&stored(&numbers(1..=3))).await.unwrap();
    cluster.sql("ALTER TABLE narrow DROP COLUMN author");
    tells(&retried(&*narrow, &numbers(4..=4)).await, &["author", "42703"]);
    tells(&retried(&*narrow, &numbers(4..=4)).await, &["`narrow` has no author;"]);
    cluster.sql("ALTER TABLE narrow ADD COLUMN author text, ADD COLUMN tenant text NOT NULL DEFAULT 'x'");
    narrow.deliver(&stored(&numbers(4..=4))).await.unwrap();
    // A rule that no receipt can meet is not the receipts' fault.
    cluster.sql("ALTER TABLE narrow ALTER tenant DROP DEFAULT");
    tells(&retried(&*narrow, &numbers(5..=6)).await, &["tenant", "23502", "default"]);
    cluster.sql("ALTER TABLE narrow ALTER tenant SET DEFAULT 'y'");
    narrow.deliver(&stored(&numbers(5..=5))).await.unwrap();
    cluster.sql("DROP TABLE narrow");
    tells(&retried(&*narrow, &numbers(5..=6)).await, &["narrow", "42P01"]);
    narrow.deliver(&stored(&numbers(5..=6))).await.unwrap();
    assert_eq!(cluster.receipts("narrow", "ctid"), numbers(5..=6));

    cluster.sql("CREATE ROLE plain LOGIN");
    let plain = sink("plain", "plain");
    let lacks = ["`plain` is missing", "42501", "GRANT USAGE, CREATE ON SCHEMA public TO plain"];
    tells(&retried(&*plain, &numbers(1..=1)).await, &lacks);
    tells(&plain.probe().await.unwrap_err().to_string(), &lacks);
    sink("postgres", "plain").probe().await.unwrap();
    tells(&retried(&*plain, &numbers(1..=1)).await, &["permission denied", "42501", "INSERT"]);
    tells(&plain.probe().await.unwrap_err().to_string(), &["permission denied", "INSERT"]);
    cluster.sql("GRANT INSERT ON plain TO plain");
    plain.probe().await.unwrap();
    plain.deliver(&stored(&numbers(1..=1))).await.unwrap();
    tells(
        &retried(&*sink("plain", "nowhere.receipts"), &numbers(1..=1)).await,
        &["3F000", "create the schema"],
    );

    // Partitioned, with a key that has the time in it.
    sink("postgres", "model").probe().await.unwrap();
    cluster.sql(
        "CREATE TABLE parts (LIKE model INCLUDING DEFAULTS, PRIMARY KEY (id, received_at)) \
         PARTITION BY RANGE (received_at)",
    );
    let parts = sink("postgres", "parts");
    tells(&retried(&*parts, &numbers(1..=4)).await, &["no partition", "23514", "make the partition"]);
    cluster
        .sql("CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')");
    parts.deliver(&stored(&numbers(1..=4))).await.unwrap();
    parts.deliver(&stored(&numbers(3..=6))).await.unwrap();
    assert_eq!(cluster.receipts("parts", "ctid"), numbers(1..=6));

    cluster.sql("ALTER DATABASE postgres SET default_transaction_read_only = on");
    let why = retried(&*sink("postgres", "model"), &numbers(1..=1)).await;
    tells(&why, &["25006", "target_session_attrs=read-write"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_locked_table_is_waited_for_within_bounds() {
    let cluster = Cluster::start().await;
    let config = cluster.sink("postgres", "timeout_ms = 1000");
    let (warm, cold) = (open(&config).unwrap(), open(&config).unwrap());
    warm.deliver(&stored(&numbers(1..=2))).await.unwrap();
    let lock = "BEGIN; LOCK TABLE read_receipts IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'lock'";
    cluster.sql(lock);
    // The server gives up a little earlier than we do; on a busy machine either may be first.
    tells(&retried(&*warm, &numbers(3..=4)).await, &["timeout_ms"]);
    tells(&retried(&*cold, &numbers(3..=4)).await, &["timeout_ms"]);
    cluster.sql("ROLLBACK PREPARED 'lock'");
    warm.deliver(&stored(&numbers(3..=4))).await.unwrap();

    // Dropped while the server is at it: nothing is known, and nothing goes wrong afterwards.
    cluster.sql(lock);
    let batch = stored(&numbers(5..=6));
    let waiting = async {
        let blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        while cluster.sql(blocked) == "0" {
            sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        delivered = warm.deliver(&batch) => panic!("{delivered:?}"),
        () = waiting => {}
    }
    cluster.sql("ROLLBACK PREPARED 'lock'");
    warm.deliver(&stored(&numbers(5..=7))).await.unwrap();
    assert_eq!(cluster.receipts("read_receipts", "message_seq"), numbers(1..=7));

    // A connection that the server has ended in the meantime is not worth a word.
    cluster.sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'readhook'",
    );
    warm.deliver(&stored(&numbers(8..=8))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn passwords_are_used_and_never_shown() {
    let cluster = Cluster::start().await;
    cluster.sql("CREATE ROLE scram LOGIN SUPERUSER PASSWORD 'hunter/2@'");
    let right = open(&cluster.sink("scram:hunter%2F2%40", "")).unwrap();
    right.probe().await.unwrap();
    let wrong = open(&cluster.sink("scram:hunter3", "")).unwrap();
    let why = retried(&*wrong, &numbers(1..=1)).await;
    tells(&why, &["28P01", "pg_hba.conf"]);
    assert!(!why.contains("hunter"), "{why}");
    let nobody = sink_config(&format!(
        "type = \"postgres\"\nurl = \"postgres://scram:hunter2@{}/x\"",
        crate::servers::free_address()
    ));
    let why = retried(&*open(&nobody).unwrap(), &numbers(1..=1)).await;
    tells(&why, &["refused"]);
    assert!(!why.contains("hunter"), "{why}");
}

#[test]
fn a_url_that_cannot_be_understood_stops_the_start_and_is_not_shown() {
    for (url, problem) in [
        ("postgres://user:hunter2@", "%40"),
        ("postgres://user:hun@ter2@host/db", "%40"),
        ("postgres://user:hun@ter2?hunter=2@host/db", "%40"),
        ("postgres://user:hun/ter2@host/db", "%2F"),
        ("postgres://host/db?password=hunter@2", "%40"),
        ("postgres://user:hunter2@host:hunter2/db", "port"),
        ("postgres:///hunter2", "names no host"),
        ("postgres://user:hunter2@host/db?sslmode=hunter2", "sslmode"),
        ("postgres://user:hunter2@host/db?sslmode=disable&sslrootcert=/hunter2", "contradicts"),
        ("postgres://user:hunter2@host/db?sslcert=/hunter2", "sslkey"),
        ("postgres://user:hunter2@host/db?colour=hunter2", "colour"),
    ] {
        let config = sink_config(&format!("type = \"postgres\"\nurl = \"{url}\""));
        let why = open(&config).err().unwrap_or_else(|| panic!("{url}")).to_string();
        tells(&why, &["`url`", problem]);
        assert!(!why.contains("hun"), "{why}");
    }
    for url in [
        "postgres://user:p%40ss@one:5432,two,[::1]:5434/db?target_session_attrs=any&sslmode=verify-full",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/db?sslmode=disable",
        "postgres://host?user=me&connect_timeout=3&sslmode=verify-ca&sslrootcert=/none",
        "postgres://host/db?sslrootcert=system&sslmode=allow",
    ] {
        assert!(open(&sink_config(&format!("type = \"postgres\"\nurl = \"{url}\""))).is_ok(), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_fault_of_the_database_makes_no_dead_letter() {
    let cluster = Cluster::start().await;
    // A database that lacks most characters is refused before the first receipt.
    cluster.sql("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    let address = cluster.server.address;
    let latin = sink_config(&format!("type = \"postgres\"\nurl = \"postgres://postgres@{address}/latin\""));
    let latin = open(&latin).unwrap();
    let says = ["`latin`", "LATIN1", "ENCODING 'UTF8'"];
    tells(&latin.probe().await.unwrap_err().to_string(), &says);
    tells(&retried(&*latin, &numbers(1..=2)).await, &says);

    // Columns, keys and rules that an operator can change: each receipt waits.
    let config = cluster.sink("postgres", "");
    let sink = open(&config).unwrap();
    sink.probe().await.unwrap();
    let mut receipts = numbers(1..=3);
    receipts[1]["reader"] = json!("a reader with a long name");
    receipts[1]["message_seq"] = json!(5_000_000_000_i64);
    for (fault, words, repair) in [
        (
            "ALTER TABLE read_receipts ALTER reader TYPE varchar(12)",
            ["22001", "`text`"],
            "ALTER TABLE read_receipts ALTER reader TYPE text",
        ),
        (
            "ALTER TABLE read_receipts ALTER message_seq TYPE integer",
            ["22003", "`bigint`"],
            "ALTER TABLE read_receipts ALTER message_seq TYPE bigint",
        ),
        (
            "CREATE TABLE readers (name text PRIMARY KEY); \
             ALTER TABLE read_receipts ADD CONSTRAINT known FOREIGN KEY (reader) REFERENCES readers",
            ["23503", "foreign key"],
            "ALTER TABLE read_receipts DROP CONSTRAINT known",
        ),
        (
            "ALTER TABLE read_receipts ALTER author SET NOT NULL",
            ["23502", "allow nulls"],
            "ALTER TABLE read_receipts ALTER author DROP NOT NULL",
        ),
    ] {
        cluster.sql(&format!("TRUNCATE read_receipts; {fault}"));
        let Err(DeliverError::Retry { why, .. }) = sink.deliver(&stored(&receipts)).await else {
            panic!("{fault} should be waited out");
        };
        tells(&why.to_string(), &words);
        cluster.sql(repair);
        sink.deliver(&stored(&receipts)).await.unwrap();
        assert_eq!(cluster.sql("SELECT count(*) FROM read_receipts"), "3", "{fault}");
    }
}
