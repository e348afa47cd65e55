//! `readhook explain` as a program, and the examples of docs/explain.md, which are run as they stand there.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use readhook::explain::{finding_codes, step_codes};

use crate::house::repository;
use crate::process::{SYSTEM_PATH, readhook};
use crate::vendor::{easemob, easemob_signed_with};

/// The program in the repository's folder, with something on its standard input.
fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = readhook();
    command.current_dir(repository("")).args(["explain", "--config", "config/demo.toml"]).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may end without reading.
    let _sent = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn it_ends_with_0_for_what_is_good_and_with_1_for_what_is_not() {
    let (good, bad) = (easemob(1).body, easemob_signed_with(1, "another").body);
    let posted = |target: &str, body: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    for (arguments, input, code, says) in [
        (&["easemob"][..], &*good, 0, "easemob: accepted"),
        (&["easemob", "-"], &good, 0, "easemob: accepted"),
        (&["easemob"], &bad, 1, "easemob: rejected, bad_signature"),
        (&["easemob"], "{}", 0, "easemob: ignored"),
        (&["easemob", "--format", "json"], &bad, 1, "\"outcome\": \"rejected\""),
        (&["easemob", "--raw"], &posted("/webhooks/easemob", &good), 0, "easemob: accepted"),
        (&["easemob", "--raw"], &posted("/webhooks/easemob/", &good), 0, "easemob: accepted"),
        (&["easemob", "--raw"], &posted("/webhooks/easemob/x", &good), 1, "easemob: malformed, unknown_path"),
        (&["easemob", "--raw"], &posted("/webhooks/nobody", &good), 1, "easemob: not_found"),
        (&["easemob", "--at", "2025-08-12T12:00:00Z"], &good, 0, "as of 2025-08-12T12:00:00.000Z"),
        (
            &["openim", "--url", "https://u:p@h/webhooks/openim/callbackX", "--client", "::1"],
            "{}",
            0,
            "openim",
        ),
        (&["rongcloud", "--header", "RC-Signature: 00", "--url", "/webhooks/rongcloud"], "a=b", 0, "ignored"),
    ] {
        let output = run(arguments, input);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        let said = text(&output.stdout);
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(arguments.contains(&"json") || said.lines().all(|line| line.chars().count() <= 80), "{said}");
    }
    for (arguments, code) in [
        (&["icq"][..], 64),
        (&[], 64),
        (&["easemob", "--header", "nonsense"], 64),
        (&["easemob", "--header", "a b: c"], 64),
        (&["easemob", "--at", "yesterday"], 64),
        (&["easemob", "--client", "somewhere"], 64),
        (&["easemob", "--raw"], 64),
        (&["easemob", "--raw", "--url", "/x"], 64),
        (&["easemob", "no/such/file"], 74),
    ] {
        let output = run(arguments, "{}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("none.toml");
    std::fs::write(&file, "[vendors.tencent.apps.a]\nsdk_app_id = \"1\"").unwrap();
    let output = readhook().args(["explain", "easemob", "--config"]).arg(file).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(text(&output.stderr).contains("easemob"), "{output:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no journal is made");
}

/// `UPDATE_DOCS=1` writes what came instead; read the diff.
#[test]
fn the_examples_of_the_page_give_what_stands_there() {
    let file = repository("docs/explain.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let mut written = String::new();
    let mut examples = 0;
    for (at, part) in page.split("```").enumerate() {
        if at > 0 {
            written.push_str("```");
        }
        let Some(example) = part.strip_prefix("console\n$ readhook explain ") else {
            written.push_str(part);
            continue;
        };
        examples += 1;
        // A command goes on behind a backslash.
        let lines = example.lines().scan(true, |goes_on, line| {
            let now = *goes_on;
            *goes_on = now && line.ends_with('\\');
            now.then_some(line)
        });
        let command = lines.collect::<Vec<_>>().join("\n");
        let output = Command::new("sh")
            .args(["-c", &format!("\"$0\" explain {command}"), env!("CARGO_BIN_EXE_readhook")])
            .current_dir(repository(""))
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{command}: {output:?}");
        written.push_str(&format!("console\n$ readhook explain {command}\n{}", text(&output.stdout)));
    }
    assert!(examples >= 4, "an example for each vendor");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file, written).unwrap();
    } else {
        let differs = written.lines().zip(page.lines()).find(|(now, then)| now != then);
        assert!(written == page, "UPDATE_DOCS=1 writes it anew; it begins to differ at {differs:?}");
    }
}

#[test]
fn the_page_names_every_code() {
    let page = std::fs::read_to_string(repository("docs/explain.md")).unwrap();
    let findings = finding_codes().map(|(code, _, _)| code);
    for code in findings.chain(step_codes().map(|(code, _)| code)) {
        assert!(page.contains(&format!("`{code}`")), "{code} is not in docs/explain.md");
    }
}
