//! Whether what a simulation was told is stored is stored: the receiver's admin API is asked for all receipts since the run
//! began, page by page, and those of the run's own users are counted.

use hyper::Method;
use serde_json::Value;

use super::super::ask::ask;
use crate::config::Secret;
use crate::receipt::Timestamp;
use crate::simulate::{Mark, Verified};
use crate::sink::BoxError;

/// Counts the receipts of a run. `admin` is `http://HOST:PORT`.
pub(super) async fn verify(
    admin: &str,
    token: Option<&Secret>,
    since: Timestamp,
    marks: &[Mark],
) -> Result<Verified, BoxError> {
    let address = admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/');
    let mut verified = Verified { expected: marks.iter().map(|mark| mark.receipts).sum(), stored: 0 };
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/receipts?limit=500&since={since}{cursor}");
        let (status, body) = ask(address, Method::GET, &path, token, String::new()).await?;
        if !status.is_success() {
            return Err(format!("{address} says {status}").into());
        }
        let page: Value = serde_json::from_str(&body)?;
        let receipts = page["receipts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let readers = receipts.iter().filter_map(|receipt| receipt["reader"].as_str());
        verified.stored +=
            readers.filter(|reader| marks.iter().any(|mark| reader.contains(&mark.text))).count() as u64;
        match page["next"].as_str() {
            Some(next) => {
                let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
                cursor = format!("&cursor={next}");
            }
            None => return Ok(verified),
        }
    }
}
