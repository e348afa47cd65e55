//! The certificates of a sink that speaks TLS, alike for all of them.

use std::path::PathBuf;

use super::settings::Settings;
use crate::config::ConfigError;

/// Whom a sink believes and who it is, as PEM files. They are read when the sink connects, so that renewed ones are
/// taken up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate authorities to believe, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A certificate of its own, with its chain.
    pub client_cert_file: Option<PathBuf>,
    /// The key of that certificate.
    pub client_key_file: Option<PathBuf>,
}

impl TlsFiles {
    pub(super) fn read(settings: &mut Settings) -> Result<Self, ConfigError> {
        let files = Self {
            ca_file: settings.take("ca_file")?,
            client_cert_file: settings.take("client_cert_file")?,
            client_key_file: settings.take("client_key_file")?,
        };
        files.check(|name, problem| settings.wrong(name, problem))?;
        Ok(files)
    }

    /// Whether the files go together and can be read; `wrong` makes an error of a setting's name and a problem.
    pub(in crate::config) fn check(
        &self,
        wrong: impl Fn(&str, String) -> ConfigError,
    ) -> Result<(), ConfigError> {
        if self.client_cert_file.is_some() != self.client_key_file.is_some() {
            return Err(wrong("client_cert_file", "it and `client_key_file` go together".to_owned()));
        }
        let named = [
            ("ca_file", &self.ca_file),
            ("client_cert_file", &self.client_cert_file),
            ("client_key_file", &self.client_key_file),
        ];
        for (name, path) in named {
            let Some(path) = path else { continue };
            std::fs::File::open(path)
                .map_err(|error| wrong(name, format!("cannot read `{}`: {error}", path.display())))?;
        }
        Ok(())
    }
}
