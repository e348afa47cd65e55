//! RongCloud's signature, which its relay borrows: SHA-1 over secret, nonce and time, in the query.

use std::fmt::Write as _;

use http::Uri;
use sha1::{Digest, Sha1};

use super::caller::{Proof, in_url};
use super::world::World;
use crate::config::Secret;

/// What signs an app's requests.
pub(super) struct RongSignature {
    /// Up to where the parameters are appended.
    url: String,
    app_key: String,
    secret: Secret,
    /// How old a signature may be at the receiver; 0 is any age.
    window_seconds: u64,
    bad_proofs: Vec<(Proof, u16, &'static str)>,
}

impl RongSignature {
    pub(super) fn new(path_and_query: &str, app_key: &str, secret: Secret, window_seconds: u64) -> Self {
        let glue = if path_and_query.contains('?') { '&' } else { '?' };
        let mut bad_proofs = vec![
            (Proof::WrongSecret, 401, "bad_signature"),
            (Proof::WrongOrder, 401, "bad_signature"),
            (Proof::Missing, 401, "signature_missing"),
            (Proof::UnknownApp, 401, "unknown_app"),
        ];
        if window_seconds > 0 {
            bad_proofs.push((Proof::Stale, 401, "stale"));
        }
        let url = format!("{path_and_query}{glue}");
        Self { url, app_key: in_url(app_key), secret, window_seconds, bad_proofs }
    }

    pub(super) fn bad_proofs(&self) -> &[(Proof, u16, &'static str)] {
        &self.bad_proofs
    }

    /// `signature = lowercase_hex( SHA1( UTF8( AppSecret + nonce + timestamp ) ) )`
    /// <https://docs.rongcloud.cn/im/server/signature/>
    pub(super) fn target(&self, world: &mut World, proof: Proof) -> Uri {
        let app = if proof == Proof::UnknownApp { "no-app-key" } else { &self.app_key };
        // Text, so a leading zero matters.
        let nonce = format!("{:06}", world.random.below(1_000_000));
        let age = if proof == Proof::Stale { self.window_seconds.saturating_mul(2_000) } else { 0 };
        let time = world.now_ms().saturating_sub_unsigned(age).to_string();
        let secret = self.secret.expose();
        let signature = match proof {
            Proof::Good | Proof::Stale | Proof::UnknownApp => Some(sha1([secret, &nonce, &time])),
            Proof::WrongSecret => Some(sha1(["no-secret-of-the-app", &nonce, &time])),
            Proof::WrongOrder => Some(sha1([&nonce, &time, secret])),
            Proof::Missing => None,
        };
        // The routing of 2018 to 2021 called it so.
        let time_name = if world.random.chance(0.1) { "signTimestamp" } else { "timestamp" };
        let mut target = String::with_capacity(192);
        // Writing to a string does not fail.
        let _written = write!(target, "{}appKey={app}&nonce={nonce}&{time_name}={time}", self.url);
        if let Some(signature) = signature {
            let _written = write!(target, "&signature={signature}");
        }
        // Made of a URL and of plain characters; were it none, the receiver would say so.
        target.try_into().unwrap_or_default()
    }
}

fn sha1(parts: [&str; 3]) -> String {
    let digest = parts.into_iter().fold(Sha1::new(), |digest, part| digest.chain_update(part));
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_vendors_formula_does() {
        // Computed with `openssl sha1`.
        let signature = sha1(["Zr8KdPq3uXtN1", "731904", "1767000000000"]);
        assert_eq!(signature, "d368f225de7b0f56aab815b9dc61f38a70c4bd1d");
    }
}
