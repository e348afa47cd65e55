//! The journal's files under a running service: deleted, replaced, linked, in use by another process, and moved into one at each
//! start. Whatever is answered 200 is where the next start looks.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::Method;
use rusqlite::{Connection, OpenFlags};
use tokio::time::{sleep, timeout};

use crate::crash::{any_vendor, number, stored, try_post};
use crate::house::{PATIENCE, exchange};
use crate::process::{Process, write_config};

async fn post(process: &Process, callback: u64) -> u16 {
    let callback = any_vendor(callback);
    try_post(process.public, &callback.target, callback.body).await.unwrap_or(0)
}

async fn ready(process: &Process) -> u16 {
    exchange(process.admin, Method::GET, "/readyz", &[], Vec::new()).await.status
}

async fn until_ready(process: &Process, wanted: u16) {
    let reached = timeout(PATIENCE, async {
        while ready(process).await != wanted {
            sleep(Duration::from_millis(10)).await;
        }
    });
    reached.await.unwrap_or_else(|_| panic!("/readyz should become {wanted}"));
}

/// How many receipts a database has, with its log if there is one.
fn rows(file: &Path, how: &str) -> i64 {
    let uri = format!("file:{}?{how}", file.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags).unwrap();
    connection.query_row("SELECT count(*) FROM receipts", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_deleted_or_replaced_takes_nothing_more_and_can_be_saved() {
    for how in ["its folder deleted", "replaced by a copy", "its folder moved", "its log deleted"] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        let config = write_config(dir.path());
        let text = fs::read_to_string(&config).unwrap();
        let (before, file) = (dir.path().join("readhook.db"), data.join("readhook.db"));
        let text = text.replace(before.to_str().unwrap(), file.to_str().unwrap());
        fs::write(&config, text).unwrap();
        let process = Process::start(&config);
        for callback in 0..20 {
            assert_eq!(post(&process, callback).await, 200, "{how}");
        }
        match how {
            "its folder deleted" => fs::remove_dir_all(&data).unwrap(),
            "replaced by a copy" => {
                fs::copy(&file, data.join("copy")).unwrap();
                fs::rename(data.join("copy"), &file).unwrap();
            }
            "its folder moved" => fs::rename(&data, dir.path().join("elsewhere")).unwrap(),
            _ => fs::remove_file(data.join("readhook.db-wal")).unwrap(),
        }
        assert_eq!(post(&process, 20).await, 503, "{how}");
        assert_eq!(post(&process, 21).await, 503, "{how}");
        assert_eq!(ready(&process).await, 503, "{how}");
        // What the log tells an operator to do.
        let saved = dir.path().join("saved.db");
        for (name, to) in [("readhook.db", "saved.db"), ("readhook.db-wal", "saved.db-wal")] {
            let descriptor = held(&process, name).unwrap_or_else(|| panic!("{how}: `{name}` should be held"));
            fs::copy(descriptor, dir.path().join(to)).unwrap();
        }
        assert!(rows(&saved, "mode=rw") >= 20, "{how}: everything that was accepted can be saved");
        if how == "its folder moved" {
            fs::rename(dir.path().join("elsewhere"), &data).unwrap();
            until_ready(&process, 200).await;
            assert_eq!(post(&process, 22).await, 200, "the same file is there again");
        }
    }
}

/// The descriptor by which a process holds a file of this name, whatever has become of the name.
fn held(process: &Process, name: &str) -> Option<std::path::PathBuf> {
    let folder = format!("/proc/{}/fd", process.id());
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find(|descriptor| {
        let target = fs::read_link(descriptor).unwrap_or_default();
        let target = target.to_string_lossy();
        let target = target.trim_end_matches(" (deleted)");
        Path::new(target).file_name().is_some_and(|found| found == name)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_moves_the_log_into_the_file_before_anything_is_appended() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let file = dir.path().join("readhook.db");
    let process = Process::start(&config);
    for callback in 0..20 {
        assert_eq!(post(&process, callback).await, 200);
    }
    process.kill();
    assert!(
        fs::metadata(dir.path().join("readhook.db-wal")).unwrap().len() > 0,
        "there is something to move"
    );
    let process = Process::start(&config);
    // The file alone, as it would be without its log.
    assert_eq!(rows(&file, "mode=ro&immutable=1"), 20);
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_whoever_has_the_index_of_a_log_that_holds_something() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let process = Process::start(&config);
    for callback in 0..20 {
        assert_eq!(post(&process, callback).await, 200);
    }
    // Like an `export` whose pipe is slow: it may count frames as moved that never came to the disk.
    let reader =
        Connection::open_with_flags(dir.path().join("readhook.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)
            .unwrap();
    let count: i64 = reader.query_row("SELECT count(*) FROM receipts", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 20);
    process.kill();
    let process = Process::start(&config);
    assert_eq!(ready(&process).await, 503);
    assert_eq!(post(&process, 20).await, 503);
    for path in ["/api/v1/receipts", "/api/v1/positions?vendor=easemob&app=demo&reader=a"] {
        let answer = exchange(process.admin, Method::GET, path, &[], Vec::new()).await;
        assert_eq!(answer.status, 503, "{path}: {}", answer.body);
    }
    for path in ["/api/v1/sinks", "/api/v1/callbacks", "/metrics", "/livez", "/"] {
        let answer = exchange(process.admin, Method::GET, path, &[], Vec::new()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    drop(reader);
    until_ready(&process, 200).await;
    assert_eq!(post(&process, 20).await, 200);
    let numbers: Vec<u64> = stored(&process).await.iter().map(number).collect();
    assert_eq!(numbers, (0..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reserve_is_really_there_and_goes_with_its_setting() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let reserve = dir.path().join("readhook.db.reserve");
    let bytes = 3 << 20;
    let setting = [("READHOOK__JOURNAL__RESERVE_BYTES", "3145728")];
    let process = Process::start_with(&config, &setting);
    let told = timeout(PATIENCE, async {
        loop {
            let metrics = exchange(process.admin, Method::GET, "/metrics", &[], Vec::new()).await.body;
            if metrics.contains("readhook_journal_reserve_bytes 3145728\n") {
                assert!(metrics.contains("readhook_journal_reserve_missing 0\n"), "{metrics}");
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    told.await.expect("the reserve should be made");
    let made = fs::metadata(&reserve).unwrap();
    assert_eq!(made.len(), bytes);
    assert!(std::os::unix::fs::MetadataExt::blocks(&made) * 512 >= bytes, "allocated");
    drop(process);
    let process = Process::start(&config);
    assert_eq!(post(&process, 0).await, 200);
    assert!(!reserve.exists(), "0 has none");
}
