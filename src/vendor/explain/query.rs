//! Values that are missing, repeated or almost right.

use percent_encoding::percent_decode_str;

use super::super::form;
use super::super::request::Incoming;
use super::{Report, found};

/// Finds that values are missing: `wanted` are the names that are not there, `came` those that are, in the same place.
pub(in crate::vendor) fn missing(
    report: &mut Report<'_>,
    place: &'static str,
    wanted: &[&'static str],
    came: &[String],
) {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_'], "");
    for wanted in wanted {
        if let Some(other) = came.iter().find(|name| *name != wanted && plain(name) == plain(wanted)) {
            report.find(found::PARAMETER_SPELLING, &[("came", other), ("wanted", wanted), ("place", place)]);
        }
    }
    report.find(found::PARAMETER_MISSING, &[("missing", &*wanted.join(", ")), ("place", place)]);
}

/// Finds that values are there more than once.
pub(in crate::vendor) fn repeated(report: &mut Report<'_>, place: &'static str, names: &[&'static str]) {
    report.find(found::PARAMETER_REPEATED, &[("repeated", &*names.join(", ")), ("place", place)]);
}

/// The names of the query's parameters.
pub(in crate::vendor) fn names_of(request: &Incoming) -> Vec<String> {
    form::pairs(request.query()).map(|(name, _)| name.into_owned()).collect()
}

/// A parameter as it stands in the URL.
pub(in crate::vendor) fn raw<'r>(request: &'r Incoming, name: &str) -> Option<&'r str> {
    let mut pairs = request.query().split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Finds what is wrong with an app's identity that is none of those configured.
pub(in crate::vendor) fn other_app(
    report: &mut Report<'_>,
    setting: &'static str,
    came: &str,
    configured: &[String],
) {
    let plus = came.replace(' ', "+");
    let count = configured.len().to_string();
    if came.contains(' ') && configured.contains(&plus) {
        report.find(found::PLUS_AS_SPACE, &[("value", setting)]);
        return;
    }
    let plain = |text: &str| percent_decode_str(text.trim()).decode_utf8_lossy().trim().to_lowercase();
    if let Some(almost) = configured.iter().find(|app| plain(app) == plain(came)) {
        report.find(found::APP_ALMOST, &[("came", came), ("configured", almost), ("setting", setting)]);
        return;
    }
    report.find(found::APP_UNKNOWN, &[("came", came), ("setting", setting), ("apps_configured", &*count)]);
}
