//! The stamp: makes a receipt of what a vendor's room has read, with its id, its time of arrival and its proof, alike
//! for all vendors.

use std::borrow::Cow;

use crate::journal::Entry;
use crate::receipt::{Key, ReadReceipt, ReceiptId, Scope, VendorName};
use crate::vendor::{DecodeError, Identity, Mark, Problem, Reading, Verified};

/// Puts identity and provenance on a reading; from here on it is a receipt, ready for the journal.
///
/// Deterministic, but for the id of an event that nothing identifies.
///
/// # Errors
/// Never in practice: text, integers and times always serialise.
pub fn stamp(
    vendor: VendorName,
    verified: &Verified<'_>,
    reading: Reading<'_>,
) -> Result<Entry, DecodeError> {
    let (key, event_key) = match reading.identity {
        Identity::Event(key) => (Some(key), true),
        Identity::Facts(key) => (Some(key), false),
        Identity::Unknown => (None, false),
    };
    let id = match &key {
        Some(key) => ReceiptId::of(key),
        None => ReceiptId::random(random_bits()),
    };
    let received_at = verified.callback().request.received_at;
    let (scope, message_id, message_seq, up_to_time) = match reading.mark {
        Mark::Message(id) => (Scope::Message, Some(id), None, None),
        Mark::MessageAt(seq) => (Scope::Message, None, Some(seq), None),
        Mark::UpToTime(time, id) => (Scope::UpTo, id, None, Some(time)),
        Mark::UpToMessage(id) => (Scope::UpTo, Some(id), None, None),
        Mark::UpToSeq(seq) => (Scope::UpTo, None, Some(seq), None),
        Mark::Conversation => (Scope::Conversation, None, None, None),
    };
    let receipt = ReadReceipt {
        id,
        vendor,
        app: Cow::Borrowed(verified.app()),
        conversation: reading.conversation,
        reader: reading.reader,
        scope,
        message_id,
        message_seq,
        up_to_time,
        author: reading.author,
        counts: reading.counts,
        read_at: reading.read_at,
        received_at,
        verified_by: verified.by(),
        event: reading.event,
        event_id: reading.event_id,
        extra: reading.extra,
    };
    // Text, integers and times always serialise.
    let json = serde_json::to_string(&receipt).map_err(|_| Problem::WrongType.of("receipt"))?;
    Ok(Entry {
        key: key.map(Key::into_bytes),
        event_key,
        received_at: received_at.as_millis(),
        vendor,
        scope,
        json,
    })
}

/// 128 bits for an event that nothing identifies.
fn random_bits() -> [u8; 16] {
    let mut bits = [0; 16];
    // The operating system's randomness does not fail once it has begun, and it has: the runtime hashes with it.
    getrandom::fill(&mut bits).expect("the operating system has randomness");
    bits
}
