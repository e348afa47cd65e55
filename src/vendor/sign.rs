//! Digests and comparisons that vendors share. All comparisons take the same time wherever the first difference is.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::config::Secret;

/// Whether `signature` is the hexadecimal digest of the concatenated parts under any of the secrets; `parts` puts a
/// secret in its place. Every secret is tried, so that the time does not tell which one fits.
fn any_secret<D: Digest>(secrets: &[Secret], signature: &str, parts: impl Fn(&mut D, &[u8])) -> bool {
    let mut claimed = [0_u8; 32];
    let Some(claimed) = claimed.get_mut(..<D as Digest>::output_size()) else {
        return false;
    };
    // Upper-case digits pass too: no vendor sends them, and they prove the same.
    if hex::decode_to_slice(signature, claimed).is_err() {
        return false;
    }
    let mut fits = subtle::Choice::from(0);
    for secret in secrets {
        let mut digest = D::new();
        parts(&mut digest, secret.expose().as_bytes());
        fits |= digest.finalize().as_slice().ct_eq(claimed);
    }
    fits.into()
}

/// MD5 over `before`, the secret, `after`.
pub(super) fn md5(secrets: &[Secret], signature: &str, before: &str, after: &str) -> bool {
    any_secret::<Md5>(secrets, signature, |digest, secret| {
        digest.update(before);
        digest.update(secret);
        digest.update(after);
    })
}

/// SHA-1 over the secret, then the parts.
pub(super) fn sha1(secrets: &[Secret], signature: &str, parts: [&str; 2]) -> bool {
    any_secret::<Sha1>(secrets, signature, |digest, secret| {
        digest.update(secret);
        parts.iter().for_each(|part| digest.update(part));
    })
}

/// SHA-256 over the secret, then the text.
pub(super) fn sha256(secrets: &[Secret], signature: &str, text: &str) -> bool {
    any_secret::<Sha256>(secrets, signature, |digest, secret| {
        digest.update(secret);
        digest.update(text);
    })
}

/// Whether `given` is one of the secrets.
pub(super) fn is_one_of(secrets: &[Secret], given: &[u8]) -> bool {
    let mut fits = subtle::Choice::from(0);
    for secret in secrets {
        fits |= secret.expose().as_bytes().ct_eq(given);
    }
    fits.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_worked_examples() {
        let secret = |text: &str| [Secret::from(text.to_owned())];
        assert!(md5(
            &secret("k7Qe2vRz9LmXw4Tn"),
            "98f3775d76f80d73b65c844b90fa3780",
            "1122230411#harbor-chat_1490019900000000102",
            "1755000000102",
        ));
        let token = secret("rr_tok-7f3kQ2vZ");
        let sign = "adf067db4fa103aae1e680e64f2d98920b26eb36417b98e753afd0c6328abf66";
        assert!(sha256(&token, sign, "1759999998") && sha256(&token, &sign.to_uppercase(), "1759999998"));
        assert!(!sha256(&token, sign, "1759999999"));
        let app = secret("Zr8KdPq3uXtN1");
        assert!(sha1(&app, "d368f225de7b0f56aab815b9dc61f38a70c4bd1d", ["731904", "1767000000000"]));
    }

    #[test]
    fn odd_signatures_are_wrong_and_nothing_else() {
        let secret = [Secret::from("s".to_owned())];
        for odd in
            ["", "0", "zz", "98f3775d76f80d73b65c844b90fa378", "é", "98f3775d76f80d73b65c844b90fa37800"]
        {
            assert!(!md5(&secret, odd, "a", "b"), "{odd}");
        }
    }
}
