//! What went wrong, told apart by whom it concerns: one receipt, or the server and whoever runs it; and said
//! in one line, with what to do.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use crate::sink::BoxError;

/// Servers quote what they were given, which may be long.
const LONGEST: usize = 600;

/// Why the server did not do as it was asked.
#[derive(Debug)]
pub(super) enum Problem {
    /// It will never store this, for what it is.
    Receipt(String),
    /// Everything else.
    Server(String),
}

impl Problem {
    /// What is wrong, where no receipt can be to blame.
    pub(super) fn into_error(self) -> BoxError {
        match self {
            Self::Receipt(why) | Self::Server(why) => why.into(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error.as_db_error() {
            Some(said) if concerns_content(said) => Self::Receipt(told(said)),
            Some(said) => Self::Server(told(said)),
            None if of_tls(&error) => Self::Server(format!(
                "{}; name the authority that signed the server's certificate as `ca_file`, and the server as \
                 the certificate does (without TLS: `sslmode=disable`)",
                with_causes(&error)
            )),
            None => Self::Server(with_causes(&error)),
        }
    }
}

/// Whether it is the receipt's content that the server refuses, and no operator could repair that. A column that is too
/// narrow, a row that a foreign key misses or an encoding that lacks a character can be repaired, so receipts wait for it:
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn concerns_content(said: &DbError) -> bool {
    match said.code().code() {
        // The operator's own rule, made to refuse. Without a constraint it is a partition that is missing.
        "23514" => said.constraint().is_some(),
        // A value that is too long for an index of readhook's own.
        code => code == "54000",
    }
}

fn told(said: &DbError) -> String {
    let code = said.code().code();
    // What does not fit a type is quoted behind a colon.
    let message = if code == "22P02" { said.message().split(':').next() } else { None };
    let mut told = format!("{} (SQLSTATE {code}", message.unwrap_or(said.message()));
    // What concerns content repeats it, and content has no place in a log.
    let quotes = code.starts_with("22") || code.starts_with("23");
    let more = [("detail", said.detail().filter(|_| !quotes)), ("hint", said.hint())];
    for (name, text) in more.into_iter().filter_map(|(name, text)| Some((name, text?))) {
        told.push_str(&format!("; {name}: {text}"));
    }
    let told: String = told.replace(['\n', '\r'], " ").chars().take(LONGEST).collect();
    match advice(said) {
        Some(advice) => format!("{told}): {advice}"),
        None => format!("{told})"),
    }
}

/// What an operator can do about it.
fn advice(said: &DbError) -> Option<&'static str> {
    if concerns_content(said) {
        return None;
    }
    Some(match said.code().code() {
        "22021" | "22P05" => "the database cannot hold this text; readhook needs one with the encoding UTF8",
        "22001" => "a column is too narrow; let it be `text`",
        "22003" => "a column's numbers are too small; let it be `bigint`",
        "23502" => "give that column a default, or allow nulls",
        "23503" => "add the row that the foreign key misses, or drop the foreign key",
        "23514" => "make the partition that is missing, or a default partition",
        "25006" => {
            "this server takes no writes; name the primary, or all with `target_session_attrs=read-write`"
        }
        "28000" | "28P01" => "mend the user or password in `url`, or let pg_hba.conf admit them",
        "3D000" => "create the database, or name another one in `url`",
        "3F000" => "create the schema, or name another one in `table`",
        "42501" => "grant it to the role in `url` (it needs INSERT on the table, USAGE on its schema)",
        "42703" | "42804" | "42P01" => "mend the table, or give readhook another one with `table`",
        "53100" => "make room on the server's disk",
        "53300" => "let the server or the role have more connections",
        "57014" => {
            "the server was too slow; look for who locks the table (pg_stat_activity), or raise `timeout_ms`"
        }
        code if code.starts_with("22") => {
            "a column cannot hold this; compare the table with the one in docs/sinks.md"
        }
        code if code.starts_with("23") => {
            "a constraint of the table is in the way; a rule that refuses receipts for good is a CHECK"
        }
        _ => return None,
    })
}

/// The client's own errors leave out their causes.
pub(super) fn with_causes(error: &Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(this) = cause {
        said.push_str(&format!(": {this}"));
        cause = this.source();
    }
    said
}

fn of_tls(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
}
