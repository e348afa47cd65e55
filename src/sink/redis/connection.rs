//! The way to a server or to a cluster. One connection is one try: it is never mended here, and `mod.rs` makes another.

use std::path::Path;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, Pipeline, RedisError,
    TlsCertificates, Value,
};

use super::explain;
use crate::config::{RedisSink, TlsFiles};
use crate::sink::BoxError;

pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects and logs in. Not bounded in time, as nothing here is.
    pub(super) async fn open(config: &RedisSink, nodes: &[ConnectionInfo]) -> Result<Self, BoxError> {
        let certificates = match nodes.iter().any(|node| matches!(node.addr(), ConnectionAddr::TcpTls { .. }))
        {
            true => Some(certificates(&config.tls).await?),
            false => None,
        };
        let opened = match config.cluster {
            true => Self::to_cluster(config, nodes, certificates).await,
            false => Self::to_server(nodes, certificates).await,
        };
        opened.map_err(|error| explain::error(&error, &config.stream, nodes))
    }

    async fn to_server(
        nodes: &[ConnectionInfo],
        certificates: Option<TlsCertificates>,
    ) -> Result<Self, RedisError> {
        let Some(node) = nodes.first().cloned() else {
            return Err((redis::ErrorKind::InvalidClientConfig, "no server is given").into());
        };
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(node, certificates)?,
            None => Client::open(node)?,
        };
        // Whoever asks keeps the time of the whole. The library would give up after half a second.
        let times = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        Ok(Self::Server(client.get_multiplexed_async_connection_with_config(&times).await?))
    }

    async fn to_cluster(
        config: &RedisSink,
        nodes: &[ConnectionInfo],
        certificates: Option<TlsCertificates>,
    ) -> Result<Self, RedisError> {
        let mut builder = ClusterClientBuilder::new(nodes.to_vec())
            // It waits for all the nodes that it is given: one that is silent must not take the time of the others.
            .connection_timeout(config.timeout.duration() / 4)
            // Later than whoever asks gives up, who can say more about it.
            .response_timeout(config.timeout.duration() * 2)
            // To follow a `MOVED` or `ASK`. After a lost connection it sends a transaction again, whole and before any
            // other, so order holds; more is for `dispatch`, which says what is wrong.
            .retries(1)
            .min_retry_wait(50)
            .max_retry_wait(100);
        if let Some(certificates) = certificates {
            builder = builder.certs(certificates);
        }
        Ok(Self::Cluster(builder.build()?.get_async_connection().await?))
    }

    /// The answers to each of the commands, errors among them. They go to one node over one connection: to the owner of
    /// the key's slot where there is a cluster.
    pub(super) async fn ask(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
        match self {
            Self::Server(server) => server.req_packed_commands(pipeline, 0, pipeline.len()).await,
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, 0, pipeline.len()).await,
        }
    }
}

/// Whom to believe and who to be, read anew for each connection, so that renewed files are taken up.
async fn certificates(files: &TlsFiles) -> Result<TlsCertificates, BoxError> {
    // The library asks rustls for the process's provider, which panics where there are two to choose from. Somebody may
    // have set it already, and then to the same.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let root_cert = match &files.ca_file {
        Some(path) => Some(pem(path).await?),
        None => None,
    };
    let client_tls = match (&files.client_cert_file, &files.client_key_file) {
        (Some(cert), Some(key)) => {
            Some(ClientTlsConfig { client_cert: pem(cert).await?, client_key: pem(key).await? })
        }
        (None, _) | (_, None) => None,
    };
    Ok(TlsCertificates { client_tls, root_cert })
}

async fn pem(path: &Path) -> Result<Vec<u8>, BoxError> {
    let told = |problem: String| BoxError::from(format!("`{}`: {problem}", path.display()));
    let bytes = tokio::fs::read(path).await.map_err(|error| told(error.to_string()))?;
    // The library takes a file without any for a list of none, and then believes nobody.
    match bytes.windows(10).any(|bytes| bytes == b"-----BEGIN") {
        true => Ok(bytes),
        false => Err(told("not a PEM file".to_owned())),
    }
}
