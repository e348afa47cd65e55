//! What a new configuration takes away from the one before it: for the log of a reload.

use std::collections::BTreeMap;

use super::{Config, Network, Secret, VendorsConfig};

/// One app, as far as it can lose something.
struct App<'c> {
    /// Its name in the configuration.
    name: &'c str,
    /// By what its callbacks are told apart; an app of the same identity is the same app, whatever its name.
    identity: &'c str,
    lists: Vec<(&'static str, &'c [Secret])>,
    networks: &'c [Network],
    open: bool,
}

impl Config {
    /// Goes on with what a reload changes of a new configuration; the rest takes a restart.
    pub fn take_over(&mut self, new: Self) {
        self.empty_file = new.empty_file;
        self.vendors = new.vendors;
    }

    /// What callbacks were taken by, and are not any more: vendors, apps, secrets, addresses, passthroughs. Names only; secrets
    /// by their place in the old list, where those of files stand behind those of the configuration.
    pub fn taken_away_by(&self, new: &Self) -> Vec<String> {
        let mut lost = Vec::new();
        for ((vendor, old), (_, new)) in apps(&self.vendors).into_iter().zip(apps(&new.vendors)) {
            if new.is_empty() && !old.is_empty() {
                let names: Vec<&str> = old.iter().map(|app| app.name).collect();
                lost.push(format!("vendors.{vendor}, with its apps {}", names.join(", ")));
                continue;
            }
            let new: BTreeMap<&str, &App<'_>> = new.iter().map(|app| (app.identity, app)).collect();
            for app in old {
                let key = format!("vendors.{vendor}.apps.{}", app.name);
                match new.get(app.identity) {
                    Some(new) => lose(&key, &app, new, &mut lost),
                    None => lost.push(key),
                }
            }
        }
        let (old, new) = (&self.vendors, &new.vendors);
        for (vendor, old, new) in [
            ("easemob", &old.easemob.passthrough, &new.easemob.passthrough),
            ("tencent", &old.tencent.passthrough, &new.tencent.passthrough),
            ("openim", &old.openim.passthrough, &new.openim.passthrough),
        ] {
            if old.is_some() && new.is_none() {
                lost.push(format!("vendors.{vendor}.passthrough"));
            }
        }
        lost
    }
}

/// What an app has lost that is still there.
fn lose(key: &str, old: &App<'_>, new: &App<'_>, lost: &mut Vec<String>) {
    for ((list, old), (_, new)) in old.lists.iter().zip(&new.lists) {
        for (index, _) in old.iter().enumerate().filter(|(_, secret)| !new.contains(secret)) {
            lost.push(format!("{key}.{list}[{index}]"));
        }
    }
    for (index, _) in old.networks.iter().enumerate().filter(|(_, network)| !new.networks.contains(network)) {
        lost.push(format!("{key}.allowed_ips[{index}]"));
    }
    if old.open && !new.open {
        lost.push(format!("{key}.allow_unauthenticated"));
    }
}

/// The apps of every vendor, always in the same order.
fn apps(vendors: &VendorsConfig) -> [(&'static str, Vec<App<'_>>); 4] {
    let easemob = vendors.easemob.apps.iter().map(|(name, app)| App {
        name,
        identity: &app.appkey,
        lists: vec![("secrets", app.secrets.as_slice())],
        networks: &[],
        open: false,
    });
    let tencent = vendors.tencent.apps.iter().map(|(name, app)| App {
        name,
        identity: &app.sdk_app_id,
        lists: vec![("secrets", app.secrets.as_slice())],
        networks: &[],
        open: false,
    });
    let openim = vendors.openim.apps.iter().map(|(name, app)| App {
        name,
        identity: name,
        lists: vec![
            ("path_tokens", app.path_tokens.as_slice()),
            ("basic_auth", &app.basic_auth),
            ("signature_secrets", &app.signature_secrets),
        ],
        networks: &app.allowed_ips,
        open: app.allow_unauthenticated,
    });
    let rongcloud = vendors.rongcloud.apps.iter().map(|(name, app)| App {
        name,
        identity: &app.app_key,
        lists: vec![("secrets", app.secrets.as_slice()), ("relay_secrets", &app.relay_secrets)],
        networks: &[],
        open: false,
    });
    [
        ("easemob", easemob.collect()),
        ("tencent", tencent.collect()),
        ("openim", openim.collect()),
        ("rongcloud", rongcloud.collect()),
    ]
}
