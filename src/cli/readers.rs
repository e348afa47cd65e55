//! `readhook readers`: who has read a message. Asks the running service, page by page, and prints as they come.

use std::io::{self, Write};
use std::path::Path;

use form_urlencoded::Serializer;
use hyper::Method;
use serde_json::Value;

use super::ask::{AskError, question};
use super::moment::Moment;
use super::plain::{plain, plain_json};
use super::{Exit, complain, load, say, vendor};
use crate::config::Config;
use crate::receipt::VendorName;
use crate::vendor::Vendors;

/// Readers of one page. Even the longest ids then make an answer of some megabytes at the most.
const PAGE: &str = "1000";

/// Which message, and how to print.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Whose message it is.
    #[arg(long, value_name = "VENDOR", value_parser = vendor)]
    vendor: VendorName,
    /// The vendor's app identity, as receipts have it.
    #[arg(long, value_name = "APP")]
    app: String,
    /// The conversation's id: the group, or in a direct conversation the reader's peer.
    #[arg(long, value_name = "ID")]
    conversation: String,
    #[command(flatten)]
    message: Message,
    /// When it was sent; who has read up to a later time has read it, too. RFC 3339, or how long ago (90m, 2h, 3d).
    #[arg(long, value_name = "TIME")]
    sent_at: Option<Moment>,
    /// Only in conversations of this type.
    #[arg(long = "type", value_name = "TYPE", value_parser = ["direct", "group", "notification", "unknown"])]
    kind: Option<String>,
    /// Only this reader.
    #[arg(long, value_name = "ID")]
    reader: Option<String>,
    /// Lines for people, or one JSON document.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// clap sees to it that it is exactly one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Message {
    /// The message, by its id.
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// The message, by its place in the conversation.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    message_seq: Option<i64>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// It could not be printed to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

pub(super) fn readers(file: Option<&Path>, which: &Which) -> Exit {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Config;
        }
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Exit::Io;
    };
    if let Some(problem) = runtime.block_on(unknown_app(&config, which)) {
        say(&problem);
        return Exit::Usage;
    }
    let error = match runtime.block_on(print(&config, which)) {
        Ok(()) => return Exit::Ok,
        // Whoever reads this, `head` for example, has seen enough.
        Err(Failure::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Ok,
        Err(error) => error,
    };
    complain(&error);
    match error {
        Failure::Ask(AskError::Absent { .. }) => Exit::Unavailable,
        Failure::Ask(AskError::Refused { .. }) | Failure::Print(_) => Exit::Io,
    }
}

/// Why there is nothing to find for an app: it is not configured, and no receipt has ever come of it. An app whose receipts are
/// older than the configuration is one.
async fn unknown_app(config: &Config, which: &Which) -> Option<String> {
    let vendors = Vendors::configure(&config.vendors);
    let routes = vendors.routes().iter().filter(|route| route.vendor.name() == which.vendor);
    let mut apps: Vec<String> = routes.flat_map(|route| route.vendor.apps()).collect();
    apps.sort();
    apps.dedup();
    if apps.contains(&which.app) {
        return None;
    }
    let mut query = Serializer::new(String::new());
    query
        .append_pair("vendor", which.vendor.as_str())
        .append_pair("app", &which.app)
        .append_pair("limit", "1");
    let path = format!("/api/v1/receipts?{}", query.finish());
    // Whatever is wrong with the service is reported by the question itself.
    let page = question(config, Method::GET, &path, String::new()).await.ok()?;
    let none = page["receipts"].as_array().is_some_and(Vec::is_empty);
    let known = if apps.is_empty() {
        "none is configured".to_owned()
    } else {
        format!("there are: {}", apps.join(", "))
    };
    none.then(|| format!("{} has no app `{}`; {known}", which.vendor, plain(&which.app)))
}

async fn print(config: &Config, which: &Which) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let mut cursor = None;
    let mut printed = 0_usize;
    loop {
        let path = format!("/api/v1/readers?{}", query(which, cursor.as_deref()));
        let page = question(config, Method::GET, &path, String::new()).await?;
        for reader in page["readers"].as_array().into_iter().flatten() {
            match which.format {
                Format::Text => line(&mut out, reader)?,
                Format::Json => {
                    let before = if printed == 0 { "{\"readers\":[" } else { "," };
                    write!(out, "{before}{}", plain_json(&reader.to_string()))?;
                }
            }
            printed += 1;
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_some() {
            continue;
        }
        match which.format {
            Format::Text => summary(&mut out, &page)?,
            Format::Json => {
                let begin = if printed == 0 { "{\"readers\":[" } else { "" };
                writeln!(out, "{begin}],\"counts\":{},\"behind\":{}}}", page["counts"], page["behind"])?;
            }
        }
        return Ok(out.flush()?);
    }
}

fn query(which: &Which, cursor: Option<&str>) -> String {
    let Which { vendor, app, conversation, message, sent_at, kind, reader, format: _ } = which;
    let seq = message.message_seq.map(|seq| seq.to_string());
    let sent_at = sent_at.map(|Moment(moment)| moment.to_string());
    let mut query = Serializer::new(String::new());
    query.append_pair("vendor", vendor.as_str()).append_pair("app", app);
    query.append_pair("conversation", conversation).append_pair("limit", PAGE);
    for (name, value) in [
        ("message_id", message.message_id.as_deref()),
        ("message_seq", seq.as_deref()),
        ("sent_at", sent_at.as_deref()),
        ("type", kind.as_deref()),
        ("reader", reader.as_deref()),
        ("cursor", cursor),
    ] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

/// What is of one width comes first.
fn line(out: &mut impl Write, reader: &Value) -> io::Result<()> {
    let (at, via) = (reader["read_at"].as_str().unwrap_or("-"), reader["via"].as_str().unwrap_or("-"));
    write!(out, "{at:<24}  {via:<12}  ")?;
    writeln!(out, "{}", plain(reader["reader"].as_str().unwrap_or_default()))
}

fn summary(out: &mut impl Write, page: &Value) -> io::Result<()> {
    let counts = &page["counts"];
    write!(out, "{} read", counts["read"])?;
    if let Some(unread) = counts["unread"].as_i64() {
        write!(out, ", {unread} unread")?;
    }
    let via = &counts["via"];
    writeln!(
        out,
        " (via message {}, up_to {}, conversation {})",
        via["message"], via["up_to"], via["conversation"]
    )?;
    match page["behind"].as_i64() {
        Some(behind) if behind > 0 => writeln!(out, "{behind} newer receipts are not in this yet"),
        Some(_) | None => Ok(()),
    }
}
