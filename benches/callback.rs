//! What a callback costs between its last byte and the journal: open, verify, decode and stamp, per vendor. Pure; the
//! whole process is measured in `bench/`. `cargo bench`

use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::HeaderMap;
use readhook::config::{Environment, load};
use readhook::journal::Entry;
use readhook::receipt::Timestamp;
use readhook::stamp::stamp;
use readhook::vendor::{Incoming, Opened, Vendor, Vendors, authenticate};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The fixtures that stand for each vendor: route, query, body.
const CASES: [(&str, &str, &str); 5] = [
    ("easemob", "", "easemob/group-read/body.json"),
    (
        "tencent",
        "SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt&contenttype=json&ClientIP=192.0.2.7&OptPlatform=iOS",
        "tencent/group-read/body.json",
    ),
    ("openim", "", "openim/single-read/body.json"),
    (
        "rongcloud",
        "appKey=demo-app-key&nonce=731904&timestamp=1767000000000&signature=",
        "rongcloud/direct-read/body.form",
    ),
    (
        "rongcloud",
        "appKey=demo-app-key&nonce=731904&timestamp=1767000000000&signature=",
        "rongcloud/group-read/body.form",
    ),
];

fn incoming(vendor: &str, query: &str, body: &str) -> Incoming {
    let body = std::fs::read(Path::new("fixtures").join(body)).unwrap_or_default();
    let query = match query.strip_suffix("signature=") {
        Some(before) => format!("{before}signature={}", rongcloud_signature()),
        None => query.to_owned(),
    };
    Incoming {
        uri: format!("/webhooks/{vendor}?{query}").parse().unwrap_or_default(),
        tail_at: "/webhooks/".len() + vendor.len(),
        headers: HeaderMap::new(),
        client: IpAddr::from([127, 0, 0, 1]),
        body: Bytes::from(body),
        received_at: Timestamp::EPOCH,
    }
}

fn rongcloud_signature() -> String {
    use sha1::{Digest, Sha1};
    hex::encode(Sha1::digest("test-only-rongcloud-secret7319041767000000000"))
}

fn entries(vendor: &dyn Vendor, request: &Incoming) -> Option<Vec<Entry>> {
    let Ok(Opened::Read(callback)) = vendor.open(request) else {
        return None;
    };
    let verified = authenticate(vendor, callback).ok()?;
    let readings = vendor.decode(&verified).ok()?;
    Some(readings.into_iter().map(|reading| stamp(vendor.name(), &verified, reading)).collect())
}

#[expect(clippy::expect_used, reason = "a case that cannot be measured must stop the measurement")]
fn callbacks(criterion: &mut Criterion) {
    let config =
        load(Some(Path::new("config/demo.toml")), &Environment::new()).expect("the demo's configuration");
    let vendors = Vendors::configure(&config.vendors);
    for (name, query, body) in CASES {
        let (vendor, _) = vendors.route(name).expect("a configured vendor");
        let request = incoming(name, query, body);
        let count = entries(&**vendor, &request).expect("a case that is accepted").len();
        let label = format!(
            "{} ({count} receipts)",
            body.trim_end_matches("/body.json").trim_end_matches("/body.form")
        );
        criterion.bench_function(&label, |bench| bench.iter(|| entries(&**vendor, black_box(&request))));
    }
}

criterion_group!(benches, callbacks);
criterion_main!(benches);
