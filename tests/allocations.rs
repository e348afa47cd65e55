//! What a callback asks of the allocator between its last byte and the journal: a regression guard that times nothing. A
//! program of its own, because it counts with an allocator of its own.

use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;

use bytes::Bytes;
use http::HeaderMap;
use readhook::config::{Environment, load};
use readhook::receipt::Timestamp;
use readhook::stamp::stamp;
use readhook::vendor::{Incoming, Opened, Vendor, Vendors, authenticate};

/// Vendor, query, body, and how many allocations are borne: for the most frequent callback what it takes today (its object and
/// the two within, the receipt), for the others one more than they take.
const CASES: [(&str, &str, &str, u64); 4] = [
    ("easemob", "", "easemob/group-read/body.json", 4),
    (
        "tencent",
        "SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt&contenttype=json&ClientIP=192.0.2.7&OptPlatform=iOS",
        "tencent/group-read/body.json",
        8,
    ),
    ("openim", "", "openim/single-read/body.json", 9),
    (
        "rongcloud",
        "appKey=demo-app-key&nonce=731904&timestamp=1767000000000&signature=e81bedd135c09b36746134638551db94f978f73d",
        "rongcloud/direct-read/body.form",
        14,
    ),
];

/// How many receipts come of it.
fn receipts(vendor: &dyn Vendor, request: &Incoming) -> usize {
    let Ok(Opened::Read(callback)) = vendor.open(request) else { return 0 };
    let Ok(verified) = authenticate(vendor, callback) else { return 0 };
    let Ok(readings) = vendor.decode(&verified) else { return 0 };
    let count = readings.len();
    readings.into_iter().for_each(|reading| drop(black_box(stamp(vendor.name(), &verified, reading))));
    count
}

#[test]
fn a_callback_asks_the_allocator_no_more_than_it_did() {
    let config = load(Some(Path::new("config/demo.toml")), &Environment::new()).unwrap();
    let vendors = Vendors::configure(&config.vendors);
    let mut found = Vec::new();
    for (name, query, body, bound) in CASES {
        let request = Incoming {
            uri: format!("/webhooks/{name}?{query}").parse().unwrap(),
            tail_at: "/webhooks/".len() + name.len(),
            headers: HeaderMap::new(),
            client: IpAddr::from([127, 0, 0, 1]),
            body: Bytes::from(std::fs::read(Path::new("fixtures").join(body)).unwrap()),
            received_at: Timestamp::EPOCH,
        };
        let (vendor, _) = vendors.route(name).unwrap();
        // The first one makes what all the others use.
        assert!(receipts(&**vendor, &request) > 0, "{body} is not accepted");
        let counted = allocation_counter::measure(|| {
            receipts(&**vendor, &request);
        });
        found.push((body, counted.count_total, bound));
    }
    assert!(found.iter().all(|(_, count, bound)| count <= bound), "allocations, and the bounds: {found:#?}");
}
