//! SIGKILL in the midst of something.

use crate::case::{Case, Verdict, chance, rounds};
use crate::program::{ENOUGH, Starting, pause, reached, readhook};

/// Killed when a rule makes an operation wait.
fn killed_at(
    name: &str,
    rule: &str,
    begin: impl FnOnce(&Case, &crate::program::Program),
    verdict: &mut Verdict,
) {
    let mut case = Case::new(format!("killed: {name}"));
    case.disk.prepare("");
    if let Some(program) = case.started() {
        case.load(&program, 80);
        let before = case.disk.hits();
        case.disk.set(rule);
        begin(&case, &program);
        if !case.disk.hit(before) {
            case.problem("the moment never came");
        }
        program.kill();
        case.disk.prepare("");
        if let Some(program) = case.started() {
            case.load(&program, 20);
            case.keeps("killed and started", &program);
            case.killed_and_started(program);
            case.power_cut_of_the_killed(&mut chance());
        }
    }
    verdict.add(case);
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_kill_while_ids_are_written_loses_nothing() {
    let mut verdict = Verdict::default();
    // They are written at the end.
    for rule in ["write *.part wait", "sync *.part wait", "rename *.run wait", "dirsync *.ids wait"] {
        killed_at(&format!("ids, {rule}"), rule, |_, program| program.signal("TERM"), &mut verdict);
    }
    verdict.holds();
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_kill_in_a_checkpoint_loses_nothing() {
    let mut verdict = Verdict::default();
    for skip in [0, 7, 60] {
        let rule = format!("write,sync,truncate readhook.db wait skip={skip}");
        killed_at(&format!("checkpoint, operation {skip}"), &rule, loaded, &mut verdict);
    }
    verdict.holds();
}

/// Posts until the rule has applied; then everything waits, so no answer is waited for.
fn loaded(case: &Case, program: &crate::program::Program) {
    let before = case.disk.hits();
    let begun = std::time::Instant::now();
    let disk = &case.disk;
    case.vendors.load(program, Some(disk), || disk.hits() == before && begun.elapsed() < ENOUGH);
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_kill_at_each_operation_of_a_start_loses_nothing() {
    let mut verdict = Verdict::default();
    let mut case = Case::new("killed at each operation of a start");
    case.disk.prepare("");
    if let Some(program) = case.started() {
        case.load(&program, 60);
        case.kill(program);
        let mut kills = 0;
        for moment in (0..24 * rounds()).step_by(if rounds() > 1 { 1 } else { 4 }) {
            case.disk
                .prepare(&format!("write,create,truncate,sync,dirsync,rename,unlink * wait skip={moment}"));
            let before = case.disk.hits();
            let mut starting = Starting::new(&case.config, Some(&case.disk));
            let disk = &case.disk;
            reached(ENOUGH, || disk.hits() > before || starting.listens_or_ended());
            kills += usize::from(case.disk.hits() > before);
            starting.kill();
        }
        case.note(format!("{kills} kills"));
        case.disk.prepare("");
        if let Some(program) = case.started() {
            case.load(&program, 20);
            case.keeps("killed and started", &program);
            case.killed_and_started(program);
            case.power_cut_of_the_killed(&mut chance());
        }
    }
    verdict.add(case);
    verdict.holds();
}

#[test]
#[ignore = "takes minutes; .ci/run runs it"]
fn a_kill_in_a_backup_a_requeue_or_a_reload_loses_nothing() {
    let mut verdict = Verdict::default();
    for what in ["backup", "requeue", "reload"] {
        let mut case = Case::new(format!("killed: {what}"));
        case.disk.prepare("");
        if let Some(program) = case.started() {
            case.load(&program, 80);
            let mut helper = None;
            match what {
                "backup" => {
                    let to = case.disk.root.parent().unwrap().join("backup.db");
                    let mut command = readhook();
                    command
                        .arg("--config")
                        .arg(&case.config)
                        .args(["backup", "--rate", "1", "--to"])
                        .arg(&to);
                    helper = Some(command.spawn().unwrap());
                    let part = to.with_extension("db.part");
                    reached(ENOUGH, || part.exists() || to.exists());
                }
                "requeue" => {
                    // In the midst of it: the first write to the quarantine or the journal waits.
                    let before = case.disk.hits();
                    case.disk.set("write,sync readhook.db.quarantine* wait\nwrite,sync readhook.db-wal wait");
                    std::thread::scope(|scope| {
                        scope.spawn(|| {
                            // Killed before it can answer.
                            program.post_admin("/api/v1/quarantine/requeue");
                        });
                        reached(std::time::Duration::from_secs(10), || case.disk.hits() > before);
                        program.signal("KILL");
                    });
                }
                _ => {
                    for _ in 0..5 {
                        program.signal("HUP");
                        case.load(&program, 4);
                    }
                    pause();
                }
            }
            if what == "requeue" {
                drop(program);
                case.disk.prepare("");
            } else {
                case.load(&program, 20);
                case.kill(program);
            }
            if let Some(mut helper) = helper {
                let _ended = helper.kill();
                helper.wait().unwrap();
            }
            if let Some(program) = case.started() {
                case.load(&program, 20);
                case.keeps("killed and started", &program);
                case.killed_and_started(program);
                case.power_cut_of_the_killed(&mut chance());
            }
        }
        verdict.add(case);
    }
    verdict.holds();
}
