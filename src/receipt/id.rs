//! Identity: the key by which a repeat is known, and the id that consumers see, which is made from it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// The facts that make two vendor events the same one, in an order-preserving and unambiguous form.
///
/// Order-preserving, because vendors' ids grow with time and an index whose inserts go to its right edge costs a
/// third of one with random inserts; so a key is the vendor's own text and not a hash. Each part ends in `00 01`
/// and a zero byte inside a part is written `00 FF`, so no two lists of parts give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// Starts a key in a namespace of its own, for example `easemob` or `tencent/group`.
    pub fn new(namespace: &'static str) -> Self {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(namespace.as_bytes());
        Self(bytes).end()
    }

    /// Adds a part.
    #[must_use]
    pub fn part(mut self, part: &[u8]) -> Self {
        match part.contains(&0) {
            false => self.0.extend_from_slice(part),
            true => {
                for &byte in part {
                    self.0.push(byte);
                    if byte == 0 {
                        self.0.push(0xFF);
                    }
                }
            }
        }
        self.end()
    }

    /// Adds an integer, in eight bytes that sort as the integers do.
    #[must_use]
    pub fn integer(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&(value.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        self
    }

    /// The bytes that the journal keeps unique.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the bytes away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn end(mut self) -> Self {
        self.0.extend_from_slice(&[0, 1]);
        self
    }
}

/// The id of a receipt: 128 bits, 32 lower-case hexadecimal digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiptId([u8; 16]);

impl ReceiptId {
    /// The first half of SHA-256 over the key: the same event, the same id, on every replica and after every retry.
    pub fn of(key: &Key) -> Self {
        let digest = Sha256::digest(key.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// For an event that nothing identifies: the caller brings 128 random bits.
    pub fn random(bits: [u8; 16]) -> Self {
        Self(bits)
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
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
        let mut id = [0; 16];
        hex::decode_to_slice(text.as_bytes(), &mut id)
            .map_err(|_| de::Error::custom("not 32 hexadecimal digits"))?;
        Ok(Self(id))
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
        let key = |parts: &[&[u8]]| parts.iter().fold(Key::new("t"), |key, part| key.part(part));
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_ne!(key(&[b"a\0", b"\x01"]), key(&[b"a", b"\0\x01"]));
        assert_ne!(key(&[b"a", b""]), key(&[b"a"]));
    }

    #[test]
    fn integers_sort_as_they_count() {
        let key = |n| Key::new("t").integer(n).into_bytes();
        assert!(key(i64::MIN) < key(-1) && key(-1) < key(0) && key(0) < key(i64::MAX));
    }
}
