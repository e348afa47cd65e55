//! Easemob as a caller: post-send callbacks of reads, each with its MD5 in the body.

use std::fmt::Write as _;

use http::Uri;
use md5::{Digest, Md5};

use super::callback::{Event, Flaw, Promise};
use super::caller::{Caller, Proof, escaped};
use super::dialect::Dialect;
use super::world::World;
use crate::config::Secret;

pub(super) const DIALECT: Dialect = Dialect {
    welcome: r#"{"valid":true}"#,
    unusable: 200,
    takes_lists: false,
    hides: true,
    refusal: |_, reason| format!(r#"{{"error":"{reason}"}}"#),
};

const HOST: &str = "msync@vip5-ali-beijing-msync12";
const FLAWS: &[Flaw] = &[
    Flaw { find: r#""from":"#, put: r#""from":7,"was":"#, reason: "field_wrong_type" },
    Flaw { find: r#""to":"#, put: r#""to":null,"was":"#, reason: "field_missing" },
];
const MESSAGE_FLAWS: &[Flaw] = &[
    Flaw { find: r#""payload":"#, put: r#""payload":[],"was":"#, reason: "field_wrong_type" },
    Flaw { find: r#""ack_message_id":"#, put: r#""message":"#, reason: "field_missing" },
    Flaw { find: r#""from":"#, put: r#""from":"","was":"#, reason: "field_missing" },
];

/// An app with a callback rule.
pub(super) struct Easemob {
    target: Uri,
    appkey: String,
    secret: Secret,
}

impl Easemob {
    pub(super) fn new(target: Uri, appkey: &str, secret: Secret) -> Self {
        Self { target, appkey: appkey.to_owned(), secret }
    }

    /// The fields that every signed callback has, without the closing brace.
    /// <https://doc.easemob.com/document/server-side/callback_postsending.html>
    fn signed(&self, world: &World, kind: &str, from: &str, to: &str, rest: &str, proof: Proof) -> String {
        let appkey = match proof {
            Proof::UnknownApp => "0#unknown",
            Proof::Good | Proof::WrongSecret | Proof::WrongOrder | Proof::Missing | Proof::Stale => {
                &self.appkey
            }
        };
        let (id, time) = (world.event_id(), world.now_ms());
        let call_id = format!("{appkey}_{id}");
        let security = match proof {
            Proof::Missing => None,
            Proof::WrongSecret => Some(md5([&call_id, "no-secret-of-any-rule", &time.to_string()])),
            Proof::WrongOrder => Some(md5([self.secret.expose(), &call_id, &time.to_string()])),
            // There is no window; the time of another event proves nothing either.
            Proof::Stale => Some(md5([&call_id, self.secret.expose(), &(time - 1).to_string()])),
            Proof::Good | Proof::UnknownApp => Some(md5([&call_id, self.secret.expose(), &time.to_string()])),
        };
        let (call_id, appkey) = (escaped(&call_id), escaped(appkey));
        let mut body = String::with_capacity(640);
        // Writing to a string does not fail, here and below.
        let _written = write!(
            body,
            r#"{{"chat_type":"{kind}","callId":"{call_id}","channel_channel":"{appkey}_{to}@conference.easemob.com","#
        );
        if let Some(security) = security {
            let _written = write!(body, r#""security":"{security}","#);
        }
        let _written = write!(
            body,
            r#"{rest},"host":"{HOST}","appkey":"{appkey}","from":"{from}","to":"{to}","eventType":"chat","msg_id":"{id}","timestamp":{time}}}"#
        );
        body
    }

    fn event(&self, body: String, receipts: u32, flaws: &'static [Flaw]) -> Event {
        Event {
            target: self.target.clone(),
            content_type: Some("application/json"),
            operation_id: None,
            body: body.into_bytes(),
            receipts,
            flaws,
        }
    }
}

impl Caller for Easemob {
    fn read(&mut self, world: &mut World, proof: Proof) -> Event {
        let kind = world.random.below(10);
        if kind < 3 {
            let group = world.any_group();
            let read = world.group_read(group, 1);
            let to = 281_474_976_710_656 + group as u64;
            let from = read.new_readers().first().map(|reader| world.user(*reader)).unwrap_or_default();
            let message = world.message_id("group", read.seq ^ (group as i64) << 32);
            let rest = format!(
                r#""channel_user":"{}_{from}@easemob.com","content_type":"chat:ack:read","payload":{{"ext":{{}},"ack_message_id":"{message}","msg_config":{{"allow_group_ack":true}},"type":"read_ack"}},"writed_channel":false"#,
                escaped(&self.appkey)
            );
            let body = self.signed(world, "read_ack", &from, &to.to_string(), &rest, proof);
            return self.event(body, 1, MESSAGE_FLAWS);
        }
        let direct = world.direct();
        let seq = world.read_on(&direct, 1).start;
        let (from, to) = (world.user(direct.reader), world.user(direct.peer));
        let message = world.message_id(&format!("{to}>{from}"), seq);
        let body = if kind < 8 {
            let rest = format!(r#""payload":{{"ext":{{}},"ack_message_id":"{message}","bodies":[]}}"#);
            self.signed(world, "read_ack", &from, &to, &rest, proof)
        } else {
            let rest = format!(r#""payload":{{"ack_message_id":"{message}","type":"channel_ack"}}"#);
            self.signed(world, "channel_ack", &from, &to, &rest, proof)
        };
        self.event(body, 1, if kind < 8 { MESSAGE_FLAWS } else { FLAWS })
    }

    fn neighbour(&mut self, world: &mut World) -> (Event, Promise) {
        let (from, to) = world.two();
        let body = match world.random.below(4) {
            0 => {
                // A message can say anything; only the outermost `chat_type` counts.
                let rest = r#""payload":{"ext":{"chat_type":"read_ack"},"bodies":[{"type":"txt","msg":"see you at eight"}],"type":"chat"},"content_type":"chat:user:text""#;
                self.signed(world, "chat", &from, &to, rest, Proof::Good)
            }
            1 => {
                let message = world.message_id(&to, 0);
                let rest = format!(
                    r#""payload":{{"ext":{{}},"ack_message_id":"{message}","type":"recall"}},"recall_id":"{message}""#
                );
                self.signed(world, "recall", &from, &to, &rest, Proof::Good)
            }
            2 => {
                let rest = r#""payload":{"reason":"","operation":"add","type":"roster","status":{"error_code":"ok"}}"#;
                self.signed(world, "roster", &from, &to, rest, Proof::Good)
            }
            // Reactions come without callId and security.
            _ => format!(
                r#"{{"appkey":"{}","chat_type":"notify","from":"{from}","to":"{to}","host":"{HOST}","msg_id":"{}","payload":{{"type":"reaction","data":[]}},"timestamp":{}}}"#,
                escaped(&self.appkey),
                world.event_id(),
                world.now_ms()
            ),
        };
        (self.event(body, 0, &[]), Promise::Welcome)
    }

    fn bad_proofs(&self) -> &[(Proof, u16, &'static str)] {
        &[
            (Proof::WrongSecret, 401, "bad_signature"),
            (Proof::WrongOrder, 401, "bad_signature"),
            (Proof::Stale, 401, "bad_signature"),
            (Proof::Missing, 401, "signature_missing"),
            (Proof::UnknownApp, 401, "unknown_app"),
        ]
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }
}

/// `security = lowercase_hex( MD5( UTF8( callId + secret + timestamp ) ) )`
fn md5(parts: [&str; 3]) -> String {
    let digest = parts.into_iter().fold(Md5::new(), |digest, part| digest.chain_update(part));
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_vendors_formula_does() {
        // Computed with `openssl md5`.
        let parts = ["1122230411#harbor-chat_1490019900000000102", "k7Qe2vRz9LmXw4Tn", "1755000000102"];
        assert_eq!(md5(parts), "98f3775d76f80d73b65c844b90fa3780");
    }
}
