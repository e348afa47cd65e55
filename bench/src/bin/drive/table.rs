//! Rounds as Markdown. Every number is the median of the rounds, if nothing else is said.
//!
//! It does not round away noise: the requests per second of each single round stand beside their median.

use readhook_bench::disk::SyncCost;

use super::contestant::{Contestant, Round};

/// The table of one number of connections. The first contestant is what the others are compared with.
///
/// The ratio is the median of the ratios within each round, not the ratio of two medians: the two servers of
/// a round were measured one right after the other.
pub(crate) fn results(contestants: &[Contestant], results: &[Vec<Round>]) -> String {
    let mut table = String::from(
        "| server | req/s | of bare | p50 µs | p99 µs | CPU µs/req | … to the sink | … to rest | generator µs/req | \
         peak RSS MiB | others' cores | req/s of the rounds |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    let base = results.first().map(Vec::as_slice).unwrap_or_default();
    for (contestant, rounds) in contestants.iter().zip(results) {
        let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
        let ratio = median(rounds.iter().zip(base).map(|(round, base)| round.rate / base.rate));
        let each: Vec<_> = rounds.iter().map(|round| format!("{:.0}", round.rate)).collect();
        let peak = rounds.iter().map(|round| round.peak_mib).fold(0.0, f64::max);
        let others = rounds.iter().map(|round| round.others).fold(0.0, f64::max);
        table += &format!(
            "| {} | {:.0} | {ratio:.2} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {peak:.1} | {others:.2} | {} |\n",
            contestant.name(),
            of(|round| round.rate),
            of(|round| round.p50),
            of(|round| round.p99),
            of(|round| round.cpu),
            of(|round| round.cpu_to_sink),
            of(|round| round.cpu_to_rest),
            of(|round| round.generator_cpu),
            each.join(", "),
        );
    }
    table.trim_end().to_owned()
}

/// The memory of each server in the one round given.
pub(crate) fn memory(contestants: &[Contestant], results: &[Vec<Round>]) -> String {
    let mut table = String::from("| server | peak RSS MiB | req/s | p99 µs |\n|---|--:|--:|--:|\n");
    for (contestant, rounds) in contestants.iter().zip(results) {
        for round in rounds {
            let Round { peak_mib, rate, p99, .. } = round;
            table += &format!("| {} | {peak_mib:.1} | {rate:.0} | {p99:.0} |\n", contestant.name());
        }
    }
    table.trim_end().to_owned()
}

/// The latency of each server in units of what the disk took for one sync just before the round.
pub(crate) fn against_disk(contestants: &[Contestant], results: &[Vec<Round>]) -> String {
    let each = contestants.iter().zip(results).map(|(contestant, rounds)| {
        let ratio = median(rounds.iter().map(|round| round.p50 / round.sync));
        format!("{} {ratio:.2}", contestant.name())
    });
    let syncs: Vec<_> = results.iter().flatten().map(|round| format!("{:.0}", round.sync)).collect();
    format!(
        "p50 in units of the disk's own `fdatasync` p50: {}. That took, before each round: {} µs.",
        each.collect::<Vec<_>>().join(", "),
        syncs.join(", ")
    )
}

/// The price of a sync, in words.
pub(crate) fn sync(cost: SyncCost) -> String {
    format!("p50 {} µs, p99 {} µs", cost.p50.as_micros(), cost.p99.as_micros())
}

/// The middle one of `values`, or the mean of the middle two; NaN if there are none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let (lower, upper) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }
}
