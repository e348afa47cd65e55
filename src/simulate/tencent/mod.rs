//! Tencent as a caller: commands that are named in the query, and signed there if the app has a token.

mod reads;

use std::fmt::Write as _;

use http::Uri;
use sha2::{Digest, Sha256};

use super::callback::{Event, Flaw, Promise};
use super::caller::{Caller, Proof, in_url};
use super::dialect::Dialect;
use super::world::World;
use crate::config::Secret;

pub(super) const DIALECT: Dialect = Dialect {
    welcome: r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#,
    unusable: 400,
    takes_lists: false,
    hides: false,
    refusal: |status, reason| {
        format!(r#"{{"ActionStatus":"FAIL","ErrorInfo":"{reason}","ErrorCode":{status}}}"#)
    },
};

const PLATFORMS: [&str; 6] = ["Android", "iOS", "Web", "Windows", "Mac", "RESTAPI"];

/// An app with its one callback URL.
pub(super) struct Tencent {
    /// Up to where the vendor appends its parameters.
    url: String,
    sdk_app_id: String,
    token: Option<Secret>,
    bad_proofs: Vec<(Proof, u16, &'static str)>,
}

impl Tencent {
    pub(super) fn new(path_and_query: &str, sdk_app_id: &str, token: Option<Secret>) -> Self {
        let glue = if path_and_query.contains('?') { '&' } else { '?' };
        let mut bad_proofs = vec![(Proof::UnknownApp, 403, "unknown_app")];
        if token.is_some() {
            bad_proofs.extend([
                (Proof::WrongSecret, 401, "bad_signature"),
                (Proof::WrongOrder, 401, "bad_signature"),
                (Proof::Stale, 401, "stale"),
                (Proof::Missing, 401, "signature_missing"),
            ]);
        }
        Self { url: format!("{path_and_query}{glue}"), sdk_app_id: in_url(sdk_app_id), token, bad_proofs }
    }

    /// `Sign = hex_lower( SHA256( Token ‖ RequestTime ) )`
    fn target(&self, world: &mut World, command: &str, proof: Proof) -> Uri {
        let app = if proof == Proof::UnknownApp { "1" } else { &self.sdk_app_id };
        let platform = PLATFORMS[world.random.below(PLATFORMS.len() as u64) as usize];
        let mut target = String::with_capacity(320);
        // Writing to a string does not fail, here and below.
        let _written = write!(
            target,
            "{}SdkAppid={app}&CallbackCommand={command}&contenttype=json&ClientIP=192.0.2.{}&OptPlatform={platform}",
            self.url,
            world.random.below(254) + 1,
        );
        if let Some(token) = &self.token {
            let now = (world.now_ms() / 1000).to_string();
            let old = (world.now_ms() / 1000 - 3_600).to_string();
            let token = token.expose();
            let signed = match proof {
                Proof::Good | Proof::UnknownApp => Some((sha256([token, &now]), now)),
                Proof::WrongSecret => Some((sha256(["no-token-of-the-app", &now]), now)),
                Proof::WrongOrder => Some((sha256([&now, token]), now)),
                Proof::Stale => Some((sha256([token, &old]), old)),
                Proof::Missing => None,
            };
            if let Some((sign, time)) = signed {
                let _written = write!(target, "&Sign={sign}&RequestTime={time}");
            }
        }
        // Made of a URL and of plain characters; were it none, the receiver would say so.
        target.try_into().unwrap_or_default()
    }

    fn event(&self, target: Uri, body: String, receipts: usize, flaws: &'static [Flaw]) -> Event {
        // The vendor's documented request has Host and Content-Length, and no more.
        let receipts = receipts as u32;
        Event { target, content_type: None, operation_id: None, body: body.into_bytes(), receipts, flaws }
    }
}

fn group_id(world: &World, group: usize) -> String {
    format!("@TGS#2{}{group}", world.tag().to_ascii_uppercase())
}

fn sha256(parts: [&str; 2]) -> String {
    let digest = parts.into_iter().fold(Sha256::new(), |digest, part| digest.chain_update(part));
    hex::encode(digest.finalize())
}

impl Caller for Tencent {
    fn read(&mut self, world: &mut World, proof: Proof) -> Event {
        match world.random.below(20) {
            0..8 => self.group_receipt(world, proof),
            8..13 => self.report(world, proof),
            13..18 => self.receipt(world, proof),
            _ => self.read_all(world, proof),
        }
    }

    fn neighbour(&mut self, world: &mut World) -> (Event, Promise) {
        let (from, to) = world.two();
        let (command, fields, promise) = match world.random.below(4) {
            0 => {
                let fields = format!(
                    r#""From_Account":"{from}","To_Account":"{to}","MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"see you at eight"}}}}]"#
                );
                ("C2C.CallbackAfterSendMsg", fields, Promise::Welcome)
            }
            1 => {
                let group = world.any_group();
                let group = group_id(world, group);
                let fields =
                    format!(r#""GroupId":"{group}","Type":"Public","From_Account":"{from}","MsgBody":[]"#);
                ("Group.CallbackBeforeSendMsg", fields, Promise::Welcome)
            }
            2 => {
                let fields =
                    format!(r#""Info":{{"Action":"Login","To_Account":"{to}","Reason":"Register"}}"#);
                ("State.StateChange", fields, Promise::Welcome)
            }
            // It wants a verdict for each one asked about.
            _ => {
                let fields = format!(r#""From_Account":"{from}","FriendItem":[{{"To_Account":"{to}"}}]"#);
                let verdict = format!(
                    r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{{"To_Account":"{to}","ResultCode":0,"ResultInfo":""}}]}}"#
                );
                ("Sns.CallbackPrevFriendAdd", fields, Promise::Special(verdict))
            }
        };
        let target = self.target(world, command, Proof::Good);
        let body = format!(r#"{{"CallbackCommand":"{command}",{fields},"EventTime":{}}}"#, world.now_ms());
        (self.event(target, body, 0, &[]), promise)
    }

    fn bad_proofs(&self) -> &[(Proof, u16, &'static str)] {
        &self.bad_proofs
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_vendors_own_sample_does() {
        assert_eq!(
            sha256(["rr_tok-7f3kQ2vZ", "1759999998"]),
            "adf067db4fa103aae1e680e64f2d98920b26eb36417b98e753afd0c6328abf66"
        );
        assert!(sha256(["xxxxyyyy", "1669872112"]).starts_with("17773bc3"));
    }
}
