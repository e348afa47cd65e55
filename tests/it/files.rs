//! Files that are not what they seem: a journal under two names, a journal that is missing beside its own log, a folder that a
//! first start left which was killed, a file that belongs to somebody else. Nothing is lost, and the refusal says what to do.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::block_in_place;
use tokio::time::timeout;

use crate::crash::{number, stored, try_post};
use crate::house::{PATIENCE, exchange};
use crate::process::{Process, SYSTEM_PATH, readhook, write_config};
use crate::servers::program;
use crate::vendor::{Callback, easemob};

/// Everything that belongs to the journal of a folder, by the end of its name.
pub(crate) fn beside(dir: &Path, suffix: &str) -> PathBuf {
    dir.join(format!("readhook.db{suffix}"))
}

/// A configuration whose journal has another path.
fn config_for(dir: &Path, journal: &Path) -> PathBuf {
    let config = write_config(dir);
    let text = std::fs::read_to_string(&config).unwrap();
    let ours = beside(dir, "");
    let moved = text.replace(&format!("\"{}\"", ours.display()), &format!("\"{}\"", journal.display()));
    assert_ne!(text, moved);
    let config = dir.join(format!("{}.toml", journal.display().to_string().replace('/', "_")));
    std::fs::write(&config, moved).unwrap();
    config
}

/// Runs a command that has to end by itself.
fn ended(mut command: Command) -> Output {
    block_in_place(|| {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("{command:?} should end: {:?}", child.wait_with_output());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().unwrap()
    })
}

pub(crate) fn run(config: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = readhook();
    command.args(arguments).arg("--config").arg(config);
    let output = ended(command);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// A start, and the check that comes before it, end with this code and say all of this.
fn refused(config: &Path, code: i32, says: &[&str]) {
    for command in ["check", "serve"] {
        let (ended, said) = run(config, &[command]);
        assert_eq!(ended, Some(code), "{command}: {said}");
        for word in says {
            assert!(said.contains(word), "{command} should say `{word}`: {said}");
        }
    }
}

/// A second start is refused, because a process has the journal.
fn held(config: &Path) {
    let (code, said) = run(config, &["serve"]);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("held by another process"), "{said}");
    let (code, said) = run(config, &["check"]);
    assert!(code == Some(0) && said.contains("held by a running process"), "{said}");
}

pub(crate) async fn post(process: &Process, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let Callback { target, body } = easemob(number);
        assert_eq!(try_post(process.public, &target, body).await, Some(200));
    }
}

pub(crate) async fn numbers(process: &Process) -> Vec<u64> {
    stored(process).await.iter().map(number).collect()
}

pub(crate) fn end(mut process: Process) {
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

/// Waits until the read state rests on so many receipts.
async fn in_state(process: &Process, count: u64) {
    let reached = async {
        loop {
            let health = exchange(process.admin, Method::GET, "/healthz", &[], Vec::new()).await;
            let health: Value = serde_json::from_str(&health.body).unwrap();
            if health["state"]["cursor"].as_u64() == Some(count) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("the read state should follow the journal");
}

/// A folder with a journal of so many receipts, whose process has ended or was killed.
async fn filled(count: u64, killed: bool) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let process = Process::start(&config);
    post(&process, 0..count).await;
    in_state(&process, count).await;
    if killed {
        process.kill()
    } else {
        end(process)
    }
    (dir, config)
}

/// The journal's files with their bytes.
fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = ["", "-wal"]
        .iter()
        .map(|suffix| beside(dir, suffix))
        .filter_map(|path| Some((path.clone(), std::fs::read(path).ok()?)))
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_leads_to_one_journal_with_one_lock() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let (real, link) = (disk.join("readhook.db"), dir.path().join("readhook.db"));
    symlink("disk/readhook.db", &link).unwrap();
    let (by_name, by_link) = (config_for(dir.path(), &real), write_config(dir.path()));

    let process = Process::start(&by_link);
    held(&by_name);
    post(&process, 0..10).await;
    end(process);
    let process = Process::start(&by_name);
    held(&by_link);
    post(&process, 10..20).await;
    process.kill();
    let process = Process::start(&by_link);
    assert_eq!(numbers(&process).await, (0..20).collect::<Vec<_>>());
    for suffix in [".ids", ".lock", ".state", ".quarantine"] {
        assert!(beside(&disk, suffix).exists(), "{suffix} lies beside the journal");
        assert!(suffix == ".lock" || !beside(dir.path(), suffix).exists(), "{suffix} lies beside the link");
    }
    end(process);

    // A link to a disk that is not mounted.
    std::fs::rename(&disk, dir.path().join("unmounted")).unwrap();
    refused(&by_link, 74, &["is a symbolic link to", "folder does not exist"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_removed_lock_nor_another_name_lets_a_second_process_in() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let process = Process::start(&config);
    post(&process, 0..5).await;
    std::fs::remove_file(beside(dir.path(), ".lock")).unwrap();
    held(&config);
    post(&process, 5..10).await;

    // Renamed, the file is still the one that is locked; and its old name is missed.
    let renamed = dir.path().join("renamed.db");
    std::fs::rename(beside(dir.path(), ""), &renamed).unwrap();
    held(&config_for(dir.path(), &renamed));
    std::fs::remove_file(beside(dir.path(), ".lock")).unwrap();
    refused(&config, 74, &["is missing", "-wal"]);
    std::fs::rename(&renamed, beside(dir.path(), "")).unwrap();
    assert_eq!(numbers(&process).await, (0..10).collect::<Vec<_>>());
    process.kill();
    let process = Process::start(&config);
    assert_eq!(numbers(&process).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_under_two_names_is_refused() {
    let (dir, config) = filled(5, true).await;
    let other = dir.path().join("other.db");
    std::fs::hard_link(beside(dir.path(), ""), &other).unwrap();
    let by_other = config_for(dir.path(), &other);
    for config in [&config, &by_other] {
        refused(config, 74, &["2 names (hard links)", "keep one name"]);
    }
    assert!(!dir.path().join("other.db-wal").exists());
    std::fs::remove_file(&other).unwrap();
    let process = Process::start(&config);
    assert_eq!(numbers(&process).await, (0..5).collect::<Vec<_>>());
    // A second name while it runs lets nobody in either.
    std::fs::hard_link(beside(dir.path(), ""), &other).unwrap();
    refused(&by_other, 74, &["hard links"]);

    let folder = dir.path().join("folder.db");
    std::fs::create_dir(&folder).unwrap();
    refused(&config_for(dir.path(), &folder), 74, &["is no regular file"]);
}

/// As `docker run -v /there/readhook.db:/data/readhook.db` does it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root: it mounts a file"]
async fn a_mount_of_the_file_alone_is_refused_and_one_of_its_folder_is_not() {
    let (dir, _) = filled(5, true).await;
    let there = dir.path().join("there");
    std::fs::create_dir(&there).unwrap();
    let mounted = there.join("readhook.db");
    std::fs::write(&mounted, "").unwrap();
    let config = config_for(dir.path(), &mounted);
    let script = format!(
        "mount --bind '{}' '{}'; exec \"$0\" serve --config \"$1\"",
        beside(dir.path(), "").display(),
        mounted.display()
    );
    let mut command = Command::new(program("unshare"));
    command.env_clear().env("PATH", SYSTEM_PATH).args(["-m", "sh", "-ec", &script]);
    command.arg(env!("CARGO_BIN_EXE_readhook")).arg(&config);
    let output = ended(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(said.contains("mount its folder"), "{said}");

    std::fs::remove_file(&mounted).unwrap();
    let bind = format!("mount --bind '{}' '{}'", dir.path().display(), there.display());
    let process = Process::start_in_namespace(&bind, &config);
    assert_eq!(numbers(&process).await, (0..5).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_empty_journal_beside_its_log_is_missed() {
    let (dir, config) = filled(20, true).await;
    let (journal, away) = (beside(dir.path(), ""), dir.path().join("away"));
    let log = std::fs::read(beside(dir.path(), "-wal")).unwrap();
    std::fs::rename(&journal, &away).unwrap();
    for missing in ["missing", "empty"] {
        if missing == "empty" {
            std::fs::write(&journal, "").unwrap();
        }
        let says =
            ["readhook.db-wal` with committed transactions", missing, "put the journal back", "begin anew"];
        refused(&config, 74, &says);
        let copy = dir.path().join("copy.db");
        for command in [&["export", "--format", "jsonl"][..], &["backup", "--to", copy.to_str().unwrap()]] {
            let (code, said) = run(&config, command);
            assert_eq!(code, Some(74), "{command:?}: {said}");
        }
        assert_eq!(
            std::fs::read(beside(dir.path(), "-wal")).unwrap(),
            log,
            "{missing}: the log is as it was"
        );
        assert_eq!(journal.exists(), missing == "empty", "nothing was created");
    }
    std::fs::rename(&away, &journal).unwrap();
    let process = Process::start(&config);
    assert_eq!(numbers(&process).await, (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_journal_beside_its_ids_or_state_is_missed_until_they_are_moved_away() {
    let (dir, config) = filled(20, false).await;
    let journal = beside(dir.path(), "");
    assert!(!beside(dir.path(), "-wal").exists(), "it ended well");
    std::fs::remove_file(&journal).unwrap();
    refused(&config, 74, &["is missing", "`readhook.db.ids` with the ids", "`readhook.db.state` with"]);
    // What a SQLite database looks like in which there is nothing.
    let connection = Connection::open(&journal).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(connection);
    assert!(journal.metadata().unwrap().len() > 0);
    refused(&config, 74, &["is empty", "`readhook.db.ids` with the ids", "`readhook.db.state` with"]);
    std::fs::remove_dir_all(beside(dir.path(), ".ids")).unwrap();
    refused(&config, 74, &["beside it there is `readhook.db.state` with"]);
    std::fs::rename(beside(dir.path(), ".state"), dir.path().join("away")).unwrap();
    let process = Process::start(&config);
    assert!(numbers(&process).await.is_empty());
    post(&process, 0..1).await;
}

/// What a first start leaves that was killed, piece by piece.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_first_start_leaves_is_new() {
    type Leave = fn(&Path);
    let blank = |dir: &Path| {
        let connection = Connection::open(beside(dir, "")).unwrap();
        connection.pragma_update(None, "page_size", 8_192).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection
    };
    let left: [(&str, Leave); 6] = [
        ("a lock", |dir| std::fs::write(beside(dir, ".lock"), "").unwrap()),
        ("an empty file", |dir| std::fs::write(beside(dir, ""), "").unwrap()),
        ("an empty log", |dir| {
            std::fs::write(beside(dir, ""), "").unwrap();
            std::fs::write(beside(dir, "-wal"), "").unwrap();
        }),
        ("no runs of ids", |dir| std::fs::create_dir(beside(dir, ".ids")).unwrap()),
        ("half a run of ids", |dir| {
            std::fs::create_dir(beside(dir, ".ids")).unwrap();
            std::fs::write(beside(dir, ".ids").join("1-2.part"), "half").unwrap();
        }),
        ("a state without receipts", |dir| std::fs::write(beside(dir, ".state"), "").unwrap()),
    ];
    let starts = async |dir: &TempDir, what: &str| {
        let config = write_config(dir.path());
        let (code, said) = run(&config, &["check"]);
        assert!(code == Some(0) && said.contains("none yet"), "{what}: {said}");
        let process = Process::start(&config);
        post(&process, 0..3).await;
        process.kill();
        let process = Process::start(&config);
        assert_eq!(numbers(&process).await, [0, 1, 2], "{what}");
        assert_eq!(beside(dir.path(), "").metadata().unwrap().permissions().mode() & 0o077, 0, "{what}");
    };
    for (what, leave) in left {
        let dir = tempfile::tempdir().unwrap();
        leave(dir.path());
        starts(&dir, what).await;
    }
    for what in ["a first page", "the header of a log", "frames without a commit"] {
        let dir = tempfile::tempdir().unwrap();
        let connection = blank(dir.path());
        // As it stands on the disk in the middle of the first transaction.
        connection
            .execute_batch("BEGIN IMMEDIATE; CREATE TABLE receipts (x); PRAGMA application_id = 5; COMMIT")
            .unwrap();
        let log = std::fs::read(beside(dir.path(), "-wal")).unwrap();
        let page = std::fs::read(beside(dir.path(), "")).unwrap();
        drop(connection);
        std::fs::write(beside(dir.path(), ""), &page).unwrap();
        match what {
            "the header of a log" => std::fs::write(beside(dir.path(), "-wal"), &log[..32]).unwrap(),
            "frames without a commit" => {
                std::fs::write(beside(dir.path(), "-wal"), &log[..log.len() - 1]).unwrap()
            }
            _ => {}
        }
        std::fs::set_permissions(beside(dir.path(), ""), PermissionsExt::from_mode(0o600)).unwrap();
        starts(&dir, what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_is_killed_at_any_moment_can_be_repeated() {
    for round in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let config = write_config(dir.path());
        let mut command = readhook();
        let mut child =
            command.arg("serve").arg("--config").arg(&config).stderr(Stdio::null()).spawn().unwrap();
        block_in_place(|| {
            let begun = Instant::now();
            while !beside(dir.path(), ".lock").exists() && begun.elapsed() < PATIENCE {
                std::hint::spin_loop();
            }
            // Not a wait for something: each round is killed at another moment.
            std::thread::sleep(Duration::from_micros(150 * round));
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let process = Process::start(&config);
        post(&process, 0..1).await;
        assert_eq!(numbers(&process).await, [0], "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_is_for_its_owner_whatever_the_umask_is() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let process = Process::start_behind("umask 000", &config);
    post(&process, 0..5).await;
    in_state(&process, 5).await;
    // A wrong signature, for the quarantine.
    let Callback { target, body } = easemob(1);
    let forged = body.replace("\"security\":\"", "\"security\":\"0");
    assert_eq!(try_post(process.public, &target, forged).await, Some(401));
    let files = |folder: &Path| -> BTreeSet<(String, u32)> {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files
            .map(|file| {
                (
                    file.file_name().into_string().unwrap(),
                    file.metadata().unwrap().permissions().mode() & 0o777,
                )
            })
            .collect()
    };
    let find =
        |suffix: &str| files(dir.path()).into_iter().any(|(name, _)| name == format!("readhook.db{suffix}"));
    for suffix in ["", "-wal", "-shm", ".lock", ".state", ".state-wal", ".quarantine", ".quarantine-wal"] {
        assert!(find(suffix), "there is {suffix}");
    }
    let check = || {
        for (name, mode) in files(dir.path()).into_iter().filter(|(name, _)| name.starts_with("readhook.db"))
        {
            assert_eq!(mode, 0o600, "{name} has mode {mode:o}");
        }
    };
    check();
    end(process);
    check();
    for (name, mode) in files(&beside(dir.path(), ".ids")) {
        assert_eq!(mode, 0o600, "{name} has mode {mode:o}");
    }

    // The mode of a file that is there is its owner's choice, and is named when it is an open one.
    std::fs::set_permissions(beside(dir.path(), ""), PermissionsExt::from_mode(0o644)).unwrap();
    let (code, said) = run(&config, &["check"]);
    assert!(code == Some(0) && said.contains("every user of this machine can open the journal"), "{said}");
    let process = Process::start(&config);
    assert_eq!(beside(dir.path(), "").metadata().unwrap().permissions().mode() & 0o777, 0o644);
    end(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_with_a_number_that_no_readhook_writes_is_refused() {
    for (change, says) in [
        ("PRAGMA user_version = -1", "has format -1, which no readhook writes"),
        ("PRAGMA user_version = 0", "has format 0, which no readhook writes"),
        ("PRAGMA user_version = -2147483648", "has format -2147483648"),
        ("PRAGMA application_id = -1", "no readhook journal"),
        ("PRAGMA application_id = 0", "no readhook journal"),
        ("PRAGMA application_id = 0; PRAGMA user_version = 0", "no readhook journal"),
        ("DROP TABLE marks", "no table `marks`"),
    ] {
        let (dir, config) = filled(3, false).await;
        Connection::open(beside(dir.path(), "")).unwrap().execute_batch(change).unwrap();
        let before = snapshot(dir.path());
        refused(&config, 74, &[says]);
        assert!(snapshot(dir.path()) == before, "{change}: the file was changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_state_of_somebody_else_is_set_aside() {
    let (dir, config) = filled(3, false).await;
    let state = beside(dir.path(), ".state");
    for (round, change) in ["PRAGMA user_version = -1", "PRAGMA application_id = -7"].into_iter().enumerate()
    {
        Connection::open(&state).unwrap().execute_batch(change).unwrap();
        let before = std::fs::read(&state).unwrap();
        let process = Process::start(&config);
        let aside = if round == 0 { ".state.set-aside" } else { ".state.set-aside-2" };
        let begun = Instant::now();
        while !beside(dir.path(), aside).exists() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(std::fs::read(beside(dir.path(), aside)).unwrap(), before, "{change}");
        assert_eq!(numbers(&process).await, [0, 1, 2]);
        end(process);
    }
}
