//! Where callbacks go: the URL as an operator would enter it at the vendor.

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};

/// A receiver. It has no `Display`: paths and queries may hold tokens.
#[derive(Clone)]
pub(crate) struct Address {
    /// What a connection is made to: scheme, host and port.
    pub(super) origin: Uri,
    /// What the `Host` field says.
    pub(super) host: HeaderValue,
    /// What stands behind the host.
    pub(super) path_and_query: String,
    /// `user:password` of the URL, percent-encoded as it stood there.
    userinfo: Option<String>,
}

impl Address {
    /// Reads `http://[user:password@]host[:port][/path][?query]`. Where there is no path, `route` is; where the path is a
    /// `base` for several vendors, `route` is below it.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub(crate) fn parse(url: &str, route: &str, base: bool) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
        let Some(scheme) =
            uri.scheme().filter(|scheme| **scheme == Scheme::HTTP || **scheme == Scheme::HTTPS)
        else {
            return Err("it must begin with http:// or https://");
        };
        let authority = uri.authority().ok_or("it names no host")?.as_str();
        let (userinfo, authority) = match authority.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo.to_owned()), authority),
            None => (None, authority),
        };
        let authority: Authority = authority.parse().map_err(|_| "its host is none")?;
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| "its host is none")?;
        let origin = Uri::builder().scheme(scheme.clone()).authority(authority).path_and_query("/");
        let origin = origin.build().map_err(|_| "it is not a URL")?;
        let path = match uri.path() {
            "" | "/" => route.to_owned(),
            path if base => format!("{}{route}", path.trim_end_matches('/')),
            path => path.to_owned(),
        };
        let path_and_query = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        Ok(Self { origin, host, path_and_query, userinfo })
    }

    /// Scheme, host and port: what can be shown of it.
    pub(crate) fn origin(&self) -> String {
        self.origin.to_string().trim_end_matches('/').to_owned()
    }

    /// Whether it is this machine, for sure.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.origin.host().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }

    pub(super) fn encrypted(&self) -> bool {
        self.origin.scheme() == Some(&Scheme::HTTPS)
    }

    /// `user:password`, decoded, where the URL has it.
    pub(super) fn credentials(&self) -> Option<Vec<u8>> {
        self.userinfo.as_deref().map(|text| percent_encoding::percent_decode_str(text).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_its_secrets_are_not_shown() {
        let address =
            Address::parse("http://openim:s3cr%40t@127.0.0.1:8080", "/webhooks/openim", false).ok().unwrap();
        assert_eq!(address.origin(), "http://127.0.0.1:8080");
        assert_eq!(address.path_and_query, "/webhooks/openim");
        assert_eq!(address.credentials().as_deref(), Some(&b"openim:s3cr@t"[..]));
        let address = Address::parse("https://im.example.com/hooks?token=x", "/", false).ok().unwrap();
        assert_eq!((address.origin().as_str(), address.is_loopback()), ("https://im.example.com", false));
        assert_eq!(address.path_and_query, "/hooks?token=x");
        let address = Address::parse("http://localhost/im/", "/webhooks/tencent", true).ok().unwrap();
        assert_eq!(address.path_and_query, "/im/webhooks/tencent");
        for local in ["http://localhost:1/", "http://[::1]:8080", "http://127.9.9.9"] {
            assert!(Address::parse(local, "/", false).ok().unwrap().is_loopback(), "{local}");
        }
        for wrong in ["", "localhost:8080", "ftp://localhost", "http://", "/webhooks"] {
            assert!(Address::parse(wrong, "/", false).is_err(), "{wrong}");
        }
    }
}
