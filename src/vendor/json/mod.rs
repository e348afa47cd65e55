//! Strict JSON, borrowed from the body: a key that is read and named twice is an error at any depth, for two readers of such
//! a body could both be right. What nobody reads is skipped, with whatever is in it. Integers stay 64-bit exact; what is not an integer is kept as no more than that fact.
//!
//! Users put anything into their messages: half a surrogate pair, `1e400`, two hundred brackets. That is JSON all the
//! same, and a callback that carries it must not fail for it; such a value is there, but it is nothing that one can
//! read ([`Json::Odd`]).

mod read;

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;

use serde_json::Number as Integer;

/// Any JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction or exponent that fits 64 bits, signed or unsigned.
    Integer(Integer),
    /// Any other number, roughly: with a fraction, an exponent, or beyond 64 bits.
    Number(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object.
    Object(Object<'a>),
    /// Something that is JSON and yet no value for us: text that is not Unicode, or nesting beyond all use.
    Odd,
}

/// Which parts of a body are read. The others count as null.
#[derive(Debug)]
pub enum Keep {
    /// Everything.
    All,
    /// Of an object these fields, of a list the same of each entry; of anything else the whole.
    Fields(&'static [(&'static str, Keep)]),
}

impl Keep {
    /// What of a field is kept, if anything.
    fn of(&self, name: &str) -> Option<&Self> {
        match self {
            Self::All => Some(&Self::All),
            Self::Fields(fields) => fields.iter().find(|(field, _)| *field == name).map(|(_, keep)| keep),
        }
    }
}

/// A JSON object, in its own order; no key that is kept stands twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object<'a, V = Json<'a>>(Vec<(Cow<'a, str>, V)>);

/// Why a text is not usable JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// It is not JSON.
    Syntax,
    /// It is JSON, but an object names a key twice.
    DuplicateKey,
}

impl JsonError {
    fn of(error: &serde_json::Error) -> Self {
        match error.classify() {
            Category::Data if error.to_string().starts_with(DUPLICATE) => Self::DuplicateKey,
            Category::Data | Category::Syntax | Category::Eof | Category::Io => Self::Syntax,
        }
    }
}

/// What is said of a key that stands twice; recognised again in [`Json::parse`].
const DUPLICATE: &str = "duplicate key";

/// How many levels down an odd value is looked for; the vendors' own fields lie within. Each level reads the text once
/// more.
const ODD_WITHIN: u8 = 6;

impl<'a> Json<'a> {
    /// Reads one JSON value that takes up the whole text.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        Self::parse_parts(text, &Keep::All)
    }

    /// The same of a value of which only parts are read.
    pub fn parse_parts(text: &'a str, keep: &Keep) -> Result<Self, JsonError> {
        match Self::parse_plain(text, keep) {
            Err(JsonError::Syntax) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                Self::parse_around_odd_values(text, keep, ODD_WITHIN)
            }
            result => result,
        }
    }

    fn parse_plain(text: &'a str, keep: &Keep) -> Result<Self, JsonError> {
        read::value(text, keep).map_err(|error| JsonError::of(&error))
    }

    /// Takes a text that is JSON apart, level by level, until the odd value stands alone.
    fn parse_around_odd_values(text: &'a str, keep: &Keep, levels: u8) -> Result<Self, JsonError> {
        let plain = Self::parse_plain(text, keep);
        if plain != Err(JsonError::Syntax) {
            return plain;
        }
        let within = |raw: &'a RawValue, keep: &Keep| {
            Self::parse_around_odd_values(raw.get(), keep, levels.saturating_sub(1))
        };
        match text.trim_start().as_bytes().first() {
            Some(b'{') if levels > 0 => {
                match read::raw_fields(text, keep) {
                    Ok(Object(fields)) => {
                        let fields = fields.into_iter().map(|(key, raw)| {
                            let value = keep.of(&key).map_or(Ok(Self::Null), |keep| within(raw, keep))?;
                            Ok((key, value))
                        });
                        fields.collect::<Result<_, _>>().map(|fields| Self::Object(Object(fields)))
                    }
                    Err(error) if JsonError::of(&error) == JsonError::DuplicateKey => {
                        Err(JsonError::DuplicateKey)
                    }
                    // A key that is not Unicode.
                    Err(_) => Ok(Self::Odd),
                }
            }
            Some(b'[') if levels > 0 => {
                let Ok(items) = serde_json::from_str::<Vec<&'a RawValue>>(text) else {
                    return Ok(Self::Odd);
                };
                let items = items.into_iter().map(|raw| within(raw, keep));
                items.collect::<Result<_, _>>().map(Self::List)
            }
            // A number that not even a float can hold.
            Some(b'-' | b'0'..=b'9') => Ok(Self::Number(f64::INFINITY)),
            _ => Ok(Self::Odd),
        }
    }

    /// The text, when it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Number(_)
            | Self::List(_)
            | Self::Object(_)
            | Self::Odd => None,
        }
    }

    /// The same, borrowed from the body wherever it has no escapes.
    pub fn to_text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Number(_)
            | Self::List(_)
            | Self::Object(_)
            | Self::Odd => None,
        }
    }

    /// The object, when it is one.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Number(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Odd => None,
        }
    }
}

impl<'a> Object<'a> {
    /// The value of a key; null counts as absent, as it does for the vendors.
    pub fn find(&self, key: &str) -> Option<&Json<'a>> {
        self.0.iter().find_map(|(name, value)| (name == key && !matches!(value, Json::Null)).then_some(value))
    }

    /// Every key and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_named_twice_is_found_at_any_depth_and_in_any_spelling() {
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":[{"y":{"a":1,"b":2,"\u0061":3}}]}"#,
            &format!("{{{},\"k7\":0}}", (0..60).map(|n| format!("\"k{n}\":0")).collect::<Vec<_>>().join(",")),
        ] {
            assert_eq!(Json::parse(twice), Err(JsonError::DuplicateKey), "{twice}");
        }
        assert!(Json::parse(r#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
    }

    #[test]
    fn what_nobody_reads_may_hold_a_key_twice() {
        const KEEP: Keep = Keep::Fields(&[("a", Keep::All), ("p", Keep::Fields(&[("m", Keep::All)]))]);
        for fine in [
            r#"{"a":1,"x":1,"x":2}"#,
            r#"{"a":1,"x":{"y":1,"y":2},"p":{"ext":{"a":1,"a":2},"ext":3,"m":1}}"#,
            r#"[{"a":1,"x":[{"a":1,"a":1}]},{"a":1}]"#,
            r#"{"a":1,"x":{"y":"half \ud83d","y":2}}"#,
            r#"{"a":"half \ud83d","x":{"y":1,"y":2},"p":{"ext":{"a":1,"a":2}}}"#,
        ] {
            assert!(Json::parse_parts(fine, &KEEP).is_ok(), "{fine}");
            assert_eq!(Json::parse(fine), Err(JsonError::DuplicateKey), "{fine}");
        }
        for twice in [
            r#"{"a":1,"x":1,"\u0061":2}"#,
            r#"{"p":{"m":1,"ext":{},"m":1}}"#,
            r#"[{"p":[{"m":1,"m":2}]}]"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":"half \ud83d","p":{"m":1,"m":2}}"#,
        ] {
            assert_eq!(Json::parse_parts(twice, &KEEP), Err(JsonError::DuplicateKey), "{twice}");
        }
        assert_eq!(Json::parse_parts("{\"x\":[1,]}", &KEEP), Err(JsonError::Syntax));
        let json = Json::parse_parts(r#"{"x":1,"p":{"ext":2,"m":3}}"#, &KEEP).unwrap();
        let object = json.as_object().unwrap();
        let within = object.find("p").and_then(Json::as_object).unwrap();
        assert_eq!((object.find("x"), within.find("ext")), (None, None));
        assert_eq!(within.find("m"), Some(&Json::Integer(3_u64.into())));
    }

    #[test]
    fn integers_are_exact_to_64_bits_and_no_further() {
        for (text, value) in [
            ("18446744073709551615", Json::Integer(u64::MAX.into())),
            ("-9223372036854775808", Json::Integer(i64::MIN.into())),
            ("18446744073709551616", Json::Number(18446744073709551616.0)),
            ("1.0", Json::Number(1.0)),
            ("1e3", Json::Number(1000.0)),
        ] {
            assert_eq!(Json::parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_said_to_be_none() {
        for text in ["", "{", "nul", "{}x", "[1,]", "{\"a\"}", "\"\\ud83\"", "1e", "[1e999", &"[".repeat(200)]
        {
            assert_eq!(Json::parse(text), Err(JsonError::Syntax), "{text}");
        }
    }

    #[test]
    fn odd_values_do_not_spoil_what_stands_beside_them() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for (odd, is) in [
            (r#""half \ud83d""#, Json::Odd),
            ("1e400", Json::Number(f64::INFINITY)),
            (&*"9".repeat(400), Json::Number(f64::INFINITY)),
            (r#"{"half \ud83d":1}"#, Json::Odd),
        ] {
            let text = format!(r#"{{"a":{{"x":[{odd}],"y":2}},"b":1}}"#);
            let json = Json::parse(&text).unwrap();
            let inner = json.as_object().and_then(|o| o.find("a")).and_then(Json::as_object).unwrap();
            assert_eq!(
                (inner.find("x"), inner.find("y")),
                (Some(&Json::List(vec![is])), Some(&Json::Integer(2_u64.into())))
            );
        }
        let text = format!(r#"{{"a":{deep},"b":1}}"#);
        let json = Json::parse(&text).unwrap();
        assert_eq!(json.as_object().and_then(|o| o.find("b")), Some(&Json::Integer(1_u64.into())));
        for twice in [r#"{"a":"\ud83d","b":{"c":1,"c":2}}"#, r#"{"a":{"c":"\ud83d","c":2}}"#] {
            assert_eq!(Json::parse(twice), Err(JsonError::DuplicateKey));
        }
    }
}
