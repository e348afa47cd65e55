//! An explanation for a terminal of 80 columns.

use std::fmt::Write as _;

use crate::explain::Explanation;
use crate::vendor::{Fact, Verdict};

const WIDTH: usize = 80;
/// Where the sentences begin: behind the mark and the name of the step.
const INDENT: usize = 13;

/// The whole of it.
pub(super) fn write(explanation: &Explanation) -> String {
    let mut out = String::new();
    let Explanation { outcome, reason, field, answer, .. } = explanation;
    let mut head = format!("{}: {outcome}", explanation.route);
    for detail in [Some(*reason).filter(|reason| !reason.is_empty()), *field].into_iter().flatten() {
        // Writing to a string does not fail.
        let _written = write!(head, ", {detail}");
    }
    lines(&mut out, 0, &format!("{head} (as of {})", explanation.received_at));
    lines(&mut out, 0, &format!("The answer: {} {}", answer.status, answer.body));
    out.push('\n');
    for step in &explanation.steps {
        let mark = match step.result {
            Verdict::Ok => '✓',
            Verdict::Failed => '✗',
            Verdict::Skipped => '–',
        };
        labelled(&mut out, &format!("{mark} {}", step.step), step.text);
        facts(&mut out, INDENT, &step.facts);
    }
    if !explanation.receipts.is_empty() {
        out.push('\n');
        for receipt in &explanation.receipts {
            lines(&mut out, 0, receipt.get());
        }
        let more = explanation.receipt_count - explanation.receipts.len();
        if more > 0 {
            lines(&mut out, 0, &format!("… and {more} more"));
        }
    }
    for finding in &explanation.findings {
        out.push('\n');
        let sure = if finding.certain { "" } else { ", probably" };
        lines(&mut out, 0, &format!("! {} [{}{sure}]", finding.text, finding.code));
        facts(&mut out, 4, &finding.facts);
        lines(&mut out, 2, &format!("→ {}", finding.remedy));
    }
    out
}

fn facts(out: &mut String, indent: usize, facts: &[Fact]) {
    for Fact { name, value } in facts {
        lines(out, indent, &format!("{name}: {value}"));
    }
}

/// A sentence behind a label.
fn labelled(out: &mut String, label: &str, text: &str) {
    let mut first = true;
    for line in wrapped(text, WIDTH - INDENT) {
        let label = if first { label } else { "" };
        first = false;
        let _written = writeln!(out, "{label:<INDENT$}{line}");
    }
}

fn lines(out: &mut String, indent: usize, text: &str) {
    // What users wrote must not give orders to a terminal.
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let text: String = text.chars().map(plain).collect();
    for line in wrapped(&text, WIDTH - indent) {
        let _written = writeln!(out, "{:indent$}{line}", "");
    }
}

/// The text in lines of so many characters: broken at spaces, or anywhere where there is none.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        } else if used > 0 {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            if used == width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += 1;
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_spaces_or_where_they_must() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
