//! The signature of OpenIM Enterprise: an HMAC over the value of a nonce header, in another header; the operator names
//! both. The body is not covered.
//!
//! The documents fix the algorithms and what is signed. They do not say how the signature is written, so hexadecimal and
//! Base64 are read; nor what a nonce looks like and whether it holds a time, so neither its age nor its reuse is judged:
//! whoever has seen one signed request can send others. RSA and ECDSA are named without key format or padding, and are not
//! supported.
//! <https://docs.openim.io/platform-api/webhooks/overview>

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::super::outcome::Refusal;
use super::super::request::{Incoming, Parameter};
use super::super::sign;
use super::super::verified::SecretPlace;
use crate::config::{OpenImAlgorithm, OpenImApp, Secret};
use crate::receipt::Proof;

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What an app of OpenIM Enterprise signs with.
pub(super) struct Signature {
    algorithm: Algorithm,
    header: String,
    nonce_header: String,
    pub(super) secrets: Vec<Secret>,
}

/// The algorithms whose signature can be checked.
#[derive(Clone, Copy)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl Signature {
    /// Where an app has one.
    pub(super) fn new(app: &OpenImApp) -> Option<Self> {
        let algorithm = match app.signature_algorithm? {
            OpenImAlgorithm::HmacSha1 => Algorithm::Sha1,
            OpenImAlgorithm::HmacSha256 => Algorithm::Sha256,
            OpenImAlgorithm::HmacSha512 => Algorithm::Sha512,
            // The configuration refuses these.
            OpenImAlgorithm::RsaSha256 | OpenImAlgorithm::EcdsaSha256 => return None,
        };
        Some(Self {
            algorithm,
            header: app.signature_header.clone(),
            nonce_header: app.nonce_header.clone(),
            secrets: app.signature_secrets.clone(),
        })
    }

    /// Whether the request carries a signature, right or wrong.
    pub(super) fn is_offered(&self, request: &Incoming) -> bool {
        request.headers.contains_key(&self.header)
    }

    /// Whether one of the secrets signs the nonce that came.
    pub(super) fn check(&self, request: &Incoming) -> Result<(Proof, SecretPlace), Refusal> {
        let value = |name: &str| match request.header(name) {
            Parameter::Once(text) if !text.is_empty() => Ok(text),
            Parameter::Once(_) | Parameter::Absent => Err(Refusal::SignatureMissing),
            Parameter::Repeated => Err(Refusal::SignatureRepeated),
        };
        let (signature, nonce) = (value(&self.header)?, value(&self.nonce_header)?);
        let given = hex::decode(&*signature).or_else(|_| BASE64.decode(&*signature));
        let given = given.map_err(|_| Refusal::BadSignature)?;
        let (index, by) = match self.algorithm {
            Algorithm::Sha1 => (self.signed::<Hmac<Sha1>>(&nonce, &given), Proof::HmacSha1),
            Algorithm::Sha256 => (self.signed::<Hmac<Sha256>>(&nonce, &given), Proof::HmacSha256),
            Algorithm::Sha512 => (self.signed::<Hmac<Sha512>>(&nonce, &given), Proof::HmacSha512),
        };
        let index = index.ok_or(Refusal::BadSignature)?;
        Ok((by, SecretPlace { list: "signature_secrets", index }))
    }

    fn signed<M: Mac + KeyInit>(&self, nonce: &str, given: &[u8]) -> Option<usize> {
        sign::which(&self.secrets, |secret| {
            // Any length will do for a key of HMAC.
            let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret) else { return 0.into() };
            mac.update(nonce.as_bytes());
            sign::same(&mac.finalize().into_bytes(), given)
        })
    }
}
