//! Inputs made of the fixtures. What the fixtures expect is kept, so that a test can tell whether an input
//! stands for its fixture.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error, Result};
use std::net::IpAddr;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use readhook::config::Secret;
use serde::Deserialize;

use crate::Target;
use crate::input::{CLIENTS, Input, MOMENTS};
use crate::proof::tencent_sign;
use crate::setting::repository;

/// A fixture as an input.
pub struct Seed {
    /// The name of its folder.
    pub case: String,
    /// The callback.
    pub input: Input,
    /// What must come of it.
    pub expected: Expected,
}

/// `expected.toml`
#[derive(Debug, Deserialize)]
pub struct Expected {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The outcome's word.
    pub outcome: String,
    /// The reason code.
    #[serde(default)]
    pub reason: String,
}

/// `request.toml`, without what is for people.
#[derive(Deserialize)]
struct Ask {
    path: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    config: String,
    sign: Option<Sign>,
}

#[derive(Deserialize)]
struct Sign {
    token: String,
    #[serde(default)]
    offset_seconds: i64,
}

/// Every fixture of a target.
pub fn seeds(target: Target) -> Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for vendor in ["easemob", "tencent", "openim", "rongcloud"] {
        for folder in fs::read_dir(repository("fixtures").join(vendor))? {
            seeds.extend(seed(target, &folder?.path())?);
        }
    }
    Ok(seeds)
}

/// The fixture in a folder, if its path is the target's.
fn seed(target: Target, folder: &Path) -> Result<Option<Seed>> {
    let ask: Ask = read(&folder.join("request.toml"))?;
    if !is_run(&ask) {
        return Ok(None);
    }
    let behind = ask.path.strip_prefix("/webhooks/").and_then(|path| path.strip_prefix(target.route()));
    let Some(tail) =
        behind.filter(|tail| tail.is_empty() || (target == Target::OpenIm && tail.starts_with('/')))
    else {
        return Ok(None);
    };
    let expected: Expected = read(&folder.join("expected.toml"))?;
    let mut query = ask.query;
    if let Some(Sign { token, offset_seconds }) = &ask.sign {
        let time = MOMENTS[0] / 1000 + offset_seconds;
        let sign = tencent_sign(&Secret::from(token.clone()), &time.to_string());
        query = format!("{query}&Sign={sign}&RequestTime={time}");
    }
    let mut headers = HeaderMap::new();
    let mut client = 0;
    for (name, value) in ask.headers {
        // The server believes its proxies, and hands on an address.
        if name.eq_ignore_ascii_case("x-forwarded-for") {
            let address = value.rsplit(',').next().and_then(|hop| hop.trim().parse::<IpAddr>().ok());
            client = CLIENTS.iter().position(|known| Some(*known) == address).unwrap_or_default();
        }
        let name = HeaderName::try_from(name).map_err(Error::other)?;
        headers.append(name, HeaderValue::try_from(value).map_err(Error::other)?);
    }
    let mut bodies = fs::read_dir(folder)?.filter_map(|file| Some(file.ok()?.path()));
    let body = bodies.find(|file| file.file_stem().is_some_and(|stem| stem == "body"));
    let input = Input {
        strict: ask.config == "strict",
        sign: None,
        client: u8::try_from(client).map_err(Error::other)?,
        // Signatures that stand in a fixture are old by the clock of those who run it; here only that matters
        // which is stale.
        moment: u8::from(expected.reason == "stale" && ask.sign.is_none()),
        tail: tail.to_owned(),
        query,
        headers,
        body: fs::read(body.ok_or(Error::other("a fixture without a body"))?)?,
    };
    let case = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some(Seed { case, input, expected }))
}

/// Whether it is run under one of the two configurations that inputs choose between.
fn is_run(ask: &Ask) -> bool {
    matches!(&*ask.config, "" | "demo" | "strict")
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T> {
    let named = |error: toml::de::Error| Error::other(format!("{}: {error}", file.display()));
    toml::from_str(&fs::read_to_string(file)?).map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promise::check;

    #[test]
    fn every_fixture_is_a_seed_that_ends_as_the_fixture_does() {
        let mut count = 0;
        for target in Target::ALL {
            for Seed { case, input, expected } in seeds(target).unwrap() {
                let bytes = input.to_bytes();
                assert_eq!(Input::read(target, &bytes), input, "{case}");
                let way = check(target, &bytes).unwrap();
                let got = (way.outcome.as_str(), way.outcome.reason(), way.answer.status, &*way.answer.body);
                assert_eq!(
                    got,
                    (&*expected.outcome, &*expected.reason, expected.status, &*expected.body),
                    "{case}"
                );
                count += 1;
            }
        }
        let folders = |vendor| {
            let folders = fs::read_dir(repository("fixtures").join(vendor)).unwrap();
            let asks = folders.map(|folder| read(&folder.unwrap().path().join("request.toml")).unwrap());
            asks.filter(is_run).count()
        };
        assert_eq!(count, ["easemob", "tencent", "openim", "rongcloud"].map(folders).iter().sum::<usize>());
    }

    #[test]
    fn signed_seeds_are_genuine() {
        for target in Target::ALL {
            let ways = seeds(target)
                .unwrap()
                .into_iter()
                .map(|seed| check(target, &seed.input.signed(false).to_bytes()));
            let receipts: usize = ways.map(|way| way.unwrap().entries.len()).sum();
            assert!(receipts > 20, "{target:?}: {receipts}");
        }
    }
}
