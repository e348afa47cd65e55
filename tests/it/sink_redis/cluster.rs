//! A cluster of Redis: slots that move and replicas that take over.

use tempfile::TempDir;

use super::{Operator, deliver, insist, retry, server, sink, until};
use crate::endurance::complete;
use crate::servers::{Server, free_address};
use crate::wire::Wire;

/// Servers that are a cluster; every third of the slots belongs to one of the first three.
struct Cluster {
    nodes: Vec<(Server, Operator, String)>,
    /// Of the key `readhook`.
    slot: u64,
    owner: usize,
    /// Must be the last field: the servers have files in it until they have ended.
    _dir: TempDir,
}

impl Cluster {
    async fn of(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mut nodes, mut met) = (Vec::new(), Vec::new());
        for number in 0..count {
            let own = dir.path().join(number.to_string());
            std::fs::create_dir(&own).unwrap();
            let bus = free_address().port().to_string();
            let settings =
                ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
            let server = server(&own, &settings).await;
            let mut operator = Operator::at(server.address).await;
            () = operator.ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1)).await;
            if let Some((from, to)) = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)].get(number) {
                () = operator.ask(&format!("CLUSTER ADDSLOTSRANGE {from} {to}")).await;
            }
            let id: String = operator.ask("CLUSTER MYID").await;
            met.push(format!("CLUSTER MEET 127.0.0.1 {} {bus}", server.address.port()));
            nodes.push((server, operator, id));
        }
        for meet in met.iter().skip(1) {
            () = nodes[0].1.ask(meet).await;
        }
        for (_, operator, _) in &mut nodes {
            until("the cluster", async || {
                let info: String = operator.ask("CLUSTER INFO").await;
                info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{count}"))
            })
            .await;
        }
        let slot: u64 = nodes[0].1.ask("CLUSTER KEYSLOT readhook").await;
        let owner = usize::try_from(slot / 5_461).unwrap();
        Self { nodes, slot, owner, _dir: dir }
    }

    fn url(&self, node: usize) -> String {
        format!("redis://{}", self.nodes[node].0.address)
    }

    async fn ask(&mut self, node: usize, words: &str) {
        let _: redis::Value = self.nodes[node].1.ask(words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_cluster_is_followed_while_the_slot_moves() {
    let mut cluster = Cluster::of(3).await;
    let (from, to, slot) = (cluster.owner, (cluster.owner + 1) % 3, cluster.slot);
    let other = (cluster.owner + 2) % 3;
    let sink = sink(&cluster.url(other), "cluster = true");
    sink.probe().await.unwrap();
    deliver(&sink, 1..=1_500).await.unwrap();
    assert_eq!(complete(&cluster.nodes[from].1.receipts().await, 1_500), 0);

    let (from_id, to_id) = (cluster.nodes[from].2.clone(), cluster.nodes[to].2.clone());
    let to_port = cluster.nodes[to].0.address.port();
    cluster.ask(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")).await;
    cluster.ask(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).await;
    cluster.ask(from, &format!("MIGRATE 127.0.0.1 {to_port} readhook 0 5000")).await;
    // The owner of the slot answers ASK now, to a connection that stands.
    deliver(&sink, 1_501..=1_600).await.unwrap();
    for node in [to, from, other] {
        cluster.ask(node, &format!("CLUSTER SETSLOT {slot} NODE {to_id}")).await;
    }
    // And MOVED.
    deliver(&sink, 1_601..=1_700).await.unwrap();
    assert_eq!(complete(&cluster.nodes[to].1.receipts().await, 1_700), 0);

    // Without `cluster` it is told what is wrong.
    let alone = super::sink(&cluster.url(other), "");
    let (_, why) = retry(deliver(&alone, 1_701..=1_701).await);
    assert!(why.contains("MOVED") && why.contains("cluster = true"), "{why}");
    // The slot's owner has no replicas.
    let safe = super::sink(&cluster.url(other), "cluster = true\nwait_replicas = 1");
    let (_, why) = retry(deliver(&safe, 1_701..=1_701).await);
    assert!(why.contains("0 of the 1 replicas") && why.contains("nothing was written"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_replica_that_takes_over_a_slot_gets_the_rest() {
    let mut cluster = Cluster::of(4).await;
    let (owner, other) = (cluster.owner, (cluster.owner + 1) % 3);
    let owner_id = cluster.nodes[owner].2.clone();
    cluster.ask(3, &format!("CLUSTER REPLICATE {owner_id}")).await;
    until("the replica", async || cluster.nodes[owner].1.ask::<u64>("WAIT 1 100").await == 1).await;
    // One of the nodes that the sink is told of is silent, which must not take the time of the other.
    let wire = Wire::to(cluster.nodes[other].0.address).await;
    wire.stall();
    let url = format!("{},redis://{}", cluster.url(other), wire.address);
    let sink = sink(&url, "cluster = true\nwait_replicas = 1\ntimeout_ms = 4000");
    insist(&sink, 1..=100).await;

    // At once and against the old owner, which may take for a while what nobody will ever see; but it has no replica
    // any more that could confirm it.
    cluster.ask(3, "CLUSTER FAILOVER TAKEOVER").await;
    until("the takeover", async || cluster.nodes[3].1.info("replication", "role").await == "master").await;
    insist(&sink, 101..=200).await;
    complete(&cluster.nodes[3].1.receipts().await, 200);

    // The old owner is its replica now; without it nothing counts, and after it comes back all does.
    cluster.nodes[owner].0.kill();
    until("its absence", async || cluster.nodes[3].1.info("replication", "connected_slaves").await == "0")
        .await;
    let (_, why) = retry(deliver(&sink, 201..=210).await);
    assert!(why.contains("0 of the 1 replicas"), "{why}");
    cluster.nodes[owner].0.restart().await;
    insist(&sink, 201..=210).await;
    complete(&cluster.nodes[3].1.receipts().await, 210);
}
