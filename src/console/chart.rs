//! Two charts of the last 15 minutes, drawn on the server as SVG: how many callbacks, and how long they took. Each says in
//! words what it shows, and the figures stand in a table beside them.

use maud::{Markup, html};

use super::page::Visit;
use super::text::{latency, number};
use crate::receipt::Timestamp;

/// How many seconds a bar covers.
pub(super) const STEP: u32 = 15;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 150.0;
/// What is left of the drawing for its scale, and below it for the time.
const LEFT: f64 = 76.0;
const BELOW: f64 = 24.0;
const ABOVE: f64 = 12.0;

/// What came in one step, in callbacks, and how long it took, in microseconds.
pub(super) struct Bar {
    pub(super) at: Timestamp,
    pub(super) stored: u64,
    /// Duplicates and neighbours.
    pub(super) other: u64,
    pub(super) bad: u64,
    pub(super) median: Option<u64>,
    pub(super) slowest: Option<u64>,
}

impl Bar {
    fn total(&self) -> u64 {
        self.stored + self.other + self.bad
    }

    fn rate(&self) -> f64 {
        self.total() as f64 / f64::from(STEP)
    }
}

pub(super) fn rate(visit: &Visit, bars: &[Bar]) -> Markup {
    let words = visit.words();
    let peak = bars.iter().map(Bar::rate).fold(0.0, f64::max);
    let total: u64 = bars.iter().map(Bar::total).sum();
    let bad: u64 = bars.iter().map(|bar| bar.bad).sum();
    let top = ceiling(peak.max(1.0));
    let (colon, comma) = (words.colon, words.comma);
    let said = format!(
        "{}{colon}{}{comma}{}{colon}{}{comma}{}{colon}{}",
        words.rate_peak,
        short(peak),
        words.rate_total,
        number(total),
        words.not_usable,
        number(bad)
    );
    let width = (WIDTH - LEFT) / bars.len().max(1) as f64;
    let high = |count: u64| count as f64 / f64::from(STEP) / top * (HEIGHT - ABOVE - BELOW);
    let (mut stored, mut other, mut bad) = (String::new(), String::new(), String::new());
    for (place, bar) in bars.iter().enumerate() {
        let x = LEFT + place as f64 * width + 0.5;
        let mut y = HEIGHT - BELOW;
        for (path, count) in [(&mut stored, bar.stored), (&mut other, bar.other), (&mut bad, bar.bad)] {
            if count > 0 {
                // Nothing that happened is too small to be seen.
                let high = high(count).max(1.5);
                y -= high;
                path.push_str(&format!("M{x:.1} {y:.1}h{:.1}v{high:.1}h-{:.1}z", width - 1.0, width - 1.0));
            }
        }
    }
    let drawn = html! {
        path.g d=(stored) {}
        path.o d=(other) {}
        path.b d=(bad) {}
    };
    let keys = html! {
        li.g { (words.stored) }
        li { (words.duplicate) (words.comma) (words.ignored) }
        li.b { (words.not_usable) }
    };
    chart(visit, words.rate, &said, [&short(top), &short(top / 2.0)], &drawn, &keys)
}

pub(super) fn latencies(visit: &Visit, bars: &[Bar]) -> Markup {
    let words = visit.words();
    let most = bars.iter().filter_map(|bar| bar.slowest).max().unwrap_or(0);
    let top = ceiling((most as f64).max(100.0));
    let newest = bars.iter().rev().find_map(|bar| Some((bar.median?, bar.slowest?)));
    let said = match newest {
        Some((median, slowest)) => {
            let (colon, comma, median, slowest) =
                (words.colon, words.comma, latency(median), latency(slowest));
            format!("{}{colon}{median}{comma}{}{colon}{slowest}", words.median, words.slowest)
        }
        None => "–".to_owned(),
    };
    let width = (WIDTH - LEFT) / bars.len().max(1) as f64;
    let line = |of: fn(&Bar) -> Option<u64>| {
        let (mut path, mut joined) = (String::new(), false);
        for (place, bar) in bars.iter().enumerate() {
            let Some(micros) = of(bar) else {
                joined = false;
                continue;
            };
            let x = LEFT + (place as f64 + 0.5) * width;
            let y = HEIGHT - BELOW - micros as f64 / top * (HEIGHT - ABOVE - BELOW);
            // A point without neighbours is a dot: a line of no length with round ends.
            let command = if joined { format!("L{x:.1} {y:.1}") } else { format!("M{x:.1} {y:.1}h0") };
            path.push_str(&command);
            joined = true;
        }
        path
    };
    let drawn = html! {
        path.p99 d=(line(|bar| bar.slowest)) {}
        path.p50 d=(line(|bar| bar.median)) {}
    };
    let keys = html! { li.g { (words.median) } li.b { (words.slowest) } };
    let scale = [top, top / 2.0].map(|micros| latency(micros as u64));
    chart(visit, words.latency_title, &said, [&scale[0], &scale[1]], &drawn, &keys)
}

/// The frame of a chart: two lines with their values, the time from left to right, and what it says in words.
fn chart(visit: &Visit, title: &str, said: &str, scale: [&str; 2], drawn: &Markup, keys: &Markup) -> Markup {
    let words = visit.words();
    let (floor, middle) = (HEIGHT - BELOW, ABOVE + (HEIGHT - ABOVE - BELOW) / 2.0);
    let ago = format!("15 {}", words.minutes_ago);
    html! {
        section.card.chart {
            h2 { (title) }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (title) (words.colon) (said) } {
                path.grid d={
                    "M" (LEFT) " " (ABOVE) "H" (WIDTH) "M" (LEFT) " " (middle) "H" (WIDTH) "M" (LEFT) " " (floor) "H" (WIDTH)
                } {}
                text x=(LEFT - 6.0) y=(ABOVE + 4.0) text-anchor="end" { (scale[0]) }
                text x=(LEFT - 6.0) y=(middle + 4.0) text-anchor="end" { (scale[1]) }
                text x=(LEFT) y=(HEIGHT - 4.0) { (ago) }
                text x=(WIDTH) y=(HEIGHT - 4.0) text-anchor="end" { (words.now) }
                (drawn)
            }
            ul.key { (keys) }
        }
    }
}

/// The same in figures, a row a minute, newest first.
pub(super) fn table(visit: &Visit, bars: &[Bar]) -> Markup {
    let words = visit.words();
    let mut minutes: Vec<(i64, Vec<&Bar>)> = Vec::new();
    for bar in bars {
        let minute = bar.at.as_seconds().div_euclid(60);
        match minutes.last_mut() {
            Some((last, bars)) if *last == minute => bars.push(bar),
            Some(_) | None => minutes.push((minute, vec![bar])),
        }
    }
    html! {
        details {
            summary { (words.as_table) }
            table {
                thead { tr {
                    th scope="col" { (words.minute) " (UTC)" }
                    th.number scope="col" { (words.stored) }
                    th.number scope="col" { (words.duplicate) (words.comma) (words.ignored) }
                    th.number scope="col" { (words.not_usable) }
                    th.number scope="col" { (words.slowest) }
                } }
                tbody {
                    @for (minute, bars) in minutes.iter().rev() {
                        @let sum = |of: fn(&Bar) -> u64| number(bars.iter().map(|bar| of(bar)).sum::<u64>());
                        tr {
                            th scope="row" { (format!("{:02}:{:02}", minute / 60 % 24, minute % 60)) }
                            td.number { (sum(|bar| bar.stored)) }
                            td.number { (sum(|bar| bar.other)) }
                            td.number { (sum(|bar| bar.bad)) }
                            td.number { (bars.iter().filter_map(|bar| bar.slowest).max().map_or("–".to_owned(), latency)) }
                        }
                    }
                }
            }
        }
    }
}

/// The next of 1, 2, 5, 10, 20, … that is not below.
fn ceiling(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let digit = value / power;
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|nice| digit <= nice + 1e-9).unwrap_or(10.0);
    nice * power
}

/// A rate: with one digit behind the point while it is small.
fn short(rate: f64) -> String {
    if rate < 10.0 && rate.fract() > 0.05 { format!("{rate:.1}") } else { number(rate.round() as i64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        assert_eq!(
            [1.0, 1.1, 2.0, 4.9, 7.3, 10.0, 1200.0].map(ceiling),
            [1.0, 2.0, 2.0, 5.0, 10.0, 10.0, 2000.0]
        );
        assert_eq!([0.0, 0.5, 3.04, 12.3, 4321.0].map(short), ["0", "0.5", "3", "12", "4,321"]);
    }
}
