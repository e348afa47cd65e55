//! Mutations that know what a callback looks like. libFuzzer's own cut and flip bytes, and of a hundred
//! bodies that it makes so, ninety are no JSON any more: they test the parser, over and over. These take
//! whole values, members and parameters, so that most of what comes out is a callback with something odd in
//! it.

use std::io::Write;
use std::sync::LazyLock;

use serde::de::IgnoredAny;

use crate::Target;
use crate::tokens::{Member, members};

/// Changes an input in one to four places; `None` says that it is libFuzzer's turn. The same seed makes the
/// same changes.
pub fn mutate(target: Target, bytes: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut dice = Dice(seed.into());
    if dice.below(12) == 0 {
        return None;
    }
    let mut changed: Option<Vec<u8>> = None;
    for _ in 0..=dice.below(4) {
        changed = change(target, changed.as_deref().unwrap_or(bytes), &mut dice).or(changed);
    }
    changed
}

/// Random numbers that depend on the seed alone (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        (self.roll() >> 33) as usize % end.max(1)
    }

    fn pick<'t, T>(&mut self, of: &'t [T]) -> Option<&'t T> {
        of.get(self.below(of.len()))
    }

    /// An integer of any size.
    fn integer(&mut self) -> i64 {
        let size = self.below(64);
        self.roll().cast_signed() >> size
    }
}

/// What a target's dictionary holds.
struct Words {
    /// Names of fields, in quotation marks.
    keys: Vec<Vec<u8>>,
    /// Values, as they stand in JSON.
    values: Vec<Vec<u8>>,
}

static WORDS: LazyLock<[Words; 5]> = LazyLock::new(|| {
    [
        include_str!("../dictionaries/easemob.dict"),
        include_str!("../dictionaries/tencent.dict"),
        include_str!("../dictionaries/openim.dict"),
        include_str!("../dictionaries/rongcloud.dict"),
        include_str!("../dictionaries/relay.dict"),
    ]
    .map(Words::read)
});

impl Words {
    fn of(target: Target) -> &'static Self {
        match target {
            Target::Easemob => &WORDS[0],
            Target::Tencent => &WORDS[1],
            Target::OpenIm => &WORDS[2],
            Target::RongCloud => &WORDS[3],
            Target::Relay => &WORDS[4],
        }
    }

    fn read(dictionary: &str) -> Self {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for line in dictionary.lines() {
            // `\xNN` stands in heads only; what is left of it is no JSON, and so is left out.
            let word = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap_or_default();
            let word = word.replace("\\\"", "\"").replace("\\\\", "\\");
            if let Some(key) = word.strip_suffix(':').filter(|key| key.starts_with('"')) {
                keys.push(key.as_bytes().to_vec());
            } else if serde_json::from_str::<IgnoredAny>(&word).is_ok() {
                values.push(word.into_bytes());
            }
        }
        Self { keys, values }
    }
}

fn change(target: Target, bytes: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let (choice, text) = bytes.split_at_checked(3)?;
    let body_at = match text.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => at + 2,
        None => text.len(),
    };
    let (head, body) = text.split_at(body_at);
    match dice.below(16) {
        0 => {
            // The third is a distance in seconds, and windows have edges.
            const EDGES: [i8; 6] = [0, 60, 61, -60, -61, i8::MIN];
            let mut changed = bytes.to_vec();
            match dice.below(3) {
                2 => changed[2] = dice.pick(&EDGES)?.cast_unsigned(),
                at => changed[at] ^= 1 << dice.below(8),
            }
            Some(changed)
        }
        1 => Some([choice, &query(target, head, dice)?, body].concat()),
        2 => Some([choice, &fields(head, dice)?, body].concat()),
        _ => {
            let body = match body.trim_ascii_start().first() {
                Some(b'{' | b'[') => json(target, body, dice)?,
                _ => form(target, body, dice)?,
            };
            Some([choice, head, &body].concat())
        }
    }
}

/// Changes the query in the first line.
fn query(target: Target, head: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let end = head.iter().position(|byte| *byte == b'\n').unwrap_or(head.len());
    let start = head[..end].iter().position(|byte| *byte == b'?')? + 1;
    Some([&head[..start], &form(target, &head[start..end], dice)?, &head[end..]].concat())
}

/// Doubles a header field, or drops it.
fn fields(head: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let mut lines: Vec<&[u8]> = head.split_inclusive(|byte| *byte == b'\n').collect();
    let at = 1 + dice.below(lines.len().checked_sub(2)?);
    let line = *lines.get(at)?;
    match dice.below(2) {
        0 => drop(lines.remove(at)),
        _ => lines.insert(at, line),
    }
    Some(lines.concat())
}

/// Changes one parameter of a form or a query.
fn form(target: Target, form: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let mut pairs: Vec<Vec<u8>> = form.split(|byte| *byte == b'&').map(<[u8]>::to_vec).collect();
    let at = dice.below(pairs.len());
    let pair = pairs.get(at)?.clone();
    let equals = pair.iter().position(|byte| *byte == b'=')? + 1;
    let (name, value) = pair.split_at(equals);
    let (_, text) = form_urlencoded::parse(&pair).next()?;
    let with =
        |text: &[u8]| [name, form_urlencoded::byte_serialize(text).collect::<String>().as_bytes()].concat();
    let chance = if text.starts_with('{') { 3 } else { 12 };
    match dice.below(chance) {
        0 => drop(pairs.remove(at)),
        1 => pairs.insert(dice.below(pairs.len()), pair),
        2 if text.starts_with('{') => pairs[at] = with(&json(target, text.as_bytes(), dice)?),
        2..5 => pairs[at] = with(dice.pick(&Words::of(target).values)?),
        5..8 => pairs[at] = with(dice.integer().to_string().as_bytes()),
        8 => {
            let other = dice.below(pairs.len());
            let equals = pairs[other].iter().position(|byte| *byte == b'=')? + 1;
            pairs[other] = [&pairs[other][..equals], value].concat();
        }
        _ => pairs[at] = with(odd(&text, dice).as_bytes()),
    }
    Some(pairs.join(&b'&'))
}

/// Changes one value of a JSON text, or what it stands under.
fn json(target: Target, json: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let words = Words::of(target);
    let mut members = members(json);
    // The whole is the last; without it there is nothing left to read.
    members.truncate(members.len().saturating_sub(1).max(1));
    let Member { key, value, in_list } = dice.pick(&members)?.clone();
    let old = &json[value.clone()];
    let put =
        |range: std::ops::Range<usize>, new: &[u8]| [&json[..range.start], new, &json[range.end..]].concat();
    let text = serde_json::from_slice::<String>(old).ok();
    if let Some(inner) = text.as_ref().filter(|text| text.starts_with('{'))
        && dice.below(4) > 0
    {
        let inner = self::json(target, inner.as_bytes(), dice)?;
        return Some(put(value, &quoted(&String::from_utf8_lossy(&inner))));
    }
    Some(match dice.below(14) {
        0 | 1 => put(value, dice.pick(&words.values)?),
        2 => put(value, &json[dice.pick(&members)?.value.clone()]),
        3 => put(value, dice.integer().to_string().as_bytes()),
        4 => put(value, &quoted(&dice.integer().to_string())),
        // The same, in quotation marks or out of them.
        5 => match text {
            Some(text) if text.parse::<u64>().is_ok() => put(value, text.as_bytes()),
            _ => put(value, &quoted(&String::from_utf8_lossy(old))),
        },
        6 | 7 => match (text, std::str::from_utf8(old).ok().and_then(|old| old.parse::<i64>().ok())) {
            (Some(text), _) => put(value, &quoted(&odd(&text, dice))),
            (None, Some(integer)) => put(value, near(integer, dice).to_string().as_bytes()),
            (None, None) => put(value, b"null"),
        },
        8 => put(key?, dice.pick(&words.keys)?),
        // Everywhere it stands: an id may be the reader's and half of the conversation's.
        12 | 13 => {
            let text = text.filter(|text| !text.is_empty())?;
            let all = std::str::from_utf8(json).ok()?;
            all.replace(inside(&quoted(&text))?, inside(&quoted(&odd(&text, dice)))?).into_bytes()
        }
        // Twice: a list grows, an object has a key under two names.
        9 => match key {
            None if in_list => put(value.end..value.end, &[b",", old].concat()),
            None => return None,
            Some(_) => {
                let member = [b",", &**dice.pick(&words.keys)?, b":", old].concat();
                put(value.end..value.end, &member)
            }
        },
        _ => {
            let start = key.map_or(value.start, |key| key.start);
            let behind = json[value.end..].starts_with(b",");
            let before = json[..start].ends_with(b",");
            put(start - usize::from(before && !behind)..value.end + usize::from(behind), b"")
        }
    })
}

fn quoted(text: &str) -> Vec<u8> {
    let mut quoted = Vec::new();
    // Text always serialises, and memory takes it.
    write!(quoted, "{}", serde_json::Value::from(text)).expect("memory takes it");
    quoted
}

/// What stands between the quotation marks.
fn inside(quoted: &[u8]) -> Option<&str> {
    std::str::from_utf8(quoted).ok()?.strip_prefix('"')?.strip_suffix('"')
}

/// A text with something in it that ids do not have, or less of it, or more.
fn odd(text: &str, dice: &mut Dice) -> String {
    const ODD: [&str; 12] =
        ["_", "\u{e9}", "\0", "\u{1f600}", "\u{2028}", "\"", "\\", "%", "+", "#", " ", "0"];
    let piece = ODD[dice.below(ODD.len())];
    match dice.below(5) {
        0 => format!("{piece}{text}"),
        1 => format!("{text}{piece}"),
        2 => text.chars().skip(1).collect(),
        3 => format!("{text}{text}"),
        _ => String::new(),
    }
}

/// A number beside this one, or one of its own kind at the edge.
fn near(integer: i64, dice: &mut Dice) -> i128 {
    let integer = i128::from(integer);
    match dice.below(6) {
        0 => integer + 1,
        1 => integer - 1,
        2 => -integer,
        3 => integer * 1000,
        4 => integer / 1000,
        _ => integer + (1 << 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::seed::seeds;

    #[test]
    fn most_of_what_was_json_still_is() {
        for target in Target::ALL {
            let (mut made, mut whole) = (0, 0);
            for (at, seed) in seeds(target).unwrap().iter().enumerate() {
                let bytes = seed.input.to_bytes();
                let is_json = |bytes: &[u8]| {
                    serde_json::from_slice::<IgnoredAny>(&Input::read(target, bytes).body).is_ok()
                };
                if !is_json(&bytes) {
                    continue;
                }
                for round in 0..50 {
                    let seed = u32::try_from(at).unwrap() * 50 + round;
                    let mutated = mutate(target, &bytes, seed);
                    assert_eq!(mutated, mutate(target, &bytes, seed));
                    made += u32::from(mutated.is_some());
                    whole += u32::from(mutated.is_some_and(|mutated| is_json(&mutated)));
                }
            }
            assert!(made > 500 && whole * 100 > made * 85, "{target:?}: {whole} of {made}");
        }
    }
}
