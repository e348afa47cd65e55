//! House rules that a machine can see: every file says what it is, and imports point down only. Text matching: a
//! fence, not a lock.

use std::path::{Path, PathBuf};

use crate::house::repository;

/// Who may use whom, top to bottom. A new module must be given its place here and in ARCHITECTURE.md.
const MAY_USE: [(&str, &[&str]); 32] = [
    ("receipt", &[]),
    ("config", &[]),
    ("clock", &["receipt"]),
    ("log_limit", &[]),
    ("ban_guard", &[]),
    ("backoff", &[]),
    ("files", &[]),
    ("throttle", &[]),
    ("metrics", &["receipt"]),
    ("telemetry", &["config"]),
    ("tls", &["clock", "config"]),
    ("spans", &["config", "receipt", "tls"]),
    ("vendor", &["config", "receipt"]),
    ("journal", &["backoff", "config", "files", "log_limit", "metrics", "receipt"]),
    ("quarantine", &["clock", "config", "files", "log_limit", "metrics", "receipt"]),
    ("callback_log", &["config", "journal", "receipt", "vendor"]),
    ("state", &["backoff", "files", "journal", "metrics", "receipt"]),
    ("passthrough", &["config", "log_limit", "metrics", "receipt", "tls", "vendor"]),
    ("stamp", &["journal", "receipt", "vendor"]),
    ("sink", &["clock", "config", "journal", "receipt", "tls"]),
    ("dispatch", &["backoff", "clock", "config", "journal", "log_limit", "metrics", "receipt", "sink"]),
    ("direct", &["backoff", "clock", "config", "dispatch", "journal", "log_limit", "metrics", "sink"]),
    ("store", &["direct", "journal"]),
    (
        "ingest",
        &[
            "ban_guard",
            "callback_log",
            "journal",
            "log_limit",
            "metrics",
            "passthrough",
            "quarantine",
            "receipt",
            "spans",
            "stamp",
            "store",
            "vendor",
        ],
    ),
    ("requeue", &["ingest", "passthrough", "quarantine", "receipt", "vendor"]),
    ("server", &["clock", "config", "ingest", "passthrough", "receipt", "store", "throttle", "vendor"]),
    ("explain", &["config", "ingest", "receipt", "server", "vendor"]),
    (
        "admin",
        &[
            "callback_log",
            "clock",
            "config",
            "dispatch",
            "explain",
            "ingest",
            "journal",
            "metrics",
            "quarantine",
            "receipt",
            "requeue",
            "server",
            "state",
            "store",
            "throttle",
            "vendor",
        ],
    ),
    (
        "console",
        &[
            "admin",
            "callback_log",
            "clock",
            "dispatch",
            "explain",
            "journal",
            "quarantine",
            "receipt",
            "state",
            "vendor",
        ],
    ),
    (
        "service",
        &[
            "admin",
            "callback_log",
            "clock",
            "config",
            "console",
            "direct",
            "dispatch",
            "ingest",
            "journal",
            "metrics",
            "passthrough",
            "quarantine",
            "receipt",
            "requeue",
            "server",
            "sink",
            "spans",
            "state",
            "store",
            "tls",
            "vendor",
        ],
    ),
    ("simulate", &["clock", "config", "tls"]),
    (
        "cli",
        &[
            "callback_log",
            "clock",
            "config",
            "dispatch",
            "explain",
            "ingest",
            "journal",
            "metrics",
            "quarantine",
            "receipt",
            "requeue",
            "simulate",
            "sink",
            "state",
            "store",
            "telemetry",
            "vendor",
            "Listeners",
            "RunError",
            "Signals",
            "preflight",
            "run",
        ],
    ),
];

/// Crates that end in one room.
const ENDS_IN: [(&str, &[&str]); 22] = [
    ("axum", &["server", "admin", "console"]),
    ("maud", &["console"]),
    ("rusqlite", &["files", "journal", "quarantine", "state"]),
    ("rustix", &["journal", "quarantine", "state"]),
    ("hyper", &["server", "admin", "cli", "simulate"]),
    ("hdrhistogram", &["simulate"]),
    ("indicatif", &["cli"]),
    ("prometheus", &["metrics", "service"]),
    ("futures_util", &["admin", "server", "store"]),
    ("csv", &["cli"]),
    ("rustls", &["tls", "sink"]),
    ("reqwest", &["sink"]),
    ("hmac", &["sink", "vendor"]),
    ("opentelemetry", &["spans"]),
    ("opentelemetry_http", &["spans"]),
    ("opentelemetry_otlp", &["spans"]),
    ("opentelemetry_sdk", &["spans"]),
    ("async_nats", &["sink"]),
    ("rdkafka", &["sink"]),
    ("redis", &["sink"]),
    ("tokio_postgres", &["sink"]),
    ("tokio_postgres_rustls", &["sink"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&repository(folder), &mut found);
    found.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// The room of a file of `src/`: its first folder, or its own name.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(repository("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn every_file_says_what_it_is() {
    for folder in ["src", "tests", "benches", "bench", "fuzz"] {
        for (path, text) in all(folder) {
            assert!(text.starts_with("//!"), "{} does not begin with //!", path.display());
        }
    }
}

#[test]
fn imports_point_down_only() {
    for (path, text) in all("src") {
        let room = room(&path);
        if ["lib", "main"].contains(&&*room) {
            continue;
        }
        let allowed = MAY_USE.iter().find(|(name, _)| *name == room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{room} has no place in the table"));
        for used in text.split("crate::").skip(1) {
            let names: Vec<&str> = match used.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap().split(',').map(str::trim).collect(),
                None => vec![used.split(|c| !is_word(c)).next().unwrap()],
            };
            for name in names.into_iter().filter(|name| !name.is_empty() && *name != room) {
                assert!(allowed.contains(&name), "{}: {room} may not use {name}", path.display());
            }
        }
    }
}

#[test]
fn foreign_crates_end_in_their_rooms() {
    for (path, text) in all("src") {
        for (name, rooms) in ENDS_IN {
            let uses = text.contains(&format!("use {name}::")) || text.contains(&format!(" {name}::"));
            assert!(!uses || rooms.contains(&&*room(&path)), "{} uses {name}", path.display());
        }
    }
}

#[test]
fn siblings_do_not_know_each_other() {
    for (folder, names) in [
        ("src/vendor", ["easemob", "tencent", "openim", "rongcloud"].as_slice()),
        ("src/sink", &["file", "http", "kafka", "nats", "postgres", "redis", "stdout"]),
    ] {
        for (path, text) in all(folder) {
            let own = path.strip_prefix(repository(folder)).unwrap().to_str().unwrap().to_owned();
            if own == "mod.rs" {
                continue;
            }
            for name in names.iter().filter(|name| !own.starts_with(**name)) {
                assert!(!text.contains(&format!("super::{name}")), "{} knows {name}", path.display());
            }
        }
    }
}
