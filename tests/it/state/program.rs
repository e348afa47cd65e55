//! The state and the program: what a killed process leaves is what the journal says, and the commands `readers` and
//! `rebuild-state`.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tokio::time::timeout;

use super::file::dump;
use super::{T, ask_all, complete, in_group, many, post, up_to};
use crate::crash::load;
use crate::house::PATIENCE;
use crate::process::{Process, readhook, write_config};

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kills_under_load_it_is_what_a_rebuild_makes() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let next = Arc::new(AtomicU64::new(1));
    for round in 0..3 {
        let process = Process::start(&file);
        let enough = next.load(Ordering::Relaxed) + 300 + 41 * round;
        let clients = load(&process, &next, 8).await;
        let loaded = timeout(PATIENCE, async {
            while next.load(Ordering::Relaxed) < enough {
                tokio::task::yield_now().await;
            }
        });
        loaded.await.unwrap();
        process.kill();
        clients.join_all().await;
    }
    let mut process = Process::start(&file);
    for callback in many() {
        post(process.public, &callback).await;
    }
    ask_all(process.admin).await;
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));

    let path = dir.path().join("readhook.db.state");
    let live = dump(&path);
    assert!(live.len() > 500, "the load was a load");
    let rebuilt = readhook().args(["rebuild-state", "--config"]).arg(&file).output().unwrap();
    let (code, line) = said(&rebuilt);
    assert!(code == Some(0) && line.starts_with("rebuilt from "), "{rebuilt:?}");
    assert_eq!(dump(&path), live);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_ask_the_running_service() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let run = |process: Option<&Process>, arguments: &[&str]| {
        let mut command = readhook();
        command.args(arguments).arg("--config").arg(&file);
        // The configuration lets the system choose the port.
        if let Some(process) = process {
            command.env("READHOOK__ADMIN__LISTEN", process.admin.to_string());
        }
        command.output().unwrap()
    };
    let crew = ["readers", "--vendor", "tencent", "--app", "1400000000", "--conversation", "crew"];
    let question = |more: &[&'static str]| [&crew[..], more].concat();
    let nobody = run(None, &question(&["--message-seq", "5"]));
    assert_eq!(nobody.status.code(), Some(69), "{nobody:?}");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("a running service is needed"));
    assert_eq!(run(None, &["rebuild-state"]).status.code(), Some(74), "there is no journal");

    let mut process = Process::start(&file);
    let readers: Vec<String> = (0..1_500).map(|number| format!("r{number:04}\u{1b}[2J")).collect();
    let readers: Vec<&str> = readers.iter().map(String::as_str).collect();
    post(process.public, &in_group("crew", 6, (0, 2), &readers, T)).await;
    post(process.public, &in_group("crew", 5, (1, 3), &["ann"], T)).await;
    post(process.public, &up_to("bob", "crew", 5, T + 1)).await;
    let receipts = 1_500 + 1 + 2;
    complete(process.admin, "positions?vendor=tencent&app=1400000000&reader=bob").await;

    let text = said(&run(Some(&process), &question(&["--message-seq", "5"])));
    let expected = "2025-10-09T08:53:20.000Z  message       ann\n\
                    2025-10-09T08:53:20.001Z  up_to         bob\n\
                    2 read, 3 unread (via message 1, up_to 1, conversation 0)\n";
    assert_eq!(text, (Some(0), expected.to_owned()));
    let (code, json) = said(&run(Some(&process), &question(&["--message-seq", "6", "--format", "json"])));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, json["readers"].as_array().unwrap().len()), (Some(0), 1_500), "all pages");
    let (_, text) = said(&run(Some(&process), &question(&["--message-seq", "6"])));
    assert!(text.contains("r0007\\u{1b}[2J\n") && !text.contains('\u{1b}'), "the terminal obeys nobody's id");
    let none = said(&run(Some(&process), &question(&["--message-id", "x", "--format", "json"])));
    let json: Value = serde_json::from_str(&none.1).unwrap();
    assert_eq!(json["readers"], serde_json::json!([]));

    let rebuilt = said(&run(Some(&process), &["rebuild-state"]));
    assert_eq!(rebuilt, (Some(0), format!("rebuilt from {receipts} receipts\n")));
    let text = said(&run(Some(&process), &question(&["--message-seq", "5", "--reader", "bob"])));
    assert!(text.1.starts_with("2025-10-09T08:53:20.001Z  up_to         bob\n"), "{}", text.1);
    for wrong in [&[][..], &["--message-seq", "5", "--message-id", "5"], &["--message-seq", "five"]] {
        assert_eq!(run(Some(&process), &question(wrong)).status.code(), Some(64), "{wrong:?}");
    }
    let deaf = run(None, &["rebuild-state"]);
    assert_eq!(deaf.status.code(), Some(69), "its admin listener is elsewhere: {deaf:?}");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(
        said(&run(None, &["rebuild-state"])),
        (Some(0), format!("rebuilt from {receipts} receipts\n"))
    );
}

/// Everybody else's threads go first; and only this one steps back.
#[test]
#[cfg(target_os = "linux")]
fn the_states_thread_has_the_lowest_priority() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(&write_config(dir.path()));
    let niceness = || -> Vec<(String, i32)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
        // One that has just ended has no file any more.
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
            .map(|stat| {
                let (name, fields) = stat.rsplit_once(") ").unwrap();
                let name = name.split_once('(').unwrap().1.to_owned();
                (name, fields.split(' ').nth(16).unwrap().parse().unwrap())
            })
            .collect()
    };
    let begun = std::time::Instant::now();
    while !niceness().contains(&("state".to_owned(), 19)) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", niceness());
    }
    let usual = niceness().iter().find(|(name, _)| name == "readhook").unwrap().1;
    assert!(niceness().iter().all(|(name, nice)| name == "state" || *nice == usual), "{:?}", niceness());
}
