//! A relay as a caller: what RongCloud's SDKs tell an app, handed on in readhook's own envelope by a gateway that knows
//! its users. Two SDKs, told apart by their events' names.

use std::fmt::Write as _;

use super::callback::{Event, Flaw, Promise};
use super::caller::{Caller, Proof};
use super::dialect::Dialect;
use super::rong_signature::RongSignature;
use super::world::{GroupRead, World};

pub(super) const DIALECT: Dialect = Dialect { takes_lists: false, ..super::rongcloud::DIALECT };

const FLAWS: &[Flaw] = &[
    Flaw { find: r#""relay_user_id":"#, put: r#""user":"#, reason: "field_missing" },
    Flaw { find: r#""data":"#, put: r#""data":7,"was":"#, reason: "field_wrong_type" },
    Flaw { find: r#""relay_user_id":"#, put: r#""relay_user_id":7,"was":"#, reason: "field_wrong_type" },
];

/// A gateway with the relay's secret.
pub(super) struct Relay {
    signature: RongSignature,
}

impl Relay {
    pub(super) fn new(signature: RongSignature) -> Self {
        Self { signature }
    }

    fn event(
        &self,
        world: &mut World,
        proof: Proof,
        event: &str,
        author: u64,
        data: &str,
        receipts: usize,
    ) -> Event {
        let target = self.signature.target(world, proof);
        let body = format!(
            r#"{{"event":"{event}","relay_user_id":"{}","received_at":{},"data":{data}}}"#,
            world.user(author),
            world.now_ms()
        );
        Event {
            target,
            content_type: Some("application/json"),
            operation_id: None,
            body: body.into_bytes(),
            receipts: receipts as u32,
            flaws: FLAWS,
        }
    }

    /// One-to-one, up to a moment, as either SDK tells it.
    fn direct(&self, world: &mut World, proof: Proof) -> Event {
        let direct = world.direct();
        let until = world.read_until(&direct, 1);
        let reader = world.user(direct.reader);
        let (event, data) = if world.random.chance(0.7) {
            ("onReceiveReadReceipt", format!(r#"{{"cType":1,"messageTime":{until},"tId":"{reader}"}}"#))
        } else {
            let data = format!(r#"{{"targetId":"{reader}","channelId":"","timestamp":{until}}}"#);
            ("onPrivateReadReceiptReceived", data)
        };
        self.event(world, proof, event, direct.peer, &data, 1)
    }

    /// The readers of a message in a group. The plug-in's and the wrapper's maps are cumulative: whoever has read it before
    /// is in it again.
    fn group(&self, world: &mut World, proof: Proof) -> Event {
        let group = world.any_group();
        let read = world.group_read(group, 3);
        let id = format!("g_{}{group}", world.tag());
        let message = World::uid(u128::from(world.message_id(&id, read.seq)) << 8);
        let (event, data) = match world.random.below(13) {
            0..7 => {
                let readers = readers(world, &read);
                let data = format!(
                    r#"{{"targetId":"{id}","conversationType":3,"messageUId":"{message}","readerList":{{{readers}}}}}"#
                );
                ("onMessageReceiptResponse", data)
            }
            7..10 => {
                let readers = readers(world, &read);
                let data = format!(
                    r#"{{"targetId":"{id}","messageUId":"{message}","respondUserIds":{{{readers}}}}}"#
                );
                ("onGroupMessageReadReceiptResponseReceived", data)
            }
            _ => {
                let mut users = String::new();
                for (at, reader) in read.new_readers().iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    // Writing to a string does not fail, here and below.
                    let _written = write!(
                        users,
                        r#"{comma}{{"userId":"{}","timestamp":{}}}"#,
                        world.user(*reader),
                        world.now_ms()
                    );
                }
                let (done, open) = (read.readers.len(), read.unread);
                // The wrapper counts kinds of conversation by the index of an enum: 2 is a group.
                let data = format!(
                    r#"[{{"conversationType":2,"targetId":"{id}","channelId":"","messageUId":"{message}","users":[{users}],"readCount":{done},"unreadCount":{open},"totalCount":{}}}]"#,
                    done + open
                );
                ("onMessageReadReceiptV5Received", data)
            }
        };
        self.event(world, proof, event, read.author, &data, read.new)
    }
}

/// `"user":time` for each who has read it up to now.
fn readers(world: &World, read: &GroupRead) -> String {
    let mut readers = String::with_capacity(read.readers.len() * 40);
    for (at_ms, reader) in (read.since_ms..).zip(&read.readers) {
        let comma = if readers.is_empty() { "" } else { "," };
        let _written = write!(readers, r#"{comma}"{}":{at_ms}"#, world.user(*reader));
    }
    readers
}

impl Caller for Relay {
    fn read(&mut self, world: &mut World, proof: Proof) -> Event {
        if world.random.chance(0.35) { self.direct(world, proof) } else { self.group(world, proof) }
    }

    fn neighbour(&mut self, world: &mut World) -> (Event, Promise) {
        let direct = world.direct();
        let data = format!(
            r#"{{"targetId":"{}","conversationType":1,"messageUId":"{}"}}"#,
            world.user(direct.peer),
            world.event_uid()
        );
        let event = self.event(world, Proof::Good, "onMessageReceiptRequest", direct.reader, &data, 0);
        (event, Promise::Welcome)
    }

    fn bad_proofs(&self) -> &[(Proof, u16, &'static str)] {
        self.signature.bad_proofs()
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }
}
