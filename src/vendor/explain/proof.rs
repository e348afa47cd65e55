//! A signature held against every secret that could have made it: a step for each, and, where none fits, what would.

use std::borrow::Cow;

use subtle::ConstantTimeEq;

use super::digest::Algorithm;
use super::found;
use super::variants::{self, Deviation};
use super::{MASK, Report, said};
use crate::config::Secret;

/// How many digits of an expected digest are shown, and how many are compared aloud.
const DIGITS_SHOWN: usize = 8;

/// How many secrets get a step of their own.
const STEPS: usize = 16;

/// How a secret stands to the callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vendor) enum Kin {
    /// It may verify it.
    Own,
    /// The same app has it for another route.
    OtherList,
    /// Another app of the vendor has it.
    OtherApp,
}

/// A secret that is configured, and where.
pub(in crate::vendor) struct Known<'a> {
    pub(in crate::vendor) app: &'a str,
    pub(in crate::vendor) list: &'static str,
    pub(in crate::vendor) index: usize,
    pub(in crate::vendor) secret: &'a Secret,
    pub(in crate::vendor) kin: Kin,
}

impl<'a> Known<'a> {
    /// Every secret of a list.
    pub(in crate::vendor) fn of(
        app: &'a str,
        list: &'static str,
        secrets: &'a [Secret],
        kin: Kin,
    ) -> impl Iterator<Item = Self> {
        secrets.iter().enumerate().map(move |(index, secret)| Self { app, list, index, secret, kin })
    }

    /// Its name, for example `secrets[0]`.
    pub(super) fn place(&self) -> String {
        format!("{}[{}]", self.list, self.index)
    }
}

/// What is signed, in its order.
#[derive(Clone)]
pub(in crate::vendor) enum Part<'a> {
    /// The secret stands here.
    Secret,
    /// A value of the request.
    Value(Value<'a>),
}

/// A signed value.
#[derive(Clone)]
pub(in crate::vendor) struct Value<'a> {
    pub(in crate::vendor) name: &'static str,
    /// As it is signed.
    pub(in crate::vendor) text: Cow<'a, str>,
    /// As it stands in the URL, where it is from there.
    pub(in crate::vendor) raw: Option<&'a str>,
    /// Whether it is a time.
    pub(in crate::vendor) time: bool,
}

/// A signature, and what it should be the digest of.
pub(in crate::vendor) struct Claim<'a> {
    pub(in crate::vendor) algorithm: Algorithm,
    pub(in crate::vendor) parts: Vec<Part<'a>>,
    pub(in crate::vendor) came: &'a str,
    /// Secrets that everybody knows.
    pub(in crate::vendor) legacy: &'static [&'static str],
}

impl Part<'_> {
    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Value(value) => value.name,
        }
    }
}

impl Claim<'_> {
    fn expected(&self, secret: &Secret) -> Vec<u8> {
        let pieces = self.parts.iter().map(|part| match part {
            Part::Secret => secret.expose().as_bytes(),
            Part::Value(value) => value.text.as_bytes(),
        });
        self.algorithm.hash(&pieces.collect::<Vec<_>>())
    }

    /// What is hashed, with the secret's name in its place.
    fn base(&self, report: &Report<'_>, secret: &Known<'_>) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Secret => format!("{MASK}{}{MASK}", secret.place()),
            Part::Value(value) => report.shown(&value.text),
        });
        parts.collect::<Vec<_>>().join("‖")
    }
}

/// Whether two texts are the same, in a time that tells nothing.
pub(in crate::vendor) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Holds the claim against every secret of its own, says so, and looks for the mistake where none fits. Returns whether
/// one does.
pub(in crate::vendor) fn prove(report: &mut Report<'_>, claim: &Claim<'_>, known: &[Known<'_>]) -> bool {
    let claimed = hex::decode(claim.came).unwrap_or_default();
    if claimed.len() == claim.algorithm.size() && claim.came.bytes().any(|byte| byte.is_ascii_uppercase()) {
        report.find(found::UPPER_CASE_HEX, &[]);
    }
    let own = known.iter().filter(|known| known.kin == Kin::Own);
    let held = own.map(|known| (known, claim.expected(known.secret)));
    let held: Vec<_> = held.map(|(known, is)| (known, bool::from(is.ct_eq(&claimed)), is)).collect();
    if let Some((known, _, _)) = held.iter().find(|(_, fits, _)| *fits) {
        let facts = [
            ("app", known.app),
            ("secret", &*known.place()),
            ("algorithm", claim.algorithm.name()),
            ("base", &*claim.base(report, known)),
            ("came", claim.came),
        ];
        report.say(said::PROOF_FITS, &facts);
        return true;
    }
    for (known, _, expected) in held.iter().take(STEPS) {
        let expected: String = hex::encode(expected).chars().take(DIGITS_SHOWN).collect();
        let facts = [
            ("app", known.app),
            ("secret", &*known.place()),
            ("algorithm", claim.algorithm.name()),
            ("base", &*claim.base(report, known)),
            ("expected", &*format!("{expected}…")),
            ("came", claim.came),
            ("differs_at", &*differs_at(&expected, claim.came)),
        ];
        report.say(said::PROOF_DIFFERS, &facts);
    }
    if held.is_empty() {
        report.say(said::PROOF_NO_APP, &[]);
    }
    if held.len() > STEPS {
        report.say(said::PROOF_MORE, &[("secrets", &*(held.len() - STEPS).to_string())]);
    }
    diagnose(report, claim, known);
    false
}

/// The first digit that differs, counted from 1, as far as digits are shown.
fn differs_at(expected: &str, came: &str) -> String {
    let came = came.trim().to_ascii_lowercase();
    let alike = expected.chars().zip(came.chars()).take_while(|(one, other)| one == other).count();
    if alike < DIGITS_SHOWN { (alike + 1).to_string() } else { format!("after {DIGITS_SHOWN}") }
}

fn diagnose(report: &mut Report<'_>, claim: &Claim<'_>, known: &[Known<'_>]) {
    if let Some((secret, deviations)) = variants::search(claim, known) {
        for Deviation { diagnosis, detail } in deviations {
            let mut facts = Vec::new();
            let place = secret.map(|secret| (secret.app, secret.place()));
            if let Some((app, place)) = &place {
                facts.extend([("app", *app), ("secret", &**place)]);
            }
            facts.extend(detail.iter().map(|(name, value)| (*name, &**value)));
            report.find(diagnosis, &facts);
        }
        return;
    }
    // Every one is compared, so that the time does not tell which it was.
    let sent = known.iter().filter(|known| same(known.secret.expose(), claim.came.trim())).count() > 0;
    if sent {
        report.find(found::SECRET_AS_SIGNATURE, &[]);
        return;
    }
    let own = known.iter().filter(|known| known.kin == Kin::Own).count();
    if own == 0 {
        return;
    }
    report.find(found::WRONG_SECRET, &[("secrets_tried", &*own.to_string())]);
    report.find(found::BODY_NOT_SIGNED, &[]);
}
