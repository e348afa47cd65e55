//! What else the signature could be the digest of: the mistakes that people make, tried one by one and two at a time. What
//! is found is certain, for the digest is equal; what is not found may still be any other mistake.
//!
//! Bounded: so many secrets, values of so many bytes, at most two mistakes; some tens of thousands of short digests at worst.

use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq;

use super::digest::{Algorithm, meanings};
use super::found::{self, Diagnosis};
use super::proof::{Claim, Kin, Known, Part, Value};
use super::time;

/// Beyond this nothing is tried: no vendor's values come to a tenth of it.
const LONGEST: usize = 1_024;
/// Nor with more secrets than this.
const MOST_SECRETS: usize = 32;
/// How many mistakes may come together.
const MOST_MISTAKES: usize = 2;

/// One thing that is different from what it should be.
#[derive(Debug, Clone)]
pub(super) struct Deviation {
    pub(super) diagnosis: Diagnosis,
    pub(super) detail: Option<(&'static str, String)>,
}

impl Deviation {
    fn plain(diagnosis: Diagnosis) -> Self {
        Self { diagnosis, detail: None }
    }

    fn with(diagnosis: Diagnosis, name: &'static str, value: &str) -> Self {
        Self { diagnosis, detail: Some((name, value.to_owned())) }
    }
}

/// A candidate and the mistakes that would make it the right one.
struct Candidate<T> {
    is: T,
    mistakes: Vec<Deviation>,
}

fn candidate<T>(is: T, mistake: Option<Deviation>) -> Candidate<T> {
    Candidate { is, mistakes: mistake.into_iter().collect() }
}

/// The secret, if it is a configured one, and the fewest mistakes with which the signature is right.
pub(super) fn search<'k>(
    claim: &Claim<'_>,
    known: &'k [Known<'k>],
) -> Option<(Option<&'k Known<'k>>, Vec<Deviation>)> {
    let length: usize = claim.parts.iter().map(|part| text(part).len()).sum();
    if length > LONGEST || claim.came.len() > LONGEST {
        return None;
    }
    // Those of its own come first, for they are the likeliest.
    let (own, others): (Vec<&Known<'_>>, Vec<_>) = known.iter().partition(|known| known.kin == Kin::Own);
    let secrets = secrets(claim, own.into_iter().chain(others).take(MOST_SECRETS));
    let messages = messages(&claim.parts);
    let came = meanings(claim.came);
    for count in 1..=MOST_MISTAKES {
        for (claimed, in_form) in &came {
            // The length tells which function it can be from.
            let Some(algorithm) = Algorithm::ALL.into_iter().find(|a| a.size() == claimed.len()) else {
                continue;
            };
            let mut outer: Vec<Deviation> = in_form.iter().copied().map(Deviation::plain).collect();
            if *in_form == Some(found::SIGNATURE_BASE64) && claim.came.contains(' ') {
                outer.push(Deviation::plain(found::PLUS_AS_SPACE));
            }
            if algorithm != claim.algorithm {
                outer.push(Deviation::with(found::OTHER_HASH, "algorithm", algorithm.name()));
            }
            for secret in &secrets {
                for message in &messages {
                    for keyed in [false, true] {
                        let mistakes = outer.len() + secret.mistakes.len() + message.mistakes.len();
                        if mistakes + usize::from(keyed) != count {
                            continue;
                        }
                        if digest(algorithm, keyed, secret.is.1.as_bytes(), &message.is).ct_eq(claimed).into()
                        {
                            let hmac = keyed
                                .then(|| Deviation::with(found::HMAC_INSTEAD, "algorithm", algorithm.name()));
                            let all = [&*outer, &*secret.mistakes, &*message.mistakes].concat();
                            return Some((secret.is.0, all.into_iter().chain(hmac).collect()));
                        }
                    }
                }
            }
        }
    }
    None
}

/// A piece of what is hashed; `None` is the secret.
type Piece = Option<String>;

fn digest(algorithm: Algorithm, keyed: bool, secret: &[u8], pieces: &[Piece]) -> Vec<u8> {
    if keyed {
        let text: Vec<&[u8]> = pieces.iter().flatten().map(String::as_bytes).collect();
        return algorithm.hmac(secret, &text);
    }
    let all = pieces.iter().map(|piece| piece.as_ref().map_or(secret, |text| text.as_bytes()));
    algorithm.hash(&all.collect::<Vec<_>>())
}

fn text<'p>(part: &'p Part<'_>) -> &'p str {
    match part {
        Part::Secret => "",
        Part::Value(value) => &value.text,
    }
}

type AnySecret<'k> = (Option<&'k Known<'k>>, String);

fn secrets<'k>(
    claim: &Claim<'_>,
    known: impl Iterator<Item = &'k Known<'k>>,
) -> Vec<Candidate<AnySecret<'k>>> {
    let mut all = Vec::new();
    for known in known {
        let secret = known.secret.expose();
        let kin = match known.kin {
            Kin::Own => None,
            Kin::OtherList => Some(Deviation::plain(found::SECRET_OF_OTHER_LIST)),
            Kin::OtherApp => Some(Deviation::plain(found::SECRET_OF_OTHER_APP)),
        };
        let mut add = |text: String, mistake: Option<Deviation>| {
            let mistakes = kin.iter().cloned().chain(mistake).collect();
            all.push(Candidate { is: (Some(known), text), mistakes });
        };
        add(secret.to_owned(), None);
        let bare = secret.trim().trim_matches('\u{feff}');
        let unquoted = bare.trim_matches(['"', '\'', '`', '“', '”']);
        let decoded = percent_decode_str(secret).decode_utf8_lossy();
        for (text, diagnosis) in [
            (bare.to_owned(), found::SECRET_WHITE_SPACE),
            (unquoted.to_owned(), found::SECRET_IN_QUOTES),
            (decoded.into_owned(), found::SECRET_PERCENT_ENCODED),
            (secret.to_lowercase(), found::SECRET_CASE),
            (secret.to_uppercase(), found::SECRET_CASE),
        ] {
            if text != secret && !text.is_empty() {
                add(text, Some(Deviation::plain(diagnosis)));
            }
        }
        for (before, behind, what) in [
            ("", "\n", "newline behind"),
            ("", "\r\n", "CR and newline behind"),
            ("", " ", "space behind"),
            ("", "\t", "tab behind"),
            (" ", "", "space in front"),
        ] {
            let mistake = Deviation::with(found::SIGNED_WITH_WHITE_SPACE, "white_space", what);
            add(format!("{before}{secret}{behind}"), Some(mistake));
        }
    }
    let legacy = claim
        .legacy
        .iter()
        .map(|secret| candidate((None, (*secret).to_owned()), Some(Deviation::plain(found::LEGACY_SECRET))));
    all.extend(legacy);
    all.push(candidate((None, String::new()), Some(Deviation::plain(found::SIGNED_WITHOUT_SECRET))));
    all
}

fn messages(parts: &[Part<'_>]) -> Vec<Candidate<Vec<Piece>>> {
    let piece = |part: &Part<'_>| match part {
        Part::Secret => None,
        Part::Value(value) => Some(value.text.to_string()),
    };
    let whole: Vec<Piece> = parts.iter().map(piece).collect();
    let mut all = vec![candidate(whole.clone(), None)];
    for order in orders(parts.len()).into_iter().skip(1) {
        let names: Vec<&str> = order.iter().filter_map(|at| parts.get(*at)).map(Part::name).collect();
        let pieces = order.iter().filter_map(|at| whole.get(*at).cloned()).collect();
        let mistake = Deviation::with(found::OTHER_ORDER, "order", &names.join("‖"));
        all.push(candidate(pieces, Some(mistake)));
    }
    for separator in ["&", "_", "-", ":", ",", "|", ".", ";", "\n", " ", "+"] {
        let mut pieces = Vec::new();
        for piece in &whole {
            if !pieces.is_empty() {
                pieces.push(Some(separator.to_owned()));
            }
            pieces.push(piece.clone());
        }
        all.push(candidate(pieces, Some(Deviation::with(found::SEPARATOR, "separator", separator))));
    }
    for (at, part) in parts.iter().enumerate() {
        let Part::Value(value) = part else { continue };
        for (text, diagnosis) in values(value) {
            let mut pieces = whole.clone();
            if let Some(piece) = pieces.get_mut(at) {
                *piece = Some(text);
            }
            all.push(candidate(pieces, Some(Deviation::with(diagnosis, "value", value.name))));
        }
    }
    all
}

/// Every order of so many things, that in which they are first.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..count {
        let longer = all.iter().flat_map(|order: &Vec<usize>| {
            let free = (0..count).filter(|at| !order.contains(at));
            free.map(|at| order.iter().copied().chain([at]).collect()).collect::<Vec<_>>()
        });
        all = longer.collect();
    }
    all
}

/// Other characters that the value could have had when it was signed.
fn values(value: &Value<'_>) -> Vec<(String, Diagnosis)> {
    let text = &*value.text;
    let mut all = vec![
        // Before the raw one, of which it may be a case: it says more.
        (text.replace(' ', "+"), found::PLUS_AS_SPACE),
        (value.raw.unwrap_or(text).to_owned(), found::RAW_VALUES),
        (percent_decode_str(text).decode_utf8_lossy().into_owned(), found::VALUES_ESCAPED),
        (text.trim().to_owned(), found::VALUE_WHITE_SPACE),
    ];
    if value.time {
        all.extend(time::spellings(text));
    }
    all.retain(|(other, _)| other != text);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_stands_there_once_and_the_right_one_first() {
        assert_eq!(orders(2), [vec![0, 1], vec![1, 0]]);
        let three = orders(3);
        assert_eq!((three.len(), &three[0]), (6, &vec![0, 1, 2]));
    }
}
