//! `readhook check --deep`: every file that readhook keeps, verified against itself and against the journal. Beside a running
//! service, in short reads; nothing is changed.

use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, print};
use crate::config::{AckAfter, Config};
use crate::dispatch::causes;
use crate::journal::{OpenError, Verification, Verified, resolved, tables};
use crate::{quarantine, state};

/// Verifies all files; gives the worst that was found.
pub(super) fn check(config: &Config) -> Exit {
    // What belongs to a journal lies beside the file itself, not beside a link to it.
    let path = &resolved(&config.journal.path);
    let journal = match config.delivery.ack_after {
        AckAfter::Journal if exists(path) => {
            let tables = report("tables", with_bar("tables", |step| tables(path, step)));
            tables.max(contents(path))
        }
        AckAfter::Journal => {
            print("deep           ok    there is no journal yet");
            Exit::Ok
        }
        AckAfter::Sinks => Exit::Ok,
    };
    journal.max(check_quarantine(path))
}

/// What is in the journal, and what is made from it.
fn contents(path: &Path) -> Exit {
    let verification = match Verification::open(path) {
        Ok(verification) => verification,
        Err(error) => return failed("receipts", &causes(&error)),
    };
    let (receipts, ids) = match with_bar("receipts", |step| verification.receipts(step)) {
        Ok((receipts, ids)) => (show("receipts", receipts), show("ids", ids)),
        Err(error) => (failed("receipts", &causes(&error)), Exit::Ok),
    };
    let letters = with_bar("dead letters", |mut step| verification.dead_letters(|done| step(done, 0)));
    let letters = report("dead letters", letters);
    let file = state::file_of(path);
    let state = match exists(&file) {
        false => {
            print("read state     ok    there is none yet; a start makes it from the journal");
            Exit::Ok
        }
        true => {
            let sound = report("state tables", with_bar("state tables", |step| tables(&file, step)));
            let compared = match with_bar("read state", |step| state::verify(path, &verification, step)) {
                Ok(verified) => show("read state", verified.unwrap_or_default()),
                Err(error) => failed("read state", &causes(&*error)),
            };
            sound.max(compared)
        }
    };
    receipts.max(ids).max(letters).max(state)
}

fn check_quarantine(journal: &Path) -> Exit {
    let file = quarantine::file_of(journal);
    if !exists(&file) {
        print("quarantine     ok    there is none yet");
        return Exit::Ok;
    }
    let sound = report("quarantine", with_bar("quarantine", |step| tables(&file, step)));
    let found = match with_bar("quarantine", |mut step| quarantine::verify(journal, |done| step(done, 0))) {
        Ok((count, unusable)) => {
            let mut verified = Verified { looked_at: format!("{count} callbacks"), ..Verified::default() };
            for id in unusable {
                verified.problems.add("callbacks that cannot be taken out again", || {
                    format!("callback {id} in quarantine cannot be read as one, and `readhook requeue` leaves it there")
                });
            }
            show("quarantine", verified)
        }
        Err(error) => failed("quarantine", &error.to_string()),
    };
    sound.max(found)
}

fn exists(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() > 0)
}

fn report(what: &str, verified: Result<Verified, OpenError>) -> Exit {
    match verified {
        Ok(verified) => show(what, verified),
        Err(error) => failed(what, &causes(&error)),
    }
}

/// One line when all is well, otherwise one for each problem.
fn show(what: &str, Verified { looked_at, problems }: Verified) -> Exit {
    let problems = problems.into_sentences();
    if problems.is_empty() {
        print(&format!("{what:<14} ok    {looked_at}"));
        return Exit::Ok;
    }
    problems.iter().for_each(|problem| print(&format!("{what:<14} FAIL  {problem}")));
    Exit::Io
}

fn failed(what: &str, why: &str) -> Exit {
    print(&format!("{what:<14} FAIL  {why}"));
    Exit::Io
}

/// Does something that says how far it is: so much of so much, or so much where nobody knows the end.
fn with_bar<T>(what: &'static str, work: impl FnOnce(Box<dyn FnMut(u64, u64)>) -> T) -> T {
    let bar = match std::io::stderr().is_terminal() {
        false => ProgressBar::hidden(),
        true => {
            let style = ProgressStyle::with_template("{msg:<14} {wide_bar} {pos}/{len}, {per_sec}, {eta}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style).with_message(what)
        }
    };
    let shown = bar.clone();
    let done = work(Box::new(move |done, total| {
        shown.set_length(total.max(done));
        shown.set_position(done);
    }));
    bar.finish_and_clear();
    done
}
