//! The vendors: callbacks of all four, small and large, from several connections; what they were answered, and which
//! receipts were acknowledged at which point of the disk's log.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::program::{Program, exchange};
use crate::shim::Disk;
use crate::vendor::{Callback, easemob, openim, rongcloud, tencent};

/// Receipts of one large callback.
const LARGE: u64 = 50;

#[derive(Default)]
pub(crate) struct Vendors {
    next: AtomicU64,
    /// With the length of the disk's log when the answer was there, and the callback.
    acknowledged: Mutex<BTreeMap<u64, (u64, Callback)>>,
    answers: Mutex<BTreeMap<u16, u64>>,
}

/// A callback with many receipts, each more than a kilobyte.
fn large(first: u64) -> Callback {
    let numbers = (first..first + LARGE).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let Callback { target, .. } = openim(first);
    let conversation = "c".repeat(1_000);
    let body = format!(
        r#"{{"callbackCommand":"callbackAfterSingleMsgReadCommand","conversationID":"si_{conversation}_b","userID":"b","Seqs":[{numbers}],"contentType":1}}"#
    );
    Callback { target, body }
}

/// The number that a callback was made with, from its receipt.
pub(crate) fn number(receipt: &Value) -> u64 {
    let text = |field: &str| receipt[field].as_str().unwrap();
    match text("vendor") {
        "easemob" => text("message_id").strip_prefix('9').unwrap().parse().unwrap(),
        "openim" => receipt["message_seq"].as_u64().unwrap(),
        "rongcloud" => text("event_id").strip_prefix("UID-").unwrap().parse().unwrap(),
        _ => text("up_to_time").parse::<jiff::Timestamp>().unwrap().as_second().cast_unsigned(),
    }
}

impl Vendors {
    pub(crate) fn new() -> Self {
        let new = Self::default();
        new.next.store(1, Ordering::Relaxed);
        new
    }

    fn send(
        &self,
        program: &Program,
        disk: Option<&Disk>,
        callback: &Callback,
        numbers: std::ops::Range<u64>,
    ) -> u16 {
        let answer = exchange(program.public, "POST", &callback.target, &callback.body);
        let status = answer.map_or(0, |(status, _)| status);
        if status == 200 {
            let position = disk.map_or(0, Disk::position);
            let mut acknowledged = self.acknowledged.lock().unwrap();
            for number in numbers {
                acknowledged.entry(number).or_insert_with(|| (position, callback.clone()));
            }
        }
        *self.answers.lock().unwrap().entry(status).or_default() += 1;
        status
    }

    /// Posts one callback of the next vendor; its status, 0 for none.
    pub(crate) fn post(&self, program: &Program, disk: Option<&Disk>) -> u16 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let callback = match number % 4 {
            0 => easemob(number),
            1 => tencent(number),
            2 => openim(number),
            _ => rongcloud(number),
        };
        self.send(program, disk, &callback, number..number + 1)
    }

    /// Whether it takes a callback that no case counts.
    pub(crate) fn takes(program: &Program) -> bool {
        let Callback { target, body } = easemob(1 << 40);
        exchange(program.public, "POST", &target, &body).is_some_and(|(status, _)| status == 200)
    }

    /// Posts one with many receipts.
    pub(crate) fn post_large(&self, program: &Program, disk: Option<&Disk>) -> u16 {
        let first = self.next.fetch_add(LARGE, Ordering::Relaxed);
        self.send(program, disk, &large(first), first..first + LARGE)
    }

    /// Posts one of Easemob, whose failures the ban guard counts.
    pub(crate) fn post_easemob(&self, program: &Program, disk: Option<&Disk>) -> u16 {
        let number = self.next.fetch_add(4, Ordering::Relaxed).next_multiple_of(4);
        self.send(program, disk, &easemob(number), number..number + 1)
    }

    /// Posts what goes to quarantine: a report without its time.
    pub(crate) fn post_malformed(&self, program: &Program) {
        let Callback { target, .. } = tencent(1);
        let reader = "r".repeat(16_000);
        let body = format!(r#"{{"Report_Account":"{reader}","Peer_Account":"peer"}}"#);
        exchange(program.public, "POST", &target, &body);
    }

    /// Posts from four connections, large and small, while `more` says so and the program answers at all.
    pub(crate) fn load(&self, program: &Program, disk: Option<&Disk>, more: impl Fn() -> bool + Sync) {
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let more = &more;
                scope.spawn(move || {
                    let mut silent = 0;
                    while more() && silent < 20 {
                        if worker == 0 {
                            self.post_malformed(program);
                        }
                        let status = if worker < 2 {
                            self.post_large(program, disk)
                        } else {
                            self.post(program, disk)
                        };
                        silent = if status == 0 { silent + 1 } else { 0 };
                        if status != 200 {
                            crate::program::pause();
                        }
                    }
                });
            }
        });
    }

    /// The same for so many callbacks more.
    pub(crate) fn load_some(&self, program: &Program, disk: Option<&Disk>, callbacks: u64) {
        let until = self.posted() + callbacks;
        self.load(program, disk, || self.posted() < until);
    }

    pub(crate) fn posted(&self) -> u64 {
        self.answers.lock().unwrap().values().sum()
    }

    pub(crate) fn answers(&self) -> BTreeMap<u16, u64> {
        self.answers.lock().unwrap().clone()
    }

    /// What had been acknowledged when the disk's log was so long.
    pub(crate) fn acknowledged(&self, position: u64) -> Vec<u64> {
        let acknowledged = self.acknowledged.lock().unwrap();
        acknowledged.iter().filter(|(_, (at, _))| *at <= position).map(|(number, _)| *number).collect()
    }

    /// Posts some of what was acknowledged once more: each is known.
    pub(crate) fn again(&self, program: &Program) {
        let acknowledged = self.acknowledged.lock().unwrap();
        for (_, Callback { target, body }) in acknowledged.values().step_by(acknowledged.len() / 40 + 1) {
            exchange(program.public, "POST", target, body);
        }
    }
}
