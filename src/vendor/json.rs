//! Strict JSON, borrowed from the body: a key named twice is an error at any depth, for two readers of such a body
//! could both be right. Integers stay 64-bit exact; what is not an integer is kept as no more than that fact.
//!
//! Users put anything into their messages: half a surrogate pair, `1e400`, two hundred brackets. That is JSON all the
//! same, and a callback that carries it must not fail for it; such a value is there, but it is nothing that one can
//! read ([`Json::Odd`]).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
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

/// A JSON object, in its own order; no key stands twice.
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

/// What the visitor says of a key that stands twice; recognised again in [`Json::parse`].
const DUPLICATE: &str = "duplicate key";

/// Up to this many keys are compared one by one; beyond it a set is built, so that a hostile object of a hundred
/// thousand keys costs no more than its length.
const COMPARED_ONE_BY_ONE: usize = 24;

/// How many fields an object has room for at once: as many as a callback has at its top, and as its parts have.
const FIELDS: usize = 16;
const FIELDS_WITHIN: usize = 4;

/// How many levels down an odd value is looked for; the vendors' own fields lie within. Each level reads the text once
/// more.
const ODD_WITHIN: u8 = 6;

impl<'a> Json<'a> {
    /// Reads one JSON value that takes up the whole text.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        match Self::parse_plain(text) {
            Err(JsonError::Syntax) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                Self::parse_around_odd_values(text, ODD_WITHIN)
            }
            result => result,
        }
    }

    fn parse_plain(text: &'a str) -> Result<Self, JsonError> {
        serde_json::from_str(text).map_err(|error| JsonError::of(&error))
    }

    /// Takes a text that is JSON apart, level by level, until the odd value stands alone.
    fn parse_around_odd_values(text: &'a str, levels: u8) -> Result<Self, JsonError> {
        let plain = Self::parse_plain(text);
        if plain != Err(JsonError::Syntax) {
            return plain;
        }
        let within = |raw: &'a RawValue| Self::parse_around_odd_values(raw.get(), levels.saturating_sub(1));
        match text.trim_start().as_bytes().first() {
            Some(b'{') if levels > 0 => {
                match serde_json::from_str::<Object<'a, &'a RawValue>>(text) {
                    Ok(Object(fields)) => {
                        let fields = fields.into_iter().map(|(key, raw)| Ok((key, within(raw)?)));
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
                items.into_iter().map(within).collect::<Result<_, _>>().map(Self::List)
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

/// The fields of an object as they come, and the watch for keys that stand twice.
struct Fields<'a, V> {
    fields: Vec<(Cow<'a, str>, V)>,
    room: usize,
    /// A bit for each key so far, by a glance at it: a key whose bit is not set is new for certain.
    glances: u64,
    seen: HashSet<String>,
}

impl<'a, V> Fields<'a, V> {
    fn with_room(room: usize) -> Self {
        Self { fields: Vec::new(), room, glances: 0, seen: HashSet::new() }
    }

    /// Whether the key has been there.
    fn repeats(&mut self, key: &str) -> bool {
        let last = key.as_bytes().last().copied().unwrap_or_default();
        let glance = 1 << ((key.len() + usize::from(last)) % 64);
        let maybe = self.glances & glance != 0;
        self.glances |= glance;
        if self.fields.len() <= COMPARED_ONE_BY_ONE {
            return maybe && self.fields.iter().any(|(name, _)| name == key);
        }
        if self.seen.is_empty() {
            self.seen.extend(self.fields.iter().map(|(name, _)| name.to_string()));
        }
        !self.seen.insert(key.to_owned())
    }

    /// Reads an object; `read` reads each value into its place, which holds `empty` before.
    fn read<'de: 'a, A: MapAccess<'de>>(
        mut self,
        mut map: A,
        empty: impl Fn() -> V,
        read: impl Fn(&mut A, &mut V) -> Result<(), A::Error>,
    ) -> Result<Object<'a, V>, A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            if self.repeats(&key) {
                return Err(A::Error::custom(DUPLICATE));
            }
            if self.fields.is_empty() {
                self.fields.reserve_exact(self.room);
            }
            self.fields.push((key, empty()));
            if let Some((_, place)) = self.fields.last_mut() {
                read(&mut map, place)?;
            }
        }
        Ok(Object(self.fields))
    }
}

/// A key, which borrows when it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Text<'a> {
            type Value = Key<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Json::Null;
        Place { room: FIELDS, value: &mut value }.deserialize(deserializer)?;
        Ok(value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a, &'a RawValue> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Raw<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Raw<'a> {
            type Value = Object<'a, &'a RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let read = |map: &mut A, place: &mut _| map.next_value().map(|raw| *place = raw);
                Fields::with_room(FIELDS_WITHIN).read(map, || RawValue::NULL, read)
            }
        }
        deserializer.deserialize_map(Raw(PhantomData))
    }
}

/// Where a value goes. It is made there: handed up through the results of every level it would be copied at each, which
/// was a twentieth of what a callback costs before the journal.
struct Place<'p, 'a> {
    /// How many fields an object has room for here.
    room: usize,
    value: &'p mut Json<'a>,
}

impl<'de: 'a, 'a> DeserializeSeed<'de> for Place<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Place<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        *self.value = Json::Null;
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        *self.value = Json::Bool(value);
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        *self.value = Json::Integer(value.into());
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        *self.value = Json::Integer(value.into());
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        *self.value = Json::Number(value);
        Ok(())
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<(), E> {
        *self.value = Json::Text(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        *self.value = Json::Text(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut list = Vec::new();
        loop {
            let mut value = Json::Null;
            let place = Place { room: FIELDS_WITHIN, value: &mut value };
            if seq.next_element_seed(place)?.is_none() {
                break;
            }
            list.push(value);
        }
        *self.value = Json::List(list);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let read = |map: &mut A, value: &mut _| map.next_value_seed(Place { room: FIELDS_WITHIN, value });
        *self.value = Json::Object(Fields::with_room(self.room).read(map, || Json::Null, read)?);
        Ok(())
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
