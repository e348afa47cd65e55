//! Tencent's four read commands. `LastReadTime` counts seconds, `EventTime` milliseconds.

use std::fmt::Write as _;

use super::super::callback::{Event, Flaw};
use super::super::caller::Proof;
use super::super::world::World;
use super::{Tencent, group_id};

const TYPES: [&str; 3] = ["Public", "Private", "ChatRoom"];

const GROUP_FLAWS: &[Flaw] = &[
    Flaw { find: r#""MsgSeq":"#, put: r#""MsgSeq":99999999999999999999"#, reason: "field_out_of_range" },
    Flaw { find: r#""GroupId":"#, put: r#""GroupId":null,"Was":"#, reason: "field_missing" },
    Flaw { find: r#""EventTime":""#, put: r#""EventTime":"soon"#, reason: "field_wrong_type" },
];
const REPORT_FLAWS: &[Flaw] = &[
    Flaw {
        find: r#""LastReadTime":"#,
        put: r#""LastReadTime":99999999999999"#,
        reason: "field_out_of_range",
    },
    Flaw { find: r#""Report_Account":"#, put: r#""Report_Account":[],"Was":"#, reason: "field_wrong_type" },
    Flaw { find: r#""Peer_Account":"#, put: r#""Peer":"#, reason: "field_missing" },
];
const RECEIPT_FLAWS: &[Flaw] = &[
    Flaw { find: r#""C2CMsgInfo":"#, put: r#""C2CMsgInfo":{},"Was":"#, reason: "field_wrong_type" },
    Flaw { find: r#""Operator_Account":"#, put: r#""Operator":"#, reason: "field_missing" },
];
const READ_ALL_FLAWS: &[Flaw] = &[
    Flaw { find: r#""EventTime":"#, put: r#""EventTime":true,"Was":"#, reason: "field_wrong_type" },
    Flaw { find: r#""Report_Account":"#, put: r#""Report_Account":"","Was":"#, reason: "field_missing" },
];

impl Tencent {
    /// Members of a group have read one message or several. <https://www.tencentcloud.com/document/product/1047/60395>
    pub(super) fn group_receipt(&self, world: &mut World, proof: Proof) -> Event {
        const COMMAND: &str = "Group.CallbackAfterReadReceipt";
        let target = self.target(world, COMMAND, proof);
        let group = world.any_group();
        let (id, kind) = (group_id(world, group), TYPES[group % TYPES.len()]);
        let mut body = String::with_capacity(512);
        let _written = write!(
            body,
            r#"{{"CallbackCommand":"{COMMAND}","GroupId":"{id}","Type":"{kind}","GroupMsgReceiptList":["#
        );
        let mut receipts = 0;
        for entry in 0..3 {
            let read = world.group_read(group, 4);
            receipts += read.new;
            let comma = if entry > 0 { "," } else { "" };
            let _written = write!(
                body,
                r#"{comma}{{"MsgSeq":{},"ReadNum":{},"UnreadNum":{},"ReadReceiptMembers":["#,
                read.seq,
                read.readers.len(),
                read.unread
            );
            for (at, member) in read.new_readers().iter().enumerate() {
                let comma = if at > 0 { "," } else { "" };
                let _written = write!(body, r#"{comma}{{"Member_Account":"{}"}}"#, world.user(*member));
            }
            body.push_str("]}");
            if !read.is_complete() {
                break;
            }
        }
        // A string here, a number in the one-to-one commands: so the vendor's pages print them.
        let _written = write!(body, r#"],"EventTime":"{}"}}"#, world.now_ms());
        self.event(target, body, receipts, GROUP_FLAWS)
    }

    /// A one-to-one conversation is read up to a second. <https://www.tencentcloud.com/document/product/1047/43465>
    pub(super) fn report(&self, world: &mut World, proof: Proof) -> Event {
        const COMMAND: &str = "C2C.CallbackAfterMsgReport";
        let target = self.target(world, COMMAND, proof);
        let direct = world.direct();
        let until = world.read_until(&direct, 1_000);
        let (reader, peer) = (world.user(direct.reader), world.user(direct.peer));
        // The Chinese page has EventTime and no UnreadMsgNum, the international one the other way round.
        let rest = if world.random.chance(0.5) {
            format!(r#","EventTime":{}"#, world.now_ms())
        } else {
            format!(r#","UnreadMsgNum":{}"#, world.random.below(20))
        };
        let body = format!(
            r#"{{"CallbackCommand":"{COMMAND}","Report_Account":"{reader}","Peer_Account":"{peer}","LastReadTime":{until}{rest}}}"#
        );
        self.event(target, body, 1, REPORT_FLAWS)
    }

    /// Single messages of a one-to-one conversation. <https://cloud.tencent.com/document/product/269/128223>
    pub(super) fn receipt(&self, world: &mut World, proof: Proof) -> Event {
        const COMMAND: &str = "C2C.CallbackAfterMsgReadReceipt";
        let target = self.target(world, COMMAND, proof);
        let direct = world.direct();
        let messages = world.read_on(&direct, 3);
        let (reader, peer) = (world.user(direct.reader), world.user(direct.peer));
        let mut body = String::with_capacity(512);
        let _written = write!(
            body,
            r#"{{"CallbackCommand":"{COMMAND}","Operator_Account":"{reader}","Peer_Account":"{peer}","C2CMsgInfo":["#
        );
        let receipts = messages.clone().count();
        for seq in messages.clone() {
            let comma = if seq > messages.start { "," } else { "" };
            let random = world.message_id(&peer, seq) % 100_000_000;
            let sent = world.now_ms() / 1000;
            let _written = write!(
                body,
                r#"{comma}{{"From_Account":"{peer}","To_Account":"{reader}","MsgKey":"{seq}_{random}_{sent}","MsgId":"144115198877665544-{sent}-{random}"}}"#
            );
        }
        let _written = write!(body, r#"],"EventTime":{}}}"#, world.now_ms());
        self.event(target, body, receipts, RECEIPT_FLAWS)
    }

    /// Everything unread is cleared. <https://cloud.tencent.com/document/product/269/128225>
    pub(super) fn read_all(&self, world: &mut World, proof: Proof) -> Event {
        const COMMAND: &str = "C2C.CallbackAfterMsgReadAll";
        let target = self.target(world, COMMAND, proof);
        let (user, at) = world.clear();
        let (first, groups) = (world.any_group(), world.groups());
        let named = world.random.below(4).min(groups as u64) as usize;
        let mut body = String::with_capacity(320);
        let user = world.user(user);
        let _written = write!(
            body,
            r#"{{"CallbackCommand":"{COMMAND}","Report_Account":"{user}","EventTime":{at},"GroupReadInfo":["#
        );
        for offset in 0..named {
            let group = (first + offset) % groups;
            let comma = if offset > 0 { "," } else { "" };
            let (id, seq) = (group_id(world, group), world.seq_of(group));
            let _written = write!(body, r#"{comma}{{"GroupId":"{id}","MsgSeq":{seq}}}"#);
        }
        body.push_str("]}");
        self.event(target, body, named + 1, READ_ALL_FLAWS)
    }
}
