//! Who we are to a server: how that is set, and what is said when the server asks.

use async_nats::{Auth, AuthError, ServerAddr};
use nkeys::KeyPair;
use percent_encoding::percent_decode_str;

use crate::config::NatsSink;
use crate::sink::BoxError;

/// One way to log in.
pub(super) enum Login {
    Nobody,
    Password { user: String, password: String },
    Token(String),
    Nkey(KeyPair),
    Credentials { jwt: String, key: KeyPair },
}

impl Login {
    /// By a setting of its own, otherwise as the URL says. A URL's user without password is a token, as in other NATS
    /// clients.
    ///
    /// # Errors
    /// When a seed or the credentials cannot be read. They show nothing of them.
    pub(super) fn of(config: &NatsSink, server: &ServerAddr) -> Result<Self, BoxError> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        if let Some(token) = &config.token {
            return Ok(Self::Token(token.expose().to_owned()));
        }
        if let Some(credentials) = &config.credentials {
            let (jwt, seed) = parts(credentials.expose()).ok_or("`credentials` holds no JWT and seed")?;
            let key = KeyPair::from_seed(seed).map_err(|_| "`credentials` holds a seed that is none")?;
            return Ok(Self::Credentials { jwt: jwt.to_owned(), key });
        }
        if let Some(seed) = &config.nkey_seed {
            let key = KeyPair::from_seed(seed.expose().trim()).map_err(|_| "`nkey_seed` is no seed")?;
            return Ok(Self::Nkey(key));
        }
        Ok(match (server.username(), server.password()) {
            (Some(user), Some(password)) => {
                Self::Password { user: decoded(user), password: decoded(password) }
            }
            (Some(token), None) => Self::Token(decoded(token)),
            (None, _) => Self::Nobody,
        })
    }

    /// What to say to a server that has sent this nonce.
    pub(super) fn auth(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        match self {
            Self::Nobody => {}
            Self::Password { user, password } => {
                (auth.username, auth.password) = (Some(user.clone()), Some(password.clone()));
            }
            Self::Token(token) => auth.token = Some(token.clone()),
            Self::Nkey(key) => {
                auth.nkey = Some(key.public_key());
                auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
            }
            Self::Credentials { jwt, key } => {
                auth.jwt = Some(jwt.clone());
                auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
            }
        }
        Ok(auth)
    }
}

/// The two texts of a `.creds` file, each between two lines of dashes: the JWT, then the seed.
fn parts(credentials: &str) -> Option<(&str, &str)> {
    let mut lines = credentials.lines().map(str::trim);
    let mut next = || {
        lines.by_ref().find(|line| line.starts_with("-----BEGIN"))?;
        lines.next().filter(|line| !line.is_empty())
    };
    Some((next()?, next()?))
}
