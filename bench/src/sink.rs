//! Counts the receipts that readhook delivered to its file sink: one line each.
//!
//! It counts lines and reads none: what a line must say, the service's own tests know.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// A sink that has not grown for so long will not grow any more.
const STILL: Duration = Duration::from_secs(3);
/// The longest wait for a sink to come to an end.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(50);

/// The lines of a growing file, each byte of it read once.
pub struct Lines {
    path: PathBuf,
    /// Opened at the first look at which it is there.
    file: Option<File>,
    buffer: Vec<u8>,
    seen: u64,
}

impl Lines {
    /// Begins at the first byte of the file, which need not be there yet.
    pub fn of(path: PathBuf) -> Self {
        Self { path, file: None, buffer: vec![0; 1 << 20], seen: 0 }
    }

    /// Waits until the file has `expected` lines, or has stopped growing, or the patience ends; gives the
    /// lines it has then.
    pub fn settle(&mut self, expected: u64) -> Result<u64> {
        let begin = Instant::now();
        let mut grown = begin;
        while self.seen < expected && grown.elapsed() < STILL && begin.elapsed() < LONGEST_WAIT {
            if self.read_on()? {
                grown = Instant::now();
            } else {
                sleep(STEP);
            }
        }
        // One look more: lines beyond those expected are as wrong as missing ones.
        sleep(STEP);
        while self.read_on()? {}
        Ok(self.seen)
    }

    /// Whether there was more to read.
    fn read_on(&mut self) -> Result<bool> {
        let context = || format!("reading the sink {}", self.path.display());
        let file = match &mut self.file {
            Some(file) => file,
            None => match File::open(&self.path) {
                Ok(file) => self.file.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error).with_context(context),
            },
        };
        let read = file.read(&mut self.buffer).with_context(context)?;
        self.seen += self.buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_sink_has_no_lines_and_a_late_one_is_found() {
        let path = std::env::temp_dir().join(format!("readhook-bench-sink-{}", std::process::id()));
        let mut lines = Lines::of(path.clone());
        assert_eq!(lines.settle(0).unwrap(), 0);
        std::fs::write(&path, "{}\n{}\n{").unwrap();
        assert_eq!(lines.settle(2).unwrap(), 2);
        std::fs::write(&path, "{}\n{}\n{}\n").unwrap();
        assert_eq!(lines.settle(3).unwrap(), 3);
        std::fs::remove_file(&path).unwrap();
    }
}
