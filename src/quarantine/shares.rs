//! How the capacity of the quarantine is shared: between the classes, and within a class between clients. Pure
//! accounting; the file follows what is decided here.
//!
//! Each class is guaranteed a share. What a class leaves unused, the others may use, and give back when it is wanted.
//! What was answered 200 is never evicted, so that class never grows beyond its share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::Class;
use crate::config::QuarantineConfig;

/// A client may hold this many times as much of the first class as is left free of it. One client alone gets two
/// thirds, and a newcomer always finds some.
const HIDDEN_TIMES_FREE: u64 = 2;

/// Whose callbacks count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Client {
    /// An IPv4 address.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address: whoever has one address there has them all.
    V6([u8; 8]),
    /// The file names something that is no address.
    Unknown,
}

impl Client {
    pub(super) fn of(text: &str) -> Self {
        match text.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => Self::V4(address.octets()),
            Ok(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
            Err(_) => Self::Unknown,
        }
    }
}

/// A number of callbacks and of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: u64) {
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn exceeds(self, limit: Self) -> bool {
        self.entries > limit.entries || self.bytes > limit.bytes
    }
}

/// What one client holds of a class, by id, which is by age.
#[derive(Debug, Default)]
struct Holding {
    amount: Amount,
    entries: BTreeMap<i64, u64>,
}

/// One class.
#[derive(Debug, Default)]
struct Shelf {
    amount: Amount,
    clients: HashMap<Client, Holding>,
    /// Who holds how many, the most last.
    by_entries: BTreeSet<(u64, Client)>,
    by_bytes: BTreeSet<(u64, Client)>,
}

impl Shelf {
    fn change(&mut self, client: Client, change: impl FnOnce(&mut Holding)) {
        let holding = self.clients.entry(client).or_default();
        let before = holding.amount;
        change(holding);
        let after = holding.amount;
        if holding.entries.is_empty() {
            self.clients.remove(&client);
        }
        self.by_entries.remove(&(before.entries, client));
        self.by_bytes.remove(&(before.bytes, client));
        if after.entries > 0 {
            self.by_entries.insert((after.entries, client));
            self.by_bytes.insert((after.bytes, client));
        }
    }

    fn add(&mut self, client: Client, id: i64, bytes: u64) {
        self.amount.add(bytes);
        self.change(client, |holding| {
            holding.amount.add(bytes);
            holding.entries.insert(id, bytes);
        });
    }

    fn remove(&mut self, client: Client, id: i64) {
        let mut freed = None;
        self.change(client, |holding| {
            freed = holding.entries.remove(&id);
            freed.into_iter().for_each(|bytes| holding.amount.take(bytes));
        });
        freed.into_iter().for_each(|bytes| self.amount.take(bytes));
    }

    /// The oldest callback of the client that holds most, by what there is too much of.
    fn first_to_go(&self, too_many_entries: bool) -> Option<i64> {
        let order = if too_many_entries { &self.by_entries } else { &self.by_bytes };
        let (_, client) = order.last()?;
        self.clients.get(client)?.entries.keys().next().copied()
    }
}

/// Who holds what.
#[derive(Debug)]
pub(super) struct Shares {
    limit: Amount,
    guaranteed: [Amount; 3],
    shelves: [Shelf; 3],
    index: HashMap<i64, (Class, Client)>,
}

impl Shares {
    pub(super) fn new(config: &QuarantineConfig) -> Self {
        let limit = Amount { entries: config.max_entries, bytes: config.max_bytes };
        let part = |of: fn(u64) -> u64| Amount { entries: of(limit.entries), bytes: of(limit.bytes) };
        let guaranteed =
            [part(|all| all.div_ceil(2)), part(|all| all / 5 * 2 + all % 5 * 2 / 5), part(|all| all / 10)];
        Self { limit, guaranteed, shelves: Default::default(), index: HashMap::new() }
    }

    /// Whether a client may add a callback to the first class: as long as that class has capacity, and the client does
    /// not hold too much of it.
    pub(super) fn admits_hidden(&self, client: Client, bytes: u64) -> Result<(), Denied> {
        let shelf = self.shelf(Class::Hidden);
        let share = self.guaranteed[Class::Hidden.index()];
        let mut after = shelf.amount;
        after.add(bytes);
        if after.exceeds(share) {
            return Err(Denied::Full);
        }
        let held = shelf.clients.get(&client).map(|holding| holding.amount).unwrap_or_default();
        let free = Amount {
            entries: share.entries.saturating_sub(shelf.amount.entries).saturating_mul(HIDDEN_TIMES_FREE),
            bytes: share.bytes.saturating_sub(shelf.amount.bytes).saturating_mul(HIDDEN_TIMES_FREE),
        };
        if held.exceeds(free) { Err(Denied::Client) } else { Ok(()) }
    }

    /// Takes a callback in, and tells which must go for it: worse classes first, and each only down to what it is
    /// guaranteed. The new one may be among them.
    pub(super) fn add(&mut self, class: Class, client: Client, id: i64, bytes: u64) -> Vec<i64> {
        self.put(class, client, id, bytes);
        let mut gone = Vec::new();
        while let Some(id) = self.first_to_go() {
            self.remove(id);
            gone.push(id);
        }
        gone
    }

    /// Takes a callback in that is in the file already.
    pub(super) fn put(&mut self, class: Class, client: Client, id: i64, bytes: u64) {
        self.shelves[class.index()].add(client, id, bytes);
        self.index.insert(id, (class, client));
    }

    /// Forgets a callback.
    pub(super) fn remove(&mut self, id: i64) {
        if let Some((class, client)) = self.index.remove(&id) {
            self.shelves[class.index()].remove(client, id);
        }
    }

    /// Moves a callback to another class, and tells which must go for it.
    pub(super) fn reclassify(&mut self, id: i64, class: Class) -> Vec<i64> {
        let Some((from, client)) = self.index.get(&id).copied() else { return Vec::new() };
        let holding = self.shelf(from).clients.get(&client);
        let bytes = holding.and_then(|holding| holding.entries.get(&id)).copied().unwrap_or_default();
        self.remove(id);
        self.add(class, client, id, bytes)
    }

    /// How much a class holds.
    pub(super) fn held(&self, class: Class) -> Amount {
        self.shelf(class).amount
    }

    fn shelf(&self, class: Class) -> &Shelf {
        &self.shelves[class.index()]
    }

    fn total(&self) -> Amount {
        self.shelves.iter().fold(Amount::default(), |sum, shelf| Amount {
            entries: sum.entries + shelf.amount.entries,
            bytes: sum.bytes + shelf.amount.bytes,
        })
    }

    fn first_to_go(&self) -> Option<i64> {
        let total = self.total();
        let (entries, bytes) = (total.entries > self.limit.entries, total.bytes > self.limit.bytes);
        if !entries && !bytes {
            return None;
        }
        [Class::Other, Class::App].into_iter().find_map(|class| {
            let (held, share) = (self.held(class), self.guaranteed[class.index()]);
            if entries && held.entries > share.entries {
                return self.shelf(class).first_to_go(true);
            }
            (bytes && held.bytes > share.bytes).then(|| self.shelf(class).first_to_go(false)).flatten()
        })
    }
}

/// Why the first class takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It is full.
    Full,
    /// This client holds its share.
    Client,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTACKER: Client = Client::V4([203, 0, 113, 9]);
    const VENDOR: Client = Client::V4([198, 51, 100, 7]);

    fn shares(max_entries: u64, max_bytes: u64) -> Shares {
        Shares::new(&QuarantineConfig { max_entries, max_bytes })
    }

    #[test]
    fn junk_evicts_junk_and_nothing_better() {
        let mut shares = shares(100, 1 << 20);
        for id in 0..50 {
            assert!(shares.add(Class::App, VENDOR, id, 100).is_empty());
        }
        for id in 50..60 {
            shares.add(Class::Hidden, VENDOR, id, 100);
        }
        for id in 60..10_060 {
            let gone = shares.add(Class::Other, ATTACKER, id, 100);
            assert!(gone.iter().all(|gone| *gone >= 60), "{gone:?}");
        }
        let held = [Class::Hidden, Class::App, Class::Other].map(|class| shares.held(class).entries);
        assert_eq!(held, [10, 50, 40], "what is unused may be used");
        // A better class takes its share back, and no more.
        for id in 20_000..20_100 {
            shares.add(Class::App, ATTACKER, id, 100);
        }
        let held = [Class::Hidden, Class::App, Class::Other].map(|class| shares.held(class).entries);
        assert_eq!(held, [10, 80, 10]);
        // Of two clients the one that holds more has lost.
        let holds = |client| shares.shelf(Class::App).clients[&client].amount.entries;
        assert_eq!((holds(VENDOR), holds(ATTACKER)), (40, 40));
    }

    #[test]
    fn the_oldest_of_the_largest_goes_first_by_what_there_is_too_much_of() {
        let mut shares = shares(1_000, 1_000);
        shares.add(Class::Other, VENDOR, 1, 10);
        for id in 2..8 {
            shares.add(Class::Other, VENDOR, id, 10);
        }
        shares.add(Class::Other, ATTACKER, 8, 900);
        assert_eq!(shares.add(Class::Other, VENDOR, 9, 100), [8], "few and large");
        assert_eq!(shares.add(Class::Other, VENDOR, 10, 950), [1, 2, 3, 4, 5, 6, 7, 9]);
        assert_eq!(shares.held(Class::Other), Amount { entries: 1, bytes: 950 });
    }

    #[test]
    fn no_client_takes_all_of_what_is_never_evicted() {
        let mut shares = shares(100, 1 << 20);
        let mut id = 0;
        let mut fill = |shares: &mut Shares, client| {
            let mut taken = 0;
            let why = loop {
                if let Err(why) = shares.admits_hidden(client, 100) {
                    break why;
                }
                id += 1;
                taken += 1;
                assert!(shares.add(Class::Hidden, client, id, 100).is_empty());
            };
            (taken, why)
        };
        assert_eq!(fill(&mut shares, ATTACKER), (34, Denied::Client));
        assert_eq!(fill(&mut shares, VENDOR), (11, Denied::Client));
        for more in 0..100 {
            fill(&mut shares, Client::V4([192, 0, 2, more]));
        }
        assert!(shares.held(Class::Hidden).entries <= 50);
        assert_eq!(shares.admits_hidden(VENDOR, 1 << 20), Err(Denied::Full));
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_a_mapped_address_is_ipv4() {
        assert_eq!(Client::of("2001:db8::1"), Client::of("2001:db8::ffff:1"));
        assert_ne!(Client::of("2001:db8::1"), Client::of("2001:db8:0:1::1"));
        assert_eq!(Client::of("::ffff:192.0.2.1"), Client::of("192.0.2.1"));
        assert_eq!(Client::of("unix"), Client::Unknown);
    }
}
