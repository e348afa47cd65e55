//! A system clock that jumps: retention prunes nothing by it, and nothing panics.

use std::time::{Duration, Instant};

use crate::case::{Case, Verdict};
use crate::program::{Program, reached};

/// Seconds from now to the year 1 and to the year 10000, roughly.
const JUMPS: [(&str, i64); 4] = [
    ("+2 days", 172_800),
    ("-2 days", -172_800),
    ("year 1", -63_800_000_000),
    ("year 10001", 251_700_000_000),
];

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_clock_that_jumps_while_it_runs_loses_nothing() {
    let mut verdict = Verdict::default();
    for (name, seconds) in JUMPS {
        let mut case =
            Case::with(format!("clock {name} while running, retention of a day"), "retention_days = 1");
        case.disk.prepare("");
        if let Some(program) = case.started() {
            case.load(&program, 40);
            case.look(&program);
            case.disk.set(&format!("clock {seconds}"));
            callbacks_go_on(&case, &program);
            case.look(&program);
            case.disk.set("");
            panics(&mut case, &program.log());
            if let Some(program) = case.recovers(program) {
                case.load(&program, 20);
                case.keeps("after the jump", &program);
                case.killed_and_started(program);
            }
        }
        verdict.add(case);
    }
    verdict.holds();
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_clock_that_is_wrong_at_the_start_loses_nothing() {
    let mut verdict = Verdict::default();
    for (name, seconds) in JUMPS {
        let mut case =
            Case::with(format!("clock {name} at a start, retention of a day"), "retention_days = 1");
        case.disk.prepare("");
        if let Some(program) = case.started() {
            case.load(&program, 40);
            case.kill(program);
            case.disk.prepare(&format!("clock {seconds}"));
            match case.start() {
                Err(ended) => case.does_not_start(&ended),
                Ok(program) => {
                    callbacks_go_on(&case, &program);
                    let well = reached(Duration::from_secs(5), || program.readyz() == 200);
                    case.look(&program);
                    if !well {
                        case.problem("not ready with a wrong clock");
                    }
                    panics(&mut case, &program.log());
                    case.kill(program);
                }
            }
            case.disk.prepare("");
            if let Some(program) = case.started() {
                case.load(&program, 20);
                case.keeps("after the jump", &program);
                case.killed_and_started(program);
            }
        }
        verdict.add(case);
    }
    verdict.holds();
}

/// For longer than retention rests between two looks, which is five seconds.
fn callbacks_go_on(case: &Case, program: &Program) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        case.vendors.post(program, Some(&case.disk));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn panics(case: &mut Case, log: &[String]) {
    let count = log.iter().filter(|line| line.contains("panicked")).count();
    if count > 0 {
        case.problem(format!("{count} panics in the log"));
    }
}
