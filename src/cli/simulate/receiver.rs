//! Who calls whom in a simulation: apps, secrets and the receiver, from the configuration or from the command line.

use std::path::{Path, PathBuf};

use super::super::ask::reachable;
use super::super::{Exit, environment, load};
use crate::config::{Config, OpenImApp, Secret};
use crate::dispatch::causes;
use crate::simulate::{Address, App, Vendor};

/// A secret for a receiver that is configured elsewhere. Not on the command line, which everybody can see.
const SECRET: &str = "READHOOK_SIMULATE_SECRET";

/// Whose callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Whose {
    Easemob,
    Tencent,
    Openim,
    Rongcloud,
    Relay,
    All,
}

/// Where they go, and for which app.
#[derive(Debug, clap::Args)]
pub(super) struct Receiver {
    /// Where to send them, as it would be entered at the vendor; without a path, to readhook's route. Without it, to the
    /// service of the configuration.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The app's name in the configuration; the first of the vendor, if there is none.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["app_id", "secret_file"])]
    app: Option<String>,
    /// For a receiver that is configured elsewhere: the appkey, SdkAppid or app key.
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// A file with that app's secret, or OpenIM's path token; or `READHOOK_SIMULATE_SECRET`.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Send to another machine than this one.
    #[arg(long)]
    yes: bool,
}

/// Why there is nothing to simulate.
pub(super) struct Problem {
    pub(super) exit: Exit,
    pub(super) says: String,
}

impl Problem {
    fn usage(says: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, says: says.into() }
    }
}

/// The apps that call, each with its receiver.
pub(super) fn apps(
    file: Option<&Path>,
    whose: Whose,
    receiver: &Receiver,
) -> Result<Vec<(App, Address)>, Problem> {
    let vendors: &[Vendor] = match whose {
        Whose::Easemob => &[Vendor::Easemob],
        Whose::Tencent => &[Vendor::Tencent],
        Whose::Openim => &[Vendor::OpenIm],
        Whose::Rongcloud => &[Vendor::RongCloud],
        Whose::Relay => &[Vendor::Relay],
        Whose::All => &Vendor::ALL,
    };
    let secret = secret(receiver)?;
    let (apps, url) = if receiver.app_id.is_some() || secret.is_some() {
        (vec![foreign(vendors, receiver.app_id.as_deref(), secret)?], None)
    } else {
        let config = load(file).map_err(|error| Problem { exit: Exit::Config, says: causes(&error) })?;
        let apps: Vec<App> = vendors
            .iter()
            .filter_map(|vendor| configured(&config, *vendor, receiver.app.as_deref()))
            .collect();
        (apps, here(&config))
    };
    if apps.is_empty() {
        let named = receiver.app.as_ref().map_or_else(String::new, |name| format!(" with the name `{name}`"));
        return Err(Problem::usage(format!(
            "the configuration has no app{named} and a secret for it: name one with --config, or give --url, --app-id and a secret"
        )));
    }
    let url = receiver.url.clone().or(url);
    let url = url.ok_or_else(|| Problem::usage("where to? give --url"))?;
    let addressed = apps.into_iter().map(|app| {
        let address = Address::parse(&url, app.vendor().route(), whose == Whose::All)
            .map_err(|problem| Problem::usage(format!("--url: {problem}")))?;
        if !address.is_loopback() && !receiver.yes {
            return Err(Problem::usage(format!(
                "{} is another machine; if you may load it, say --yes",
                address.origin()
            )));
        }
        Ok((app, address))
    });
    addressed.collect()
}

/// The service of this configuration, from inside.
fn here(config: &Config) -> Option<String> {
    let address = reachable(config.server.listen);
    (address.port() != 0).then(|| format!("http://{address}"))
}

fn secret(receiver: &Receiver) -> Result<Option<Secret>, Problem> {
    let Some(path) = &receiver.secret_file else {
        let given = environment().remove(SECRET);
        return Ok(given.filter(|secret| !secret.is_empty()).map(Secret::from));
    };
    let text = std::fs::read_to_string(path).map_err(|error| Problem {
        exit: Exit::Io,
        says: format!("cannot read `{}`: {error}", path.display()),
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Some(Secret::from(text.strip_suffix('\r').unwrap_or(text).to_owned())))
}

/// An app of a receiver that is configured elsewhere.
fn foreign(vendors: &[Vendor], app_id: Option<&str>, secret: Option<Secret>) -> Result<App, Problem> {
    let [vendor] = vendors else {
        return Err(Problem::usage("--app-id and a secret are one vendor's; name the vendor"));
    };
    let id = || app_id.map(str::to_owned).ok_or_else(|| Problem::usage("whose secret is it? give --app-id"));
    let must = |secret: Option<Secret>| {
        secret.ok_or_else(|| Problem::usage(format!("give --secret-file, or {SECRET} in the environment")))
    };
    Ok(match vendor {
        Vendor::Easemob => App::Easemob { appkey: id()?, secret: must(secret)? },
        Vendor::Tencent => App::Tencent { sdk_app_id: id()?, token: secret },
        Vendor::OpenIm => App::OpenIm { path_token: secret, basic: None, refuses: true },
        Vendor::RongCloud => App::RongCloud { app_key: id()?, secret: must(secret)?, window_seconds: 0 },
        Vendor::Relay => App::Relay { app_key: id()?, secret: must(secret)?, window_seconds: 0 },
    })
}

/// An app of the configuration: the one with that name, or the first.
fn configured(config: &Config, vendor: Vendor, name: Option<&str>) -> Option<App> {
    let fits = |candidate: &str| name.is_none_or(|name| name == candidate);
    let vendors = &config.vendors;
    match vendor {
        Vendor::Easemob => vendors.easemob.apps.iter().filter(|(name, _)| fits(name)).find_map(|(_, app)| {
            Some(App::Easemob { appkey: app.appkey.clone(), secret: app.secrets.first()?.clone() })
        }),
        Vendor::Tencent => {
            let (_, app) = vendors.tencent.apps.iter().find(|(name, _)| fits(name))?;
            Some(App::Tencent { sdk_app_id: app.sdk_app_id.clone(), token: app.secrets.first().cloned() })
        }
        Vendor::OpenIm => {
            let apps = &vendors.openim.apps;
            // What OpenIM Enterprise signs is not imitated.
            let unsigned = |app: &OpenImApp| app.signature_algorithm.is_none();
            let (_, app) = apps.iter().find(|(name, app)| fits(name) && unsigned(app))?;
            let (path_token, basic) = (app.path_tokens.first().cloned(), app.basic_auth.first().cloned());
            // Whoever is refused at one app's door may still be let in at another's that asks for nothing.
            let refuses = apps
                .values()
                .all(|app| !app.path_tokens.is_empty() || !app.basic_auth.is_empty() || !unsigned(app));
            Some(App::OpenIm { path_token, basic, refuses })
        }
        Vendor::RongCloud => {
            vendors.rongcloud.apps.iter().filter(|(name, _)| fits(name)).find_map(|(_, app)| {
                let secret = app.secrets.first()?.clone();
                Some(App::RongCloud {
                    app_key: app.app_key.clone(),
                    secret,
                    window_seconds: app.freshness_seconds,
                })
            })
        }
        Vendor::Relay => vendors.rongcloud.apps.iter().filter(|(name, _)| fits(name)).find_map(|(_, app)| {
            let secret = app.relay_secrets.first()?.clone();
            Some(App::Relay { app_key: app.app_key.clone(), secret, window_seconds: app.freshness_seconds })
        }),
    }
}
