//! What an allow response must carry, so that it allows and changes nothing.
//!
//! The server copies fields of the response over its own request. For most commands they are pointers in its source: a field
//! that is absent or null leaves the request as it is. For the commands of [`ECHOES`] some are plain values, so an absent
//! field *empties* the request's: the edit of a group then fails on an empty group id, and a remark is lost. For these the
//! request's own fields are repeated, to the byte. See `internal/rpc/{group,relation,friend}/callback.go` and
//! `pkg/callbackstruct` of the server, v3.4.2 to `main` of 2026-07: no other command does this.

use std::borrow::Cow;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::outcome::Answer;
use super::super::request::Incoming;
use super::commands_of_target;

/// `nextCode` is an integer to the server that reads it; the vendor's page prints a string, which blocks.
const ALLOW: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// One command's row of the table.
pub(super) struct Echo {
    /// The command.
    pub(super) command: &'static str,
    /// Fields that the server replaces in any case: repeated whenever the request has them.
    pub(super) always: &'static [&'static str],
    /// Fields that the server replaces where the response has a value, and of which the request does not show whether they
    /// were set: it sends an empty text and zero for "leave it". Repeated only where they say something, because an echoed
    /// zero would set what nobody asked to set.
    pub(super) where_set: &'static [&'static str],
}

/// Every command whose allow response must repeat fields of its request.
pub(super) const ECHOES: [Echo; 4] = [
    // Since v3.4.2 in the source, sent since v3.5.0.
    Echo {
        command: "callbackBeforeSetGroupInfoCommand",
        always: &["groupID", "groupName", "notification", "introduction", "faceURL"],
        where_set: &["ex", "needVerification", "lookMemberInfo", "applyMemberFriend"],
    },
    // Since v3.8.1. Here every field but the group id is a pointer in request and response, and the pointer itself is
    // replaced: what is repeated as null stays null.
    Echo {
        command: "callbackBeforeSetGroupInfoExCommand",
        always: &[
            "groupID",
            "groupName",
            "notification",
            "introduction",
            "faceURL",
            "ex",
            "needVerification",
            "lookMemberInfo",
            "applyMemberFriend",
        ],
        where_set: &[],
    },
    // v3.4.2 to v3.6: an absent remark empties the remark.
    Echo { command: "callbackBeforeSetFriendRemark", always: &["remark"], where_set: &[] },
    // Since v3.7.0, where an empty remark is passed over; with the remark itself the answer is right for forks between the two.
    Echo { command: "callbackBeforeSetFriendRemarkCommand", always: &["remark"], where_set: &[] },
];

/// The allow response to a request, with any status: the server looks at the body alone.
///
/// It repeats the fields that the request's command asks for as far as the body can be read, whatever else is wrong with the
/// request. Where body, path and query name different commands, each of them gets its fields.
pub(in crate::vendor) fn allow(status: u16, request: &Incoming) -> Answer {
    match echo(request) {
        Some(body) => Answer::json(status, body),
        None => Answer::json(status, ALLOW),
    }
}

/// The allow response without regard to a request, for a command that is known to have no row in the table.
pub(super) fn plain(status: u16) -> Answer {
    Answer::json(status, ALLOW)
}

fn echo(request: &Incoming) -> Option<String> {
    let Fields(fields) = serde_json::from_slice(&request.body).ok()?;
    let in_body = fields.iter().filter(|(name, _)| name == "callbackCommand");
    let mut commands: Vec<Cow<'_, str>> = in_body
        .filter_map(|(_, raw)| serde_json::from_str::<String>(raw.get()).ok().map(Cow::Owned))
        .collect();
    commands.extend(commands_of_target(request));
    let rows: Vec<&Echo> =
        ECHOES.iter().filter(|row| commands.iter().any(|name| name == row.command)).collect();
    let repeated = |name: &str, raw: &str| {
        rows.iter().any(|row| {
            row.always.contains(&name)
                || (row.where_set.contains(&name) && !matches!(raw, "\"\"" | "0" | "null"))
        })
    };
    let mut body = String::from(ALLOW.trim_end_matches('}'));
    let mut any = false;
    for (at, (name, raw)) in fields.iter().enumerate() {
        // Of a name that stands twice the server's own decoder would take the last.
        let last = !fields.iter().skip(at + 1).any(|(later, _)| later == name);
        if last && repeated(name, raw.get()) {
            any = true;
            // The names of the table need no escapes.
            body.push_str(",\"");
            body.push_str(name);
            body.push_str("\":");
            body.push_str(raw.get());
        }
    }
    body.push('}');
    any.then_some(body)
}

/// The fields of a JSON object as they stand, in their order, whatever their values are and however often they come.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let raw: &'de RawValue = map.next_value()?;
                    if is_of_interest(&name) {
                        fields.push((Cow::Owned(name), raw));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

/// Whether a field may be repeated or says which are. Everything else is passed over, so that a hostile body of many fields
/// costs no more than its length.
fn is_of_interest(name: &str) -> bool {
    name == "callbackCommand"
        || ECHOES.iter().any(|row| row.always.contains(&name) || row.where_set.contains(&name))
}
