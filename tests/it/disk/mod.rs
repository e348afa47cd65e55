//! Disks that are full, fail, turn read-only or lose power: nothing is answered as accepted that is not
//! durable, readiness and metrics tell, and when the disk is well again the service is, too, by itself.
//!
//! They are left out of a plain run, because they mount file systems (in a namespace of the process's own,
//! which ends with it) or trace a process, for which one must be root on Linux.

mod faults;
mod image;

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use tokio::time::{sleep, timeout};

use crate::crash::{number, stored, try_post};
use crate::hostile::of_each;
use crate::house::exchange;
use crate::process::Process;
use crate::vendor::Callback;
use image::Image;

/// Nothing of this takes long, but two cores may have other things to do.
const ENOUGH: Duration = Duration::from_secs(120);

/// The vendors, one callback at a time, and what they were told.
struct Vendors {
    next: u64,
    accepted: BTreeSet<u64>,
}

impl Vendors {
    fn new() -> Self {
        Self { next: 1, accepted: BTreeSet::new() }
    }

    /// Posts one callback; gives its status, 0 for none.
    async fn post(&mut self, process: &Process) -> u16 {
        let number = self.next;
        self.next += 1;
        let [callback, ..] = match number % 2 {
            0 => of_each(number),
            // A callback of RongCloud, which is as quick to give up.
            _ => {
                let [a, b, c, d] = of_each(number);
                [d, b, c, a]
            }
        };
        let Callback { target, body } = callback;
        let status = try_post(process.public, &target, body).await.unwrap_or(0);
        if status == 200 {
            self.accepted.insert(number);
        }
        status
    }

    /// Posts until a status comes, and not forever.
    async fn until(&mut self, process: &Process, wanted: u16) {
        let reached = timeout(ENOUGH, async { while self.post(process).await != wanted {} }).await;
        reached.unwrap_or_else(|_| panic!("a callback should be answered {wanted}"));
    }

    /// Posts so many that must be accepted.
    async fn accepted(&mut self, process: &Process, count: usize) {
        for _ in 0..count {
            assert_eq!(self.post(process).await, 200);
        }
    }

    /// Everything that was accepted is there, once.
    async fn are_kept(&self, process: &Process) {
        let numbers: Vec<u64> = stored(process).await.iter().map(number).collect();
        let unique: BTreeSet<u64> = numbers.iter().copied().collect();
        let missing: Vec<&u64> = self.accepted.difference(&unique).collect();
        assert!(missing.is_empty(), "accepted and not stored: {missing:?}");
        assert_eq!(numbers.len(), unique.len(), "stored twice");
        assert!(self.accepted.len() >= 20, "there was something to lose");
    }
}

async fn get(process: &Process, target: &str) -> (u16, String) {
    let reply = exchange(process.admin, Method::GET, target, &[], Vec::new()).await;
    (reply.status, reply.body)
}

async fn ready(process: &Process, wanted: bool) {
    let status = if wanted { 200 } else { 503 };
    timeout(ENOUGH, async {
        while get(process, "/readyz").await.0 != status {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("/readyz should become {status}"));
}

/// Whether the metrics tell of callbacks that were unavailable.
async fn tells_of_trouble(process: &Process) {
    let metrics = get(process, "/metrics").await.1;
    let told = metrics.lines().any(|line| {
        line.starts_with("readhook_callbacks_total{outcome=\"unavailable\"") && !line.ends_with(" 0")
    });
    assert!(told, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root, loop devices and mkfs.ext4"]
async fn a_full_disk_is_unavailable_and_takes_callbacks_again_when_there_is_room() {
    let image = Image::new(24);
    let mut process = image.start();
    let mut vendors = Vendors::new();
    vendors.accepted(&process, 20).await;
    for _ in 0..2 {
        let ballast = image.fill(&process);
        vendors.until(&process, 503).await;
        ready(&process, false).await;
        tells_of_trouble(&process).await;
        assert_eq!(get(&process, "/livez").await.0, 200, "it lives on");
        vendors.are_kept(&process).await;
        std::fs::remove_file(ballast).unwrap();
        ready(&process, true).await;
        vendors.accepted(&process, 20).await;
    }
    vendors.are_kept(&process).await;
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    image.is_whole();
    let process = image.start();
    vendors.are_kept(&process).await;
}

/// Waits for a metric of the reserve.
async fn reserve(process: &Process, line: &str) {
    timeout(ENOUGH, async {
        while !get(process, "/metrics").await.1.lines().any(|found| found == line) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("the metrics should say `{line}`"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root, loop devices and mkfs.ext4"]
async fn the_reserve_keeps_a_full_disk_going_until_it_is_used_up() {
    let image = Image::new(24).with_reserve(1 << 20);
    let mut process = image.start();
    let mut vendors = Vendors::new();
    vendors.accepted(&process, 20).await;
    reserve(&process, "readhook_journal_reserve_bytes 1048576").await;
    let ballast = image.fill(&process);
    // No callback fails because of the transaction that finds the disk full.
    let given_up = async {
        while get(&process, "/metrics").await.1.contains("readhook_journal_reserve_missing 0") {
            vendors.accepted(&process, 1).await;
            assert_eq!(get(&process, "/readyz").await.0, 200);
        }
    };
    timeout(ENOUGH, given_up).await.expect("the reserve should be given up");
    vendors.accepted(&process, 20).await;
    // Then there is nothing left, and nobody is told otherwise.
    vendors.until(&process, 503).await;
    ready(&process, false).await;
    vendors.are_kept(&process).await;
    std::fs::remove_file(ballast).unwrap();
    ready(&process, true).await;
    reserve(&process, "readhook_journal_reserve_bytes 1048576").await;
    vendors.accepted(&process, 5).await;
    vendors.are_kept(&process).await;
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    image.is_whole();
}

/// As a kernel does it that has met an error on the disk.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root, loop devices and mkfs.ext4"]
async fn a_disk_that_turns_read_only_is_unavailable_and_keeps_what_it_has() {
    let image = Image::new(24);
    let process = image.start();
    let mut vendors = Vendors::new();
    vendors.accepted(&process, 40).await;
    image.abort(&process);
    vendors.until(&process, 503).await;
    ready(&process, false).await;
    tells_of_trouble(&process).await;
    for _ in 0..20 {
        assert_ne!(vendors.post(&process).await, 200, "nothing can be durable now");
    }
    // Every handle is closed, because the page cache cannot be believed; what is kept is asked after the restart.
    assert_eq!(get(&process, "/api/v1/receipts").await.0, 503);
    process.kill();
    image.is_whole();
    let process = image.start();
    vendors.accepted(&process, 5).await;
    vendors.are_kept(&process).await;
}

/// The process stands still, and what its disk holds at that moment is all there is: what was written and not
/// synced is in the page cache of a machine that has no power any more.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root, loop devices and mkfs.ext4"]
async fn what_was_accepted_is_there_after_the_power_went() {
    for round in 0..5 {
        let image = Image::new(24);
        let process = image.start();
        let mut vendors = Vendors::new();
        vendors.accepted(&process, 30 + 17 * round).await;
        process.signal("STOP");
        let disk = image.as_it_is_now();
        process.kill();
        disk.is_whole();
        let process = disk.start();
        vendors.are_kept(&process).await;
        vendors.accepted(&process, 5).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root: it drops the machine's file cache"]
async fn a_killed_process_has_everything_when_the_file_cache_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let config = crate::process::write_config(dir.path());
    let mut vendors = Vendors::new();
    for _ in 0..3 {
        let process = Process::start(&config);
        vendors.accepted(&process, 50).await;
        process.kill();
        std::fs::write("/proc/sys/vm/drop_caches", "3").expect("only root may drop the file cache");
    }
    vendors.are_kept(&Process::start(&config)).await;
}
