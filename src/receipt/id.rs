//! Identity: the facts by which a repeat is known, and the id that is made of them, for the journal and for consumers.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// The facts that make two vendor events the same one, in an unambiguous form, of which nothing but the hash is kept.
///
/// Each part ends in `00 01` and a zero byte inside a part is written `00 FF`, so no two lists of parts give the same
/// bytes. The form must never change: ids are made of it, and consumers know repeats by them.
pub struct Key(Sha256);

impl Key {
    /// Starts a key in a namespace of its own, for example `easemob` or `tencent/group`.
    pub fn new(namespace: &'static str) -> Self {
        Self(Sha256::new_with_prefix(namespace)).end()
    }

    /// Adds a part.
    #[must_use]
    pub fn part(mut self, part: &[u8]) -> Self {
        for (at, piece) in part.split(|byte| *byte == 0).enumerate() {
            if at > 0 {
                self.0.update([0, 0xFF]);
            }
            self.0.update(piece);
        }
        self.end()
    }

    /// Adds an integer, in eight bytes.
    #[must_use]
    pub fn integer(mut self, value: i64) -> Self {
        self.0.update((value.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        self
    }

    /// The first half of its SHA-256: the same event, the same id, on every replica and after every retry.
    pub fn id(self) -> ReceiptId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0.finalize()[..16]);
        ReceiptId(id)
    }

    fn end(mut self) -> Self {
        self.0.update([0, 1]);
        self
    }
}

/// The id of a receipt: 128 bits, 32 lower-case hexadecimal digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiptId([u8; 16]);

impl ReceiptId {
    /// For an event that nothing identifies: the caller brings 128 random bits.
    pub fn random(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// Appends its digits.
    pub(super) fn write(self, text: &mut String) {
        let mut digits = [0; 32];
        // Neither fails: there is room for exactly them, and they are ASCII.
        if hex::encode_to_slice(self.0, &mut digits).is_ok() {
            text.push_str(std::str::from_utf8(&digits).unwrap_or_default());
        }
    }

    /// Its first 64 bits, by which it is looked up.
    pub fn fingerprint(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for ReceiptId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id)?;
        Ok(Self(id))
    }
}

impl Serialize for ReceiptId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReceiptId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom("not 32 hexadecimal digits"))
    }
}

impl JsonSchema for ReceiptId {
    fn schema_name() -> Cow<'static, str> {
        "ReceiptId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_run_together() {
        let key = |parts: &[&[u8]]| parts.iter().fold(Key::new("t"), |key, part| key.part(part)).id();
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_ne!(key(&[b"a\0", b"\x01"]), key(&[b"a", b"\0\x01"]));
        assert_ne!(key(&[b"a", b""]), key(&[b"a"]));
    }

    #[test]
    fn the_form_is_what_it_always_was() {
        let id = Key::new("t").part(b"a\0\0b").part(b"").integer(-2).part(b"c").id();
        let bytes = b"t\0\x01a\0\xFF\0\xFFb\0\x01\0\x01\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFEc\0\x01";
        assert_eq!(id.to_string(), hex::encode(&Sha256::digest(bytes)[..16]));
        assert!(id.to_string().starts_with(&format!("{:016x}", id.fingerprint())));
    }
}
