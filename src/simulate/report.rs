//! What came of a run, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::callback::Kind;
use super::tally::{Behaved, Sample, Tally};

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// With it the same callbacks are made again.
    pub(crate) seed: u64,
    /// Whether every answer was the one that is promised; in the vendor's own behaviour, whether nothing was lost.
    pub(crate) fine: bool,
    /// Whether it was ended before its time.
    pub(crate) ended_early: bool,
    /// What an admin API has of it, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verified: Option<Verified>,
    /// By what each vendor's receipts are known.
    #[serde(skip)]
    pub(crate) marks: Vec<Mark>,
    #[serde(flatten)]
    total: Part,
    /// Each vendor's part, where there are several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    vendors: BTreeMap<&'static str, Part>,
}

/// By what one vendor's receipts of this run are known.
#[derive(Debug)]
pub(crate) struct Mark {
    /// It is in every reader's id, and in nobody else's.
    pub(crate) text: String,
    /// How many there must be.
    pub(crate) receipts: u64,
}

/// What an admin API has of a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Verified {
    /// Receipts in reads that were answered as promised.
    pub(crate) expected: u64,
    /// Receipts of this run that are there; more, where an answer was lost on its way.
    pub(crate) stored: u64,
}

impl Verified {
    /// Whether none is missing.
    pub(crate) fn is_fine(self) -> bool {
        self.stored >= self.expected
    }
}

/// One vendor's part of a run, or all of it.
#[derive(Debug, Serialize)]
struct Part {
    /// From the first callback to the last answer.
    seconds: f64,
    /// Requests, a vendor's repeats included.
    sent: u64,
    callbacks: BTreeMap<&'static str, u64>,
    reordered: u64,
    answers: BTreeMap<u16, u64>,
    failures: BTreeMap<&'static str, u64>,
    expected: u64,
    hidden: u64,
    other: u64,
    samples: Vec<Sample>,
    receipts: u64,
    per_second: f64,
    latency_ms: Latency,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_behaviour: Option<Behaved>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

impl Report {
    pub(super) fn new(
        seed: u64,
        ended_early: bool,
        marks: Vec<Mark>,
        parts: &[(&'static str, &Tally)],
    ) -> Self {
        let mut total = Tally::new(parts.iter().any(|(_, tally)| tally.vendor.is_some()));
        for (_, tally) in parts {
            total.merge(tally);
        }
        let several = parts.iter().filter(|_| parts.len() > 1);
        Self {
            seed,
            fine: parts.iter().all(|(_, tally)| tally.is_fine()),
            ended_early,
            verified: None,
            marks,
            total: Part::of(&total),
            vendors: several.map(|(name, tally)| (*name, Part::of(tally))).collect(),
        }
    }
}

impl Part {
    fn of(tally: &Tally) -> Self {
        let seconds = tally.elapsed().as_secs_f64();
        let rounded = |number: f64| (number * 1_000.0).round() / 1_000.0;
        let latency = |percent| rounded(tally.latency_ms(percent));
        Self {
            seconds: rounded(seconds),
            sent: tally.sent,
            callbacks: (Kind::ALL.into_iter())
                .map(|kind| (kind.as_str(), tally.kinds.get(&kind).copied().unwrap_or_default()))
                .collect(),
            reordered: tally.reordered,
            answers: tally.by_status.clone(),
            failures: tally.failures.iter().map(|(failure, count)| (failure.as_str(), *count)).collect(),
            expected: tally.expected,
            hidden: tally.hidden,
            other: tally.other,
            samples: tally.samples.clone(),
            receipts: tally.receipts,
            per_second: if seconds > 0.0 { rounded(tally.answers() as f64 / seconds) } else { 0.0 },
            latency_ms: Latency {
                p50: latency(50.0),
                p90: latency(90.0),
                p99: latency(99.0),
                p99_9: latency(99.9),
                max: latency(100.0),
            },
            vendor_behaviour: tally.vendor.clone(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, part) in &self.vendors {
            writeln!(f, "{name}")?;
            part.write(f)?;
            writeln!(f)?;
        }
        if !self.vendors.is_empty() {
            writeln!(f, "all")?;
        }
        self.total.write(f)?;
        if let Some(Verified { expected, stored }) = self.verified {
            writeln!(f, "verified    {stored} receipts of this run are stored; at least {expected} must be")?;
        }
        write!(f, "seed        {}", self.seed)?;
        if self.ended_early { write!(f, "; ended early") } else { Ok(()) }
    }
}

impl Part {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<String> = Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                let count = self.callbacks.get(kind.as_str()).filter(|count| **count > 0)?;
                Some(format!("{count} {}", kind.as_str().replace('_', " ")))
            })
            .collect();
        if self.reordered > 0 {
            kinds.push(format!("{} of them out of order", self.reordered));
        }
        writeln!(f, "sent        {} in {:.1} s: {}", self.sent, self.seconds, kinds.join(", "))?;
        let answers: Vec<String> =
            self.answers.iter().map(|(status, count)| format!("{count} × {status}")).collect();
        writeln!(f, "answered    {}", or_none(&answers.join(", ")))?;
        write!(f, "as promised {}; otherwise {}", self.expected, self.other)?;
        if self.hidden > 0 {
            write!(f, "; 200 in place of a refusal {} (a ban guard)", self.hidden)?;
        }
        writeln!(f)?;
        for Sample { expected, got, .. } in &self.samples {
            writeln!(f, "            {got}   in place of   {expected}")?;
        }
        let failures: Vec<String> =
            self.failures.iter().map(|(why, count)| format!("{count} × {why}")).collect();
        writeln!(f, "no answer   {}", or_none(&failures.join(", ")))?;
        writeln!(f, "receipts    {} new, in reads that were answered as promised", self.receipts)?;
        if let Some(behaved) = &self.vendor_behaviour {
            write_behaved(behaved, f)?;
        }
        let Latency { p50, p90, p99, p99_9, max } = self.latency_ms;
        writeln!(f, "speed       {:.0} answers/s", self.per_second)?;
        writeln!(f, "latency     p50 {p50} ms, p90 {p90}, p99 {p99}, p99.9 {p99_9}, longest {max}")
    }
}

fn write_behaved(behaved: &Behaved, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let tries: Vec<String> = (behaved.delivered.iter())
        .map(|(tries, count)| match tries {
            1 => format!("{count} at the first try"),
            tries => format!("{count} at try {tries}"),
        })
        .collect();
    writeln!(f, "delivered   {}", or_none(&tries.join(", ")))?;
    let lost: Vec<String> = (behaved.lost.iter()).map(|(why, count)| format!("{count} × {why}")).collect();
    writeln!(f, "lost        {}", or_none(&lost.join(", ")))?;
    if behaved.refused > 0 {
        writeln!(f, "refused     {} that were wrong on purpose", behaved.refused)?;
    }
    if let Some(after) = behaved.banned_after {
        let withheld = behaved.withheld;
        writeln!(
            f,
            "BANNED      after {after} callbacks: 90 failures within 30 s. Easemob disables the app's rules for 5 minutes, then 10, 15, 20, 25; what happens meanwhile is lost ({withheld} callbacks of this run)"
        )?;
    }
    Ok(())
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
