//! The only door to trust. A [`Verified`] can be made by [`authenticate`] alone, and `decode` wants one, so no
//! vendor can read a body that nobody has proven. (It lives in a file of its own because a child module could
//! reach the private fields of its ancestors.)

use super::{Callback, Refusal, Vendor};
use crate::receipt::Proof;

/// What `verify` found: whose callback it is, and how that was proven.
pub struct Identified<'r> {
    /// The app's identity, from the configuration and not from the request.
    pub app: &'r str,
    /// The proof.
    pub by: Proof,
    /// The secret that it was proven with, if one was.
    pub with: Option<SecretPlace>,
}

/// Where a secret stands in the configuration: enough to tell which one is still in use, and nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretPlace {
    /// The app's setting, for example `secrets`.
    pub list: &'static str,
    /// From 0; those from files come after those that are written out.
    pub index: usize,
}

/// A callback that proved genuine.
pub struct Verified<'r> {
    callback: Callback<'r>,
    app: &'r str,
    by: Proof,
    with: Option<SecretPlace>,
}

impl<'r> Verified<'r> {
    /// The callback.
    pub fn callback(&self) -> &Callback<'r> {
        &self.callback
    }

    /// The app it belongs to.
    pub fn app(&self) -> &'r str {
        self.app
    }

    /// The proof it carried.
    pub fn by(&self) -> Proof {
        self.by
    }

    /// The secret that it was proven with, if one was.
    pub fn with(&self) -> Option<SecretPlace> {
        self.with
    }
}

/// Asks the vendor's room for the proof; the value that comes back is the permission to decode.
pub fn authenticate<'r>(vendor: &'r dyn Vendor, callback: Callback<'r>) -> Result<Verified<'r>, Refusal> {
    let Identified { app, by, with } = vendor.verify(&callback)?;
    Ok(Verified { callback, app, by, with })
}
