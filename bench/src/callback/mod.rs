//! The callbacks that the load generator sends: unique, correctly signed, made in place.
//!
//! It knows two vendors and of each one kind of callback, the group read receipt. It makes no broken,
//! forged or repeated callbacks: those belong to the service's own tests.

mod easemob;
mod order;
mod tencent;

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use easemob::Easemob;
pub use easemob::easemob_message;
pub use order::Order;
use tencent::Tencent;

/// So many readers share the receipts; each reader confirms a message once.
const READERS: u64 = 1000;

/// Whose callbacks are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Vendor {
    /// One receipt in a callback, signed with MD5.
    Easemob,
    /// Twelve receipts in a callback: three messages, four readers each. Unsigned.
    Tencent,
}

impl Vendor {
    /// How many receipts the service must have stored for each callback it accepted.
    pub fn receipts_per_callback(self) -> u64 {
        match self {
            Self::Easemob => 1,
            Self::Tencent => tencent::MESSAGES * tencent::READERS_OF_EACH,
        }
    }
}

/// The app whose callbacks are imitated; the service under test must know the same values.
#[derive(Clone, Debug)]
pub struct App {
    /// Easemob's appkey, `org#app`.
    pub appkey: String,
    /// Easemob's callback secret.
    pub secret: String,
    /// Tencent's `SDKAppID`.
    pub sdk_app_id: String,
}

impl Default for App {
    fn default() -> Self {
        Self {
            appkey: "1122334455#demo".to_owned(),
            secret: "bench-secret".to_owned(),
            sdk_app_id: "1400000000".to_owned(),
        }
    }
}

/// An endless row of requests; the `n`th is the same in every run with the same vendor, order and app.
pub struct Callbacks {
    next: u64,
    order: Order,
    vendor: Kind,
}

enum Kind {
    Easemob(Box<Easemob>),
    Tencent(Box<Tencent>),
}

impl Callbacks {
    /// Starts the row at number `start`. Two rows that do not overlap in numbers repeat no receipt.
    pub fn new(vendor: Vendor, order: Order, app: &App, host: SocketAddr, start: u64) -> Result<Self> {
        for text in [&app.appkey, &app.sdk_app_id] {
            ensure!(
                text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '&')),
                "{text:?} would need escaping, which this tool does not do"
            );
        }
        let vendor = match vendor {
            Vendor::Easemob => Kind::Easemob(Box::new(Easemob::new(app, host))),
            Vendor::Tencent => {
                ensure!(
                    start < tencent::MOST,
                    "Tencent's sequence numbers end: start below {}",
                    tencent::MOST
                );
                Kind::Tencent(Box::new(Tencent::new(app, host)))
            }
        };
        Ok(Self { next: start, order, vendor })
    }

    /// The whole next request, head and body, valid until the next call.
    pub fn next_request(&mut self) -> &[u8] {
        let number = self.next;
        self.next += 1;
        match &mut self.vendor {
            Kind::Easemob(easemob) => easemob.request(number, self.order),
            Kind::Tencent(tencent) => tencent.request(number, self.order),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use md5::{Digest, Md5};
    use serde_json::Value;

    use super::*;

    fn bodies(vendor: Vendor, order: Order, count: usize) -> Vec<Value> {
        let host = "127.0.0.1:80".parse().unwrap();
        let mut callbacks = Callbacks::new(vendor, order, &App::default(), host, 5).unwrap();
        (0..count)
            .map(|_| {
                let request = String::from_utf8(callbacks.next_request().to_vec()).unwrap();
                let (head, body) = request.split_once("\r\n\r\n").unwrap();
                assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
                serde_json::from_str(body).unwrap()
            })
            .collect()
    }

    #[test]
    fn easemob_is_unique_and_signed() {
        for order in [Order::Growing, Order::Random] {
            let mut calls = HashSet::new();
            let mut receipts = HashSet::new();
            for body in bodies(Vendor::Easemob, order, 5000) {
                let call = body["callId"].as_str().unwrap();
                let signed = format!("{call}bench-secret{}", body["timestamp"]);
                assert_eq!(body["security"], hex::encode(Md5::digest(signed)));
                assert!(call.ends_with(body["msg_id"].as_str().unwrap()));
                assert!(calls.insert(call.to_owned()));
                assert!(receipts.insert((body["from"].clone(), body["payload"]["ack_message_id"].clone())));
            }
        }
    }

    #[test]
    fn tencent_carries_twelve_unique_receipts() {
        for order in [Order::Growing, Order::Random] {
            let mut receipts = HashSet::new();
            for body in bodies(Vendor::Tencent, order, 2000) {
                for message in body["GroupMsgReceiptList"].as_array().unwrap() {
                    for member in message["ReadReceiptMembers"].as_array().unwrap() {
                        let reader = member["Member_Account"].clone();
                        assert!(receipts.insert((message["MsgSeq"].as_u64().unwrap(), reader)));
                    }
                }
            }
            assert_eq!(receipts.len(), 2000 * 12);
        }
    }
}
