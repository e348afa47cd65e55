//! The entries that are kept, oldest out first. Their text lies in blocks, one entry behind the other, and what an old block
//! leaves is the next one: a callback asks nothing of the allocator here, and what it leaves does not stand between what
//! lives for shorter.

use std::collections::VecDeque;
use std::ops::Range;

use super::entry::{Ended, Entry};
use crate::config::CallbackLogConfig;

/// So much text lies in a block, or one entry that is longer.
const BLOCK_BYTES: usize = 64 << 10;
/// A small log is in so many blocks nevertheless: the oldest one may be gone but for its last entry.
const BLOCKS: usize = 16;

/// Entries by their number: from 1, without gaps.
pub(super) struct Blocks {
    config: CallbackLogConfig,
    /// Oldest first; none is empty.
    blocks: VecDeque<Block>,
    /// What the last one has left that went.
    spare: Option<Block>,
    /// The number of the oldest entry, or of the next one if there is none.
    first: u64,
    /// The number of the next one.
    next: u64,
    bytes: usize,
}

#[derive(Default)]
struct Block {
    /// The number of its first entry, be that gone or not.
    first: u64,
    entries: Vec<Entry<Range<usize>>>,
    text: Vec<u8>,
}

impl Blocks {
    pub(super) fn new(config: CallbackLogConfig) -> Self {
        Self { config, blocks: VecDeque::new(), spare: None, first: 1, next: 1, bytes: 0 }
    }

    /// Whether nothing is kept at all.
    pub(super) fn keep_nothing(&self) -> bool {
        self.config.max_entries == 0 || self.config.max_bytes == 0
    }

    /// The number of the oldest entry, or of the next one if there is none.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the newest entry that there has been; 0 before the first.
    pub(super) fn head(&self) -> u64 {
        self.next - 1
    }

    /// Adds an entry, whose text is so long, and lets go of the oldest ones.
    pub(super) fn push(&mut self, ended: &Ended<'_>, text_bytes: usize) {
        if self.blocks.back().is_none_or(|last| last.text.capacity() - last.text.len() < text_bytes) {
            let block = self.empty_block(text_bytes);
            self.blocks.push_back(block);
        }
        let Some(last) = self.blocks.back_mut() else { return };
        let entry = ended.write(&mut last.text);
        self.bytes += entry.weight();
        last.entries.push(entry);
        self.next += 1;
        while self.next - self.first > self.config.max_entries as u64 || self.bytes > self.config.max_bytes {
            self.drop_oldest();
        }
    }

    /// An entry, if it is still there.
    pub(super) fn get(&self, number: u64) -> Option<Entry<&[u8]>> {
        if number < self.first {
            return None;
        }
        let block = self.blocks.partition_point(|block| block.first <= number).checked_sub(1)?;
        let block = self.blocks.get(block)?;
        let entry = block.entries.get(usize::try_from(number - block.first).ok()?)?;
        Some(entry.within(&block.text))
    }

    fn drop_oldest(&mut self) {
        let Some(block) = self.blocks.front() else { return };
        let at = usize::try_from(self.first - block.first).unwrap_or(usize::MAX);
        self.bytes -= block.entries.get(at).map_or(0, Entry::weight);
        self.first += 1;
        if at + 1 >= block.entries.len() {
            // One that was made for a giant must not stay.
            self.spare = self.blocks.pop_front().filter(|block| block.text.capacity() <= BLOCK_BYTES);
        }
    }

    fn empty_block(&mut self, text_bytes: usize) -> Block {
        let mut block = self.spare.take().unwrap_or_default();
        block.first = self.next;
        block.entries.clear();
        block.text.clear();
        block.text.reserve_exact(text_bytes.max(BLOCK_BYTES.min(self.config.max_bytes / BLOCKS)));
        block
    }
}
