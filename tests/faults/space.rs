//! A disk without space, at each moment: while it starts, and while it works.

use crate::case::{Case, Verdict, rounds};
use crate::program::{ENOUGH, Program, Starting, reached};

fn full_from(operation: usize, code: &str) -> String {
    format!("write,create,truncate * {code} skip={operation}")
}

/// It comes up, answers `unavailable`, and takes callbacks when there is space: nobody has to start it again.
#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_start_on_a_disk_without_space_recovers_by_itself() {
    let mut verdict = Verdict::default();
    for (code, moments) in [("ENOSPC", 0..12 * rounds()), ("EROFS", 0..1), ("EDQUOT", 0..1)] {
        for moment in moments.step_by(if rounds() > 1 { 1 } else { 3 }) {
            let mut case = Case::new(format!("{code} from operation {moment} of the start"));
            case.disk.prepare(&full_from(moment, code));
            match case.start() {
                Err(ended) => case.does_not_start(&ended),
                Ok(program) => {
                    case.look(&program);
                    case.load(&program, 12);
                    case.disk.set("");
                    if let Some(program) = case.recovers(program) {
                        case.load(&program, 20);
                        case.keeps("with space", &program);
                        case.killed_and_started(program);
                    }
                }
            }
            verdict.add(case);
        }
    }
    verdict.holds();
}

/// What was answered 200 is stored, also what the ban guard has answered.
#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_disk_that_becomes_full_loses_nothing() {
    let mut verdict = Verdict::default();
    for moment in (0..40 * rounds()).step_by(if rounds() > 1 { 3 } else { 13 }) {
        let mut case = Case::new(format!("ENOSPC from operation {moment} under load"));
        case.disk.prepare("");
        if let Some(program) = case.started() {
            case.load(&program, 20);
            case.disk.set(&full_from(moment, "ENOSPC"));
            for _ in 0..4 {
                case.vendors.post(&program, Some(&case.disk));
            }
            // More than the ban guard lets fail.
            for _ in 0..120 {
                case.vendors.post_easemob(&program, Some(&case.disk));
            }
            case.look(&program);
            case.disk.set("");
            if let Some(program) = case.recovers(program) {
                case.load(&program, 20);
                case.keeps("with space", &program);
                case.killed_and_started(program);
            }
        }
        verdict.add(case);
    }
    verdict.holds();
}

/// A kill at each operation of the very first start leaves a folder that starts.
#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_first_start_that_is_killed_leaves_a_folder_that_starts() {
    let mut verdict = Verdict::default();
    for moment in (0..60).step_by(if rounds() > 1 { 1 } else { 4 }) {
        let mut case = Case::new(format!("first start killed at operation {moment}"));
        case.disk.prepare(&format!("write,create,truncate,sync,dirsync,rename,unlink * wait skip={moment}"));
        let before = case.disk.hits();
        let mut starting = Starting::new(&case.config, Some(&case.disk));
        let disk = &case.disk;
        reached(ENOUGH, || disk.hits() > before || starting.listens_or_ended());
        let met = case.disk.hits() > before;
        starting.kill();
        case.disk.prepare("");
        if !met {
            case.note("the start has fewer operations");
        }
        if let Some(program) = case.started() {
            first_callbacks(&mut case, &program);
            case.killed_and_started(program);
        }
        verdict.add(case);
    }
    verdict.holds();
}

fn first_callbacks(case: &mut Case, program: &Program) {
    let (vendors, disk) = (&case.vendors, &case.disk);
    if !reached(ENOUGH, || vendors.post(program, Some(disk)) == 200) {
        case.problem("takes no callbacks");
    }
    case.load(program, 8);
}
