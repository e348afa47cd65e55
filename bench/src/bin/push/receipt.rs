//! A receipt as its JSON, with the few facts that make its address, key and envelope. They are made as readhook makes
//! them, so that the same bytes go out; its own tests say whether they are right.

use std::borrow::Cow;

use anyhow::Result;
use serde::Deserialize;

/// The envelope's `specversion` and `type`.
pub(crate) const SPEC_VERSION: &str = "1.0";
pub(crate) const EVENT_TYPE: &str = "readhook.receipt.v1";

#[derive(Deserialize)]
pub(crate) struct Receipt<'a> {
    #[serde(skip)]
    pub(crate) json: &'a str,
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) vendor: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) app: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) conversation: Conversation<'a>,
    #[serde(borrow)]
    pub(crate) received_at: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(crate) struct Conversation<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) id: Option<Cow<'a, str>>,
}

impl<'a> Receipt<'a> {
    pub(crate) fn read(json: &'a str) -> Result<Self> {
        Ok(Self { json, ..serde_json::from_str(json)? })
    }

    /// What keeps a conversation together.
    pub(crate) fn key(&self) -> String {
        let id = self.conversation.id.as_deref().unwrap_or_default();
        format!("{}/{}/{}/{id}", self.vendor, self.app, self.conversation.kind)
    }

    /// The envelope's `source`.
    pub(crate) fn source(&self) -> String {
        let mut source = format!("/readhook/{}/", self.vendor);
        for byte in self.app.bytes() {
            match byte {
                b'-' | b'.' | b'_' | b'~' => source.push(byte.into()),
                _ if byte.is_ascii_alphanumeric() => source.push(byte.into()),
                _ => source.push_str(&format!("%{byte:02X}")),
            }
        }
        source
    }

    /// The subject of NATS.
    pub(crate) fn subject(&self, prefix: &str) -> String {
        let word =
            |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_', "_");
        let [vendor, app, kind] = [&self.vendor, &self.app, &self.conversation.kind].map(|text| word(text));
        format!("{prefix}.{vendor}.{app}.{kind}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_become_addresses() {
        let json = r#"{"id":"1f","vendor":"easemob","app":"1#demo","conversation":{"type":"group","id":"9"},"received_at":"now"}"#;
        let receipt = Receipt::read(json).unwrap();
        assert_eq!(receipt.json, json);
        assert_eq!(receipt.key(), "easemob/1#demo/group/9");
        assert_eq!(receipt.source(), "/readhook/easemob/1%23demo");
        assert_eq!(receipt.subject("readhook"), "readhook.easemob.1_demo.group");
    }
}
