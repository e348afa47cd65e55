//! The command line: what it prints, and with which code it ends.

use std::process::Output;

use http::Method;
use tokio::time::timeout;

use crate::house::{PATIENCE, delivered, exchange};
use crate::process::{Process, readhook, write_config};
use crate::vendor::{Callback, EASEMOB_SECRET, easemob, easemob_signed_with};

fn run(arguments: &[&str]) -> Output {
    readhook().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_schema_is_the_types_own() {
    let output = run(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, serde_json::to_value(readhook::receipt::schema()).unwrap());
    let required: Vec<&str> =
        printed["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for name in [
        "id",
        "vendor",
        "app",
        "conversation",
        "reader",
        "scope",
        "read_at",
        "received_at",
        "verified_by",
        "event",
    ] {
        assert!(required.contains(&name), "{name} is always there");
    }
}

#[test]
fn wrong_arguments_are_64() {
    for arguments in [&["sreve"][..], &["--no-such-option"], &["check", "extra"]] {
        assert_eq!(run(arguments).status.code(), Some(64), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["check", "--help"]] {
        assert_eq!(run(arguments).status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn the_version_is_the_packages_and_names_the_commit_where_it_is_known() {
    let output = run(&["--version"]);
    let commit = env!("READHOOK_COMMIT");
    let commit = if commit.is_empty() { String::new() } else { format!(" ({commit})") };
    assert_eq!(text(&output.stdout), format!("readhook {}{commit}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_configuration_is_78_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    std::fs::write(&file, "[server]\nlistem = \"x\"").unwrap();
    for command in ["serve", "check"] {
        let output = run(&[command, "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(78));
        assert!(text(&output.stderr).contains("server.listem"), "{}", text(&output.stderr));
    }
    let output = run(&["check", "--config", "/no/such/file.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("/no/such/file.toml"));
}

#[test]
fn check_tells_what_is_fit_and_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let check = || run(&["check", "--config", config.to_str().unwrap()]);
    let output = check();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("none yet"));
    assert!(!dir.path().join("readhook.db").exists(), "it changes nothing");

    let mut process = Process::start(&config);
    assert!(text(&check().stdout).contains("held by a running process"));
    // A second service on the same journal is refused before it does anything.
    let second = run(&["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(69));
    assert!(text(&second.stderr).contains("held by another process"), "{}", text(&second.stderr));
    process.signal("INT");
    assert_eq!(process.wait().code(), Some(0));
    assert!(text(&check().stdout).contains("whole"));

    std::fs::write(dir.path().join("readhook.db"), "no database at all, by no means").unwrap();
    let output = check();
    assert_eq!(output.status.code(), Some(74));
    assert!(text(&output.stdout).contains("damaged"), "{}", text(&output.stdout));
    assert_eq!(run(&["serve", "--config", config.to_str().unwrap()]).status.code(), Some(74));
}

#[test]
fn healthcheck_is_0_when_ready_and_1_when_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(&write_config(dir.path()));
    let address = process.public.to_string();
    assert_eq!(run(&["healthcheck", "--address", &address]).status.code(), Some(0));
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(run(&["healthcheck", "--address", &address]).status.code(), Some(1));
}

#[test]
fn an_address_in_use_is_69() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(&write_config(dir.path()));
    let other = tempfile::tempdir().unwrap();
    let config = write_config(other.path());
    let taken = process.public.to_string();
    let output = readhook()
        .args(["--config", config.to_str().unwrap()])
        .env("READHOOK__SERVER__LISTEN", &taken)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_takes_a_good_configuration_over_and_keeps_the_old_one_from_a_bad() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let mut process = Process::start(&file);
    let post = async |number: u64, secret: &str| {
        let callback = easemob_signed_with(number, secret);
        let body = callback.body.into_bytes();
        exchange(process.public, Method::POST, &callback.target, &[], body).await.status
    };
    assert_eq!(post(1, "test-only-new").await, 401);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("test-only-easemob-secret", "test-only-new")).unwrap();
    process.signal("HUP");
    timeout(PATIENCE, async { while post(2, "test-only-new").await != 200 {} }).await.unwrap();
    assert_eq!(post(3, EASEMOB_SECRET).await, 401, "the old secret is gone");

    std::fs::write(&file, "[server]\nlistem = 1").unwrap();
    process.signal("HUP");
    // The signal is handled in its own time; whenever that is, the new secret goes on verifying.
    for number in 4..50 {
        assert_eq!(post(number, "test-only-new").await, 200);
    }
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(delivered(dir.path()).len(), 47);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_replayed_with_and_without_a_running_service() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let errand = |process: Option<&Process>, arguments: &[&str]| {
        let mut command = readhook();
        command.args(arguments).arg("--config").arg(&file);
        // The configuration lets the system choose the port.
        if let Some(process) = process {
            command.env("READHOOK__ADMIN__LISTEN", process.admin.to_string());
        }
        command.output().unwrap()
    };
    let said = |output: &Output| (output.status.code(), text(&output.stdout).trim().to_owned());
    let absent = errand(None, &["replay", "--sink", "events", "--from", "1"]);
    assert_eq!(absent.status.code(), Some(74));
    assert!(text(&absent.stderr).contains("there is no journal"), "{}", text(&absent.stderr));

    let mut process = Process::start(&file);
    for number in 0..5 {
        let Callback { target, body } = easemob(number);
        let reply = exchange(process.public, Method::POST, &target, &[], body.into_bytes()).await;
        assert_eq!(reply.status, 200);
    }
    timeout(PATIENCE, async { while delivered(dir.path()).len() < 5 {} }).await.unwrap();
    let fine = |what: &str| (Some(0), what.to_owned());
    let running = |arguments: &[&str]| said(&errand(Some(&process), arguments));
    assert_eq!(running(&["replay", "--sink", "events", "--from", "4"]), fine("2 delivered, 0 refused"));
    assert_eq!(running(&["replay", "--sink", "events", "--since", "1h"]), fine("5 delivered, 0 refused"));
    assert_eq!(running(&["redrive", "--sink", "events"]), fine("0 delivered, 0 refused"));
    let deaf = errand(None, &["redrive", "--sink", "events"]);
    assert_eq!(deaf.status.code(), Some(74), "its admin listener is elsewhere");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));

    let got = delivered(dir.path());
    let id = |at: usize| got[at]["id"].as_str().unwrap().to_owned();
    let two = format!("{},{}", id(0), id(3));
    let stopped = said(&errand(None, &["replay", "--sink", "events", "--ids", &two]));
    assert_eq!(stopped, fine("2 delivered, 0 refused"));
    let stopped =
        said(&errand(None, &["replay", "--sink", "events", "--since", "2999-01-01T00:00:00+08:00"]));
    assert_eq!(stopped, fine("0 delivered, 0 refused"));
    let again = delivered(dir.path());
    let order: Vec<usize> =
        again.iter().map(|receipt| got[..5].iter().position(|first| first == receipt).unwrap()).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 3, 4, 0, 1, 2, 3, 4, 0, 3]);

    for wrong in [
        &["replay", "--sink", "events"][..],
        &["replay", "--sink", "events", "--since", "1h", "--from", "1"],
        &["replay", "--sink", "events", "--since", "yesterday"],
        &["replay", "--sink", "nosuch", "--from", "1"],
        &["redrive"],
    ] {
        assert_eq!(errand(None, wrong).status.code(), Some(64), "{wrong:?}");
    }
}
