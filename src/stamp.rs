//! The stamp: makes a receipt of what a vendor's room has read, with its id, its time of arrival and its proof, alike
//! for all vendors.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use crate::journal::Entry;
use crate::receipt::{ReadReceipt, ReceiptId, Scope, VendorName};
use crate::vendor::{Identity, Mark, Reading, Verified};

/// So much room stays for the next receipt's JSON.
const LINE_KEPT: usize = 4 << 10;

/// Puts identity and provenance on a reading; from here on it is a receipt, ready for the journal.
///
/// Deterministic, but for the id of an event that nothing identifies.
pub fn stamp<'c>(vendor: VendorName, verified: &'c Verified<'_>, reading: Reading<'c>) -> Entry {
    let (id, by_event) = match reading.identity {
        Identity::Event(id) => (id, true),
        Identity::Facts(id) => (id, false),
        Identity::Unknown => (ReceiptId::random(random_bits()), false),
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
    let json = line(&receipt);
    Entry { id, by_event, received_at: received_at.as_millis(), vendor, scope, json, trace: None }
}

/// The receipt as one line of JSON, in a single piece of memory that fits: it is written where the last one was, then copied.
fn line(receipt: &ReadReceipt<'_>) -> Arc<str> {
    thread_local! {
        static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    }
    LINE.with_borrow_mut(|line| {
        line.clear();
        receipt.write_line(line);
        let fitting = Arc::from(&**line);
        // A giant must not stay for ever.
        line.shrink_to(LINE_KEPT);
        fitting
    })
}

/// 128 bits for an event that nothing identifies.
fn random_bits() -> [u8; 16] {
    let mut bits = [0; 16];
    // The operating system's randomness does not fail once it has begun, and it has: the runtime hashes with it.
    getrandom::fill(&mut bits).expect("the operating system has randomness");
    bits
}
