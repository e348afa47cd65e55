//! Tencent Cloud Chat: one URL per app for every callback, told apart by `CallbackCommand`.
//!
//! Some of those callbacks are asked *before* a message is sent, and our answer decides: whatever is not a read
//! event hears OK. `Sign` is SHA-256 of token and time and covers neither body nor query, so it proves who speaks at
//! that second and no more. The vendor repeats a callback after a time-out only, never after an error, so an answer
//! that should be repeated is withheld until its two seconds are over.
//! <https://www.tencentcloud.com/document/product/1047/34354>

mod explain;
mod reads;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::callback::{Body, Callback, Claim, Neighbour, Opened};
use super::explain::Report;
use super::json::{Json, Object};
use super::outcome::{Answer, DecodeError, Fault, Outcome, Problem, Refusal, Unreadable};
use super::reading::Readings;
use super::request::{Incoming, Parameter};
use super::verified::{Identified, SecretPlace, Verified};
use super::{Vendor, sign};
use crate::config::{Secret, TencentConfig};
use crate::receipt::{Proof, VendorName};

/// How far `RequestTime` may be from our clock, in seconds.
/// <https://cloud.tencent.com/document/product/269/32431>
const SIGN_WINDOW_SECONDS: u64 = 60;

/// The vendor gives up after two seconds; only then does it try again.
const VENDOR_TIMEOUT: Duration = Duration::from_millis(2_100);

/// Tencent's room.
pub(super) struct Tencent {
    apps: Vec<App>,
}

struct App {
    sdk_app_id: String,
    tokens: Vec<Secret>,
}

impl Tencent {
    pub(super) fn configure(config: &TencentConfig) -> Option<Arc<dyn Vendor>> {
        let apps: Vec<App> = (config.apps.values())
            .map(|app| App { sdk_app_id: app.sdk_app_id.clone(), tokens: app.secrets.clone() })
            .collect();
        (!apps.is_empty()).then(|| Arc::new(Self { apps }) as Arc<dyn Vendor>)
    }

    /// The app that the query names. Compared as text: the id is a name, not a number.
    fn app(&self, request: &Incoming) -> Result<&App, Fault> {
        match sdk_app_id(request) {
            Parameter::Repeated => Err(Unreadable::AppRepeated.into()),
            Parameter::Absent => Err(Refusal::UnknownApp.into()),
            Parameter::Once(id) => {
                let app = self.apps.iter().find(|app| app.sdk_app_id == id);
                app.ok_or(Refusal::UnknownApp.into())
            }
        }
    }
}

impl Vendor for Tencent {
    fn name(&self) -> VendorName {
        VendorName::Tencent
    }

    fn open<'r>(&self, request: &'r Incoming) -> Result<Opened<'r>, Fault> {
        self.app(request)?;
        let command = match request.parameter("CallbackCommand") {
            Parameter::Once(command) if !command.is_empty() => command,
            Parameter::Once(_) | Parameter::Absent => return Err(Unreadable::CommandMissing.into()),
            Parameter::Repeated => return Err(Unreadable::CommandRepeated.into()),
        };
        let body = request.json_parts(&reads::PARTS)?;
        // Push callbacks have no command in the body; where there is one it must be the same.
        if body.iter().any(|(key, value)| key == "CallbackCommand" && value.as_text() != Some(&command)) {
            return Err(Unreadable::CommandContradicting.into());
        }
        if reads::is_read(&command) {
            return Ok(Opened::Read(Callback { request, command, body: Body::Object(body) }));
        }
        let allow = allow(&command, &body);
        let callback = Callback { request, command, body: Body::Object(body) };
        Ok(Opened::Neighbour(Neighbour { callback, allow }))
    }

    fn verify<'r>(&'r self, callback: &Callback<'r>) -> Result<Identified<'r>, Refusal> {
        let app = self.app(callback.request).map_err(|_| Refusal::UnknownApp)?;
        if app.tokens.is_empty() {
            return Ok(Identified { app: &app.sdk_app_id, by: Proof::AppId, with: None });
        }
        let signed = |name| match callback.request.parameter(name) {
            Parameter::Once(text) if !text.is_empty() => Ok(text),
            Parameter::Once(_) | Parameter::Absent => Err(Refusal::SignatureMissing),
            Parameter::Repeated => Err(Refusal::SignatureRepeated),
        };
        let (signature, time) = (signed("Sign")?, signed("RequestTime")?);
        let seconds = request_time(&time)?;
        if callback.request.received_at.as_seconds().cast_unsigned().abs_diff(seconds) > SIGN_WINDOW_SECONDS {
            return Err(Refusal::Stale);
        }
        let index = sign::sha256(&app.tokens, &signature, &time).ok_or(Refusal::BadSignature)?;
        let with = Some(SecretPlace { list: "secrets", index });
        Ok(Identified { app: &app.sdk_app_id, by: Proof::Sha256, with })
    }

    fn decode<'c>(&self, verified: &'c Verified<'_>) -> Result<Readings<'c>, DecodeError> {
        let body = verified.callback().body.object().ok_or(Problem::WrongType.of("body"))?;
        reads::decode(verified, body)
    }

    fn claim(&self, request: &Incoming) -> Claim {
        // The query is junk as easily as the body is: an app is named only with a body that can be read.
        let names_app = request.json_object().is_ok() && self.app(request).is_ok();
        let has_command =
            matches!(request.parameter("CallbackCommand"), Parameter::Once(command) if !command.is_empty());
        Claim::of(names_app, has_command)
    }

    fn answer(&self, _request: &Incoming, outcome: &Outcome) -> Answer {
        match outcome {
            Outcome::Accepted
            | Outcome::Duplicate
            | Outcome::Conflict
            | Outcome::Differing
            | Outcome::Ignored => Answer::json(200, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#),
            Outcome::Malformed(_) => fail(400, outcome),
            Outcome::Unreadable(unreadable) => fail(unreadable.status(), outcome),
            Outcome::Rejected(Refusal::UnknownApp) => fail(403, outcome),
            Outcome::Rejected(Refusal::Throttled) => fail(429, outcome),
            Outcome::Rejected(
                Refusal::SignatureMissing
                | Refusal::SignatureRepeated
                | Refusal::BadSignature
                | Refusal::BadTime
                | Refusal::Stale
                | Refusal::BadToken
                | Refusal::BadCredentials
                | Refusal::BadAddress,
            ) => fail(401, outcome),
            Outcome::Unavailable => Answer { not_before: Some(VENDOR_TIMEOUT), ..fail(503, outcome) },
        }
    }

    fn examine<'s>(&'s self, request: &Incoming, report: &mut Report<'s>) {
        explain::examine(self, request, report);
    }

    fn secrets(&self) -> Vec<&Secret> {
        self.apps.iter().flat_map(|app| &app.tokens).collect()
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(1_700)
    }

    fn apps(&self) -> Vec<String> {
        self.apps.iter().map(|app| app.sdk_app_id.clone()).collect()
    }
}

/// The app's identity in the query. One page of the vendor spells it `SDKAppID`; both at once are a repetition.
/// <https://cloud.tencent.com/document/product/269/128225>
fn sdk_app_id(request: &Incoming) -> Parameter<'_> {
    match (request.parameter("SdkAppid"), request.parameter("SDKAppID")) {
        (Parameter::Absent, other) | (other, Parameter::Absent) => other,
        (Parameter::Once(_) | Parameter::Repeated, Parameter::Once(_) | Parameter::Repeated) => {
            Parameter::Repeated
        }
    }
}

/// The `ErrorCode` is the status: any of 1, 2 and the documented custom ranges could block or drop a message.
fn fail(status: u16, outcome: &Outcome) -> Answer {
    let reason = outcome.reason();
    Answer::json(status, format!(r#"{{"ActionStatus":"FAIL","ErrorInfo":"{reason}","ErrorCode":{status}}}"#))
}

/// ASCII digits without a leading zero, in seconds.
fn request_time(text: &str) -> Result<u64, Refusal> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if !plain {
        return Err(Refusal::BadTime);
    }
    text.parse().map_err(|_| Refusal::BadTime)
}

/// The answer that lets a neighbour's own business go on. The questions before a friendship want a verdict for each
/// item that they ask about: <https://www.tencentcloud.com/document/product/1047/34364>
fn allow(command: &str, body: &Object<'_>) -> Answer {
    if !command.starts_with("Sns.CallbackPrev") {
        return ok(None);
    }
    let asked = body.find("FriendItem").or_else(|| body.find("ResponseFriendItem"));
    let Some(Json::List(items)) = asked else {
        return ok(Some(Vec::new()));
    };
    let zeros = items.iter().map(|item| {
        let account = item.as_object().and_then(|item| item.find("To_Account")).and_then(Json::as_text);
        ResultItem { to_account: account.unwrap_or_default(), result_code: 0, result_info: "" }
    });
    ok(Some(zeros.collect()))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Allow<'a> {
    action_status: &'static str,
    error_info: &'static str,
    error_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_item: Option<Vec<ResultItem<'a>>>,
}

#[derive(Serialize)]
struct ResultItem<'a> {
    #[serde(rename = "To_Account")]
    to_account: &'a str,
    #[serde(rename = "ResultCode")]
    result_code: u16,
    #[serde(rename = "ResultInfo")]
    result_info: &'static str,
}

fn ok(result_item: Option<Vec<ResultItem<'_>>>) -> Answer {
    let allow = Allow { action_status: "OK", error_info: "", error_code: 0, result_item };
    // Strings and numbers always serialise; were it not so, the plain OK would be the right thing to say.
    let body = serde_json::to_string(&allow);
    Answer::json(
        200,
        body.unwrap_or_else(|_| r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#.to_owned()),
    )
}
