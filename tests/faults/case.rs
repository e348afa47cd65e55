//! One run: a folder, a disk, the vendors, and the line that says what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::model::{Chance, Model, Rest};
use crate::program::{ENOUGH, Ended, Program, configure, reached, readhook};
use crate::shim::Disk;
use crate::vendors::{Vendors, number};

/// How long the service has to recover by itself, or to end: a minute, and what a busy machine takes.
pub(crate) const RECOVERY: Duration = Duration::from_secs(100);

/// How many times as long as in CI.
pub(crate) fn rounds() -> usize {
    std::env::var("READHOOK_FAULT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

pub(crate) fn chance() -> Chance {
    Chance(std::env::var("READHOOK_FAULT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1))
}

pub(crate) struct Case {
    name: String,
    pub(crate) vendors: Vendors,
    pub(crate) disk: Disk,
    pub(crate) config: PathBuf,
    readyz: Vec<u16>,
    notes: Vec<String>,
    problems: Vec<String>,
    worst: Found,
    /// The last field: dropped last.
    dir: TempDir,
}

#[derive(Default, Clone, Copy)]
struct Found {
    acknowledged: usize,
    stored: usize,
    missing: usize,
    duplicates: usize,
}

/// What the cases of a test came to.
#[derive(Default)]
pub(crate) struct Verdict(Vec<String>);

impl Verdict {
    pub(crate) fn add(&mut self, case: Case) {
        self.0.extend(case.end());
    }

    /// Fails the test if any case has failed.
    pub(crate) fn holds(self) {
        assert!(self.0.is_empty(), "\n{}", self.0.join("\n"));
    }
}

impl Case {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self::with(name, "")
    }

    /// With more settings of the journal.
    pub(crate) fn with(name: impl Into<String>, journal: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path());
        let config = configure(dir.path(), &disk.root, journal);
        Self {
            name: name.into(),
            vendors: Vendors::new(),
            disk,
            config,
            readyz: Vec::new(),
            notes: Vec::new(),
            problems: Vec::new(),
            worst: Found::default(),
            dir,
        }
    }

    pub(crate) fn start(&self) -> Result<Program, Ended> {
        Program::start(&self.config, Some(&self.disk))
    }

    /// Starts it where it must start.
    pub(crate) fn started(&mut self) -> Option<Program> {
        match self.start() {
            Ok(program) => Some(program),
            Err(ended) => {
                self.does_not_start(&ended);
                None
            }
        }
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub(crate) fn does_not_start(&mut self, ended: &Ended) {
        let last = ended.log.last().cloned().unwrap_or_default();
        self.problem(format!("does not start, exit {:?}: {last}", ended.code));
    }

    /// Notes what `/readyz` is now, if that is new.
    pub(crate) fn look(&mut self, program: &Program) -> u16 {
        let now = program.readyz();
        if self.readyz.last() != Some(&now) {
            self.readyz.push(now);
        }
        now
    }

    pub(crate) fn load(&self, program: &Program, callbacks: u64) {
        self.vendors.load_some(program, Some(&self.disk), callbacks);
    }

    /// Loads in bursts: in the pauses a checkpoint can move everything, so that the WAL begins anew.
    pub(crate) fn load_in_bursts(&self, program: &Program, bursts: u64) {
        for _ in 0..bursts {
            self.load(program, 30);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Loads until a rule has applied once more than `before`. A fault that never came makes the case fail.
    pub(crate) fn load_until_hit(&mut self, program: &Program, before: u64) {
        let begun = std::time::Instant::now();
        let (disk, vendors) = (&self.disk, &self.vendors);
        let most = vendors.posted() + 2_000;
        vendors.load(program, Some(disk), || {
            disk.hits() == before && begun.elapsed() < ENOUGH && vendors.posted() < most
        });
        if self.disk.hits() == before {
            self.problem("the fault was never met");
        }
    }

    /// When the rules are gone: the service recovers by itself, or ends with 74 and is started again.
    pub(crate) fn recovers(&mut self, mut program: Program) -> Option<Program> {
        let mut code = None;
        let mut seen = Vec::new();
        let well = reached(RECOVERY, || {
            code = program.ended();
            let now = program.readyz();
            if seen.last() != Some(&now) {
                seen.push(now);
            }
            code.is_some() || now == 200
        });
        for status in seen {
            if self.readyz.last() != Some(&status) {
                self.readyz.push(status);
            }
        }
        match code {
            Some(code) => {
                self.note(format!("exit {code:?}"));
                if code != Some(74) {
                    self.problem(format!("ended with {code:?}"));
                }
                self.started()
            }
            None if well => {
                let (vendors, disk) = (&self.vendors, &self.disk);
                if !reached(RECOVERY, || vendors.post(&program, Some(disk)) == 200) {
                    self.problem("takes no callbacks after the fault");
                }
                Some(program)
            }
            None => {
                self.problem("/readyz stays unlike 200 after the fault");
                Some(program)
            }
        }
    }

    /// Everything that was acknowledged is stored, once; what is posted again is known; the sink has everything.
    pub(crate) fn keeps(&mut self, when: &str, program: &Program) {
        self.keeps_of(when, program, u64::MAX, &self.disk.root.join("receipts.jsonl"));
    }

    fn keeps_of(&mut self, when: &str, program: &Program, position: u64, sink: &std::path::Path) {
        let acknowledged = self.vendors.acknowledged(position);
        if position == u64::MAX {
            self.vendors.again(program);
        }
        let mut found = Found::default();
        let mut ids = BTreeSet::new();
        // What the ban guard has put into quarantine is taken in when the journal works.
        let all = reached(Duration::from_secs(20), || {
            let Some(receipts) = program.receipts() else { return false };
            let numbers: BTreeSet<u64> = receipts.iter().map(number).collect();
            ids = receipts.iter().map(|receipt| receipt["id"].as_str().unwrap().to_owned()).collect();
            let missing = acknowledged.iter().filter(|number| !numbers.contains(number)).count();
            found = Found {
                acknowledged: acknowledged.len(),
                stored: receipts.len(),
                missing,
                duplicates: receipts.len() - numbers.len(),
            };
            missing == 0
        });
        if !all || found.duplicates > 0 || (acknowledged.is_empty() && position == u64::MAX) {
            self.problem(format!("{when}: {} missing, {} duplicates", found.missing, found.duplicates));
        }
        let worse = |found: &Found| (found.missing, found.duplicates, found.acknowledged);
        if worse(&found) >= worse(&self.worst) {
            self.worst = found;
        }
        // The sink: each receipt at least once, each line whole. A power cut may damage lines of the one batch that was not
        // acknowledged; docs/sinks.md says what a consumer must tolerate, and that it stands whole behind them.
        let after_power_cut = position != u64::MAX;
        let mut broken = 0;
        let delivered = reached(Duration::from_secs(30), || {
            let bytes = std::fs::read(sink).unwrap_or_default();
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let lines: Vec<Option<Value>> = lines.map(|line| serde_json::from_slice(line).ok()).collect();
            broken = lines.iter().filter(|line| line.is_none()).count();
            let there: BTreeSet<&str> =
                lines.iter().flatten().filter_map(|line| line["id"].as_str()).collect();
            (broken == 0 || after_power_cut) && ids.iter().all(|id| there.contains(id.as_str()))
        });
        if !delivered {
            self.problem(format!("{when}: the sink's file is not complete, or broken ({broken} lines)"));
        }
    }

    /// SIGKILL between two operations of the disk.
    pub(crate) fn kill(&self, program: Program) {
        self.disk.set("freeze");
        program.kill();
        self.disk.prepare("");
    }

    /// Killed, and started again with what the page cache has.
    pub(crate) fn killed_and_started(&mut self, program: Program) {
        self.kill(program);
        if let Some(program) = self.started() {
            self.keeps("killed and started", &program);
            self.whole_when_stopped(program);
        }
    }

    fn whole_when_stopped(&mut self, program: Program) {
        let code = program.stop();
        if code != Some(0) {
            self.problem(format!("stopped with {code:?}"));
        }
        let check = readhook().arg("--config").arg(&self.config).arg("check").output().unwrap();
        if !check.status.success() {
            self.problem(format!("check: {}", String::from_utf8_lossy(&check.stdout).trim()));
        }
    }

    /// The power fails at each of these points of the log, and takes with it what was not synced.
    pub(crate) fn power_fails(&mut self, at: &mut [u64], rests: &[Rest], chance: &mut Chance) {
        at.sort_unstable();
        let mut model = Model::of(&self.disk.log);
        for (index, position) in at.iter().enumerate() {
            model.advance(*position);
            for rest in rests {
                let dir = self.dir.path().join(format!("cut-{index}-{rest:?}"));
                let data = dir.join("data");
                std::fs::create_dir_all(&data).unwrap();
                model.write_to(&data, *rest, chance);
                let config = configure(&dir, &data, "");
                let when = format!("power cut at {position}, of the rest {rest:?}");
                match Program::start(&config, None) {
                    Ok(program) => {
                        self.keeps_of(&when, &program, *position, &data.join("receipts.jsonl"));
                        if !Vendors::takes(&program) {
                            self.problem(format!("{when}: takes no callbacks"));
                        }
                        program.kill();
                    }
                    Err(ended) => {
                        let last = ended.log.last().cloned().unwrap_or_default();
                        // It counts as what it is: all of it is gone.
                        self.worst.missing =
                            self.worst.missing.max(self.vendors.acknowledged(*position).len());
                        self.problem(format!("{when}: does not start, exit {:?}: {last}", ended.code));
                    }
                }
                std::fs::remove_dir_all(dir).unwrap();
            }
        }
    }

    /// The power fails now.
    pub(crate) fn power_fails_now(&mut self, program: Program, chance: &mut Chance) {
        self.kill(program);
        let now = self.disk.position();
        self.power_fails(&mut [now], &[Rest::Nothing, Rest::Any], chance);
    }

    /// The power fails when it has been stopped or killed already.
    pub(crate) fn power_cut_of_the_killed(&mut self, chance: &mut Chance) {
        let now = self.disk.position();
        self.power_fails(&mut [now], &[Rest::Nothing, Rest::Any], chance);
    }

    /// The simulated disk is what the real files are: the log is complete.
    pub(crate) fn model_agrees(&mut self) {
        let mut model = Model::of(&self.disk.log);
        model.advance(u64::MAX);
        let differing = model.differs_from(&self.disk.root);
        if !differing.is_empty() {
            self.problem(format!("the model of the disk differs from the disk: {}", differing.join(", ")));
        }
    }

    fn end(self) -> Vec<String> {
        let Found { acknowledged, stored, missing, duplicates } = self.worst;
        let answers: BTreeMap<u16, u64> = self.vendors.answers();
        let answers: Vec<String> =
            answers.iter().map(|(status, count)| format!("{status}:{count}")).collect();
        let readyz: Vec<String> = self.readyz.iter().map(u16::to_string).collect();
        let verdict = if self.problems.is_empty() { "ok" } else { "FAILED" };
        let line = format!(
            "case=\"{}\" acknowledged={acknowledged} stored={stored} missing={missing} duplicates={duplicates} answers={} readyz={} verdict={verdict}{}{}",
            self.name,
            answers.join(","),
            readyz.join(","),
            self.notes.iter().map(|note| format!(" note=\"{note}\"")).collect::<String>(),
            self.problems.iter().map(|problem| format!(" problem=\"{problem}\"")).collect::<String>(),
        );
        #[expect(clippy::print_stdout, reason = "the line of the run, for whoever looks on")]
        {
            println!("{line}");
        }
        if let Some(report) = std::env::var_os("READHOOK_FAULT_REPORT") {
            let file = std::fs::File::options().append(true).create(true).open(report);
            writeln!(file.unwrap(), "{line}").unwrap();
        }
        self.problems.into_iter().map(|problem| format!("{}: {problem}", self.name)).collect()
    }
}
