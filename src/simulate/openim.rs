//! OpenIM as a caller: the two read webhooks in the shapes that its servers really send, of three generations.
//!
//! release-v3.6 has names of its own; 3.7.0 to 3.8.1 tell most one-to-one reads with the *group* command; since 3.8.2 each
//! kind has its own. `sendID` and `receiveID` are both the reader, and `unreadMsgNum` is the has-read sequence: see
//! `internal/rpc/msg/as_read.go` of the server. Nothing is signed; what an app can ask for is in the URL.

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::callback::{Event, Flaw, Promise};
use super::caller::{Caller, Proof};
use super::dialect::Dialect;
use super::world::World;

const ALLOW: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

pub(super) const DIALECT: Dialect = Dialect {
    welcome: ALLOW,
    unusable: 400,
    takes_lists: false,
    hides: false,
    // With every status the same: the server looks at the body alone.
    refusal: |_, _| ALLOW.to_owned(),
};

const SINGLE: &str = "callbackAfterSingleMsgReadCommand";
const GROUP: &str = "callbackAfterGroupMsgReadCommand";
const SINGLE_3_6: &str = "callbackSingleMsgRead";
const GROUP_3_6: &str = "callbackGroupMsgReadCommand";

const SINGLE_FLAWS: &[Flaw] = &[
    Flaw { find: r#""Seqs":"#, put: r#""Seqs":[99999999999999999999],"was":"#, reason: "field_out_of_range" },
    Flaw { find: r#""Seqs":"#, put: r#""Seqs":"all","was":"#, reason: "field_wrong_type" },
    Flaw { find: r#""userID":"#, put: r#""userID":7,"was":"#, reason: "field_wrong_type" },
    Flaw { find: r#""conversationID":"#, put: r#""conversation":"#, reason: "field_missing" },
];
const GROUP_FLAWS: &[Flaw] = &[
    Flaw {
        find: r#""unreadMsgNum":"#,
        put: r#""unreadMsgNum":99999999999999999999"#,
        reason: "field_out_of_range",
    },
    Flaw { find: r#""sendID":"#, put: r#""sendID":{},"was":"#, reason: "field_wrong_type" },
    Flaw { find: r#""receiveID":"#, put: r#""received":"#, reason: "field_missing" },
];

/// What a token has that a path cannot.
const NOT_IN_A_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How an app can tell its server: all that is set must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proofs {
    /// The URL ends in a secret segment.
    pub(super) token: bool,
    /// HTTP Basic goes along with every good callback.
    pub(super) basic: bool,
}

/// A server with its one webhook URL.
pub(super) struct OpenIm {
    /// What the server has as its URL, to the token if there is one.
    url: String,
    /// The same with another token.
    wrong_url: String,
    bad_proofs: &'static [(Proof, u16, &'static str)],
}

/// What a server of a generation sends.
struct Webhook {
    command: &'static str,
    /// Up to 3.6 the body ends without a newline.
    newline: bool,
}

impl OpenIm {
    /// `token` stands in the path where it is told by one; `url` is what comes before it.
    pub(super) fn new(url: &str, token: Option<&str>, proofs: Proofs) -> Self {
        let behind = |token: &str| {
            format!("{}/{}", url.trim_end_matches('/'), utf8_percent_encode(token, NOT_IN_A_SEGMENT))
        };
        Self {
            url: token.map_or_else(|| url.to_owned(), behind),
            wrong_url: if token.is_some() { behind("no-token-of-any-app") } else { url.to_owned() },
            bad_proofs: match (proofs.token, proofs.basic) {
                (true, _) => &[(Proof::WrongSecret, 401, "bad_token")],
                // Other credentials than the good ones go along with it; `Lane` sees to that.
                (false, true) => &[(Proof::WrongSecret, 401, "bad_credentials")],
                (false, false) => &[],
            },
        }
    }

    /// As the server joins it: `url + "/" + command`, as text.
    fn target(&self, command: &str, proof: Proof) -> Uri {
        let url = if proof == Proof::Good { &self.url } else { &self.wrong_url };
        // Made of a URL and of plain characters; were it none, the receiver would say so.
        format!("{url}/{command}").try_into().unwrap_or_default()
    }

    fn event(&self, world: &World, webhook: &Webhook, fields: &str, proof: Proof) -> Event {
        let Webhook { command, newline } = webhook;
        let end = if *newline { "\n" } else { "" };
        Event {
            target: self.target(command, proof),
            content_type: Some("application/json; charset=utf-8"),
            // The trace id of the call that the event comes from. Servers may leave it empty, but then a repeat of a group
            // read could not be told from another one.
            operation_id: Some(format!("op-{}-{}", world.tag(), world.number())),
            body: format!(r#"{{"callbackCommand":"{command}",{fields}}}{end}"#).into_bytes(),
            receipts: 1,
            flaws: &[],
        }
    }

    /// Single messages, by sequence.
    fn single(&self, world: &mut World, webhook: &Webhook, proof: Proof) -> Event {
        let (conversation, reader, seqs, kind) = if world.random.chance(0.9) {
            let direct = world.direct();
            let seqs = world.read_on(&direct, 5);
            let (reader, peer) = (world.user(direct.reader), world.user(direct.peer));
            let (low, high) = if reader < peer { (&reader, &peer) } else { (&peer, &reader) };
            (format!("si_{low}_{high}"), reader, seqs.collect(), 1)
        } else {
            // Whoever calls MarkMsgsAsRead on a group's conversation gets the single read, too.
            let group = world.any_group();
            let read = world.group_read(group, 1);
            let reader = read.new_readers().first().map(|reader| world.user(*reader)).unwrap_or_default();
            (format!("sg_{}{group}", world.tag()), reader, vec![read.seq], 3)
        };
        // A conversation marked as read without a list has null here, as Go writes a nil slice.
        let whole = kind == 1 && world.random.chance(0.1);
        let list = if whole {
            "null".to_owned()
        } else {
            let seqs: Vec<String> = seqs.iter().map(i64::to_string).collect();
            format!("[{}]", seqs.join(","))
        };
        let fields = format!(
            r#""conversationID":"{conversation}","userID":"{reader}","Seqs":{list},"contentType":{kind}"#
        );
        let receipts = if whole { 1 } else { seqs.len() as u32 };
        Event { receipts, flaws: SINGLE_FLAWS, ..self.event(world, webhook, &fields, proof) }
    }

    /// A conversation up to a sequence.
    fn group(&self, world: &mut World, webhook: &Webhook, kind: u8, proof: Proof) -> Event {
        let (reader, seq) = if kind == 1 {
            let direct = world.direct();
            let seqs = world.read_on(&direct, 5);
            (world.user(direct.reader), seqs.end)
        } else {
            let group = world.any_group();
            let read = world.group_read(group, 1);
            (read.new_readers().first().map(|reader| world.user(*reader)).unwrap_or_default(), read.seq)
        };
        let fields = format!(
            r#""sendID":"{reader}","receiveID":"{reader}","unreadMsgNum":{seq},"contentType":{kind}"#
        );
        Event { flaws: GROUP_FLAWS, ..self.event(world, webhook, &fields, proof) }
    }
}

impl Caller for OpenIm {
    fn read(&mut self, world: &mut World, proof: Proof) -> Event {
        match world.random.below(20) {
            // 3.8.2 and newer
            0..8 => self.single(world, &Webhook { command: SINGLE, newline: true }, proof),
            8..13 => self.group(world, &Webhook { command: GROUP, newline: true }, 3, proof),
            // 3.7.0 to 3.8.1
            13..15 => self.group(world, &Webhook { command: GROUP, newline: true }, 1, proof),
            15 => self.group(world, &Webhook { command: GROUP, newline: true }, 4, proof),
            16 => self.group(world, &Webhook { command: GROUP, newline: true }, 3, proof),
            // release-v3.6
            17 => self.group(world, &Webhook { command: GROUP_3_6, newline: false }, 3, proof),
            _ => self.single(world, &Webhook { command: SINGLE_3_6, newline: false }, proof),
        }
    }

    fn neighbour(&mut self, world: &mut World) -> (Event, Promise) {
        let (from, to) = world.two();
        let (command, fields) = match world.random.below(3) {
            0 => (
                "callbackBeforeSendSingleMsgCommand",
                format!(
                    r#""sendID":"{from}","recvID":"{to}","sessionType":1,"msgFrom":100,"contentType":101,"content":"see you at eight""#
                ),
            ),
            // The server's own notice of a read, which patch releases send along; it is no read.
            1 => (
                "callbackAfterSendSingleMsgCommand",
                format!(
                    r#""sendID":"{from}","recvID":"{to}","sessionType":1,"msgFrom":200,"contentType":2200,"content":"""#
                ),
            ),
            _ => ("callbackAfterUserOnlineCommand", format!(r#""userID":"{from}","platformID":1,"seq":0"#)),
        };
        let event = self.event(world, &Webhook { command, newline: true }, &fields, Proof::Good);
        (Event { receipts: 0, ..event }, Promise::Welcome)
    }

    fn bad_proofs(&self) -> &[(Proof, u16, &'static str)] {
        self.bad_proofs
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }
}
