//! From the fuzzer's bytes to a callback. Three bytes choose, then it reads like a request, so that mutations
//! keep hitting something and a person can read what was found:
//!
//! ```text
//! <how> <moment> <offset> /path/behind/the/route?query ⏎
//! Name: value ⏎
//! ⏎
//! body
//! ```
//!
//! What no HTTP server would hand on is mended (characters in the URL) or left out (header fields), not
//! rejected: a rejected input teaches the fuzzer nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use readhook::receipt::Timestamp;
use readhook::vendor::Incoming;

use crate::Target;

/// When the fixtures' signatures were made; thirty days later; the first moment there is, and the last.
pub const MOMENTS: [i64; 4] = [1_767_000_000_000, 1_769_592_000_000, 0, 253_402_207_200_000];

/// This machine, one on the allow-list of `fixtures/strict.toml`, one on it by IPv6, and a stranger.
pub const CLIENTS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9)),
];

const PREFIX: &str = "/webhooks/";

/// What stays as it is where a URL must be mended.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/')
    .remove(b'%');

/// A callback before it is a request, in parts that can still be changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Whether the strict configuration is asked.
    pub strict: bool,
    /// How it is made genuine, if it is.
    pub sign: Option<Sign>,
    /// Which of [`CLIENTS`].
    pub client: u8,
    /// Which of [`MOMENTS`].
    pub moment: u8,
    /// What stands behind the route.
    pub tail: String,
    /// The query, as it is sent.
    pub query: String,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// How a callback is made genuine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sign {
    /// Which of the vendor's ways, if it has several.
    pub way: u8,
    /// With the second secret, if there are two.
    pub second: bool,
    /// In upper-case digits.
    pub upper: bool,
    /// How far the signed time is from the time of arrival, in seconds.
    pub offset: i8,
}

const SIGN: u8 = 1 << 0;
const STRICT: u8 = 1 << 1;
const WAY: u32 = 2;
const CLIENT: u32 = 4;
const UPPER: u8 = 1 << 6;
const SECOND: u8 = 1 << 7;

impl Input {
    /// Reads any bytes.
    pub fn read(target: Target, bytes: &[u8]) -> Self {
        let (choice, text) = bytes.split_at_checked(3).unwrap_or((&[0; 3], bytes));
        let (how, moment, offset) = (choice[0], choice[1], choice[2].cast_signed());
        let sign = Sign { way: how >> WAY & 3, second: how & SECOND != 0, upper: how & UPPER != 0, offset };
        let (line, mut rest) = line(text);
        let (tail, query) = match line.iter().position(|byte| *byte == b'?') {
            Some(at) => (&line[..at], &line[at + 1..]),
            // Only OpenIM's route is open-ended.
            None if target == Target::OpenIm => (line, &[][..]),
            None => (&[][..], line),
        };
        let mut headers = HeaderMap::new();
        while !rest.is_empty() {
            let (field, behind) = self::line(rest);
            rest = behind;
            if field.is_empty() {
                break;
            }
            if let Some((name, value)) = header(field) {
                headers.append(name, value);
            }
        }
        Self {
            strict: how & STRICT != 0,
            sign: (how & SIGN != 0).then_some(sign),
            client: how >> CLIENT & 3,
            moment: moment & 3,
            tail: if target == Target::OpenIm { path(tail) } else { String::new() },
            query: url(query, '?'),
            headers,
            body: rest.to_vec(),
        }
    }

    /// The bytes that [`Input::read`] reads it from.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Sign { way, second, upper, offset } = self.sign.unwrap_or_default();
        let flag = |is: bool, bit: u8| if is { bit } else { 0 };
        let how = flag(self.sign.is_some(), SIGN)
            | flag(self.strict, STRICT)
            | way << WAY
            | self.client << CLIENT
            | flag(upper, UPPER)
            | flag(second, SECOND);
        let mut bytes = vec![how, self.moment, offset.cast_unsigned()];
        bytes.extend_from_slice(format!("{}?{}\n", self.tail, self.query).as_bytes());
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(b'\n');
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The same, made genuine; with `strict`, by the configuration that asks for every proof.
    #[must_use]
    pub fn signed(&self, strict: bool) -> Self {
        let way = if strict { 3 } else { 0 };
        Self { strict: self.strict || strict, sign: Some(Sign { way, ..Sign::default() }), ..self.clone() }
    }

    /// When it arrives.
    pub fn received_at(&self) -> Timestamp {
        Timestamp::from_millis(MOMENTS[usize::from(self.moment & 3)]).expect("these moments have a date")
    }

    /// The request, as the door would hand it on. `None` where the URL is too long for one.
    pub fn request(self, target: Target) -> Option<Incoming> {
        let received_at = self.received_at();
        let target = format!("{PREFIX}{}{}?{}", target.route(), self.tail, self.query);
        Some(Incoming {
            tail_at: target.len() - self.tail.len() - self.query.len() - 1,
            uri: Uri::try_from(target).ok()?,
            headers: self.headers,
            client: CLIENTS[usize::from(self.client & 3)],
            body: Bytes::from(self.body),
            received_at,
        })
    }
}

/// The first line and what stands behind it.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

/// The path behind OpenIM's route: nothing, or something with a slash in front.
fn path(tail: &[u8]) -> String {
    let tail = url(tail, '/');
    if tail.is_empty() || tail.starts_with('/') { tail } else { format!("/{tail}") }
}

/// A part of a URL as it came, if the server would take it so; else with everything unusual percent-encoded.
fn url(part: &[u8], before: char) -> String {
    let plain = std::str::from_utf8(part).ok().filter(|part| {
        !part.contains('#') && (part.is_empty() || Uri::try_from(format!("/{before}{part}")).is_ok())
    });
    match plain {
        Some(part) => part.to_owned(),
        None => percent_encode(part, PLAIN).to_string(),
    }
}

fn header(field: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_reads_as_it_was_written() {
        let bytes =
            b"\xd3\x01\xe2/token/callbackX?command=a%20b\noperationid: op-1\noperationid: op-2\n\n{\n\n}";
        let input = Input::read(Target::OpenIm, bytes);
        assert_eq!((input.tail.as_str(), input.query.as_str()), ("/token/callbackX", "command=a%20b"));
        let sign = Sign { way: 0, second: true, upper: true, offset: -30 };
        assert_eq!((input.strict, input.sign, input.client, input.moment), (true, Some(sign), 1, 1));
        assert_eq!((input.headers.len(), &*input.body), (2, &b"{\n\n}"[..]));
        assert_eq!(input.to_bytes(), bytes);
    }

    #[test]
    fn anything_is_a_request() {
        for bytes in [&b""[..], b"ab", b"\0\0\0#\xff \"<\x7f>\nno colon\n: x\nbad name: y\nok: \x01\nok: z\n"]
        {
            for target in Target::ALL {
                let request = Input::read(target, bytes).request(target).unwrap();
                assert!(request.uri.path().starts_with("/webhooks/"), "{}", request.uri);
                assert!(request.headers.len() <= 1);
            }
        }
    }
}
