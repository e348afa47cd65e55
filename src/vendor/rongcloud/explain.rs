//! What RongCloud's rooms look at, in words; both are signed alike.

use super::super::Vendor;
use super::super::explain::{
    Algorithm, Claim, Event, Kin, Known, Part, Report, Value, almost, found, missing, names_of, opened,
    other_app, prove, raw, repeated, said, skew,
};
use super::super::form::Form;
use super::super::json::Json;
use super::super::outcome::Refusal;
use super::super::request::{Incoming, Parameter};
use super::signature::{App, Apps, Place, millis};

pub(super) fn examine(
    room: &dyn Vendor,
    apps: &Apps,
    reads: &[&'static str],
    request: &Incoming,
    report: &mut Report<'_>,
) {
    match opened(report, request, room.open(request)) {
        Event::Read(_) => {}
        Event::Neighbour(callback) => {
            almost(report, &callback.command, reads);
            if reads.contains(&&*callback.command) {
                report.find(found::OTHER_CONVERSATION, &[("event", &*callback.command)]);
            }
            return report.say(said::PROOF_NEIGHBOUR, &[]);
        }
        Event::Nothing => return,
    }
    let Some(place) = Place::of(request) else { return nowhere(request, report) };
    let values = [
        ("signature", place.one_of(request, &[place.signature])),
        ("nonce", place.one_of(request, &[place.nonce])),
        ("timestamp", place.one_of(request, place.time)),
    ];
    let which = |fits: fn(&Parameter<'_>) -> bool| -> Vec<&'static str> {
        values.iter().filter(|(_, value)| fits(value)).map(|(name, _)| *name).collect()
    };
    let empty = which(|value| match value {
        Parameter::Once(text) => text.is_empty(),
        Parameter::Absent => true,
        Parameter::Repeated => false,
    });
    let twice = which(|value| *value == Parameter::Repeated);
    let [(_, Parameter::Once(signature)), (_, Parameter::Once(nonce)), (_, Parameter::Once(time))] = &values
    else {
        return lacking(request, place, &empty, &twice, report);
    };
    if !empty.is_empty() {
        return lacking(request, place, &empty, &twice, report);
    }
    report.say(said::SIGNATURE_THERE, &[("place", place.name), ("nonce", &**nonce), ("timestamp", &**time)]);
    let Ok(app) = app(apps, request, place, report) else { return };
    let own = apps.apps.iter().flat_map(|other| {
        let is_own = app.is_some_and(|app| app.app_key == other.app_key);
        Known::of(&other.app_key, apps.list, &other.secrets, if is_own { Kin::Own } else { Kin::OtherApp })
    });
    let others = apps.elsewhere.iter();
    let others = others.flat_map(|(app, list, secrets)| Known::of(app, list, secrets, Kin::OtherList));
    let known: Vec<Known<'_>> = own.chain(others).collect();
    let in_query = place.name == "query";
    let written = |names: &[&str]| names.iter().find_map(|name| raw(request, name)).filter(|_| in_query);
    let nonce = Value { name: "nonce", text: nonce.clone(), raw: written(&[place.nonce]), time: false };
    let stamp = Value { name: "timestamp", text: time.clone(), raw: written(place.time), time: true };
    let parts = vec![Part::Secret, Part::Value(nonce), Part::Value(stamp)];
    let claim = Claim { algorithm: Algorithm::Sha1, parts, came: signature, legacy: &[] };
    prove(report, &claim, &known);
    if let Some(app) = app {
        window(app, request, time, report);
    }
}

/// The app that the request names; `Err` when nobody can know which, `Ok(None)` when it is none of ours.
fn app<'a>(
    apps: &'a Apps,
    request: &Incoming,
    place: &Place,
    report: &mut Report<'_>,
) -> Result<Option<&'a App>, ()> {
    match place.app_key(request) {
        Parameter::Repeated => {
            report.say(said::APP_REPEATED, &[]);
            report.find(found::APP_REPEATED, &[]);
            Err(())
        }
        Parameter::Absent => match apps.apps.first().filter(|_| apps.apps.len() == 1) {
            Some(app) => {
                report.say(said::APP_ALONE, &[("app", &*app.app_key)]);
                Ok(Some(app))
            }
            None => {
                report.say(said::APP_MISSING, &[]);
                report.find(found::APP_MISSING, &[("belongs_in", "appKey in the query")]);
                missing(report, place.name, &["appKey"], &names_of(request));
                Ok(None)
            }
        },
        Parameter::Once(key) => {
            let app = apps.apps.iter().find(|app| app.app_key == key);
            match app {
                Some(app) => report.say(said::APP_KNOWN, &[("app", &*app.app_key)]),
                None => {
                    report.say(said::APP_UNKNOWN, &[("app", &*key)]);
                    other_app(report, "app_key", &key, &apps.keys());
                }
            }
            Ok(app)
        }
    }
}

/// There is no signature in any place that counts.
fn nowhere(request: &Incoming, report: &mut Report<'_>) {
    let wanted = ["signature", "nonce", "timestamp"];
    report.say(said::SIGNATURE_MISSING, &[("missing", &*wanted.join(", "))]);
    let names = names_of(request);
    let lacking: Vec<&'static str> =
        wanted.into_iter().filter(|wanted| !names.iter().any(|name| name == wanted)).collect();
    missing(report, "query", &lacking, &names);
    let text = std::str::from_utf8(&request.body).unwrap_or_default();
    let in_form = Form::parse(text).is_ok_and(|form| form.has("signature"));
    let in_json =
        request.json_object().is_ok_and(|body| body.find("signature").and_then(Json::as_text).is_some());
    if in_form || in_json {
        report.find(found::SIGNATURE_ELSEWHERE, &[("found_in", "body"), ("belongs_in", "query")]);
    }
}

/// Some of the values are missing or there more than once.
fn lacking(
    request: &Incoming,
    place: &Place,
    empty: &[&'static str],
    twice: &[&'static str],
    report: &mut Report<'_>,
) {
    // The service looks at signature, nonce and time in this order and names the first that is wrong.
    let order = ["signature", "nonce", "timestamp"];
    let first = order.into_iter().find(|name| empty.contains(name) || twice.contains(name));
    if first.is_some_and(|first| twice.contains(&first)) {
        report.say(said::SIGNATURE_REPEATED, &[("repeated", &*twice.join(", "))]);
    } else {
        report.say(said::SIGNATURE_MISSING, &[("missing", &*empty.join(", "))]);
    }
    if !twice.is_empty() {
        repeated(report, place.name, twice);
    }
    if !empty.is_empty() {
        missing(report, place.name, empty, &names_of(request));
    }
}

fn window(app: &App, request: &Incoming, time: &str, report: &mut Report<'_>) {
    let arrived = request.received_at;
    if app.freshness_seconds == 0 {
        return report.say(said::TIME_UNCHECKED, &[]);
    }
    match (app.fresh(time, arrived.as_millis()), millis(time)) {
        (Ok(()), _) => {
            report.say(said::TIME_FITS, &[("timestamp", time), ("arrived_at", &*arrived.to_string())])
        }
        (Err(Refusal::Stale), Ok(millis)) => skew(report, millis, arrived.as_millis(), app.freshness_seconds),
        (Err(_), _) => {
            report.say(said::TIME_UNREADABLE, &[("timestamp", time)]);
            report.find(found::TIME_NO_NUMBER, &[("timestamp", time)]);
        }
    }
}
