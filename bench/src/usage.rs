//! CPU time and memory, as Linux accounts for them.
//!
//! It reads `/proc` of the process asked about; it does not look at its children or its control group.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// How long a server may go on working when nobody asks it to any more.
const LONGEST_WORK: Duration = Duration::from_secs(120);

/// CPU time of this process so far, to the nanosecond.
pub fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// User and system time of process `pid` so far, in steps of the kernel's clock tick (10 ms as a rule).
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name may hold spaces, but what follows its last `)` does not.
    let (_, fields) = stat.rsplit_once(") ").context("an unknown form of /proc/PID/stat")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = ticks().zip(ticks()).context("an unknown form of /proc/PID/stat")?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64((user + system) as f64 / per_second as f64))
}

/// Waits until process `pid` has hardly anything to do any more, less than a tick in a tenth of a second, twice; then until
/// the disk has what was written.
pub fn until_idle(pid: u32) -> Result<()> {
    let begun = Instant::now();
    let (mut before, mut idle) = (cpu(pid)?, 0);
    while idle < 2 {
        if begun.elapsed() > LONGEST_WORK {
            bail!("process {pid} does not come to rest within {LONGEST_WORK:?}");
        }
        sleep(Duration::from_millis(100));
        let now = cpu(pid)?;
        idle = if now == before { idle + 1 } else { 0 };
        before = now;
    }
    rustix::fs::sync();
    Ok(())
}

/// CPU time that the whole machine has spent so far on anything but idling; what the hypervisor gave to others
/// instead (steal) is part of it.
pub fn machine_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().and_then(|line| line.strip_prefix("cpu "));
    let ticks: Vec<u64> =
        all.unwrap_or_default().split_whitespace().map_while(|field| field.parse().ok()).collect();
    // The fourth and fifth are idle and waiting for disks; those after the eighth are counted in the first two.
    let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else {
        bail!("an unknown form of /proc/stat");
    };
    Ok(in_seconds(user + nice + system + irq + softirq + steal))
}

/// Lets the peak memory of `pid` begin again at what it holds now.
pub fn forget_peak_rss(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("resetting the peak of resident memory")
}

/// Peak resident memory of `pid` in bytes, since its start or the last [`forget_peak_rss`].
pub fn peak_rss(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    Ok(peak.context("no VmHWM in /proc/PID/status")?.trim().parse::<u64>()? * 1024)
}

/// Lets this process and those it starts open as many files as they are allowed to.
///
/// A thousand connections do not fit into the usual soft limit of 1,024 files.
pub fn raise_file_limit() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raising the limit of open files")
}

fn in_seconds(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(peak_rss(pid).unwrap() > 0);
        let begin = own_cpu();
        while own_cpu() - begin < Duration::from_millis(50) {}
        assert!(cpu(pid).unwrap() >= Duration::from_millis(30));
        assert!(machine_cpu().unwrap() >= cpu(pid).unwrap());
    }
}
