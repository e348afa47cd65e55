//! What is surely not in a run, without a look at its file: a Bloom filter of a byte for each id, whose bits for one id lie
//! in one word. It lets one absent id in twenty through.

use super::Fingerprint;

/// So many ids share a word, on average.
const IDS_A_WORD: u64 = 8;

pub(super) struct Filter(Vec<u64>);

impl Filter {
    /// Without any id, for so many.
    pub(super) fn for_ids(ids: u64) -> Self {
        Self(vec![0; usize::try_from(ids / IDS_A_WORD + 1).unwrap_or(1)])
    }

    pub(super) fn insert(&mut self, fingerprint: Fingerprint) {
        let at = self.place(fingerprint);
        if let Some(word) = self.0.get_mut(at) {
            *word |= bits(fingerprint);
        }
    }

    /// Whether it may have been inserted; never `false` for one that was.
    pub(super) fn may_have(&self, fingerprint: Fingerprint) -> bool {
        let bits = bits(fingerprint);
        self.0.get(self.place(fingerprint)).is_none_or(|word| word & bits == bits)
    }

    /// By the fingerprint's upper bits; those within the word go by its lower ones.
    fn place(&self, fingerprint: Fingerprint) -> usize {
        usize::try_from((u128::from(fingerprint) * self.0.len() as u128) >> 64).unwrap_or(0)
    }
}

fn bits(fingerprint: Fingerprint) -> u64 {
    [0, 6, 12].iter().fold(0, |bits, shift| bits | 1 << ((fingerprint >> shift) & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spread like a SHA-256 in its upper and its lower bits.
    fn fingerprint(number: u64) -> Fingerprint {
        let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        spread ^ (spread >> 29)
    }

    #[test]
    fn who_is_in_it_gets_through_and_of_others_one_in_twenty() {
        for ids in [0, 1, 7, 8, 9, 100_000] {
            let mut filter = Filter::for_ids(ids);
            (0..ids).for_each(|number| filter.insert(fingerprint(number)));
            assert!((0..ids).all(|number| filter.may_have(fingerprint(number))), "{ids}");
        }
        let mut filter = Filter::for_ids(100_000);
        (0..100_000).for_each(|number| filter.insert(fingerprint(number)));
        let through = (100_000..200_000).filter(|number| filter.may_have(fingerprint(*number))).count();
        assert!(through < 8_000, "{through}");
    }
}
