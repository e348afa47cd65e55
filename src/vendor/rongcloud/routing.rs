//! Message routing: each message as a form (全量消息路由), or several in the JSON envelope of Nexconn. Both become
//! the same [`Routed`] message; its `objectName` alone tells a receipt, for `content` is the users' own.

use std::borrow::Cow;

use super::super::callback::{Body, Callback, Neighbour, Opened};
use super::super::field::{self, VendorTime};
use super::super::form::Form;
use super::super::json::{Json, Keep, Object};
use super::super::outcome::{Answer, DecodeError, Problem};
use super::super::reading::{Identity, Mark, Reading, Readings};
use super::super::request::Incoming;
use super::super::verified::Verified;
use super::ok;
use crate::receipt::{Conversation, Extra, Key};

/// One-to-one: everything the peer sent is read up to a moment.
const READ_NTF: &str = "RC:ReadNtf";
/// Group: these messages of these authors are read.
const READ_RESPONSE: &str = "RC:RRRspMsg";

/// What is read of Nexconn's envelope.
pub(super) const PARTS: Keep = Keep::Fields(&[
    ("type", Keep::All),
    (
        "data",
        Keep::Fields(&[
            ("userId", Keep::All),
            ("channelId", Keep::All),
            ("messageType", Keep::All),
            ("content", Keep::All),
            ("channelType", Keep::All),
            ("time", Keep::All),
            ("messageId", Keep::All),
            ("os", Keep::All),
        ]),
    ),
]);

/// What is read of the content of a receipt.
const CONTENT: Keep = Keep::Fields(&[
    ("lastMessageSendTime", Keep::All),
    ("messageUId", Keep::All),
    ("receiptMessageDic", Keep::All),
]);

/// Both.
pub(super) const READS: [&str; 2] = [READ_NTF, READ_RESPONSE];

/// Whether this type of message, in this kind of conversation, tells of a read. A missing kind is no other kind: the
/// event is one, and malformed.
fn is_read(object_name: &str, channel_type: Option<&str>) -> bool {
    match object_name {
        READ_NTF => channel_type.is_none_or(|kind| kind == "PERSON"),
        READ_RESPONSE => channel_type.is_none_or(|kind| kind == "GROUP"),
        _ => false,
    }
}

/// Tells what a form is: a receipt, the question before a message is sent, or any other routed message.
pub(super) fn open_form<'r>(request: &'r Incoming, form: Form<'r>) -> Opened<'r> {
    let mut kinds = form.values("channelType");
    // Repeated, neither value is known to be the right one; the decoder will say so.
    let kind = kinds.next().filter(|_| kinds.next().is_none());
    let read = form.values("objectName").find(|name| is_read(name, kind)).map(str::to_owned);
    drop(kinds);
    if let Some(name) = read {
        return Opened::Read(Callback { request, command: name.into(), body: Body::Form(form) });
    }
    let command = form.values("objectName").next().unwrap_or_default().to_owned();
    let asks_before_sending = form.has("msgType") && form.has("targetId");
    let allow = if asks_before_sending { Answer::json(200, r#"{"pass":1}"#) } else { ok() };
    let callback = Callback { request, command: command.into(), body: Body::Form(form) };
    Opened::Neighbour(Neighbour { callback, allow })
}

/// Tells what a JSON body is: Nexconn's `message:send` with a receipt among its messages, or any other webhook.
pub(super) fn open_json<'r>(request: &'r Incoming, body: Body<'r>) -> Opened<'r> {
    let text = |object: &Object<'_>, field| object.find(field).and_then(Json::as_text).map(str::to_owned);
    let command = body.object().and_then(|object| text(object, "type")).unwrap_or_default();
    let read = body.object().filter(|_| command == "message:send").and_then(|object| {
        nexconn_messages(object).find(|message| nexconn_is_read(message)).and_then(|m| text(m, "messageType"))
    });
    match read {
        Some(name) => Opened::Read(Callback { request, command: name.into(), body }),
        None => {
            let callback = Callback { request, command: command.into(), body };
            Opened::Neighbour(Neighbour { callback, allow: ok() })
        }
    }
}

fn nexconn_messages<'o, 'a>(envelope: &'o Object<'a>) -> impl Iterator<Item = &'o Object<'a>> {
    let list = match envelope.find("data") {
        Some(Json::List(list)) => list.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(Json::as_object)
}

fn nexconn_is_read(message: &Object<'_>) -> bool {
    let name = message.find("messageType").and_then(Json::as_text).unwrap_or_default();
    // The envelope has the server API's numbers for the words of the form.
    let kind = message.find("channelType").map(|kind| match field::integer(kind) {
        Ok(1) => "PERSON",
        Ok(3) => "GROUP",
        Ok(_) | Err(_) => "",
    });
    is_read(name, kind)
}

/// A routed message, whichever way it came.
struct Routed<'c> {
    object_name: &'c str,
    from: &'c str,
    to: &'c str,
    content: &'c str,
    uid: &'c str,
    at: Option<VendorTime>,
    source: Option<&'c str>,
}

/// Reads the receipts of a form or of every receipt message in an envelope.
pub(super) fn decode<'c>(verified: &'c Verified<'_>) -> Result<Readings<'c>, DecodeError> {
    let mut readings = Readings::new();
    match &verified.callback().body {
        Body::Form(form) => Routed::from_form(form)?.read(verified.app(), &mut readings)?,
        Body::Object(envelope) => {
            for message in nexconn_messages(envelope).filter(|message| nexconn_is_read(message)) {
                Routed::from_nexconn(message)?.read(verified.app(), &mut readings)?;
            }
        }
        Body::List(_) => {}
    }
    Ok(readings)
}

impl<'c> Routed<'c> {
    fn from_form(form: &'c Form<'_>) -> Result<Self, DecodeError> {
        form.text("channelType")?;
        let at = form.optional_text("msgTimestamp")?.map(|time| field::event_time(field::digits(time)));
        Ok(Self {
            object_name: form.text("objectName")?,
            from: form.text("fromUserId")?,
            to: form.text("toUserId")?,
            content: form.long_text("content")?,
            uid: form.text("msgUID")?,
            at: at.transpose().map_err(|problem| problem.of("msgTimestamp"))?.flatten(),
            source: form.fact("source"),
        })
    }

    fn from_nexconn(message: &'c Object<'_>) -> Result<Self, DecodeError> {
        message.integer("channelType")?;
        Ok(Self {
            object_name: message.text("messageType")?,
            from: message.text("userId")?,
            to: message.text("channelId")?,
            content: message.long_text("content")?,
            uid: message.text("messageId")?,
            at: message.event_time("time")?,
            source: message.find("os").and_then(Json::as_text),
        })
    }

    fn read(&self, app: &'c str, readings: &mut Readings<'c>) -> Result<(), DecodeError> {
        let content =
            Json::parse_parts(self.content, &CONTENT).map_err(|_| Problem::NotJson.of("content"))?;
        let content = content.as_object().ok_or(Problem::WrongType.of("content"))?;
        match self.object_name {
            READ_NTF => readings.push(self.notification(app, content)?),
            _ => self.responses(app, content, readings)?,
        }
        Ok(())
    }

    /// The moment up to which the peer's messages are read. Zero with a message id means that one message.
    fn notification(&self, app: &str, content: &Object<'_>) -> Result<Reading<'c>, DecodeError> {
        const TIME: &str = "lastMessageSendTime";
        let message = content.optional_text("messageUId")?.map(|id| Cow::Owned(id.to_owned()));
        let (mark, time) = match (content.integer(TIME)?, message) {
            (0, Some(message)) => (Mark::Message(message), None),
            (0, None) => return Err(Problem::OutOfRange.of(TIME)),
            (time, message) => {
                let time = field::position(time).map_err(|problem| problem.of(TIME))?;
                (Mark::UpToTime(time.at, message), Some(time))
            }
        };
        let author = Some(self.to.into());
        let mut reading = self.reading(app, Conversation::direct(self.to), mark, author, ("", ""));
        field::time_unit(&mut reading.extra, &[time, self.at]);
        Ok(reading)
    }

    /// The key of each entry is the author of the messages, not their reader.
    fn responses(
        &self,
        app: &str,
        content: &Object<'_>,
        readings: &mut Readings<'c>,
    ) -> Result<(), DecodeError> {
        const LIST: &str = "receiptMessageDic";
        for (author, ids) in content.object(LIST)?.iter() {
            let ids = match ids {
                Json::List(ids) => ids.as_slice(),
                Json::Null => &[],
                Json::Bool(_)
                | Json::Integer(_)
                | Json::Number(_)
                | Json::Text(_)
                | Json::Object(_)
                | Json::Odd => return Err(Problem::WrongType.of(LIST)),
            };
            for id in ids {
                let id = id.as_text().ok_or(Problem::WrongType.of(LIST))?;
                field::short(author).and_then(|()| field::short(id)).map_err(|problem| problem.of(LIST))?;
                if id.is_empty() {
                    continue;
                }
                let author = Some(author).filter(|author| !author.is_empty());
                let mut reading = self.reading(
                    app,
                    Conversation::group(self.to),
                    Mark::Message(Cow::Owned(id.to_owned())),
                    author.map(|author| Cow::Owned(author.to_owned())),
                    (author.unwrap_or_default(), id),
                );
                field::time_unit(&mut reading.extra, &[self.at]);
                readings.push(reading);
                field::within_limit(readings.len())?;
            }
        }
        Ok(())
    }

    fn reading(
        &self,
        app: &str,
        conversation: Conversation<'c>,
        mark: Mark<'c>,
        author: Option<Cow<'c, str>>,
        (key_author, key_message): (&str, &str),
    ) -> Reading<'c> {
        let mut extra = Extra::new();
        extra.text("source", self.source.map(Cow::Borrowed));
        let key = Key::new("rongcloud").part(app.as_bytes()).part(self.uid.as_bytes());
        Reading {
            conversation,
            reader: self.from.into(),
            mark,
            author,
            counts: None,
            read_at: self.at.map(|time| time.at),
            event: self.object_name.into(),
            event_id: Some(self.uid.into()),
            extra,
            identity: Identity::Event(key.part(key_author.as_bytes()).part(key_message.as_bytes()).id()),
        }
    }
}
