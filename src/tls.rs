//! One TLS configuration for all that we connect to. It says whom to believe and who to be; what is spoken over it, and
//! which name the server must prove, is its client's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::clock;
use crate::config::TlsFiles;

/// What is wrong with certificates, or with the files that they are in.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The time at which certificates are checked. rustls's own clock panics before 1970.
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(clock::now().as_seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// For a client that wants a configuration though it will speak no TLS: a machine without certificates need not care.
pub(crate) fn unused() -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Clock))
        .with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// What a client needs to speak TLS 1.2 or 1.3. The files are read at each call, so that renewed ones are taken up with
/// the next connection; it blocks for as long as that takes.
///
/// # Errors
/// When a file cannot be read or is of no use; the error names the file and shows nothing of it.
pub(crate) fn client_config(files: &TlsFiles) -> Result<ClientConfig, Error> {
    let roots = match &files.ca_file {
        Some(path) => roots_of(path)?,
        None => roots_of_the_system()?,
    };
    // The provider is named: the process has no default that a library could change.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Clock))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    match (&files.client_cert_file, &files.client_key_file) {
        (Some(cert_file), Some(key_file)) => {
            let chain = certificates(cert_file)?;
            let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| unreadable(key_file, &error))?;
            let with_key =
                |error| unusable(cert_file, format!("with the key `{}`: {error}", key_file.display()));
            builder.with_client_auth_cert(chain, key).map_err(with_key)
        }
        // The configuration refuses one without the other.
        (_, _) => Ok(builder.with_no_client_auth()),
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, error))?;
    }
    Ok(roots)
}

fn roots_of_the_system() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry certificates that nobody can use any more; the others serve.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        let problem =
            format!("the system has no certificate authorities{why}; install them, or set `ca_file`");
        return Err(problem.into());
    }
    Ok(roots)
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(path, &error))?;
    if certificates.is_empty() { Err(unusable(path, "it holds no certificate")) } else { Ok(certificates) }
}

/// Other errors than the system's repeat what stands in the file, which may be a key.
fn unreadable(path: &Path, error: &pem::Error) -> Error {
    if let pem::Error::Io(error) = error {
        unusable(path, error)
    } else {
        unusable(path, "it is not PEM, or has no section of the kind that belongs here")
    }
}

fn unusable(path: &Path, problem: impl std::fmt::Display) -> Error {
    format!("`{}` is of no use: {problem}", path.display()).into()
}
