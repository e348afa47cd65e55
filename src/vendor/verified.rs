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
}

/// A callback that proved genuine.
pub struct Verified<'r> {
    callback: Callback<'r>,
    app: &'r str,
    by: Proof,
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
}

/// Asks the vendor's room for the proof; the value that comes back is the permission to decode.
pub fn authenticate<'r>(vendor: &'r dyn Vendor, callback: Callback<'r>) -> Result<Verified<'r>, Refusal> {
    let Identified { app, by } = vendor.verify(&callback)?;
    Ok(Verified { callback, app, by })
}
