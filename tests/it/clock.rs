//! A system clock that is wrong: retention deletes nothing that is not old, and no year panics anything. The clock is a shim in C
//! (tests/shim/clock.c), which the test builds and preloads.

#![cfg(target_os = "linux")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use http::Method;
use rusqlite::Connection;
use tokio::time::timeout;

use crate::files::{beside, end, numbers, post};
use crate::house::{PATIENCE, exchange, repository};
use crate::process::{Process, write_config};
use crate::servers::program;

const DAY: i64 = 86_400;

/// The clock of the processes of a test.
struct Clock {
    shim: PathBuf,
    offset: PathBuf,
}

impl Clock {
    fn new(dir: &Path) -> Self {
        let clock = Self { shim: dir.join("libclock.so"), offset: dir.join("offset") };
        let mut cc = Command::new(program("cc"));
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&clock.shim).arg(repository("tests/shim/clock.c"));
        assert!(cc.status().unwrap().success(), "the shim should compile");
        clock.set(0);
        clock
    }

    /// Makes it wrong by so many seconds, at once.
    fn set(&self, seconds: i64) {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.offset).unwrap();
        file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    /// Sets it to a time, in seconds since 1970.
    fn set_to(&self, time: i64) {
        #[expect(clippy::disallowed_methods, reason = "the test has the right time")]
        let now = jiff::Timestamp::now().as_second();
        self.set(time - now);
    }

    fn start(&self, config: &Path) -> Process {
        let environment =
            [("LD_PRELOAD", self.shim.to_str().unwrap()), ("CLOCK_OFFSET", self.offset.to_str().unwrap())];
        Process::start_with(config, &environment)
    }
}

/// Makes receipts three days older than they are, also beside a running service.
fn age(dir: &Path, position: i64) {
    let connection = Connection::open(beside(dir, "")).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    let update = "UPDATE receipts SET received_at = received_at - 259200000 WHERE seq = ?1";
    assert_eq!(connection.execute(update, [position]).unwrap(), 1);
}

/// Waits until retention has deleted what is older than this receipt, and looks at what is left.
async fn pruned_to(process: &Process, first: u64) {
    let pruned = async {
        while numbers(process).await.first() == Some(&(first - 1)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, pruned).await.expect("retention should delete what is old");
    assert_eq!(numbers(process).await, (first..20).collect::<Vec<_>>(), "and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_ahead_deletes_only_what_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::new(dir.path());
    let config = write_config(dir.path());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[journal]", "[journal]\nretention_days = 1")).unwrap();
    let process = clock.start(&config);
    post(&process, 0..20).await;
    end(process);

    // At a start.
    clock.set(2 * DAY);
    age(dir.path(), 1);
    let process = clock.start(&config);
    pruned_to(&process, 1).await;
    // While it runs: back, and ahead again.
    clock.set(0);
    age(dir.path(), 2);
    pruned_to(&process, 2).await;
    clock.set(2 * DAY);
    age(dir.path(), 3);
    pruned_to(&process, 3).await;
    clock.set(8_000 * 365 * DAY);
    age(dir.path(), 4);
    pruned_to(&process, 4).await;
    end(process);
}

/// Everything is answered, and nothing has panicked.
async fn works(process: &Process, from: u64) {
    post(process, from..from + 3).await;
    for page in
        ["/readyz", "/healthz", "/metrics", "/api/v1/receipts", "/api/v1/callbacks", "/api/v1/sinks", "/"]
    {
        let reply = exchange(process.admin, Method::GET, page, &[], Vec::new()).await;
        assert_eq!(reply.status, 200, "{page}: {}", reply.body);
    }
    assert_eq!(numbers(process).await.len() as u64, from + 3);
    let log = process.log();
    assert!(!log.contains("panicked") && !log.contains("ended in a panic"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_year_panics_anything() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::new(dir.path());
    let config = write_config(dir.path());
    let years = [
        /* year 1 */ -62_135_596_800 + 100 * DAY,
        /* year 1969 */ -DAY,
        /* year 9999 */ 253_402_300_795,
        /* year 10000 */ 253_402_300_800 + DAY,
        /* year 300000 */ 9_404_913_475_200,
    ];
    let mut count = 0;
    for time in years {
        clock.set_to(time);
        let process = clock.start(&config);
        works(&process, count).await;
        // And while it runs.
        for time in years {
            clock.set_to(time);
            count += 3;
            works(&process, count).await;
            clock.set(0);
            count += 3;
            works(&process, count).await;
        }
        count += 3;
        end(process);
    }
}
