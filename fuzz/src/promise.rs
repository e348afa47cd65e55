//! What must hold for any callback, however mutated. A target that only waited for panics would find little:
//! the rooms are safe Rust, and their mistakes would be a wrong receipt, a wrong answer, or a proof that is
//! none.

use std::collections::HashMap;

use readhook::journal::Entry;
use readhook::receipt::{Proof, ReadReceipt, Scope, Timestamp, VendorName};
use readhook::vendor::{Incoming, Outcome, Refusal};
use serde_json::Value;

use crate::count::count;
use crate::genuine::{Genuine, sign};
use crate::input::Input;
use crate::setting::Setting;
use crate::source::Source;
use crate::way::{Way, go};
use crate::{Target, answer, proof};

/// How much later the same callback comes again, in milliseconds: enough to be another second.
const LATER: i64 = 1_234;

/// Checks everything about one input; `None` if no server would make a request of it.
///
/// # Panics
/// When a promise is broken.
pub fn check(target: Target, bytes: &[u8]) -> Option<Way> {
    let mut input = Input::read(target, bytes);
    let setting = Setting::of(input.strict);
    let vendor = setting.vendor(target);
    let genuine = sign(target, setting, &mut input);
    let request = input.request(target)?;
    let way = go(vendor, &request);

    trust(target, setting, &request, genuine, &way);
    answers(target, setting, &request, &way);
    let source = (!way.entries.is_empty()).then(|| Source::of(&request));
    let receipts = way.entries.iter().map(|entry| {
        let receipt = receipt(target, &request, &way, entry);
        if let Some(source) = &source {
            source.check(target, &receipt);
        }
        (entry, receipt)
    });
    alike(&receipts.collect::<Vec<_>>());
    none_lost(target, &request, &way);
    let later = later(&request);
    same(&way, &request, &go(vendor, &later), &later);
    Some(way)
}

/// Nothing counts as genuine that is not, and nothing is refused that is.
fn trust(target: Target, setting: &Setting, request: &Incoming, genuine: Genuine, way: &Way) {
    if let Some((app, by)) = &way.proven {
        assert!(proof::holds(target, setting, request, app, *by), "{by:?} does not prove the app {app}");
    }
    assert!(way.entries.is_empty() || way.proven.is_some(), "receipts without a proof");
    // OpenIM asks everybody, its neighbours too.
    if target == Target::OpenIm && !matches!(way.outcome, Outcome::Rejected(_)) {
        let mut apps = setting.vendor(target).apps().into_iter();
        let proven = |app: String| CARRIED.iter().any(|by| proof::holds(target, setting, request, &app, *by));
        assert!(apps.any(proven), "a stranger hears {:?}", way.outcome);
    }
    if genuine == Genuine::Surely {
        // A time outside the window is refused with the right signature, too.
        let windowed = matches!(target, Target::RongCloud | Target::Relay)
            && matches!(way.outcome, Outcome::Rejected(Refusal::Stale | Refusal::BadTime));
        assert!(
            windowed || !matches!(way.outcome, Outcome::Rejected(_)),
            "genuine, and {:?}: {} at {}",
            way.outcome,
            request.uri,
            request.received_at
        );
    }
}

/// The proofs that OpenIM's servers can carry, and that of none.
const CARRIED: [Proof; 4] = [Proof::PathToken, Proof::Basic, Proof::Ip, Proof::None];

/// The answer to what happened, and to everything that the journal could still make of it.
fn answers(target: Target, setting: &Setting, request: &Incoming, way: &Way) {
    answer::check(target, setting, request, &way.outcome, way.neighbour, &way.answer);
    if !way.entries.is_empty() {
        let vendor = setting.vendor(target);
        for outcome in [Outcome::Duplicate, Outcome::Conflict, Outcome::Unavailable] {
            answer::check(target, setting, request, &outcome, false, &vendor.answer(request, &outcome));
        }
    }
}

/// Checks what would be committed, as far as one receipt tells.
fn receipt(target: Target, request: &Incoming, way: &Way, entry: &Entry) -> Value {
    let json = &entry.json;
    assert!(!json.contains(['\n', '\r']), "sinks write a receipt as a line: {json}");
    let receipt: ReadReceipt<'_> = serde_json::from_str(json).expect("a receipt can be read");
    let again = serde_json::to_string(&receipt).expect("a receipt can be written");
    assert_eq!(*again, **json, "a receipt reads as it was written");

    let value: Value = serde_json::from_str(json).expect("a receipt is JSON");
    let id = value["id"].as_str().expect("an id is text");
    let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    assert!(id.len() == 32 && id.bytes().all(hexadecimal), "the id {id:?}");
    assert!(
        json.starts_with(&format!(r#"{{"id":"{}","#, entry.id)),
        "the journal knows it by its first field: {json}"
    );
    let by_event = matches!(target, Target::Easemob | Target::RongCloud);
    assert_eq!(entry.by_event, by_event);
    assert!(!by_event || receipt.event_id.is_some(), "an id by event without an event");

    assert_eq!(receipt.received_at, request.received_at);
    assert_eq!((entry.received_at, entry.scope), (receipt.received_at.as_millis(), receipt.scope));
    assert_eq!(way.proven, Some((receipt.app.to_string(), receipt.verified_by)));
    let vendor = match target {
        Target::Easemob => VendorName::Easemob,
        Target::Tencent => VendorName::Tencent,
        Target::OpenIm => VendorName::OpenIm,
        Target::RongCloud | Target::Relay => VendorName::RongCloud,
    };
    assert_eq!(receipt.vendor, vendor);
    position(&receipt);
    value
}

/// A receipt says what it covers in the fields that its scope has, and in no others.
fn position(receipt: &ReadReceipt<'_>) {
    let named = receipt.message_id.is_some();
    let (counted, timed) = (receipt.message_seq.is_some(), receipt.up_to_time.is_some());
    let right = match receipt.scope {
        Scope::Message => (named != counted) && !timed,
        Scope::UpTo => (counted && !named && !timed) || (!counted && (named || timed)),
        Scope::Conversation => !named && !counted && !timed,
    };
    assert!(right, "{receipt:?}");
}

/// Of two receipts under one id the journal keeps the first. So they must say the same, or something is
/// lost; but an event's own id is the vendor's word, and what contradicts it is told as a conflict.
fn alike(receipts: &[(&Entry, Value)]) {
    let mut seen = HashMap::new();
    for (entry, receipt) in receipts {
        if entry.by_event {
            continue;
        }
        let first = seen.entry(entry.id).or_insert(receipt);
        // Marked as read at one moment, to two positions: a repeat is known by group and moment.
        let read_all = receipt["event"] == "C2C.CallbackAfterMsgReadAll";
        for field in ["reader", "scope", "message_id", "message_seq", "up_to_time"] {
            let same = first[field] == receipt[field] || (read_all && field == "message_seq");
            assert!(same, "one id for {first} and {receipt}");
        }
    }
}

/// A genuine callback that is not malformed gives all its receipts.
fn none_lost(target: Target, request: &Incoming, way: &Way) {
    let Some(command) = &way.command else {
        return;
    };
    if matches!(way.outcome, Outcome::Accepted | Outcome::Ignored)
        && let Some(count) = count(target, request, command)
    {
        assert_eq!(way.entries.len(), count, "receipts of {command}");
    }
}

/// The same callback at another time.
fn later(request: &Incoming) -> Incoming {
    let now = request.received_at.as_millis();
    let at = Timestamp::from_millis(now + LATER).or(Timestamp::from_millis(now - LATER));
    Incoming {
        uri: request.uri.clone(),
        tail_at: request.tail_at,
        headers: request.headers.clone(),
        client: request.client,
        body: request.body.clone(),
        received_at: at.expect("one of the two is a time"),
    }
}

/// A repeat ends as the first did, and its receipts differ in their time of arrival alone: above all, not in
/// their ids.
fn same(first: &Way, request: &Incoming, second: &Way, later: &Incoming) {
    // What was in the window of its signature may be in it no more, and the other way round.
    if [first, second].iter().any(|way| way.outcome == Outcome::Rejected(Refusal::Stale)) {
        return;
    }
    assert_eq!((&first.outcome, &first.answer), (&second.outcome, &second.answer));
    assert_eq!((&first.proven, &first.command), (&second.proven, &second.command));
    assert_eq!(first.entries.len(), second.entries.len());
    for (one, other) in first.entries.iter().zip(&second.entries) {
        assert_eq!(
            (one.by_event, one.scope, one.received_at, other.received_at),
            (other.by_event, other.scope, request.received_at.as_millis(), later.received_at.as_millis())
        );
        let [(id, rest, received_at), (other_id, other_rest, other_received_at)] = [one, other].map(parts);
        assert!(
            id == other_id || one.vendor == VendorName::OpenIm,
            "only OpenIM has events that nothing identifies"
        );
        assert_ne!(received_at, other_received_at);
        assert_eq!(rest, other_rest);
    }
}

/// A receipt's id, everything else, and its time of arrival. Within a text every quotation mark has a
/// backslash in front, so these are the fields and not what somebody wrote.
fn parts(entry: &Entry) -> (&str, [&str; 2], &str) {
    let json = entry.json.strip_prefix(r#"{"id":""#).and_then(|json| json.split_once('"'));
    let (id, json) = json.expect("the id is the first field");
    let (before, json) = json.split_once(r#""received_at":""#).expect("a time of arrival");
    let (received_at, behind) = json.split_once('"').expect("the end of a text");
    (id, [before, behind], received_at)
}
