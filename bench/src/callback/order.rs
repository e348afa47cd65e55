//! The order in which ids come: with time, as vendors give them, or scattered, which B-trees like least.
//!
//! Both are bijections, so no id comes twice. Neither is random in the cryptographer's sense.

use clap::ValueEnum;

/// How the ids of successive callbacks relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Each id is greater than the one before.
    Growing,
    /// Ids jump over the whole range, yet none repeats.
    Random,
}

impl Order {
    /// The id at position `n` among `2^bits` ids. Distinct positions below `2^bits` give distinct ids.
    pub(super) fn place(self, n: u64, bits: u32) -> u64 {
        match self {
            Self::Growing => n,
            Self::Random => scatter(n, bits),
        }
    }
}

/// Mixes the low `bits` of `n`. Each step (shift-xor, odd factor, modulo a power of two) can be undone, so
/// the whole is a bijection.
fn scatter(n: u64, bits: u32) -> u64 {
    let mask = u64::MAX >> (64 - bits);
    let half = bits / 2;
    let mut mixed = n & mask;
    for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0x9e37_79b9_7f4a_7c15_u64] {
        mixed = (mixed ^ (mixed >> half)).wrapping_mul(factor) & mask;
    }
    mixed ^ (mixed >> half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_is_a_bijection() {
        let mut seen = vec![false; 1 << 16];
        for n in 0..1 << 16 {
            let id = Order::Random.place(n, 16) as usize;
            assert!(!std::mem::replace(&mut seen[id], true));
        }
    }

    #[test]
    fn random_does_not_grow() {
        let falls =
            (0..1000).filter(|n| Order::Random.place(n + 1, 59) < Order::Random.place(*n, 59)).count();
        assert!((400..600).contains(&falls), "{falls} of 1000 steps went down");
    }
}
