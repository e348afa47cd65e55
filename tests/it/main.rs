//! Tests at the doors: bytes in, bytes and journal out. Each module is one promise; `house` runs the whole service.

#![expect(clippy::unwrap_used, reason = "in a test, a panic that names its line is the report")]

mod fixtures;
mod house;
