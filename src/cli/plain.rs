//! Texts of users for a terminal. Ids are whatever somebody chose, and a terminal obeys more than one would like: control characters
//! move its cursor, and marks of writing direction show a text in another order than it has.

/// The text with everything escaped that does more than show itself.
pub(super) fn plain(text: &str) -> String {
    escaped(text, |c| format!("\\u{{{:x}}}", u32::from(c)))
}

/// The same within JSON, which stays JSON: such characters stand only in strings, and all of them have four digits.
pub(super) fn plain_json(json: &str) -> String {
    escaped(json, |c| format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_active(c) { plain.push_str(&escape(c)) } else { plain.push(c) }
    }
    plain
}

fn is_active(c: char) -> bool {
    let direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line_end = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || direction || line_end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_text_reaches_a_terminal() {
        for active in [
            "\x1b[2J",
            "\r",
            "\u{9b}31m",
            "\u{7f}",
            "\u{202e}",
            "\u{2066}",
            "\u{200f}",
            "\u{61c}",
            "\u{2028}",
        ] {
            let text = format!("a{active}b");
            assert!(plain(&text).chars().all(|c| !is_active(c)), "{text:?}");
            let json = plain_json(&serde_json::to_string(&text).unwrap());
            assert!(json.chars().all(|c| !is_active(c)), "{text:?}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
        assert_eq!(plain("张三 @TGS#1 😀"), "张三 @TGS#1 😀");
    }
}
