//! The frame around every page, and what a page knows of who asks for it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::form::query;
use super::language::Language;
use super::words::Words;
use crate::admin::{Admin, Problem};

/// A tick on a green ground.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' \
                    height='32' rx='7' fill='%230f766e'/%3E%3Cpath d='M4 17l5 5 9-11M14 21l2 2 10-12' fill='none' \
                    stroke='%23fff' stroke-width='3'/%3E%3C/svg%3E";

/// Where in the console a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Live,
    Receipts,
    Sinks,
    Quarantine,
    Doctor,
    Login,
}

impl Room {
    /// Its first page.
    fn place(self) -> &'static str {
        match self {
            Self::Live | Self::Login => "/",
            Self::Receipts => "/receipts",
            Self::Sinks => "/sinks",
            Self::Quarantine => "/quarantine",
            Self::Doctor => "/doctor",
        }
    }
}

/// A request for a page.
pub(super) struct Visit {
    pub(super) language: Language,
    /// Chosen with this request, to be remembered.
    chosen: Option<Language>,
    method: Method,
    uri: Uri,
    /// Whether there is a session that can be ended.
    can_leave: bool,
}

impl FromRequestParts<Admin> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Infallible> {
        let chosen = Language::chosen(parts.uri.query().unwrap_or_default());
        let language = chosen.unwrap_or_else(|| Language::of_request(&parts.headers));
        let can_leave = admin.guard.wants_token() && admin.guard.admits(&parts.headers);
        Ok(Self { language, chosen, method: parts.method.clone(), uri: parts.uri.clone(), can_leave })
    }
}

impl Visit {
    pub(super) fn words(&self) -> &'static Words {
        self.language.words()
    }

    /// The raw query.
    pub(super) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// The way back to this page.
    pub(super) fn here(&self) -> String {
        self.uri.path_and_query().map_or("/", |place| place.as_str()).to_owned()
    }

    /// This page in another language; what a form has made cannot be asked for again, so then its room.
    fn in_language(&self, language: Language, room: Room) -> String {
        if self.method != Method::GET {
            return format!("{}?lang={}", room.place(), language.code());
        }
        let pairs = form_urlencoded::parse(self.query().as_bytes());
        let pairs = pairs.filter(|(name, _)| name != "lang").chain([("lang".into(), language.code().into())]);
        format!("{}?{}", self.uri.path(), query(pairs))
    }

    /// A page, or what went wrong with it.
    pub(super) fn page(&self, room: Room, title: &str, content: Result<Markup, Problem>) -> Response {
        let words = self.words();
        let (status, content) = match content {
            Ok(content) => (StatusCode::OK, content),
            Err(Problem { status, detail }) => {
                let said = html! {
                    div.banner.bad role="alert" {
                        p { strong { (words.failed) } " " (status.as_u16()) }
                        p lang="en" { (detail) }
                    }
                };
                (status, said)
            }
        };
        let mut response = (status, Html(self.frame(room, title, &content).into_string())).into_response();
        let cookie = self.chosen.and_then(|language| HeaderValue::from_str(&language.cookie()).ok());
        if let Some(cookie) = cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    fn frame(&self, room: Room, title: &str, content: &Markup) -> Markup {
        let words = self.words();
        let rooms = [
            (Room::Live, words.live),
            (Room::Receipts, words.receipts),
            (Room::Sinks, words.sinks),
            (Room::Quarantine, words.quarantine),
            (Room::Doctor, words.doctor_short),
        ];
        html! {
            (DOCTYPE)
            html lang=(self.language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · readhook" }
                    link rel="icon" href=(ICON);
                    link rel="stylesheet" href=(assets::style().path);
                    script src=(assets::script().path) defer {}
                }
                body {
                    a.skip href="#content" { (words.skip) }
                    header {
                        a.name href="/" { "readhook" }
                        @if room != Room::Login {
                            nav aria-label=(words.rooms) {
                                @for (other, name) in rooms {
                                    a href=(other.place()) aria-current=[(other == room).then_some("page")] { (name) }
                                }
                            }
                        }
                        div.corner {
                            @for language in Language::ALL.into_iter().filter(|other| *other != self.language) {
                                a href=(self.in_language(language, room)) lang=(language.tag()) hreflang=(language.tag()) {
                                    (language.name())
                                }
                            }
                            @if self.can_leave {
                                form method="post" action="/logout" { button.plain { (words.leave) } }
                            }
                        }
                    }
                    main #content tabindex="-1" {
                        h1 { (title) }
                        (content)
                    }
                    footer { "readhook " (env!("CARGO_PKG_VERSION")) }
                }
            }
        }
    }
}
