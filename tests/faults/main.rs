//! Faults of disks, clocks and processes, and what is left afterwards: nothing that was acknowledged is missing, nothing
//! is there twice, and the service goes on by itself. The program runs as a process; `tests/shim/disk.c` stands between
//! it and the kernel. docs/reliability.md has the method and the numbers.
//!
//! Each run prints a line: case, acknowledged, stored, missing, duplicates, what the vendors were answered, what
//! `/readyz` was. `READHOOK_FAULT_ROUNDS` makes the runs longer (1 otherwise), `READHOOK_FAULT_SEED` changes what is
//! left to chance, `READHOOK_FAULT_REPORT` names a file for the lines, `READHOOK_BIN` another program.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic that names its line is the report")]

mod case;
mod clocks;
mod holders;
mod kills;
mod model;
mod power;
mod program;
mod shim;
mod slow;
mod space;
mod syncs;
#[path = "../it/vendor.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
mod vendor;
mod vendors;
