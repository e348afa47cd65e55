//! Easemob (环信), also Agora Chat and EasyIM: post-send callbacks, signed with MD5 inside the body.
//!
//! The signature covers `callId` and `timestamp` and nothing else, so it proves who speaks, not what is said. A
//! status other than 200 counts towards the vendor's ban of the app (90 in 30 s), so everything that could be
//! understood is answered 200. Pre-send rules pointed here hear `{"valid":true}` and let their message pass.
//! <https://doc.easemob.com/document/server-side/callback_postsending.html>

mod explain;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use smallvec::smallvec;

use super::callback::{Body, Callback, Claim, Neighbour, Opened};
use super::explain::Report;
use super::json::{Json, Keep, Object};
use super::outcome::{Answer, DecodeError, Fault, Outcome, Problem, Refusal};
use super::reading::{Identity, Mark, Reading, Readings};
use super::request::Incoming;
use super::verified::{Identified, SecretPlace, Verified};
use super::{Vendor, field, sign};
use crate::config::{EasemobConfig, Secret};
use crate::receipt::{Conversation, Extra, Key, Proof, Timestamp, VendorName};

/// What is read of a body, in any event. `payload.ext` and `payload.bodies` are the users', and may hold anything.
const PARTS: Keep = Keep::Fields(&[
    ("callId", Keep::All),
    ("security", Keep::All),
    ("timestamp", Keep::All),
    ("appkey", Keep::All),
    ("chat_type", Keep::All),
    ("eventType", Keep::All),
    ("from", Keep::All),
    ("to", Keep::All),
    ("group_id", Keep::All),
    ("msg_id", Keep::All),
    ("webhookEnv", Keep::All),
    (
        "payload",
        Keep::Fields(&[
            ("ack_message_id", Keep::All),
            ("msg_config", Keep::Fields(&[("allow_group_ack", Keep::All)])),
        ]),
    ),
]);

/// Easemob's room.
pub(super) struct Easemob {
    apps: Vec<App>,
}

struct App {
    appkey: String,
    secrets: Vec<Secret>,
}

impl Easemob {
    pub(super) fn configure(config: &EasemobConfig) -> Option<Arc<dyn Vendor>> {
        let apps: Vec<App> = (config.apps.values())
            .map(|app| App { appkey: app.appkey.clone(), secrets: app.secrets.clone() })
            .collect();
        (!apps.is_empty()).then(|| Arc::new(Self { apps }) as Arc<dyn Vendor>)
    }

    fn app(&self, appkey: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.appkey == appkey)
    }
}

impl Vendor for Easemob {
    fn name(&self) -> VendorName {
        VendorName::Easemob
    }

    fn open<'r>(&self, request: &'r Incoming) -> Result<Opened<'r>, Fault> {
        let body = request.json_parts(&PARTS)?;
        // Only the top-level `chat_type` counts: `payload.ext` and message texts are the users' and can imitate it.
        let command = body.find("chat_type").and_then(Json::to_text).unwrap_or_default();
        let is_read = matches!(&*command, "read_ack" | "channel_ack");
        let callback = Callback { request, command, body: Body::Object(body) };
        Ok(if is_read {
            Opened::Read(callback)
        } else {
            Opened::Neighbour(Neighbour { callback, allow: self.answer(request, &Outcome::Ignored) })
        })
    }

    fn verify<'r>(&'r self, callback: &Callback<'r>) -> Result<Identified<'r>, Refusal> {
        let body = callback.body.object().ok_or(Refusal::SignatureMissing)?;
        let signed = |field| body.find(field).and_then(Json::as_text).filter(|text| !text.is_empty());
        let call_id = signed("callId").ok_or(Refusal::SignatureMissing)?;
        let security = signed("security").ok_or(Refusal::SignatureMissing)?;
        let mut digits = itoa::Buffer::new();
        let timestamp = timestamp_text(callback, body, &mut digits).ok_or(Refusal::SignatureMissing)?;
        let appkey = match body.find("appkey") {
            Some(Json::Text(appkey)) if !appkey.is_empty() => &**appkey,
            // App names hold no `_`, user and message ids may: the app is what stands before the last one.
            None | Some(Json::Text(_)) => call_id.rsplit_once('_').ok_or(Refusal::UnknownApp)?.0,
            Some(_) => return Err(Refusal::UnknownApp),
        };
        let app = self.app(appkey).ok_or(Refusal::UnknownApp)?;
        let index = sign::md5(&app.secrets, security, call_id, timestamp).ok_or(Refusal::BadSignature)?;
        let with = Some(SecretPlace { list: "secrets", index });
        Ok(Identified { app: &app.appkey, by: Proof::Md5, with })
    }

    fn decode<'c>(&self, verified: &'c Verified<'_>) -> Result<Readings<'c>, DecodeError> {
        let callback = verified.callback();
        let body = callback.body.object().ok_or(Problem::WrongType.of("body"))?;
        let call_id = body.text("callId")?;
        let reader = body.text("from")?;
        let to = body.text("to")?;
        let time = body.event_time("timestamp")?;
        let read_at = time.map(|time| time.at);
        let (conversation, author, mark) = match &*callback.command {
            "channel_ack" => {
                let mark = conversation_mark(body, read_at)?;
                match body.optional_id("group_id")? {
                    // `to` is the group then, or whoever is told; nobody's messages are meant in particular.
                    Some(group) => (Conversation::group(group), None, mark),
                    None => (Conversation::direct(to), Some(to), mark),
                }
            }
            _ => {
                let payload = body.object("payload")?;
                let mark = Mark::Message(payload.id("ack_message_id")?);
                match group(body, payload, to)? {
                    // The author is not in a group receipt: `to` is the group.
                    Some(group) => (group, None, mark),
                    None => (Conversation::direct(to), Some(to), mark),
                }
            }
        };
        let mut extra = Extra::new();
        extra.text("event_type", body.fact("eventType"));
        extra.text("ack_id", body.optional_id("msg_id").ok().flatten());
        extra.text("webhook_env", body.fact("webhookEnv"));
        field::time_unit(&mut extra, &[time]);
        Ok(smallvec![Reading {
            conversation,
            reader: reader.into(),
            mark,
            author: author.map(Into::into),
            counts: None,
            read_at,
            event: (&*callback.command).into(),
            event_id: Some(call_id.into()),
            extra,
            identity: Identity::Event(
                Key::new("easemob").part(verified.app().as_bytes()).part(call_id.as_bytes()).id(),
            ),
        }])
    }

    fn claim(&self, request: &Incoming) -> Claim {
        let Ok(body) = request.json_object() else { return Claim::Nothing };
        let text = |field| body.find(field).and_then(Json::as_text).filter(|text| !text.is_empty());
        let named = text("appkey").or_else(|| Some(text("callId")?.rsplit_once('_')?.0));
        let has_shape =
            text("callId").is_some() && (text("security").is_some() || text("chat_type").is_some());
        Claim::of(named.is_some_and(|appkey| self.app(appkey).is_some()), has_shape)
    }

    fn signed_id<'c>(&self, callback: &'c Callback<'_>) -> Option<&'c str> {
        callback.body.object()?.find("callId").and_then(Json::as_text)
    }

    fn answer(&self, _request: &Incoming, outcome: &Outcome) -> Answer {
        match outcome {
            Outcome::Accepted
            | Outcome::Duplicate
            | Outcome::Conflict
            | Outcome::Differing
            | Outcome::Ignored
            | Outcome::Malformed(_) => Answer::json(200, r#"{"valid":true}"#),
            Outcome::Unreadable(unreadable) => error(unreadable.status(), outcome),
            Outcome::Rejected(refusal) => error(refusal.status(401), outcome),
            Outcome::Unavailable => error(503, outcome),
        }
    }

    fn examine<'s>(&'s self, request: &Incoming, report: &mut Report<'s>) {
        explain::examine(self, request, report);
    }

    fn secrets(&self) -> Vec<&Secret> {
        self.apps.iter().flat_map(|app| &app.secrets).collect()
    }

    fn patience(&self) -> Duration {
        // The vendor names no time-out for receipts; its older texts say 10 s.
        Duration::from_secs(5)
    }

    fn apps(&self) -> Vec<String> {
        self.apps.iter().map(|app| app.appkey.clone()).collect()
    }
}

fn error(status: u16, outcome: &Outcome) -> Answer {
    Answer::json(status, format!(r#"{{"error":"{}"}}"#, outcome.reason()))
}

/// The timestamp as it is signed: the characters of the number or the content of the string.
fn timestamp_text<'b>(
    callback: &Callback<'b>,
    body: &'b Object<'_>,
    digits: &'b mut itoa::Buffer,
) -> Option<&'b str> {
    match body.find("timestamp")? {
        Json::Text(text) if !text.is_empty() => Some(text),
        Json::Integer(value) => match (value.as_i64(), value.as_u64()) {
            (Some(value), _) => Some(digits.format(value)),
            (None, Some(value)) => Some(digits.format(value)),
            (None, None) => None,
        },
        // Beyond 64 bits, or with a fraction: the signature still covers the digits as they were sent.
        Json::Number(_) => {
            #[derive(Deserialize)]
            struct Signed<'a> {
                #[serde(borrow)]
                timestamp: &'a RawValue,
            }
            let signed: Signed<'_> = serde_json::from_slice(&callback.request.body).ok()?;
            Some(signed.timestamp.get())
        }
        Json::Text(_) | Json::Null | Json::Bool(_) | Json::List(_) | Json::Object(_) | Json::Odd => None,
    }
}

/// Which group, by the two marks that are safe. Not the `@conference` suffix (both kinds have it) and not an id that
/// looks like a number (user ids may).
fn group<'c>(
    body: &'c Object<'_>,
    payload: &'c Object<'_>,
    to: &'c str,
) -> Result<Option<Conversation<'c>>, DecodeError> {
    if let Some(id) = body.optional_id("group_id")? {
        return Ok(Some(Conversation::group(id)));
    }
    let config = payload.find("msg_config").and_then(Json::as_object);
    let asked = config.and_then(|config| config.find("allow_group_ack"));
    Ok((asked == Some(&Json::Bool(true))).then(|| Conversation::group(to)))
}

/// A conversation is read up to the moment of the event. Where that moment has no date, the message that the vendor
/// named still holds the place.
fn conversation_mark<'c>(body: &'c Object<'_>, at: Option<Timestamp>) -> Result<Mark<'c>, DecodeError> {
    let named = match body.find("payload") {
        None => None,
        Some(payload) => {
            payload.as_object().ok_or(Problem::WrongType.of("payload"))?.optional_id("ack_message_id")?
        }
    };
    match (at, named) {
        (Some(at), named) => Ok(Mark::UpToTime(at, named)),
        (None, Some(named)) => Ok(Mark::UpToMessage(named)),
        (None, None) => Err(Problem::OutOfRange.of("timestamp")),
    }
}
