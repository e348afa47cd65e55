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
        .args(["serve", "--config", config.to_str().unwrap()])
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
    let no_letter = errand(Some(&process), &["discard", "--sink", "events", "--position", "1"]);
    assert_eq!(no_letter.status.code(), Some(74));
    assert!(text(&no_letter.stderr).contains("no such dead letter"), "{}", text(&no_letter.stderr));
    assert_eq!(running(&["discard", "--sink", "events", "--all"]), fine("0 discarded"));
    assert_eq!(running(&["discard", "--sink", "events"]).0, Some(64), "it wants to know which");
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

#[test]
fn the_program_by_its_name_alone_is_its_help() {
    let dir = tempfile::tempdir().unwrap();
    let output = readhook().current_dir(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let help = text(&output.stdout);
    for word in [
        "Service:",
        "Repair:",
        "Examples:",
        "readhook serve --config",
        "rebuild-state",
        "completions",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word:?} is not in\n{help}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is started");
    let unclear = run(&["--config", "config/demo.toml"]);
    assert_eq!(unclear.status.code(), Some(64));
    assert!(text(&unclear.stderr).contains("readhook serve"), "{}", text(&unclear.stderr));
}

#[test]
fn completions_and_manual_pages_are_made_of_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("rebuild-state"), "{shell}");
    }
    assert_eq!(run(&["completions", "cmd"]).status.code(), Some(64));
    let page = run(&["man"]);
    assert_eq!(page.status.code(), Some(0));
    assert!(text(&page.stdout).contains(".TH readhook 1") && text(&page.stdout).contains("serve"));
    let page = run(&["man", "replay"]);
    assert!(text(&page.stdout).contains("\\-\\-sink"), "{}", text(&page.stdout));
    let unknown = run(&["man", "rplay"]);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(text(&unknown.stderr).contains("replay"));
}

/// The demo's configuration in `dir` with something else in it.
fn changed(dir: &std::path::Path, change: impl Fn(String) -> String) -> std::path::PathBuf {
    let file = write_config(dir);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, change(text)).unwrap();
    file
}

#[test]
fn check_says_everything_that_serve_would_warn_of_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = changed(dir.path(), |_| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"short\"\n\
             [journal]\npath = \"{}/new/readhook.db\"\n[vendors.easemob.apps.a]\nappkey = \"demo\"\n\
             secrets = [\"hunter2 \"]\n[vendors.openim.apps.o]\nallow_unauthenticated = true\n\
             [vendors.tencent.apps.t]\nsdk_app_id = \"1\"\n",
            dir.path().display()
        )
    });
    let warned = [
        "vendors.easemob.apps.a.appkey",
        "vendors.easemob.apps.a.secrets[0]",
        "admin.token",
        "vendors.openim.apps.o.allow_unauthenticated",
        "vendors.tencent.apps.t has no callback token",
        "no sink is configured",
        "READHOOK_SERVER__LISTEN",
    ];
    let mut command = readhook();
    command.args(["check", "--config", config.to_str().unwrap()]).env("READHOOK_SERVER__LISTEN", "x");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let said = text(&output.stdout);
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning")).collect();
    for word in warned {
        assert!(warnings.iter().any(|warning| warning.contains(word)), "{word:?} is not in\n{said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    assert!(!dir.path().join("new").exists(), "it changes nothing");

    // What `serve` prints at its start is the same.
    let log = dir.path().join("log");
    let mut serve = readhook();
    serve.args(["serve", "--config", config.to_str().unwrap()]).env("READHOOK_SERVER__LISTEN", "x");
    let mut serving = serve.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while !std::fs::read_to_string(&log).unwrap().contains("callbacks on http://") {
        assert!(begun.elapsed() < PATIENCE, "it should start");
    }
    serving.kill().unwrap();
    serving.wait().unwrap();
    let log = std::fs::read_to_string(&log).unwrap();
    let of_serve: Vec<&str> = log.lines().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(of_serve.len(), warnings.len(), "{of_serve:#?}\n{warnings:#?}");
    for word in warned {
        assert!(of_serve.iter().any(|warning| warning.contains(word)), "{word:?} is not in\n{log}");
    }
}

#[test]
fn check_refuses_what_serve_refuses_with_the_same_code() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    std::fs::write(dir.path().join("plain"), "a file").unwrap();
    let beneath = dir.path().join("plain/readhook.db");
    let replaced = |from: &'static str, to: String| move |text: String| text.replace(from, &to);
    let journal = dir.path().join("readhook.db").to_str().unwrap().to_owned();
    let listen = "[server]\nlisten = \"127.0.0.1:0\"";
    type Change = Box<dyn Fn(String) -> String>;
    let cases: [(&str, i32, Change); 5] = [
        (
            "a folder that is none",
            74,
            Box::new(move |text| text.replace(&journal, beneath.to_str().unwrap())),
        ),
        ("server.listen", 69, Box::new(replaced(listen, format!("[server]\nlisten = \"127.0.0.1:{port}\"")))),
        ("server.listen", 74, Box::new(replaced(listen, "[server]\nlisten = \"192.0.2.1:8080\"".to_owned()))),
        ("journal.path", 78, Box::new(|text| text.replace("readhook.db", ""))),
        (
            "vendors.tencent.passthrough.url",
            78,
            Box::new(|text| {
                let text = text.replace("127.0.0.1:0", "127.0.0.1:4711").replacen(
                    "127.0.0.1:4711",
                    "127.0.0.1:4712",
                    1,
                );
                format!("{text}\n[vendors.tencent.passthrough]\nurl = \"http://localhost:4711/\"\n")
            }),
        ),
    ];
    for (what, code, change) in cases {
        let config = changed(dir.path(), change);
        for command in ["check", "serve"] {
            let output = run(&[command, "--config", config.to_str().unwrap()]);
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(code), "{command}, {what}: {said}");
            assert!(what.contains(' ') || said.contains(what), "{command}, {what}: {said}");
        }
    }
}

#[test]
fn check_beside_a_running_service_says_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let process = Process::start(&config);
    let check = |config: &std::path::Path| {
        let mut command = readhook();
        command.args(["check", "--config", config.to_str().unwrap()]);
        command.env("READHOOK__SERVER__LISTEN", process.public.to_string());
        command.env("READHOOK__ADMIN__LISTEN", process.admin.to_string());
        command.output().unwrap()
    };
    let output = check(&config);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("held by a running readhook").count(), 2, "{said}");
    assert!(said.contains("held by a running process"), "{said}");
    let other = tempfile::tempdir().unwrap();
    let output = check(&write_config(other.path()));
    assert_eq!(output.status.code(), Some(69), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("another readhook"), "{}", text(&output.stdout));
}

#[test]
fn commands_that_need_a_running_service_say_so_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for arguments in [
        &["tail"][..],
        &[
            "readers",
            "--vendor",
            "easemob",
            "--app",
            "1122334455#demo",
            "--conversation",
            "g",
            "--message-id",
            "1",
        ],
    ] {
        let mut command = readhook();
        command.args(arguments).args(["--config", config.to_str().unwrap()]);
        let output = command.env("READHOOK__ADMIN__LISTEN", &free).output().unwrap();
        let said = text(&output.stderr);
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(said.lines().count(), 1, "{said}");
        for word in [free.as_str(), "refused", "readhook serve"] {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
    }
}

/// Starts the service with its log in a file, and waits until it listens.
fn logged(config: &std::path::Path, log: &std::path::Path) -> (std::process::Child, std::net::SocketAddr) {
    let mut command = readhook();
    command.args(["serve", "--config", config.to_str().unwrap()]).stdout(std::process::Stdio::null());
    let child = command.stderr(std::fs::File::create(log).unwrap()).spawn().unwrap();
    let line = wait_for(log, "callbacks on http://");
    let address = line.split_once("callbacks on http://").unwrap().1.split(',').next().unwrap();
    (child, address.parse().unwrap())
}

/// Waits for a line of a log.
fn wait_for(log: &std::path::Path, words: &str) -> String {
    let begun = std::time::Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap();
        if let Some(line) = text.lines().find(|line| line.contains(words)) {
            return line.to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "{words:?} should be in\n{text}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_with_nobody_left_keeps_the_old_configuration_and_what_goes_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = changed(dir.path(), |text| {
        text.replace("\"test-only-easemob-secret\"", "\"test-only-easemob-secret\", \"test-only-second\"")
    });
    let whole = std::fs::read_to_string(&file).unwrap();
    assert!(whole.contains("test-only-second"));
    let log = dir.path().join("log");
    let (mut child, public) = logged(&file, &log);
    let post = async |number: u64, secret: &str| {
        let callback = easemob_signed_with(number, secret);
        exchange(public, Method::POST, &callback.target, &[], callback.body.into_bytes()).await.status
    };
    let hangup = || {
        let sent = std::process::Command::new("kill").args(["-HUP", &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    };
    assert_eq!(post(1, EASEMOB_SECRET).await, 200);

    for (content, words) in [
        ("", "the configuration file is empty"),
        ("# nothing but a comment\n", "the configuration file is empty"),
        ("[server]\nlisten = \"127.0.0.1:0\"\n", "no vendor has an app in it"),
        ("[vendors.easemob]\nban_guard = 3\n", "no vendor has an app in it"),
    ] {
        std::fs::write(&log, "").unwrap();
        std::fs::write(&file, content).unwrap();
        hangup();
        let line = wait_for(&log, words);
        assert!(line.contains("ERROR") && line.contains("the old one stays"), "{line}");
    }
    assert_eq!(post(2, EASEMOB_SECRET).await, 200, "the old configuration stays");

    // Two secrets and a vendor go: applied, and named without a value.
    std::fs::write(&log, "").unwrap();
    let less = whole.replace("\"test-only-easemob-secret\", ", "");
    let (before, after) = less.split_once("[vendors.tencent.apps.demo]").unwrap();
    let after = after.split_once("\n[").unwrap().1;
    std::fs::write(&file, format!("{before}\n[{after}")).unwrap();
    hangup();
    wait_for(&log, "are those of the new configuration");
    let text = std::fs::read_to_string(&log).unwrap();
    let warned = |words: &str| text.lines().any(|line| line.contains(" WARN ") && line.contains(words));
    assert!(warned("vendors.easemob.apps.demo.secrets[0]"), "{text}");
    assert!(warned("vendors.tencent, with its apps demo"), "{text}");
    assert!(!text.contains("test-only-easemob") && !text.contains("test-only-second"), "{text}");
    assert_eq!(post(3, EASEMOB_SECRET).await, 401, "a leaked secret can be taken away");
    assert_eq!(post(4, "test-only-second").await, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_console_token_is_logged_with_its_client_and_no_vendors_text_forges_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = changed(dir.path(), |text| {
        text.replace("[admin]", "[admin]\ntoken = \"test-only-0123456789abcdef\"")
    });
    let log = dir.path().join("log");
    let mut command = readhook();
    command.args(["serve", "--config", config.to_str().unwrap()]).env("RUST_LOG", "debug");
    command.stdout(std::process::Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let line = wait_for(&log, "callbacks on http://");
    let address = |before: &str| -> std::net::SocketAddr {
        line.split_once(before).unwrap().1.split([',', ' ']).next().unwrap().parse().unwrap()
    };
    let (public, admin) = (address("callbacks on http://"), address("admin on http://"));
    let form = b"token=hunter2&back=%2F".to_vec();
    assert_eq!(exchange(admin, Method::POST, "/login", &[], form).await.status, 401);
    let wrong = wait_for(&log, "gave the console a wrong token");
    assert!(wrong.contains("client=127.0.0.1") && !wrong.contains("hunter2"), "{wrong}");

    let forged = "2026-11-30T00:00:00.000000Z ERROR readhook: forged";
    let body =
        serde_json::json!({ "callbackCommand": format!("callbackX\n{forged}\r\u{1b}[31m\u{9b}31m\u{202e}") });
    let reply = exchange(public, Method::POST, "/webhooks/openim", &[], body.to_string().into_bytes()).await;
    assert_eq!(reply.status, 200);
    wait_for(&log, "callbackX");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.lines().any(|line| line.starts_with(forged)), "{text}");
    for active in ['\r', '\u{1b}', '\u{9b}', '\u{202e}'] {
        assert!(!text.contains(active), "{active:?} in {text}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_does_not_exist_is_refused_with_what_does() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let output = run(&["requeue", "--reason", "bad_signatur", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("bad_signature"), "{}", text(&output.stderr));

    let process = Process::start(&config);
    let readers = |app: &str| {
        let mut command = readhook();
        command.args([
            "readers",
            "--vendor",
            "easemob",
            "--app",
            app,
            "--conversation",
            "g",
            "--message-id",
            "1",
        ]);
        command.args(["--config", config.to_str().unwrap()]);
        command.env("READHOOK__ADMIN__LISTEN", process.admin.to_string()).output().unwrap()
    };
    assert_eq!(readers("1122334455#demo").status.code(), Some(0));
    let output = readers("demo");
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("1122334455#demo"), "{}", text(&output.stderr));
}

/// The program as a user who owns nothing.
fn unprivileged(arguments: &[&str]) -> Output {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_readhook")]);
        command.env_clear().env("PATH", crate::process::SYSTEM_PATH);
        command
    } else {
        readhook()
    };
    command.args(arguments).output().unwrap()
}

#[test]
fn check_refuses_a_folder_and_a_file_that_its_user_cannot_write() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let set = |path: &std::path::Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    set(&config, 0o644);
    set(dir.path(), 0o555);
    for command in ["check", "serve"] {
        let output = unprivileged(&[command, "--config", config.to_str().unwrap()]);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(74), "{command}: {said}");
        assert!(said.contains("ermission denied"), "{command}: {said}");
    }
    set(dir.path(), 0o755);
    assert!(!dir.path().join("readhook.db").exists());
}
