//! In which language to speak: what was chosen now (`?lang=`), what was chosen before (a cookie), what the browser asks
//! for, English.

use axum::http::{HeaderMap, header};

use super::words::{EN, Words, ZH};
use crate::admin::cookies;

const COOKIE: &str = "readhook_lang";

/// A language that every page speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

impl Language {
    pub(super) const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// As in `?lang=` and in the cookie.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// As in `<html lang>`.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-Hans",
        }
    }

    /// What its speakers call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }

    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::English => &EN,
            Self::Chinese => &ZH,
        }
    }

    /// The one of two texts that is in this language.
    pub(super) fn of<T>(self, english: T, chinese: T) -> T {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    /// The cookie that keeps a choice for a year.
    pub(super) fn cookie(self) -> String {
        format!("{COOKIE}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict", self.code())
    }

    fn named(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// What was chosen with this very request.
    pub(super) fn chosen(query: &str) -> Option<Self> {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(name, value)| (name == "lang").then(|| Self::named(&value))?)
    }

    /// What fits a request that chooses nothing.
    pub(super) fn of_request(headers: &HeaderMap) -> Self {
        let kept = cookies(headers, COOKIE).find_map(Self::named);
        kept.or_else(|| asked_for(headers)).unwrap_or(Self::English)
    }
}

/// What `Accept-Language` likes best of what there is. Of two that it likes the same, the first.
fn asked_for(headers: &HeaderMap) -> Option<Language> {
    let fields = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|field| field.to_str().ok());
    let mut best: Option<(f32, Language)> = None;
    for range in fields.flat_map(|field| field.split(',')) {
        let (tag, quality) = range.split_once(";q=").unwrap_or((range, "1"));
        let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
        let quality = quality.trim().parse::<f32>().unwrap_or(0.0);
        let Some(language) = Language::named(&primary) else { continue };
        if quality > best.map_or(0.0, |(best, _)| best) {
            best = Some((quality, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_wins_over_the_cookie_and_the_cookie_over_the_browser() {
        let request = |accepts: &str, cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, accepts.parse().unwrap());
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            Language::of_request(&headers).code()
        };
        assert_eq!(request("de", ""), "en");
        assert_eq!(request("zh-TW,zh;q=0.9,en;q=0.8", ""), "zh");
        assert_eq!(request("en;q=0.3, zh-CN;q=0.7", "other=zh"), "zh");
        assert_eq!(request("zh", "a=b; readhook_lang=en"), "en");
        assert_eq!(request("zh;q=0", "readhook_lang=klingon"), "en");
        assert_eq!(Language::chosen("a=b&lang=zh"), Some(Language::Chinese));
        assert_eq!(Language::chosen("lang=xx"), None);
    }
}
