//! The `extra` object of a receipt: vendor facts that have no field of their own. Order is the order of adding.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

/// Named facts: strings and integers only. A handful at most, so a list beats a map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extra<'a>(Facts<'a>);

type Facts<'a> = SmallVec<[(Cow<'static, str>, Fact<'a>); 2]>;

/// The value of one fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact<'a> {
    /// 64-bit, exact.
    Integer(i64),
    /// As the vendor wrote it.
    Text(Cow<'a, str>),
}

/// A longer fact is none that anybody sends; and every receipt of a callback would repeat it.
const LONGEST: usize = 1_024;

impl<'a> Extra<'a> {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text when the vendor gave a non-empty one of a bearable length.
    pub fn text(&mut self, name: &'static str, value: Option<Cow<'a, str>>) {
        if let Some(value) = value.filter(|value| (1..=LONGEST).contains(&value.len())) {
            self.0.push((Cow::Borrowed(name), Fact::Text(value)));
        }
    }

    /// Adds an integer when the vendor gave one.
    pub fn integer(&mut self, name: &'static str, value: Option<i64>) {
        if let Some(value) = value {
            self.0.push((Cow::Borrowed(name), Fact::Integer(value)));
        }
    }

    /// Every fact, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Fact<'a>)> {
        self.0.iter().map(|(name, fact)| (&**name, fact))
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Extra<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, fact)| (name, fact)))
    }
}

impl<'de, 'a> Deserialize<'de> for Extra<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named<'a>(PhantomData<&'a ()>);
        impl<'de, 'a> Visitor<'de> for Named<'a> {
            type Value = Facts<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings and integers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut facts = Facts::new();
                while let Some((name, fact)) = map.next_entry::<String, Fact<'a>>()? {
                    facts.push((Cow::Owned(name), fact));
                }
                Ok(facts)
            }
        }
        deserializer.deserialize_map(Named(PhantomData)).map(Self)
    }
}

impl JsonSchema for Extra<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Extra".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "integer"] } })
    }
}
