//! A request as it arrived, before anyone believed it.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Uri, header};

use super::form;
use super::json::{Json, JsonError, Keep, Object};
use super::outcome::Unreadable;
use crate::receipt::Timestamp;

/// Everything a vendor may look at. Its `Debug` is left out on purpose: paths, queries and bodies hold secrets.
pub struct Incoming {
    /// Path and query as sent, never decoded.
    pub uri: Uri,
    /// Where in the path the part behind the vendor's route begins.
    pub tail_at: usize,
    /// Header fields as sent.
    pub headers: HeaderMap,
    /// The client: the TCP peer, or what a trusted proxy says of it.
    pub client: IpAddr,
    /// The whole body, at most `body_limit_bytes`.
    pub body: Bytes,
    /// When the head of the request was in.
    pub received_at: Timestamp,
}

impl Incoming {
    /// The path behind the vendor's route, with its leading slash if it has one.
    pub fn tail(&self) -> &str {
        self.uri.path().get(self.tail_at..).unwrap_or_default()
    }

    /// The vendor's route, and nothing of what stands behind it in the path.
    pub fn route(&self) -> &str {
        self.uri.path().get(..self.tail_at).unwrap_or_default()
    }

    /// The raw query, without the question mark.
    pub fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// Every value of a query parameter, percent-decoded.
    pub fn parameters(&self, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
        form::pairs(self.query()).filter(move |(key, _)| key == name).map(|(_, value)| value)
    }

    /// The one value of a query parameter, percent-decoded.
    pub fn parameter(&self, name: &str) -> Parameter<'_> {
        let mut values = self.parameters(name);
        match (values.next(), values.next()) {
            (None, _) => Parameter::Absent,
            (Some(value), None) => Parameter::Once(value),
            (Some(_), Some(_)) => Parameter::Repeated,
        }
    }

    /// The header fields that may be kept: all but those with credentials.
    pub fn kept_fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let credentials = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];
        let kept = self.headers.iter().filter(move |(name, _)| !credentials.contains(name));
        kept.map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    /// The one value of a header field that is text.
    pub fn header(&self, name: &str) -> Parameter<'_> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Parameter::Absent,
            (Some(value), None) => Parameter::Once(String::from_utf8_lossy(value.as_bytes())),
            (Some(_), Some(_)) => Parameter::Repeated,
        }
    }
}

/// A parameter that must not come twice: frameworks differ in which one they pick, so both sides could be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter<'r> {
    /// Not there.
    Absent,
    /// There, once.
    Once(Cow<'r, str>),
    /// There more than once, whatever the values.
    Repeated,
}

impl Incoming {
    /// The body as text, if it came as it should: UTF-8 and not compressed.
    pub(super) fn text(&self) -> Result<&str, Unreadable> {
        let plain = |encoding: &http::HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
        if !self.headers.get_all(http::header::CONTENT_ENCODING).iter().all(plain) {
            return Err(Unreadable::ContentEncoding);
        }
        std::str::from_utf8(&self.body).map_err(|_| Unreadable::NotUtf8)
    }

    /// The body as a JSON object, all of it.
    pub(super) fn json_object(&self) -> Result<Object<'_>, Unreadable> {
        self.json_parts(&Keep::All)
    }

    /// The body as a JSON object of which only parts are read.
    pub(super) fn json_parts(&self, keep: &Keep) -> Result<Object<'_>, Unreadable> {
        match json(self.text()?, keep)? {
            Json::Object(object) => Ok(object),
            Json::Null
            | Json::Bool(_)
            | Json::Integer(_)
            | Json::Number(_)
            | Json::Text(_)
            | Json::List(_)
            | Json::Odd => Err(Unreadable::WrongRoot),
        }
    }
}

/// JSON, with what is wrong about it in the words of an outcome.
pub(super) fn json<'a>(text: &'a str, keep: &Keep) -> Result<Json<'a>, Unreadable> {
    Json::parse_parts(text, keep).map_err(|error| match error {
        JsonError::Syntax => Unreadable::NotJson,
        JsonError::DuplicateKey => Unreadable::DuplicateKey,
    })
}
