//! Runs inputs without libFuzzer: no C++ compiler, no instrumentation, and a backtrace that a debugger can
//! follow.

use std::fs;
use std::io::{Error, Result, Write};
use std::path::{Path, PathBuf};

use crate::Target;
use crate::promise::check;

/// Checks every file that the arguments name, and every file of the folders among them. A broken promise
/// panics.
pub fn replay(target: Target) -> Result<()> {
    let mut files = Vec::new();
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        find(&path, &mut files)?;
    }
    let mut out = std::io::stdout().lock();
    for file in &files {
        write!(out, "{}: ", file.display())?;
        out.flush()?;
        let bytes = fs::read(file).map_err(|error| Error::other(format!("{}: {error}", file.display())))?;
        match check(target, &bytes) {
            Some(way) => {
                writeln!(out, "{} {} ({})", way.outcome.as_str(), way.outcome.reason(), way.entries.len())?;
            }
            None => writeln!(out, "no request")?,
        }
    }
    writeln!(out, "{} inputs", files.len())
}

fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        find(&entry?.path(), files)?;
    }
    Ok(())
}
