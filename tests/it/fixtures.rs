//! Every folder of `fixtures/` posted to a running service gives its golden answer, its golden outcome and its golden
//! receipts; see `fixtures/README.md` for what lies in one. `UPDATE_FIXTURES=1` writes what came instead, to be read
//! in the diff.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::house::{House, Reply, demo, repository};

/// `request.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// What the case is about, in a sentence.
    #[expect(dead_code, reason = "for people, but it must be there")]
    about: String,
    path: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The configuration: `demo`, or another one at the top of `fixtures/`.
    #[serde(default = "demo_name")]
    config: String,
    /// Tencent's Sign and RequestTime, which live for a minute and so are made here.
    sign: Option<Sign>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sign {
    token: String,
    /// How far RequestTime is from now.
    #[serde(default)]
    offset_seconds: i64,
}

/// `expected.toml`
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) outcome: String,
    #[serde(default)]
    pub(crate) reason: String,
    /// The outcome of the very same request a second time.
    again: String,
}

fn demo_name() -> String {
    "demo".to_owned()
}

const VENDORS: [&str; 4] = ["easemob", "tencent", "openim", "rongcloud"];

/// Read events of which each must have an accepted fixture.
const EVENTS: [(&str, &[&str]); 4] = [
    ("easemob", &["read_ack", "channel_ack"]),
    (
        "tencent",
        &[
            "Group.CallbackAfterReadReceipt",
            "C2C.CallbackAfterMsgReport",
            "C2C.CallbackAfterMsgReadReceipt",
            "C2C.CallbackAfterMsgReadAll",
        ],
    ),
    (
        "openim",
        &[
            "callbackAfterSingleMsgReadCommand",
            "callbackSingleMsgRead",
            "callbackSingleMsgReadCommand",
            "callbackAfterGroupMsgReadCommand",
            "callbackGroupMsgReadCommand",
        ],
    ),
    (
        "rongcloud",
        &[
            "RC:ReadNtf",
            "RC:RRRspMsg",
            "relay:onReceiveReadReceipt",
            "relay:onMessageReceiptResponse",
            "relay:onPrivateReadReceiptReceived",
            "relay:onGroupMessageReadReceiptResponseReceived",
            "relay:onMessageReadReceiptV5Received",
        ],
    ),
];

/// Outcomes of which each vendor must have a fixture.
const OUTCOMES: [&str; 4] = ["accepted", "ignored", "malformed", "rejected"];

pub(crate) struct Case {
    pub(crate) vendor: &'static str,
    folder: PathBuf,
}

/// A case as it goes out.
pub(crate) struct Posted {
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.vendor, self.folder.file_name().unwrap().to_str().unwrap())
    }

    fn text(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(file)).ok()
    }

    fn ask(&self) -> Ask {
        let text = self.text("request.toml").unwrap_or_else(|| panic!("{}: no request.toml", self.name()));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}/request.toml: {error}", self.name()))
    }

    /// The name of its configuration.
    pub(crate) fn config(&self) -> String {
        self.ask().config
    }

    /// Its golden receipts.
    pub(crate) fn receipts(&self) -> Vec<Value> {
        match self.text("receipts.json") {
            Some(text) => {
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}/receipts.json: {e}", self.name()))
            }
            None => Vec::new(),
        }
    }

    /// The text of its configuration.
    pub(crate) fn configuration(&self) -> String {
        configuration(&self.ask().config)
    }

    pub(crate) fn expected(&self) -> Expected {
        let name = self.name();
        let expected = self.text("expected.toml").unwrap_or_else(|| panic!("{name}: no expected.toml"));
        toml::from_str(&expected).unwrap_or_else(|e| panic!("{name}/expected.toml: {e}"))
    }

    /// The request, signed as of now where it must be.
    pub(crate) fn posted(&self) -> Posted {
        let Ask { path, mut query, headers, sign, .. } = self.ask();
        if let Some(Sign { token, offset_seconds }) = sign {
            #[expect(clippy::disallowed_methods, reason = "the test is the vendor here, and it has a clock")]
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
            let time = now + offset_seconds;
            let sign = hex::encode(Sha256::digest(format!("{token}{time}")));
            write!(query, "&Sign={sign}&RequestTime={time}").unwrap();
        }
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        Posted { target, headers: headers.into_iter().collect(), body: self.body() }
    }

    /// The one file whose name begins with `body`.
    fn body(&self) -> Vec<u8> {
        let mut bodies = files(&self.folder).into_iter().filter(|name| name.starts_with("body."));
        let (Some(body), None) = (bodies.next(), bodies.next()) else {
            panic!("{}: wants exactly one body file", self.name())
        };
        std::fs::read(self.folder.join(body)).unwrap()
    }
}

fn files(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for vendor in VENDORS {
        let folder = repository("fixtures").join(vendor);
        for name in files(&folder) {
            cases.push(Case { vendor, folder: folder.join(name) });
        }
    }
    cases
}

fn configuration(name: &str) -> String {
    match name {
        "demo" => demo(),
        other => std::fs::read_to_string(repository("fixtures").join(format!("{other}.toml"))).unwrap(),
    }
}

async fn send(house: &House, case: &Case) -> Reply {
    let Posted { target, headers, body } = case.posted();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    house.post(&target, &headers, &body).await
}

/// The outcome and reason of the only callback so far, from the metrics.
async fn outcome(house: &House, counted: &mut BTreeMap<String, f64>) -> (String, String) {
    let text = house.get("/metrics").await.body;
    let series = text.lines().filter_map(|line| {
        let (labels, count) = line.strip_prefix("readhook_callbacks_total{")?.split_once("} ")?;
        Some((labels.to_owned(), count.parse::<f64>().unwrap()))
    });
    let mut grown = Vec::new();
    for (labels, count) in series {
        if count > counted.insert(labels.clone(), count).unwrap_or(0.0) {
            grown.push(labels);
        }
    }
    let [labels] = grown.as_slice() else { panic!("one request ends in one outcome, not {grown:?}") };
    let label = |name: &str| {
        let value = labels.split_once(&format!("{name}=\"")).unwrap().1;
        value.split_once('"').unwrap().0.to_owned()
    };
    (label("outcome"), label("reason"))
}

/// What differs from run to run is checked here and then replaced by a word: the time of arrival, and the id of an
/// event that nothing identifies.
fn golden(mut receipts: Vec<Value>) -> Vec<Value> {
    for receipt in &mut receipts {
        let fields = receipt.as_object_mut().unwrap();
        let received_at = fields["received_at"].as_str().unwrap();
        assert!(received_at.len() == 24 && received_at.ends_with('Z'), "{received_at}");
        fields.insert("received_at".to_owned(), "…".into());
    }
    receipts
}

async fn check(case: &Case, schema: &jsonschema::Validator) -> Vec<Value> {
    let name = case.name();
    let house = House::start(&case.configuration()).await;
    let mut counted = BTreeMap::new();
    let reply = send(&house, case).await;
    let (outcome_first, reason) = outcome(&house, &mut counted).await;
    let mut receipts = house.receipts().await;
    for receipt in &receipts {
        assert!(schema.is_valid(receipt), "{name}: {receipt} does not fit the schema");
    }
    send(&house, case).await;
    let (again, _) = outcome(&house, &mut counted).await;
    let second = house.receipts().await;
    house.end().await;

    match again.as_str() {
        // Two alike may be two events: both stay, under ids of their own.
        "accepted" => {
            assert_eq!(second.len(), 2 * receipts.len(), "{name}");
            for (one, other) in second.iter().zip(&second[receipts.len()..]) {
                assert_ne!(one["id"], other["id"], "{name}");
            }
            for receipt in &mut receipts {
                receipt["id"] = "… random".into();
            }
        }
        _ => assert_eq!(second, receipts, "{name}: the second delivery added something"),
    }
    let got = Expected { status: reply.status, body: reply.body, outcome: outcome_first, reason, again };
    let receipts = golden(receipts);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        update(case, &got, &receipts);
    }
    assert_eq!(got, case.expected(), "{name}");
    assert_eq!(receipts, case.receipts(), "{name}");
    for file in files(&case.folder) {
        let known = ["request.toml", "expected.toml", "receipts.json"].contains(&&*file);
        assert!(known || file.starts_with("body."), "{name}: nobody reads {file}");
    }
    receipts
}

fn update(case: &Case, got: &Expected, receipts: &[Value]) {
    let reason = if got.reason.is_empty() { String::new() } else { format!("reason = \"{}\"\n", got.reason) };
    let expected = format!(
        "status = {}\nbody = '{}'\noutcome = \"{}\"\n{reason}again = \"{}\"\n",
        got.status, got.body, got.outcome, got.again
    );
    std::fs::write(case.folder.join("expected.toml"), expected).unwrap();
    let file = case.folder.join("receipts.json");
    if receipts.is_empty() {
        // It may never have been there.
        let _absent = std::fs::remove_file(file);
    } else {
        std::fs::write(file, serde_json::to_string_pretty(receipts).unwrap() + "\n").unwrap();
    }
}

/// `FIXTURE=openim/` runs only the cases whose name begins so.
#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_gives_its_golden_answer_and_receipts() {
    let schema = serde_json::to_value(readhook::receipt::schema()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let only = std::env::var("FIXTURE").unwrap_or_default();
    for case in cases().iter().filter(|case| case.name().starts_with(&only)) {
        check(case, &schema).await;
    }
}

#[test]
fn no_vendor_event_or_outcome_is_without_a_fixture() {
    let cases = cases();
    for (vendor, events) in EVENTS {
        let of_vendor: Vec<&Case> = cases.iter().filter(|case| case.vendor == vendor).collect();
        let receipts: String = of_vendor.iter().filter_map(|case| case.text("receipts.json")).collect();
        for event in events {
            assert!(
                receipts.contains(&format!("\"event\": \"{event}\"")),
                "{vendor}: no fixture accepts {event}"
            );
        }
        let expected: String = of_vendor.iter().filter_map(|case| case.text("expected.toml")).collect();
        for outcome in OUTCOMES {
            assert!(
                expected.contains(&format!("outcome = \"{outcome}\"")),
                "{vendor}: no fixture is {outcome}"
            );
        }
    }
}
