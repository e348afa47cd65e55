//! What a form or a link says: names and values, each once. What is empty was not filled in.

use std::borrow::Cow;

/// The fields of a form's body or of a query.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn read(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text);
        let filled = pairs.filter(|(_, value)| !value.is_empty());
        Self(filled.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first value of a field; nothing if it was left empty.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A field that is a number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.field(name)?.parse().ok()
    }

    /// Those of these fields that were filled in, as a query for the API.
    pub(super) fn query(&self, names: &[&str]) -> String {
        let wanted = names.iter().filter_map(|name| Some((*name, self.field(name)?)));
        query(wanted)
    }
}

/// A query, escaped.
pub(super) fn query<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// One segment of a path, escaped.
pub(super) fn segment(text: &str) -> Cow<'_, str> {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).into()
}
