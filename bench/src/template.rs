//! A request kept as bytes, of which only some spans of fixed width change from one sending to the next.
//!
//! It does not grow or shrink: a value that needs another width needs another template. So its
//! `Content-Length` is true for ever, and one sending costs a few copies instead of a serialisation.

use std::fmt;

/// A span to be filled later: `width` times the control character `mark`, which no JSON text contains.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) mark: u8,
    pub(crate) width: usize,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.width).try_for_each(|_| write!(f, "{}", char::from(self.mark)))
    }
}

/// Where a slot stands in a template; a slot may stand there several times.
pub(crate) struct Places {
    starts: Vec<usize>,
    width: usize,
}

/// The bytes of one HTTP request, head and body.
pub(crate) struct Template {
    bytes: Vec<u8>,
}

impl Template {
    /// A `POST` of `body` to `target`. `Content-Length` counts the slots as they stand.
    pub(crate) fn post(target: &str, host: &str, body: &str) -> Self {
        let length = body.len();
        let bytes = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        Self { bytes: bytes.into_bytes() }
    }

    /// Finds every place of `slot`; to be asked before the first filling, which overwrites the marks.
    pub(crate) fn places(&self, slot: Slot) -> Places {
        let mut starts = Vec::new();
        let mut at = 0;
        while let Some(found) = self.bytes.iter().skip(at).position(|byte| *byte == slot.mark) {
            starts.push(at + found);
            at += found + slot.width;
        }
        Places { starts, width: slot.width }
    }

    /// Writes `value` at all `places`.
    ///
    /// # Panics
    /// When `value` has another width than the slot: that would be a fault of this crate.
    pub(crate) fn fill(&mut self, places: &Places, value: &[u8]) {
        for start in &places.starts {
            self.bytes[*start..start + places.width].copy_from_slice(value);
        }
    }

    /// The request as it would be sent now.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// `number` as exactly `WIDTH` decimal digits, with zeros in front; higher digits are cut off.
pub(crate) fn digits<const WIDTH: usize>(mut number: u64) -> [u8; WIDTH] {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_every_place_and_keeps_the_length() {
        let slot = Slot { mark: 1, width: 3 };
        let mut template = Template::post("/", "localhost", &format!("a{slot}b{slot}{slot}"));
        let places = template.places(slot);
        template.fill(&places, &digits::<3>(7));
        assert!(template.bytes().ends_with(b"Content-Length: 11\r\n\r\na007b007007"));
    }

    #[test]
    fn digits_are_zero_padded_and_cut() {
        assert_eq!(&digits::<4>(42), b"0042");
        assert_eq!(&digits::<2>(12345), b"45");
    }
}
