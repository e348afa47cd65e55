//! Who may come in: one OpenIM app and the proofs it asks for. Every kind that is configured must hold, any value of
//! a kind may; so a token can be rotated, and an address list narrows a token instead of replacing it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;

use super::super::outcome::Refusal;
use super::super::request::Incoming;
use super::super::sign;
use super::super::verified::SecretPlace;
use super::reads::Settings;
use super::signature::Signature;
use crate::config::{Network, OpenImApp, Secret};
use crate::receipt::Proof;

/// One app's door.
pub(super) struct Door {
    app: String,
    pub(super) path_tokens: Vec<Secret>,
    pub(super) basic_auth: Vec<Secret>,
    pub(super) allowed_ips: Vec<Network>,
    pub(super) signature: Option<Signature>,
    pub(super) reads: Settings,
}

impl Door {
    pub(super) fn new(name: &str, app: &OpenImApp) -> Self {
        Self {
            app: name.to_owned(),
            path_tokens: app.path_tokens.clone(),
            basic_auth: app.basic_auth.clone(),
            allowed_ips: app.allowed_ips.clone(),
            signature: Signature::new(app),
            reads: Settings { epoch: app.epoch, notifications: app.reads_from_notifications },
        }
    }

    /// The app's name.
    pub(super) fn app(&self) -> &str {
        &self.app
    }

    /// Every secret of the app.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let signing = self.signature.iter().flat_map(|signature| &signature.secrets);
        self.path_tokens.iter().chain(&self.basic_auth).chain(signing)
    }

    /// How exacting the door is; the most exacting is asked first.
    pub(super) fn rank(&self) -> u8 {
        let none = self.path_tokens.is_empty() && self.basic_auth.is_empty() && self.signature.is_none();
        match (none, self.allowed_ips.is_empty()) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        }
    }

    /// The strongest of the proofs that the request carries, and its secret, if it carries all that are asked for.
    pub(super) fn admit(&self, request: &Incoming) -> Result<(Proof, Option<SecretPlace>), Refusal> {
        let mut proof = (Proof::None, None);
        if !self.allowed_ips.is_empty() {
            if !self.allowed_ips.iter().any(|net| net.contains(request.client)) {
                return Err(Refusal::BadAddress);
            }
            proof = (Proof::Ip, None);
        }
        if !self.basic_auth.is_empty() {
            let index = basic(request).and_then(|given| sign::one_of(&self.basic_auth, &given));
            let index = index.ok_or(Refusal::BadCredentials)?;
            proof = (Proof::Basic, Some(SecretPlace { list: "basic_auth", index }));
        }
        if !self.path_tokens.is_empty() {
            let index = sign::one_of(&self.path_tokens, &token(request)).ok_or(Refusal::BadToken)?;
            proof = (Proof::PathToken, Some(SecretPlace { list: "path_tokens", index }));
        }
        if let Some(signature) = &self.signature {
            let (by, place) = signature.check(request)?;
            proof = (by, Some(place));
        }
        Ok(proof)
    }
}

/// The first segment of the path behind the route, decoded.
pub(super) fn token(request: &Incoming) -> Vec<u8> {
    let first = request.tail().split('/').find(|segment| !segment.is_empty()).unwrap_or_default();
    percent_decode_str(first).collect()
}

/// `user:password` of a single `Authorization: Basic` field.
pub(super) fn basic(request: &Incoming) -> Option<Vec<u8>> {
    let mut fields = request.headers.get_all(AUTHORIZATION).iter();
    let (field, None) = (fields.next()?, fields.next()) else {
        return None;
    };
    let (scheme, credentials) = field.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| BASE64_STANDARD.decode(credentials.trim()).ok())?
}
