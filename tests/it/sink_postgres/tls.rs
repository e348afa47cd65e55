//! TLS to PostgreSQL with a throw-away authority: who is believed, and who one is.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use readhook::sink::open;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::cluster::Cluster;
use super::{numbers, retried, stored, tells};
use crate::endurance::sink_config;

fn authority(path: &Path) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(path, authority.pem()).unwrap();
    authority
}

/// A certificate and its key, as files.
fn certificate(
    of: &str,
    name: &str,
    by: &CertifiedIssuer<'static, KeyPair>,
    folder: &Path,
) -> (PathBuf, PathBuf) {
    let mut params = CertificateParams::new([of.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let (cert_file, key_file) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    std::fs::write(&cert_file, params.signed_by(&key, by).unwrap().pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    (cert_file, key_file)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn the_server_is_verified_by_authority_and_name_and_can_verify_us() {
    let cluster = Cluster::start_with("hostssl all all 127.0.0.1/32 trust", |dir| {
        let authority_file = dir.join("ca.crt");
        let authority = authority(&authority_file);
        self::authority(&dir.join("other.crt"));
        let (cert, key) = certificate("localhost", "server", &authority, dir);
        certificate("somebody", "certificate", &authority, dir);
        vec![
            ("ssl", "on".into()),
            ("ssl_cert_file", cert),
            ("ssl_key_file", key),
            ("ssl_ca_file", authority_file),
        ]
    })
    .await;
    cluster.sql("CREATE ROLE certificate LOGIN SUPERUSER");
    let file = |name: &str| cluster.dir.path().join(name).display().to_string();
    let (ca, other) = (file("ca.crt"), file("other.crt"));
    let port = cluster.server.address.port();
    let sink = |server: &str, settings: &str| {
        let url = format!("postgres://{}", server.replace("PORT", &port.to_string()));
        open(&sink_config(&format!("type = \"postgres\"\nurl = \"{url}\"\n{settings}"))).unwrap()
    };
    let believed = format!("ca_file = \"{ca}\"");
    for (at, sink) in (1..).zip([
        sink("postgres@localhost:PORT/postgres", &believed),
        sink("postgres@localhost:PORT/postgres?sslmode=verify-full", &believed),
        sink(&format!("postgres@localhost:PORT/postgres?sslmode=verify-ca&sslrootcert={ca}"), ""),
        sink(&format!("postgres@localhost:PORT/postgres?sslrootcert={other}"), &believed),
    ]) {
        sink.deliver(&stored(&numbers(at..=at))).await.unwrap();
        let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                         WHERE application_name = 'readhook' AND ssl";
        assert_ne!(cluster.sql(encrypted), "0");
        drop(sink);
    }
    for stranger in [
        sink("postgres@localhost:PORT/postgres?sslmode=require", ""),
        sink("postgres@localhost:PORT/postgres", ""),
        sink("postgres@localhost:PORT/postgres", &format!("ca_file = \"{other}\"")),
        sink("postgres@127.0.0.1:PORT/postgres", &believed),
    ] {
        tells(&retried(&*stranger, &numbers(9..=9)).await, &["TLS", "certificate", "`ca_file`"]);
    }
    let plain = sink("postgres@localhost:PORT/postgres?sslmode=disable", "");
    tells(&retried(&*plain, &numbers(9..=9)).await, &["no encryption", "pg_hba.conf"]);

    let own = format!(
        "client_cert_file = \"{}\"\nclient_key_file = \"{}\"",
        file("certificate.crt"),
        file("certificate.key")
    );
    let known = sink("certificate@localhost:PORT/postgres", &format!("{believed}\n{own}"));
    known.deliver(&stored(&numbers(9..=9))).await.unwrap();
    let unknown = sink("certificate@localhost:PORT/postgres", &believed);
    tells(&retried(&*unknown, &numbers(9..=9)).await, &["certificate", "28000"]);
}

#[tokio::test]
async fn who_names_an_authority_does_not_go_on_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.crt");
    authority(&ca);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://user:hunter2@localhost:{}/db", listener.local_addr().unwrap().port());
    let settings = format!("type = \"postgres\"\nurl = \"{url}\"\nca_file = \"{}\"", ca.display());
    let sink = open(&sink_config(&settings)).unwrap();
    let answers = async {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut asked = [0; 8];
        client.read_exact(&mut asked).await.unwrap();
        client.write_all(b"N").await.unwrap();
        let mut more = Vec::new();
        client.read_to_end(&mut more).await.unwrap();
        more
    };
    let one = numbers(1..=1);
    let (why, more) = tokio::join!(retried(&*sink, &one), answers);
    tells(&why, &["does not support TLS"]);
    assert_eq!(more, b"", "nothing was said to a server that will not speak TLS");
}
