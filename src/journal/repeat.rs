//! What a duplicate says beside its id: the same as the receipt that is stored, something else, or something that one event
//! cannot say twice. The first receipt stays in any case; it may be a forged one, so nobody decides here which is genuine.

use crate::receipt::ReadReceipt;

/// In a receipt's line everything that is compared stands before this. (Inside a string its quotes would be escaped.)
const BEHIND_THE_FACTS: &str = r#","received_at":"#;

/// How a duplicate stands to what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It says the same. `counts`, `extra`, `event`, `event_id`, `received_at` and `verified_by` may differ.
    Same,
    /// Another `read_at`, `up_to_time`, author, message, position, conversation or scope.
    Differing,
    /// The vendor's own event id with another reader or message.
    Conflict,
}

/// Compares the lines of two receipts with the same id. `by_event` says that the id is made of the vendor's own event id.
pub(super) fn compare(stored: &str, new: &str, by_event: bool) -> Repeat {
    // Most duplicates are to the letter what was sent before.
    let facts = |line| str::split_once(line, BEHIND_THE_FACTS).map(|(facts, _)| facts);
    if facts(stored).is_some() && facts(stored) == facts(new) {
        return Repeat::Same;
    }
    let parse = |line| serde_json::from_str::<ReadReceipt<'static>>(line).ok();
    let (Some(stored), Some(new)) = (parse(stored), parse(new)) else { return Repeat::Same };
    let message = |receipt: &ReadReceipt<'static>| (receipt.message_id.clone(), receipt.message_seq);
    let same_event = stored.reader == new.reader && message(&stored) == message(&new);
    if by_event && !same_event {
        return Repeat::Conflict;
    }
    let same = same_event
        && stored.read_at == new.read_at
        && stored.up_to_time == new.up_to_time
        && stored.author == new.author
        && stored.conversation == new.conversation
        && stored.scope == new.scope;
    if same { Repeat::Same } else { Repeat::Differing }
}
