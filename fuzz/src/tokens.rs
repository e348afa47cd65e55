//! Where the tokens of a JSON text end, and where its values stand; nothing about whether it is JSON.

use std::ops::Range;

/// The length of the token that a text begins with; 1 for whatever is none.
pub(crate) fn length(text: &[u8]) -> usize {
    let run = |part: fn(&u8) -> bool| text.iter().position(|byte| !part(byte)).unwrap_or(text.len());
    match text.first() {
        Some(b'"') => string(text),
        Some(b'-' | b'0'..=b'9') => {
            run(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'))
        }
        Some(b'a'..=b'z') => run(u8::is_ascii_lowercase),
        _ => 1,
    }
}

fn string(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    text.len()
}

/// A value, and the key that it stands under.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    /// The key, in an object.
    pub(crate) key: Option<Range<usize>>,
    /// The value.
    pub(crate) value: Range<usize>,
    /// Whether it stands in a list.
    pub(crate) in_list: bool,
}

/// Every value of a JSON text, at any depth; inner ones before those that hold them.
pub(crate) fn members(json: &[u8]) -> Vec<Member> {
    let mut members = Vec::new();
    let mut open: Vec<(usize, bool, Option<Range<usize>>)> = Vec::new();
    let mut key = None;
    let mut at = 0;
    while let Some(&first) = json.get(at) {
        let token = at..at + length(&json[at..]);
        at = token.end;
        let in_list = open.last().is_some_and(|(_, is_list, _)| *is_list);
        match first {
            b'{' | b'[' => open.push((token.start, first == b'[', key.take())),
            b'}' | b']' => {
                if let Some((start, _, key)) = open.pop() {
                    let in_list = open.last().is_some_and(|(_, is_list, _)| *is_list);
                    members.push(Member { key, value: start..token.end, in_list });
                }
            }
            b'"' if key.is_none() && json[at..].trim_ascii_start().starts_with(b":") => key = Some(token),
            b'"' | b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                members.push(Member { key: key.take(), value: token, in_list });
            }
            _ => {}
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_with_their_keys() {
        let json = br#"{"a\"":[1, "x"],"b":{"c" :null}}"#;
        let found = members(json).into_iter().map(|Member { key, value, in_list }| {
            let text = |range: Range<usize>| String::from_utf8_lossy(&json[range]).into_owned();
            (key.map(text).unwrap_or_default(), text(value), in_list)
        });
        let found: Vec<_> = found.collect();
        let member = |key: &str, value: &str, in_list| (key.to_owned(), value.to_owned(), in_list);
        assert_eq!(
            found,
            [
                member("", "1", true),
                member("", r#""x""#, true),
                member(r#""a\"""#, r#"[1, "x"]"#, false),
                member(r#""c""#, "null", false),
                member(r#""b""#, r#"{"c" :null}"#, false),
                member("", r#"{"a\"":[1, "x"],"b":{"c" :null}}"#, false),
            ]
        );
    }
}
