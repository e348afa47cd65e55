//! A disk that answers system calls with errors, or late: strace stands between the process and the kernel,
//! for as long as the test wants.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{ENOUGH, Vendors, get, ready, tells_of_trouble};
use crate::process::{Process, readhook, write_config};
use crate::raw::{Raw, posted};
use crate::servers::program;
use crate::vendor::rongcloud;

/// strace on a process. Dropped, it lets go of it.
struct Fault(Child);

impl Fault {
    /// Begins, and waits until every thread is held. `injection` is strace's `-e inject=`.
    async fn inject(process: &Process, injection: &str) -> Self {
        let calls = injection.split(':').next().unwrap();
        let mut strace = Command::new(program("strace"));
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
        strace.args(["-e", &format!("inject={injection}"), "-p", &process.id().to_string()]);
        let fault = Self(strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let tasks = format!("/proc/{}/task", process.id());
        let traced = || {
            std::fs::read_dir(&tasks).unwrap().all(|task| {
                let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
                !status.contains("TracerPid:\t0\n")
            })
        };
        let held = timeout(ENOUGH, async {
            while !traced() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        held.await.expect("strace should hold the process; it may not be allowed here");
        fault
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // Asked kindly, it lets the process go on; killed, too, but not in the midst of an injection.
        let _asked = Command::new("kill").arg(self.0.id().to_string()).status();
        let _reaped = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs strace, and to be allowed to trace"]
async fn a_disk_that_fails_is_unavailable_and_takes_callbacks_again_when_it_is_well() {
    for injection in [
        "fdatasync,fsync:error=EIO",
        "pwrite64:error=EIO",
        "pwrite64:error=ENOSPC:when=3+2",
        "pwrite64,fdatasync,fsync,ftruncate:error=EROFS",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = write_config(dir.path());
        let mut process = Process::start(&config);
        let mut vendors = Vendors::new();
        vendors.accepted(&process, 30).await;
        let fault = Fault::inject(&process, injection).await;
        vendors.until(&process, 503).await;
        if !injection.contains("when") {
            ready(&process, false).await;
            for _ in 0..10 {
                assert_eq!(vendors.post(&process).await, 503, "{injection}: nothing can be durable now");
            }
        }
        tells_of_trouble(&process).await;
        drop(fault);
        ready(&process, true).await;
        vendors.until(&process, 200).await;
        vendors.accepted(&process, 10).await;
        vendors.are_kept(&process).await;
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0));
        let check = readhook().arg("check").arg("--config").arg(&config).output().unwrap();
        assert!(check.status.success(), "{injection}: {check:?}");
        vendors.are_kept(&Process::start(&config)).await;
    }
}

/// More callbacks at once than a slow disk takes in a second: a sync lasts 0.8 s here and makes some thousand
/// durable. Nobody waits for more than the turn under way and the next one, by the service's own clock; were
/// all six thousand queued, it would be five seconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "by hand on an idle machine, for it measures; needs strace, and a hard limit of more than 6,500 open files"]
async fn beyond_what_a_slow_disk_takes_callbacks_are_turned_away_and_not_queued_into_time_outs() {
    const CLIENTS: u64 = 6_000;
    const LASTS: Duration = Duration::from_secs(15);
    crate::hostile::raise_own_limit(6_500);
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    // Begun under strace, which then sees nothing but this one call; other calls are as fast as ever. It ends
    // with the process, which is no child of it.
    let strace = "exec strace -D -f --seccomp-bpf -qq -o /dev/null -e trace=fdatasync \
                  -e inject=fdatasync:delay_enter=800000 \"$0\" --config \"$1\"";
    let process = Process::start_behind(&format!("ulimit -n \"$(ulimit -Hn)\"; {strace}"), &config);
    // It has had callbacks before, and knows how slow its disk is.
    for number in 0..5 {
        assert_eq!(Raw::to(process.public).await.ask(posted(&rongcloud(number))).await.status, 200);
    }
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    for client in 0..CLIENTS {
        let address = process.public;
        clients.spawn(async move {
            let mut connection = Raw::to(address).await;
            let (mut accepted, mut refused) = (0_u64, 0_u64);
            for turn in 1.. {
                if begun.elapsed() > LASTS {
                    break;
                }
                let callback = rongcloud(client + turn * CLIENTS);
                match connection.ask(posted(&callback)).await.status {
                    200 => accepted += 1,
                    503 => {
                        refused += 1;
                        // A vendor that was refused has other callbacks, and no more of them than before.
                        tokio::time::sleep(Duration::from_secs(2)).await;
                    }
                    other => panic!("{other}"),
                }
            }
            (accepted, refused)
        });
    }
    let (mut accepted, mut refused) = (0, 0);
    while let Some(client) = clients.join_next().await {
        let (some, others) = client.unwrap();
        (accepted, refused) = (accepted + some, refused + others);
    }
    let metrics = get(&process, "/metrics").await.1;
    let value = |series: &str| -> u64 {
        metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap()
    };
    let soon = value("readhook_callback_seconds_bucket{vendor=\"rongcloud\",le=\"2.5\"}");
    let in_time = soon.saturating_sub(refused);
    assert!(
        accepted > 5_000 && refused > 0,
        "more than the disk takes: {accepted} accepted, {refused} refused"
    );
    // One turn in twenty moves pages into the main file and syncs three times.
    assert!(in_time * 100 >= accepted * 90, "{in_time} of {accepted} were answered soon");
}
