//! A callback between `open` and `decode`: its body in a form one can ask, and nothing in it trusted.

use std::borrow::Cow;

use super::form::Form;
use super::json::{Json, Object};
use super::outcome::Answer;
use super::request::Incoming;

/// What `open` found.
pub enum Opened<'r> {
    /// A read event: to be proven and decoded.
    Read(Callback<'r>),
    /// Anything else that the vendor sends to the same URL.
    Neighbour(Neighbour<'r>),
}

/// Whom a request claims to be for, before anything of it is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody that is configured, or nothing that can be read: an unreadable body names no app.
    Nothing,
    /// A configured app, in a shape that this vendor does not send.
    App,
    /// A configured app, in the shape of this vendor's callbacks.
    Callback,
}

impl Claim {
    /// What a request claims that names a configured app, or none, in the vendor's shape or another.
    pub(super) fn of(names_app: bool, has_shape: bool) -> Self {
        match (names_app, has_shape) {
            (false, _) => Self::Nothing,
            (true, false) => Self::App,
            (true, true) => Self::Callback,
        }
    }
}

/// A callback whose proof has not been looked at.
pub struct Callback<'r> {
    /// The request it came in.
    pub request: &'r Incoming,
    /// The vendor's name of the event, as it came.
    pub command: Cow<'r, str>,
    /// The body, parsed.
    pub body: Body<'r>,
}

/// The bodies that vendors send.
pub enum Body<'r> {
    /// A JSON object.
    Object(Object<'r>),
    /// A JSON array.
    List(Vec<Json<'r>>),
    /// `application/x-www-form-urlencoded`.
    Form(Form<'r>),
}

impl<'r> Body<'r> {
    /// The object, when it is one.
    pub fn object(&self) -> Option<&Object<'r>> {
        match self {
            Self::Object(object) => Some(object),
            Self::List(_) | Self::Form(_) => None,
        }
    }

    /// The form, when it is one.
    pub fn form(&self) -> Option<&Form<'r>> {
        match self {
            Self::Form(form) => Some(form),
            Self::Object(_) | Self::List(_) => None,
        }
    }
}

/// A callback that is none of our business, with the answer that lets the vendor's own business go on.
pub struct Neighbour<'r> {
    /// The callback; its command may be anything, even empty.
    pub callback: Callback<'r>,
    /// The vendor's allow-answer for exactly this callback.
    pub allow: Answer,
}
