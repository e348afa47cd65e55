//! Where RongCloud has put its signature over the years, and whether it holds.

use super::super::field;
use super::super::outcome::Refusal;
use super::super::request::{Incoming, Parameter};
use super::super::sign;
use super::super::verified::{Identified, SecretPlace};
use crate::config::{RongCloudApp, RongCloudConfig, Secret};
use crate::receipt::Proof;

/// The apps that may sign on one route, each with the secrets for that route.
pub(super) struct Apps {
    /// The setting that these secrets are from.
    pub(super) list: &'static str,
    pub(super) apps: Vec<App>,
    /// Secrets that do not count on this route, with their app and setting: an explanation looks whether one of them was
    /// taken for one that does.
    pub(super) elsewhere: Vec<(String, &'static str, Vec<Secret>)>,
}

pub(super) struct App {
    pub(super) app_key: String,
    pub(super) secrets: Vec<Secret>,
    pub(super) freshness_seconds: u64,
}

/// Picks one of an app's lists of secrets.
type Pick = fn(&RongCloudApp) -> &Vec<Secret>;

/// One of the places where the four values can sit.
pub(super) struct Place {
    /// Its name.
    pub(super) name: &'static str,
    pub(super) read: for<'r> fn(&'r Incoming, &str) -> Parameter<'r>,
    pub(super) app_key: &'static [&'static str],
    pub(super) nonce: &'static str,
    pub(super) time: &'static [&'static str],
    pub(super) signature: &'static str,
}

/// In the order in which they are looked at; the first that has a signature is the one. The body is none of them,
/// although the vendor's demo would read it there.
const PLACES: [Place; 4] = [
    Place {
        name: "query",
        read: Incoming::parameter,
        app_key: &["appKey"],
        nonce: "nonce",
        time: &["timestamp", "signTimestamp"],
        signature: "signature",
    },
    Place {
        name: "query",
        read: Incoming::parameter,
        app_key: &["rc-app-key", "appKey"],
        nonce: "rc-nonce",
        time: &["rc-timestamp"],
        signature: "rc-signature",
    },
    Place {
        name: "header",
        read: Incoming::header,
        app_key: &["rc-app-key"],
        nonce: "rc-nonce",
        time: &["rc-timestamp"],
        signature: "rc-signature",
    },
    Place {
        name: "header",
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
        let lists: [(&'static str, Pick); 2] =
            [("secrets", |app| &app.secrets), ("relay_secrets", |app| &app.relay_secrets)];
        let elsewhere = config.apps.values().flat_map(|app| {
            let others = lists.iter().filter(|(other, _)| *other != list);
            others.map(|(other, secrets)| (app.app_key.clone(), *other, secrets(app).clone()))
        });
        let elsewhere = elsewhere.collect();
        let apps = config.apps.values().filter(|app| !secrets(app).is_empty()).map(|app| App {
            app_key: app.app_key.clone(),
            secrets: secrets(app).clone(),
            freshness_seconds: app.freshness_seconds,
        });
        Self { list, apps: apps.collect(), elsewhere }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.apps.iter().map(|app| app.app_key.clone()).collect()
    }

    /// Every secret, also those of the other route.
    pub(super) fn secrets(&self) -> Vec<&Secret> {
        let elsewhere = self.elsewhere.iter().flat_map(|(_, _, secrets)| secrets);
        self.apps.iter().flat_map(|app| &app.secrets).chain(elsewhere).collect()
    }

    /// Whether the request names one of the apps, where its signature stands or in its URL.
    pub(super) fn names_app(&self, request: &Incoming) -> bool {
        let named = match Place::of(request) {
            Some(place) => place.app_key(request),
            None => request.parameter("appKey"),
        };
        match named {
            Parameter::Once(key) => self.apps.iter().any(|app| app.app_key == key),
            Parameter::Repeated => false,
            // As in `verify`: with a single app there is no doubt, if anything is signed.
            Parameter::Absent => self.apps.len() == 1 && Place::of(request).is_some(),
        }
    }

    /// Finds the signature and checks it against every secret of the app that the request names.
    pub(super) fn verify(&self, request: &Incoming) -> Result<Identified<'_>, Refusal> {
        let place = Place::of(request).ok_or(Refusal::SignatureMissing)?;
        let value = |names: &[&str]| match place.one_of(request, names) {
            Parameter::Once(text) if !text.is_empty() => Ok(text),
            Parameter::Once(_) | Parameter::Absent => Err(Refusal::SignatureMissing),
            Parameter::Repeated => Err(Refusal::SignatureRepeated),
        };
        let (signature, nonce, time) =
            (value(&[place.signature])?, value(&[place.nonce])?, value(place.time)?);
        let app = match place.app_key(request) {
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

impl Place {
    /// The place that has a signature.
    pub(super) fn of(request: &Incoming) -> Option<&'static Self> {
        PLACES.iter().find(|place| (place.read)(request, place.signature) != Parameter::Absent)
    }

    /// The one value that stands under any of the names.
    pub(super) fn one_of<'r>(&self, request: &'r Incoming, names: &[&str]) -> Parameter<'r> {
        let mut found = Parameter::Absent;
        for name in names {
            found = match ((self.read)(request, name), found) {
                (Parameter::Absent, found) => found,
                (now, Parameter::Absent) => now,
                (_, Parameter::Once(_) | Parameter::Repeated) => Parameter::Repeated,
            };
        }
        found
    }

    /// The app's key. A signature in the headers may leave it to the URL.
    pub(super) fn app_key<'r>(&self, request: &'r Incoming) -> Parameter<'r> {
        match self.one_of(request, self.app_key) {
            Parameter::Absent => request.parameter("appKey"),
            named @ (Parameter::Once(_) | Parameter::Repeated) => named,
        }
    }
}

impl App {
    pub(super) fn fresh(&self, time: &str, now: i64) -> Result<(), Refusal> {
        if self.freshness_seconds == 0 {
            return Ok(());
        }
        let millis = millis(time)?;
        let window = self.freshness_seconds.saturating_mul(1000);
        if now.abs_diff(millis) > window { Err(Refusal::Stale) } else { Ok(()) }
    }
}

/// The signed time in milliseconds; the texts before 2021 count seconds.
pub(super) fn millis(time: &str) -> Result<i64, Refusal> {
    let time = field::digits(time).map_err(|_| Refusal::BadTime)?;
    Ok(if field::is_seconds(time) { time * 1000 } else { time })
}
