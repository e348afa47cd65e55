//! RongCloud as a caller: routed messages as forms, some in Nexconn's JSON envelope, signed in the query.

use std::fmt::Write as _;

use http::Uri;

use super::callback::{Event, Flaw, Promise};
use super::caller::{Caller, Proof, in_url};
use super::dialect::Dialect;
use super::rong_signature::RongSignature;
use super::world::World;

pub(super) const DIALECT: Dialect = Dialect {
    welcome: "ok",
    unusable: 200,
    takes_lists: true,
    hides: false,
    refusal: |_, reason| reason.to_owned(),
};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const SOURCES: [&str; 5] = ["iOS", "Android", "HarmonyOS", "Websocket", "PC"];

const FORM_FLAWS: &[Flaw] = &[
    Flaw { find: "&content=", put: "&content=hello&was=", reason: "field_not_json" },
    Flaw { find: "&msgTimestamp=", put: "&msgTimestamp=soon&was=", reason: "field_wrong_type" },
    Flaw { find: "&toUserId=", put: "&to=", reason: "field_missing" },
    Flaw { find: "&msgUID=", put: "&msgUID=twice&msgUID=", reason: "field_repeated" },
];
const NEXCONN_FLAWS: &[Flaw] = &[
    Flaw { find: r#""userId":"#, put: r#""userId":7,"was":"#, reason: "field_wrong_type" },
    Flaw { find: r#""messageId":"#, put: r#""message":"#, reason: "field_missing" },
    Flaw { find: r#""content":"#, put: r#""content":"hello","was":"#, reason: "field_not_json" },
];

/// An app with its message routing.
pub(super) struct RongCloud {
    signature: RongSignature,
}

/// What is routed: a message whose type says that it is a receipt.
struct Routed {
    object_name: &'static str,
    channel_type: &'static str,
    channel_number: u8,
    from: String,
    to: String,
    content: String,
    receipts: u32,
}

impl RongCloud {
    pub(super) fn new(signature: RongSignature) -> Self {
        Self { signature }
    }

    fn event(
        target: Uri,
        content_type: &'static str,
        body: String,
        receipts: u32,
        flaws: &'static [Flaw],
    ) -> Event {
        let body = body.into_bytes();
        Event { target, content_type: Some(content_type), operation_id: None, body, receipts, flaws }
    }

    /// One-to-one: everything is read up to a moment. <https://docs.rongcloud.cn/v4-platform/views/im/noui/guide/platform-web/message/receipt/private-p.html>
    fn notification(world: &mut World) -> Routed {
        let direct = world.direct();
        let until = world.read_until(&direct, 1);
        // The vendor's own Java SDK writes the time as a string, its mobile SDKs leave the message out.
        let time = if world.random.chance(0.2) { format!(r#""{until}""#) } else { until.to_string() };
        let message = if world.random.chance(0.6) {
            format!(r#","messageUId":"{}""#, World::uid(u128::from(world.event_id()) << 16))
        } else {
            String::new()
        };
        Routed {
            object_name: "RC:ReadNtf",
            channel_type: "PERSON",
            channel_number: 1,
            from: world.user(direct.reader),
            to: world.user(direct.peer),
            content: format!(r#"{{"lastMessageSendTime":{time}{message},"type":1}}"#),
            receipts: 1,
        }
    }

    /// Group: messages of one author or two. <https://docs.rongcloud.cn/web-imlib/2.x/group/msgmanage/receipt>
    fn response(world: &mut World) -> Routed {
        let group = world.any_group();
        let read = world.group_read(group, 1);
        let to = format!("g_{}{group}", world.tag());
        let reader = read.new_readers().first().copied().unwrap_or_default();
        let mut receipts = 0;
        let mut list = |author: u64, world: &mut World, messages: u64| {
            let place = format!("{to}>{author}");
            let ids: Vec<String> = (0..messages as i64)
                .map(|at| World::uid(u128::from(world.message_id(&place, read.seq * 8 + at)) << 8))
                .collect();
            receipts += ids.len() as u32;
            format!(r#""{}":["{}"]"#, world.user(author), ids.join(r#"",""#))
        };
        let messages = 1 + world.random.below(3);
        let mut authors = list(read.author, world, messages);
        // The first who has read it wrote something himself, before the others came.
        if let Some(second) = read.readers.first().filter(|second| **second != reader) {
            authors.push(',');
            authors.push_str(&list(*second, world, 1));
        }
        Routed {
            object_name: "RC:RRRspMsg",
            channel_type: "GROUP",
            channel_number: 3,
            from: world.user(reader),
            content: format!(r#"{{"receiptMessageDic":{{{authors}}}}}"#),
            receipts,
            to,
        }
    }

    fn form(routed: &Routed, world: &mut World) -> String {
        let source = SOURCES[world.random.below(SOURCES.len() as u64) as usize];
        let mut body = String::with_capacity(640);
        // Writing to a string does not fail.
        let _written = write!(
            body,
            "fromUserId={}&toUserId={}&objectName={}&content={}&channelType={}&msgTimestamp={}&msgUID={}&sensitiveType=0&source={source}",
            in_url(&routed.from),
            in_url(&routed.to),
            in_url(routed.object_name),
            in_url(&routed.content),
            routed.channel_type,
            world.now_ms(),
            world.event_uid(),
        );
        body
    }

    /// The overseas brand's webhook. <https://docs.nexconn.ai/platform-chat-api/webhook/events/message/send>
    fn envelope(routed: &Routed, world: &World) -> String {
        let content = serde_json::Value::from(routed.content.as_str());
        format!(
            r#"{{"type":"message:send","id":"evt-{}-{}","time":{now},"data":[{{"userId":"{}","channelId":"{}","messageType":"{}","content":{content},"channelType":{},"time":{now},"messageId":"{}","os":"iOS"}}]}}"#,
            world.tag(),
            world.number(),
            routed.from,
            routed.to,
            routed.object_name,
            routed.channel_number,
            world.event_uid(),
            now = world.now_ms(),
        )
    }
}

impl Caller for RongCloud {
    fn read(&mut self, world: &mut World, proof: Proof) -> Event {
        let target = self.signature.target(world, proof);
        let routed =
            if world.random.chance(0.65) { Self::notification(world) } else { Self::response(world) };
        if world.random.chance(0.15) {
            let body = Self::envelope(&routed, world);
            return Self::event(target, JSON, body, routed.receipts, NEXCONN_FLAWS);
        }
        let body = Self::form(&routed, world);
        Self::event(target, FORM, body, routed.receipts, FORM_FLAWS)
    }

    fn neighbour(&mut self, world: &mut World) -> (Event, Promise) {
        let (from, to) = world.two();
        let target = self.signature.target(world, Proof::Good);
        let routed = |object_name, content: &str, channel_type| Routed {
            object_name,
            channel_type,
            channel_number: 1,
            from: from.clone(),
            to: to.clone(),
            content: content.to_owned(),
            receipts: 0,
        };
        let (body, content_type, promise) = match world.random.below(4) {
            0 => {
                let text = routed("RC:TxtMsg", r#"{"content":"see you at eight"}"#, "PERSON");
                (Self::form(&text, world), FORM, Promise::Welcome)
            }
            // It asks for receipts, and is none.
            1 => {
                let asks = routed("RC:RRReqMsg", r#"{"messageUId":"BW01-AAAA-0001-KQ7P"}"#, "GROUP");
                (Self::form(&asks, world), FORM, Promise::Welcome)
            }
            2 => {
                let (from, to, now) = (in_url(&from), in_url(&to), world.now_ms());
                let body = format!(
                    "fromUserId={from}&targetId={to}&msgType=RC%3ATxtMsg&content=%7B%7D&channelType=PERSON&messageId={}&msgTimeStamp={now}&os=iOS",
                    world.event_uid()
                );
                (body, FORM, Promise::Special(r#"{"pass":1}"#.to_owned()))
            }
            _ => {
                let body = format!(
                    r#"[{{"userid":"{from}","status":"0","os":"iOS","time":{},"clientIp":"192.0.2.9:4000","sessionId":"s1"}}]"#,
                    world.now_ms()
                );
                (body, JSON, Promise::Welcome)
            }
        };
        (Self::event(target, content_type, body, 0, &[]), promise)
    }

    fn bad_proofs(&self) -> &[(Proof, u16, &'static str)] {
        self.signature.bad_proofs()
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }
}
