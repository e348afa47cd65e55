//! What is surely not in a run, without a look at its file: a Bloom filter whose bits for one id lie in one word, so that
//! a look is one access to memory. With a byte for each id it lets one absent id in twenty through. A large run's filter has
//! less for each, and lets more through; that of the largest would let nearly all, and there is none.

use super::Fingerprint;

/// So many ids share a word, on average, in all filters but large ones.
const IDS_A_WORD: u64 = 8;
/// No filter is larger: 8 MiB. All filters of a journal are then 32 MiB at most, however much is stored, for each run is at
/// least twice as large as the next.
const MOST_WORDS: u64 = 1 << 20;
/// A run of more ids has no filter.
const MOST_IDS: u64 = 1 << 25;
/// All filters are made of pieces of so many words: what a merge leaves of the old ones is then what the next one needs, and no
/// allocator has to find room for megabytes in one piece. One word less than 32 KiB, for mimalloc wants a few bytes more than it
/// is asked for, and would take 40 KiB.
const PIECE: usize = (1 << 12) - 1;

#[derive(Default)]
pub(super) struct Filter {
    pieces: Vec<Box<[u64]>>,
    words: usize,
    /// How many bits an id sets: the fewer, the more ids share a word.
    bits: u32,
}

impl Filter {
    /// Without any id, for so many.
    pub(super) fn for_ids(ids: u64) -> Self {
        let words = Self::words_for(ids);
        let bits = match ids / words.max(1) {
            0..=16 => 3,
            17..=32 => 2,
            33.. => 1,
        };
        Self::with_words(usize::try_from(words).unwrap_or(0), bits)
    }

    fn with_words(words: usize, bits: u32) -> Self {
        let pieces = (0..words.div_ceil(PIECE)).map(|_| vec![0; PIECE].into_boxed_slice()).collect();
        Self { pieces, words, bits }
    }

    /// How many words one for so many ids has.
    pub(super) fn words_for(ids: u64) -> u64 {
        if ids > MOST_IDS { 0 } else { (ids / IDS_A_WORD + 1).min(MOST_WORDS) }
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &u64> {
        self.pieces.iter().flatten().take(self.words)
    }

    /// To be filled with what [`Filter::words`] gave.
    pub(super) fn words_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.pieces.iter_mut().flatten().take(self.words)
    }

    pub(super) fn insert(&mut self, fingerprint: Fingerprint) {
        let (at, bits) = (self.place(fingerprint), self.bits(fingerprint));
        if let Some(word) = self.pieces.get_mut(at / PIECE).and_then(|piece| piece.get_mut(at % PIECE)) {
            *word |= bits;
        }
    }

    /// Whether it may have been inserted; never `false` for one that was.
    pub(super) fn may_have(&self, fingerprint: Fingerprint) -> bool {
        let (at, bits) = (self.place(fingerprint), self.bits(fingerprint));
        let word = self.pieces.get(at / PIECE).and_then(|piece| piece.get(at % PIECE));
        word.is_none_or(|word| word & bits == bits)
    }

    /// By the fingerprint's upper bits; those within the word go by its lower ones.
    fn place(&self, fingerprint: Fingerprint) -> usize {
        usize::try_from((u128::from(fingerprint) * self.words as u128) >> 64).unwrap_or(0)
    }

    fn bits(&self, fingerprint: Fingerprint) -> u64 {
        (0..self.bits).fold(0, |bits, number| bits | 1 << ((fingerprint >> (6 * number)) & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spread like a SHA-256 in its upper and its lower bits.
    fn fingerprint(number: u64) -> Fingerprint {
        let spread = (number ^ (number >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let spread = (spread ^ (spread >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        spread ^ (spread >> 27)
    }

    /// How many of 100,000 others get through a filter that has so many ids.
    fn through(mut filter: Filter, ids: u64) -> usize {
        (0..ids).for_each(|number| filter.insert(fingerprint(number)));
        assert!((0..ids).all(|number| filter.may_have(fingerprint(number))), "{ids}");
        (ids..ids + 100_000).filter(|number| filter.may_have(fingerprint(*number))).count()
    }

    #[test]
    fn who_is_in_it_gets_through_and_of_others_one_in_twenty() {
        for (ids, most) in [(0, 0), (1, 100), (7, 9_000), (8, 9_000), (9, 9_000), (100_000, 8_000)] {
            let through = through(Filter::for_ids(ids), ids);
            assert!(through <= most, "{through} of {ids}");
        }
    }

    #[test]
    fn the_more_ids_share_a_word_the_fewer_bits_each_sets() {
        for (ids_a_word, bits, most) in [(12, 3, 13_000), (24, 2, 31_000), (32, 2, 43_000)] {
            assert_eq!(Filter::for_ids(ids_a_word * MOST_WORDS).bits, bits, "{ids_a_word}");
            let through = through(Filter::with_words(4_096, bits), ids_a_word * 4_096);
            assert!(through <= most, "{through} with {ids_a_word}");
        }
    }

    #[test]
    fn so_many_that_nearly_all_would_get_through_have_none() {
        assert_eq!(Filter::for_ids(MOST_IDS).words as u64, MOST_WORDS);
        let none = Filter::for_ids(MOST_IDS + 1);
        assert!(none.pieces.is_empty() && none.may_have(7));
    }
}
