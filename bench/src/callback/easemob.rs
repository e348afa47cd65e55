//! Easemob's group read receipt: one reader confirms one message; signed with MD5.
//!
//! Only the values that must differ are made anew; the rest of the body is the same in every callback.

use std::net::SocketAddr;

use md5::{Digest, Md5};

use super::{App, Order, READERS};
use crate::template::{Places, Slot, Template, digits};

const ID: Slot = Slot { mark: 1, width: 19 };
const TIMESTAMP: Slot = Slot { mark: 2, width: 13 };
const SECURITY: Slot = Slot { mark: 3, width: 32 };
const READER: Slot = Slot { mark: 4, width: 4 };
const MESSAGE: Slot = Slot { mark: 5, width: 19 };
const GROUP: Slot = Slot { mark: 6, width: 15 };

/// 2^59 ids fit between the first id and the greatest one of 19 digits.
const ID_BITS: u32 = 59;
const FIRST_ID: u64 = 1_490_000_000_000_000_000;
const FIRST_MESSAGE: u64 = 1_480_000_000_000_000_000;
const FIRST_TIMESTAMP: u64 = 1_755_000_000_000;
const FIRST_GROUP: u64 = 281_474_976_710_000;
const GROUPS: u64 = 100;

/// Message, group and reader of the `number`th callback, if ids grow: what a question about it needs.
pub fn easemob_message(number: u64) -> (String, String, String) {
    let message = number / READERS;
    let group = FIRST_GROUP + message % GROUPS;
    ((FIRST_MESSAGE + message).to_string(), group.to_string(), format!("reader{:04}", number % READERS))
}

pub(super) struct Easemob {
    template: Template,
    id: Places,
    timestamp: Places,
    security: Places,
    reader: Places,
    message: Places,
    group: Places,
    /// MD5 after the part of `callId` that never changes.
    begun: Md5,
    secret: Vec<u8>,
}

impl Easemob {
    pub(super) fn new(app: &App, host: SocketAddr) -> Self {
        let appkey = &app.appkey;
        let body = format!(
            r#"{{"callId":"{appkey}_{ID}","channel_channel":"{appkey}_{GROUP}@conference.easemob.com","eventType":"chat","channel_user":"{appkey}_reader{READER}@easemob.com","chat_type":"read_ack","security":"{SECURITY}","content_type":"chat:ack:read","payload":{{"ext":{{}},"ack_message_id":"{MESSAGE}","msg_config":{{"allow_group_ack":true}},"type":"read_ack"}},"writed_channel":false,"host":"msync@vip5-ali-beijing-msync12","appkey":"{appkey}","from":"reader{READER}","to":"{GROUP}","msg_id":"{ID}","timestamp":{TIMESTAMP}}}"#
        );
        let template = Template::post("/webhooks/easemob", &host.to_string(), &body);
        Self {
            id: template.places(ID),
            timestamp: template.places(TIMESTAMP),
            security: template.places(SECURITY),
            reader: template.places(READER),
            message: template.places(MESSAGE),
            group: template.places(GROUP),
            template,
            begun: Md5::new_with_prefix(format!("{appkey}_")),
            secret: app.secret.clone().into_bytes(),
        }
    }

    /// The `number`th callback: its reader changes with each, its message after every reader has confirmed.
    pub(super) fn request(&mut self, number: u64, order: Order) -> &[u8] {
        let message = number / READERS;
        let id = digits::<19>(FIRST_ID + order.place(number, ID_BITS));
        let timestamp = digits::<13>(FIRST_TIMESTAMP + number);
        let mut security = [0; 32];
        let signature =
            self.begun.clone().chain_update(id).chain_update(&self.secret).chain_update(timestamp);
        // Cannot fail: an MD5 is 16 bytes, which are 32 hexadecimal digits.
        let encoded = hex::encode_to_slice(signature.finalize(), &mut security);
        debug_assert!(encoded.is_ok());

        self.template.fill(&self.id, &id);
        self.template.fill(&self.timestamp, &timestamp);
        self.template.fill(&self.security, &security);
        self.template.fill(&self.reader, &digits::<4>(number % READERS));
        self.template.fill(&self.message, &digits::<19>(FIRST_MESSAGE + order.place(message, ID_BITS)));
        self.template.fill(&self.group, &digits::<15>(FIRST_GROUP + message % GROUPS));
        self.template.bytes()
    }
}
