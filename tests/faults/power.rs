//! Power cuts at any point of the log, with any part of what was not synced.

use crate::case::{Case, Verdict, chance, rounds};
use crate::model::Rest;

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_power_cut_at_any_point_loses_nothing() {
    let mut verdict = Verdict::default();
    let mut chance = chance();
    for round in 0..rounds() {
        let mut case = Case::new(format!("power cuts under load, run {round}"));
        case.disk.prepare("");
        if let Some(program) = case.started() {
            case.look(&program);
            case.load(&program, 150);
            case.kill(program);
            // Started again on the same disk, so that a recovery is cut, too.
            if let Some(program) = case.started() {
                case.load(&program, 60);
                case.keeps("before the cuts", &program);
                case.kill(program);
                case.model_agrees();
                let end = usize::try_from(case.disk.position()).unwrap();
                let mut at: Vec<u64> = (0..3).map(|_| chance.below(end) as u64).collect();
                case.power_fails(&mut at, &Rest::ALL, &mut chance);
                case.note(format!("{} cuts", at.len() * 3));
            }
        }
        verdict.add(case);
    }
    verdict.holds();
}
