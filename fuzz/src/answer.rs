//! What each vendor may hear, written down once more from docs/reference.md and the vendors' contracts.

use std::collections::BTreeMap;
use std::time::Duration;

use readhook::config::Secret;
use readhook::vendor::{Answer, Incoming, Outcome};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::Target;
use crate::setting::Setting;

/// The allow body of OpenIM: an operation is blocked by anything that its server cannot parse, and by any
/// other `nextCode`.
const OPENIM: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// Checks an answer to an outcome, or, with `neighbour`, to a callback that is none of ours.
pub(crate) fn check(
    target: Target,
    setting: &Setting,
    request: &Incoming,
    outcome: &Outcome,
    neighbour: bool,
    answer: &Answer,
) {
    assert_eq!(answer.status, status(target, outcome), "{target:?} hears {answer:?} of {outcome:?}");
    let right = match target {
        Target::Easemob => easemob(outcome, answer),
        Target::Tencent => tencent(request, outcome, neighbour, answer),
        Target::OpenIm => openim(request, answer),
        Target::RongCloud | Target::Relay => rongcloud(target, outcome, neighbour, answer),
    };
    assert!(right, "{target:?} hears {answer:?} of {outcome:?}");
    let withheld = matches!((target, outcome), (Target::Tencent, Outcome::Unavailable));
    assert_eq!(answer.not_before, withheld.then_some(Duration::from_millis(2100)), "{answer:?}");
    for secret in setting.config.secret_lists().into_iter().flat_map(|(.., secrets)| secrets) {
        assert!(!answer.body.contains(secret.expose()) || sent(request, secret), "{answer:?} tells a secret");
    }
}

/// The table of reason codes.
fn status(target: Target, outcome: &Outcome) -> u16 {
    match (outcome.as_str(), outcome.reason()) {
        ("accepted" | "duplicate" | "ignored", _) => 200,
        ("rejected", "unknown_app") if target == Target::Tencent => 403,
        ("rejected", "throttled") => 429,
        ("rejected", _) => 401,
        ("unavailable", _) => 503,
        // Genuine, and of no use.
        ("malformed", reason) if reason.starts_with("field_") => match target {
            Target::Easemob | Target::RongCloud | Target::Relay => 200,
            Target::Tencent | Target::OpenIm => 400,
        },
        ("malformed", "body_too_large") => 413,
        ("malformed", "body_timeout") => 408,
        ("malformed", "wrong_method") => 405,
        ("malformed", "unknown_path") => 404,
        ("malformed", _) => 400,
        (other, _) => panic!("`{other}` is not in the table of outcomes"),
    }
}

fn easemob(outcome: &Outcome, answer: &Answer) -> bool {
    let said = match answer.status {
        200 => json!({ "valid": true }),
        _ => json!({ "error": outcome.reason() }),
    };
    // From 1,000 characters on the vendor counts a failure.
    let short = answer.body.chars().count() < 1_000;
    short && answer.content_type == "application/json" && value(answer) == Some(said)
}

/// The allow body, and behind it nothing but fields of the request, as they came.
fn openim(request: &Incoming, answer: &Answer) -> bool {
    let Some(echo) = answer.body.strip_prefix(OPENIM.trim_end_matches('}')) else {
        return false;
    };
    let body = String::from_utf8_lossy(&request.body);
    let repeated = || {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(&answer.body).unwrap_or_default();
        let own: BTreeMap<String, &RawValue> = serde_json::from_str(OPENIM).unwrap_or_default();
        let mut added = fields.iter().filter(|(name, _)| !own.contains_key(*name));
        fields.len() > own.len() && added.all(|(_, value)| body.contains(value.get()))
    };
    answer.content_type == "application/json" && (echo == "}" || repeated())
}

fn tencent(request: &Incoming, outcome: &Outcome, neighbour: bool, answer: &Answer) -> bool {
    let mut said = match answer.status {
        200 => json!({ "ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0 }),
        status => json!({ "ActionStatus": "FAIL", "ErrorInfo": outcome.reason(), "ErrorCode": status }),
    };
    let given = value(answer).unwrap_or_default();
    let commands = crate::proof::parameters(request.query(), "CallbackCommand");
    let asks = matches!(&*commands, [command] if command.starts_with("Sns.CallbackPrev"));
    if asks && neighbour {
        let asked = match serde_json::from_slice::<Value>(&request.body) {
            Ok(body) => {
                let list = |name| body.get(name).filter(|list| !list.is_null());
                let list = list("FriendItem").or_else(|| list("ResponseFriendItem"));
                list.and_then(Value::as_array).cloned().unwrap_or_default()
            }
            // JSON with something in it that serde takes for none: who was asked for is not to be told from
            // here.
            Err(_) => return given["ResultItem"].is_array(),
        };
        // Yes to everybody who was asked for, in order.
        let yes = asked.iter().map(|item| {
            let account = item.get("To_Account").and_then(Value::as_str).unwrap_or_default();
            json!({ "To_Account": account, "ResultCode": 0, "ResultInfo": "" })
        });
        said["ResultItem"] = yes.collect();
    }
    answer.content_type == "application/json" && given == said
}

fn rongcloud(target: Target, outcome: &Outcome, neighbour: bool, answer: &Answer) -> bool {
    let asked = neighbour && target == Target::RongCloud;
    match (answer.status, answer.content_type, &*answer.body) {
        (200, "text/plain", "ok") => true,
        (200, "application/json", r#"{"pass":1}"#) => asked,
        (200, ..) => false,
        (_, "text/plain", body) => body == outcome.reason() && !body.is_empty(),
        _ => false,
    }
}

fn value(answer: &Answer) -> Option<Value> {
    serde_json::from_str(&answer.body).ok()
}

/// Whether the vendor has sent the secret himself: Tencent hears accounts as it spelled them.
fn sent(request: &Incoming, secret: &Secret) -> bool {
    let within = |text: &str| text.contains(secret.expose());
    within(&String::from_utf8_lossy(&request.body)) || within(&request.uri.to_string())
}
