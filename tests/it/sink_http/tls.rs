//! The http sink over TLS: whom it believes, who it is, and that renewed files are taken up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

use super::receiver::{Act, Receiver};
use super::{batch, retry, sink};

/// An authority of the test's own.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: Certificate,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { params, key, certificate }
    }

    fn issue(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        (certificate, key)
    }

    /// A server that believes the certificates of `clients`, and wants to see one if `wants_one`.
    fn acceptor(&self, name: &str, clients: &Authority, wants_one: bool) -> TlsAcceptor {
        let (certificate, key) = self.issue(name);
        let provider = Arc::new(crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(clients.certificate.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let verifier = if wants_one { verifier } else { verifier.allow_unauthenticated() };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], private(&key))
            .unwrap();
        Arc::new(config).into()
    }
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn https(receiver: &Receiver) -> String {
    receiver.url().replace("http://", "https://")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_by_its_authority_and_for_its_name_only() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let receiver =
        Receiver::start([], |_| Act::ok(), Some(authority.acceptor("127.0.0.1", &stranger, false))).await;
    let misnamed =
        Receiver::start([], |_| Act::ok(), Some(authority.acceptor("example.org", &stranger, false))).await;
    let ca = write(dir.path(), "ca.pem", &stranger.certificate.pem());
    let believing = format!("ca_file = \"{}\"", ca.display());
    let sink_of_strangers = sink(&https(&receiver), &believing);
    for sink in [&sink(&https(&receiver), ""), &sink_of_strangers] {
        let (done, why, _) = retry(sink.deliver(&batch(1)).await);
        assert_eq!(done, 0);
        assert!(why.contains("certificate") || why.contains("ca_file"), "{why}");
        assert!(sink.probe().await.is_err());
    }
    assert!(receiver.requests().is_empty());
    // Renewed, and taken up by the same sink.
    write(dir.path(), "ca.pem", &authority.certificate.pem());
    sink_of_strangers.deliver(&batch(2)).await.unwrap();
    sink_of_strangers.probe().await.unwrap();
    assert_eq!(receiver.numbers(), [1, 2]);
    assert!(!receiver.requests()[0].certified);
    let (_, why, _) = retry(sink(&https(&misnamed), &believing).deliver(&batch(1)).await);
    assert!(why.contains("not valid for name"), "{why}");
    assert!(misnamed.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_its_own_is_shown_where_one_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, clients) = (Authority::new(), Authority::new());
    let receiver =
        Receiver::start([], |_| Act::ok(), Some(authority.acceptor("127.0.0.1", &clients, true))).await;
    let ca = write(dir.path(), "ca.pem", &authority.certificate.pem());
    let believing = format!("ca_file = \"{}\"", ca.display());
    retry(sink(&https(&receiver), &believing).deliver(&batch(1)).await);
    assert!(receiver.requests().is_empty());
    let (certificate, key) = clients.issue("readhook");
    let cert_file = write(dir.path(), "cert.pem", &certificate.pem());
    let key_file = write(dir.path(), "key.pem", &key.serialize_pem());
    let own = format!(
        "client_cert_file = \"{}\"\nclient_key_file = \"{}\"\n{believing}",
        cert_file.display(),
        key_file.display()
    );
    let sink = sink(&https(&receiver), &own);
    sink.deliver(&batch(1)).await.unwrap();
    assert!(receiver.requests()[0].certified);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_no_use_is_named_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.issue("readhook");
    let cert_file = write(dir.path(), "cert.pem", &certificate.pem());
    let key_file = dir.path().join("key.pem");
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    let one_line = key.serialize_pem().replace('\n', "");
    for text in ["", "no PEM", &one_line, &other_key, &certificate.pem()] {
        write(dir.path(), "key.pem", text);
        let own = format!(
            "client_cert_file = \"{}\"\nclient_key_file = \"{}\"\nca_file = \"{}\"",
            cert_file.display(),
            key_file.display(),
            cert_file.display()
        );
        let sink = sink("https://127.0.0.1:9/", &own);
        let (_, why, _) = retry(sink.deliver(&batch(1)).await);
        assert!(why.contains(&key_file.display().to_string()), "{why}");
        assert!(why.len() < 300, "{why}");
    }
    write(dir.path(), "ca.pem", "");
    let sink =
        sink("https://127.0.0.1:9/", &format!("ca_file = \"{}\"", dir.path().join("ca.pem").display()));
    let (_, why, _) = retry(sink.deliver(&batch(1)).await);
    assert!(why.contains("ca.pem") && why.contains("no certificate"), "{why}");
}
