//! What comes out of the journal by the command line: `export`, and `tail`, which follows a running service; and that a
//! closed pipe is the end of a command and no accident. Long, because CSV is read back here by nothing but its RFC.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Output, Stdio};

use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::house::{PATIENCE, delivered, exchange};
use crate::process::{Process, mebibytes, readhook, write_config, write_config_with};
use crate::stream::many;
use crate::vendor::{Callback, easemob, easemob_signed_with, openim, tencent};

async fn post(process: &Process, callback: &Callback) -> u16 {
    let body = callback.body.clone().into_bytes();
    exchange(process.public, Method::POST, &callback.target, &[], body).await.status
}

async fn stop(mut process: Process) {
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The rows of a CSV file, by the letter of RFC 4180: CRLF ends a row, quotes hold commas, ends of lines and, doubled,
/// quotes.
fn rows(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut chars = csv.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', false) if cell.is_empty() => quoted = true,
            ('"', true) if chars.next_if_eq(&'"').is_some() => cell.push('"'),
            ('"', true) => quoted = false,
            (',', false) => row.push(std::mem::take(&mut cell)),
            ('\r', false) => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            ('"' | '\n', false) => panic!("a bare {c:?} in {csv}"),
            (c, _) => cell.push(c),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !quoted, "it ends with the end of a row");
    rows
}

/// The row that a receipt must make.
fn row(receipt: &Value) -> Vec<String> {
    let cell = |value: &Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_null() => String::new(),
        None => value.to_string(),
    };
    let conversation = &receipt["conversation"];
    let mut row = vec![cell(&receipt["id"]), cell(&receipt["vendor"]), cell(&receipt["app"])];
    row.extend([cell(&conversation["type"]), cell(&conversation["id"])]);
    for name in ["reader", "scope", "message_id", "message_seq", "up_to_time", "author"] {
        row.push(cell(&receipt[name]));
    }
    row.extend([cell(&receipt["counts"]["read"]), cell(&receipt["counts"]["unread"])]);
    for name in ["read_at", "received_at", "verified_by", "event", "event_id"] {
        row.push(cell(&receipt[name]));
    }
    row
}

const HEADER: &str = "id,vendor,app,conversation_type,conversation_id,reader,scope,message_id,message_seq,up_to_time,\
                      author,counts_read,counts_unread,read_at,received_at,verified_by,event,event_id,extra\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn receipts_go_out_as_lines_and_as_csv() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let export = |arguments: &[&str]| {
        readhook().arg("export").args(arguments).arg("--config").arg(&file).output().unwrap()
    };
    let fine = |arguments: &[&str]| -> String {
        let output = export(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "no progress where nobody looks");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(export(&["--format", "jsonl"]).status.code(), Some(74), "no journal");

    let process = Process::start(&file);
    let odd = json!({
        "callbackCommand": "callbackAfterSingleMsgReadCommand",
        "conversationID": "sg_a \"b\", c\r\nd",
        "userID": "=cmd|' /C calc'!A0",
        "Seqs": [1, 2],
        "contentType": 1,
    });
    let odd = Callback { body: odd.to_string(), ..openim(1) };
    for callback in [easemob(1), odd, tencent(3)] {
        assert_eq!(post(&process, &callback).await, 200);
    }
    timeout(PATIENCE, async { while delivered(dir.path()).len() < 4 {} }).await.unwrap();
    let stored = std::fs::read_to_string(dir.path().join("receipts.jsonl")).unwrap();
    assert_eq!(fine(&["--format", "jsonl"]), stored, "beside a running service");
    let csv = fine(&["--format", "csv"]);
    stop(process).await;
    assert_eq!(fine(&["--format", "jsonl"]), stored, "and without one");
    assert_eq!(fine(&["--format", "csv"]), csv);
    assert!(csv.starts_with(HEADER), "{csv}");

    let receipts = delivered(dir.path());
    let rows = rows(&csv);
    assert_eq!(rows.len(), 5);
    for (row_of, receipt) in rows.iter().skip(1).zip(&receipts) {
        let (extra, rest) = row_of.split_last().unwrap();
        assert_eq!(rest, row(receipt));
        let extra: Value = if extra.is_empty() { Value::Null } else { serde_json::from_str(extra).unwrap() };
        assert_eq!(extra, receipt["extra"]);
    }
    // One of them written out by hand, to the byte.
    let (id, at) = (receipts[3]["id"].as_str().unwrap(), receipts[3]["received_at"].as_str().unwrap());
    let line = format!(
        "{id},tencent,1400000000,direct,peer,reader,up_to,,,1970-01-01T00:00:03.000Z,,,,,{at},app_id,\
         C2C.CallbackAfterMsgReport,,\r\n"
    );
    assert!(csv.ends_with(&line), "{csv}");
    assert!(csv.contains("\"a \"\"b\"\", c\r\nd\",=cmd|' /C calc'!A0,message,,1,"), "{csv}");
    let safe = fine(&["--format", "csv", "--spreadsheet"]);
    assert!(safe.contains("\"a \"\"b\"\", c\r\nd\",'=cmd|' /C calc'!A0,message,,1,"), "{safe}");

    for (filter, lines) in [
        (&["--vendor", "openim"][..], 2),
        (&["--app", "1122334455#demo"], 1),
        (&["--app", "nobody"], 0),
        (&["--since", "1h"], 4),
        (&["--since", "2999-01-01T00:00:00Z"], 0),
        (&["--until", "1h"], 0),
        (&["--until", "2999-01-01T00:00:00Z", "--vendor", "tencent"], 1),
    ] {
        let found = fine(&[&["--format", "jsonl"], filter].concat());
        assert_eq!(found.lines().count(), lines, "{filter:?}");
    }
    let target = dir.path().join("out.csv");
    assert_eq!(fine(&["--format", "csv", "--output", target.to_str().unwrap()]), "");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), csv);
    let nowhere = dir.path().join("no/such/folder.csv");
    assert_eq!(export(&["--format", "csv", "--output", nowhere.to_str().unwrap()]).status.code(), Some(74));
    for wrong in [&[][..], &["--format", "xml"], &["--format", "csv", "--vendor", "icq"]] {
        assert_eq!(export(wrong).status.code(), Some(64), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_receipts_are_not_held_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let process = Process::start(&file);
    for group in 0..11 {
        assert_eq!(post(&process, &many(group, 9_500)).await, 200);
    }
    stop(process).await;
    // It waits for its reader, so near the end it would still hold whatever it keeps of the lines before. Memory of files and of
    // the program itself does not count: how much of it is resident is up to the machine.
    let export = |format: &str| {
        let mut command = readhook();
        command.args(["export", "--format", format]).arg("--config").arg(&file).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut out, mut all) = (BufReader::new(child.stdout.take().unwrap()), String::new());
        (0..104_000).for_each(|_| assert!(out.read_line(&mut all).unwrap() > 0));
        let held = mebibytes(child.id(), "RssAnon");
        out.read_to_string(&mut all).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let written = all.len() as u64 >> 20;
        assert!(written >= 20 && held < written / 2, "{format}: {held} MiB held of {written} MiB");
        all
    };
    let stored = std::fs::read_to_string(dir.path().join("receipts.jsonl")).unwrap();
    assert!(stored.lines().count() == 104_500 && export("jsonl") == stored);
    let rows = rows(&export("csv"));
    assert_eq!(rows.len(), 104_501);
    for (line, found) in stored.lines().zip(rows.iter().skip(1)) {
        let receipt: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row(&receipt), found[..18]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_a_command_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let process = Process::start(&file);
    assert_eq!(post(&process, &many(1, 9_500)).await, 200);
    stop(process).await;
    let run = |arguments: &[&str], lines: usize| {
        let mut command = readhook();
        command.args(arguments).arg("--config").arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..lines {
            assert!(out.read_line(&mut String::new()).unwrap() > 0);
        }
        drop(out);
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    };
    for (arguments, lines) in [
        (&["export", "--format", "jsonl"][..], 1),
        (&["export", "--format", "csv"], 1),
        (&["export", "--format", "csv"], 0),
        (&["check"], 1),
        (&["check"], 0),
        (&["schema"], 0),
        (&["replay", "--sink", "events", "--from", "9000"], 0),
        (&["requeue"], 0),
    ] {
        assert_eq!(run(arguments, lines), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn check_ends_with_the_worst_that_it_found() {
    let dir = tempfile::tempdir().unwrap();
    let sinks = |first: &str, second: &str| {
        let bad_file = "type = \"file\"\npath = \"/proc/nowhere/receipts.jsonl\"";
        let good_file = format!("type = \"file\"\npath = \"{}\"", dir.path().join("x").display());
        let dead = "type = \"http\"\nurl = \"http://127.0.0.1:9/\"\nsecrets = [\"bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IQ==\"]";
        let of = |name: &str| match name {
            "file" => bad_file.to_owned(),
            "good" => good_file.clone(),
            _ => dead.to_owned(),
        };
        let text = format!("[sinks.first]\n{}\n[sinks.second]\n{}", of(first), of(second));
        let file = write_config_with(dir.path(), &text);
        let output = readhook().arg("check").arg("--config").arg(file).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for (first, second, code) in [("file", "good", 74), ("good", "file", 74)] {
        let (found, said) = sinks(first, second);
        assert_eq!(found, Some(code), "{first} {second}: {said}");
    }
    if cfg!(feature = "sink-http") {
        for (first, second, code) in [("http", "good", 69), ("http", "file", 74), ("file", "http", 74)] {
            let (found, said) = sinks(first, second);
            assert_eq!(found, Some(code), "{first} {second}: {said}");
        }
    }
}

/// A running `readhook tail`; dropped, it is killed.
struct Tail {
    child: Child,
    lines: Option<std::io::Lines<BufReader<ChildStdout>>>,
}

impl Tail {
    fn start(config: &std::path::Path, admin: &str, arguments: &[&str]) -> Self {
        let mut command = readhook();
        command.arg("tail").args(arguments).arg("--config").arg(config);
        command.env("READHOOK__ADMIN__LISTEN", admin);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines: Some(lines) }
    }

    fn next(&mut self) -> String {
        self.lines.as_mut().unwrap().next().expect("it goes on").unwrap()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_follows_through_a_restart_and_ends_with_its_reader() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let process = Process::start(&file);
    let admin = process.admin.to_string();
    let mut receipts = Tail::start(&file, &admin, &["--format", "json", "--vendor", "openim"]);
    let mut people = Tail::start(&file, &admin, &[]);
    let mut callbacks = Tail::start(&file, &admin, &["--callbacks"]);
    // What comes before they are there is none of theirs, so they are asked until they are.
    let mut number = 0;
    let streams = async || {
        let metrics = exchange(process.admin, Method::GET, "/metrics", &[], Vec::new()).await.body;
        metrics.lines().any(|line| line == "readhook_streams 3")
    };
    timeout(PATIENCE, async { while !streams().await {} }).await.unwrap();
    let send = async |process: &Process, number: &mut u64| {
        *number += 1;
        assert_eq!(post(process, &openim(*number)).await, 200);
    };
    send(&process, &mut number).await;
    assert_eq!(post(&process, &easemob_signed_with(1, "test-only-wrong")).await, 401);
    let line: Value = serde_json::from_str(&receipts.next()).unwrap();
    assert_eq!((&line["vendor"], &line["message_seq"]), (&json!("openim"), &json!(1)));
    let line = people.next();
    assert!(line.ends_with(" openim demo b read message #1 in direct a"), "{line}");
    let line = callbacks.next();
    assert!(line.contains(" openim demo callbackAfterSingleMsgReadCommand accepted - 200 "), "{line}");
    let line = callbacks.next();
    assert!(line.contains(" easemob - read_ack rejected bad_signature 401 "), "{line}");

    stop(process).await;
    let process = Process::start_behind(&format!("export READHOOK__ADMIN__LISTEN={admin}"), &file);
    for _ in 0..3 {
        send(&process, &mut number).await;
    }
    for expected in 2..=4 {
        let line: Value = serde_json::from_str(&receipts.next()).unwrap();
        assert_eq!(line["message_seq"], expected);
    }
    // An escape sequence in an id is no order to a terminal.
    let evil = Callback { body: openim(9).body.replace("\"b\"", "\"\\u001b[2Jb\""), ..openim(9) };
    assert_eq!(post(&process, &evil).await, 200);
    let mut line = people.next();
    while !line.contains("#9") {
        line = people.next();
    }
    assert!(line.contains("\\u{1b}[2Jb") && !line.contains('\u{1b}'), "{line:?}");

    // Its reader goes; with the next line it does, too.
    drop(receipts.lines.take());
    let ended = async {
        loop {
            send(&process, &mut number).await;
            if let Some(status) = receipts.child.try_wait().unwrap() {
                return status;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, ended).await.unwrap().code(), Some(0));
    let mut said = String::new();
    receipts.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("the connection is lost") && !said.contains("panicked"), "{said}");
    stop(process).await;

    let mut alone = Tail::start(&file, &admin, &[]);
    assert_eq!(alone.child.wait().unwrap().code(), Some(74), "nobody is there");
}
