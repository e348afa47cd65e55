//! The machine in a few words, without which no number of a bench means anything.
//!
//! It does not look for noise: other programs, a throttled CPU, a neighbour on the same host.

use std::fs;
use std::thread::available_parallelism;

use anyhow::Result;

/// A Markdown heading and list of kernel, processor, cores and memory.
pub(crate) fn describe() -> Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model = field(&processors, "model name").unwrap_or("processor of unknown model");
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = field(&memory, "MemTotal").unwrap_or("unknown");
    let cores = available_parallelism()?;
    Ok(format!(
        "### Machine\n\n- {model}, {cores} cores shared by server and generator\n- memory {memory}\n\
         - Linux {}",
        kernel.trim()
    ))
}

/// The value of the first line `name: value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.split_once(':')?.1.trim())
}
