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
/// A block gets room for so many more entries.
const ENTRIES_AT_ONCE: usize = 32;

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
    /// What all of them take, and what is left over at the ends of blocks.
    bytes: usize,
}

#[derive(Default)]
struct Block {
    /// The number of its first entry, be that gone or not.
    first: u64,
    entries: Vec<Entry<Range<usize>>>,
    text: Vec<u8>,
    /// How much at its end the next entry did not fit into.
    left_over: usize,
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
        if self.blocks.back().is_none_or(|last| last.room() < text_bytes) {
            if let Some(last) = self.blocks.back_mut() {
                last.left_over = last.room();
                self.bytes += last.left_over;
            }
            let block = self.empty_block(text_bytes);
            self.blocks.push_back(block);
        }
        let Some(last) = self.blocks.back_mut() else { return };
        let entry = ended.write(&mut last.text);
        self.bytes += entry.weight();
        if last.entries.len() == last.entries.capacity() {
            // Left alone, it would double, and half of it stay empty.
            last.entries.reserve_exact(ENTRIES_AT_ONCE);
        }
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
            self.bytes -= block.left_over;
            // One that was made for a giant must not stay.
            let usual = self.usual_bytes();
            self.spare = self.blocks.pop_front().filter(|block| block.text.capacity() <= usual);
        }
    }

    fn empty_block(&mut self, text_bytes: usize) -> Block {
        let mut block = self.spare.take().unwrap_or_default();
        (block.first, block.left_over) = (self.next, 0);
        block.entries.clear();
        block.text.clear();
        block.text.reserve_exact(text_bytes.max(self.usual_bytes()));
        block
    }

    /// How large a block is whose first entry is no giant.
    fn usual_bytes(&self) -> usize {
        BLOCK_BYTES.min(self.config.max_bytes / BLOCKS)
    }
}

impl Block {
    fn room(&self) -> usize {
        self.text.capacity() - self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::receipt::{Timestamp, VendorName};
    use crate::vendor::{Incoming, Outcome};

    fn request(body: &str) -> Incoming {
        Incoming {
            uri: "/webhooks/openim/token?query=1".parse().unwrap(),
            tail_at: "/webhooks/openim".len(),
            headers: HeaderMap::from_iter([("x-kept".parse().unwrap(), "value".parse().unwrap())]),
            client: IpAddr::from([127, 0, 0, 1]),
            body: Bytes::copy_from_slice(body.as_bytes()),
            received_at: Timestamp::EPOCH,
        }
    }

    fn push(blocks: &mut Blocks, body: &str) {
        let ended = Ended {
            request: &request(body),
            vendor: VendorName::OpenIm,
            app: Some("app"),
            command: Some("command"),
            verified_by: None,
            outcome: Outcome::Ignored,
            status: 200,
            took: Duration::ZERO,
            positions: None,
        };
        blocks.push(&ended, ended.text_bytes());
    }

    #[test]
    fn each_entry_is_what_it_was_and_blocks_are_used_again() {
        let config = CallbackLogConfig { max_entries: 500, max_bytes: 200_000 };
        let mut blocks = Blocks::new(config);
        let body =
            |number: u64| format!("{number} {}", "x".repeat(usize::try_from(number * 7 % 900).unwrap()));
        for number in 1..=20_000 {
            // Now and then a giant, which takes a block of its own and does not leave it.
            let long = if number % 1_000 == 0 { "y".repeat(50_000) } else { String::new() };
            push(&mut blocks, &(body(number) + &long));
            assert!(blocks.bytes <= config.max_bytes && blocks.next - blocks.first <= 500);
            let memory: usize =
                blocks.blocks.iter().chain(&blocks.spare).map(|block| block.text.capacity()).sum();
            assert!(memory <= config.max_bytes * 5 / 4, "{memory} bytes");
        }
        assert_eq!((blocks.head(), blocks.get(20_001).is_none()), (20_000, true));
        assert!(blocks.first() > 19_000 && blocks.get(blocks.first() - 1).is_none());
        for number in blocks.first()..20_000 {
            let entry = blocks.get(number).unwrap().to_owned();
            assert_eq!((entry.app(), entry.command()), (Some("app"), Some("command")));
            assert_eq!((entry.path(), entry.query()), ("/webhooks/openim/token", "query=1"));
            assert_eq!(entry.fields().collect::<Vec<_>>(), [("x-kept", "value".to_owned())]);
            assert_eq!(entry.body(), body(number).as_bytes(), "{number}");
        }
    }

    #[test]
    fn what_is_too_large_for_the_log_leaves_nothing() {
        let mut blocks = Blocks::new(CallbackLogConfig { max_entries: 9, max_bytes: 1_000 });
        push(&mut blocks, "small");
        push(&mut blocks, &"x".repeat(2_000));
        assert_eq!((blocks.first(), blocks.head(), blocks.bytes), (3, 2, 0));
        push(&mut blocks, "small");
        assert!(blocks.get(2).is_none() && blocks.get(3).is_some());
    }
}
