//! The signature doctor: it says what the service does, it finds what is wrong, and it gives nothing away.

mod api;
mod faults;
mod pages;

use bytes::Bytes;
use proptest::prelude::*;
use readhook::config::{Config, ServerConfig};
use readhook::explain::{Capture, Explanation, finding_codes, step_codes};
use readhook::receipt::Timestamp;
use readhook::vendor::{Vendors, Verdict};
use serde_json::Value;

use crate::fixtures::{Case, Posted, cases};
use crate::house::{config, demo};
use crate::vendor::{easemob, easemob_signed_with};

/// A configuration and what it is explained with.
struct Doctor {
    vendors: Vendors,
    server: ServerConfig,
    /// Every secret of the configuration.
    secrets: Vec<String>,
}

impl Doctor {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let Config { vendors, server, .. } = config(dir.path(), text);
        let secrets = vendors.secret_lists().into_iter().flat_map(|(_, _, _, secrets)| secrets);
        let secrets = secrets.map(|secret| secret.expose().to_owned()).collect();
        Self { vendors: Vendors::configure(&vendors), server, secrets }
    }

    fn explain(&self, vendor: &str, capture: Capture) -> Explanation {
        capture.explain(&self.vendors, vendor, &self.server, now()).unwrap()
    }

    /// What no output may hold, in any spelling in which it could have come.
    fn silent(&self, name: &str, explanation: &Explanation) {
        let output = serde_json::to_string(explanation).unwrap();
        for secret in &self.secrets {
            assert!(!output.contains(&**secret), "{name}: shows a secret: {output}");
        }
    }
}

fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the test is the vendor here, and it has a clock")]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap()).unwrap()
}

fn capture(posted: Posted) -> Capture {
    let (path, query) = posted.target.split_once('?').unwrap_or((&posted.target, ""));
    Capture {
        path: path.to_owned(),
        query: query.to_owned(),
        headers: posted.headers,
        client: Some([127, 0, 0, 1].into()),
        body: posted.body.into(),
        ..Capture::default()
    }
}

/// The vendor as one would name it for this case.
fn vendor(case: &Case, posted: &Posted) -> &'static str {
    if posted.target.starts_with("/webhooks/rongcloud/relay") { "rongcloud/relay" } else { case.vendor }
}

/// Steps and outcome tell the same story.
fn coherent(name: &str, explanation: &Explanation) {
    let failed: Vec<&str> = explanation
        .steps
        .iter()
        .filter(|step| step.result == Verdict::Failed)
        .map(|step| step.code)
        .collect();
    let codes: Vec<&str> = explanation.steps.iter().map(|step| step.code).collect();
    match explanation.outcome {
        "accepted" | "ignored" => assert!(failed.is_empty(), "{name}: {failed:?} of {codes:?}"),
        "rejected" | "malformed" | "not_found" => assert!(!failed.is_empty(), "{name}: {codes:?}"),
        other => panic!("{name}: {other}"),
    }
    assert_eq!(explanation.outcome == "accepted", codes.contains(&"receipts"), "{name}");
    assert_eq!(explanation.receipt_count > 0, explanation.outcome == "accepted", "{name}");
    assert_eq!(codes[0].split('_').next(), Some("route"), "{name}: {codes:?}");
    if explanation.outcome == "rejected" {
        assert!(!explanation.findings.is_empty(), "{name}: no finding for {}", explanation.reason);
    }
}

#[test]
fn the_outcome_of_every_fixture_is_the_services_own_and_no_secret_is_shown() {
    let doctors = ["demo", "strict", "epoch", "enterprise"]
        .map(|name| (name, cases().into_iter().find(|case| case.config() == name)));
    let doctors = doctors.map(|(name, case)| (name, Doctor::new(&case.unwrap().configuration())));
    for case in cases() {
        let (_, doctor) = doctors.iter().find(|(name, _)| *name == case.config()).unwrap();
        let (name, expected, posted) = (case.name(), case.expected(), case.posted());
        let explanation = doctor.explain(vendor(&case, &posted), capture(posted));
        let answer = &explanation.answer;
        assert_eq!(
            (explanation.outcome, explanation.reason),
            (&*expected.outcome, &*expected.reason),
            "{name}"
        );
        assert_eq!((answer.status, &*answer.body), (expected.status, &*expected.body), "{name}");
        let count = case.receipts().len();
        assert_eq!(explanation.receipt_count, count, "{name}");
        doctor.silent(&name, &explanation);
        coherent(&name, &explanation);
    }
}

#[test]
fn no_more_than_eight_digits_of_an_expected_digest_are_shown() {
    let doctor = Doctor::new(&demo());
    let right: Value = serde_json::from_str(&easemob(1).body).unwrap();
    let right = right["security"].as_str().unwrap().to_owned();
    let wrong: Value = serde_json::from_str(&easemob_signed_with(1, "another").body).unwrap();
    let wrong = wrong["security"].as_str().unwrap().to_owned();
    let asked = |security: &str| {
        let body = easemob(1).body.replace(&right, security);
        let body = Bytes::from(body);
        let explanation = doctor.explain("easemob", Capture { body, ..Capture::default() });
        let step = explanation.steps.iter().find(|step| step.code == "proof_differs").unwrap();
        let fact = |name: &str| step.facts.iter().find(|fact| fact.name == name).unwrap().value.clone();
        (serde_json::to_string(&explanation).unwrap(), fact("expected"), fact("differs_at"))
    };
    let (output, expected, _) = asked(&wrong);
    assert_eq!(expected, format!("{}…", right.get(..8).unwrap()));
    assert!(!output.contains(right.get(..9).unwrap()), "{output}");
    // However much of it has been guessed, the answer is the same from the ninth digit on.
    for known in 0..right.len() {
        let digit = if right.get(known..=known) == Some("0") { "1" } else { "0" };
        let guess = format!("{}{digit}{}", right.get(..known).unwrap(), "0".repeat(right.len() - known - 1));
        let (_, _, differs_at) = asked(&guess);
        let told = if known < 8 { (known + 1).to_string() } else { "after 8".to_owned() };
        assert_eq!(differs_at, told, "{known}");
    }
}

#[test]
fn codes_are_unique_and_every_sentence_says_something() {
    let mut codes: Vec<&str> = finding_codes().map(|(code, _, _)| code).collect();
    codes.sort_unstable();
    assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
    let mut steps: Vec<&str> = step_codes().map(|(code, _)| code).collect();
    steps.sort_unstable();
    assert!(steps.windows(2).all(|pair| pair[0] != pair[1]));
    for (code, text, remedy) in finding_codes() {
        assert!(text.ends_with('.') && remedy.ends_with('.'), "{code}");
    }
    for (code, text) in step_codes() {
        assert!(text.ends_with('.'), "{code}");
    }
}

/// One place of a fixture changed, so that all of it is nearly right.
fn mutated() -> impl Strategy<Value = (usize, Vec<(usize, u8, u8)>, usize, bool)> {
    let change = (any::<usize>(), 0..5_u8, any::<u8>());
    (any::<usize>(), prop::collection::vec(change, 1..4), any::<usize>(), any::<bool>())
}

fn change(bytes: &mut Vec<u8>, changes: &[(usize, u8, u8)]) {
    for (at, kind, byte) in changes {
        if bytes.is_empty() {
            return;
        }
        let at = at % bytes.len();
        match kind {
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            2 => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => bytes[at] ^= 0x20,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn mutated_fixtures_never_panic_and_never_show_a_secret((which, changes, other, in_target) in mutated()) {
        let cases = cases();
        let case = &cases[which % cases.len()];
        let doctor = Doctor::new(&case.configuration());
        let mut posted = case.posted();
        if in_target {
            let mut target = posted.target.clone().into_bytes();
            change(&mut target, &changes);
            posted.target = String::from_utf8_lossy(&target).into_owned();
        } else {
            change(&mut posted.body, &changes);
        }
        let words = ["easemob", "tencent", "openim", "rongcloud", "rongcloud/relay"];
        // Mostly for its own vendor, sometimes for another.
        let word = if other % 4 == 0 { words[other / 4 % words.len()] } else { vendor(case, &posted) };
        let explained = capture(posted).explain(&doctor.vendors, word, &doctor.server, now());
        if let Ok(explanation) = explained {
            doctor.silent(&case.name(), &explanation);
            // For another vendor the steps tell of a room that was not asked.
            if explanation.steps[0].code == "route_fits" {
                coherent(&case.name(), &explanation);
            }
        }
    }
}
