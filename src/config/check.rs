//! Contradictions: settings that are right one by one and wrong together. Each error names the key to change.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use super::{AckAfter, Config, ConfigError, OpenImConfig, RongCloudConfig, Secret, SinkKind};

const KEEP_ALIVE_LEAST: u64 = 75;

/// Checks everything that no single type can.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    server(config)?;
    if config.delivery.ack_after == AckAfter::Sinks && config.sinks.is_empty() {
        return Err(ConfigError::setting(
            "delivery.ack_after",
            "`sinks` without a sink would answer for nobody; configure one, or use `journal`",
        ));
    }
    names(config)?;
    let easemob = config.vendors.easemob.apps.iter().map(|(name, app)| (name, app.appkey.as_str()));
    identities("easemob", "appkey", easemob)?;
    let tencent = config.vendors.tencent.apps.iter().map(|(name, app)| (name, app.sdk_app_id.as_str()));
    identities("tencent", "sdk_app_id", tencent)?;
    let rongcloud = config.vendors.rongcloud.apps.iter().map(|(name, app)| (name, app.app_key.as_str()));
    identities("rongcloud", "app_key", rongcloud)?;
    for (name, app) in &config.vendors.easemob.apps {
        if app.secrets.is_empty() {
            return Err(ConfigError::setting(
                format!("vendors.easemob.apps.{name}.secrets"),
                "nothing can verify this app's callbacks; give the secret of its callback rule",
            ));
        }
    }
    rongcloud_secrets(&config.vendors.rongcloud)?;
    openim(&config.vendors.openim)?;
    sink_files(config)
}

fn server(config: &Config) -> Result<(), ConfigError> {
    let (server, admin) = (&config.server, &config.admin);
    if server.keep_alive_seconds < KEEP_ALIVE_LEAST {
        return Err(ConfigError::setting(
            "server.keep_alive_seconds",
            format!("at least {KEEP_ALIVE_LEAST}: vendors' clients keep idle connections that long"),
        ));
    }
    for (key, value) in [
        ("server.body_limit_bytes", server.body_limit_bytes as u64),
        ("server.header_timeout_ms", server.header_timeout_ms),
        ("server.body_timeout_ms", server.body_timeout_ms),
        ("server.max_connections", server.max_connections as u64),
    ] {
        if value == 0 {
            return Err(ConfigError::setting(key, "0 would refuse everything"));
        }
    }
    if server.bodies_limit_bytes < server.body_limit_bytes {
        return Err(ConfigError::setting(
            "server.bodies_limit_bytes",
            "less than `server.body_limit_bytes`: a body of that size would never be read",
        ));
    }
    if server.header_limit_bytes < 8192 {
        return Err(ConfigError::setting("server.header_limit_bytes", "at least 8192"));
    }
    if server.listen == admin.listen && server.listen.port() != 0 {
        return Err(ConfigError::setting("admin.listen", "the same address as `server.listen`"));
    }
    if !admin.listen.ip().is_loopback() && admin.token.is_none() {
        return Err(ConfigError::setting(
            "admin.token",
            "required, because `admin.listen` can be reached from other machines",
        ));
    }
    Ok(())
}

/// Names are part of environment variables, so they are `[a-z0-9_]+`.
fn names(config: &Config) -> Result<(), ConfigError> {
    let vendors = &config.vendors;
    let apps = [
        ("vendors.easemob.apps", vendors.easemob.apps.keys().collect::<Vec<_>>()),
        ("vendors.tencent.apps", vendors.tencent.apps.keys().collect()),
        ("vendors.openim.apps", vendors.openim.apps.keys().collect()),
        ("vendors.rongcloud.apps", vendors.rongcloud.apps.keys().collect()),
        ("sinks", config.sinks.keys().collect()),
    ];
    for (table, names) in apps {
        for name in names {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(ConfigError::setting(
                    format!("{table}.{name}"),
                    "a name is made of a-z, 0-9 and _, so that an environment variable can reach it",
                ));
            }
        }
    }
    Ok(())
}

/// No two apps of a vendor may claim the same identity, and none an empty one.
fn identities<'a>(
    vendor: &str,
    field: &str,
    apps: impl Iterator<Item = (&'a String, &'a str)>,
) -> Result<(), ConfigError> {
    let mut owners = BTreeMap::new();
    for (name, identity) in apps {
        let key = format!("vendors.{vendor}.apps.{name}.{field}");
        if identity.is_empty() {
            return Err(ConfigError::setting(key, "must not be empty"));
        }
        match owners.entry(identity) {
            Entry::Vacant(free) => {
                free.insert(name);
            }
            Entry::Occupied(taken) => {
                return Err(ConfigError::setting(key, format!("the app `{}` has the same one", taken.get())));
            }
        }
    }
    Ok(())
}

fn rongcloud_secrets(config: &RongCloudConfig) -> Result<(), ConfigError> {
    for (name, app) in &config.apps {
        if app.secrets.is_empty() && app.relay_secrets.is_empty() {
            return Err(ConfigError::setting(
                format!("vendors.rongcloud.apps.{name}.secrets"),
                "nothing can verify this app's callbacks; give its app secret",
            ));
        }
    }
    Ok(())
}

/// OpenIM names no app, so the proof must tell which one it is.
fn openim(config: &OpenImConfig) -> Result<(), ConfigError> {
    let key = |name: &str, field: &str| format!("vendors.openim.apps.{name}.{field}");
    let (mut tokens, mut pairs) = (Vec::new(), Vec::new());
    let mut by_address: Vec<(&str, &super::OpenImApp)> = Vec::new();
    let mut open: Option<&str> = None;
    for (name, app) in &config.apps {
        let credentials = !app.path_tokens.is_empty() || !app.basic_auth.is_empty();
        let proves = credentials || !app.allowed_ips.is_empty();
        if proves && app.allow_unauthenticated {
            return Err(ConfigError::setting(
                key(name, "allow_unauthenticated"),
                "contradicts the app's own proofs; remove one or the other",
            ));
        }
        if !proves && !app.allow_unauthenticated {
            return Err(ConfigError::setting(
                key(name, "path_tokens"),
                "nothing can verify this app's callbacks; give path_tokens, basic_auth or allowed_ips, or say \
                 allow_unauthenticated = true",
            ));
        }
        if app.basic_auth.iter().any(|pair| !pair.expose().contains(':')) {
            return Err(ConfigError::setting(key(name, "basic_auth"), "must have the form user:password"));
        }
        if app.path_tokens.iter().any(|token| token.expose().contains('/')) {
            return Err(ConfigError::setting(key(name, "path_tokens"), "a path segment holds no `/`"));
        }
        unclaimed(name, &app.path_tokens, &mut tokens)
            .map_err(|p| ConfigError::setting(key(name, "path_tokens"), p))?;
        unclaimed(name, &app.basic_auth, &mut pairs)
            .map_err(|p| ConfigError::setting(key(name, "basic_auth"), p))?;
        if !credentials && !app.allowed_ips.is_empty() {
            for (other, taken) in &by_address {
                if app.allowed_ips.iter().any(|net| taken.allowed_ips.iter().any(|other| net.overlaps(other)))
                {
                    let problem =
                        format!("overlaps with the app `{other}`, and nothing else tells the two apart");
                    return Err(ConfigError::setting(key(name, "allowed_ips"), problem));
                }
            }
            by_address.push((name, app));
        }
        if !proves && let Some(other) = open.replace(name) {
            let problem = format!("the app `{other}` says so too, and nothing tells the two apart");
            return Err(ConfigError::setting(key(name, "allow_unauthenticated"), problem));
        }
    }
    Ok(())
}

fn unclaimed<'a>(
    name: &'a str,
    secrets: &'a [Secret],
    taken: &mut Vec<(&'a str, &'a Secret)>,
) -> Result<(), String> {
    for secret in secrets {
        if let Some((other, _)) = taken.iter().find(|(other, known)| *known == secret && *other != name) {
            return Err(format!("the app `{other}` has one of them too"));
        }
        taken.push((name, secret));
    }
    Ok(())
}

fn sink_files(config: &Config) -> Result<(), ConfigError> {
    let mut owners: BTreeMap<&Path, &str> = BTreeMap::from([(config.journal.path.as_path(), "the journal")]);
    for (name, sink) in &config.sinks {
        let SinkKind::File { path } = &sink.kind else {
            continue;
        };
        if let Some(owner) = owners.insert(path, name) {
            let problem = format!("the same file as that of `{owner}`");
            return Err(ConfigError::setting(format!("sinks.{name}.path"), problem));
        }
    }
    Ok(())
}
