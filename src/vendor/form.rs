//! `application/x-www-form-urlencoded`, in queries and bodies. Queries are read leniently, as servers do; a body
//! must be a form to the letter, because there it is the event.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::outcome::Unreadable;

/// The pairs of a query, percent-decoded, `+` as a space; what is not UTF-8 becomes U+FFFD and so fits nothing.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

/// A form body, in its own order.
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// What a form has under a name.
pub(super) enum Entry<'f> {
    /// Not there.
    Absent,
    /// There, once.
    Once(&'f str),
    /// There more than once.
    Repeated,
}

impl<'a> Form<'a> {
    /// Reads a body. Refused are a body without a single `=`, `%` without two digits behind it, raw control characters,
    /// and text that is not UTF-8 once decoded.
    pub(super) fn parse(body: &'a str) -> Result<Self, Unreadable> {
        let body = body.trim_end_matches(['\r', '\n']);
        if !body.contains('=') || body.bytes().any(|byte| byte.is_ascii_control()) || !escapes_are_whole(body)
        {
            return Err(Unreadable::NotForm);
        }
        let pairs = body.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// The one value of a name.
    pub(super) fn entry(&self, name: &str) -> Entry<'_> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (None, _) => Entry::Absent,
            (Some((_, value)), None) => Entry::Once(value),
            (Some(_), Some(_)) => Entry::Repeated,
        }
    }

    /// Every value of a name, in order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Whether the name is there at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

fn escapes_are_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn decode(text: &str) -> Result<Cow<'_, str>, Unreadable> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8().map_err(|_| Unreadable::NotUtf8);
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| Unreadable::NotUtf8)?;
    Ok(Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plus_is_a_space_and_an_escaped_plus_is_a_plus() {
        let form = Form::parse("a=x+y%2Bz%3D&b=1&b=2\n").unwrap();
        assert!(matches!(form.entry("a"), Entry::Once("x y+z=")));
        assert!(matches!(form.entry("b"), Entry::Repeated));
        assert!(matches!(form.entry("c"), Entry::Absent));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for bad in ["", "hello", "hello&you", "a=%", "a=%4", "a=%zz", "a=\u{1}"] {
            assert_eq!(Form::parse(bad).err(), Some(Unreadable::NotForm), "{bad}");
        }
        assert_eq!(Form::parse("a=%ff").err(), Some(Unreadable::NotUtf8));
    }
}
