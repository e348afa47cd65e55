//! The file sink while others have their hands on the file: it is shortened, deleted, moved and rotated. Every receipt stands
//! in the named file, or in one that was made of it, and every line can be read.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, demo};
use crate::vendor::easemob;

async fn post(house: &House, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let callback = easemob(number);
        assert_eq!(house.post(&callback.target, &[], callback.body.as_bytes()).await.status, 200);
    }
}

/// Waits until the sink has everything.
async fn delivered(house: &House) {
    let behind = async || {
        let sinks: Value = serde_json::from_str(&house.get("/api/v1/sinks").await.body).unwrap();
        let sink = &sinks["sinks"][0];
        sink["lag"] != 0 || sink["state"] != "delivering"
    };
    timeout(PATIENCE, async { while behind().await {} }).await.unwrap();
}

/// The numbers of the messages in a file, whose every line must be a receipt.
fn numbers(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(!text.contains('\0'), "a hole in {}", path.display());
    assert!(text.is_empty() || text.ends_with('\n'), "half a line at the end of {}", path.display());
    let number = |line: &str| {
        let receipt: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        receipt["message_id"].as_str().unwrap().strip_prefix('9').unwrap().parse().unwrap()
    };
    text.lines().map(number).collect()
}

fn file(house: &House) -> PathBuf {
    house.dir.path().join("receipts.jsonl")
}

async fn end(house: House) {
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_emptied_goes_on_at_its_beginning() {
    let house = House::start(&demo()).await;
    post(&house, 0..3).await;
    delivered(&house).await;
    // What `: > receipts.jsonl` does.
    OpenOptions::new().write(true).truncate(true).open(file(&house)).unwrap();
    post(&house, 3..5).await;
    delivered(&house).await;
    let got = numbers(&file(&house));
    assert!(got.ends_with(&[3, 4]), "{got:?}");
    end(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_short_has_no_hole_and_no_half_line() {
    let house = House::start(&demo()).await;
    post(&house, 0..3).await;
    delivered(&house).await;
    let length = std::fs::metadata(file(&house)).unwrap().len();
    OpenOptions::new().write(true).open(file(&house)).unwrap().set_len(length - 100).unwrap();
    post(&house, 3..5).await;
    delivered(&house).await;
    let got = numbers(&file(&house));
    assert!(got.starts_with(&[0, 1]) && got.ends_with(&[2, 3, 4]), "{got:?}");
    end(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_deleted_is_made_again() {
    let house = House::start(&demo()).await;
    post(&house, 0..3).await;
    delivered(&house).await;
    std::fs::remove_file(file(&house)).unwrap();
    post(&house, 3..5).await;
    delivered(&house).await;
    let got = numbers(&file(&house));
    assert!(got.ends_with(&[3, 4]), "{got:?}");
    end(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_moved_is_made_again_without_a_signal() {
    let house = House::start(&demo()).await;
    post(&house, 0..3).await;
    delivered(&house).await;
    let moved = house.dir.path().join("receipts.jsonl.1");
    std::fs::rename(file(&house), &moved).unwrap();
    post(&house, 3..5).await;
    delivered(&house).await;
    assert_eq!(numbers(&moved), [0, 1, 2]);
    assert_eq!(numbers(&file(&house)), [3, 4], "what was moved is not lost, so nothing comes again");
    // Replaced by another file, as an editor or `sed -i` does.
    std::fs::write(house.dir.path().join("new"), "").unwrap();
    std::fs::rename(house.dir.path().join("new"), file(&house)).unwrap();
    post(&house, 5..6).await;
    delivered(&house).await;
    let got = numbers(&file(&house));
    assert!(got.ends_with(&[5]), "{got:?}");
    end(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_others_are_not_written_over() {
    let house = House::start(&demo()).await;
    post(&house, 0..2).await;
    delivered(&house).await;
    let whole = std::fs::read_to_string(file(&house)).unwrap();
    let line = whole.lines().next().unwrap().replace("\"90\"", "\"977\"");
    use std::io::Write;
    let mut other = OpenOptions::new().append(true).open(file(&house)).unwrap();
    writeln!(other, "{line}").unwrap();
    post(&house, 2..3).await;
    delivered(&house).await;
    assert_eq!(numbers(&file(&house)), [0, 1, 77, 2]);
    end(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_file_is_copied_and_emptied_again_and_again() {
    let house = House::start(&demo()).await;
    let mut copies = Vec::new();
    for round in 0..20 {
        post(&house, round * 10..round * 10 + 5).await;
        // What comes between the copy and the cut is in neither.
        let copy = house.dir.path().join(format!("copy.{round}"));
        if std::fs::copy(file(&house), &copy).is_ok() {
            copies.push(copy);
        }
        post(&house, round * 10 + 5..round * 10 + 10).await;
        delivered(&house).await;
        OpenOptions::new().write(true).truncate(true).open(file(&house)).unwrap();
    }
    post(&house, 200..201).await;
    delivered(&house).await;
    let mut got: BTreeSet<u64> = copies.iter().flat_map(|copy| whole_numbers(copy)).collect();
    got.extend(numbers(&file(&house)));
    let missing: Vec<u64> = (0..=200).filter(|number| !got.contains(number)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    end(house).await;
}

/// A copy may end within a line, because it was made while the line was written.
fn whole_numbers(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    std::fs::write(path, &text.as_bytes()[..whole]).unwrap();
    numbers(path)
}

/// `logrotate` as it is installed, in all of its ways, while receipts come.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs logrotate"]
async fn every_receipt_is_in_a_file_that_logrotate_has_left() {
    for way in ["copytruncate", "nocreate", "create 0644"] {
        let house = House::start(&demo()).await;
        let rules = house.dir.path().join("logrotate.conf");
        let path = file(&house);
        // Its own warnings about folders that others can write to are none of ours.
        let text =
            format!("{:?} {{\nrotate 1000\n{way}\nmissingok\nnocompress\n}}\n", path.display().to_string());
        std::fs::write(&rules, text).unwrap();
        let state = house.dir.path().join("logrotate.state");
        let rotate = || {
            let status = Command::new("logrotate").arg("-f").arg("-s").arg(&state).arg(&rules).status();
            assert!(status.unwrap().success());
        };
        post(&house, 0..1).await;
        delivered(&house).await;
        let (turned, ()) = tokio::join!(
            async {
                for _ in 0..15 {
                    tokio::task::block_in_place(rotate);
                    delivered(&house).await;
                }
                15
            },
            post(&house, 1..300),
        );
        assert_eq!(turned, 15);
        delivered(&house).await;
        let mut got = BTreeSet::new();
        for entry in std::fs::read_dir(house.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("receipts.jsonl") {
                got.extend(whole_numbers(&path));
            }
        }
        let missing: Vec<u64> = (0..300).filter(|number| !got.contains(number)).collect();
        assert!(missing.is_empty(), "{way}: {missing:?}");
        end(house).await;
    }
}
