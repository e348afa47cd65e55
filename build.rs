//! Which commit a build is of, for `readhook --version`, the log and `build_info`: `READHOOK_COMMIT` if it is set, what
//! `cargo package` wrote down in a published crate, or else what git says, with `-dirty` if the sources are not that commit's.
//!
//! Only release builds ask git: a debug build would be made anew after every commit, and nobody runs one in earnest.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const SOURCES: [&str; 5] = ["src", "build.rs", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=READHOOK_COMMIT");
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = (env::var("READHOOK_COMMIT").ok().filter(|commit| !commit.is_empty()))
        .or_else(packaged)
        .or_else(|| if release { checked_out() } else { None })
        .unwrap_or_default();
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let full = if commit.is_empty() { version } else { format!("{version} ({commit})") };
    println!("cargo:rustc-env=READHOOK_COMMIT={commit}");
    println!("cargo:rustc-env=READHOOK_VERSION={full}");
}

/// The commit that `cargo package` was called in.
fn packaged() -> Option<String> {
    let written = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = written.split_once("\"sha1\": \"")?;
    let sha = rest.get(..12)?;
    let dirty = if written.contains("\"dirty\": true") { "-dirty" } else { "" };
    Some(format!("{sha}{dirty}"))
}

/// The commit that is checked out here; none if this folder is only somewhere inside somebody else's repository.
fn checked_out() -> Option<String> {
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES);
    let dirty = if git(&status)?.is_empty() { "" } else { "-dirty" };
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"])?;
    let moved = ["HEAD", &branch, "packed-refs"].map(|name| git(&["rev-parse", "--git-path", name]));
    // A path that is not there would mean: build anew each time.
    for path in moved.into_iter().flatten().chain(SOURCES.map(String::from)) {
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    Some(format!("{commit}{dirty}"))
}

fn git(arguments: &[&str]) -> Option<String> {
    // It takes a lock for `status` otherwise, in the way of whoever commits meanwhile.
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned())
}
