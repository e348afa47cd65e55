//! Reads of an HTTP/1.1 answer only what the generator must know: its status and where it ends.
//!
//! It does not understand chunked answers, trailers or `1xx`; such an answer is unreadable, and loud.

use anyhow::{Context as _, Result, ensure};

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The server will close the connection after this answer.
    pub(crate) closing: bool,
}

/// `Ok(None)` while `bytes` hold less than a whole answer; an error when they can never become one.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = bytes[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let status = lines.next().unwrap_or_default().strip_prefix(b"HTTP/1.1 ");
    let status = status.and_then(|rest| rest.get(..3)).and_then(number).context("no HTTP/1.1 status line")?;

    let mut length = None;
    let mut closing = false;
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = number(value);
        } else if name.eq_ignore_ascii_case(b"connection") {
            closing = value.eq_ignore_ascii_case(b"close");
        }
    }
    let whole = end + 4 + length.context("an answer without Content-Length")?;
    ensure!(bytes.len() <= whole, "more bytes than the answer has");
    let status = u16::try_from(status)?;
    Ok((bytes.len() == whole).then_some(Answer { status, closing }))
}

/// A short decimal number; `None` for anything else, also for one that no answer's length would reach.
fn number(digits: &[u8]) -> Option<usize> {
    str::from_utf8(digits).ok().filter(|text| text.len() < 10)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\nContent-Length: 2\r\n\r\n{}";

    #[test]
    fn a_whole_answer_is_read_and_every_part_of_it_waits() {
        assert_eq!(parse(WHOLE).unwrap(), Some(Answer { status: 200, closing: false }));
        for end in 0..WHOLE.len() {
            assert_eq!(parse(&WHOLE[..end]).unwrap(), None);
        }
    }

    #[test]
    fn closing_is_seen() {
        let bytes = b"HTTP/1.1 503 Busy\r\nConnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(parse(bytes).unwrap(), Some(Answer { status: 503, closing: true }));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
        assert!(parse(&[WHOLE, b"x"].concat()).is_err());
    }
}
