//! What each setting takes, in words and with an example: for mistakes. Values are read elsewhere; this says before that what
//! is expected, and which setting somebody may have meant. A setting that is missing here is read all the same, and its
//! mistakes have plainer words.

use super::address;
use super::{Mistake, Network};

/// What a setting takes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A whole number.
    Number(u64, u64),
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text.
    Text,
    /// The name of a file.
    File,
    /// Where to listen.
    Address,
    /// A list of texts.
    Texts,
    /// A list of addresses and ranges.
    Networks,
}

/// A setting: its full name with `*` for a name that the operator chooses, what it takes, and a value to copy.
struct Setting(&'static str, Kind, &'static str);

use Kind::{Address, File, Networks, Number, Switch, Text, Texts, Word};

/// The largest number that a TOML file can hold.
const LARGEST: u64 = i64::MAX as u64;
const DAYS: u64 = u32::MAX as u64;

const SETTINGS: &[Setting] = &[
    Setting("server.listen", Address, "\"0.0.0.0:8080\""),
    Setting("server.body_limit_bytes", Number(1, LARGEST), "1048576"),
    Setting("server.bodies_limit_bytes", Number(1, LARGEST), "268435456"),
    Setting("server.trusted_proxies", Networks, "[\"10.0.0.0/8\"]"),
    Setting("server.header_timeout_ms", Number(1, LARGEST), "10000"),
    Setting("server.body_timeout_ms", Number(1, LARGEST), "10000"),
    Setting("server.keep_alive_seconds", Number(75, LARGEST), "120"),
    Setting("server.header_limit_bytes", Number(8192, LARGEST), "32768"),
    Setting("server.max_connections", Number(1, LARGEST), "16384"),
    Setting("admin.listen", Address, "\"127.0.0.1:9090\""),
    Setting("admin.token", Text, "\"a long random word\""),
    Setting("admin.token_file", File, "\"/run/secrets/readhook-admin\""),
    Setting("admin.hosts", Texts, "[\"readhook.example.com\"]"),
    Setting("journal.path", File, "\"data/readhook.db\""),
    Setting("journal.retention_days", Number(0, DAYS), "30"),
    Setting("journal.reserve_bytes", Number(0, LARGEST), "67108864"),
    Setting("quarantine.max_entries", Number(0, LARGEST), "10000"),
    Setting("quarantine.max_bytes", Number(0, LARGEST), "67108864"),
    Setting("callback_log.max_entries", Number(0, LARGEST), "10000"),
    Setting("callback_log.max_bytes", Number(0, LARGEST), "1048576"),
    Setting("delivery.ack_after", Word(&["journal", "sinks"]), "\"journal\""),
    Setting("delivery.drain_seconds", Number(0, LARGEST), "10"),
    Setting("state.enabled", Switch, "true"),
    Setting("log.format", Word(&["text", "json"]), "\"text\""),
    Setting("vendors.easemob.ban_guard", Number(0, LARGEST), "60"),
    Setting("vendors.easemob.apps.*.appkey", Text, "\"1122334455#demo\""),
    Setting("vendors.easemob.apps.*.secrets", Texts, "[\"the secret of the callback rule\"]"),
    Setting("vendors.easemob.apps.*.secrets_files", Texts, "[\"/run/secrets/easemob\"]"),
    Setting("vendors.tencent.apps.*.sdk_app_id", Text, "\"1400000000\""),
    Setting("vendors.tencent.apps.*.secrets", Texts, "[\"the callback token\"]"),
    Setting("vendors.tencent.apps.*.secrets_files", Texts, "[\"/run/secrets/tencent\"]"),
    Setting("vendors.openim.apps.*.path_tokens", Texts, "[\"a long random word\"]"),
    Setting("vendors.openim.apps.*.path_tokens_files", Texts, "[\"/run/secrets/openim-token\"]"),
    Setting("vendors.openim.apps.*.basic_auth", Texts, "[\"user:password\"]"),
    Setting("vendors.openim.apps.*.basic_auth_files", Texts, "[\"/run/secrets/openim-basic\"]"),
    Setting("vendors.openim.apps.*.allowed_ips", Networks, "[\"10.0.0.0/8\"]"),
    Setting("vendors.openim.apps.*.allow_unauthenticated", Switch, "false"),
    Setting("vendors.openim.apps.*.epoch", Number(0, 4_294_967_295), "0"),
    Setting("vendors.openim.apps.*.reads_from_notifications", Switch, "false"),
    Setting(
        "vendors.openim.apps.*.signature_algorithm",
        Word(&["HMAC-SHA1", "HMAC-SHA256", "HMAC-SHA512", "RSA-SHA256", "ECDSA-SHA256"]),
        "\"HMAC-SHA256\"",
    ),
    Setting("vendors.openim.apps.*.signature_header", Text, "\"X-OpenIM-Signature\""),
    Setting("vendors.openim.apps.*.nonce_header", Text, "\"X-OpenIM-Nonce\""),
    Setting("vendors.openim.apps.*.signature_secrets", Texts, "[\"its signature.secret\"]"),
    Setting("vendors.openim.apps.*.signature_secrets_files", Texts, "[\"/run/secrets/openim-signature\"]"),
    Setting("vendors.rongcloud.apps.*.app_key", Text, "\"from the console\""),
    Setting("vendors.rongcloud.apps.*.secrets", Texts, "[\"the app secret\"]"),
    Setting("vendors.rongcloud.apps.*.secrets_files", Texts, "[\"/run/secrets/rongcloud\"]"),
    Setting("vendors.rongcloud.apps.*.freshness_seconds", Number(0, LARGEST), "0"),
    Setting("vendors.rongcloud.apps.*.relay_secrets", Texts, "[\"another secret\"]"),
    Setting("vendors.rongcloud.apps.*.relay_secrets_files", Texts, "[\"/run/secrets/relay\"]"),
    Setting("vendors.easemob.passthrough.url", Text, "\"https://im-hooks.example.com/easemob\""),
    Setting("vendors.easemob.passthrough.timeout_ms", Number(1, LARGEST), "150"),
    Setting("vendors.easemob.passthrough.ca_file", File, "\"/etc/ssl/own-ca.pem\""),
    Setting("vendors.easemob.passthrough.client_cert_file", File, "\"/etc/ssl/readhook.pem\""),
    Setting("vendors.easemob.passthrough.client_key_file", File, "\"/etc/ssl/readhook.key\""),
    Setting("vendors.tencent.passthrough.url", Text, "\"https://im-hooks.example.com/tencent\""),
    Setting("vendors.tencent.passthrough.timeout_ms", Number(1, LARGEST), "1500"),
    Setting("vendors.tencent.passthrough.ca_file", File, "\"/etc/ssl/own-ca.pem\""),
    Setting("vendors.tencent.passthrough.client_cert_file", File, "\"/etc/ssl/readhook.pem\""),
    Setting("vendors.tencent.passthrough.client_key_file", File, "\"/etc/ssl/readhook.key\""),
    Setting("vendors.openim.passthrough.url", Text, "\"https://im-hooks.example.com/openim\""),
    Setting("vendors.openim.passthrough.timeout_ms", Number(1, LARGEST), "1500"),
    Setting("vendors.openim.passthrough.ca_file", File, "\"/etc/ssl/own-ca.pem\""),
    Setting("vendors.openim.passthrough.client_cert_file", File, "\"/etc/ssl/readhook.pem\""),
    Setting("vendors.openim.passthrough.client_key_file", File, "\"/etc/ssl/readhook.key\""),
    Setting(
        "sinks.*.type",
        Word(&["stdout", "file", "http", "nats", "kafka", "redis", "postgres"]),
        "\"file\"",
    ),
    Setting("sinks.*.batch", Number(1, LARGEST), "1000"),
    Setting("sinks.*.from", Word(&["start", "now"]), "\"start\""),
    Setting("sinks.*.max_dead_letters", Number(0, LARGEST), "10000"),
    Setting("sinks.*.max_dead_letter_bytes", Number(0, LARGEST), "67108864"),
    Setting("sinks.*.max_lag_days", Number(0, 4_294_967_295), "14"),
    Setting("sinks.*.max_lag_bytes", Number(0, LARGEST), "10737418240"),
    Setting("sinks.*.path", File, "\"data/receipts.jsonl\""),
    Setting("sinks.*.url", Text, "\"https://app.example.com/receipts\""),
    Setting("sinks.*.url_file", File, "\"/run/secrets/sink-url\""),
    Setting("sinks.*.secrets", Texts, "[\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]"),
    Setting("sinks.*.secrets_files", Texts, "[\"/run/secrets/webhook\"]"),
    Setting("sinks.*.token", Text, "\"the-endpoints-token\""),
    Setting("sinks.*.token_file", File, "\"/run/secrets/sink-token\""),
    Setting("sinks.*.mode", Word(&["single", "batch"]), "\"single\""),
    Setting("sinks.*.timeout_ms", Number(1, LARGEST), "10000"),
    Setting("sinks.*.ca_file", File, "\"/etc/ssl/own-ca.pem\""),
    Setting("sinks.*.client_cert_file", File, "\"/etc/ssl/readhook.pem\""),
    Setting("sinks.*.client_key_file", File, "\"/etc/ssl/readhook.key\""),
    Setting("sinks.*.stream", Text, "\"readhook\""),
    Setting("sinks.*.subject_prefix", Text, "\"readhook\""),
    Setting("sinks.*.replicas", Number(1, 5), "1"),
    Setting("sinks.*.dedupe_seconds", Number(1, LARGEST), "120"),
    Setting("sinks.*.credentials", Text, "\"the text of a .creds file\""),
    Setting("sinks.*.credentials_file", File, "\"/run/secrets/readhook.creds\""),
    Setting("sinks.*.nkey_seed", Text, "\"the seed\""),
    Setting("sinks.*.nkey_seed_file", File, "\"/run/secrets/readhook.nk\""),
    Setting("sinks.*.brokers", Texts, "[\"127.0.0.1:9092\"]"),
    Setting("sinks.*.topic", Text, "\"readhook.receipts\""),
    Setting("sinks.*.tls", Switch, "true"),
    Setting("sinks.*.username", Text, "\"readhook\""),
    Setting("sinks.*.password", Text, "\"the password\""),
    Setting("sinks.*.password_file", File, "\"/run/secrets/kafka\""),
    Setting("sinks.*.sasl_mechanism", Word(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]), "\"PLAIN\""),
    Setting("sinks.*.compression", Word(&["none", "gzip", "snappy", "lz4"]), "\"none\""),
    Setting("sinks.*.maxlen", Number(0, LARGEST), "1000000"),
    Setting("sinks.*.cluster", Switch, "false"),
    Setting("sinks.*.wait_replicas", Number(0, LARGEST), "0"),
    Setting("sinks.*.table", Text, "\"read_receipts\""),
];

/// Settings without which their section means nothing, and a value that reads well where one is missing: what else is wrong
/// with the section can then be found in the same run.
pub(super) const REQUIRED: &[(&str, &str, &str)] = &[
    ("vendors.easemob.apps.*", "appkey", "org#missing"),
    ("vendors.tencent.apps.*", "sdk_app_id", "missing"),
    ("vendors.rongcloud.apps.*", "app_key", "missing"),
    ("vendors.easemob.passthrough", "url", "http://missing.invalid"),
    ("vendors.tencent.passthrough", "url", "http://missing.invalid"),
    ("vendors.openim.passthrough", "url", "http://missing.invalid"),
];

impl Kind {
    /// What is expected, as the end of a sentence.
    fn words(self) -> String {
        match self {
            Self::Number(0, u64::MAX | LARGEST) => "a whole number".to_owned(),
            Self::Number(least, LARGEST) => format!("a whole number, {least} or more"),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::Switch => "`true` or `false`".to_owned(),
            Self::Word(words) => format!("one of {}", quoted(words)),
            Self::Text => "a text in quotes".to_owned(),
            Self::File => "the name of a file in quotes".to_owned(),
            Self::Address => "an address and a port".to_owned(),
            Self::Texts => "a list of texts".to_owned(),
            Self::Networks => "a list of addresses and CIDR ranges".to_owned(),
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn matches(pattern: &str, key: &str) -> bool {
    let (mut pattern, mut key) = (pattern.split('.'), key.split('.'));
    loop {
        match (pattern.next(), key.next()) {
            (None, None) => return true,
            (Some(part), Some(name)) if part == "*" || part == name => {}
            (_, _) => return false,
        }
    }
}

fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|Setting(pattern, ..)| matches(pattern, key))
}

/// Whether this is the name of a section, one that may hold settings.
fn is_section(key: &str) -> bool {
    let depth = key.split('.').count();
    SETTINGS.iter().any(|Setting(pattern, ..)| {
        let parts: Vec<&str> = pattern.split('.').collect();
        parts.len() > depth && parts.get(..depth).is_some_and(|section| matches(&section.join("."), key))
    })
}

/// What a setting takes and an example of it, as the end of a sentence; empty if it is not known here.
pub(super) fn expected(key: &str) -> String {
    let Some(Setting(_, kind, example)) = find(key) else { return String::new() };
    let name = key.rsplit('.').next().unwrap_or(key);
    format!("expected {}, for example `{name} = {example}`", kind.words())
}

/// Whether a value is what its setting takes. Only what can be said better here than where it is read.
///
/// # Errors
/// The mistake, without the value.
pub(super) fn check(key: &str, value: &config::Value) -> Result<(), Mistake> {
    use config::ValueKind as V;
    let is_table = matches!(value.kind, V::Table(_));
    let Some(Setting(_, kind, _)) = find(key) else {
        if !is_table && is_section(key) {
            return Err(Mistake::of(
                key,
                format!("a section belongs here, `[{key}]`, and not {}", found(value)),
            ));
        }
        return Ok(());
    };
    let wrong = |why: &str| {
        let why = if why.is_empty() { String::new() } else { format!("{why}; ") };
        Err(Mistake::of(key, format!("{why}{}", expected(key))))
    };
    let unfit = || wrong(&format!("found {}", found(value)));
    match (kind, &value.kind) {
        (Number(least, most), _) => match number(value) {
            Some(number) if i128::from(*least) <= number && number <= i128::from(*most) => Ok(()),
            Some(0) => wrong("0 is too small"),
            Some(_) => wrong("the number is out of range"),
            None => unfit(),
        },
        (Switch, V::Boolean(_)) => Ok(()),
        (Switch, V::String(text)) if ["true", "false"].contains(&text.to_ascii_lowercase().as_str()) => {
            Ok(())
        }
        (Switch, _) => unfit(),
        (Word(words), V::String(text)) => match words.iter().find(|word| *word == text) {
            Some(_) => Ok(()),
            // Said by the sinks themselves, with the build's own types.
            None if key.ends_with(".type") => Ok(()),
            None => match nearest(text, words.iter().copied()) {
                Some(near) => {
                    wrong(&format!("`{}` is none of them; did you mean `{near}`?", text.escape_debug()))
                }
                None => wrong(&format!("`{}` is none of them", text.escape_debug())),
            },
        },
        (Address, V::String(text)) => match address::parse(text) {
            Ok(_) => Ok(()),
            Err(problem) => wrong(&problem),
        },
        (Texts | Networks, V::Array(items)) => items.iter().enumerate().try_for_each(|(index, item)| {
            let place = format!("{key}[{index}]");
            match &item.kind {
                V::String(text) if matches!(kind, Networks) => {
                    network(text).map_err(|why| Mistake::of(place, why))
                }
                V::String(_) => Ok(()),
                V::I64(_) | V::I128(_) | V::U64(_) | V::U128(_) if matches!(kind, Texts) => Ok(()),
                V::I64(_)
                | V::I128(_)
                | V::U64(_)
                | V::U128(_)
                | V::Nil
                | V::Boolean(_)
                | V::Float(_)
                | V::Table(_)
                | V::Array(_) => Err(Mistake::of(place, format!("found {}; {}", found(item), expected(key)))),
            }
        }),
        // As an environment variable has it.
        (Texts | Networks, V::String(text)) => match list(text) {
            Some(items) if matches!(kind, Networks) => {
                items.iter().try_for_each(|item| network(item).map_err(|why| Mistake::of(key, why)))
            }
            Some(_) => Ok(()),
            None => wrong("what begins with `[` must be a list in JSON, `[\"a\",\"b\"]`; or write `a,b`"),
        },
        (Text | File, V::String(_) | V::I64(_) | V::I128(_) | V::U64(_) | V::U128(_)) => Ok(()),
        (
            Word(_) | Address | Texts | Networks | Text | File,
            V::Nil
            | V::Boolean(_)
            | V::Float(_)
            | V::Table(_)
            | V::Array(_)
            | V::I64(_)
            | V::I128(_)
            | V::U64(_)
            | V::U128(_),
        ) => unfit(),
    }
}

/// The items of a list as an environment variable has it: `a,b` or a JSON array of texts and numbers.
pub(super) fn list(text: &str) -> Option<Vec<String>> {
    match text.trim() {
        "" => Some(Vec::new()),
        json if json.starts_with('[') => {
            let items: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
            let text = |item: serde_json::Value| match item {
                serde_json::Value::String(text) => Some(text),
                serde_json::Value::Number(number) => Some(number.to_string()),
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Array(_)
                | serde_json::Value::Object(_) => None,
            };
            items.into_iter().map(text).collect()
        }
        text => Some(text.split(',').map(|item| item.trim().to_owned()).collect()),
    }
}

fn network(text: &str) -> Result<(), String> {
    text.parse::<Network>().map(drop).map_err(str::to_owned)
}

/// A whole number, also as text: all that an environment variable holds is text.
fn number(value: &config::Value) -> Option<i128> {
    use config::ValueKind as V;
    match &value.kind {
        V::I64(number) => Some((*number).into()),
        V::U64(number) => Some((*number).into()),
        V::I128(number) => Some(*number),
        V::U128(number) => (*number).try_into().ok(),
        V::String(text) => text.parse().ok(),
        V::Nil | V::Boolean(_) | V::Float(_) | V::Table(_) | V::Array(_) => None,
    }
}

/// The kind of a value. The value is not shown.
fn found(value: &config::Value) -> &'static str {
    use config::ValueKind as V;
    match &value.kind {
        V::Nil => "nothing",
        V::Boolean(_) => "`true` or `false`",
        V::I64(_) | V::I128(_) | V::U64(_) | V::U128(_) => "a whole number",
        V::Float(_) => "a number with a fraction",
        V::String(text) if text.is_empty() => "an empty text",
        V::String(_) => "a text",
        V::Table(_) => "a section",
        V::Array(_) => "a list",
    }
}

/// What somebody may have meant by a key that nobody knows: the nearest in its section, the same name elsewhere, or all that
/// there are. `names` are those that the section takes, where it knows that better than the list above.
pub(super) fn advice(key: &str, names: Option<&[String]>, spell: &dyn Fn(&str) -> String) -> String {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let full = |name: &str| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    let own: Vec<String> = match names {
        Some(names) => names.to_vec(),
        None => names_in(section),
    };
    if let Some(near) = nearest(name, own.iter().map(String::as_str)) {
        return format!("did you mean `{}`?", spell(&full(near)));
    }
    let elsewhere = |found: &&Setting| {
        let Setting(pattern, ..) = found;
        !pattern.contains('*') && pattern.rsplit('.').next() == Some(name) || flat(pattern) == flat(key)
    };
    if let Some(Setting(pattern, ..)) = SETTINGS.iter().find(elsewhere) {
        return format!("did you mean `{}`?", spell(pattern));
    }
    match (own.is_empty(), section) {
        (true, _) => "there is nothing of that name".to_owned(),
        (false, "") => format!("the sections are {}", listed(&own)),
        (false, section) => format!("[{section}] takes {}", listed(&own)),
    }
}

fn listed(names: &[String]) -> String {
    quoted(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// With one separator for all, so that `server_listen` is found, too.
fn flat(key: &str) -> String {
    let parts = key.split(['.', '_', '-']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

/// The names that a section takes.
fn names_in(section: &str) -> Vec<String> {
    let depth = if section.is_empty() { 0 } else { section.split('.').count() };
    let mut names: Vec<String> = Vec::new();
    for Setting(pattern, ..) in SETTINGS {
        let parts: Vec<&str> = pattern.split('.').collect();
        let (Some(above), Some(name)) = (parts.get(..depth), parts.get(depth)) else { continue };
        let fits = depth == 0 || matches(&above.join("."), section);
        if fits && *name != "*" && !names.iter().any(|known| known == name) {
            names.push((*name).to_owned());
        }
    }
    names
}

/// The nearest of some words, if one is near enough to be what was meant.
pub(super) fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.to_lowercase();
    let distance = |other: &str| strsim::damerau_levenshtein(&word, &other.to_lowercase());
    let near = words.map(|other| (distance(other), other)).min_by_key(|(distance, _)| *distance);
    // Two slips in a word of six letters; in a short one, one.
    near.filter(|(distance, other)| *distance <= (other.chars().count() / 3).clamp(1, 3))
        .map(|(_, other)| other)
}

/// Whether the name of an environment variable, without what stands before its first section, looks like a setting.
pub(super) fn looks_like_a_setting(name: &str) -> Option<String> {
    let name = flat(name);
    let parts: Vec<&str> = name.split('_').collect();
    // Kubernetes and Docker make these for every service of the namespace: READHOOK_ADMIN_PORT_9090_TCP_ADDR.
    let made = matches!(parts.as_slice(), [.., "service", "host"] | [.., "port"])
        || parts.windows(2).any(|pair| pair == ["service", "port"])
        || parts.windows(3).any(|three| matches!(three, ["port", number, "tcp" | "udp" | "sctp"] if number.parse::<u16>().is_ok()));
    if made {
        return None;
    }
    let fits = |pattern: &str| {
        let pattern = flat(pattern);
        match pattern.split_once("_*_") {
            Some((before, after)) => {
                let rest = name.strip_prefix(before).and_then(|rest| rest.strip_prefix('_'));
                rest.and_then(|rest| rest.strip_suffix(after))
                    .is_some_and(|app| app.len() > 1 && app.ends_with('_'))
            }
            None => name == pattern || strsim::damerau_levenshtein(&name, &pattern) == 1,
        }
    };
    let Setting(pattern, ..) = SETTINGS.iter().find(|Setting(pattern, ..)| fits(pattern))?;
    let pattern = pattern.to_ascii_uppercase().replace('.', "__");
    Some(format!("READHOOK__{}", pattern.replace('*', "<NAME>")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_makes_is_no_setting_and_a_slip_of_the_prefix_is_one() {
        for made in [
            "SERVICE_HOST",
            "SERVICE_PORT_HTTP",
            "PORT",
            "PORT_8080_TCP",
            "PORT_9090_TCP_ADDR",
            "ADMIN_PORT",
            "ADMIN_SERVICE_PORT_HTTP",
            "SINKS_PORT_1_UDP_PROTO",
            "PICTURES",
            "VERSION",
        ] {
            assert_eq!(looks_like_a_setting(made), None, "{made}");
        }
        for (name, meant) in [
            ("SERVER__LISTEN", "READHOOK__SERVER__LISTEN"),
            ("SERVER_LISTEN", "READHOOK__SERVER__LISTEN"),
            ("SERVER_LISTN", "READHOOK__SERVER__LISTEN"),
            ("JOURNAL_RETENTION_DAYS", "READHOOK__JOURNAL__RETENTION_DAYS"),
            ("VENDORS_EASEMOB_APPS_DEMO_SECRETS", "READHOOK__VENDORS__EASEMOB__APPS__<NAME>__SECRETS"),
            ("SINKS__EVENTS__PATH", "READHOOK__SINKS__<NAME>__PATH"),
        ] {
            assert_eq!(looks_like_a_setting(name).as_deref(), Some(meant), "{name}");
        }
    }

    #[test]
    fn every_setting_of_the_commented_file_is_known_here() {
        let text = include_str!("../../config/readhook.toml");
        let mut section = String::new();
        for line in text.lines() {
            let line = line.trim_start_matches('#');
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
                section = name.to_owned();
            } else if let Some((name, _)) = line.split_once(" = ")
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            {
                let key = format!("{section}.{name}");
                assert!(find(&key).is_some(), "{key}");
            }
        }
    }
}
