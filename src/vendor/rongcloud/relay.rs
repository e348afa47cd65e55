//! SDK callbacks that an app or gateway hands on, in an envelope of ours:
//! `{"event":…,"relay_user_id":…,"received_at":…,"data":…}` with `data` unchanged from the SDK.
//!
//! They fire on the author's device and do not name him, so `relay_user_id`, the user who is logged in there, does.
//! The event's name tells which SDK it is, and so how it numbers the kinds of conversation: `rongcloud_im_plugin`
//! by the server's numbers, the newer `im-flutter-wrapper` by the index of an enum.

use std::borrow::Cow;

use smallvec::smallvec;

use super::super::field::{self, VendorTime};
use super::super::json::{Json, Keep, Object};
use super::super::outcome::{DecodeError, Problem};
use super::super::reading::{Identity, Mark, Reading, Readings};
use super::super::verified::Verified;
use crate::receipt::{Conversation, ConversationKind, Counts, Extra, Key, Timestamp};

const PLUGIN_PRIVATE: &str = "onReceiveReadReceipt";
const PLUGIN_RESPONSE: &str = "onMessageReceiptResponse";
const WRAPPER_PRIVATE: &str = "onPrivateReadReceiptReceived";
const WRAPPER_GROUP: &str = "onGroupMessageReadReceiptResponseReceived";
const WRAPPER_V5: &str = "onMessageReadReceiptV5Received";

/// What is read of an envelope; its `data` is the SDK's, and every event has other fields in it.
pub(super) const PARTS: Keep =
    Keep::Fields(&[("event", Keep::All), ("relay_user_id", Keep::All), ("data", Keep::All)]);

/// The SDK events that tell of a read.
pub(super) const READS: [&str; 5] =
    [PLUGIN_PRIVATE, PLUGIN_RESPONSE, WRAPPER_PRIVATE, WRAPPER_GROUP, WRAPPER_V5];

/// Whether the SDK event tells of a read; `onMessageReceiptRequest`, for one, only asks for receipts.
pub(super) fn is_read(event: &str) -> bool {
    READS.contains(&event)
}

/// Reads any of the five.
pub(super) fn decode<'c>(verified: &'c Verified<'_>) -> Result<Readings<'c>, DecodeError> {
    let callback = verified.callback();
    let envelope = callback.body.object().ok_or(Problem::WrongType.of("body"))?;
    let relay =
        Relayed { app: verified.app(), event: &callback.command, author: envelope.text("relay_user_id")? };
    match relay.event {
        PLUGIN_PRIVATE => {
            let data = envelope.object("data")?;
            let kind = match data.optional_integer("cType")? {
                Some(kind) => Some(kind),
                None => data.optional_integer("ctype")?,
            };
            // The callback is about one-to-one conversations; another kind would be no read of one.
            if kind.is_some_and(|kind| kind != 1) {
                return Ok(Readings::new());
            }
            Ok(smallvec![relay.up_to(
                data.text("tId")?,
                data.integer("messageTime")?,
                "messageTime",
                Extra::new(),
            )?])
        }
        WRAPPER_PRIVATE => {
            let data = envelope.object("data")?;
            let reader = data.text("targetId")?;
            Ok(smallvec![relay.up_to(reader, data.integer("timestamp")?, "timestamp", channel(data))?])
        }
        PLUGIN_RESPONSE => {
            let data = envelope.object("data")?;
            let readers = readers(data, &["readerList", "userIdList"])?;
            let kind = plugin_kind(data.integer("conversationType")?);
            relay.messages(data, kind, readers, None)
        }
        WRAPPER_GROUP => {
            let data = envelope.object("data")?;
            let readers = readers(data, &["respondUserIds"])?;
            relay.messages(data, ConversationKind::Group, readers, None)
        }
        _ => {
            let mut readings = Readings::new();
            for message in envelope.list("data")? {
                let message = message.as_object().ok_or(Problem::WrongType.of("data[]"))?;
                let kind = wrapper_kind(message.integer("conversationType")?);
                let counts = Counts::new(
                    message.optional_integer("readCount")?,
                    message.optional_integer("unreadCount")?,
                );
                readings.append(&mut relay.messages(message, kind, readers(message, &["users"])?, counts)?);
                field::within_limit(readings.len())?;
            }
            Ok(readings)
        }
    }
}

/// What every relayed event has.
struct Relayed<'c> {
    app: &'c str,
    event: &'c str,
    author: &'c str,
}

type Reader<'c> = (&'c str, Option<VendorTime>);

impl<'c> Relayed<'c> {
    /// The user has read what the author sent, up to a moment. His peer in that conversation is the author.
    fn up_to(
        &self,
        reader: &'c str,
        number: i64,
        field: &'static str,
        mut extra: Extra<'c>,
    ) -> Result<Reading<'c>, DecodeError> {
        let time = field::position(number).map_err(|problem| problem.of(field))?;
        field::time_unit(&mut extra, &[Some(time)]);
        let at = time.at;
        let key = Key::new("rongcloud/relay/up_to").part(self.app.as_bytes());
        // The time itself, in whichever unit it came.
        let key = key.part(reader.as_bytes()).part(self.author.as_bytes()).integer(at.as_millis());
        let conversation = Conversation::direct(self.author);
        let mark = Mark::UpToTime(at, None);
        Ok(Reading { extra, ..self.reading(conversation, reader, mark, None, key) })
    }

    /// The readers of one message. The SDK's list is cumulative, so most of them are repeats.
    fn messages(
        &self,
        data: &'c Object<'_>,
        kind: ConversationKind,
        readers: Vec<Reader<'c>>,
        counts: Option<Counts>,
    ) -> Result<Readings<'c>, DecodeError> {
        let message = data.text("messageUId")?;
        field::within_limit(readers.len())?;
        let conversation = match kind {
            // To the reader, the peer is the author.
            ConversationKind::Direct => Conversation::direct(self.author),
            ConversationKind::Group | ConversationKind::Notification | ConversationKind::Unknown => {
                Conversation { kind, id: Some(data.text("targetId")?.into()) }
            }
        };
        let readings = readers.into_iter().map(|(reader, time)| {
            let key = Key::new("rongcloud/relay/message").part(self.app.as_bytes());
            let key = key.part(message.as_bytes()).part(reader.as_bytes());
            let mark = Mark::Message(message.into());
            let mut extra = channel(data);
            field::time_unit(&mut extra, &[time]);
            let reading = self.reading(conversation.clone(), reader, mark, time.map(|time| time.at), key);
            Reading { counts, extra, ..reading }
        });
        Ok(readings.collect())
    }

    fn reading(
        &self,
        conversation: Conversation<'c>,
        reader: &'c str,
        mark: Mark<'c>,
        read_at: Option<Timestamp>,
        key: Key,
    ) -> Reading<'c> {
        Reading {
            conversation,
            reader: reader.into(),
            mark,
            author: Some(self.author.into()),
            counts: None,
            read_at,
            event: Cow::Owned(format!("relay:{}", self.event)),
            event_id: None,
            extra: Extra::new(),
            identity: Identity::Facts(key.id()),
        }
    }
}

fn channel<'c>(data: &'c Object<'_>) -> Extra<'c> {
    let mut extra = Extra::new();
    extra.text("channel_id", data.fact("channelId"));
    extra
}

/// Who has read, under whichever of the names it comes: a map from user id to time, a list of user ids, or a list of
/// objects with `userId` and `timestamp`.
fn readers<'c>(data: &'c Object<'_>, names: &[&'static str]) -> Result<Vec<Reader<'c>>, DecodeError> {
    let mut found = names.iter().filter_map(|name| data.find(name).map(|value| (*name, value)));
    let missing = names.first().copied().unwrap_or_default();
    let (name, value) = found.next().ok_or(Problem::Missing.of(missing))?;
    if found.next().is_some() {
        return Err(Problem::Repeated.of(name));
    }
    let wrong = Problem::WrongType.of(name);
    let time = |value: &Json<'_>| {
        if *value == Json::Null {
            return Ok(None);
        }
        field::event_time(field::integer(value)).map_err(|problem| problem.of(name))
    };
    let not_empty = |id: &'c str| {
        if id.is_empty() {
            return Err(Problem::Missing.of(name));
        }
        field::short(id).map_err(|problem| problem.of(name)).map(|()| id)
    };
    match value {
        Json::Object(map) => map.iter().map(|(id, at)| Ok((not_empty(id)?, time(at)?))).collect(),
        Json::List(list) => list
            .iter()
            .map(|entry| match entry {
                Json::Text(id) => Ok((not_empty(id)?, None)),
                Json::Object(user) => Ok((user.text("userId")?, user.event_time("timestamp")?)),
                Json::Null
                | Json::Bool(_)
                | Json::Integer(_)
                | Json::Number(_)
                | Json::List(_)
                | Json::Odd => Err(wrong),
            })
            .collect(),
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Number(_) | Json::Text(_) | Json::Odd => {
            Err(wrong)
        }
    }
}

/// `RCConversationType` of `rongcloud_im_plugin`: the numbers of the server API.
fn plugin_kind(number: i64) -> ConversationKind {
    match number {
        1 => ConversationKind::Direct,
        3 => ConversationKind::Group,
        6 => ConversationKind::Notification,
        _ => ConversationKind::Unknown,
    }
}

/// `RCIMIWConversationType` of `im-flutter-wrapper`: invalid, private, group, chatroom, system, ultraGroup.
fn wrapper_kind(index: i64) -> ConversationKind {
    match index {
        1 => ConversationKind::Direct,
        2 | 5 => ConversationKind::Group,
        4 => ConversationKind::Notification,
        _ => ConversationKind::Unknown,
    }
}
