//! The command line: arguments, exit codes, and which subcommand they mean.

mod ask;
mod backup;
mod check;
mod check_deep;
mod completions;
mod errand;
mod events;
mod explain;
mod export;
mod healthcheck;
mod man;
mod moment;
mod plain;
mod readers;
mod rebuild;
mod requeue;
mod restore;
mod schema;
mod serve;
mod simulate;
mod table;
mod tail;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{self, Config, ConfigError, Environment};
use crate::dispatch::causes;
use crate::receipt::VendorName;

/// The commands by what they are for. `readhook help` shows them so; a test sees to it that none is missing.
const SECTIONS: &str = "\
Service:
  serve          Take callbacks and deliver their receipts
  check          Say what `serve` would refuse or warn of; changes nothing
  healthcheck    Ask the running service whether it is ready

Receipts:
  tail           Show receipts, or callbacks, as they come
  readers        Print who has read a message
  export         Write the journal's receipts as JSON lines or CSV
  schema         Print the JSON Schema of a receipt

Repair:
  explain        Say what would come of a captured callback, and why
  requeue        Take callbacks out of quarantine that are good by now
  replay         Deliver receipts again that a sink has had
  redrive        Try a sink's dead letters again
  discard        Delete a sink's dead letters
  rebuild-state  Make the read state again from the journal
  backup         Copy the journal; also beside a running service
  restore        Put a backup in the place of the journal

Trial and shell:
  simulate       Send callbacks as a vendor would, correctly signed
  completions    Print the completions of a shell
  man            Print the manual page
  help           Print the help of a command";

const EXAMPLES: &str = "\
Examples:
  readhook check --config config/readhook.toml    before a start or a reload
  readhook serve --config config/readhook.toml
  readhook simulate easemob --count 10            against the service of the configuration
  readhook tail --callbacks                       what comes, and what became of it
  readhook explain easemob --help                 when a callback is refused

Exit codes: 0 fine, 1 not ready, 64 usage, 69 unavailable, 74 disk or network, 78 configuration.
Documentation: docs/reference.md";

/// Takes the read-receipt callbacks of Easemob, Tencent Cloud Chat, OpenIM and RongCloud, and loses none.
#[derive(Debug, Parser)]
#[command(
    name = "readhook",
    version = env!("READHOOK_VERSION"),
    propagate_version = true,
    before_help = SECTIONS,
    after_help = EXAMPLES,
    help_template = "{about}\n\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}{after-help}"
)]
struct Arguments {
    /// The configuration; without it, config/readhook.toml if that is there. `READHOOK__SECTION__KEY` wins over both.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take callbacks and deliver their receipts.
    #[command(after_help = "\
Examples:
  readhook serve --config config/demo.toml
  READHOOK__SERVER__LISTEN=localhost:8080 readhook serve

SIGHUP reads the configuration again; SIGTERM and SIGINT end the service in good order, a second one at once.")]
    Serve,
    /// Say what `serve` would refuse or warn of: configuration, addresses, journal and sinks.
    #[command(after_help = "\
Examples:
  readhook check --config config/readhook.toml
  readhook check && kill -HUP \"$(pidof readhook)\"    reload only what is right
  readhook check --deep                                also verify every file that readhook keeps

Nothing is changed, except that a sink's destination is made where it is missing, as a delivery would make it. What a running
readhook holds is reported and is no fault. Exit code 0: `serve` would start.")]
    Check {
        /// Also verify every file: tables, receipts, ids, dead letters, read state and quarantine. Also beside a running
        /// service; takes about ten seconds a million receipts.
        #[arg(long)]
        deep: bool,
    },
    /// Print the JSON Schema of a receipt.
    Schema,
    /// Print who has read a message, as the running service knows it.
    #[command(after_help = "\
Examples:
  readhook readers --vendor easemob --app 1122334455#demo --conversation g1 --message-id 1001
  readhook readers --vendor tencent --app 1400000000 --conversation @TGS#1 --message-seq 42 --format json")]
    Readers(readers::Which),
    /// Make the read state again from the journal.
    RebuildState,
    /// Deliver receipts again that a sink has had.
    #[command(after_help = "\
Examples:
  readhook replay --sink events --since 2h
  readhook replay --sink events --from 1")]
    Replay {
        /// Its name in the configuration.
        #[arg(long, value_name = "NAME")]
        sink: String,
        #[command(flatten)]
        which: errand::Which,
    },
    /// Try a sink's dead letters again: all of them, or one.
    Redrive {
        /// Its name in the configuration.
        #[arg(long, value_name = "NAME")]
        sink: String,
        #[command(flatten)]
        which: errand::Letters,
    },
    /// Delete dead letters of a sink that nobody wants delivered any more.
    Discard {
        /// Its name in the configuration.
        #[arg(long, value_name = "NAME")]
        sink: String,
        #[command(flatten)]
        which: errand::Letters,
        /// All of them.
        #[arg(long, conflicts_with_all = ["position", "id"])]
        all: bool,
    },
    /// Take callbacks out of quarantine that are good by now: after a wrong secret was corrected, for example.
    #[command(after_help = "\
Examples:
  readhook requeue --dry-run
  readhook requeue --vendor easemob --reason bad_signature --since 3h")]
    Requeue(requeue::Which),
    /// Say what would come of a captured callback, and why: which proof it carries, and what is wrong with it.
    Explain(explain::What),
    /// Show receipts as they come, or callbacks and what came of them; asks the running service.
    #[command(after_help = "\
Examples:
  readhook tail
  readhook tail --callbacks --vendor tencent
  readhook tail --format json | jq .reader")]
    Tail(tail::Which),
    /// Write the journal's receipts as lines of JSON or as CSV; also beside a running service.
    #[command(after_help = "\
Examples:
  readhook export --format csv --since 1d --output receipts.csv
  readhook export --format jsonl --vendor openim | gzip > openim.jsonl.gz")]
    Export(export::Which),
    /// Copy the journal to a file, to restore it from; also beside a running service.
    #[command(after_help = "\
Example:
  readhook backup --to /backup/readhook-$(date +%F).db")]
    Backup(backup::Where),
    /// Put a backup in the place of the journal; no service may run. The old journal is kept.
    Restore(restore::RestoreArgs),
    /// Send callbacks as a vendor would, correctly signed, and say how they were answered: to try a receiver, and to load it.
    Simulate(Box<simulate::What>),
    /// Ask the running service whether it is ready; for Docker's HEALTHCHECK.
    Healthcheck {
        /// Where it listens, if not where the configuration says.
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
    },
    /// Print the completions of a shell.
    #[command(after_help = "\
Examples:
  readhook completions bash > /etc/bash_completion.d/readhook
  readhook completions zsh > \"${fpath[1]}/_readhook\"")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in roff.
    #[command(after_help = "\
Examples:
  readhook man | man -l -
  readhook man replay > /usr/local/share/man/man1/readhook-replay.1")]
    Man {
        /// A command's page, in place of the program's.
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
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
    let Some(command) = arguments.command else {
        return without_command(arguments.config.is_some()).into();
    };
    let file = arguments.config.or_else(|| {
        let default = PathBuf::from(DEFAULT_CONFIG);
        default.exists().then_some(default)
    });
    let exit = match command {
        Command::Serve => serve::serve(file),
        Command::Check { deep } => check::check(file.as_deref(), deep),
        Command::Schema => schema::schema(),
        Command::Readers(which) => readers::readers(file.as_deref(), &which),
        Command::RebuildState => rebuild::rebuild_state(file.as_deref()),
        Command::Replay { sink, which } => errand::replay(file.as_deref(), &sink, which),
        Command::Redrive { sink, which } => errand::redrive(file.as_deref(), &sink, which),
        Command::Discard { sink, which, all } => errand::discard(file.as_deref(), &sink, which, all),
        Command::Requeue(which) => requeue::requeue(file.as_deref(), which),
        Command::Explain(what) => explain::explain(file.as_deref(), what),
        Command::Tail(which) => tail::tail(file.as_deref(), &which),
        Command::Export(which) => export::export(file.as_deref(), &which),
        Command::Backup(place) => backup::backup(file.as_deref(), &place),
        Command::Restore(arguments) => restore::restore(file.as_deref(), &arguments),
        Command::Simulate(what) => simulate::simulate(file.as_deref(), *what),
        Command::Completions { shell } => completions::completions(shell),
        Command::Man { of } => man::man(of.as_deref()),
        Command::Healthcheck { address } => healthcheck::healthcheck(file.as_deref(), address),
    };
    exit.into()
}

/// Whoever calls the program by its name alone wants to know what it can do. With a configuration somebody wants it to do
/// something, and does not say what.
fn without_command(has_config: bool) -> Exit {
    if has_config {
        say(
            "a command is missing; to take callbacks: readhook serve --config FILE. All commands: readhook --help",
        );
        return Exit::Usage;
    }
    print(Arguments::command().render_help().to_string().trim_end());
    Exit::Ok
}

/// The process's own environment.
fn environment() -> Environment {
    // What is not UTF-8 cannot be a setting; a setting that is not is reported as such.
    std::env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let value = match value.into_string() {
                Err(value) if name.starts_with("READHOOK__") => value.to_string_lossy().into_owned(),
                value => value.ok()?,
            };
            Some((name, value))
        })
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

/// Bytes on standard output, which nobody need read to the end.
fn print_bytes(bytes: &[u8]) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&error);
            Exit::Io
        }
        Ok(()) | Err(_) => Exit::Ok,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_has_every_command_in_a_section() {
        for command in Arguments::command().get_subcommands() {
            let line = format!("\n  {} ", command.get_name());
            assert!(SECTIONS.contains(&line), "{}", command.get_name());
        }
    }
}
