//! Failed syncs and failed writes, once and for good, at each file.

use crate::case::{Case, Verdict, chance, rounds};

/// The files that a fault can be at, and the callbacks after which it has been met.
const FILES: [(&str, &str); 6] = [
    ("main file", "readhook.db"),
    ("WAL", "readhook.db-wal"),
    ("read state", "readhook.db.state*"),
    ("quarantine", "readhook.db.quarantine*"),
    ("file sink", "receipts.jsonl"),
    ("ids", "readhook.db.ids/*"),
];

/// One fault, then a disk that works: the service recovers, and nothing is lost when it is killed or the power fails.
fn one_fault(name: String, rule: &str, verdict: &mut Verdict) {
    let mut case = Case::new(name);
    let mut chance = chance();
    case.disk.prepare("");
    if let Some(program) = case.started() {
        case.load(&program, 60);
        case.look(&program);
        let before = case.disk.hits();
        case.disk.set(rule);
        case.load_until_hit(&program, before);
        case.look(&program);
        // Enough for several checkpoints.
        case.load_in_bursts(&program, 5);
        case.look(&program);
        case.disk.set("");
        if let Some(program) = case.recovers(program) {
            case.load(&program, 40);
            case.keeps("after the fault", &program);
            case.killed_and_started(program);
            case.power_cut_of_the_killed(&mut chance);
        }
    }
    verdict.add(case);
}

fn at(file: usize, actions: &[&str]) {
    let mut verdict = Verdict::default();
    let (name, pattern) = FILES[file];
    for action in actions {
        let (operation, action) = action.split_once(' ').unwrap();
        one_fault(
            format!("{operation} {action} once: {name}"),
            &format!("{operation} {pattern} {action} times=1"),
            &mut verdict,
        );
    }
    verdict.holds();
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_failed_sync_of_the_main_file_loses_nothing() {
    at(0, &["sync EIO/evict", "sync EIO/keep", "sync ENOSPC/keep"]);
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_failed_sync_of_the_wal_loses_nothing() {
    at(1, &["sync EIO/evict", "sync EIO/keep"]);
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_failed_write_to_the_journal_loses_nothing() {
    at(0, &["write EIO", "write ENOSPC", "write short"]);
    at(1, &["write EIO", "write EROFS", "write EDQUOT"]);
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_failed_sync_or_write_of_the_read_state_loses_nothing() {
    // It is synced seldom.
    let rules = ["write EIO", "write ENOSPC", "write short", "sync EIO/evict"];
    at(2, &rules[..if rounds() > 1 { 4 } else { 3 }]);
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_failed_sync_or_write_of_the_quarantine_loses_nothing() {
    at(3, &["sync EIO/evict", "write EIO"]);
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_failed_sync_or_write_of_the_file_sink_loses_nothing() {
    at(4, &["sync EIO/evict", "sync EIO/keep", "write ENOSPC", "write short"]);
}

/// Runs are written when there are ten thousand ids, or at the end: so it is ended and started again.
#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_failed_sync_or_write_of_the_ids_loses_nothing() {
    let mut verdict = Verdict::default();
    for rule in ["sync * EIO/evict", "write * EIO", "rename * EIO", "dirsync * EIO", "create * ENOSPC"] {
        let (operation, action) = rule.split_once(" * ").unwrap();
        let mut case = Case::new(format!("{operation} {action} once: ids"));
        case.disk.prepare("");
        if let Some(program) = case.started() {
            case.load(&program, 60);
            let before = case.disk.hits();
            let pattern = if operation == "dirsync" { "readhook.db.ids" } else { FILES[5].1 };
            case.disk.set(&format!("{operation} {pattern} {action} times=1"));
            program.stop();
            if case.disk.hits() == before {
                case.problem("the fault was never met");
            }
            case.disk.prepare("");
            if let Some(program) = case.started() {
                case.load(&program, 20);
                case.keeps("after the fault", &program);
                case.killed_and_started(program);
                case.power_cut_of_the_killed(&mut chance());
            }
        }
        verdict.add(case);
    }
    verdict.holds();
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_failed_sync_of_the_folder_loses_nothing() {
    let mut verdict = Verdict::default();
    for skip in 0..3 {
        let mut case = Case::new(format!("dirsync EIO, the {skip}th: first start"));
        case.disk.prepare(&format!("dirsync * EIO skip={skip} times=1"));
        let mut chance = chance();
        let program = case.start();
        // Ending is right, too: nobody was answered.
        let program = match program {
            Ok(program) => Some(program),
            Err(ended) => {
                case.note(format!("exit {:?}", ended.code));
                case.disk.prepare("");
                case.started()
            }
        };
        if let Some(program) = program {
            case.load(&program, 40);
            if let Some(program) = case.recovers(program) {
                case.load(&program, 20);
                case.power_fails_now(program, &mut chance);
            }
        }
        verdict.add(case);
    }
    verdict.holds();
}

/// It ends with 74 when it has failed for a minute; and when the disk works again, it goes on.
#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_disk_that_fails_for_good_is_given_up_after_a_minute() {
    let mut verdict = Verdict::default();
    let mut case = Case::new("every sync of the journal fails for good");
    case.disk.prepare("");
    if let Some(mut program) = case.started() {
        case.load(&program, 60);
        let before = case.disk.hits();
        case.disk.set("sync readhook.db* EIO/keep");
        case.load_until_hit(&program, before);
        let mut code = None;
        let begun = std::time::Instant::now();
        while code.is_none() && begun.elapsed() < crate::case::RECOVERY {
            case.load(&program, 10);
            case.look(&program);
            code = program.ended();
        }
        match code {
            Some(Some(74)) => case.note("exit 74"),
            other => case.problem(format!("it should have ended with 74: {other:?}")),
        }
        drop(program);
        case.disk.prepare("");
        if let Some(program) = case.started() {
            case.load(&program, 20);
            case.keeps("after the fault", &program);
            case.killed_and_started(program);
            case.power_cut_of_the_killed(&mut chance());
        }
    }
    verdict.add(case);
    verdict.holds();
}

/// A frame can be readable in the WAL and yet not be on the disk: nothing may be appended behind it.
#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_failed_sync_of_the_wal_then_a_restart_then_more_commits_then_a_power_cut_loses_nothing() {
    let mut verdict = Verdict::default();
    for action in ["EIO/keep", "EIO/evict"] {
        let mut case =
            Case::new(format!("WAL sync {action}, killed, started with the cache, more commits, power cut"));
        case.disk.prepare("");
        if let Some(program) = case.started() {
            // Few enough that no checkpoint moves them, before and behind the frame that is not on the disk.
            for _ in 0..20 {
                case.vendors.post(&program, Some(&case.disk));
            }
            let before = case.disk.hits();
            case.disk.set(&format!("sync readhook.db-wal {action}"));
            // Not acknowledged; the last one is in the WAL when it is killed.
            for _ in 0..3 {
                case.vendors.post_easemob(&program, Some(&case.disk));
            }
            if case.disk.hits() == before {
                case.problem("the fault was never met");
            }
            case.kill(program);
            if let Some(program) = case.started() {
                for _ in 0..60 {
                    case.vendors.post(&program, Some(&case.disk));
                }
                case.power_fails_now(program, &mut chance());
            }
        }
        verdict.add(case);
    }
    verdict.holds();
}
