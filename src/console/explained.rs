//! An explanation of the signature doctor, as a page shows it: verdict, findings, steps, and the receipts that would come
//! of it.

use maud::{Markup, PreEscaped, html};

use super::page::Visit;
use super::text::{number, outcome_word};
use super::words::{diagnosis, explained};
use crate::explain::Explanation;
use crate::vendor::{Fact, Finding, Step, Verdict};

/// What the vendor hears.
pub(super) fn verdict(visit: &Visit, explanation: &Explanation) -> Markup {
    let (words, language) = (visit.words(), visit.language);
    let Explanation { outcome, reason, field, answer, .. } = explanation;
    let class = if explanation.is_fine() { "good" } else { "bad" };
    html! {
        section.card {
            h2 { (words.doctor_verdict) }
            p {
                span class={ "tag " (class) } { (outcome_word(words, outcome)) } " "
                (explained(language, reason).unwrap_or_default())
                @if !reason.is_empty() { " " small.code { (reason) } }
                @if let Some(field) = field { " " code { (field) } }
            }
            p { "HTTP " (answer.status) " " code { (answer.body) } }
        }
    }
}

/// What is probably wrong, and how to mend it.
pub(super) fn findings(visit: &Visit, explanation: &Explanation) -> Markup {
    let words = visit.words();
    html! {
        section.card {
            h2 { (words.doctor_findings) }
            @if explanation.findings.is_empty() { p.soft { (words.doctor_no_findings) } }
            ol.steps { @for finding in &explanation.findings { (one(visit, finding)) } }
        }
    }
}

fn one(visit: &Visit, Finding { code, certain, text, remedy, facts: known }: &Finding) -> Markup {
    let (words, language) = (visit.words(), visit.language);
    let (text, remedy) = diagnosis::finding(language, code, (*text, *remedy));
    html! {
        li id={ "finding-" (code) } {
            span.mark.bad aria-hidden="true" { "!" }
            strong { (text) } " "
            small.soft { "(" (if *certain { words.finding_certain } else { words.finding_likely }) ")" }
            br; (remedy)
            (facts(visit, known))
        }
    }
}

/// What was looked at, one behind the other.
pub(super) fn steps(visit: &Visit, title: &str, explanation: &Explanation) -> Markup {
    let (words, language) = (visit.words(), visit.language);
    html! {
        section.card {
            h2 { (title) }
            ol.steps {
                @for Step { step: _, result, code, text, facts: known } in &explanation.steps {
                    @let (class, sign, said) = match result {
                        Verdict::Ok => ("mark good", "✓", words.step_ok),
                        Verdict::Failed => ("mark bad", "✗", words.step_failed),
                        Verdict::Skipped => ("mark soft", "–", words.step_skipped),
                    };
                    li id={ "step-" (code) } {
                        span class=(class) role="img" aria-label=(said) { (sign) }
                        (diagnosis::step(language, code, text))
                        (facts(visit, known))
                    }
                }
            }
        }
    }
}

/// The receipts that would come of it.
pub(super) fn receipts(visit: &Visit, explanation: &Explanation) -> Markup {
    if explanation.receipt_count == 0 {
        return PreEscaped(String::new());
    }
    html! {
        section.card {
            h2 { (visit.words().doctor_receipts) " " small { (number(explanation.receipt_count as u64)) } }
            @for receipt in &explanation.receipts { pre { (receipt.get()) } }
        }
    }
}

fn facts(visit: &Visit, facts: &[Fact]) -> Markup {
    html! {
        @if !facts.is_empty() {
            dl.pairs {
                @for Fact { name, value } in facts {
                    dt { (diagnosis::fact(visit.language, name)) }
                    dd { code { (value) } }
                }
            }
        }
    }
}
