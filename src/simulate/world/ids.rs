//! What those who there are are called, and their messages: in the vendors' shapes, and the same for the same seed.

use std::fmt::Write as _;

use super::super::random::mix;
use super::World;

const NAMES: [&str; 16] = [
    "maya", "jonas", "rosa", "leon", "marta", "wei", "ling", "amir", "noor", "ines", "kofi", "yuki", "omar",
    "lena", "tariq", "sofia",
];

/// A text of five letters that tells the runs of two seeds apart.
pub(super) fn tag(seed: u64) -> String {
    base36(u128::from(mix(seed)) % 36_u128.pow(5), 5).to_ascii_lowercase()
}

impl World {
    /// A text that tells this run from those of other seeds.
    pub(in crate::simulate) fn tag(&self) -> &str {
        &self.tag
    }

    pub(in crate::simulate) fn user(&self, user: u64) -> String {
        let name = NAMES[(mix(user) % NAMES.len() as u64) as usize];
        let mut id = String::with_capacity(24);
        let signs = if self.signs && user.is_multiple_of(8) { "+=" } else { "" };
        // Writing to a string does not fail.
        let _written = write!(id, "{name}_{}{user}{signs}", self.tag);
        id
    }

    /// The id of this callback's event, as 19 digits: beyond 2^53, and growing, as vendors' ids do.
    pub(in crate::simulate) fn event_id(&self) -> u64 {
        1 << 62 | mix(self.seed) >> 40 << 38 | self.callbacks
    }

    /// The id of a message as 19 digits; the same for everybody who reads it.
    pub(in crate::simulate) fn message_id(&self, conversation: &str, seq: i64) -> u64 {
        let place = conversation.bytes().fold(self.seed, |sum, byte| mix(sum ^ u64::from(byte)));
        1 << 62 | mix(place ^ seq.cast_unsigned()) >> 2
    }

    /// An id in the shape of RongCloud's: `596E-P5PG-4FS2-7OJK`.
    pub(in crate::simulate) fn uid(number: u128) -> String {
        let plain = base36(number, 16);
        let mut uid = String::with_capacity(19);
        for (at, letter) in plain.chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                uid.push('-');
            }
            uid.push(letter);
        }
        uid
    }

    /// The same for this callback's event.
    pub(in crate::simulate) fn event_uid(&self) -> String {
        Self::uid(u128::from(mix(self.seed) >> 40) << 56 | u128::from(self.callbacks))
    }
}

/// `number` in `width` letters and digits; what does not fit is cut off at the front.
fn base36(mut number: u128, width: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut text = vec![b'0'; width];
    for digit in text.iter_mut().rev() {
        *digit = DIGITS[(number % 36) as usize];
        number /= 36;
    }
    text.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Population, World};

    #[test]
    fn ids_have_their_vendors_shapes() {
        let mut world = World::new(1, Population { users: 9, groups: 1 }, Some(0), false);
        world.begin();
        assert_eq!(world.event_id().to_string().len(), 19);
        assert_eq!(world.message_id("g", 5).to_string().len(), 19);
        assert_eq!(World::uid(35), "0000-0000-0000-000Z");
    }
}
