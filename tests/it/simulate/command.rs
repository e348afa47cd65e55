//! How the command ends: with nobody there, interrupted, or with arguments that make no sense.

use std::path::Path;

use serde_json::Value;
use tokio::task::block_in_place;

use super::{simulate, text};
use crate::house::demo;
use crate::process::readhook;
use crate::upstream::{Manner, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_counted_and_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("readhook.toml");
    std::fs::write(&config, demo()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let run = simulate(&config, &url, &["tencent", "--count", "8"]);
    assert_eq!((run.code, run.count("/failures/connect")), (Some(1), 8), "{:#}", run.report);
    for (manner, failure) in [
        (Manner::Close, "closed"),
        (Manner::Hang, "timeout"),
        (Manner::Say("SSH-2.0-x\r\n\r\n".to_owned()), "unreadable"),
    ] {
        let upstream = Upstream::start(manner).await;
        let url = format!("http://{}", upstream.address);
        let run = simulate(&config, &url, &["tencent", "--count", "8", "--timeout", "100ms"]);
        assert_eq!(run.code, Some(1));
        assert_eq!(run.count(&format!("/failures/{failure}")), 8, "{:#}", run.report);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_still_reports() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("readhook.toml");
    std::fs::write(&config, demo()).unwrap();
    let upstream = Upstream::start(Manner::answer("200 OK", "", "{\"valid\":true}")).await;
    let url = format!("http://{}", upstream.address);
    let mut command = readhook();
    command.arg("--config").arg(&config).args(["simulate", "easemob", "--duration", "10m", "--rate", "200"]);
    command.args(["--url", &url, "--format", "json"]).stdout(std::process::Stdio::piped());
    let child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    upstream.until_got(3).await;
    let told = std::process::Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
    assert!(told.unwrap().success());
    let output = block_in_place(|| child.wait_with_output()).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["ended_early"]), (Some(0), &Value::Bool(true)), "{report:#}");
    assert!(report["expected"].as_u64().unwrap() >= 3, "{report:#}");
}

#[test]
fn what_makes_no_sense_is_64_and_nothing_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("readhook.toml");
    std::fs::write(&config, demo()).unwrap();
    let empty = dir.path().join("empty.toml");
    std::fs::write(&empty, "").unwrap();
    let run = |config: &Path, arguments: &[&str]| {
        let output = readhook().arg("--config").arg(config).arg("simulate").args(arguments).output().unwrap();
        assert!(output.stdout.is_empty());
        (output.status.code(), text(&output.stderr))
    };
    for (arguments, says) in [
        (&["easemob", "--url", "http://192.0.2.1"][..], "--yes"),
        (&["easemob", "--url", "ftp://localhost"], "http://"),
        (&["nobody"], "nobody"),
        (&["easemob", "--duplicates", "1.1"], "from 0 to 1"),
        (&["easemob", "--duplicates", "0.6", "--malformed", "0.6"], "more than all"),
        (&["easemob", "--rate", "fast"], "500/s"),
        (&["easemob", "--app", "other"], "`other`"),
        (&["all", "--app-id", "1"], "name the vendor"),
        (&["rongcloud", "--app-id", "1", "--url", "http://localhost"], "READHOOK_SIMULATE_SECRET"),
    ] {
        let (code, said) = run(&config, arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    assert_eq!(run(&empty, &["all"]).0, Some(64));
}
