//! `readhook restore`: a backup takes the place of a journal, the old journal is kept, and however the command ends there is the
//! old journal, the new one, or a start that says what to do.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::files::{beside, end, numbers, post, run};
use crate::process::{Process, readhook, write_config};

/// A folder with a journal whose receipts are 0 to 29, and a backup from when they were 0 to 19.
async fn with_backup(killed: bool) -> (TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let process = Process::start(&config);
    post(&process, 0..20).await;
    let backup = dir.path().join("backup.db").to_str().unwrap().to_owned();
    let (code, said) = run(&config, &["backup", "--to", &backup]);
    assert_eq!(code, Some(0), "{said}");
    post(&process, 20..30).await;
    if killed {
        process.kill()
    } else {
        end(process)
    }
    (dir, config, backup)
}

/// The folders in which restores have kept old journals.
fn kept(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_kept = |path: &PathBuf| path.to_str().unwrap().contains("readhook.db.before-restore");
    let mut kept: Vec<_> = entries.filter(is_kept).collect();
    kept.sort();
    kept
}

async fn served(config: &Path) -> Vec<u64> {
    let process = Process::start(config);
    let found = numbers(&process).await;
    end(process);
    found
}

/// A journal that was kept is whole: put back, it has everything.
async fn can_be_put_back(kept: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    for entry in std::fs::read_dir(kept).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    assert_eq!(served(&config).await, (0..30).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_the_place_of_a_journal_that_is_kept_whole() {
    for killed in [true, false] {
        let (dir, config, backup) = with_backup(killed).await;
        let (code, said) = run(&config, &["restore", &backup]);
        assert!(code == Some(64) && said.contains("receipts up to position 30; with --force"), "{said}");
        let (code, said) = run(&config, &["restore", &backup, "--force"]);
        assert!(code == Some(0) && said.contains("20 receipts, up to position 20"), "{said}");
        let [kept] = &kept(dir.path())[..] else { panic!("the old journal is kept in one folder") };
        assert!(said.contains(kept.to_str().unwrap()), "{said}");
        assert_eq!(beside(dir.path(), "").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for gone in ["-wal", ".restore", ".restore.part", ".before-restore"] {
            assert!(!beside(dir.path(), gone).exists(), "{gone}");
        }
        let process = Process::start(&config);
        assert_eq!(numbers(&process).await, (0..20).collect::<Vec<_>>());
        // What came after the backup is new, and what is in it is a duplicate.
        post(&process, 15..30).await;
        assert_eq!(numbers(&process).await, (0..30).collect::<Vec<_>>());
        end(process);
        can_be_put_back(kept).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_damaged_is_replaced_without_being_asked_twice() {
    type Harm = fn(&Path);
    let harms: [Harm; 3] = [
        |dir| std::fs::remove_file(beside(dir, "")).unwrap(),
        |dir| std::fs::write(beside(dir, ""), "").unwrap(),
        |dir| {
            // Without its log: that alone holds the whole of so young a journal.
            std::fs::write(beside(dir, ""), "by no means a database of anything at all").unwrap();
            std::fs::write(beside(dir, "-wal"), "").unwrap();
        },
    ];
    for harm in harms {
        let (dir, config, backup) = with_backup(true).await;
        harm(dir.path());
        assert_eq!(run(&config, &["serve"]).0, Some(74));
        let (code, said) = run(&config, &["restore", &backup]);
        assert_eq!(code, Some(0), "{said}");
        assert!(kept(dir.path())[0].join("readhook.db-wal").exists(), "the old log is kept");
        assert_eq!(served(&config).await, (0..20).collect::<Vec<_>>());
    }
    // Where there was nothing, nothing is kept, and no configuration is needed.
    let (_dir, _, backup) = with_backup(false).await;
    let new = tempfile::tempdir().unwrap();
    let config = write_config(new.path());
    let to = new.path().join("readhook.db");
    let (code, said) =
        run(Path::new("/no/such/file"), &["restore", &backup, "--journal", to.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(kept(new.path()).is_empty());
    assert_eq!(served(&config).await, (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_changes_nothing() {
    let (dir, config, backup) = with_backup(false).await;
    let before = std::fs::read(beside(dir.path(), "")).unwrap();
    let bad = dir.path().join("bad.db").to_str().unwrap().to_owned();
    let fails = |code: i32, backup: &str, says: &str| {
        let (ended, said) = run(&config, &["restore", backup, "--force"]);
        assert!(ended == Some(code) && said.contains(says), "{says}: {said}");
        assert!(std::fs::read(beside(dir.path(), "")).unwrap() == before, "{says}: the journal was changed");
        assert!(kept(dir.path()).is_empty() && !beside(dir.path(), ".restore.part").exists(), "{says}");
    };
    fails(74, &bad, "cannot be restored");
    fails(74, beside(dir.path(), "").to_str().unwrap(), "it is the journal itself");
    let change = |statements: &str| {
        std::fs::copy(&backup, &bad).unwrap();
        Connection::open(&bad).unwrap().execute_batch(statements).unwrap();
    };
    change("PRAGMA user_version = 99");
    fails(74, &bad, "it has format 99");
    change("PRAGMA application_id = 7");
    fails(74, &bad, "no readhook journal");
    std::fs::copy(&backup, &bad).unwrap();
    let length = std::fs::metadata(&bad).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&bad).unwrap().set_len(length - 8_192).unwrap();
    fails(74, &bad, "it is damaged");

    let process = Process::start(&config);
    let (code, said) = run(&config, &["restore", &backup, "--force"]);
    assert!(code == Some(69) && said.contains("held by another process"), "{said}");
    post(&process, 30..31).await;
    assert_eq!(numbers(&process).await.len(), 31);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_by_hand_is_restored_with_its_log() {
    let (dir, config, _) = with_backup(true).await;
    let copy = dir.path().join("copy.db");
    for suffix in ["", "-wal"] {
        std::fs::copy(beside(dir.path(), suffix), format!("{}{suffix}", copy.display())).unwrap();
    }
    let (code, said) = run(&config, &["restore", copy.to_str().unwrap(), "--force"]);
    assert!(code == Some(0) && said.contains("30 receipts"), "{said}");
    assert_eq!(served(&config).await, (0..30).collect::<Vec<_>>());
}

/// Every state in which the command can be killed, made by hand.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_restore_is_refused_by_a_start_and_completed_by_the_next_one() {
    let moves = ["", "-wal", "-shm", ".ids", ".state", ".state-wal", ".state-shm"];
    for moved in 0..=moves.len() {
        let (dir, config, backup) = with_backup(true).await;
        std::fs::copy(&backup, beside(dir.path(), ".restore")).unwrap();
        let aside = beside(dir.path(), ".before-restore");
        if moved > 0 {
            std::fs::create_dir(&aside).unwrap();
        }
        for suffix in &moves[..moved] {
            let from = beside(dir.path(), suffix);
            if from.exists() {
                std::fs::rename(&from, aside.join(from.file_name().unwrap())).unwrap();
            }
        }
        for command in ["serve", "check"] {
            let (code, said) = run(&config, &[command]);
            assert!(code == Some(74) && said.contains("run `readhook restore BACKUP` again"), "{said}");
        }
        let (code, said) = run(&config, &["restore", &backup]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(served(&config).await, (0..20).collect::<Vec<_>>());
        let [kept] = &kept(dir.path())[..] else { panic!("the old journal is kept in one folder") };
        can_be_put_back(kept).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_at_any_moment_loses_neither_journal() {
    for round in 0..12 {
        let (dir, config, backup) = with_backup(true).await;
        let mut command = readhook();
        command.args(["restore", &backup, "--force", "--config"]).arg(&config);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        block_in_place(|| {
            let begun = Instant::now();
            while !beside(dir.path(), ".restore.part").exists()
                && child.try_wait().unwrap().is_none()
                && begun.elapsed() < crate::house::PATIENCE
            {
                std::hint::spin_loop();
            }
            // Not a wait for something: each round is killed at another moment.
            std::thread::sleep(Duration::from_micros(400 * round));
        });
        child.kill().unwrap();
        child.wait().unwrap();
        if beside(dir.path(), ".restore").exists() {
            assert_eq!(run(&config, &["serve"]).0, Some(74), "round {round}");
            let (code, said) = run(&config, &["restore", &backup]);
            assert_eq!(code, Some(0), "round {round}: {said}");
        }
        let found = served(&config).await;
        let old = (0..30).collect::<Vec<_>>();
        if found != old {
            assert_eq!(found, (0..20).collect::<Vec<_>>(), "round {round}");
            let [kept] = &kept(dir.path())[..] else { panic!("the old journal is kept in one folder") };
            can_be_put_back(kept).await;
        }
    }
}
