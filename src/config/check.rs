//! Contradictions: settings that are right one by one and wrong together. Each error names the key to change.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

use http::{HeaderName, Uri};

use super::error::Mistakes;
use super::{
    AckAfter, Config, ConfigError, OpenImAlgorithm, OpenImConfig, RongCloudConfig, Secret, SinkKind,
};

const KEEP_ALIVE_LEAST: u64 = 75;

/// Checks everything that no single type can.
pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    server(config, mistakes);
    if config.delivery.ack_after == AckAfter::Sinks && config.sinks.is_empty() && !mistakes.below("sinks") {
        mistakes.add(ConfigError::setting(
            "delivery.ack_after",
            "`sinks` without a sink would answer for nobody; configure one, or use `journal`",
        ));
    }
    mistakes.take(journal(config));
    names(config, mistakes);
    let easemob = config.vendors.easemob.apps.iter().map(|(name, app)| (name, app.appkey.as_str()));
    identities("easemob", "appkey", easemob, mistakes);
    let tencent = config.vendors.tencent.apps.iter().map(|(name, app)| (name, app.sdk_app_id.as_str()));
    identities("tencent", "sdk_app_id", tencent, mistakes);
    let rongcloud = config.vendors.rongcloud.apps.iter().map(|(name, app)| (name, app.app_key.as_str()));
    identities("rongcloud", "app_key", rongcloud, mistakes);
    for (name, app) in &config.vendors.easemob.apps {
        if app.secrets.is_empty() {
            lacks_proof(
                &format!("vendors.easemob.apps.{name}"),
                &["secrets", "secrets_files"],
                "nothing can verify this app's callbacks; give the secret of its callback rule",
                mistakes,
            );
        }
    }
    rongcloud_secrets(&config.vendors.rongcloud, mistakes);
    openim(&config.vendors.openim, mistakes);
    passthroughs(config, mistakes);
    sink_files(config, mistakes);
}

/// Reports that an app has nothing to verify with, unless what it has has been reported.
fn lacks_proof(app: &str, lists: &[&str], problem: &str, mistakes: &mut Mistakes) {
    if !lists.iter().any(|list| mistakes.has(&format!("{app}.{list}"))) {
        mistakes.add(ConfigError::setting(format!("{app}.{}", lists.first().unwrap_or(&"")), problem));
    }
}

fn server(config: &Config, mistakes: &mut Mistakes) {
    let (server, admin) = (&config.server, &config.admin);
    if server.keep_alive_seconds < KEEP_ALIVE_LEAST {
        mistakes.add(ConfigError::setting(
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
            mistakes.add(ConfigError::setting(key, "0 would refuse everything"));
        }
    }
    if server.bodies_limit_bytes < server.body_limit_bytes && !mistakes.has("server.body_limit_bytes") {
        mistakes.add(ConfigError::setting(
            "server.bodies_limit_bytes",
            "less than `server.body_limit_bytes`: a body of that size would never be read",
        ));
    }
    if server.header_limit_bytes < 8192 {
        mistakes.add(ConfigError::setting("server.header_limit_bytes", "at least 8192"));
    }
    let listens = !mistakes.has("server.listen") && !mistakes.has("admin.listen");
    if listens && collide(server.listen, admin.listen) {
        mistakes
            .add(ConfigError::setting("admin.listen", "the same address as `server.listen`, or part of it"));
    }
    if !admin.listen.ip().is_loopback() && admin.token.is_none() && !mistakes.has("admin.token_file") {
        mistakes.add(ConfigError::setting(
            "admin.token",
            "required, because `admin.listen` can be reached from other machines",
        ));
    }
}

/// Whether only one of two listeners can have its address. Port 0 is another one each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    // `[::]` takes IPv4, too.
    let takes = |all: SocketAddr, other: SocketAddr| {
        all.ip().is_unspecified() && (all.is_ipv6() || other.ip().to_canonical().is_ipv4())
    };
    let same = one.ip().to_canonical() == other.ip().to_canonical();
    one.port() == other.port() && one.port() != 0 && (same || takes(one, other) || takes(other, one))
}

/// The journal is a file. (A folder of that name is found when it is opened.)
fn journal(config: &Config) -> Result<(), ConfigError> {
    let path = &config.journal.path;
    let problem = match path.as_os_str().as_encoded_bytes() {
        [] => "must not be empty; expected the name of a file, for example `path = \"data/readhook.db\"`",
        [.., b'/'] => {
            "names a folder; expected the name of a file in it, for example `path = \"data/readhook.db\"`"
        }
        path if path.ends_with(b"/.") || path.ends_with(b"/..") || matches!(path, b"." | b"..") => {
            "names a folder; expected the name of a file in it, for example `path = \"data/readhook.db\"`"
        }
        path if path.contains(&0) => "holds a NUL byte",
        _ => return Ok(()),
    };
    Err(ConfigError::setting("journal.path", problem))
}

/// Names are part of environment variables, so they are `[a-z0-9_]+`.
fn names(config: &Config, mistakes: &mut Mistakes) {
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
                mistakes.add(ConfigError::setting(
                    format!("{table}.{name}"),
                    "a name is made of a-z, 0-9 and _, so that an environment variable can reach it",
                ));
            }
        }
    }
}

/// No two apps of a vendor may claim the same identity, and none an empty one.
fn identities<'a>(
    vendor: &str,
    field: &str,
    apps: impl Iterator<Item = (&'a String, &'a str)>,
    mistakes: &mut Mistakes,
) {
    let mut owners = BTreeMap::new();
    for (name, identity) in apps {
        let key = format!("vendors.{vendor}.apps.{name}.{field}");
        if identity.is_empty() {
            mistakes.add(ConfigError::setting(key, "must not be empty"));
            continue;
        }
        match owners.entry(identity) {
            Entry::Vacant(free) => {
                free.insert(name);
            }
            Entry::Occupied(taken) => {
                let problem = format!("the app `{}` has the same one", taken.get());
                mistakes.add(ConfigError::setting(key, problem));
            }
        }
    }
}

fn rongcloud_secrets(config: &RongCloudConfig, mistakes: &mut Mistakes) {
    for (name, app) in &config.apps {
        if app.secrets.is_empty() && app.relay_secrets.is_empty() {
            lacks_proof(
                &format!("vendors.rongcloud.apps.{name}"),
                &["secrets", "secrets_files", "relay_secrets", "relay_secrets_files"],
                "nothing can verify this app's callbacks; give its app secret",
                mistakes,
            );
        }
    }
}

/// An upstream that is readhook itself would have every other event go round until nothing answers any more.
fn passthroughs(config: &Config, mistakes: &mut Mistakes) {
    let vendors = &config.vendors;
    for (vendor, passthrough) in [
        ("easemob", &vendors.easemob.passthrough),
        ("tencent", &vendors.tencent.passthrough),
        ("openim", &vendors.openim.passthrough),
    ] {
        let Some(passthrough) = passthrough else { continue };
        let key = format!("vendors.{vendor}.passthrough.url");
        if ["server.listen", "admin.listen"].iter().any(|listen| mistakes.has(listen)) {
            continue;
        }
        let own =
            [config.server.listen, config.admin.listen].iter().any(|own| leads_to(&passthrough.url, *own));
        if own {
            let problem = "this is readhook's own address: every callback that is handed on would come back; name the \
                           backend that is to have it";
            mistakes.add(ConfigError::setting(key, problem));
        }
    }
}

/// Whether a URL leads to a listener on this machine, as far as its own words say so. (A name is looked up by nobody here: a
/// start must not wait for DNS.)
fn leads_to(url: &Uri, listen: SocketAddr) -> bool {
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    if port != listen.port() {
        return false;
    }
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let ip = if host == "localhost" || host.ends_with(".localhost") {
        Some(IpAddr::from(Ipv4Addr::LOCALHOST))
    } else {
        host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    };
    let (Some(ip), own) = (ip, listen.ip().to_canonical()) else { return false };
    // An address that can be bound is one of this machine's own. Nothing is sent.
    let is_here = || ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok();
    ip == own || (own.is_unspecified() && is_here()) || (ip.is_unspecified() && own.is_loopback())
}

/// OpenIM names no app, so the proof must tell which one it is.
fn openim(config: &OpenImConfig, mistakes: &mut Mistakes) {
    let key = |name: &str, field: &str| format!("vendors.openim.apps.{name}.{field}");
    let (mut tokens, mut pairs, mut signing) = (Vec::new(), Vec::new(), Vec::new());
    let mut by_address: Vec<(&str, &super::OpenImApp)> = Vec::new();
    let mut open: Option<&str> = None;
    for (name, app) in &config.apps {
        mistakes.take(
            openim_signature(app).map_err(|(field, problem)| ConfigError::setting(key(name, field), problem)),
        );
        let credentials =
            !app.path_tokens.is_empty() || !app.basic_auth.is_empty() || app.signature_algorithm.is_some();
        let proves = credentials || !app.allowed_ips.is_empty();
        if proves && app.allow_unauthenticated {
            mistakes.add(ConfigError::setting(
                key(name, "allow_unauthenticated"),
                "contradicts the app's own proofs; remove one or the other",
            ));
        }
        if !proves && !app.allow_unauthenticated && !mistakes.has(&key(name, "allow_unauthenticated")) {
            lacks_proof(
                &format!("vendors.openim.apps.{name}"),
                &[
                    "path_tokens",
                    "path_tokens_files",
                    "basic_auth",
                    "basic_auth_files",
                    "allowed_ips",
                    "signature_algorithm",
                    "signature_secrets",
                    "signature_secrets_files",
                ],
                "nothing can verify this app's callbacks; give path_tokens, basic_auth or allowed_ips, or say \
                 allow_unauthenticated = true",
                mistakes,
            );
        }
        if let Some(index) = app.basic_auth.iter().position(|pair| !pair.expose().contains(':')) {
            let key = format!("{}[{index}]", key(name, "basic_auth"));
            mistakes.add(ConfigError::setting(key, "must have the form user:password"));
        }
        if let Some(index) = app.path_tokens.iter().position(|token| token.expose().contains('/')) {
            let key = format!("{}[{index}]", key(name, "path_tokens"));
            mistakes.add(ConfigError::setting(key, "a path segment holds no `/`"));
        }
        mistakes.take(
            unclaimed(name, &app.path_tokens, &mut tokens)
                .map_err(|p| ConfigError::setting(key(name, "path_tokens"), p)),
        );
        mistakes.take(
            unclaimed(name, &app.basic_auth, &mut pairs)
                .map_err(|p| ConfigError::setting(key(name, "basic_auth"), p)),
        );
        mistakes.take(
            unclaimed(name, &app.signature_secrets, &mut signing)
                .map_err(|p| ConfigError::setting(key(name, "signature_secrets"), p)),
        );
        if !credentials && !app.allowed_ips.is_empty() {
            for (other, taken) in &by_address {
                if app.allowed_ips.iter().any(|net| taken.allowed_ips.iter().any(|other| net.overlaps(other)))
                {
                    let problem =
                        format!("overlaps with the app `{other}`, and nothing else tells the two apart");
                    mistakes.add(ConfigError::setting(key(name, "allowed_ips"), problem));
                }
            }
            by_address.push((name, app));
        }
        if !proves
            && app.allow_unauthenticated
            && let Some(other) = open.replace(name)
        {
            let problem = format!("the app `{other}` says so too, and nothing tells the two apart");
            mistakes.add(ConfigError::setting(key(name, "allow_unauthenticated"), problem));
        }
    }
}

/// The signature's four settings go together; what is wrong with one, and which.
fn openim_signature(app: &super::OpenImApp) -> Result<(), (&'static str, &'static str)> {
    let is_set = |field: &String| !field.is_empty();
    match app.signature_algorithm {
        None => {
            let any = is_set(&app.signature_header)
                || is_set(&app.nonce_header)
                || !app.signature_secrets.is_empty();
            if any {
                return Err(("signature_algorithm", "is missing; give for example \"HMAC-SHA256\""));
            }
        }
        Some(OpenImAlgorithm::RsaSha256 | OpenImAlgorithm::EcdsaSha256) => {
            return Err((
                "signature_algorithm",
                "cannot be checked: OpenIM's documents name it without key format, padding and encoding; use one of \
                 HMAC-SHA1, HMAC-SHA256 and HMAC-SHA512, or a path token",
            ));
        }
        Some(OpenImAlgorithm::HmacSha1 | OpenImAlgorithm::HmacSha256 | OpenImAlgorithm::HmacSha512) => {
            for (name, field) in
                [("signature_header", &app.signature_header), ("nonce_header", &app.nonce_header)]
            {
                if HeaderName::try_from(field.as_str()).is_err() {
                    return Err((name, "must name a header field, as the server's configuration does"));
                }
            }
            if app.signature_header.eq_ignore_ascii_case(&app.nonce_header) {
                return Err(("nonce_header", "is the field of the signature itself"));
            }
            if app.signature_secrets.is_empty() {
                return Err(("signature_secrets", "is missing; give the server's signature.secret"));
            }
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

fn sink_files(config: &Config, mistakes: &mut Mistakes) {
    let mut owners: BTreeMap<&Path, &str> = BTreeMap::from([(config.journal.path.as_path(), "the journal")]);
    for (name, sink) in &config.sinks {
        let SinkKind::File { path } = &sink.kind else {
            continue;
        };
        if let Some(owner) = owners.insert(path, name) {
            let problem = format!("the same file as that of `{owner}`");
            mistakes.add(ConfigError::setting(format!("sinks.{name}.path"), problem));
        }
    }
}
