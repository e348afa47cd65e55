//! The command line: arguments, exit codes, and which subcommand they mean.

mod ask;
mod backup;
mod check;
mod errand;
mod events;
mod explain;
mod export;
mod healthcheck;
mod moment;
mod readers;
mod rebuild;
mod requeue;
mod schema;
mod serve;
mod simulate;
mod table;
mod tail;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, ConfigError, Environment};
use crate::dispatch::causes;
use crate::receipt::VendorName;

/// Takes the read-receipt callbacks of Easemob, Tencent Cloud Chat, OpenIM and RongCloud, and loses none.
#[derive(Debug, Parser)]
#[command(name = "readhook", version = env!("READHOOK_VERSION"), propagate_version = true)]
struct Arguments {
    /// The configuration; without it, config/readhook.toml if that is there. `READHOOK__SECTION__KEY` wins over both.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take callbacks (what happens without a subcommand, too).
    Serve,
    /// Say whether the configuration, the journal and the sinks are fit to serve.
    Check,
    /// Print the JSON Schema of a receipt.
    Schema,
    /// Print who has read a message, as the running service knows it.
    Readers(readers::Which),
    /// Make the read state again from the journal.
    RebuildState,
    /// Deliver receipts again that a sink has had.
    Replay {
        /// Its name in the configuration.
        #[arg(long, value_name = "NAME")]
        sink: String,
        #[command(flatten)]
        which: errand::Which,
    },
    /// Try a sink's dead letters again.
    Redrive {
        /// Its name in the configuration.
        #[arg(long, value_name = "NAME")]
        sink: String,
    },
    /// Take callbacks out of quarantine that are good by now: after a wrong secret was mended, for example.
    Requeue(requeue::Which),
    /// Say what would come of a captured callback, and why: which proof it carries, and what is wrong with it.
    Explain(explain::What),
    /// Show receipts as they come, or callbacks and what came of them; asks the running service.
    Tail(tail::Which),
    /// Write the journal's receipts as lines of JSON or as CSV; also beside a running service.
    Export(export::Which),
    /// Copy the journal to a file, to restore it from; also beside a running service.
    Backup(backup::Where),
    /// Send callbacks as a vendor would, correctly signed, and say how they were answered: to try a receiver, and to load it.
    Simulate(Box<simulate::What>),
    /// Ask the running service whether it is ready; for Docker's HEALTHCHECK.
    Healthcheck {
        /// Where it listens, if not where the configuration says.
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
    },
}

/// How a command ends; the codes are those of BSD's `sysexits.h`. Of two the worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Fine.
    Ok = 0,
    /// Not fine, where that is the command's answer.
    No = 1,
    /// The arguments are off.
    Usage = 64,
    /// Something that is needed is held by others.
    Unavailable = 69,
    /// The disk or the network.
    Io = 74,
    /// The configuration.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

const DEFAULT_CONFIG: &str = "config/readhook.toml";

/// Does what the process's arguments say.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // To standard output for `--help` and `--version`; if that is closed there is nobody to tell.
            let _nobody = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let file = arguments.config.or_else(|| {
        let default = PathBuf::from(DEFAULT_CONFIG);
        default.exists().then_some(default)
    });
    let exit = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::serve(file),
        Command::Check => check::check(file.as_deref()),
        Command::Schema => schema::schema(),
        Command::Readers(which) => readers::readers(file.as_deref(), &which),
        Command::RebuildState => rebuild::rebuild_state(file.as_deref()),
        Command::Replay { sink, which } => errand::replay(file.as_deref(), &sink, which),
        Command::Redrive { sink } => errand::redrive(file.as_deref(), &sink),
        Command::Requeue(which) => requeue::requeue(file.as_deref(), which),
        Command::Explain(what) => explain::explain(file.as_deref(), what),
        Command::Tail(which) => tail::tail(file.as_deref(), &which),
        Command::Export(which) => export::export(file.as_deref(), &which),
        Command::Backup(place) => backup::backup(file.as_deref(), &place),
        Command::Simulate(what) => simulate::simulate(file.as_deref(), *what),
        Command::Healthcheck { address } => healthcheck::healthcheck(file.as_deref(), address),
    };
    exit.into()
}

/// The process's own environment.
fn environment() -> Environment {
    // What is not UTF-8 cannot be a setting.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn load(file: Option<&std::path::Path>) -> Result<Config, ConfigError> {
    config::load(file, &environment())
}

/// One line on standard error, with every cause.
fn complain(error: &(dyn std::error::Error + 'static)) {
    say(&causes(error));
}

/// A command that cannot go on says why where its user looks. If nobody can look there, there is nobody to tell.
fn say(line: &str) {
    let _nobody = writeln!(std::io::stderr(), "readhook: {line}");
}

/// One line on standard output. Whoever has closed it wants no more of it, and the command goes on to its exit code.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => complain(&error),
        Ok(()) | Err(_) => {}
    }
}

/// A vendor's name as an argument.
fn vendor(word: &str) -> Result<VendorName, String> {
    let found = VendorName::ALL.into_iter().find(|vendor| vendor.as_str() == word);
    found.ok_or_else(|| format!("one of {}", VendorName::ALL.map(VendorName::as_str).join(", ")))
}
