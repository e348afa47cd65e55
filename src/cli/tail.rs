//! `readhook tail`: follows a running service. When the connection breaks it comes again, and goes on where it was: no
//! receipt is left out, and no one shown twice. It ends with a signal, or when nobody reads what it writes any more.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use tokio::time::sleep;

use super::ask::{AskError, reachable};
use super::events::{Event, Events, Refused};
use super::plain::{plain, plain_json};
use super::{Exit, complain, load, say, vendor};
use crate::config::Config;
use crate::receipt::{ReadReceipt, Scope, VendorName};

/// How long to leave a service alone that does not answer.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// What to show, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Only those of this vendor.
    #[arg(long, value_name = "VENDOR", value_parser = vendor)]
    vendor: Option<VendorName>,
    /// Only those of this app, by the vendor's name for it.
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Callbacks and what came of them, in place of receipts.
    #[arg(long)]
    callbacks: bool,
    /// One line for people, or one line of JSON.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn tail(file: Option<&Path>, which: &Which) -> Exit {
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
    runtime.block_on(follow(&config, which))
}

/// Follows until it cannot go on; says why, if there is something to say.
async fn follow(config: &Config, which: &Which) -> Exit {
    let address = reachable(config.admin.listen).to_string();
    let path = path(which);
    let mut seen: Option<String> = None;
    let mut told = false;
    loop {
        match Events::open(&address, &path, config.admin.token.as_ref(), seen.as_deref()).await {
            Ok(mut events) => {
                told = false;
                while let Some(event) = events.next().await {
                    if !event.id.is_empty() {
                        seen = Some(event.id.clone());
                    }
                    if let Err(error) = show(&event, which.format) {
                        // Nobody reads on: that is how one ends it.
                        if error.kind() == ErrorKind::BrokenPipe {
                            return Exit::Ok;
                        }
                        complain(&error);
                        return Exit::Io;
                    }
                }
            }
            // Only who has been there once is waited for.
            Err(Refused::Absent(_) | Refused::Told(StatusCode::SERVICE_UNAVAILABLE, _)) if seen.is_some() => {
            }
            Err(error @ Refused::Absent(_)) => {
                let Refused::Absent(why) = error else { return Exit::Io };
                complain(&AskError::Absent { address, why });
                return Exit::Io;
            }
            Err(error @ Refused::Told(..)) => {
                complain(&error);
                return Exit::Io;
            }
        }
        if !std::mem::replace(&mut told, true) {
            say("the connection is lost; trying again, and going on where it was");
        }
        sleep(COME_AGAIN).await;
    }
}

fn path(which: &Which) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("events", if which.callbacks { "callback" } else { "receipt" });
    if let Some(vendor) = which.vendor {
        query.append_pair("vendor", vendor.as_str());
    }
    if let Some(app) = &which.app {
        query.append_pair("app", app);
    }
    format!("/api/v1/stream?{}", query.finish())
}

fn show(event: &Event, format: Format) -> std::io::Result<()> {
    let line = match (event.name.as_str(), format) {
        ("receipt" | "callback", Format::Json) => plain_json(&event.data),
        ("receipt", Format::Text) => receipt(&event.data),
        ("callback", Format::Text) => callback(&event.data),
        ("skipped", _) => {
            say(&skipped(&event.data));
            return Ok(());
        }
        // Where the stream is; or an event of a newer service, which an older client may leave out.
        _ => return Ok(()),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn receipt(json: &str) -> String {
    let Ok(receipt) = serde_json::from_str::<ReadReceipt<'_>>(json) else {
        return plain(json);
    };
    let message = match (&receipt.message_id, receipt.message_seq) {
        (Some(id), _) => id.to_string(),
        (None, Some(seq)) => format!("#{seq}"),
        (None, None) => String::new(),
    };
    let read = match (receipt.scope, receipt.up_to_time) {
        (Scope::Message, _) => format!("message {message}"),
        (Scope::UpTo, Some(time)) => format!("up to {time} {message}").trim_end().to_owned(),
        (Scope::UpTo, None) => format!("up to {message}"),
        (Scope::Conversation, _) => "the conversation".to_owned(),
    };
    let conversation = receipt.conversation.id.as_deref().unwrap_or("?");
    plain(&format!(
        "{} {} {} {} read {read} in {} {conversation}",
        receipt.received_at,
        receipt.vendor,
        receipt.app,
        receipt.reader,
        receipt.conversation.kind.as_str(),
    ))
}

fn callback(json: &str) -> String {
    let callback: Value = serde_json::from_str(json).unwrap_or_default();
    let text = |name: &str| callback[name].as_str().filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
    let millis = callback["latency_us"].as_f64().unwrap_or_default() / 1e3;
    plain(&format!(
        "{} {} {} {} {} {} {} {millis:.1} ms",
        text("at"),
        text("vendor"),
        text("app"),
        text("command"),
        text("outcome"),
        text("reason"),
        callback["status"],
    ))
}

fn skipped(json: &str) -> String {
    let skipped: Value = serde_json::from_str(json).unwrap_or_default();
    match (skipped["receipts"].as_i64(), skipped["callbacks"].as_i64()) {
        (Some(receipts), _) => format!("{receipts} receipts are missing here: retention has taken them"),
        (None, Some(callbacks)) => {
            format!("{callbacks} callbacks are missing here: the log no longer has them")
        }
        (None, None) => "callbacks may be missing here: the service was started anew".to_owned(),
    }
}
