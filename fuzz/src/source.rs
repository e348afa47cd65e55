//! Every text and every integer that a request holds, found without parsing what surrounds them: nothing else
//! may stand in a receipt, and an integer that was rounded, wrapped or cut would be something else.

use std::borrow::Cow;
use std::collections::HashSet;

use percent_encoding::percent_decode_str;
use readhook::receipt::Timestamp;
use readhook::vendor::Incoming;
use serde_json::Value;

use crate::Target;
use crate::tokens::length;

/// What a request holds.
#[derive(Debug, Default)]
pub struct Source {
    texts: HashSet<String>,
    integers: HashSet<i64>,
}

impl Source {
    /// Looks everywhere.
    pub fn of(request: &Incoming) -> Self {
        let mut source = Self::default();
        for (_, value) in form_urlencoded::parse(request.query().as_bytes()) {
            source.text(value);
        }
        for segment in request.tail().split('/') {
            source.text(percent_decode_str(segment).decode_utf8_lossy());
            source.text(segment.into());
        }
        for value in request.headers.values() {
            source.text(String::from_utf8_lossy(value.as_bytes()));
        }
        let body = String::from_utf8_lossy(&request.body);
        if is_json(&body) {
            source.json(&body);
        } else {
            for (_, value) in form_urlencoded::parse(body.trim_end_matches(['\r', '\n']).as_bytes()) {
                source.text(value);
            }
        }
        source
    }

    fn text(&mut self, text: Cow<'_, str>) {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            self.integers.extend(text.parse::<i64>());
        }
        // RongCloud's `content` is a text that holds JSON.
        if is_json(&text) {
            self.json(&text);
        }
        self.texts.insert(text.into_owned());
    }

    /// Takes the strings and the numbers out of a JSON text, and never minds what is between them.
    fn json(&mut self, json: &str) {
        let mut rest = json.as_bytes();
        while let Some(&first) = rest.first() {
            let (token, behind) = rest.split_at(length(rest));
            rest = behind;
            match (first, std::str::from_utf8(token)) {
                (b'"', Ok(token)) => {
                    // Half a surrogate pair is a string that no receipt can hold.
                    if let Ok(text) = serde_json::from_str::<String>(token) {
                        self.text(text.into());
                    }
                }
                (b'-' | b'0'..=b'9', Ok(token)) => {
                    self.integers.extend(token.parse::<i64>());
                    // An id may be a number, up to the largest that 64 bits hold.
                    self.texts.insert(token.to_owned());
                }
                _ => {}
            }
        }
    }

    /// Checks that everything in a receipt's JSON that comes from the vendor stands in the request.
    pub fn check(&self, target: Target, receipt: &Value) {
        let fields = receipt.as_object().expect("a receipt is an object");
        let event = fields.get("event").and_then(Value::as_str).unwrap_or_default();
        // Some time of it came in seconds where milliseconds are due.
        let in_seconds = receipt["extra"]["time_unit"] == "s";
        for (name, value) in fields {
            match (name.as_str(), value) {
                // Ours: checked as a whole elsewhere.
                ("id" | "vendor" | "app" | "scope" | "received_at" | "verified_by", _) => {}
                ("conversation", Value::Object(conversation)) => match conversation.get("id") {
                    Some(Value::String(id)) if target == Target::OpenIm => {
                        // Cut out of `si_<one>_<other>` and the like.
                        let within = !id.is_empty() && self.texts.iter().any(|text| text.contains(&**id));
                        assert!(within, "conversation {id:?} is invented");
                    }
                    Some(Value::Null) => {}
                    id => self.is_text(name, id),
                },
                ("read_at" | "up_to_time", Value::String(text)) => {
                    let time = Timestamp::parse_rfc3339(text).expect("a time of ours");
                    let millis = time.as_millis();
                    let seconds = name == "up_to_time" && event == "C2C.CallbackAfterMsgReport";
                    let given = if seconds { millis / 1000 } else { millis };
                    let exact = !seconds || millis % 1000 == 0;
                    let as_due = exact && self.integers.contains(&given);
                    let as_seconds = millis % 1000 == 0
                        && (1..100_000_000_000).contains(&(millis / 1000))
                        && self.integers.contains(&(millis / 1000));
                    assert!(as_due || (in_seconds && as_seconds), "{name} {text} is invented");
                }
                ("read_at", Value::Null) => {}
                ("event", Value::String(event)) if target == Target::Relay => {
                    let event = event.strip_prefix("relay:").expect("relayed events say so");
                    assert!(self.texts.contains(event), "event {event:?} is invented");
                }
                ("message_seq", integer) => self.is_integer(name, integer),
                ("counts", Value::Object(counts)) => {
                    assert!(!counts.is_empty());
                    counts.iter().for_each(|(name, count)| self.is_integer(name, count));
                }
                ("extra", Value::Object(facts)) => {
                    assert!(!facts.is_empty());
                    for (name, fact) in facts {
                        if name == "time_unit" {
                            assert_eq!(fact, "s");
                            continue;
                        }
                        match fact.is_string() {
                            true => self.is_text(name, Some(fact)),
                            false => self.is_integer(name, fact),
                        }
                    }
                }
                ("reader" | "message_id" | "author" | "event" | "event_id", text) => {
                    self.is_text(name, Some(text));
                }
                (name, value) => panic!("what is {name}, {value}?"),
            }
        }
    }

    fn is_text(&self, name: &str, value: Option<&Value>) {
        let text = value.and_then(Value::as_str).unwrap_or_default();
        assert!(!text.is_empty(), "{name} is empty, or no text: {value:?}");
        assert!(self.texts.contains(text), "{name} {text:?} is invented");
    }

    fn is_integer(&self, name: &str, value: &Value) {
        let given = value.as_i64().is_some_and(|value| self.integers.contains(&value));
        assert!(given, "{name} {value} is invented");
    }
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}
