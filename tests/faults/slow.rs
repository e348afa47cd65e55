//! Syncs that take eight seconds: vendors get their failure answer in time, nothing is lost, and it goes on by itself.

use crate::case::{Case, Verdict};

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_sync_of_eight_seconds_loses_nothing() {
    let mut verdict = Verdict::default();
    for file in ["readhook.db-wal", "readhook.db", "receipts.jsonl", "readhook.db.quarantine*"] {
        let mut case = Case::new(format!("8 s for a sync of {file}"));
        case.disk.prepare("");
        if let Some(program) = case.started() {
            case.load(&program, 40);
            let before = case.disk.hits();
            case.disk.set(&format!("sync {file} delay:8000 times=2"));
            case.load_until_hit(&program, before);
            case.load(&program, 60);
            case.look(&program);
            case.disk.set("");
            if let Some(program) = case.recovers(program) {
                case.load(&program, 20);
                case.keeps("after the fault", &program);
                case.killed_and_started(program);
            }
        }
        verdict.add(case);
    }
    verdict.holds();
}
