//! `readhook explain`: a captured callback, what would come of it, and why. Works from the configuration alone: no service has
//! to run, and no journal is touched.

mod raw;
mod text;

use std::fs::File;
use std::io::{Read, stdin};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;

use super::moment::Moment;
use super::{Exit, complain, load, print, say};
use crate::clock;
use crate::explain::{Capture, CaptureError};
use crate::vendor::Vendors;

/// Room for the head of a captured request, and for what a hex dump has around each byte.
const ROOM: u64 = 1 << 20;
const DUMPED: u64 = 6;

/// What was captured.
#[derive(Debug, clap::Args)]
pub(super) struct What {
    /// easemob, tencent, openim, rongcloud or rongcloud/relay.
    #[arg(value_parser = ["easemob", "tencent", "openim", "rongcloud", "rongcloud/relay"])]
    vendor: String,
    /// Where it was posted: the URL, or path and query; without it, the vendor's route.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A header field that came with it; any number.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The address that it came from.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// When it arrived: RFC 3339, or how long ago (90m, 2h, 3d); without it, now.
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// FILE holds a whole request: its first line, header fields, an empty line, the body; also as `curl -v` or
    /// `curl --trace` write it, or `tcpdump -A`.
    #[arg(long, conflicts_with_all = ["url", "header"])]
    raw: bool,
    /// For people, or the same as the API answers.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The body; without it, or with -, standard input.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("has the form `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(super) fn explain(file: Option<&Path>, what: What) -> Exit {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Config;
        }
    };
    let (client, received_at) = (what.client, what.at.map(|Moment(moment)| moment));
    let longest = (config.server.body_limit_bytes as u64).saturating_mul(DUMPED).saturating_add(ROOM);
    let bytes = match read(what.file.as_deref(), longest) {
        Ok(bytes) => bytes,
        Err(error) => {
            complain(&error);
            return Exit::Io;
        }
    };
    let capture = if what.raw {
        raw::request(&bytes)
    } else {
        let (path, query, credentials) = target(what.url.as_deref().unwrap_or_default());
        let mut headers = what.header;
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            headers.extend(credentials.map(|value| ("Authorization".to_owned(), value)));
        }
        Ok(Capture { path, query, headers, body: bytes.into(), ..Capture::default() })
    };
    let capture = match capture {
        Ok(capture) => Capture { client, received_at, ..capture },
        Err(why) => {
            say(why);
            return Exit::Usage;
        }
    };
    let vendors = Vendors::configure(&config.vendors);
    let explained = capture.explain(&vendors, &what.vendor, &config.server, clock::now());
    let explanation = match explained {
        Ok(explanation) => explanation,
        Err(error) => {
            complain(&error);
            return match error {
                CaptureError::NotConfigured(_) => Exit::Config,
                CaptureError::NoSuchVendor | CaptureError::Target | CaptureError::Header(_) => Exit::Usage,
            };
        }
    };
    match what.format {
        Format::Text => print(text::write(&explanation).trim_end()),
        Format::Json => match serde_json::to_string_pretty(&explanation) {
            Ok(json) => print(&json),
            Err(error) => {
                complain(&error);
                return Exit::Io;
            }
        },
    }
    if explanation.is_fine() { Exit::Ok } else { Exit::No }
}

/// A file or standard input, as far as it could matter.
fn read(file: Option<&Path>, longest: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match file.filter(|file| *file != Path::new("-")) {
        None => stdin().take(longest).read_to_end(&mut bytes)?,
        Some(file) => {
            let named = |error: std::io::Error| {
                std::io::Error::new(error.kind(), format!("cannot read `{}`: {error}", file.display()))
            };
            File::open(file).and_then(|open| open.take(longest).read_to_end(&mut bytes)).map_err(named)?
        }
    };
    Ok(bytes)
}

/// Path, query, and the Authorization that a client makes of the URL's user part.
fn target(url: &str) -> (String, String, Option<String>) {
    let (rest, credentials) = match url.split_once("://") {
        None => (url, None),
        Some((_, rest)) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, target) = rest.split_at(end);
            let user =
                authority.rsplit_once('@').map(|(user, _)| percent_decode_str(user).collect::<Vec<u8>>());
            (target, user.map(|user| format!("Basic {}", BASE64_STANDARD.encode(user))))
        }
    };
    let rest = rest.split('#').next().unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (path.to_owned(), query.to_owned(), credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_falls_into_path_query_and_credentials() {
        let parts = |url| {
            let (path, query, credentials) = target(url);
            format!("{path} {query} {}", credentials.unwrap_or_default())
        };
        assert_eq!(parts("/webhooks/tencent?a=b?c"), "/webhooks/tencent a=b?c ");
        assert_eq!(parts("https://host:8443/webhooks/easemob"), "/webhooks/easemob  ");
        assert_eq!(parts("https://openim:s3cr%40t@host/x/y#z"), "/x/y  Basic b3BlbmltOnMzY3JAdA==");
        assert_eq!(parts("https://host?a=b"), " a=b ");
    }
}
