//! Faults while another process has the journal open.

use std::process::{Child, Stdio};

use crate::case::{Case, Verdict, chance};
use crate::program::readhook;

/// An export whose reader does not read: it stands in the middle of the journal.
fn export(case: &Case) -> Child {
    let mut command = readhook();
    command.arg("--config").arg(&case.config).args(["export", "--format", "jsonl"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn backup(case: &Case) -> Child {
    let mut command = readhook();
    let to = case.disk.root.parent().unwrap().join("backup.db");
    command.arg("--config").arg(&case.config).args(["backup", "--rate", "1", "--to"]).arg(to);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_failed_sync_while_another_process_reads_loses_nothing() {
    let mut verdict = Verdict::default();
    for (name, holder) in [("export", export as fn(&Case) -> Child), ("backup", backup)] {
        for (file, action) in [("readhook.db", "EIO/evict"), ("readhook.db-wal", "EIO/keep")] {
            let mut case = Case::new(format!("sync {action} of {file} while {name} holds it"));
            case.disk.prepare("");
            if let Some(program) = case.started() {
                case.load(&program, 120);
                let mut child = holder(&case);
                // It has the journal open when it has mapped the -shm.
                let maps = format!("/proc/{}/maps", child.id());
                crate::program::reached(std::time::Duration::from_secs(10), || {
                    std::fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("-shm"))
                        || child.try_wait().unwrap().is_some()
                });
                let before = case.disk.hits();
                case.disk.set(&format!("sync {file} {action} times=1"));
                case.load_until_hit(&program, before);
                case.load(&program, 60);
                case.look(&program);
                let _ended = child.kill();
                child.wait().unwrap();
                case.load(&program, 60);
                case.disk.set("");
                if let Some(program) = case.recovers(program) {
                    case.load(&program, 40);
                    case.keeps("after the fault", &program);
                    case.killed_and_started(program);
                    case.power_cut_of_the_killed(&mut chance());
                }
            }
            verdict.add(case);
        }
    }
    verdict.holds();
}
