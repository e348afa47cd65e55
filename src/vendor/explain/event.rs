//! What `open` found in a callback, said in steps: alike for all vendors.

use serde::de::IgnoredAny;

use super::super::callback::{Callback, Neighbour, Opened};
use super::super::outcome::{Fault, Unreadable};
use super::super::request::Incoming;
use super::found::{self, Diagnosis};
use super::{Report, said};

/// What `open` found.
pub(in crate::vendor) enum Event<'r> {
    /// A read event, which has to prove itself.
    Read(Callback<'r>),
    /// Anything else that can be told.
    Neighbour(Callback<'r>),
    /// It went no further.
    Nothing,
}

/// Says whether the body can be read, and what it tells of.
pub(in crate::vendor) fn opened<'r>(
    report: &mut Report<'_>,
    request: &Incoming,
    opened: Result<Opened<'r>, Fault>,
) -> Event<'r> {
    let bytes = request.body.len().to_string();
    match opened {
        Ok(Opened::Read(callback)) => {
            report.say(said::BODY_READABLE, &[("bytes", &*bytes)]);
            report.say(said::READ_EVENT, &[("event", &*callback.command)]);
            Event::Read(callback)
        }
        Ok(Opened::Neighbour(Neighbour { callback, .. })) => {
            report.say(said::BODY_READABLE, &[("bytes", &*bytes)]);
            report.say(said::NEIGHBOUR, &[("event", &*callback.command)]);
            report.find(found::NO_READ_EVENT, &[("event", &*callback.command)]);
            Event::Neighbour(callback)
        }
        Err(Fault::Unreadable(why)) => {
            unreadable(report, request, why);
            Event::Nothing
        }
        // The room has said why.
        Err(Fault::Refused(_)) => {
            report.say(said::BODY_SKIPPED, &[]);
            Event::Nothing
        }
    }
}

/// Finds a name that would be a read event but for upper and lower case.
pub(in crate::vendor) fn almost(report: &mut Report<'_>, command: &str, reads: &[&'static str]) {
    let wanted = reads.iter().find(|read| read.eq_ignore_ascii_case(command) && **read != command);
    if let Some(wanted) = wanted {
        report.find(found::COMMAND_SPELLING, &[("came", command), ("wanted", wanted)]);
    }
}

/// Says why nothing could be told from a request.
pub(in crate::vendor) fn unreadable(report: &mut Report<'_>, request: &Incoming, why: Unreadable) {
    let bytes = request.body.len().to_string();
    let facts = [("reason", why.as_str()), ("bytes", &*bytes)];
    let say = |report: &mut Report<'_>, diagnosis: Diagnosis, detail: &[(&'static str, &str)]| {
        report.say(said::BODY_UNREADABLE, &facts);
        report.find(diagnosis, detail);
    };
    let is_empty = request.body.trim_ascii().is_empty();
    match why {
        Unreadable::NotUtf8 => {
            let whole = std::str::from_utf8(&request.body).map_or_else(|e| e.valid_up_to(), str::len);
            say(report, found::NOT_UTF8, &[("bytes_before", &*whole.to_string())]);
        }
        Unreadable::ContentEncoding => say(report, found::BODY_COMPRESSED, &[]),
        Unreadable::NotJson | Unreadable::NotForm if is_empty => say(report, found::BODY_EMPTY, &[]),
        Unreadable::NotJson => {
            let (line, column) = broken_at(&request.body);
            say(report, found::NOT_JSON, &[("line", &*line), ("column", &*column), ("bytes", &*bytes)]);
        }
        Unreadable::NotForm => say(report, found::NOT_FORM, &[]),
        Unreadable::WrongRoot => say(report, found::WRONG_ROOT, &[]),
        Unreadable::DuplicateKey => say(report, found::DUPLICATE_KEY, &[]),
        Unreadable::BodyTooLarge => {
            report.say(said::BODY_TOO_LARGE, &facts);
            report.find(found::BODY_TOO_LARGE, &[("bytes", &*bytes)]);
        }
        Unreadable::CommandMissing => report.say(said::COMMAND_MISSING, &[]),
        Unreadable::CommandRepeated => {
            report.say(said::COMMAND_REPEATED, &[]);
            report.find(found::COMMAND_REPEATED, &[]);
        }
        Unreadable::CommandContradicting => {
            report.say(said::COMMAND_CONTRADICTING, &[]);
            report.find(found::COMMAND_CONTRADICTING, &[]);
        }
        Unreadable::AppRepeated => {
            report.say(said::APP_REPEATED, &[]);
            report.find(found::APP_REPEATED, &[]);
        }
        // No capture can show these.
        Unreadable::BodyTimeout
        | Unreadable::BodyBroken
        | Unreadable::WrongMethod
        | Unreadable::UnknownPath => {
            report.say(said::BODY_UNREADABLE, &facts);
        }
    }
}

/// Line and column of what is no JSON.
fn broken_at(body: &[u8]) -> (String, String) {
    let error = serde_json::from_slice::<IgnoredAny>(body).err();
    let at = error.map_or((0, 0), |error| (error.line(), error.column()));
    (at.0.to_string(), at.1.to_string())
}
