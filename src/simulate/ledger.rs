//! The reads that were acknowledged, line by line, so that somebody can look for each of them at the other end. What was
//! sent is in it and no receipt of ours: whoever compares reads the vendor's body for himself.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::callback::Callback;
use super::vendor::Vendor;

/// A file of acknowledged reads. A line is what `POST /api/v1/explain` takes.
pub(crate) struct Ledger(Mutex<Pages>);

struct Pages {
    out: BufWriter<File>,
    /// The first mistake; nothing is written after it.
    failed: Option<io::Error>,
}

#[derive(Serialize)]
struct Line<'c> {
    vendor: &'static str,
    path: &'c str,
    query: &'c str,
    headers: Headers<'c>,
    body: &'c str,
}

/// Without credentials, as all that readhook keeps.
#[derive(Serialize)]
struct Headers<'c> {
    #[serde(rename = "content-type", skip_serializing_if = "Option::is_none")]
    content_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operationid: Option<&'c str>,
}

impl Ledger {
    /// Begins a file, over what it held.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        let out = BufWriter::with_capacity(256 << 10, File::create(path)?);
        Ok(Self(Mutex::new(Pages { out, failed: None })))
    }

    /// Notes a read that was acknowledged.
    pub(super) fn note(&self, vendor: Vendor, callback: &Callback) {
        let line = Line {
            vendor: vendor.route().trim_start_matches("/webhooks/"),
            path: callback.target.path(),
            query: callback.target.query().unwrap_or_default(),
            headers: Headers {
                content_type: callback.content_type,
                operationid: callback.operation_id.as_ref().and_then(|id| id.to_str().ok()),
            },
            // Only what is spoilt on purpose is no text, and that is never acknowledged as a read.
            body: std::str::from_utf8(&callback.body).unwrap_or_default(),
        };
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.failed.is_none()
            && let Err(error) = pages.write(&line)
        {
            pages.failed = Some(error);
        }
    }

    /// Brings the last of it into the file.
    ///
    /// # Errors
    /// When a line, this or an earlier one, could not be written.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match pages.failed.take() {
            Some(error) => Err(error),
            None => pages.out.flush(),
        }
    }
}

impl Pages {
    fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }
}
