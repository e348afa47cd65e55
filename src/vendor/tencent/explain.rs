//! What Tencent's room looks at, in words.

use super::super::explain::{
    Algorithm, Claim, Event, Kin, Known, Part, Report, Value, almost, found, missing, names_of, opened,
    other_app, prove, raw, repeated, said, skew, unreadable,
};
use super::super::json::Json;
use super::super::outcome::{Refusal, Unreadable};
use super::super::request::{Incoming, Parameter};
use super::{App, SIGN_WINDOW_SECONDS, Tencent, Vendor, reads, request_time, sdk_app_id};

pub(super) fn examine(room: &Tencent, request: &Incoming, report: &mut Report<'_>) {
    let app = match (room.app(request), sdk_app_id(request)) {
        (Ok(app), _) => {
            report.say(said::APP_KNOWN, &[("app", &*app.sdk_app_id)]);
            app
        }
        (Err(_), Parameter::Repeated) => return unreadable(report, request, Unreadable::AppRepeated),
        (Err(_), Parameter::Absent) => {
            report.say(said::APP_MISSING, &[]);
            report.find(found::APP_MISSING, &[("belongs_in", "SdkAppid in the query")]);
            return missing(report, "query", &["SdkAppid"], &names_of(request));
        }
        (Err(_), Parameter::Once(came)) => {
            report.say(said::APP_UNKNOWN, &[("app", &*came)]);
            other_app(report, "sdk_app_id", &came, &room.apps());
            return sign(room, None, request, report);
        }
    };
    let callback = match opened(report, request, room.open(request)) {
        Event::Read(callback) => callback,
        Event::Neighbour(callback) => {
            almost(report, &callback.command, &reads::READS);
            return report.say(said::PROOF_NEIGHBOUR, &[]);
        }
        Event::Nothing => {
            if matches!(request.parameter("CallbackCommand"), Parameter::Absent | Parameter::Once(_)) {
                command(request, report);
            }
            return;
        }
    };
    sign(room, Some(app), callback.request, report);
}

/// Finds why the query names no command.
fn command(request: &Incoming, report: &mut Report<'_>) {
    if request.parameters("CallbackCommand").any(|command| !command.is_empty()) {
        return;
    }
    let body = request.json_object().ok();
    let in_body = body.as_ref().and_then(|body| body.find("CallbackCommand")).and_then(Json::as_text);
    match in_body {
        Some(command) => report.find(found::COMMAND_ONLY_IN_BODY, &[("command", command)]),
        None => missing(report, "query", &["CallbackCommand"], &names_of(request)),
    }
}

/// Looks at the signature; without an app, only for the one whose secret it would be.
fn sign(room: &Tencent, app: Option<&App>, request: &Incoming, report: &mut Report<'_>) {
    let (sign, time) = (request.parameter("Sign"), request.parameter("RequestTime"));
    if let Some(app) = app.filter(|app| app.tokens.is_empty()) {
        report.say(said::PROOF_APP_ID, &[("app", &*app.sdk_app_id)]);
        if sign != Parameter::Absent {
            report.find(found::SIGN_NOT_CHECKED, &[("app", &*app.sdk_app_id)]);
        }
        return;
    }
    let both = [("Sign", &sign), ("RequestTime", &time)];
    let which = |fits: fn(&Parameter<'_>) -> bool| -> Vec<&'static str> {
        both.iter().filter(|(_, value)| fits(value)).map(|(name, _)| *name).collect()
    };
    let empty = which(|value| match value {
        Parameter::Once(text) => text.is_empty(),
        Parameter::Absent => true,
        Parameter::Repeated => false,
    });
    let twice = which(|value| *value == Parameter::Repeated);
    let (Parameter::Once(sign), Parameter::Once(time), true) = (&sign, &time, empty.is_empty()) else {
        if app.is_none() {
            return;
        }
        if !twice.is_empty() {
            report.say(said::SIGNATURE_REPEATED, &[("repeated", &*twice.join(", "))]);
            return repeated(report, "query", &twice);
        }
        report.say(said::SIGNATURE_MISSING, &[("missing", &*empty.join(", "))]);
        missing(report, "query", &empty, &names_of(request));
        if empty.len() == both.len() && !report.has(found::PARAMETER_SPELLING) {
            report.find(found::AUTHENTICATION_OFF, &[]);
        }
        let body = request.json_object().ok();
        if empty.contains(&"Sign") && body.is_some_and(|body| body.find("Sign").is_some()) {
            report.find(found::SIGNATURE_ELSEWHERE, &[("found_in", "body"), ("belongs_in", "query")]);
        }
        return;
    };
    if app.is_some() {
        report.say(said::SIGNATURE_THERE, &[("RequestTime", &**time)]);
        window(request, time, report);
    }
    let known: Vec<Known<'_>> = (room.apps.iter())
        .flat_map(|other| {
            let own = app.is_some_and(|app| app.sdk_app_id == other.sdk_app_id);
            Known::of(&other.sdk_app_id, "secrets", &other.tokens, if own { Kin::Own } else { Kin::OtherApp })
        })
        .collect();
    let time =
        Value { name: "RequestTime", text: time.clone(), raw: raw(request, "RequestTime"), time: true };
    let parts = vec![Part::Secret, Part::Value(time)];
    prove(report, &Claim { algorithm: Algorithm::Sha256, parts, came: sign, legacy: &[] }, &known);
}

fn window(request: &Incoming, time: &str, report: &mut Report<'_>) {
    let arrived = request.received_at;
    match request_time(time) {
        Err(Refusal::BadTime) => {
            report.say(said::TIME_UNREADABLE, &[("RequestTime", time)]);
            report.find(found::TIME_NO_NUMBER, &[("RequestTime", time)]);
        }
        Err(_) => {}
        Ok(seconds) if arrived.as_seconds().cast_unsigned().abs_diff(seconds) > SIGN_WINDOW_SECONDS => {
            let millis = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
            skew(report, millis, arrived.as_millis(), SIGN_WINDOW_SECONDS);
        }
        Ok(_) => report.say(said::TIME_FITS, &[("RequestTime", time), ("arrived_at", &*arrived.to_string())]),
    }
}
