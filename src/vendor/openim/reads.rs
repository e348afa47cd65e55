//! OpenIM's two read webhooks, as its servers really fill them; the documentation describes other contents for the
//! same names. There is no time, no message id and no event id in either.
//!
//! `unreadMsgNum` of a group read is the *has-read sequence*, and `sendID` and `receiveID` are both the reader: see
//! `internal/rpc/msg/as_read.go` of the server. A body in which the two differ is the documented shape.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use smallvec::smallvec;

use super::super::field;
use super::super::json::{Json, Object};
use super::super::outcome::{DecodeError, Problem};
use super::super::reading::{Identity, Mark, Reading, Readings};
use super::super::request::{Incoming, Parameter};
use super::super::verified::Verified;
use crate::receipt::{Conversation, ConversationKind, Counts, Extra, Key};

/// Names of the single read, newest first.
pub(super) const SINGLE: [&str; 3] =
    ["callbackAfterSingleMsgReadCommand", "callbackSingleMsgRead", "callbackSingleMsgReadCommand"];
/// Names of the group read, newest first.
pub(super) const GROUP: [&str; 2] = ["callbackAfterGroupMsgReadCommand", "callbackGroupMsgReadCommand"];

/// Whether two names mean the same webhook.
pub(super) fn same(one: &str, other: &str) -> bool {
    let both = |names: &[&str]| names.contains(&one) && names.contains(&other);
    one == other || both(&SINGLE) || both(&GROUP)
}

/// Whether it tells of a read. A single read without `userID` but with `sendID` or `receiveID` is a struct that lies
/// in old servers' source and is sent by none.
pub(super) fn is_read(command: &str, body: &Object<'_>) -> bool {
    let has = |field| body.find(field).is_some();
    let unsent = || !has("userID") && (has("sendID") || has("receiveID"));
    GROUP.contains(&command) || (SINGLE.contains(&command) && !unsent())
}

/// Reads either.
pub(super) fn decode<'c>(
    verified: &'c Verified<'_>,
    body: &'c Object<'_>,
) -> Result<Readings<'c>, DecodeError> {
    let event = Event::new(verified);
    if GROUP.contains(&event.command) { event.group(body) } else { event.single(body) }
}

struct Event<'c> {
    request: &'c Incoming,
    app: &'c str,
    command: &'c str,
    operation_id: Option<Cow<'c, str>>,
}

impl<'c> Event<'c> {
    fn new(verified: &'c Verified<'_>) -> Self {
        let callback = verified.callback();
        let operation_id = match callback.request.header("operationid") {
            Parameter::Once(id) if !id.is_empty() && field::short(&id).is_ok() => Some(id),
            Parameter::Once(_) | Parameter::Absent | Parameter::Repeated => None,
        };
        Self { request: callback.request, app: verified.app(), command: &callback.command, operation_id }
    }

    fn reading(&self, conversation: Conversation<'c>, reader: &'c str, mark: Mark<'c>) -> Reading<'c> {
        Reading {
            conversation,
            reader: reader.into(),
            mark,
            author: None,
            counts: None,
            read_at: None,
            event: self.command.into(),
            event_id: self.operation_id.clone(),
            extra: Extra::new(),
            identity: self.whole_request(),
        }
    }

    /// Two reads of two groups can be alike to the byte. Only the same body under the same operation id is a repeat;
    /// without an operation id nothing is.
    fn whole_request(&self) -> Identity {
        match &self.operation_id {
            None => Identity::Unknown,
            Some(id) => Identity::Facts(
                Key::new("openim/operation")
                    .part(self.app.as_bytes())
                    .part(id.as_bytes())
                    .part(&Sha256::digest(&self.request.body))
                    .id(),
            ),
        }
    }

    fn single(self, body: &'c Object<'_>) -> Result<Readings<'c>, DecodeError> {
        let reader = body.text("userID")?;
        let conversation_id = body.text("conversationID")?;
        let session_type = body.optional_integer("contentType")?;
        let conversation = conversation(conversation_id, reader);
        let read = |mark, identity: Option<Identity>| {
            let mut reading = self.reading(conversation.clone(), reader, mark);
            reading.extra.text("conversation_id", Some(conversation_id.into()));
            reading.extra.integer("session_type", session_type);
            reading.identity = identity.unwrap_or(reading.identity);
            reading
        };
        let seqs = seqs(body)?;
        if seqs.is_empty() {
            return Ok(smallvec![read(Mark::Conversation, None)]);
        }
        let messages = seqs.iter().map(|seq| {
            let seq = field::integer(seq).map_err(|problem| problem.of("Seqs[]"))?;
            let key = Key::new("openim/single")
                .part(self.app.as_bytes())
                .part(conversation_id.as_bytes())
                .part(reader.as_bytes())
                .integer(seq)
                .id();
            Ok(read(Mark::MessageAt(seq), Some(Identity::Facts(key))))
        });
        messages.collect()
    }

    fn group(self, body: &'c Object<'_>) -> Result<Readings<'c>, DecodeError> {
        let reader = body.text("sendID")?;
        let receiver = body.text("receiveID")?;
        let session_type = body.optional_integer("contentType")?;
        let mut reading = if reader == receiver {
            let kind = match session_type {
                Some(1) => ConversationKind::Direct,
                Some(3) => ConversationKind::Group,
                Some(4) => ConversationKind::Notification,
                Some(_) | None => ConversationKind::Unknown,
            };
            let mark = Mark::UpToSeq(body.integer("unreadMsgNum")?);
            self.reading(Conversation::unnamed(kind), reader, mark)
        } else {
            let counts = Counts::new(None, body.optional_integer("unreadMsgNum")?);
            let group = self.reading(Conversation::group(receiver), reader, Mark::Conversation);
            Reading { counts, ..group }
        };
        reading.extra.integer("session_type", session_type);
        Ok(smallvec![reading])
    }
}

/// The sequences, spelled `Seqs` by the servers and `seqs` by older documentation. None, null and empty are the same.
fn seqs<'c>(body: &'c Object<'_>) -> Result<&'c [Json<'c>], DecodeError> {
    match (body.optional_list("Seqs")?, body.optional_list("seqs")?) {
        (Some(_), Some(_)) => Err(Problem::Repeated.of("Seqs")),
        (Some(list), None) | (None, Some(list)) => Ok(list),
        (None, None) => Ok(&[]),
    }
}

/// The conversation that an OpenIM id names. Ids may hold `_`, so nothing is split: the reader's own id is cut off.
fn conversation<'c>(id: &'c str, reader: &str) -> Conversation<'c> {
    if let Some(pair) = id.strip_prefix("si_") {
        return match peer(pair, reader) {
            Some(peer) => Conversation::direct(peer),
            None => Conversation::unnamed(ConversationKind::Direct),
        };
    }
    match id.strip_prefix("sg_") {
        Some(group) if !group.is_empty() => Conversation::group(group),
        Some(_) => Conversation::unnamed(ConversationKind::Group),
        None if id.starts_with("sn_") => Conversation::unnamed(ConversationKind::Notification),
        None => Conversation::unnamed(ConversationKind::Unknown),
    }
}

/// The other one of a pair of ids that are joined by `_` in bytewise order.
fn peer<'c>(pair: &'c str, reader: &str) -> Option<&'c str> {
    let behind = pair.strip_prefix(reader).and_then(|rest| rest.strip_prefix('_'));
    let before = pair.strip_suffix(reader).and_then(|rest| rest.strip_suffix('_'));
    let found = match (behind, before) {
        // Both cuts are possible: the order of the pair tells which one is meant.
        (Some(behind), Some(before)) => {
            if reader <= behind {
                Some(behind)
            } else {
                Some(before)
            }
        }
        (behind, before) => behind.or(before),
    };
    found.filter(|peer| !peer.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_is_cut_out_and_never_split_out() {
        assert_eq!(peer("alice_bob", "bob"), Some("alice"));
        assert_eq!(peer("alice_bob", "alice"), Some("bob"));
        assert_eq!(peer("a_b_c_d", "a_b"), Some("c_d"));
        assert_eq!(peer("a_b_c_d", "c_d"), Some("a_b"));
        assert_eq!(peer("a_b_a", "a"), Some("b_a"));
        assert_eq!(peer("bob_bob", "bob"), Some("bob"));
        assert_eq!(peer("alice_bob", "carol"), None);
        assert_eq!(peer("_bob", "bob"), None);
    }
}
