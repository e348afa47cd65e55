//! The law of the merge, tried on random receipts: any order, any repeats and any cut into batches end in the same
//! tables, and no position ever goes backwards.

use proptest::prelude::*;
use proptest::sample::Index;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::fold::{Names, fold};
use super::schema;
use crate::journal::Stored;

/// All but the positions in the journal, with conversations by their names: their numbers follow the order of arrival.
const DUMP: [&str; 3] = [
    "SELECT vendor, app, kind, id, message, reader, via, read_at FROM reads JOIN conversations ON number = conversation \
     ORDER BY 1, 2, 3, 4, 5, 6",
    "SELECT vendor, app, kind, id, message, read, unread FROM totals JOIN conversations ON number = conversation \
     ORDER BY 1, 2, 3, 4, 5",
    "SELECT vendor, app, kind, id, reader, message_seq, up_to_seq, up_to_seq_at, up_to_time, up_to_time_at, whole_at, \
     read_at FROM positions JOIN conversations ON number = conversation ORDER BY 1, 2, 3, 4, 5",
];

fn dump(connection: &Connection) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for query in DUMP {
        let mut statement = connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap();
        all.extend(rows.map(Result::unwrap));
    }
    all
}

/// The tables, in memory: this is not about files.
struct Tables {
    connection: Connection,
    names: Names,
}

impl Tables {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(schema::TABLES).unwrap();
        Self { connection, names: Names::default() }
    }

    fn take(&mut self, batch: &[Stored]) {
        let transaction = self.connection.transaction().unwrap();
        assert_eq!(fold(&transaction, &mut self.names, batch).unwrap(), 0, "all are receipts");
        transaction.commit().unwrap();
    }
}

fn time(second: u8) -> String {
    format!("2026-11-20T08:00:{second:02}.000Z")
}

/// Few conversations, readers, messages and times, so that everything meets.
fn receipt() -> impl Strategy<Value = Stored> {
    let conversation = prop_oneof![
        Just(r#"{"type":"group","id":"g"}"#),
        Just(r#"{"type":"direct","id":"g"}"#),
        Just(r#"{"type":"group","id":null}"#),
    ];
    let scope = prop_oneof![Just("message"), Just("up_to"), Just("conversation")];
    let id = proptest::option::of(prop_oneof![Just("1"), Just("b")]);
    let small = || proptest::option::of(0..4u8);
    let counts = proptest::option::of((0..5i64, 0..5i64));
    (conversation, "[xy]", scope, id, small(), small(), small(), counts, 0..3u8).prop_map(
        |(conversation, reader, scope, id, seq, up_to, read_at, counts, received)| {
            let mut json = format!(
                r#"{{"id":"0","vendor":"openim","app":"a","conversation":{conversation},"reader":"{reader}","scope":"{scope}""#
            );
            let mut field = |name: &str, value: Option<String>| {
                if let Some(value) = value {
                    json.push_str(&format!(r#","{name}":{value}"#));
                }
            };
            field("message_id", id.map(|id| format!("\"{id}\"")));
            field("message_seq", seq.map(|seq| seq.to_string()));
            field("up_to_time", up_to.map(|second| format!("\"{}\"", time(second))));
            field("counts", counts.map(|(read, unread)| format!(r#"{{"read":{read},"unread":{unread}}}"#)));
            field("read_at", Some(read_at.map_or("null".to_owned(), |second| format!("\"{}\"", time(second)))));
            json.push('}');
            Stored { seq: 1, received_at: 1_763_625_600_000 + i64::from(received), json: json.into(), trace: None }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_order_any_repeats_any_batches(
        (receipts, shuffled) in proptest::collection::vec(receipt(), 1..16)
            .prop_flat_map(|receipts| (Just(receipts.clone()), Just(receipts).prop_shuffle())),
        repeats in proptest::collection::vec((any::<Index>(), any::<Index>()), 0..8),
        cuts in proptest::collection::vec(1..6usize, 1..8),
    ) {
        let mut one_by_one = Tables::new();
        for receipt in &receipts {
            one_by_one.take(std::slice::from_ref(receipt));
        }
        let mut other = shuffled;
        for (which, place) in repeats {
            let again = receipts[which.index(receipts.len())].clone();
            other.insert(place.index(other.len() + 1), again);
        }
        let mut in_batches = Tables::new();
        let (mut rest, mut cuts) = (other.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            in_batches.take(batch);
            rest = behind;
        }
        let expected = dump(&one_by_one.connection);
        prop_assert_eq!(&dump(&in_batches.connection), &expected);
        in_batches.take(&other);
        prop_assert_eq!(&dump(&in_batches.connection), &expected, "all of it once more");
    }

    #[test]
    fn a_position_never_goes_backwards(receipts in proptest::collection::vec(receipt(), 1..16)) {
        type Far = (String, [Option<i64>; 5]);
        let far = |file: &Tables| -> Vec<Far> {
            let mut statement = file.connection.prepare(
                "SELECT conversation || reader, message_seq, up_to_seq, up_to_time, whole_at, read_at FROM positions ORDER BY 1",
            ).unwrap();
            let rows = statement.query_map([], |row| {
                let of = |at| row.get(at);
                Ok((row.get(0)?, [of(1)?, of(2)?, of(3)?, of(4)?, of(5)?]))
            });
            rows.unwrap().map(Result::unwrap).collect()
        };
        let mut file = Tables::new();
        let mut before: Vec<Far> = Vec::new();
        for receipt in receipts {
            file.take(&[receipt]);
            let now = far(&file);
            for (who, were) in &before {
                let (_, are) = now.iter().find(|(now, _)| now == who).unwrap();
                // None is less than some.
                prop_assert!(were.iter().zip(are).all(|(were, are)| were <= are), "{who}: {were:?} to {are:?}");
            }
            before = now;
        }
    }
}
