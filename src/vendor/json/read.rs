//! How a value is read: each in its place, and never a key twice.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use super::{DUPLICATE, Json, Keep, Object};

/// Up to this many keys are compared one by one; beyond it a set is built, so that a hostile object of a hundred
/// thousand keys costs no more than its length.
const COMPARED_ONE_BY_ONE: usize = 24;

/// How many fields an object has room for at once: as many as a callback has at its top, and as its parts have.
const FIELDS: usize = 16;
const FIELDS_WITHIN: usize = 4;

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

    /// Reads an object; `read` reads each value of which something is kept into its place, which holds `empty` before. Of the
    /// others the name stays, and no matter how often it comes.
    fn read<'de: 'a, A: MapAccess<'de>>(
        mut self,
        mut map: A,
        keep: &Keep,
        empty: impl Fn() -> V,
        read: impl Fn(&mut A, &Keep, &mut V) -> Result<(), A::Error>,
    ) -> Result<Object<'a, V>, A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            let within = keep.of(&key);
            if within.is_some() && self.repeats(&key) {
                return Err(A::Error::custom(DUPLICATE));
            }
            if self.fields.is_empty() {
                self.fields.reserve_exact(self.room);
            }
            self.fields.push((key, empty()));
            match (within, self.fields.last_mut()) {
                (Some(within), Some((_, place))) => read(&mut map, within, place)?,
                (Some(_) | None, _) => {
                    map.next_value::<IgnoredAny>()?;
                }
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

/// Reads a value that takes up the whole text, as far as it is kept.
pub(super) fn value<'a>(text: &'a str, keep: &Keep) -> serde_json::Result<Json<'a>> {
    let mut value = Json::Null;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Place { room: FIELDS, keep, value: &mut value }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Reads the fields of an object that takes up the whole text, as far as they are kept, and their values not at all.
pub(super) fn raw_fields<'a>(text: &'a str, keep: &Keep) -> serde_json::Result<Object<'a, &'a RawValue>> {
    struct Raw<'k>(&'k Keep);
    impl<'de> Visitor<'de> for Raw<'_> {
        type Value = Object<'de, &'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            let read = |map: &mut A, _: &Keep, place: &mut _| map.next_value().map(|raw| *place = raw);
            Fields::with_room(FIELDS_WITHIN).read(map, self.0, || RawValue::NULL, read)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer.deserialize_map(Raw(keep))?;
    deserializer.end()?;
    Ok(fields)
}

/// Where a value goes. It is made there: handed up through the results of every level it would be copied at each, which
/// was a twentieth of what a callback costs before the journal.
struct Place<'p, 'a> {
    /// How many fields an object has room for here.
    room: usize,
    keep: &'p Keep,
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
            let place = Place { room: FIELDS_WITHIN, keep: self.keep, value: &mut value };
            if seq.next_element_seed(place)?.is_none() {
                break;
            }
            list.push(value);
        }
        *self.value = Json::List(list);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let read = |map: &mut A, keep: &Keep, value: &mut _| {
            map.next_value_seed(Place { room: FIELDS_WITHIN, keep, value })
        };
        *self.value = Json::Object(Fields::with_room(self.room).read(map, self.keep, || Json::Null, read)?);
        Ok(())
    }
}
