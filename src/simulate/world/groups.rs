//! Groups: which message is being read in each, and by whom so far.

use super::super::random::mix;
use super::World;

/// Where a group is: this many members have told that they have read the message `seq`.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub(super) seq: i64,
    pub(super) read: u64,
    pub(super) since_ms: i64,
}

/// Some members of a group have read a message.
pub(in crate::simulate) struct GroupRead {
    pub(in crate::simulate) seq: i64,
    pub(in crate::simulate) author: u64,
    /// Who has read it up to now, in order. The new ones are the last.
    pub(in crate::simulate) readers: Vec<u64>,
    /// How many of them are new.
    pub(in crate::simulate) new: usize,
    /// How many have not read it yet.
    pub(in crate::simulate) unread: usize,
    /// When it was sent.
    pub(in crate::simulate) since_ms: i64,
}

impl GroupRead {
    pub(in crate::simulate) fn new_readers(&self) -> &[u64] {
        self.readers.get(self.readers.len() - self.new..).unwrap_or_default()
    }

    /// Whether everybody has read it now.
    pub(in crate::simulate) fn is_complete(&self) -> bool {
        self.unread == 0
    }
}

impl World {
    /// This callback will not be believed. Who has read what in groups is as before: lists of readers name all that were
    /// told, and no others.
    pub(in crate::simulate) fn take_back(&mut self) {
        for (group, before) in self.before.drain(..).rev() {
            self.groups[group] = before;
        }
    }

    pub(in crate::simulate) fn any_group(&mut self) -> usize {
        self.random.below(self.groups.len() as u64) as usize
    }

    pub(in crate::simulate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The newest message of a group.
    pub(in crate::simulate) fn seq_of(&self, group: usize) -> i64 {
        self.groups[group].seq
    }

    /// The next members who read the group's present message, at most `most`; once all have, it gets a new one.
    pub(in crate::simulate) fn group_read(&mut self, group: usize, most: u64) -> GroupRead {
        let place = mix(group as u64 ^ self.seed);
        let members = 3 + place % (self.users - 2).min(22);
        let first = (place >> 32) % self.users;
        let member = |at: u64| (first + at % members) % self.users;
        let wanted = 1 + self.random.below(most);
        let state = &mut self.groups[group];
        self.before.push((group, *state));
        let author_at = state.seq.cast_unsigned() % members;
        let new = wanted.min(members - 1 - state.read);
        let read = state.read + new;
        let done = GroupRead {
            seq: state.seq,
            author: member(author_at),
            readers: (0..read).map(|at| member(author_at + 1 + at)).collect(),
            new: new as usize,
            unread: (members - 1 - read) as usize,
            since_ms: state.since_ms,
        };
        *state = if done.is_complete() {
            Group { seq: state.seq + 1, read: 0, since_ms: self.now_ms }
        } else {
            Group { read, ..*state }
        };
        done
    }
}
