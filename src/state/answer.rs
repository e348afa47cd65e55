//! Questions to the read state and their answers, typed. What they look like over HTTP is the admin API's affair.

use serde::Serialize;

use crate::journal::Seq;
use crate::receipt::{ConversationKind, Timestamp, VendorName};

/// Which message, in the vendor's own terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// By its id.
    Id(String),
    /// By its place in the conversation, where the vendor counts.
    Seq(i64),
}

/// Who has read this message?
#[derive(Debug, Clone)]
pub struct MessageQuestion {
    /// Whose.
    pub vendor: VendorName,
    /// The vendor's app identity.
    pub app: String,
    /// Only in conversations of this kind: a user and a group may share an id.
    pub kind: Option<ConversationKind>,
    /// The conversation's id.
    pub conversation: String,
    /// The message.
    pub message: Message,
    /// When it was sent; with it, who has read up to a later time has read it, too.
    pub sent_at: Option<Timestamp>,
    /// Only this reader.
    pub reader: Option<String>,
    /// Go on behind this reader.
    pub behind: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Who has read a message, one page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readers {
    /// In the order of their ids, each once.
    pub readers: Vec<Reader>,
    /// Of all pages.
    pub counts: ReaderCounts,
    /// The last reader of this page, when there are more.
    pub next: Option<String>,
    /// Accepted receipts that are not in this answer yet.
    pub behind: Seq,
}

/// One reader of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reader {
    /// The user's id.
    pub reader: String,
    /// When it was read, at the latest; null when nobody says.
    pub read_at: Option<Timestamp>,
    /// What tells it.
    pub via: Via,
}

/// What tells that a message has been read; the first of these that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A receipt of this message.
    Message,
    /// A receipt of everything up to this message or a later one.
    UpTo,
    /// A receipt of the whole conversation after the message was sent.
    Conversation,
}

impl Via {
    /// Every way, the surest first.
    pub const ALL: [Self; 3] = [Self::Message, Self::UpTo, Self::Conversation];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::UpTo => "up_to",
            Self::Conversation => "conversation",
        }
    }
}

/// How many have read a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReaderCounts {
    /// The readers known here, or the vendor's own total where that is greater.
    pub read: i64,
    /// The vendor's own total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<i64>,
    /// The readers known here, by what tells it.
    pub via: ViaCounts,
}

/// Readers by what tells that they have read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ViaCounts {
    /// A receipt of the message.
    pub message: i64,
    /// A receipt of everything up to it or further.
    pub up_to: i64,
    /// A receipt of the whole conversation.
    pub conversation: i64,
}

impl ViaCounts {
    /// All of them.
    pub fn total(&self) -> i64 {
        let Self { message, up_to, conversation } = self;
        message + up_to + conversation
    }
}

/// How far is each reader?
#[derive(Debug, Clone)]
pub struct PositionQuestion {
    /// Whose.
    pub vendor: VendorName,
    /// The vendor's app identity.
    pub app: String,
    /// Only in conversations of this kind.
    pub kind: Option<ConversationKind>,
    /// Only in the conversation with this id.
    pub conversation: Option<String>,
    /// Only of this reader.
    pub reader: Option<String>,
    /// Go on behind this place.
    pub behind: Option<Place>,
    /// At most so many.
    pub limit: usize,
}

/// A conversation and a reader in it: the place of a position among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The conversation's kind.
    pub kind: ConversationKind,
    /// Its id, if the vendor names it.
    pub conversation: Option<String>,
    /// The reader.
    pub reader: String,
}

/// How far readers are, one page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// In the order of their places.
    pub positions: Vec<Position>,
    /// The last place of this page, when there are more.
    pub next: Option<Place>,
    /// Accepted receipts that are not in this answer yet.
    pub behind: Seq,
}

/// How far a reader is in a conversation. None of it ever goes backwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Where, and who.
    pub place: Place,
    /// The highest sequence of any receipt.
    pub message_seq: Option<i64>,
    /// The latest time up to which everything is read.
    pub up_to_time: Option<Timestamp>,
    /// When the whole conversation was last read.
    pub conversation_read_at: Option<Timestamp>,
    /// The last time of reading that the vendor gave.
    pub read_at: Option<Timestamp>,
}

/// The read state cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Its file is being opened or made anew; the log says if that fails.
    #[error("the read state is not open yet; try again")]
    Opening,
    /// Its file could not be read.
    #[error("the read state could not be read: {0}")]
    Read(String),
    /// It is being rebuilt already.
    #[error("the read state is being rebuilt already")]
    Busy,
    /// The service is ending.
    #[error("the read state is being closed")]
    Ending,
}
