//! What OpenIM's room looks at, in words. Its proofs are secrets that travel in the clear, so they are compared in constant
//! time and never shown, those that came no more than those that are configured.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;

use super::super::Vendor;
use super::super::explain::{Event, MASK, Report, almost, found, names_of, opened, said, same};
use super::super::outcome::Refusal;
use super::super::request::Incoming;
use super::door::{Door, basic, token};
use super::{OpenIm, is_command, reads};
use crate::config::Secret;

/// How many apps are told of, when none of them lets a request in.
const APPS_TOLD: usize = 8;

pub(super) fn examine(room: &OpenIm, request: &Incoming, report: &mut Report<'_>) {
    match room.doors.iter().find(|door| door.admit(request).is_ok()) {
        Some(door) => told(door, request, report),
        None => {
            // What it did not offer it will not be meant to: an app that asks for that is not the one.
            let tried_basic = request.headers.contains_key(AUTHORIZATION);
            let tried_token = !tried_basic && !has_no_token(request);
            let fitting = |door: &&Door| {
                (tried_basic && !door.basic_auth.is_empty()) || (tried_token && !door.path_tokens.is_empty())
            };
            let none = !room.doors.iter().any(|door| fitting(&door));
            let tried = room.doors.iter().filter(|door| none || fitting(door));
            for door in tried.take(APPS_TOLD) {
                told(door, request, report);
                find_token(door, request, report);
                find_basic(door, request, report);
                find_address(door, request, report);
            }
            return report.say(said::BODY_SKIPPED, &[]);
        }
    }
    let event = opened(report, request, room.open(request));
    if let Event::Neighbour(callback) = event {
        let known: Vec<&'static str> = reads::SINGLE.into_iter().chain(reads::GROUP).collect();
        almost(report, &callback.command, &known);
        let in_body = callback.body.object().and_then(|body| body.find("callbackCommand"));
        if callback.command.is_empty() && in_body.is_some() {
            report.find(found::COMMAND_CONTRADICTING, &[]);
        }
    }
    let swallowed = |value: &str| value.rsplit_once('/').is_some_and(|(_, last)| is_command(last));
    if names_of(request).iter().any(|name| swallowed(name)) || swallowed(request.query()) {
        report.find(found::QUERY_SWALLOWED_COMMAND, &[]);
    }
}

/// Says of each proof that a door asks for whether it is there.
fn told(door: &Door, request: &Incoming, report: &mut Report<'_>) {
    let app = [("app", door.app())];
    if !door.allowed_ips.is_empty() {
        let allowed = door.allowed_ips.iter().any(|net| net.contains(request.client));
        let phrase = if allowed { said::ADDRESS_ALLOWED } else { said::ADDRESS_REFUSED };
        report.say(phrase, &[("app", door.app()), ("client", &*request.client.to_string())]);
    }
    if !door.basic_auth.is_empty() {
        let phrase = match basic(request) {
            None => said::BASIC_MISSING,
            Some(given) if is_one_of(&door.basic_auth, &given) => said::BASIC_FITS,
            Some(_) => said::BASIC_DIFFERS,
        };
        report.say(phrase, &app);
    }
    if !door.path_tokens.is_empty() {
        let given = token(request);
        let phrase = if is_one_of(&door.path_tokens, &given) {
            said::TOKEN_FITS
        } else if has_no_token(request) {
            said::TOKEN_MISSING
        } else {
            said::TOKEN_DIFFERS
        };
        report.say(phrase, &app);
    }
    if let Some(signature) = &door.signature {
        let phrase = match signature.check(request) {
            Ok(_) => said::PROOF_FITS,
            Err(Refusal::SignatureMissing) => said::SIGNATURE_MISSING,
            Err(Refusal::SignatureRepeated) => said::SIGNATURE_REPEATED,
            Err(_) => said::PROOF_DIFFERS,
        };
        report.say(phrase, &app);
    }
    if door.rank() == 2 {
        report.say(said::ANYBODY, &app);
    }
}

/// Whether the given text is one of the secrets. Each is compared, whichever it is.
fn is_one_of(secrets: &[Secret], given: &[u8]) -> bool {
    super::super::sign::one_of(secrets, given).is_some()
}

/// Whether a change of both sides makes the given text one of the secrets.
fn fits_after(secrets: &[Secret], given: &str, change: impl Fn(&str) -> String) -> bool {
    let given = change(given);
    let fitting = secrets.iter().filter(|secret| same(&change(secret.expose()), &given)).count();
    fitting > 0 && !given.is_empty()
}

/// Nothing stands in the path, or only the command.
fn has_no_token(request: &Incoming) -> bool {
    let first = request.tail().split('/').find(|segment| !segment.is_empty());
    first.is_none_or(is_command)
}

fn bare(text: &str) -> String {
    text.trim_matches(|c: char| c.is_whitespace() || ['"', '\'', '\u{feff}'].contains(&c)).to_owned()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn find_token(door: &Door, request: &Incoming, report: &mut Report<'_>) {
    let (tokens, given) = (&door.path_tokens, token(request));
    if tokens.is_empty() || is_one_of(tokens, &given) {
        return;
    }
    let app = [("app", door.app())];
    let segments = request.tail().split('/').filter(|segment| !segment.is_empty()).skip(1);
    let bearer = |field: &str| field.split_once(' ').map(|(_, token)| token.trim().to_owned());
    let fields = texts(&request.headers).flat_map(|text| [Some(text.to_owned()), bearer(text)]).flatten();
    let values = super::super::form::pairs(request.query()).flat_map(|(name, value)| [name, value]);
    let values = values.map(std::borrow::Cow::into_owned);
    // The command may have been appended to it.
    let values = values.flat_map(|value| [value.split('/').next().map(str::to_owned), Some(value)]).flatten();
    let mut elsewhere = [
        ("path", segments.map(decoded).collect::<Vec<_>>()),
        ("query", values.collect()),
        ("header", fields.collect()),
    ]
    .into_iter()
    .filter(|(_, texts)| texts.iter().filter(|text| is_one_of(tokens, text.as_bytes())).count() > 0);
    if let Some((place, _)) = elsewhere.next() {
        return report.find(found::TOKEN_ELSEWHERE, &[("app", door.app()), ("found_in", place)]);
    }
    if has_no_token(request) {
        return report.find(found::TOKEN_MISSING, &app);
    }
    let given = String::from_utf8_lossy(&given);
    let diagnosis = if fits_after(tokens, &given, |text| text.trim_end_matches('/').to_owned()) {
        found::TOKEN_SLASH
    } else if fits_after(tokens, &given, bare) {
        found::TOKEN_WHITE_SPACE
    } else if fits_after(tokens, &given, decoded) {
        found::TOKEN_ESCAPED
    } else if fits_after(tokens, &given, str::to_lowercase) {
        found::TOKEN_CASE
    } else {
        found::TOKEN_UNKNOWN
    };
    report.find(diagnosis, &app);
}

fn find_basic(door: &Door, request: &Incoming, report: &mut Report<'_>) {
    let pairs = &door.basic_auth;
    if pairs.is_empty() {
        return;
    }
    let app = [("app", door.app())];
    let mut fields = request.headers.get_all(AUTHORIZATION).iter();
    let (field, more) = (fields.next(), fields.next());
    let Some(field) = field else { return report.find(found::BASIC_MISSING, &app) };
    if more.is_some() {
        return report.find(found::BASIC_REPEATED, &app);
    }
    let scheme = field.to_str().unwrap_or_default().split(' ').next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("basic") {
        return report.find(found::BASIC_SCHEME, &app);
    }
    let Some(given) = basic(request) else { return report.find(found::BASIC_NOT_BASE64, &app) };
    if is_one_of(pairs, &given) {
        return;
    }
    let given = String::from_utf8_lossy(&given);
    let around = |text: &str| text.split(':').map(bare).collect::<Vec<_>>().join(":");
    let diagnosis = if !given.contains(':') {
        found::BASIC_NO_COLON
    } else if fits_after(pairs, &given, around) {
        found::BASIC_WHITE_SPACE
    } else if fits_after(pairs, &given, decoded) {
        found::BASIC_ESCAPED
    } else if fits_after(pairs, &given, str::to_lowercase) {
        found::BASIC_CASE
    } else {
        found::BASIC_UNKNOWN
    };
    report.find(diagnosis, &app);
}

fn find_address(door: &Door, request: &Incoming, report: &mut Report<'_>) {
    let allowed = |address: IpAddr| door.allowed_ips.iter().any(|net| net.contains(address));
    if door.allowed_ips.is_empty() || allowed(request.client) {
        return;
    }
    let client = request.client.to_string();
    report.find(found::ADDRESS_REFUSED, &[("app", door.app()), ("client", &*client)]);
    let hops = request.headers.get_all("x-forwarded-for").iter().filter_map(|field| field.to_str().ok());
    let mut hops =
        hops.flat_map(|field| field.split(',')).filter_map(|hop| hop.trim().parse::<IpAddr>().ok());
    if let Some(hop) = hops.find(|hop| allowed(*hop)) {
        let facts = [("app", door.app()), ("client", &*client), ("forwarded_for", &*hop.to_string())];
        report.find(found::FORWARDED_FOR_NOT_TRUSTED, &facts);
    }
}

fn texts(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.values().filter_map(|value| value.to_str().ok())
}

/// The path with everything masked that could be a token: all segments but commands.
pub(in crate::vendor) fn masked(tail: &str) -> String {
    let shown = |segment: &str| match segment {
        "" => String::new(),
        command if is_command(command) => command.to_owned(),
        _ => MASK.to_owned(),
    };
    tail.split('/').map(shown).collect::<Vec<_>>().join("/")
}
