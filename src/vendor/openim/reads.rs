//! OpenIM's two read webhooks, as its servers really fill them; the documentation describes other contents for the
//! same names. There is no time, no message id and no event id in either.
//!
//! `unreadMsgNum` of a group read is the *has-read sequence*, and `sendID` and `receiveID` are both the reader: see
//! `internal/rpc/msg/as_read.go` of the server. A body in which the two differ is the documented shape.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use smallvec::smallvec;

use super::super::field;
use super::super::json::{Json, Keep, Object};
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

/// The webhook by which servers of 3.7.0 to v3.8.3-patch.16 also report their own message about a read.
const NOTIFICATION: &str = "callbackAfterSendSingleMsgCommand";
/// `constant.HasReadReceipt`, the `contentType` of that message.
const HAS_READ_RECEIPT: i64 = 2200;
/// `constant.SysMsgType`, the `msgFrom` of what the server itself has sent: a user can send any `contentType`.
const FROM_SYSTEM: i64 = 200;

/// What is read of a body.
pub(super) const PARTS: Keep = Keep::Fields(&[
    ("callbackCommand", Keep::All),
    ("conversationID", Keep::All),
    ("userID", Keep::All),
    ("Seqs", Keep::All),
    ("seqs", Keep::All),
    ("contentType", Keep::All),
    ("sendID", Keep::All),
    ("receiveID", Keep::All),
    ("groupID", Keep::All),
    ("unreadMsgNum", Keep::All),
    ("recvID", Keep::All),
    ("msgFrom", Keep::All),
    ("sendTime", Keep::All),
    ("sessionType", Keep::All),
    ("serverMsgID", Keep::All),
]);

/// What an app's configuration says of its reads.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settings {
    /// Goes into every id unless it is 0.
    pub(super) epoch: u32,
    /// Whether the server's message about a read counts as one.
    pub(super) notifications: bool,
}

/// Whether it tells of a read. A single read without `userID` but with `sendID` or `receiveID` is a struct that lies
/// in old servers' source and is sent by none.
pub(super) fn is_read(command: &str, body: &Object<'_>, settings: Settings) -> bool {
    let has = |field| body.find(field).is_some();
    let unsent = || !has("userID") && (has("sendID") || has("receiveID"));
    GROUP.contains(&command)
        || (SINGLE.contains(&command) && !unsent())
        || (settings.notifications && command == NOTIFICATION && is_notification(body))
}

/// Whether it is the server's message about a read that names the peer. Of a read in a group, and of a mark that was only
/// set, the receiver is the reader himself: nothing says where he has read.
fn is_notification(body: &Object<'_>) -> bool {
    let is = |field, number| body.find(field).is_some_and(|value| field::integer(value) == Ok(number));
    let text = |field| body.find(field).and_then(Json::as_text).unwrap_or_default();
    is("contentType", HAS_READ_RECEIPT) && is("msgFrom", FROM_SYSTEM) && text("sendID") != text("recvID")
}

/// Reads any of them.
pub(super) fn decode<'c>(
    verified: &'c Verified<'_>,
    body: &'c Object<'_>,
    settings: Settings,
) -> Result<Readings<'c>, DecodeError> {
    let event = Event::new(verified, settings);
    match event.command {
        NOTIFICATION => event.notification(body),
        group if GROUP.contains(&group) => event.group(body),
        _ => event.single(body),
    }
}

struct Event<'c> {
    request: &'c Incoming,
    app: &'c str,
    command: &'c str,
    operation_id: Option<Cow<'c, str>>,
    epoch: u32,
}

impl<'c> Event<'c> {
    fn new(verified: &'c Verified<'_>, Settings { epoch, notifications: _ }: Settings) -> Self {
        let callback = verified.callback();
        let operation_id = match callback.request.header("operationid") {
            Parameter::Once(id) if !id.is_empty() && field::short(&id).is_ok() => Some(id),
            Parameter::Once(_) | Parameter::Absent | Parameter::Repeated => None,
        };
        Self {
            request: callback.request,
            app: verified.app(),
            command: &callback.command,
            operation_id,
            epoch,
        }
    }

    /// A key of the app. With an epoch it is another one, because the sequences of the server are others then.
    fn key(&self, namespace: &'static str) -> Key {
        let key = match self.epoch {
            0 => Key::new(namespace),
            epoch => Key::new("openim/epoch").integer(epoch.into()).part(namespace.as_bytes()),
        };
        key.part(self.app.as_bytes())
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
                self.key("openim/operation")
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
        field::within_limit(seqs.len())?;
        if seqs.is_empty() {
            return Ok(smallvec![read(Mark::Conversation, None)]);
        }
        let messages = seqs.iter().map(|seq| {
            let seq = field::integer(seq).map_err(|problem| problem.of("Seqs[]"))?;
            let key = (self.key("openim/single"))
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
        // A fork names the group; the newest documents leave the receiver empty.
        let named = body.optional_text("groupID")?;
        let receiver = body.optional_text("receiveID")?;
        if body.find("receiveID").is_none() && named.is_none() {
            return Err(Problem::Missing.of("receiveID"));
        }
        let session_type = body.optional_integer("contentType")?;
        let group = |id: Option<&'c str>| match id {
            Some(id) => Conversation::group(id),
            None => Conversation::unnamed(ConversationKind::Group),
        };
        let mut reading = if receiver == Some(reader) {
            let kind = match session_type {
                Some(1) => ConversationKind::Direct,
                Some(3) => ConversationKind::Group,
                Some(4) => ConversationKind::Notification,
                Some(_) | None => ConversationKind::Unknown,
            };
            let mark = Mark::UpToSeq(body.integer("unreadMsgNum")?);
            let conversation = named.map_or_else(|| Conversation::unnamed(kind), Conversation::group);
            self.reading(conversation, reader, mark)
        } else {
            let counts = Counts::new(None, body.optional_integer("unreadMsgNum")?);
            let read = self.reading(group(named.or(receiver)), reader, Mark::Conversation);
            Reading { counts, ..read }
        };
        reading.extra.text("conversation_id", body.fact("conversationID"));
        reading.extra.integer("session_type", session_type);
        Ok(smallvec![reading])
    }

    /// The server's own message about a read: who, with whom and when, and not which messages, because its content is
    /// empty.
    fn notification(self, body: &'c Object<'_>) -> Result<Readings<'c>, DecodeError> {
        let reader = body.text("sendID")?;
        let peer = body.text("recvID")?;
        let time = body.event_time("sendTime")?;
        let message = body.optional_text("serverMsgID")?;
        let mut reading = self.reading(Conversation::direct(peer), reader, Mark::Conversation);
        reading.read_at = time.map(|time| time.at);
        reading.extra.integer("session_type", body.optional_integer("sessionType")?);
        reading.extra.text("server_msg_id", message.map(Cow::Borrowed));
        field::time_unit(&mut reading.extra, &[time]);
        if let Some(message) = message {
            reading.identity = Identity::Facts(self.key("openim/notification").part(message.as_bytes()).id());
        }
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

/// The other one of a pair of ids that are joined by `_` in bytewise order. The documents put `:` and a number behind the
/// pair; where a pair ends so and the reader's id does not, the peer's id is taken to be without it.
fn peer<'c>(pair: &'c str, reader: &str) -> Option<&'c str> {
    let bare = pair
        .rsplit_once(':')
        .filter(|(_, suffix)| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()));
    let whole = || pair.strip_suffix(reader).is_some_and(|rest| rest.ends_with('_'));
    let pair = match bare {
        Some((bare, _)) if !whole() => bare,
        Some(_) | None => pair,
    };
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
        assert_eq!(peer("u1_u2:0", "u1"), Some("u2"));
        assert_eq!(peer("u1_u2:0", "u2"), Some("u1"));
        assert_eq!(peer("u1_u2:0", "u2:0"), Some("u1"), "the reader's own id ends so");
        assert_eq!(peer("u1_u2:x", "u1"), Some("u2:x"), "no number");
        assert_eq!(peer("u1_u2:", "u1"), Some("u2:"));
        assert_eq!(peer("u1:0", "u1"), None);
    }
}
