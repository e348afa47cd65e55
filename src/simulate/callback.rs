//! A callback as it goes out, and what is promised as its answer.

use bytes::Bytes;
use http::{HeaderValue, Uri};

/// What a callback is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A genuine read event that tells something new.
    Read,
    /// A callback that was sent before, to the byte.
    Repeat,
    /// Genuine, but no read event.
    Neighbour,
    /// It cannot be used, or not even be read.
    Malformed,
    /// Its proof is wrong.
    BadSignature,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Read, Self::Repeat, Self::Neighbour, Self::Malformed, Self::BadSignature];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Repeat => "repeats",
            Self::Neighbour => "neighbours",
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
        }
    }

    /// Whether what is acknowledged must be found at the other end.
    pub(super) fn is_of_a_read(self) -> bool {
        match self {
            Self::Read | Self::Repeat => true,
            Self::Neighbour | Self::Malformed | Self::BadSignature => false,
        }
    }

    /// Whether it is wrong on purpose.
    pub(super) fn is_bad(self) -> bool {
        match self {
            Self::Read | Self::Repeat | Self::Neighbour => false,
            Self::Malformed | Self::BadSignature => true,
        }
    }
}

/// What a vendor's own code has to say: a target, a body, and what is in it. It is a [`Callback`] once it has a kind.
pub(super) struct Event {
    pub(super) target: Uri,
    pub(super) content_type: Option<&'static str>,
    pub(super) operation_id: Option<String>,
    pub(super) body: Vec<u8>,
    /// How many receipts are in it that were in no callback before.
    pub(super) receipts: u32,
    /// How it can be spoilt behind its signature.
    pub(super) flaws: &'static [Flaw],
}

/// A part of a body that makes it unusable.
pub(super) struct Flaw {
    /// The first place where this stands ...
    pub(super) find: &'static str,
    /// ... becomes this.
    pub(super) put: &'static str,
    /// The reason code for it.
    pub(super) reason: &'static str,
}

/// What the receiver should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Promise {
    /// What it says to everything that it could use.
    Welcome,
    /// This status, for this reason.
    Refusal(u16, &'static str),
    /// 200, with an answer of its own.
    Special(String),
}

/// A callback, ready to send. Cheap to clone, for repeats.
#[derive(Debug, Clone)]
pub(super) struct Callback {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) promise: Promise,
    pub(super) receipts: u32,
    pub(super) target: Uri,
    pub(super) content_type: Option<&'static str>,
    pub(super) operation_id: Option<HeaderValue>,
    pub(super) body: Bytes,
}

impl Callback {
    pub(super) fn new(number: u64, kind: Kind, promise: Promise, event: Event) -> Self {
        Self {
            number,
            kind,
            promise,
            receipts: event.receipts,
            target: event.target,
            content_type: event.content_type,
            operation_id: event.operation_id.and_then(|id| HeaderValue::try_from(id).ok()),
            body: event.body.into(),
        }
    }

    /// The same once more, as a repeat.
    pub(super) fn again(&self) -> Self {
        Self { kind: Kind::Repeat, ..self.clone() }
    }
}
