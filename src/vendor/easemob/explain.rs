//! What Easemob's room looks at, in words.

use super::super::explain::{
    Algorithm, Claim, Event, Kin, Known, Part, Report, Value, almost, found, missing, opened, other_app,
    prove, said,
};
use super::super::json::Json;
use super::super::request::{Incoming, Parameter};
use super::{Easemob, Vendor, timestamp_text};

/// What the old texts of the vendor print as everybody's secret.
const LEGACY: &[&str] = &["123456", "654321"];

pub(super) fn examine(room: &Easemob, request: &Incoming, report: &mut Report<'_>) {
    let callback = match opened(report, request, room.open(request)) {
        Event::Read(callback) => callback,
        Event::Neighbour(callback) => {
            almost(report, &callback.command, &["read_ack", "channel_ack"]);
            return report.say(said::PROOF_NEIGHBOUR, &[]);
        }
        Event::Nothing => return,
    };
    let Some(body) = callback.body.object() else { return };
    let text = |field| body.find(field).and_then(Json::as_text).filter(|text| !text.is_empty());
    let mut digits = itoa::Buffer::new();
    let time = timestamp_text(&callback, body, &mut digits);
    let (call_id, security) = (text("callId"), text("security"));
    let (Some(call_id), Some(security), Some(time)) = (call_id, security, time) else {
        let wanted =
            [("callId", call_id.is_none()), ("security", security.is_none()), ("timestamp", time.is_none())];
        let wanted: Vec<&'static str> =
            wanted.into_iter().filter(|(_, is_missing)| *is_missing).map(|(name, _)| name).collect();
        report.say(said::SIGNATURE_MISSING, &[("missing", &*wanted.join(", "))]);
        let came: Vec<String> = body.iter().map(|(name, _)| name.to_owned()).collect();
        missing(report, "body", &wanted, &came);
        let elsewhere = [
            ("query", request.parameter("security")),
            ("query", request.parameter("signature")),
            ("header", request.header("security")),
        ];
        let elsewhere = elsewhere.iter().find(|(_, came)| *came != Parameter::Absent);
        if let Some((place, _)) = elsewhere.filter(|_| security.is_none()) {
            report.find(found::SIGNATURE_ELSEWHERE, &[("found_in", place), ("belongs_in", "body")]);
        }
        return;
    };
    report.say(said::SIGNATURE_THERE, &[("callId", call_id), ("timestamp", time)]);
    let named = match body.find("appkey") {
        Some(Json::Text(appkey)) if !appkey.is_empty() => Some(&**appkey),
        None | Some(Json::Text(_)) => call_id.rsplit_once('_').map(|(appkey, _)| appkey),
        Some(_) => None,
    };
    let app = named.and_then(|appkey| room.app(appkey));
    match (app, named) {
        (Some(app), _) => report.say(said::APP_KNOWN, &[("app", &*app.appkey)]),
        (None, Some(appkey)) => {
            report.say(said::APP_UNKNOWN, &[("app", appkey)]);
            other_app(report, "appkey", appkey, &room.apps());
        }
        (None, None) => {
            report.say(said::APP_MISSING, &[]);
            report.find(found::APP_MISSING, &[("belongs_in", "appkey, or the beginning of callId")]);
        }
    }
    let known: Vec<Known<'_>> = (room.apps.iter())
        .flat_map(|other| {
            let own = app.is_some_and(|app| app.appkey == other.appkey);
            Known::of(&other.appkey, "secrets", &other.secrets, if own { Kin::Own } else { Kin::OtherApp })
        })
        .collect();
    let value =
        |name, text: &str, time| Part::Value(Value { name, text: text.to_owned().into(), raw: None, time });
    let parts = vec![value("callId", call_id, false), Part::Secret, value("timestamp", time, true)];
    prove(report, &Claim { algorithm: Algorithm::Md5, parts, came: security, legacy: LEGACY }, &known);
}
