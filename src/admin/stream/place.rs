//! Where a stream stands, and how that is written into the id of an event.

use crate::journal::Seq;

/// Everything up to and including these has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The position in the journal.
    pub(super) seq: Seq,
    /// The number of the callback, in the run that the id names.
    pub(super) number: u64,
}

impl Place {
    /// The id of an event after which a stream stands here.
    pub(super) fn write(self, run: &str) -> String {
        format!("{}-{run}-{}", self.seq, self.number)
    }

    /// The run and the place of an id, if it is one.
    pub(super) fn read(id: &str) -> Option<(&str, Self)> {
        let mut parts = id.split('-');
        let (seq, run, number) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_one = parts.next().is_none() && digits(seq) && digits(number) && !run.is_empty();
        let place = Self { seq: seq.parse().ok()?, number: number.parse().ok()? };
        is_one.then_some((run, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is() {
        let place = Place { seq: 1_041, number: 77 };
        assert_eq!(Place::read(&place.write("5f3a")), Some(("5f3a", place)));
        for wrong in
            ["", "1", "1-a", "1--1", "-1-a-1", "1-a-1-1", "1-a-x", "+1-a-1", "9223372036854775808-a-1"]
        {
            assert_eq!(Place::read(wrong), None, "{wrong}");
        }
    }
}
