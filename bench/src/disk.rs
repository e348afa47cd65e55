//! What the disk itself costs: the price of one append and `fdatasync`, and whether it is a disk at all.
//!
//! It does not measure throughput or parallel writers; a group-commit journal has one writer.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::FsWord;

/// `f_type` of the file systems that live in memory, where `fdatasync` is free and means nothing.
const TMPFS: FsWord = 0x0102_1994;
const RAMFS: FsWord = 0x8584_58f6;

/// Percentiles of an append of 4 KiB followed by `fdatasync`.
#[derive(Clone, Copy, Debug)]
pub struct SyncCost {
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
}

/// An error if `directory` lies in memory.
pub fn ensure_real(directory: &Path) -> Result<()> {
    let kind = rustix::fs::statfs(directory)?.f_type;
    ensure!(kind != TMPFS && kind != RAMFS, "{} is not on a disk", directory.display());
    Ok(())
}

/// Appends and syncs `times` times in a file of its own in `directory`, which it removes.
pub fn sync_cost(directory: &Path, times: usize) -> Result<SyncCost> {
    let path = directory.join("sync-cost");
    let mut file = File::create_new(&path).with_context(|| format!("creating {}", path.display()))?;
    let page = [0x5a; 4096];
    let mut costs = (0..times)
        .map(|_| {
            let begin = Instant::now();
            file.write_all(&page)?;
            file.sync_data()?;
            Ok(begin.elapsed())
        })
        .collect::<Result<Vec<_>>>()?;
    fs::remove_file(&path)?;
    costs.sort_unstable();
    let at = |percent: usize| costs.get(costs.len() * percent / 100).copied();
    let (p50, p99) = at(50).zip(at(99)).context("nothing measured")?;
    Ok(SyncCost { p50, p99 })
}
