//! A disk that has lost its power: made from the log of all writes and syncs up to some point. What was synced is there; of
//! the rest, any part may be.
//!
//! The model. A file's data is on the disk after a successful sync of it. Pages (4096 bytes) that were written since are
//! there or not, each of their sectors (512 bytes) by itself. After a failed sync the pages that it was for are clean: a later
//! sync does not write them, unless they are written again. A name (made, renamed, removed) is on the disk after a
//! successful sync of its folder; of later changes a beginning is there. The -shm is not: SQLite makes it again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

const MAGIC: u32 = 0x4b53_4944;
const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// Which part of what was not synced is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    Everything,
    /// Each sector, each size and a beginning of the names by chance.
    Any,
}

impl Rest {
    pub(crate) const ALL: [Self; 3] = [Self::Nothing, Self::Any, Self::Everything];
}

#[derive(Default)]
struct Object {
    durable: Vec<u8>,
    cache: Vec<u8>,
    /// Pages that a sync would write.
    dirty: BTreeSet<usize>,
}

type Names = BTreeMap<String, usize>;

/// Change of a name, not on the disk yet.
enum Change {
    Made(String, usize),
    Renamed(String, String),
    Removed(String),
}

/// Reads the log, and is the disk at any point of it.
pub(crate) struct Model {
    log: BufReader<File>,
    position: u64,
    objects: Vec<Object>,
    by_inode: HashMap<u64, usize>,
    cached: Names,
    durable: Names,
    pending: Vec<Change>,
}

struct Record {
    kind: u8,
    detail: u8,
    inode: u64,
    offset: u64,
    length: u64,
    path: String,
    data: Vec<u8>,
}

impl Model {
    /// The log of a folder that was empty at first.
    pub(crate) fn of(log: &Path) -> Self {
        Self {
            log: BufReader::with_capacity(1 << 20, File::open(log).unwrap()),
            position: 0,
            objects: Vec::new(),
            by_inode: HashMap::new(),
            cached: Names::new(),
            durable: Names::new(),
            pending: Vec::new(),
        }
    }

    /// Goes on to the last whole record up to this position.
    pub(crate) fn advance(&mut self, to: u64) {
        while self.position < to {
            let Some(record) = self.record() else { return };
            self.apply(record);
        }
    }

    fn record(&mut self) -> Option<Record> {
        let mut head = [0; 32];
        self.log.read_exact(&mut head).ok()?;
        let number = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
        assert_eq!(u32::from_ne_bytes(head[..4].try_into().unwrap()), MAGIC, "at {}", self.position);
        let (kind, detail) = (head[4], head[5]);
        let path_length = usize::from(u16::from_ne_bytes([head[6], head[7]]));
        let (inode, offset, length) = (number(8), number(16), number(24));
        let data_length = if kind == b'W' { usize::try_from(length).unwrap() } else { 0 };
        let mut rest = vec![0; path_length + data_length];
        self.log.read_exact(&mut rest).ok()?;
        self.position += (head.len() + rest.len()) as u64;
        let data = rest.split_off(path_length);
        Some(Record { kind, detail, inode, offset, length, path: String::from_utf8(rest).unwrap(), data })
    }

    fn apply(&mut self, Record { kind, detail, inode, offset, length, path, data }: Record) {
        match kind {
            b'C' => {
                self.objects.push(Object::default());
                let object = self.objects.len() - 1;
                self.by_inode.insert(inode, object);
                self.cached.insert(path.clone(), object);
                self.pending.push(Change::Made(path, object));
            }
            b'R' => {
                let (from, to) = path.split_once('\n').unwrap();
                if let Some(object) = self.cached.remove(from) {
                    self.cached.insert(to.to_owned(), object);
                }
                self.pending.push(Change::Renamed(from.to_owned(), to.to_owned()));
            }
            b'U' => {
                self.cached.remove(&path);
                self.pending.push(Change::Removed(path));
            }
            b'D' => {
                let inside = |name: &str| Path::new(name).parent().map(Path::to_owned);
                let folder = if path == "." { Path::new("").to_owned() } else { Path::new(&path).to_owned() };
                let mut later = Vec::new();
                for change in std::mem::take(&mut self.pending) {
                    let name = match &change {
                        Change::Made(name, _) | Change::Removed(name) | Change::Renamed(_, name) => name,
                    };
                    if inside(name).as_ref() == Some(&folder) {
                        carry_out(&mut self.durable, &change);
                    } else {
                        later.push(change);
                    }
                }
                self.pending = later;
            }
            b'O' | b'F' => {}
            b'W' | b'T' | b'S' | b'E' => {
                // What was there before the log began is not followed.
                let Some(&object) = self.by_inode.get(&inode) else { return };
                let object = &mut self.objects[object];
                let (offset, length) = (usize::try_from(offset).unwrap(), usize::try_from(length).unwrap());
                match (kind, detail) {
                    (b'W', _) => object.write(offset, &data),
                    (b'T', _) => object.resize(length),
                    (b'S', _) => object.sync(),
                    (_, 0) => object.dirty.clear(),
                    (_, 1) => object.evict(),
                    // The error that another descriptor had caused.
                    (_, _) => {}
                }
            }
            _ => panic!("a record of kind {kind}"),
        }
    }

    /// Files whose contents in this model and in the folder differ: none, or the log is not complete.
    pub(crate) fn differs_from(&self, folder: &Path) -> Vec<String> {
        let differs = |(name, object): (&String, &usize)| {
            let there = std::fs::read(folder.join(name)).unwrap_or_default();
            let object = &self.objects[*object];
            (there != object.cache && !name.ends_with("-shm"))
                .then(|| format!("{name} ({} and {})", there.len(), object.cache.len()))
        };
        self.cached.iter().filter_map(differs).collect()
    }

    /// Writes what is on the disk into a new folder.
    pub(crate) fn write_to(&self, folder: &Path, rest: Rest, chance: &mut Chance) {
        let mut names = self.durable.clone();
        let count = match rest {
            Rest::Nothing => 0,
            Rest::Everything => self.pending.len(),
            Rest::Any => chance.below(self.pending.len() + 1),
        };
        self.pending.iter().take(count).for_each(|change| carry_out(&mut names, change));
        for (name, object) in names.iter().filter(|(name, _)| !name.ends_with("-shm")) {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, self.objects[*object].on_disk(rest, chance)).unwrap();
        }
    }
}

fn carry_out(names: &mut Names, change: &Change) {
    match change {
        Change::Made(name, object) => {
            names.insert(name.clone(), *object);
        }
        Change::Renamed(from, to) => {
            if let Some(object) = names.remove(from) {
                names.insert(to.clone(), object);
            }
        }
        Change::Removed(name) => {
            names.remove(name);
        }
    }
}

impl Object {
    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(data);
        self.dirty.extend(offset / PAGE..end.div_ceil(PAGE));
    }

    fn resize(&mut self, length: usize) {
        if length < self.cache.len() {
            self.dirty.extend(length / PAGE..self.cache.len().div_ceil(PAGE));
        }
        self.cache.resize(length, 0);
    }

    fn sync(&mut self) {
        self.durable.resize(self.cache.len(), 0);
        for page in std::mem::take(&mut self.dirty) {
            copy(&self.cache, &mut self.durable, page * PAGE, PAGE);
        }
    }

    fn evict(&mut self) {
        self.cache.resize(self.durable.len(), 0);
        for page in std::mem::take(&mut self.dirty) {
            copy(&self.durable, &mut self.cache, page * PAGE, PAGE);
        }
    }

    fn on_disk(&self, rest: Rest, chance: &mut Chance) -> Vec<u8> {
        let mut disk = self.durable.clone();
        let takes = |chance: &mut Chance| match rest {
            Rest::Nothing => false,
            Rest::Everything => true,
            Rest::Any => chance.below(2) == 1,
        };
        if takes(chance) {
            disk.resize(self.cache.len(), 0);
        }
        for page in &self.dirty {
            for sector in (page * PAGE..(page + 1) * PAGE).step_by(SECTOR) {
                let end = (sector + SECTOR).min(self.cache.len());
                if sector < end && takes(chance) {
                    if disk.len() < end {
                        disk.resize(end, 0);
                    }
                    copy(&self.cache, &mut disk, sector, SECTOR);
                }
            }
        }
        disk
    }
}

/// Copies what both have of a piece.
fn copy(from: &[u8], to: &mut [u8], at: usize, length: usize) {
    let end = (at + length).min(from.len()).min(to.len());
    if at < end {
        to[at..end].copy_from_slice(&from[at..end]);
    }
}

/// Chance that can be had again: the same seed, the same numbers (`SplitMix64`).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound as u64).unwrap()
    }
}
