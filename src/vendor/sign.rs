//! Digests and comparisons that vendors share. All comparisons take the same time wherever the first difference is.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::config::Secret;

/// Which of the secrets fits, by its place in the list. Every one is tried, so that the time does not tell which it was.
pub(super) fn which(secrets: &[Secret], fits: impl Fn(&[u8]) -> Choice) -> Option<usize> {
    let (mut found, mut place) = (Choice::from(0), 0_u32);
    for (at, secret) in (0_u32..).zip(secrets) {
        let fits = fits(secret.expose().as_bytes());
        place.conditional_assign(&at, fits);
        found |= fits;
    }
    bool::from(found).then_some(place as usize)
}

/// The secret under which `signature` is the hexadecimal digest of the concatenated parts; `parts` puts a secret in its
/// place.
fn signed_with<D: Digest>(
    secrets: &[Secret],
    signature: &str,
    parts: impl Fn(&mut D, &[u8]),
) -> Option<usize> {
    let mut claimed = [0_u8; 32];
    let claimed = claimed.get_mut(..<D as Digest>::output_size())?;
    // Upper-case digits pass too: no vendor sends them, and they prove the same.
    hex::decode_to_slice(signature, claimed).ok()?;
    which(secrets, |secret| {
        let mut digest = D::new();
        parts(&mut digest, secret);
        digest.finalize().as_slice().ct_eq(claimed)
    })
}

/// Whether two digests are the same.
pub(super) fn same(one: &[u8], other: &[u8]) -> Choice {
    one.ct_eq(other)
}

/// MD5 over `before`, the secret, `after`.
pub(super) fn md5(secrets: &[Secret], signature: &str, before: &str, after: &str) -> Option<usize> {
    signed_with::<Md5>(secrets, signature, |digest, secret| {
        digest.update(before);
        digest.update(secret);
        digest.update(after);
    })
}

/// SHA-1 over the secret, then the parts.
pub(super) fn sha1(secrets: &[Secret], signature: &str, parts: [&str; 2]) -> Option<usize> {
    signed_with::<Sha1>(secrets, signature, |digest, secret| {
        digest.update(secret);
        parts.iter().for_each(|part| digest.update(part));
    })
}

/// SHA-256 over the secret, then the text.
pub(super) fn sha256(secrets: &[Secret], signature: &str, text: &str) -> Option<usize> {
    signed_with::<Sha256>(secrets, signature, |digest, secret| {
        digest.update(secret);
        digest.update(text);
    })
}

/// The secret that `given` is.
pub(super) fn one_of(secrets: &[Secret], given: &[u8]) -> Option<usize> {
    which(secrets, |secret| secret.ct_eq(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_worked_examples() {
        let secret = |text: &str| [Secret::from(text.to_owned())];
        let easemob = md5(
            &secret("k7Qe2vRz9LmXw4Tn"),
            "98f3775d76f80d73b65c844b90fa3780",
            "1122230411#harbor-chat_1490019900000000102",
            "1755000000102",
        );
        assert_eq!(easemob, Some(0));
        let token = secret("rr_tok-7f3kQ2vZ");
        let sign = "adf067db4fa103aae1e680e64f2d98920b26eb36417b98e753afd0c6328abf66";
        assert_eq!(sha256(&token, sign, "1759999998"), Some(0));
        assert_eq!(sha256(&token, &sign.to_uppercase(), "1759999998"), Some(0));
        assert_eq!(sha256(&token, sign, "1759999999"), None);
        let app = secret("Zr8KdPq3uXtN1");
        let rongcloud = sha1(&app, "d368f225de7b0f56aab815b9dc61f38a70c4bd1d", ["731904", "1767000000000"]);
        assert_eq!(rongcloud, Some(0));
    }

    #[test]
    fn odd_signatures_are_wrong_and_nothing_else() {
        let secret = [Secret::from("s".to_owned())];
        for odd in
            ["", "0", "zz", "98f3775d76f80d73b65c844b90fa378", "é", "98f3775d76f80d73b65c844b90fa37800"]
        {
            assert_eq!(md5(&secret, odd, "a", "b"), None, "{odd}");
        }
    }

    #[test]
    fn the_secret_that_fits_is_told_by_its_place() {
        let secrets = ["old", "new", "newer"].map(|text| Secret::from(text.to_owned()));
        let found = ["old", "new", "newer", "none", ""].map(|given| one_of(&secrets, given.as_bytes()));
        assert_eq!(found, [Some(0), Some(1), Some(2), None, None]);
        assert_eq!(one_of(&[], b""), None);
    }
}
