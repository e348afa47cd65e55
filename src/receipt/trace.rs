//! The trace that a receipt belongs to, where somebody follows one: `traceparent` of W3C Trace Context,
//! <https://www.w3.org/TR/trace-context/#traceparent-header>. It travels beside the receipt and is no part of its JSON.

use std::sync::Arc;

/// A `traceparent` of version 00, valid to the letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext(Arc<str>);

impl TraceContext {
    /// What a header says; `None` where the specification tells to go on as if there were none. What a later version may
    /// have added is left away.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let [version, trace_id, span_id, flags] = [(); 4].map(|()| parts.next().unwrap_or_default());
        let more = parts.next();
        let lengths = [version, trace_id, span_id, flags].map(str::len);
        let digits = |part: &str| part.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let zero = |part: &str| part.bytes().all(|digit| digit == b'0');
        if lengths != [2, 32, 16, 2]
            || ![version, trace_id, span_id, flags].into_iter().all(digits)
            || version == "ff"
            || (version == "00" && more.is_some())
            || zero(trace_id)
            || zero(span_id)
        {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
        Some(Self(format!("00-{trace_id}-{span_id}-{sampled:02x}").into()))
    }

    /// As it stands in a header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn parse(text: &str) -> Option<String> {
        TraceContext::parse(text).map(|context| context.as_str().to_owned())
    }

    #[test]
    fn it_takes_what_the_specification_takes() {
        let whole = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(parse(&whole), Some(whole.clone()));
        assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-00")), Some(format!("00-{TRACE}-{SPAN}-00")));
        assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-fe")), Some(format!("00-{TRACE}-{SPAN}-00")));
        assert_eq!(parse(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings")), Some(whole.clone()));
        assert_eq!(parse(&format!("cc-{TRACE}-{SPAN}-01")), Some(whole));
    }

    #[test]
    fn it_takes_nothing_else() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            "00".to_owned(),
            TRACE.to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01more"),
            format!("0g-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-{SPAN}-0\u{e9}"),
            format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(parse(&text), None, "{text:?}");
        }
    }
}
