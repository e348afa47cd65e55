//! A file: an append and an `fdatasync` for each batch.

use std::fs::File;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use readhook_bench::rate::Rate;

use super::receipt::Receipt;

/// The file must not exist yet.
pub(crate) fn push(path: &str, batches: &[&[Receipt<'_>]], rate: &mut Rate) -> Result<()> {
    let mut file = File::create_new(path).with_context(|| format!("creating {path}"))?;
    let prepared: Vec<Vec<u8>> = batches.iter().map(|batch| lines(batch)).collect();
    for (batch, lines) in batches.iter().zip(&prepared) {
        file.write_all(lines)?;
        file.sync_data()?;
        rate.add(batch.len());
    }
    Ok(())
}

fn lines(batch: &[Receipt<'_>]) -> Vec<u8> {
    batch.iter().flat_map(|receipt| [receipt.json.as_bytes(), b"\n"]).collect::<Vec<_>>().concat()
}
