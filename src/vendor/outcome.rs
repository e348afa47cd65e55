//! How a callback can end, and what is said about it. The words here are the reason codes in answers, logs and
//! metrics; only an [`Answer`] knows status codes, and only vendors make one.

use std::time::Duration;

/// The one end of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Authentic, and every receipt of it is durable; at least one was new.
    Accepted,
    /// Authentic, and every receipt of it was there already.
    Duplicate,
    /// Authentic, but the vendor's event id is stored already with another reader or message.
    Conflict,
    /// Authentic, and every receipt of it was there already, but one with another time, author, message, conversation or scope: it
    /// may be the genuine one behind a forged first.
    Differing,
    /// Not a read event, or one in which nobody has read anything.
    Ignored,
    /// Authentic, but it cannot be used.
    Malformed(DecodeError),
    /// Nothing could be told from it, not even whether it is authentic.
    Unreadable(Unreadable),
    /// Not authentic.
    Rejected(Refusal),
    /// It could not be made durable in time; the vendor should come again.
    Unavailable,
}

/// Every reason code, for those who name one: what is none of these stands in no quarantine.
pub const REASONS: [&str; 33] = [
    "not_utf8",
    "content_encoding",
    "not_json",
    "not_form",
    "wrong_root",
    "duplicate_key",
    "command_missing",
    "command_repeated",
    "command_contradicting",
    "app_repeated",
    "body_too_large",
    "body_timeout",
    "body_broken",
    "wrong_method",
    "unknown_path",
    "unknown_app",
    "signature_missing",
    "signature_repeated",
    "bad_signature",
    "bad_time",
    "stale",
    "bad_token",
    "bad_credentials",
    "bad_address",
    "throttled",
    "field_missing",
    "field_repeated",
    "field_wrong_type",
    "field_out_of_range",
    "field_not_json",
    "conflict",
    "differing",
    "unavailable",
];

impl Outcome {
    /// The outcome's word in metrics and logs. A conflict is a duplicate to the vendor, and so is what differs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate | Self::Conflict | Self::Differing => "duplicate",
            Self::Ignored => "ignored",
            Self::Malformed(_) | Self::Unreadable(_) => "malformed",
            Self::Rejected(_) => "rejected",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether an operator should hear of it.
    pub fn is_trouble(&self) -> bool {
        match self {
            Self::Accepted | Self::Duplicate | Self::Ignored => false,
            Self::Conflict
            | Self::Differing
            | Self::Malformed(_)
            | Self::Unreadable(_)
            | Self::Rejected(_)
            | Self::Unavailable => true,
        }
    }

    /// The field that makes it malformed, in the vendor's spelling.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Malformed(error) => Some(error.field),
            Self::Accepted
            | Self::Duplicate
            | Self::Conflict
            | Self::Differing
            | Self::Ignored
            | Self::Unreadable(_)
            | Self::Rejected(_)
            | Self::Unavailable => None,
        }
    }

    /// The reason code; empty where the outcome says it all.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Accepted | Self::Duplicate | Self::Ignored => "",
            Self::Conflict => "conflict",
            Self::Differing => "differing",
            Self::Malformed(error) => error.problem.as_str(),
            Self::Unreadable(unreadable) => unreadable.as_str(),
            Self::Rejected(refusal) => refusal.as_str(),
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why `open` went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The bytes make no sense.
    Unreadable(Unreadable),
    /// What must hold for every request does not.
    Refused(Refusal),
}

impl From<Unreadable> for Fault {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreadable(unreadable) => Self::Unreadable(unreadable),
            Fault::Refused(refusal) => Self::Rejected(refusal),
        }
    }
}

/// Why nothing could be told from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The body is not UTF-8.
    NotUtf8,
    /// The body is compressed; no vendor does that.
    ContentEncoding,
    /// The body is not JSON.
    NotJson,
    /// The body is neither JSON nor a form.
    NotForm,
    /// JSON, but the root is not what the vendor sends.
    WrongRoot,
    /// A JSON object names a key twice.
    DuplicateKey,
    /// The command is missing.
    CommandMissing,
    /// The command is there more than once.
    CommandRepeated,
    /// Query and body name different commands.
    CommandContradicting,
    /// The app's identity is there more than once.
    AppRepeated,
    /// More than `body_limit_bytes`.
    BodyTooLarge,
    /// The rest of the body did not come in time.
    BodyTimeout,
    /// The body broke off or was framed wrongly.
    BodyBroken,
    /// Not a POST.
    WrongMethod,
    /// A path below the vendor's that nothing is served at.
    UnknownPath,
}

impl Unreadable {
    /// The reason code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::ContentEncoding => "content_encoding",
            Self::NotJson => "not_json",
            Self::NotForm => "not_form",
            Self::WrongRoot => "wrong_root",
            Self::DuplicateKey => "duplicate_key",
            Self::CommandMissing => "command_missing",
            Self::CommandRepeated => "command_repeated",
            Self::CommandContradicting => "command_contradicting",
            Self::AppRepeated => "app_repeated",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyBroken => "body_broken",
            Self::WrongMethod => "wrong_method",
            Self::UnknownPath => "unknown_path",
        }
    }

    /// The status that every vendor's room gives it.
    pub fn status(self) -> u16 {
        match self {
            Self::BodyTooLarge => 413,
            Self::BodyTimeout => 408,
            Self::WrongMethod => 405,
            Self::UnknownPath => 404,
            Self::NotUtf8
            | Self::ContentEncoding
            | Self::NotJson
            | Self::NotForm
            | Self::WrongRoot
            | Self::DuplicateKey
            | Self::CommandMissing
            | Self::CommandRepeated
            | Self::CommandContradicting
            | Self::AppRepeated
            | Self::BodyBroken => 400,
        }
    }
}

/// Why a request counts as not authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It names no app, or one that is not configured.
    UnknownApp,
    /// The signature or a value that it covers is missing.
    SignatureMissing,
    /// The signature or a value that it covers is there more than once.
    SignatureRepeated,
    /// No secret of the app gives this signature.
    BadSignature,
    /// The signed time is not a plain number of seconds or milliseconds.
    BadTime,
    /// The signed time is too far from ours.
    Stale,
    /// The path token is missing or wrong.
    BadToken,
    /// The Basic credentials are missing or wrong.
    BadCredentials,
    /// The client's address is not on the allow-list.
    BadAddress,
    /// The client has tried too many wrong credentials.
    Throttled,
}

impl Refusal {
    /// The status for it, where the vendor's format gives `usual` to every other refusal.
    pub(super) fn status(self, usual: u16) -> u16 {
        match self {
            Self::Throttled => 429,
            Self::UnknownApp
            | Self::SignatureMissing
            | Self::SignatureRepeated
            | Self::BadSignature
            | Self::BadTime
            | Self::Stale
            | Self::BadToken
            | Self::BadCredentials
            | Self::BadAddress => usual,
        }
    }

    /// The reason code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownApp => "unknown_app",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureRepeated => "signature_repeated",
            Self::BadSignature => "bad_signature",
            Self::BadTime => "bad_time",
            Self::Stale => "stale",
            Self::BadToken => "bad_token",
            Self::BadCredentials => "bad_credentials",
            Self::BadAddress => "bad_address",
            Self::Throttled => "throttled",
        }
    }
}

/// Why an authentic read event cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// The field, in the vendor's spelling.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Not there, or empty where it must say something.
    Missing,
    /// There more than once.
    Repeated,
    /// Not the type it must have.
    WrongType,
    /// A number or time that does not fit.
    OutOfRange,
    /// A text that should hold JSON and does not.
    NotJson,
}

impl Problem {
    /// The reason code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "field_missing",
            Self::Repeated => "field_repeated",
            Self::WrongType => "field_wrong_type",
            Self::OutOfRange => "field_out_of_range",
            Self::NotJson => "field_not_json",
        }
    }

    /// The same, about a field.
    pub fn of(self, field: &'static str) -> DecodeError {
        DecodeError { field, problem: self }
    }
}

/// An answer in a vendor's dialect, free of any HTTP framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `application/json` or `text/plain`.
    pub content_type: &'static str,
    /// The body; short.
    pub body: std::borrow::Cow<'static, str>,
    /// Withhold it until this long after the request came in: for a vendor that tries again after a time-out but
    /// not after an error.
    pub not_before: Option<Duration>,
}

impl Answer {
    /// A JSON answer.
    pub fn json(status: u16, body: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { status, content_type: "application/json", body: body.into(), not_before: None }
    }

    /// A plain text answer.
    pub fn text(status: u16, body: &'static str) -> Self {
        Self { status, content_type: "text/plain", body: body.into(), not_before: None }
    }
}
