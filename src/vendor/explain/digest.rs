//! The hash functions that vendors sign with, by name, and the form that a digest can come in. Comparisons with what came are
//! made by [`super::proof`], in constant time.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use super::found::{self, Diagnosis};

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vendor) enum Algorithm {
    Md5,
    Sha1,
    Sha256,
}

/// All three take their input in blocks of this size, which HMAC wants to know.
const BLOCK: usize = 64;

impl Algorithm {
    pub(super) const ALL: [Self; 3] = [Self::Md5, Self::Sha1, Self::Sha256];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
        }
    }

    /// How many bytes a digest has.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The digest of the pieces, one behind the other.
    pub(super) fn hash(self, pieces: &[&[u8]]) -> Vec<u8> {
        fn of<D: Digest>(pieces: &[&[u8]]) -> Vec<u8> {
            let mut digest = D::new();
            pieces.iter().for_each(|piece| digest.update(piece));
            digest.finalize().as_slice().to_vec()
        }
        match self {
            Self::Md5 => of::<Md5>(pieces),
            Self::Sha1 => of::<Sha1>(pieces),
            Self::Sha256 => of::<Sha256>(pieces),
        }
    }

    /// The HMAC of the pieces: <https://www.rfc-editor.org/rfc/rfc2104>
    pub(super) fn hmac(self, key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
        let mut block = if key.len() > BLOCK { self.hash(&[key]) } else { key.to_vec() };
        block.resize(BLOCK, 0);
        let padded = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
        let (inner, outer) = (padded(0x36), padded(0x5c));
        let inside = self.hash(&[&[&*inner], pieces].concat());
        self.hash(&[&outer, &inside])
    }
}

/// What a signature can mean, as bytes, with the mistake that is in its form if there is one.
pub(super) fn meanings(came: &str) -> Vec<(Vec<u8>, Option<Diagnosis>)> {
    if let Ok(bytes) = hex::decode(came) {
        return vec![(bytes, None)];
    }
    let bare = came.trim().trim_matches(['"', '\'']);
    let is_name = |prefix: &str| prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let named = bare.split_once('=').filter(|(name, rest)| is_name(name) && rest.len() >= 2);
    let bare = named.map_or(bare, |(_, rest)| rest);
    let bare = bare.strip_prefix("0x").unwrap_or(bare).trim();
    if let Ok(bytes) = hex::decode(bare)
        && !bytes.is_empty()
    {
        return vec![(bytes, Some(found::SIGNATURE_DECORATED))];
    }
    let lenient = |alphabet: &base64::alphabet::Alphabet| {
        let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        GeneralPurpose::new(alphabet, padding)
    };
    let alphabets = [&base64::alphabet::STANDARD, &base64::alphabet::URL_SAFE];
    // A space may be a + that went through a query, at the beginning and the end, too.
    let texts = [came.trim_matches(['\r', '\n']), came.trim()].map(|text| text.replace(' ', "+"));
    let decoded = alphabets
        .iter()
        .flat_map(|alphabet| texts.iter().filter_map(|text| lenient(alphabet).decode(text.as_bytes()).ok()));
    decoded.map(|bytes| (bytes, Some(found::SIGNATURE_BASE64))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_4231_and_2202() {
        let hmac = |algorithm: Algorithm, key: &[u8], text: &str| {
            hex::encode(algorithm.hmac(key, &[text.as_bytes()]))
        };
        let question = "what do ya want for nothing?";
        let md5 = hmac(Algorithm::Md5, b"Jefe", question);
        assert_eq!(md5, "750c783e6ab0b503eaa86e310a5db738");
        let sha1 = hmac(Algorithm::Sha1, b"Jefe", question);
        assert_eq!(sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        let sha256 = hmac(Algorithm::Sha256, b"Jefe", question);
        assert_eq!(sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long =
            hmac(Algorithm::Sha256, &[0xaa; 131], "Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(long, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
        assert!(Algorithm::ALL.iter().all(|a| a.hash(&[]).len() == a.size()));
    }

    #[test]
    fn a_signature_is_read_in_the_forms_that_people_send() {
        let form = |came: &str| meanings(came).into_iter().map(|(bytes, why)| (bytes, why.map(|d| d.code)));
        let first = |came: &str| form(came).next();
        assert_eq!(first("fbFF"), Some((vec![0xfb, 0xff], None)));
        for came in [" fbff\n", "\"fbff\"", "sha256=fbff", "0xfbff"] {
            assert_eq!(first(came), Some((vec![0xfb, 0xff], Some("signature_decorated"))), "{came}");
        }
        for came in ["+/8=", " /8", "-_8"] {
            let read: Vec<_> = form(came).collect();
            assert!(read.contains(&(vec![0xfb, 0xff], Some("signature_base64"))), "{came}: {read:?}");
        }
        assert_eq!(first("é"), None);
    }
}
