//! Which body came under which signed id. Easemob's signature covers an id and not the body, so one captured callback
//! could be turned into any number of others; of those with the same id only the first body is believed here.
//!
//! In memory and bounded: after a restart, or once so many newer ids have come, an old id counts as new.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::receipt::{Key, ReceiptId};

/// How many ids of an app are remembered: some 5 MiB, when all are in use.
const REMEMBERED: usize = 65_536;

/// The ids of every app.
#[derive(Default)]
pub(crate) struct CallIds(Mutex<HashMap<Box<str>, Seen>>);

/// The newest ids of one app, each with the digest of its body.
#[derive(Default)]
struct Seen {
    bodies: HashMap<ReceiptId, ReceiptId>,
    /// In the order in which they came.
    order: VecDeque<ReceiptId>,
}

impl CallIds {
    /// Whether this is the first body under the id, or the same again. The id must be proven; the app is the
    /// configuration's.
    pub(crate) fn admits(&self, app: &str, id: &str, body: &[u8]) -> bool {
        let (id, body) = (digest(id.as_bytes()), digest(body));
        let mut apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !apps.contains_key(app) {
            apps.insert(app.into(), Seen::default());
        }
        let Some(seen) = apps.get_mut(app) else { return true };
        match seen.bodies.entry(id) {
            Entry::Occupied(known) => *known.get() == body,
            Entry::Vacant(new) => {
                new.insert(body);
                seen.order.push_back(id);
                if seen.order.len() > REMEMBERED
                    && let Some(oldest) = seen.order.pop_front()
                {
                    seen.bodies.remove(&oldest);
                }
                true
            }
        }
    }
}

fn digest(bytes: &[u8]) -> ReceiptId {
    Key::new("call").part(bytes).id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_body_counts_for_as_long_as_it_is_remembered() {
        let calls = CallIds::default();
        assert!(calls.admits("a", "1", b"x") && calls.admits("a", "1", b"x"));
        assert!(!calls.admits("a", "1", b"y") && calls.admits("a", "1", b"x"));
        assert!(calls.admits("b", "1", b"y"), "another app");
        for other in 0..REMEMBERED {
            assert!(calls.admits("a", &format!("more-{other}"), b""));
        }
        assert!(calls.admits("a", "1", b"y"), "bounded");
    }
}
