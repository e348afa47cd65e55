//! What of a request may be shown to people: OpenIM's secret is a segment of the path, and proxies like to repeat the
//! path in header fields of their own.

use std::borrow::Cow;

use super::PREFIX;

const OPENIM: &str = "openim/";
const MASKED: &str = "***";
/// A shorter segment is no token that anybody would use, but part of many words.
const SHORTEST: usize = 4;

/// Hides what may be a token in a path, and wherever else it is repeated.
pub struct Mask<'p> {
    path: &'p str,
    /// Segments that may be tokens, and may stand elsewhere, too.
    hidden: Vec<&'p str>,
}

impl<'p> Mask<'p> {
    /// The mask for whatever came with this path. Which tokens are in force does not matter: one that was mistyped is
    /// nobody's business either.
    pub fn of(path: &'p str) -> Self {
        let tail = path.strip_prefix(PREFIX).and_then(|route| route.strip_prefix(OPENIM));
        let segments = tail.into_iter().flat_map(|tail| tail.split('/'));
        let hidden = segments.filter(|segment| segment.len() >= SHORTEST && !is_command(segment)).collect();
        Self { path, hidden }
    }

    /// The path: `/webhooks/openim/***/callbackAfterSingleMsgReadCommand`.
    pub fn path(&self) -> String {
        self.text(self.path).into_owned()
    }

    /// A query, or the value of a header field.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut shown = masked(text);
        for segment in &self.hidden {
            if shown.contains(segment) {
                shown = Cow::Owned(shown.replace(segment, MASKED));
            }
        }
        shown
    }
}

/// A text in which no path of OpenIM's tells a token.
fn masked(text: &str) -> Cow<'_, str> {
    let route = format!("{PREFIX}{OPENIM}");
    let mut parts = text.split(&route);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    if shown.len() == text.len() {
        return Cow::Borrowed(text);
    }
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "?#\"',;".contains(c)).unwrap_or(part.len());
        let (tail, rest) = part.split_at_checked(end).unwrap_or((part, ""));
        let hide = |segment| if is_command(segment) || segment.is_empty() { segment } else { MASKED };
        shown.push_str(&route);
        shown.push_str(&tail.split('/').map(hide).collect::<Vec<_>>().join("/"));
        shown.push_str(rest);
    }
    Cow::Owned(shown)
}

/// Whether a segment is a name of OpenIM's own, as `callbackAfterSingleMsgReadCommand`.
fn is_command(segment: &str) -> bool {
    segment.starts_with("callback")
        && segment.ends_with("Command")
        && segment.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_openims_own_are_shown_of_its_paths() {
        let path = |path: &str| Mask::of(path).path();
        assert_eq!(path("/webhooks/openim/s3cret/callbackX"), "/webhooks/openim/***/***");
        assert_eq!(path("/webhooks/openim//s3cret"), "/webhooks/openim//***");
        let command = "callbackAfterSingleMsgReadCommand";
        assert_eq!(path(&format!("/webhooks/openim/{command}")), format!("/webhooks/openim/{command}"));
        assert_eq!(path("/webhooks/openim"), "/webhooks/openim");
        assert_eq!(path("/webhooks/rongcloud/relay"), "/webhooks/rongcloud/relay");
        let mask = Mask::of("/webhooks/openim/s3cret/x");
        assert_eq!(mask.text("/webhooks/openim/s3cret/y"), "/webhooks/openim/***/***");
        assert_eq!(mask.text("seen=s3cret"), "seen=***");
        assert_eq!(mask.text("nothing of it"), "nothing of it");
        let other =
            format!("GET https://a.example/webhooks/openim/0ther/{command}?a=b /webhooks/openim/third");
        let shown = format!("GET https://a.example/webhooks/openim/***/{command}?a=b /webhooks/openim/***");
        assert_eq!(mask.text(&other), shown);
    }
}
