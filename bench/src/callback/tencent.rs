//! Tencent's `Group.CallbackAfterReadReceipt`: three messages of a group, each confirmed by four readers.
//!
//! Unsigned, as with an app that has no callback token.

use std::net::SocketAddr;

use super::{App, Order, READERS};
use crate::template::{Places, Slot, Template, digits};

pub(super) const MESSAGES: u64 = 3;
pub(super) const READERS_OF_EACH: u64 = 4;

/// Sequence numbers stay within 32 bits, as Tencent's do, and have ten digits.
const SEQUENCE_BITS: u32 = 31;
const FIRST_SEQUENCE: u64 = 1_000_000_000;
const FIRST_EVENT_TIME: u64 = 1_759_999_998_512;
/// A callback takes three sequence numbers; so many callbacks there are.
pub(super) const MOST: u64 = (1 << SEQUENCE_BITS) / MESSAGES;

const EVENT_TIME: Slot = Slot { mark: 1, width: 13 };
const SEQUENCES: [Slot; MESSAGES as usize] =
    [Slot { mark: 2, width: 10 }, Slot { mark: 3, width: 10 }, Slot { mark: 4, width: 10 }];
const MEMBERS: [Slot; READERS_OF_EACH as usize] = [
    Slot { mark: 5, width: 4 },
    Slot { mark: 6, width: 4 },
    Slot { mark: 7, width: 4 },
    Slot { mark: 8, width: 4 },
];

pub(super) struct Tencent {
    template: Template,
    event_time: Places,
    sequences: [Places; MESSAGES as usize],
    members: [Places; READERS_OF_EACH as usize],
}

impl Tencent {
    pub(super) fn new(app: &App, host: SocketAddr) -> Self {
        let members = MEMBERS.map(|slot| format!(r#"{{"Member_Account":"reader{slot}"}}"#)).join(",");
        let messages = SEQUENCES
            .map(|slot| {
                format!(r#"{{"MsgSeq":{slot},"ReadNum":4,"UnreadNum":15,"ReadReceiptMembers":[{members}]}}"#)
            })
            .join(",");
        let body = format!(
            r#"{{"CallbackCommand":"Group.CallbackAfterReadReceipt","GroupId":"@TGS#2R7QK3MZP","Type":"Public","GroupMsgReceiptList":[{messages}],"EventTime":"{EVENT_TIME}"}}"#
        );
        let target = format!(
            "/webhooks/tencent?SdkAppid={}&CallbackCommand=Group.CallbackAfterReadReceipt&contenttype=json\
             &ClientIP=192.0.2.7&OptPlatform=iOS",
            app.sdk_app_id
        );
        let template = Template::post(&target, &host.to_string(), &body);
        Self {
            event_time: template.places(EVENT_TIME),
            sequences: SEQUENCES.map(|slot| template.places(slot)),
            members: MEMBERS.map(|slot| template.places(slot)),
            template,
        }
    }

    /// The `number`th callback; past [`MOST`] its sequence numbers would come again.
    pub(super) fn request(&mut self, number: u64, order: Order) -> &[u8] {
        for (at, places) in (0..).zip(&self.sequences) {
            let sequence = FIRST_SEQUENCE + order.place(number * MESSAGES + at, SEQUENCE_BITS);
            self.template.fill(places, &digits::<10>(sequence));
        }
        for (at, places) in (0..).zip(&self.members) {
            self.template.fill(places, &digits::<4>((number * READERS_OF_EACH + at) % READERS));
        }
        self.template.fill(&self.event_time, &digits::<13>(FIRST_EVENT_TIME + number));
        self.template.bytes()
    }
}
