//! `readhook check --deep`: whatever is wrong in one of readhook's files is named, with an exit code, beside a running service
//! and without one; and what is sound is left as it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use http::Method;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::house::{PATIENCE, exchange};
use crate::ids::{DAMAGES, damage};
use crate::process::{Process, readhook, write_config};

/// So many receipts in one callback; three of them fill more than one file of ids.
const EACH: u64 = 6_000;
const CALLBACKS: u64 = 3;

fn body(number: u64) -> Vec<u8> {
    let seqs: Vec<String> = (number * EACH..(number + 1) * EACH).map(|seq| seq.to_string()).collect();
    let seqs = seqs.join(",");
    format!(
        r#"{{"callbackCommand":"callbackAfterSingleMsgReadCommand","conversationID":"si_a_b","userID":"b","Seqs":[{seqs}],"contentType":1}}"#
    )
    .into_bytes()
}

async fn post(process: &Process, number: u64) -> u16 {
    let target = "/webhooks/openim/callbackAfterSingleMsgReadCommand";
    exchange(process.public, Method::POST, target, &[], body(number)).await.status
}

async fn health(process: &Process) -> Value {
    serde_json::from_str(&exchange(process.admin, Method::GET, "/healthz", &[], Vec::new()).await.body)
        .unwrap()
}

/// A folder that a service has filled and left in good order, its read state up to the newest receipt.
async fn filled() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let mut process = Process::start(&config);
    for number in 0..CALLBACKS {
        assert_eq!(post(&process, number).await, 200);
    }
    // One for the quarantine.
    let wrong =
        exchange(process.public, Method::POST, "/webhooks/tencent?SdkAppid=1", &[], b"{}".to_vec()).await;
    assert_eq!(wrong.status, 403);
    let caught_up = async {
        loop {
            let health = health(&process).await;
            if health["state"]["cursor"] == EACH * CALLBACKS {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, caught_up).await.expect("the read state catches up");
    process.signal("INT");
    assert_eq!(process.wait().code(), Some(0));
    (dir, config)
}

/// The exit code, and what it prints.
fn check(config: &Path) -> (Option<i32>, String) {
    let output = readhook().args(["check", "--deep", "--config"]).arg(config).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
    )
}

/// It must fail, and say this.
fn fails(config: &Path, words: &[&str]) {
    let (code, text) = check(config);
    assert_eq!(code, Some(74), "{text}");
    for word in words {
        assert!(text.lines().any(|line| line.contains("FAIL") && line.contains(word)), "{word}: {text}");
    }
}

fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sound_is_called_so_and_left_as_it_is() {
    let (dir, config) = filled().await;
    let before = files(dir.path());
    let (code, text) = check(&config);
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "receipts       ok    18000 receipts, positions 1 to 18000",
        "ids            ok    18000 ids in",
        "read state     ok    18000 receipts are in it",
        "quarantine     ok    1 callbacks",
        "dead letters   ok    0 dead letters, 1 sinks",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(files(dir.path()), before, "it changes nothing");

    let mut process = Process::start(&config);
    assert_eq!(post(&process, CALLBACKS).await, 200);
    let (code, text) = check(&config);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("24000 receipts"), "{text}");
    process.signal("INT");
    assert_eq!(process.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damage_to_the_ids_is_named_and_duplicates_stay_known() {
    let (dir, config) = filled().await;
    let journal = dir.path().join("readhook.db");
    for (what, change) in DAMAGES {
        damage(&journal, change);
        fails(&config, &["ids", "damaged"]);
        // The service finds it at its start, or when it reads the block.
        let mut process = Process::start(&config);
        for number in 0..CALLBACKS {
            let taken = async { while post(&process, number).await != 200 {} };
            timeout(PATIENCE, taken).await.expect("it recovers by itself");
        }
        assert_eq!(
            health(&process).await["journal"]["newest"],
            EACH * CALLBACKS,
            "no duplicate is stored: {what}"
        );
        let (code, text) = check(&config);
        assert_eq!(code, Some(0), "{what}: {text}");

        // The same beside the service.
        damage(&journal, change);
        fails(&config, &["ids"]);
        for number in 0..CALLBACKS {
            let taken = async { while post(&process, number).await != 200 {} };
            timeout(PATIENCE, taken).await.expect("it recovers by itself");
        }
        assert_eq!(
            health(&process).await["journal"]["newest"],
            EACH * CALLBACKS,
            "no duplicate is stored: {what}"
        );
        process.signal("INT");
        assert_eq!(process.wait().code(), Some(0));
        // A filter is read at the start only, so its damage is still there; the next start makes it good.
        if what.contains("filter") {
            fails(&config, &["ids", "damaged"]);
        }
        drop(Process::start(&config));
        assert_eq!(check(&config).0, Some(0), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_another_file_is_named() {
    type Case<'c> = (Box<dyn Fn() + 'c>, &'c [&'c str]);
    let sql = |path: &Path, statement: &str| {
        Connection::open(path).unwrap().execute_batch(statement).unwrap();
    };
    let (dir, config) = filled().await;
    let copy = tempfile::tempdir().unwrap();
    let whole: Vec<_> = files(dir.path()).into_iter().filter(|path| path.is_file()).collect();
    for path in &whole {
        let to = copy.path().join(path.strip_prefix(dir.path()).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
    let journal = dir.path().join("readhook.db");
    let beside = |suffix: &str| dir.path().join(format!("readhook.db{suffix}"));
    let page = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() / 2 / 8_192 * 8_192;
        bytes[at..at + 8_192].fill(0);
        fs::write(path, bytes).unwrap();
    };
    let cases: Vec<Case<'_>> = vec![
        (
            Box::new(|| sql(&journal, "DELETE FROM receipts WHERE seq = 77")),
            &["positions 77 to 77 are missing", "position 77"],
        ),
        (
            Box::new(|| {
                let id = "substr(json, 1, 7) || '00112233445566778899aabbccddeeff' || substr(json, 40)";
                sql(&journal, &format!("UPDATE receipts SET json = {id} WHERE seq = 6001"));
            }),
            &["the id of the receipt at position 6001 is not in"],
        ),
        (
            Box::new(|| sql(&journal, "UPDATE receipts SET json = '{}' WHERE seq = 3")),
            &["position 3 of the journal holds no receipt"],
        ),
        (
            Box::new(|| sql(&journal, "UPDATE cursors SET seq = 18001")),
            &["sink events is at position 18001, ahead of the newest receipt 18000"],
        ),
        (
            Box::new(|| sql(&journal, "INSERT INTO dead_letters VALUES ('events', 5, 0, 'no', '{}')")),
            &["the dead letter 5 of sink events is no receipt"],
        ),
        (
            Box::new(|| {
                sql(
                    &journal,
                    "INSERT INTO dead_letters SELECT 'events', 5, 0, 'no', json FROM receipts WHERE seq = 6",
                );
            }),
            &["the dead letter 5 of sink events is not the receipt at that position"],
        ),
        (Box::new(|| page(&journal)), &["tables"]),
        (
            Box::new(|| sql(&beside(".state"), "DELETE FROM reads WHERE message = 10000")),
            &["1 facts of the receipts at positions"],
        ),
        (
            Box::new(|| sql(&beside(".state"), "UPDATE positions SET message_seq = 5")),
            &["facts of the receipts at positions"],
        ),
        (
            Box::new(|| sql(&beside(".state"), "UPDATE progress SET journal = 1")),
            &["belongs to another journal"],
        ),
        (Box::new(|| page(&beside(".state"))), &["state tables"]),
        (
            Box::new(|| sql(&beside(".quarantine"), "UPDATE callbacks SET headers = 'x'")),
            &["callback 1 in quarantine cannot be read"],
        ),
    ];
    for (harm, words) in cases {
        harm();
        fails(&config, words);
        for path in files(dir.path()).iter().filter(|path| path.is_file()) {
            fs::remove_file(path).unwrap();
        }
        for path in &whole {
            fs::copy(copy.path().join(path.strip_prefix(dir.path()).unwrap()), path).unwrap();
        }
        let (code, text) = check(&config);
        assert_eq!(code, Some(0), "{text}");
    }
}

#[test]
fn a_configuration_that_is_wrong_is_78_and_no_journal_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let (code, text) = check(&config);
    assert_eq!((code, text.contains("there is no journal yet")), (Some(0), true), "{text}");
    assert_eq!(check(&dir.path().join("none.toml")).0, Some(78));
}
