//! Whether a callback proves what a vendor's room says that it proves: computed once more, from the request
//! and the configuration, without the room's code.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use md5::{Digest, Md5};
use percent_encoding::percent_decode_str;
use readhook::config::{OpenImApp, RongCloudApp, Secret};
use readhook::receipt::Proof;
use readhook::vendor::Incoming;
use serde_json::value::RawValue;
use sha1::Sha1;
use sha2::Sha256;

use crate::Target;
use crate::setting::Setting;

/// Whether the request proves by `by` that it is the app's.
pub fn holds(target: Target, setting: &Setting, request: &Incoming, app: &str, by: Proof) -> bool {
    let config = &setting.config;
    match target {
        Target::Easemob => {
            let secrets =
                config.easemob.apps.values().find(|known| known.appkey == app).map(|app| &app.secrets);
            let (Some(secrets), Some(fields)) = (secrets, Easemob::read(&request.body)) else {
                return false;
            };
            let security = fields.security.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
            let security = security.unwrap_or_default();
            by == Proof::Md5
                && fields.appkey == app
                && secrets.iter().any(|secret| security.eq_ignore_ascii_case(&fields.digest(secret)))
        }
        Target::Tencent => {
            let known = config.tencent.apps.values().find(|known| known.sdk_app_id == app);
            let Some(tokens) = known.map(|known| &known.secrets) else {
                return false;
            };
            let spellings = ["SdkAppid", "SDKAppID"].map(|name| parameters(request.query(), name));
            if spellings.concat() != [app] {
                return false;
            }
            if tokens.is_empty() {
                return by == Proof::AppId;
            }
            let signs = parameters(request.query(), "Sign");
            let times = parameters(request.query(), "RequestTime");
            let ([sign], [time]) = (&*signs, &*times) else {
                return false;
            };
            let now = request.received_at.as_seconds();
            by == Proof::Sha256
                && time.parse::<i64>().is_ok_and(|time| (time - now).abs() <= 60)
                && tokens.iter().any(|token| sign.eq_ignore_ascii_case(&tencent_sign(token, time)))
        }
        Target::OpenIm => config.openim.apps.get(app).is_some_and(|app| openim(app, request) == Some(by)),
        Target::RongCloud | Target::Relay => {
            let known = config.rongcloud.apps.values().find(|known| known.app_key == app);
            by == Proof::Sha1 && known.is_some_and(|known| rongcloud(target, known, request))
        }
    }
}

/// Every value of a query parameter.
pub fn parameters<'q>(query: &'q str, name: &str) -> Vec<Cow<'q, str>> {
    form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name).map(|(_, value)| value).collect()
}

/// Every value of a header field.
fn fields<'h>(headers: &'h HeaderMap, name: &str) -> Vec<Cow<'h, str>> {
    let name = HeaderName::try_from(name).ok();
    let values = name.iter().flat_map(|name| headers.get_all(name));
    values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
}

/// What Easemob's signature is made of, and where it stands.
pub struct Easemob<'b> {
    /// `callId`
    pub call_id: String,
    /// The digits or the text, as they are signed.
    pub timestamp: String,
    /// The app that the callback names.
    pub appkey: String,
    /// The signature, if there is one.
    pub security: Option<&'b RawValue>,
}

impl<'b> Easemob<'b> {
    /// Finds them, where they are all there.
    pub fn read(body: &'b [u8]) -> Option<Self> {
        let fields: HashMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
        let text =
            |name: &str| fields.get(name).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let call_id = text("callId").filter(|text| !text.is_empty())?;
        let raw = fields.get("timestamp")?.get();
        let timestamp = match raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            true => raw.to_owned(),
            false => text("timestamp").filter(|text| !text.is_empty())?,
        };
        let appkey = match fields.get("appkey").map(|raw| raw.get()) {
            None | Some("null") => None,
            Some(_) => Some(text("appkey")?).filter(|text| !text.is_empty()),
        };
        let appkey = appkey.or_else(|| call_id.rsplit_once('_').map(|(app, _)| app.to_owned()))?;
        Some(Self { call_id, timestamp, appkey, security: fields.get("security").copied() })
    }

    /// The signature that it should have under a secret.
    pub fn digest(&self, secret: &Secret) -> String {
        let digest = Md5::new().chain_update(&self.call_id).chain_update(secret.expose());
        hex::encode(digest.chain_update(&self.timestamp).finalize())
    }
}

/// Tencent's `Sign` at a time.
pub fn tencent_sign(token: &Secret, time: &str) -> String {
    hex::encode(Sha256::new().chain_update(token.expose()).chain_update(time).finalize())
}

/// The strongest proof, if every one that the app asks for holds.
fn openim(app: &OpenImApp, request: &Incoming) -> Option<Proof> {
    let is_one_of = |secrets: &[Secret], given: &[u8]| secrets.iter().any(|s| s.expose().as_bytes() == given);
    let mut proof = app.allow_unauthenticated.then_some(Proof::None);
    if !app.allowed_ips.is_empty() {
        app.allowed_ips.iter().any(|range| range.contains(request.client)).then_some(())?;
        proof = Some(Proof::Ip);
    }
    if !app.basic_auth.is_empty() {
        let mut given = request.headers.get_all(AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return None;
        };
        let (scheme, credentials) = given.to_str().ok()?.split_once(' ')?;
        let credentials = BASE64_STANDARD.decode(credentials.trim()).ok()?;
        let basic = scheme.eq_ignore_ascii_case("basic") && is_one_of(&app.basic_auth, &credentials);
        basic.then_some(())?;
        proof = Some(Proof::Basic);
    }
    if !app.path_tokens.is_empty() {
        let first = request.tail().split('/').find(|segment| !segment.is_empty())?;
        is_one_of(&app.path_tokens, &percent_decode_str(first).collect::<Vec<u8>>()).then_some(())?;
        proof = Some(Proof::PathToken);
    }
    proof
}

/// A place where RongCloud's signature can stand.
pub struct Place {
    /// In the header, not in the query.
    pub in_header: bool,
    /// The names of the app.
    pub app: &'static [&'static str],
    /// The name of the nonce.
    pub nonce: &'static str,
    /// The names of the time.
    pub time: &'static [&'static str],
    /// The name of the signature.
    pub signature: &'static str,
}

/// The four, as docs/vendors/rongcloud.md has them.
pub const PLACES: [Place; 4] = [
    Place {
        in_header: false,
        app: &["appKey"],
        nonce: "nonce",
        time: &["timestamp", "signTimestamp"],
        signature: "signature",
    },
    Place {
        in_header: false,
        app: &["rc-app-key", "appKey"],
        nonce: "rc-nonce",
        time: &["rc-timestamp"],
        signature: "rc-signature",
    },
    Place {
        in_header: true,
        app: &["rc-app-key"],
        nonce: "rc-nonce",
        time: &["rc-timestamp"],
        signature: "rc-signature",
    },
    Place {
        in_header: true,
        app: &["app-key", "appkey"],
        nonce: "nonce",
        time: &["timestamp"],
        signature: "signature",
    },
];

impl Place {
    /// Every value that stands here under one of the names.
    pub fn values<'r>(&self, query: &'r str, headers: &'r HeaderMap, names: &[&str]) -> Vec<Cow<'r, str>> {
        let values = names.iter().flat_map(|name| match self.in_header {
            true => fields(headers, name),
            false => parameters(query, name),
        });
        values.collect()
    }

    /// The app that is named: here, or else in the query.
    pub fn apps<'r>(&self, query: &'r str, headers: &'r HeaderMap) -> Vec<Cow<'r, str>> {
        let here = self.values(query, headers, self.app);
        if here.is_empty() { parameters(query, "appKey") } else { here }
    }
}

/// The secrets that an app has for a target.
pub fn rongcloud_secrets(target: Target, app: &RongCloudApp) -> &[Secret] {
    if target == Target::Relay { &app.relay_secrets } else { &app.secrets }
}

/// RongCloud's signature.
pub fn rongcloud_sign(secret: &Secret, nonce: &str, time: &str) -> String {
    hex::encode(Sha1::new().chain_update(secret.expose()).chain_update(nonce).chain_update(time).finalize())
}

fn rongcloud(target: Target, app: &RongCloudApp, request: &Incoming) -> bool {
    let (query, headers) = (request.query(), &request.headers);
    PLACES.iter().any(|place| {
        let signatures = place.values(query, headers, &[place.signature]);
        let nonces = place.values(query, headers, &[place.nonce]);
        let times = place.values(query, headers, place.time);
        let apps = place.apps(query, headers);
        let ([signature], [nonce], [time]) = (&*signatures, &*nonces, &*times) else {
            return false;
        };
        let fresh = app.freshness_seconds == 0
            || time.parse::<i64>().is_ok_and(|time| {
                let millis = if time < 100_000_000_000 { time * 1000 } else { time };
                request.received_at.as_millis().abs_diff(millis) <= app.freshness_seconds * 1000
            });
        let right = |secret| {
            !nonce.is_empty() && signature.eq_ignore_ascii_case(&rongcloud_sign(secret, nonce, time))
        };
        fresh
            && (apps.is_empty() || *apps == [&*app.app_key])
            && rongcloud_secrets(target, app).iter().any(right)
    })
}
