//! Tencent's four read events. Two units of time live side by side here: `LastReadTime` counts seconds, `EventTime`
//! milliseconds. There is no event id, so a repeat is known by the facts.

use std::borrow::Cow;

use smallvec::smallvec;

use super::super::field::{self, VendorTime};
use super::super::json::{Keep, Object};
use super::super::outcome::{DecodeError, Problem};
use super::super::reading::{Identity, Mark, Reading, Readings};
use super::super::request::Parameter;
use super::super::verified::Verified;
use crate::receipt::{Conversation, ConversationKind, Counts, Extra, Key, Timestamp};

const GROUP_RECEIPT: &str = "Group.CallbackAfterReadReceipt";
const REPORT: &str = "C2C.CallbackAfterMsgReport";
const RECEIPT: &str = "C2C.CallbackAfterMsgReadReceipt";
const READ_ALL: &str = "C2C.CallbackAfterMsgReadAll";

/// What is read of a body: of the four, and of the questions before a friendship.
pub(super) const PARTS: Keep = Keep::Fields(&[
    ("CallbackCommand", Keep::All),
    ("EventTime", Keep::All),
    ("GroupId", Keep::All),
    ("Type", Keep::All),
    (
        "GroupMsgReceiptList",
        Keep::Fields(&[
            ("MsgSeq", Keep::All),
            ("ReadNum", Keep::All),
            ("UnreadNum", Keep::All),
            ("ReadReceiptMembers", Keep::Fields(&[("Member_Account", Keep::All)])),
        ]),
    ),
    ("Report_Account", Keep::All),
    ("Peer_Account", Keep::All),
    ("LastReadTime", Keep::All),
    ("UnreadMsgNum", Keep::All),
    ("Operator_Account", Keep::All),
    ("C2CMsgInfo", Keep::Fields(&[("MsgKey", Keep::All), ("From_Account", Keep::All), ("MsgId", Keep::All)])),
    ("GroupReadInfo", Keep::Fields(&[("GroupId", Keep::All), ("MsgSeq", Keep::All)])),
    ("FriendItem", Keep::Fields(&[("To_Account", Keep::All)])),
    ("ResponseFriendItem", Keep::Fields(&[("To_Account", Keep::All)])),
]);

/// The commands that tell of a read.
pub(super) const READS: [&str; 4] = [GROUP_RECEIPT, REPORT, RECEIPT, READ_ALL];

/// Whether a command tells of a read.
pub(super) fn is_read(command: &str) -> bool {
    READS.contains(&command)
}

/// Reads any of the four.
pub(super) fn decode<'c>(
    verified: &'c Verified<'_>,
    body: &'c Object<'_>,
) -> Result<Readings<'c>, DecodeError> {
    let event = Event::new(verified, body)?;
    match event.command {
        GROUP_RECEIPT => event.group_receipt(),
        REPORT => event.report(),
        RECEIPT => event.receipt(),
        _ => event.read_all(),
    }
}

/// What the four have in common.
struct Event<'c> {
    body: &'c Object<'c>,
    app: &'c str,
    command: &'c str,
    event_time: Option<VendorTime>,
    /// Facts of the query, which come with every receipt of the callback.
    query: Extra<'c>,
}

impl<'c> Event<'c> {
    fn new(verified: &'c Verified<'_>, body: &'c Object<'_>) -> Result<Self, DecodeError> {
        let callback = verified.callback();
        let parameter = |name| match callback.request.parameter(name) {
            Parameter::Once(value) => Some(value),
            Parameter::Absent | Parameter::Repeated => None,
        };
        let mut query = Extra::new();
        query.text("opt_platform", parameter("OptPlatform"));
        query.text("client_ip", parameter("ClientIP"));
        let event_time = body.event_time("EventTime")?;
        field::time_unit(&mut query, &[event_time]);
        Ok(Self { body, app: verified.app(), command: &callback.command, event_time, query })
    }

    fn reading(
        &self,
        conversation: Conversation<'c>,
        reader: &'c str,
        mark: Mark<'c>,
        identity: Key,
    ) -> Reading<'c> {
        Reading {
            conversation,
            reader: reader.into(),
            mark,
            author: None,
            counts: None,
            read_at: self.event_time.map(|time| time.at),
            event: self.command.into(),
            event_id: None,
            extra: self.query.clone(),
            identity: Identity::Facts(identity.id()),
        }
    }

    fn key(&self, namespace: &'static str) -> Key {
        Key::new(namespace).part(self.app.as_bytes())
    }

    /// Messages of a group, each with the members that have read it.
    /// <https://www.tencentcloud.com/document/product/1047/60395>
    fn group_receipt(self) -> Result<Readings<'c>, DecodeError> {
        let group = self.body.text("GroupId")?;
        let mut readings = Readings::new();
        for entry in self.body.list("GroupMsgReceiptList")? {
            let entry = entry.as_object().ok_or(Problem::WrongType.of("GroupMsgReceiptList[]"))?;
            let seq = entry.integer("MsgSeq")?;
            let counts =
                Counts::new(entry.optional_integer("ReadNum")?, entry.optional_integer("UnreadNum")?);
            for member in entry.optional_list("ReadReceiptMembers")?.unwrap_or_default() {
                let member = member.as_object().ok_or(Problem::WrongType.of("ReadReceiptMembers[]"))?;
                let reader = member.text("Member_Account")?;
                let key =
                    self.key("tencent/group").part(group.as_bytes()).integer(seq).part(reader.as_bytes());
                let mut reading = self.reading(Conversation::group(group), reader, Mark::MessageAt(seq), key);
                reading.counts = counts;
                reading.extra.text("group_type", self.body.fact("Type"));
                readings.push(reading);
                field::within_limit(readings.len())?;
            }
        }
        Ok(readings)
    }

    /// A one-to-one conversation, read up to a moment.
    /// <https://www.tencentcloud.com/document/product/1047/43465>
    fn report(self) -> Result<Readings<'c>, DecodeError> {
        let reader = self.body.text("Report_Account")?;
        let peer = self.body.text("Peer_Account")?;
        let seconds = self.body.integer("LastReadTime")?;
        let up_to = Timestamp::from_seconds(seconds).ok_or(Problem::OutOfRange.of("LastReadTime"))?;
        let unread_total = self.body.optional_integer("UnreadMsgNum")?;
        let key = self.key("tencent/report").part(reader.as_bytes()).part(peer.as_bytes()).integer(seconds);
        let mut reading = self.reading(Conversation::direct(peer), reader, Mark::UpToTime(up_to, None), key);
        reading.extra.integer("unread_total", unread_total);
        Ok(smallvec![reading])
    }

    /// Single messages of a one-to-one conversation.
    /// <https://cloud.tencent.com/document/product/269/128223>
    fn receipt(self) -> Result<Readings<'c>, DecodeError> {
        let reader = self.body.text("Operator_Account")?;
        let peer = self.body.text("Peer_Account")?;
        let messages = self.body.list("C2CMsgInfo")?;
        field::within_limit(messages.len())?;
        let messages = messages.iter().map(|message| {
            let message = message.as_object().ok_or(Problem::WrongType.of("C2CMsgInfo[]"))?;
            let msg_key = message.text("MsgKey")?;
            let key = self.key("tencent/receipt").part(reader.as_bytes()).part(msg_key.as_bytes());
            let mark = Mark::Message(msg_key.into());
            let mut reading = self.reading(Conversation::direct(peer), reader, mark, key);
            reading.author = message.optional_text("From_Account")?.map(Cow::Borrowed);
            reading.extra.text("msg_id", message.fact("MsgId"));
            Ok(reading)
        });
        messages.collect()
    }

    /// Everything marked as read at once: the groups by position, the one-to-one conversations by time, unnamed.
    /// <https://cloud.tencent.com/document/product/269/128225>
    fn read_all(self) -> Result<Readings<'c>, DecodeError> {
        let reader = self.body.text("Report_Account")?;
        // Here the time is the position itself, so it must be there and fit.
        let millis = self.body.integer("EventTime")?;
        let at = field::position(millis).map_err(|problem| problem.of("EventTime"))?.at;
        // The time itself, in whichever unit it came.
        let key = |namespace| self.key(namespace).part(reader.as_bytes()).integer(at.as_millis());
        let mut readings = Readings::new();
        for entry in self.body.optional_list("GroupReadInfo")?.unwrap_or_default() {
            let entry: &Object<'_> = entry.as_object().ok_or(Problem::WrongType.of("GroupReadInfo[]"))?;
            let group = entry.text("GroupId")?;
            let mark = Mark::UpToSeq(entry.integer("MsgSeq")?);
            let key = key("tencent/read-all/group").part(group.as_bytes());
            readings.push(self.reading(Conversation::group(group), reader, mark, key));
            field::within_limit(readings.len())?;
        }
        let direct = Conversation::unnamed(ConversationKind::Direct);
        readings.push(self.reading(direct, reader, Mark::UpToTime(at, None), key("tencent/read-all/direct")));
        Ok(readings)
    }
}
