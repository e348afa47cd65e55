//! Three replicas without a journal on one JetStream, behind nginx; one of them is killed in the midst of a load.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::crash::{number, try_post};
use crate::endurance::ENOUGH;
use crate::process::{Process, write_config_with};
use crate::servers::{self, Server, free_address, program};
use crate::sink_nats::{plain, receipts};
use crate::vendor::{Callback, easemob, tencent};

const CALLBACKS: u64 = 6_000;

/// nginx that shares requests among the replicas.
async fn nginx(dir: &Path, replicas: &[SocketAddr]) -> Server {
    let address = free_address();
    let dir = dir.display();
    let upstream: String = replicas.iter().map(|replica| format!("server {replica} max_fails=0;")).collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {dir}/{name};"))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log;
         events {{ worker_connections 512; }}
         http {{
             access_log off; {temporary}
             upstream replicas {{ {upstream} keepalive 32; }}
             server {{
                 listen {address};
                 location /webhooks/ {{
                     proxy_pass http://replicas;
                     proxy_http_version 1.1;
                     proxy_set_header Connection \"\";
                 }}
             }}
         }}"
    );
    let file = format!("{dir}/nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program("nginx"));
    command.args(["-c", &file, "-e", &format!("{dir}/error.log")]);
    Server::start(command, address).await
}

fn callback(number: u64) -> Callback {
    if number.is_multiple_of(2) { easemob(number) } else { tencent(number) }
}

/// Posts each callback until it is answered 200, as a vendor that repeats would. Half of the vendors are in doubt now and
/// then, and send what was accepted once more.
async fn vendor(door: SocketAddr, next: Arc<AtomicU64>, done: Arc<AtomicU64>) -> BTreeSet<u64> {
    let mut accepted = BTreeSet::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number > CALLBACKS {
            return accepted;
        }
        let Callback { target, body } = callback(number);
        while try_post(door, &target, body.clone()).await != Some(200) {}
        if number % 10 < 2 {
            try_post(door, &target, body).await;
        }
        accepted.insert(number);
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server and nginx"]
async fn replicas_on_one_stream_lose_nothing_and_double_nothing_when_one_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let nats = servers::nats(&dir.path().join("nats")).await;
    let sinks = format!(
        "[delivery]\nack_after = \"sinks\"\n[sinks.stream]\ntype = \"nats\"\nurl = \"nats://{}\"\n",
        nats.address
    );
    let mut replicas: Vec<Process> = (0..3)
        .map(|replica| {
            let dir = dir.path().join(format!("replica-{replica}"));
            std::fs::create_dir(&dir).unwrap();
            Process::start(&write_config_with(&dir, &sinks))
        })
        .collect();
    let doors: Vec<SocketAddr> = replicas.iter().map(|replica| replica.public).collect();
    let nginx_dir = tempfile::tempdir().unwrap();
    let nginx = nginx(nginx_dir.path(), &doors).await;

    let (next, done) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let mut vendors = JoinSet::new();
    for _ in 0..12 {
        vendors.spawn(vendor(nginx.address, next.clone(), done.clone()));
    }
    timeout(ENOUGH, async {
        while done.load(Ordering::Relaxed) < CALLBACKS / 3 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    replicas.remove(1).kill();
    let mut accepted = BTreeSet::new();
    timeout(ENOUGH, async {
        while let Some(numbers) = vendors.join_next().await {
            accepted.extend(numbers.unwrap());
        }
    })
    .await
    .unwrap();
    assert_eq!(accepted.len() as u64, CALLBACKS, "every vendor got its answer in the end");

    let got = receipts(&async_nats::jetstream::new(plain(nats.address).await), "READHOOK").await;
    let ids: BTreeSet<&str> = got.iter().map(|receipt| receipt["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), got.len(), "no receipt is there twice");
    let numbers: BTreeSet<u64> = got.iter().map(number).collect();
    assert_eq!(accepted.difference(&numbers).count(), 0, "accepted and not in the stream");
    assert_eq!(got.len() as u64, CALLBACKS);
}
