//! OpenIM (openimsdk/open-im-server): one URL for all its webhooks, and none of them signed but by its Enterprise edition.
//!
//! What an unmodified server can carry is a token in the path, Basic credentials in the URL's user part, and its own
//! address; each kind that an app configures must hold. The server never looks at our status, only at the body, and
//! a body it cannot parse blocks the user's operation: so the allow body goes out with every status.
//! <https://docs.openim.io/restapi/webhooks/introduction>

mod allow;
mod door;
mod explain;
mod reads;
mod signature;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::Vendor;
use super::callback::{Body, Callback, Claim, Neighbour, Opened};
use super::explain::Report;
use super::json::{Json, Object};
use super::outcome::{Answer, DecodeError, Fault, Outcome, Problem, Refusal};
use super::reading::Readings;
use super::request::Incoming;
use super::verified::{Identified, Verified};
use crate::config::{OpenImConfig, Secret};
use crate::receipt::VendorName;
pub(super) use allow::allow;
use door::Door;
pub(super) use explain::masked;
use reads::Settings;

/// OpenIM's room.
pub(super) struct OpenIm {
    /// Apps with a credential come first, then those known by address, then the open one.
    doors: Vec<Door>,
}

impl OpenIm {
    pub(super) fn configure(config: &OpenImConfig) -> Option<Arc<dyn Vendor>> {
        let mut doors: Vec<Door> = config.apps.iter().map(|(name, app)| Door::new(name, app)).collect();
        doors.sort_by_key(Door::rank);
        (!doors.is_empty()).then(|| Arc::new(Self { doors }) as Arc<dyn Vendor>)
    }

    /// How the reads of an app are read.
    fn settings(&self, app: &str) -> Settings {
        self.doors.iter().find(|door| door.app() == app).map(|door| door.reads).unwrap_or_default()
    }

    /// The app whose every proof the request carries. If there is none, the reason is that of what it did offer.
    fn admit(&self, request: &Incoming) -> Result<Identified<'_>, Refusal> {
        let signed = self.doors.iter().filter_map(|door| door.signature.as_ref());
        let offered = if request.headers.contains_key(http::header::AUTHORIZATION) {
            Refusal::BadCredentials
        } else if signed.into_iter().any(|signature| signature.is_offered(request)) {
            Refusal::BadSignature
        } else {
            Refusal::BadToken
        };
        let mut missed = Refusal::UnknownApp;
        for door in &self.doors {
            match door.admit(request) {
                Ok((by, with)) => return Ok(Identified { app: door.app(), by, with }),
                Err(refusal) if refusal == offered || missed == Refusal::UnknownApp => missed = refusal,
                Err(_) => {}
            }
        }
        Err(missed)
    }
}

impl Vendor for OpenIm {
    fn name(&self) -> VendorName {
        VendorName::OpenIm
    }

    fn open<'r>(&self, request: &'r Incoming) -> Result<Opened<'r>, Fault> {
        let app = self.admit(request)?.app;
        let body = request.json_parts(&reads::PARTS)?;
        let command = command(request, &body).unwrap_or_default();
        let is_read = reads::is_read(&command, &body, self.settings(app));
        let callback = Callback { request, command: command.into(), body: Body::Object(body) };
        Ok(if is_read {
            Opened::Read(callback)
        } else {
            Opened::Neighbour(Neighbour { callback, allow: self.answer(request, &Outcome::Ignored) })
        })
    }

    fn verify<'r>(&'r self, callback: &Callback<'r>) -> Result<Identified<'r>, Refusal> {
        self.admit(callback.request)
    }

    fn decode<'c>(&self, verified: &'c Verified<'_>) -> Result<Readings<'c>, DecodeError> {
        let body = verified.callback().body.object().ok_or(Problem::WrongType.of("body"))?;
        reads::decode(verified, body, self.settings(verified.app()))
    }

    fn claim(&self, request: &Incoming) -> Claim {
        // Its callbacks name no app. With one of the tokens they are an app's; without, their shape must do.
        let Ok(body) = request.json_object() else { return Claim::Nothing };
        let has_shape = body.find("callbackCommand").and_then(Json::as_text).is_some_and(is_command)
            || command(request, &body).is_some_and(|command| is_command(&command));
        Claim::of(has_shape || self.admit(request).is_ok(), has_shape)
    }

    fn answer(&self, request: &Incoming, outcome: &Outcome) -> Answer {
        let status = match outcome {
            // A read event, and none of those copies anything.
            Outcome::Accepted | Outcome::Duplicate | Outcome::Conflict | Outcome::Differing => {
                return allow::plain(200);
            }
            Outcome::Malformed(_) => return allow::plain(400),
            Outcome::Ignored => 200,
            Outcome::Unreadable(unreadable) => unreadable.status(),
            Outcome::Rejected(refusal) => refusal.status(401),
            Outcome::Unavailable => 503,
        };
        allow(status, request)
    }

    fn examine<'s>(&'s self, request: &Incoming, report: &mut Report<'s>) {
        explain::examine(self, request, report);
    }

    fn secrets(&self) -> Vec<&Secret> {
        self.doors.iter().flat_map(Door::secrets).collect()
    }

    fn patience(&self) -> Duration {
        // Its two workers wait for us, and behind them a queue of 100 fills up: the sample configuration says 5 s.
        Duration::from_secs(2)
    }

    fn apps(&self) -> Vec<String> {
        self.doors.iter().map(|door| door.app().to_owned()).collect()
    }
}

/// The command: the body's, with which path and query must agree where they name one (the older servers put it
/// there), or theirs where the body has none. `None` when they disagree, or nobody names any.
fn command(request: &Incoming, body: &Object<'_>) -> Option<String> {
    let in_body = match body.find("callbackCommand") {
        None => None,
        Some(command) => Some(command.as_text()?.to_owned()),
    };
    let mut named = in_body.into_iter().chain(commands_of_target(request).map(Cow::into_owned));
    let first = named.next()?;
    named.all(|other| reads::same(&first, &other)).then_some(first)
}

/// The commands that path and query name.
fn commands_of_target(request: &Incoming) -> impl Iterator<Item = Cow<'_, str>> {
    let last = request.tail().rsplit('/').find(|segment| !segment.is_empty());
    let in_path = last.filter(|segment| is_command(segment)).map(Cow::Borrowed);
    let in_query = ["command", "callbackCommand"].into_iter().flat_map(|name| request.parameters(name));
    in_path.into_iter().chain(in_query.filter(|command| !command.is_empty()))
}

/// `callbackAfter…`, `callbackSingle…`: in front of it, or in place of it, there may be path of the operator's own.
fn is_command(segment: &str) -> bool {
    segment.strip_prefix("callback").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}
