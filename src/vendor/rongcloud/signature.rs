//! Where RongCloud has put its signature over the years, and whether it holds.

use super::super::field;
use super::super::outcome::Refusal;
use super::super::request::{Incoming, Parameter};
use super::super::sign;
use super::super::verified::{Identified, SecretPlace};
use crate::config::{RongCloudApp, RongCloudConfig, Secret};
use crate::receipt::Proof;

/// Below this a signed time counts seconds (the texts before 2021 do), from it on milliseconds.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

/// The apps that may sign on one route, each with the secrets for that route.
pub(super) struct Apps {
    /// The setting that these secrets are from.
    list: &'static str,
    apps: Vec<App>,
}

struct App {
    app_key: String,
    secrets: Vec<Secret>,
    freshness_seconds: u64,
}

/// One of the places where the four values can sit.
struct Place {
    read: for<'r> fn(&'r Incoming, &str) -> Parameter<'r>,
    app_key: &'static [&'static str],
    nonce: &'static str,
    time: &'static [&'static str],
    signature: &'static str,
}

/// In the order in which they are looked at; the first that has a signature is the one. The body is none of them,
/// although the vendor's demo would read it there.
const PLACES: [Place; 4] = [
    Place {
        read: Incoming::parameter,
        app_key: &["appKey"],
        nonce: "nonce",
        time: &["timestamp", "signTimestamp"],
        signature: "signature",
    },
    Place {
        read: Incoming::parameter,
        app_key: &["rc-app-key", "appKey"],
        nonce: "rc-nonce",
        time: &["rc-timestamp"],
        signature: "rc-signature",
    },
    Place {
        read: Incoming::header,
        app_key: &["rc-app-key"],
        nonce: "rc-nonce",
        time: &["rc-timestamp"],
        signature: "rc-signature",
    },
    Place {
        read: Incoming::header,
        app_key: &["app-key", "appkey"],
        nonce: "nonce",
        time: &["timestamp"],
        signature: "signature",
    },
];

impl Apps {
    /// The apps that have secrets in the setting `list`, which `secrets` picks.
    pub(super) fn new(
        config: &RongCloudConfig,
        list: &'static str,
        secrets: impl Fn(&RongCloudApp) -> &Vec<Secret>,
    ) -> Self {
        let apps = config.apps.values().filter(|app| !secrets(app).is_empty()).map(|app| App {
            app_key: app.app_key.clone(),
            secrets: secrets(app).clone(),
            freshness_seconds: app.freshness_seconds,
        });
        Self { list, apps: apps.collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.apps.iter().map(|app| app.app_key.clone()).collect()
    }

    /// Finds the signature and checks it against every secret of the app that the request names.
    pub(super) fn verify(&self, request: &Incoming) -> Result<Identified<'_>, Refusal> {
        let place = PLACES.iter().find(|place| (place.read)(request, place.signature) != Parameter::Absent);
        let place = place.ok_or(Refusal::SignatureMissing)?;
        let one_of = |names: &[&str]| {
            let mut found = Parameter::Absent;
            for name in names {
                found = match ((place.read)(request, name), found) {
                    (Parameter::Absent, found) => found,
                    (now, Parameter::Absent) => now,
                    (_, Parameter::Once(_) | Parameter::Repeated) => Parameter::Repeated,
                };
            }
            found
        };
        let value = |names: &[&str]| match one_of(names) {
            Parameter::Once(text) if !text.is_empty() => Ok(text),
            Parameter::Once(_) | Parameter::Absent => Err(Refusal::SignatureMissing),
            Parameter::Repeated => Err(Refusal::SignatureRepeated),
        };
        let (signature, nonce, time) =
            (value(&[place.signature])?, value(&[place.nonce])?, value(place.time)?);
        // A signature in the headers may leave the app to the URL.
        let mut named = one_of(place.app_key);
        if named == Parameter::Absent {
            named = request.parameter("appKey");
        }
        let app = match named {
            Parameter::Once(key) => self.apps.iter().find(|app| app.app_key == key),
            Parameter::Repeated => return Err(Refusal::SignatureRepeated),
            // The oldest texts name no app; with a single one there is no doubt whose it is.
            Parameter::Absent => self.apps.first().filter(|_| self.apps.len() == 1),
        };
        let app = app.ok_or(Refusal::UnknownApp)?;
        let index = sign::sha1(&app.secrets, &signature, [&nonce, &time]).ok_or(Refusal::BadSignature)?;
        app.fresh(&time, request.received_at.as_millis())?;
        let with = Some(SecretPlace { list: self.list, index });
        Ok(Identified { app: &app.app_key, by: Proof::Sha1, with })
    }
}

impl App {
    fn fresh(&self, time: &str, now: i64) -> Result<(), Refusal> {
        if self.freshness_seconds == 0 {
            return Ok(());
        }
        let time = field::digits(time).map_err(|_| Refusal::BadTime)?;
        let millis = if time < FIRST_MILLISECONDS { time * 1000 } else { time };
        let window = self.freshness_seconds.saturating_mul(1000);
        if now.abs_diff(millis) > window { Err(Refusal::Stale) } else { Ok(()) }
    }
}
