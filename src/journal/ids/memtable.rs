//! The newest ids, in memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::super::Seq;
use super::Fingerprint;

/// A table is sorted in parts, by so many of the upper bits, so that the copy is small.
const PART_BITS: u32 = 2;

/// Where the newest ids are. Bounded by who fills it.
#[derive(Default)]
pub(super) struct Memtable {
    seqs: HashMap<Fingerprint, Seq, BuildHasherDefault<AsIs>>,
    /// What a later id with the same fingerprint has pushed out of the map: hardly ever one.
    older: Vec<(Fingerprint, Seq)>,
}

impl Memtable {
    pub(super) fn len(&self) -> usize {
        self.seqs.len() + self.older.len()
    }

    pub(super) fn insert(&mut self, fingerprint: Fingerprint, seq: Seq) {
        if let Some(before) = self.seqs.insert(fingerprint, seq) {
            self.older.push((fingerprint, before));
        }
    }

    /// Adds the positions that may have this fingerprint's id.
    pub(super) fn find(&self, fingerprint: Fingerprint, found: &mut Vec<Seq>) {
        if let Some(seq) = self.seqs.get(&fingerprint) {
            found.push(*seq);
            let same = self.older.iter().filter(|(other, _)| *other == fingerprint);
            found.extend(same.map(|(_, seq)| *seq));
        }
    }

    /// Forgets what came behind a position: its transaction was taken back.
    pub(super) fn take_back(&mut self, behind: Seq) {
        self.seqs.retain(|_, seq| *seq <= behind);
        for (fingerprint, seq) in std::mem::take(&mut self.older) {
            if seq <= behind {
                self.insert(fingerprint, seq);
            }
        }
    }

    /// Empty, with the memory that it has.
    pub(super) fn cleared(mut self) -> Self {
        self.seqs.clear();
        self.older.clear();
        self
    }

    /// Everything in it, as a run wants it: sorted, a part at a time.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (Fingerprint, Seq)> {
        (0..1 << PART_BITS).flat_map(|part| {
            let newest = self.seqs.iter().map(|(fingerprint, seq)| (*fingerprint, *seq));
            let all = newest.chain(self.older.iter().copied());
            let mut items = Vec::with_capacity(self.len() >> (PART_BITS - 1));
            items.extend(all.filter(|(fingerprint, _)| fingerprint >> (u64::BITS - PART_BITS) == part));
            items.sort_unstable();
            items
        })
    }
}

/// A fingerprint is a piece of a SHA-256 and needs no hash of its own.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::TABLE_IDS;
    use super::*;

    fn find(table: &Memtable, fingerprint: Fingerprint) -> Vec<Seq> {
        let mut found = Vec::new();
        table.find(fingerprint, &mut found);
        found.sort_unstable();
        found
    }

    #[test]
    fn a_full_table_has_room_for_what_the_writer_adds_before_it_looks() {
        let mut table = Memtable::default();
        (0..TABLE_IDS as u64).for_each(|number| table.insert(number << 40, 1));
        let room = table.seqs.capacity();
        (1..=4_096).for_each(|number| table.insert(number, 1));
        assert_eq!(table.seqs.capacity(), room, "it has not doubled");
    }

    #[test]
    fn ids_that_look_alike_are_all_found_and_what_is_taken_back_is_gone() {
        let mut table = Memtable::default();
        for (fingerprint, seq) in [(7, 1), (8, 2), (7, 3), (7, 4)] {
            table.insert(fingerprint, seq);
        }
        assert_eq!((find(&table, 7), find(&table, 8), table.len()), (vec![1, 3, 4], vec![2], 4));
        let far = [(u64::MAX, 5), (u64::MAX - 1, 6), (1 << 60, 7), ((1 << 60) - 1, 8)];
        far.iter().for_each(|(fingerprint, seq)| table.insert(*fingerprint, *seq));
        let mut all = [&[(7, 1), (7, 3), (7, 4), (8, 2)][..], &far].concat();
        all.sort_unstable();
        assert_eq!(table.sorted().collect::<Vec<_>>(), all);
        table.take_back(3);
        assert_eq!((find(&table, 7), table.len()), (vec![1, 3], 3));
        table.take_back(1);
        assert_eq!((find(&table, 7), find(&table, 8)), (vec![1], vec![]));
    }
}
