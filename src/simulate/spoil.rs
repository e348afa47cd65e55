//! How a good callback is made a malformed one. Signatures cover no body, so it stays genuine; whether its bytes can be read
//! at all, or only one field is of no use, is up to chance.

use super::callback::{Event, Promise};
use super::dialect::Dialect;
use super::random::Random;

/// Spoils an event, and says what is promised as the answer to it now.
pub(super) fn spoil(event: &mut Event, dialect: &Dialect, random: &mut Random) -> Promise {
    let is_json = event.body.first() == Some(&b'{');
    if random.chance(0.5)
        && let Some(flaw) = event.flaws.get(random.below(event.flaws.len().max(1) as u64) as usize)
        && replace(&mut event.body, flaw.find, flaw.put)
    {
        return dialect.unusable(flaw.reason);
    }
    let reason =
        if is_json { unreadable_json(event, dialect, random) } else { unreadable_form(event, random) };
    Promise::Refusal(400, reason)
}

fn unreadable_json(event: &mut Event, dialect: &Dialect, random: &mut Random) -> &'static str {
    let body = &mut event.body;
    match random.below(4) {
        0 => {
            let length = body.len() as u64;
            body.truncate((length / 4 + random.below(length / 2)) as usize);
            "not_json"
        }
        1 => {
            body.insert(random.below(body.len() as u64) as usize, 0xff);
            "not_utf8"
        }
        2 if !dialect.takes_lists => {
            body.insert(0, b'[');
            body.push(b']');
            "wrong_root"
        }
        _ => {
            // The first key, once more: `{"a":…` becomes `{"a":0,"a":…`.
            let colon = body.iter().position(|byte| *byte == b':').unwrap_or_default();
            let mut key = body.get(1..=colon).unwrap_or_default().to_vec();
            key.extend_from_slice(b"0,");
            body.splice(1..1, key);
            "duplicate_key"
        }
    }
}

fn unreadable_form(event: &mut Event, random: &mut Random) -> &'static str {
    let body = &mut event.body;
    match random.below(4) {
        0 => {
            // In the middle of an escape, for half a form is mostly a form.
            let escape = body.iter().rposition(|byte| *byte == b'%').unwrap_or_default();
            body.truncate(escape + 2);
            "not_form"
        }
        1 => {
            body.insert(random.below(body.len() as u64) as usize, 0xff);
            "not_utf8"
        }
        2 => {
            body.splice(.., *b"hello");
            "not_form"
        }
        _ => {
            body.extend_from_slice(b"&busChannel=%ff");
            "not_utf8"
        }
    }
}

/// Whether it stood there.
fn replace(body: &mut Vec<u8>, find: &str, put: &str) -> bool {
    let at = body.windows(find.len()).position(|window| window == find.as_bytes());
    if let Some(at) = at {
        body.splice(at..at + find.len(), put.bytes());
    }
    at.is_some()
}
