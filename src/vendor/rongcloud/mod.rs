//! RongCloud (融云), overseas Nexconn: message routing, its JSON webhooks, and SDK callbacks relayed by an app.
//!
//! The signature is SHA-1 over secret, nonce and time, in the URL or in header fields, never over the body; so one
//! signed URL verifies with any body. Whether receipts are routed at all depends on the app key: ask the vendor.
//! <https://docs.rongcloud.cn/im/server/signature/>

mod explain;
mod relay;
mod routing;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use super::Vendor;
use super::callback::{Body, Callback, Claim, Neighbour, Opened};
use super::explain::Report;
use super::json::Json;
use super::outcome::{Answer, DecodeError, Fault, Outcome, Unreadable};
use super::reading::Readings;
use super::request::{Incoming, json};
use super::verified::{Identified, Verified};
use super::{form::Form, outcome::Refusal};
use crate::config::{RongCloudConfig, Secret};
use crate::receipt::VendorName;
use signature::Apps;

/// RongCloud's room: what its servers send.
pub(super) struct RongCloud(Apps);

/// The room of the relay: what an app or gateway hands on from its SDK.
pub(super) struct Relay(Apps);

impl RongCloud {
    pub(super) fn configure(config: &RongCloudConfig) -> Option<Arc<dyn Vendor>> {
        let apps = Apps::new(config, "secrets", |app| &app.secrets);
        (!config.apps.is_empty()).then(|| Arc::new(Self(apps)) as Arc<dyn Vendor>)
    }
}

impl Relay {
    /// Only where some app has a secret for it: a phone's claim needs a relay that vouches for it.
    pub(super) fn configure(config: &RongCloudConfig) -> Option<Arc<dyn Vendor>> {
        let apps = Apps::new(config, "relay_secrets", |app| &app.relay_secrets);
        (!apps.is_empty()).then(|| Arc::new(Self(apps)) as Arc<dyn Vendor>)
    }
}

impl Vendor for RongCloud {
    fn name(&self) -> VendorName {
        VendorName::RongCloud
    }

    fn open<'r>(&self, request: &'r Incoming) -> Result<Opened<'r>, Fault> {
        let text = request.text()?;
        // Content-Type is never trusted; the first character tells the two apart, for no form begins with either.
        if text.trim_start().starts_with(['{', '[']) {
            let body = match json(text, &routing::PARTS)? {
                Json::Object(object) => Body::Object(object),
                Json::List(list) => Body::List(list),
                Json::Null
                | Json::Bool(_)
                | Json::Integer(_)
                | Json::Number(_)
                | Json::Text(_)
                | Json::Odd => {
                    return Err(Unreadable::WrongRoot.into());
                }
            };
            return Ok(routing::open_json(request, body));
        }
        Ok(routing::open_form(request, Form::parse(text)?))
    }

    fn verify<'r>(&'r self, callback: &Callback<'r>) -> Result<Identified<'r>, Refusal> {
        self.0.verify(callback.request)
    }

    fn decode<'c>(&self, verified: &'c Verified<'_>) -> Result<Readings<'c>, DecodeError> {
        routing::decode(verified)
    }

    fn claim(&self, request: &Incoming) -> Claim {
        let has_shape = match self.open(request) {
            Ok(Opened::Read(_)) => true,
            Ok(Opened::Neighbour(Neighbour { callback, .. })) => !callback.command.is_empty(),
            Err(_) => return Claim::Nothing,
        };
        Claim::of(self.0.names_app(request), has_shape)
    }

    fn answer(&self, _request: &Incoming, outcome: &Outcome) -> Answer {
        answer(outcome)
    }

    fn examine<'s>(&'s self, request: &Incoming, report: &mut Report<'s>) {
        explain::examine(self, &self.0, &routing::READS, request, report);
    }

    fn secrets(&self) -> Vec<&Secret> {
        self.0.secrets()
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn apps(&self) -> Vec<String> {
        self.0.keys()
    }
}

impl Vendor for Relay {
    fn name(&self) -> VendorName {
        VendorName::RongCloud
    }

    fn open<'r>(&self, request: &'r Incoming) -> Result<Opened<'r>, Fault> {
        let body = request.json_parts(&relay::PARTS)?;
        let event = body.find("event").and_then(Json::as_text).unwrap_or_default().to_owned();
        let is_read = relay::is_read(&event);
        let callback = Callback { request, command: event.into(), body: Body::Object(body) };
        Ok(if is_read {
            Opened::Read(callback)
        } else {
            Opened::Neighbour(Neighbour { callback, allow: ok() })
        })
    }

    fn verify<'r>(&'r self, callback: &Callback<'r>) -> Result<Identified<'r>, Refusal> {
        self.0.verify(callback.request)
    }

    fn decode<'c>(&self, verified: &'c Verified<'_>) -> Result<Readings<'c>, DecodeError> {
        relay::decode(verified)
    }

    fn claim(&self, request: &Incoming) -> Claim {
        let has_shape = match self.open(request) {
            Ok(Opened::Read(_)) => true,
            Ok(Opened::Neighbour(Neighbour { callback, .. })) => !callback.command.is_empty(),
            Err(_) => return Claim::Nothing,
        };
        Claim::of(self.0.names_app(request), has_shape)
    }

    fn answer(&self, _request: &Incoming, outcome: &Outcome) -> Answer {
        answer(outcome)
    }

    fn examine<'s>(&'s self, request: &Incoming, report: &mut Report<'s>) {
        explain::examine(self, &self.0, &relay::READS, request, report);
    }

    fn secrets(&self) -> Vec<&Secret> {
        self.0.secrets()
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn apps(&self) -> Vec<String> {
        self.0.keys()
    }
}

/// The vendor's time-out for routing is not documented; a public SDK says about 5 s.
const PATIENCE: Duration = Duration::from_secs(3);

fn ok() -> Answer {
    Answer::text(200, "ok")
}

fn answer(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Accepted
        | Outcome::Duplicate
        | Outcome::Conflict
        | Outcome::Differing
        | Outcome::Ignored
        | Outcome::Malformed(_) => ok(),
        Outcome::Unreadable(unreadable) => Answer::text(unreadable.status(), outcome.reason()),
        Outcome::Rejected(refusal) => Answer::text(refusal.status(401), outcome.reason()),
        Outcome::Unavailable => Answer::text(503, outcome.reason()),
    }
}
