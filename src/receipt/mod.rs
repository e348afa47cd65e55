//! `ReadReceipt` v1, the one event that every vendor's callback becomes and every sink gets: one reader, one
//! read position. This room holds the words and their JSON; it knows no vendor, no journal and no HTTP.

mod extra;
mod id;
mod line;
mod schema;
mod timestamp;
mod trace;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use extra::{Extra, Fact};
pub use id::{Key, ReceiptId};
pub use schema::schema;
pub use timestamp::Timestamp;
pub use trace::TraceContext;

/// One reader and one read position, as one vendor reported it.
///
/// What the vendor does not say is absent, except `conversation.id` and `read_at`, which are then null.
// Borrowed while a callback is being read, `'static` once it comes back out of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "ReadReceipt v1", rename = "ReadReceipt")]
pub struct ReadReceipt<'a> {
    /// Deterministic: the same vendor event always gives the same id, whenever it arrives. The dedupe key for
    /// consumers. Random only where the vendor gives nothing that tells two events apart.
    pub id: ReceiptId,
    /// The vendor whose callback this was.
    pub vendor: VendorName,
    /// The vendor's app identity: Easemob appkey, Tencent SdkAppid, RongCloud appKey; for OpenIM the app's name
    /// in the configuration.
    pub app: Cow<'a, str>,
    /// Where the message was read.
    pub conversation: Conversation<'a>,
    /// User id of who has read, spelled as the vendor spelled it.
    pub reader: Cow<'a, str>,
    /// How much the receipt covers.
    pub scope: Scope,
    /// The message read; with scope `up_to`, the message that the vendor named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Cow<'a, str>>,
    /// Position inside the conversation, where the vendor counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_seq: Option<i64>,
    /// With scope `up_to`: everything sent until this moment is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to_time: Option<Timestamp>,
    /// Author of the message, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<Cow<'a, str>>,
    /// The vendor's totals after this receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// The vendor's time of the event; null when it says none.
    #[serde(default)]
    pub read_at: Option<Timestamp>,
    /// When readhook took the callback in.
    pub received_at: Timestamp,
    /// The proof that the request carried.
    pub verified_by: Proof,
    /// The vendor's name of the event, for example `read_ack` or `Group.CallbackAfterReadReceipt`.
    pub event: Cow<'a, str>,
    /// The vendor's own id of the event, where there is one (callId, msgUID, operationID).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Cow<'a, str>>,
    /// Vendor facts worth keeping.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra<'a>,
}

/// Where a message was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Conversation")]
pub struct Conversation<'a> {
    /// What kind of conversation it is.
    #[serde(rename = "type")]
    pub kind: ConversationKind,
    /// Direct: the reader's peer; group: the group id; null when the vendor does not name it.
    #[serde(default)]
    pub id: Option<Cow<'a, str>>,
}

impl<'a> Conversation<'a> {
    /// A one-to-one conversation of the reader with `peer`.
    pub fn direct(peer: impl Into<Cow<'a, str>>) -> Self {
        Self { kind: ConversationKind::Direct, id: Some(peer.into()) }
    }

    /// A group.
    pub fn group(id: impl Into<Cow<'a, str>>) -> Self {
        Self { kind: ConversationKind::Group, id: Some(id.into()) }
    }

    /// A conversation that the vendor does not name.
    pub fn unnamed(kind: ConversationKind) -> Self {
        Self { kind, id: None }
    }
}

/// The kind of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConversationKind {
    /// One-to-one.
    Direct,
    /// A group.
    Group,
    /// System notifications.
    Notification,
    /// The vendor does not say.
    Unknown,
}

impl ConversationKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Group, Self::Notification, Self::Unknown];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Notification => "notification",
            Self::Unknown => "unknown",
        }
    }
}

/// How much a receipt covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This message.
    Message,
    /// Everything up to a position.
    UpTo,
    /// The whole conversation as of `read_at`.
    Conversation,
}

impl Scope {
    /// The word on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::UpTo => "up_to",
            Self::Conversation => "conversation",
        }
    }
}

/// A vendor's totals for a message; each is absent where the vendor does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// How many have read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<i64>,
    /// How many have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<i64>,
}

impl Counts {
    /// The totals, or nothing when neither is known.
    pub fn new(read: Option<i64>, unread: Option<i64>) -> Option<Self> {
        (read.is_some() || unread.is_some()).then_some(Self { read, unread })
    }
}

/// The vendors that readhook serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VendorName {
    /// Easemob (环信), Agora Chat, EasyIM.
    Easemob,
    /// Tencent Cloud Chat.
    Tencent,
    /// OpenIM.
    OpenIm,
    /// RongCloud (融云), Nexconn.
    RongCloud,
}

impl VendorName {
    /// Every vendor, in the order of the documents.
    pub const ALL: [Self; 4] = [Self::Easemob, Self::Tencent, Self::OpenIm, Self::RongCloud];

    /// The word in routes, on the wire, in metrics and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Easemob => "easemob",
            Self::Tencent => "tencent",
            Self::OpenIm => "openim",
            Self::RongCloud => "rongcloud",
        }
    }
}

impl std::fmt::Display for VendorName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What proved a request genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Easemob's MD5 signature.
    Md5,
    /// Tencent's SHA-256 signature with the callback token.
    Sha256,
    /// RongCloud's SHA-1 signature.
    Sha1,
    /// Tencent without a token: the SdkAppid matched, nothing more.
    AppId,
    /// OpenIM Enterprise: an HMAC over a nonce.
    HmacSha1,
    /// The same with SHA-256.
    HmacSha256,
    /// The same with SHA-512.
    HmacSha512,
    /// OpenIM: a secret path segment.
    PathToken,
    /// OpenIM: HTTP Basic.
    Basic,
    /// OpenIM: the peer's address is on the allow-list.
    Ip,
    /// Nothing; the operator allowed it in so many words.
    None,
}

impl Proof {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::AppId => "app_id",
            Self::HmacSha1 => "hmac_sha1",
            Self::HmacSha256 => "hmac_sha256",
            Self::HmacSha512 => "hmac_sha512",
            Self::PathToken => "path_token",
            Self::Basic => "basic",
            Self::Ip => "ip",
            Self::None => "none",
        }
    }
}
