//! The two configurations that inputs choose between: the demo's, with one app a vendor, and the strict one
//! of the fixtures, with several apps and secrets and every proof switched on.

use std::path::PathBuf;
use std::sync::LazyLock;

use readhook::config::{Environment, VendorsConfig, load};
use readhook::vendor::{Vendor, Vendors};

use crate::Target;

/// A configuration and the vendors that it makes.
pub struct Setting {
    /// What is configured, for the checks to compute with.
    pub config: VendorsConfig,
    vendors: Vendors,
}

static DEMO: LazyLock<Setting> = LazyLock::new(|| Setting::read("config/demo.toml"));
static STRICT: LazyLock<Setting> = LazyLock::new(|| Setting::read("fixtures/strict.toml"));

/// Reads both now, so that it is not the first callback that does.
pub fn read_all() {
    LazyLock::force(&DEMO);
    LazyLock::force(&STRICT);
}

impl Setting {
    /// The demo's, or the strict one.
    pub fn of(strict: bool) -> &'static Self {
        if strict { &STRICT } else { &DEMO }
    }

    fn read(file: &str) -> Self {
        let config = load(Some(&repository(file)), &Environment::new()).expect("a configuration of ours");
        let vendors = Vendors::configure(&config.vendors);
        Self { config: config.vendors, vendors }
    }

    /// The room of a target.
    pub fn vendor(&self, target: Target) -> &dyn Vendor {
        let route = self.vendors.routes().iter().find(|route| route.path == target.route());
        &*route.expect("both configurations have an app for every route").vendor
    }
}

/// A file of the repository that this was built in.
pub fn repository(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(file)
}
