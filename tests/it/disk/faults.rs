//! A disk that answers system calls with errors: strace stands between the process and the kernel, for as long as
//! the test wants. (One that answers late is measured by `bench/overload`.)

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::timeout;

use super::{ENOUGH, Vendors, ready, tells_of_trouble};
use crate::process::{Process, readhook, write_config};
use crate::servers::program;

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
