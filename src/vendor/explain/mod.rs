//! The signature doctor's half that knows vendors: what was looked at in a callback, step by step, and what is probably
//! wrong with it. For the person who has just entered the URL in a vendor's console and gets 401s.
//!
//! It decides nothing. The outcome of an explanation comes from the way that every callback goes; these steps say in words
//! what was found there. And it gives nothing away: a secret is named by app, list and place; of a digest that was expected
//! only the first eight digits are shown, and no comparison is told beyond them, for whoever could ask digit by digit could
//! sign without the secret. What came in the request is searched for secrets before it is shown.

mod digest;
mod event;
pub(crate) mod found;
mod proof;
mod query;
pub(crate) mod said;
mod time;
mod variants;
mod whose;

use serde::Serialize;

pub(super) use digest::Algorithm;
pub(super) use event::{Event, almost, opened, unreadable};
pub(super) use proof::{Claim, Kin, Known, Part, Value, prove, same};
pub(super) use query::{missing, names_of, other_app, raw, repeated};
pub(super) use time::skew;
pub(crate) use whose::other_vendor;

use crate::config::Secret;
use found::Diagnosis;
use said::Phrase;

/// How long a value of the request may be shown.
const LONGEST_SHOWN: usize = 256;

/// A secret of fewer bytes is only masked where it is the whole of a value: `1` is in every number.
const SEARCHED_FOR: usize = 4;

/// What stands in place of a secret.
pub(crate) const MASK: &str = "•••";

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// Not as it must be.
    Failed,
    /// Not looked at.
    Skipped,
}

/// A fact about a step or a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// What it is; no secret, whatever came.
    pub value: String,
}

/// One step on the way of a callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was looked at: `route`, `body`, `event`, `app`, `signature`, `proof`, `time`, `content` or `receipts`.
    pub step: &'static str,
    /// What came of it.
    pub result: Verdict,
    /// The sentence's own name, for translations.
    pub code: &'static str,
    /// The sentence.
    pub text: &'static str,
    /// What it rests on.
    pub facts: Vec<Fact>,
}

/// What is probably wrong, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name, for translations.
    pub code: &'static str,
    /// Whether it has been proven, a digest that is equal for example, and is no guess.
    pub certain: bool,
    /// What is wrong.
    pub text: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// What it rests on.
    pub facts: Vec<Fact>,
}

/// Steps and findings, as they are gathered.
pub struct Report<'s> {
    /// What must never be shown.
    secrets: Vec<&'s Secret>,
    /// In the order in which the service looks.
    pub steps: Vec<Step>,
    /// Each code once.
    pub findings: Vec<Finding>,
}

impl<'s> Report<'s> {
    /// An empty one, in which none of these secrets will ever stand.
    pub fn new(secrets: Vec<&'s Secret>) -> Self {
        Self { secrets, steps: Vec::new(), findings: Vec::new() }
    }

    /// Adds a step.
    pub(crate) fn say(&mut self, phrase: Phrase, facts: &[(&'static str, &str)]) {
        let facts = self.facts(facts);
        let Phrase { step, result, code, text } = phrase;
        self.steps.push(Step { step, result, code, text, facts });
    }

    /// Adds a finding; one that is there already stays as it is.
    pub(crate) fn find(&mut self, diagnosis: Diagnosis, facts: &[(&'static str, &str)]) {
        let facts = self.facts(facts);
        let Diagnosis { code, certain, text, remedy } = diagnosis;
        if !self.has(diagnosis) {
            self.findings.push(Finding { code, certain, text, remedy, facts });
        }
    }

    fn facts(&self, facts: &[(&'static str, &str)]) -> Vec<Fact> {
        facts.iter().map(|(name, value)| Fact { name, value: self.shown(value) }).collect()
    }

    /// Whether it has been found.
    pub(crate) fn has(&self, diagnosis: Diagnosis) -> bool {
        self.findings.iter().any(|finding| finding.code == diagnosis.code)
    }

    /// A value as it may be seen: without secrets, without control characters, and not too long.
    pub(crate) fn shown(&self, value: &str) -> String {
        let mut shown = value.to_owned();
        for secret in self.secrets.iter().map(|secret| secret.expose()) {
            let whole = secret.len() < SEARCHED_FOR;
            if !secret.is_empty() && (if whole { shown == secret } else { shown.contains(secret) }) {
                shown = if whole { MASK.to_owned() } else { shown.replace(secret, MASK) };
            }
        }
        let mut visible = String::with_capacity(shown.len().min(LONGEST_SHOWN));
        for c in shown.chars() {
            if visible.len() >= LONGEST_SHOWN {
                visible.push('…');
                break;
            }
            match c {
                // Nor any that turn the direction of reading around.
                c if c.is_control()
                    || ('\u{202a}'..='\u{202e}').contains(&c)
                    || ('\u{2066}'..='\u{2069}').contains(&c) =>
                {
                    visible.extend(c.escape_default());
                }
                c => visible.push(c),
            }
        }
        visible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_secret_and_ends() {
        let secrets = ["hunter2", "no"].map(|text| Secret::from(text.to_owned()));
        let report = Report::new(secrets.iter().collect());
        assert_eq!(report.shown("a hunter2 b\n"), "a ••• b\\n");
        assert_eq!((report.shown("no"), report.shown("nonce")), ("•••".to_owned(), "nonce".to_owned()));
        assert!(report.shown(&"é".repeat(10_000)).len() < LONGEST_SHOWN + 8);
    }
}
