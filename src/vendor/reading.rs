//! What a vendor's room makes of an authentic callback: one reader and one mark each, still without id, time of
//! arrival or proof. Those are stamped on by `ingest`, alike for all vendors.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::receipt::{Conversation, Counts, Extra, ReceiptId, Timestamp};

/// How many bytes the receipts of one callback may come to. Each receipt repeats the reader and the conversation, so
/// a body of 1 MiB could be made into a hundred times as much.
pub const RECEIPTS_BYTES: usize = 16 << 20;

/// What one callback tells. Most tell of one reading, which then needs no memory of its own.
pub type Readings<'a> = SmallVec<[Reading<'a>; 1]>;

/// One reader and one read position, in the vendor's words.
pub struct Reading<'a> {
    /// Where it was read.
    pub conversation: Conversation<'a>,
    /// Who has read.
    pub reader: Cow<'a, str>,
    /// What has been read.
    pub mark: Mark<'a>,
    /// Author of the message, where known.
    pub author: Option<Cow<'a, str>>,
    /// The vendor's totals.
    pub counts: Option<Counts>,
    /// The vendor's time of the event.
    pub read_at: Option<Timestamp>,
    /// The vendor's name of the event.
    pub event: Cow<'a, str>,
    /// The vendor's id of the event.
    pub event_id: Option<Cow<'a, str>>,
    /// Vendor facts worth keeping.
    pub extra: Extra<'a>,
    /// How a repeat of it is known.
    pub identity: Identity,
}

/// How far someone has read. The vendors do not mean the same thing, and this does not flatten it.
pub enum Mark<'a> {
    /// The message with this id.
    Message(Cow<'a, str>),
    /// The message at this position of the conversation.
    MessageAt(i64),
    /// Everything up to this moment, and the message that the vendor named with it.
    UpToTime(Timestamp, Option<Cow<'a, str>>),
    /// Everything up to this message, at a moment that has no date.
    UpToMessage(Cow<'a, str>),
    /// Everything up to this position.
    UpToSeq(i64),
    /// The whole conversation.
    Conversation,
}

/// How a repeat of a reading is known.
pub enum Identity {
    /// By the vendor's own event id: the same one with other facts is a conflict.
    Event(ReceiptId),
    /// By the facts themselves.
    Facts(ReceiptId),
    /// By nothing: two alike may be two events, so both stay.
    Unknown,
}
