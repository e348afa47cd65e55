//! Who may pass: the token, as a header field or as a session that began with it; and no page of another site, which
//! can send requests from an operator's browser to wherever that browser can reach.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::config::{AdminConfig, Network, Secret};
use crate::server::client::{client, guesser};
use crate::throttle::Throttle;

/// The cookie of a session.
const COOKIE: &str = "readhook_session";
/// How long a session lasts: a shift.
const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// How many there may be; the oldest ends when one more begins.
const SESSIONS: usize = 64;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Decides who may pass.
pub(crate) struct Guard {
    token: Option<Secret>,
    /// Names by which browsers may reach a listener without a token.
    hosts: Vec<String>,
    /// Those that have brought the token; gone with the process.
    sessions: Mutex<VecDeque<Session>>,
    /// Counts wrong tokens.
    throttle: Throttle,
    trusted_proxies: Vec<Network>,
}

/// The TCP peer of a request to the admin listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Why somebody may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No token, or a wrong one.
    Token,
    /// Too many wrong ones from this address.
    Throttled,
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Token => {
                Self::new(StatusCode::UNAUTHORIZED, "this needs `Authorization: Bearer <admin.token>`")
            }
            Denied::Throttled => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens came from this address; wait some seconds before the next",
            ),
        }
    }
}

struct Session {
    id: [u8; 32],
    ends: Instant,
}

impl Guard {
    pub(crate) fn new(config: &AdminConfig, trusted_proxies: &[Network]) -> Self {
        let AdminConfig { token, hosts, listen: _, token_file: _ } = config;
        Self {
            token: token.clone(),
            hosts: hosts.clone(),
            sessions: Mutex::default(),
            throttle: Throttle::default(),
            trusted_proxies: trusted_proxies.to_vec(),
        }
    }

    /// The client of a request, as far as it can be known.
    pub(crate) fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        client(peer.0, headers, &self.trusted_proxies)
    }

    /// Admits a request that brings the token or the cookie of a session; a wrong token is counted for its client.
    ///
    /// # Errors
    /// Why it is not admitted.
    pub(crate) fn admit(&self, peer: Peer, headers: &HeaderMap) -> Result<(), Denied> {
        let Some(token) = &self.token else { return Ok(()) };
        if self.is_in_session(headers) {
            return Ok(());
        }
        let Some(given) = bearer(headers) else { return Err(Denied::Token) };
        self.compare(token, peer, headers, &[given])
    }

    /// Compares a try with the token; any form of it may be right.
    fn compare(
        &self,
        token: &Secret,
        peer: Peer,
        headers: &HeaderMap,
        forms: &[&[u8]],
    ) -> Result<(), Denied> {
        let guesser = guesser(peer.0, headers, &self.trusted_proxies);
        if guesser.is_some_and(|guesser| !self.throttle.admits(guesser)) {
            return Err(Denied::Throttled);
        }
        let right = forms.iter().filter(|form| bool::from(token.expose().as_bytes().ct_eq(form))).count() > 0;
        match (guesser, right) {
            (Some(guesser), true) => self.throttle.proved(guesser),
            (Some(guesser), false) => self.throttle.failed(guesser),
            (None, _) => {}
        }
        if right { Ok(()) } else { Err(Denied::Token) }
    }

    /// Whether there is anything to bring.
    pub(crate) fn wants_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether a request has brought what it must: the token, or the cookie of a session. For what is shown to somebody who has
    /// been admitted already; it counts nothing.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        bearer(headers).is_some_and(|given| token.expose().as_bytes().ct_eq(given).into())
            || self.is_in_session(headers)
    }

    /// Refuses what a page of another site has sent. Browsers say where a request comes from in `Origin` and
    /// `Sec-Fetch-Site`; what is no browser sends neither and passes.
    pub(crate) fn own_page(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        if !self.knows_host(headers) {
            let detail = "this listener has no token, so it must be asked for by address or as localhost; name this \
                          host in admin.hosts, or set admin.token";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        let foreign = |what| Err(Problem::new(StatusCode::FORBIDDEN, what));
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
        let only_looks = matches!(*method, Method::GET | Method::HEAD);
        // A link may lead here from anywhere; what it shows cannot be read from over there.
        let follows_link = only_looks && text(MODE) == Some("navigate");
        if text(SITE).is_some_and(|site| !matches!(site, "same-origin" | "none")) && !follows_link {
            return foreign("this request came from a page of another site");
        }
        let own = |origin: &str| {
            let origin = origin.parse::<Uri>().ok();
            let authority = origin.as_ref().and_then(Uri::authority).map(Authority::as_str);
            authority.is_some() && authority == text(header::HOST)
        };
        if !only_looks && text(header::ORIGIN).is_some_and(|origin| !own(origin)) {
            return foreign("this order came from a page of another site");
        }
        Ok(())
    }

    /// Without a token, whoever is let to a name could read all: a page whose own name suddenly leads to 127.0.0.1 (DNS
    /// rebinding) counts as ours in a browser. Addresses and `localhost` cannot be turned that way.
    fn knows_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST) else { return true };
        if self.token.is_some() {
            return true;
        }
        let Some(host) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else {
            return false;
        };
        let host = host.host().trim_matches(['[', ']']).to_ascii_lowercase();
        host.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(&host))
    }

    /// Begins a session if the token is right, with or without white space around it, which is easily pasted along; answers the
    /// cookie to set. It holds no part of the token.
    ///
    /// # Errors
    /// Why none begins.
    pub(crate) fn begin(&self, given: &str, peer: Peer, headers: &HeaderMap) -> Result<String, Denied> {
        let token = self.token.as_ref().ok_or(Denied::Token)?;
        self.compare(token, peer, headers, &[given.as_bytes(), given.trim().as_bytes()])?;
        let mut id = [0; 32];
        if let Err(error) = getrandom::fill(&mut id) {
            tracing::error!(%error, "the system has no random bytes, so no session can begin");
            return Err(Denied::Token);
        }
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() == SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back(Session { id, ends: Instant::now() + LASTS });
        Ok(cookie(&hex::encode(id), LASTS, headers))
    }

    /// Ends the session of a request, if it is one's; answers the cookie to set.
    pub(crate) fn end(&self, headers: &HeaderMap) -> String {
        for given in given(headers) {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.retain(|session| !bool::from(session.id.ct_eq(&given)));
        }
        cookie("", Duration::ZERO, headers)
    }

    fn is_in_session(&self, headers: &HeaderMap) -> bool {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        sessions.retain(|session| session.ends > now);
        given(headers).any(|given| {
            let hits = sessions.iter().filter(|session| session.id.ct_eq(&given).into());
            hits.count() > 0
        })
    }
}

/// The token that a request brings.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let given = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = given.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// The session ids that a request brings; a browser may hold an old one beside the new.
fn given(headers: &HeaderMap) -> impl Iterator<Item = [u8; 32]> {
    cookies(headers, COOKIE).filter_map(|value| {
        let mut id = [0; 32];
        hex::decode_to_slice(value, &mut id).ok().map(|()| id)
    })
}

/// The values of a cookie.
pub(crate) fn cookies<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(found, _)| *found == name).map(|(_, value)| value)
}

/// `X-Forwarded-Proto` is believed from anybody here: who lies keeps only its own browser from sending the cookie back.
fn cookie(value: &str, lasts: Duration, headers: &HeaderMap) -> String {
    let secure =
        headers.get(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let secure = if secure { "; Secure" } else { "" };
    let lasts = lasts.as_secs();
    format!("{COOKIE}={value}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Strict{secure}")
}
