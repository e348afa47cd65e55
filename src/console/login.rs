//! The token, asked for once: a page with one field, and then a session in a cookie.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use maud::{Markup, html};
use percent_encoding::percent_decode_str;

use super::form::Form;
use super::page::{Room, Visit};
use super::see;
use crate::admin::{Admin, Denied, Peer, deny, peer};

/// Lets nobody into a room whom the guard does not admit; a browser is asked for the token instead.
pub(super) async fn required(
    State(admin): State<Admin>,
    visit: Visit,
    request: Request,
    next: Next,
) -> Response {
    match admin.guard.admit(peer(&request), request.headers()) {
        Ok(()) => return next.run(request).await,
        Err(Denied::Token) => {}
        Err(denied @ Denied::Throttled) => return deny(denied),
    }
    let page = request.headers().get(header::ACCEPT).and_then(|accepts| accepts.to_str().ok());
    let mut response = if page.is_some_and(|accepts| accepts.contains("text/html")) {
        // After a form that nobody may send again unseen, the first page will do.
        let back = if request.method() == Method::GET { visit.here() } else { "/".to_owned() };
        ask(&visit, &back, false)
    } else {
        return deny(Denied::Token);
    };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

pub(super) async fn enter(
    State(admin): State<Admin>,
    Extension(peer): Extension<Peer>,
    visit: Visit,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::read(&body);
    let back = form.field("back").filter(|back| is_ours(back)).unwrap_or("/");
    if !admin.guard.wants_token() {
        return see(back);
    }
    match admin.guard.begin(form.field("token").unwrap_or_default(), peer, &headers) {
        Ok(cookie) => with_cookie(see(back), &cookie),
        Err(Denied::Token) => {
            let client = admin.guard.client(peer, &headers);
            tracing::warn!(%client, "somebody gave the console a wrong token");
            ask(&visit, back, true)
        }
        Err(denied @ Denied::Throttled) => deny(denied),
    }
}

pub(super) async fn leave(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    with_cookie(see("/"), &admin.guard.end(&headers))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// A path on this listener, and nothing that a browser or a proxy could take for another host: browsers drop tabs and line ends
/// and read `\\` as `/`, and a proxy may decode what is encoded.
fn is_ours(place: &str) -> bool {
    let mut path = place.split(['?', '#']).next().unwrap_or_default().to_owned();
    loop {
        let plain = path.starts_with('/') && !path.contains("//") && !path.contains('\\');
        if !plain || path.chars().any(char::is_control) {
            return false;
        }
        let Ok(decoded) = percent_decode_str(&path).decode_utf8() else { return false };
        if decoded == path {
            break;
        }
        path = decoded.into_owned();
    }
    !place.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\')
}

fn ask(visit: &Visit, back: &str, wrong: bool) -> Response {
    let words = visit.words();
    let form: Markup = html! {
        form.card.narrow method="post" action="/login" {
            input type="hidden" name="back" value=(back);
            @if wrong { p.banner.bad role="alert" { (words.login_wrong) } }
            p { (words.login_why) }
            label for="token" { (words.login_token) }
            input #token name="token" type="password" autocomplete="current-password" required autofocus;
            button { (words.login_enter) }
        }
    };
    let mut response = visit.page(Room::Login, words.login, Ok(form));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_local_path_is_gone_back_to() {
        for local in [
            "/",
            "/live",
            "/quarantine?reason=bad_signature&cursor=a1",
            "/receipts?app=1122334455%23demo",
            "/receipts?reader=%2F%2Fx",
        ] {
            assert!(is_ours(local), "{local}");
        }
        for other in [
            "",
            "live",
            "//evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r/evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\0/evil.example",
            "/ /evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/%2F/evil.example",
            "/%2Fevil.example",
            "/%5Cevil.example",
            "/%09/evil.example",
            "/%252Fevil.example",
            "/%25252F/evil.example",
            "/.//evil.example",
            "/a//evil.example",
            "/\u{85}/evil.example",
            "/%C2%85/evil.example",
            "/\u{2028}/evil.example",
            "/%ff",
        ] {
            assert!(!is_ours(other), "{other:?}");
        }
    }
}
