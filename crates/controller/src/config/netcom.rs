//! Section `[netcom]`: certificates for links to satellites. LINSTOR has them in properties (`NetCom/SslConnector/...`), with the
//! passwords in its database.

use std::path::{Path, PathBuf};

use linstor_wire::secret::Secret;
use serde::Deserialize;

use super::ConfigError;
use super::certificates::{self, Certificate, KeyStore};

/// Certificates for links to satellites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netcom {
    /// The controller's certificate.
    pub certificate: Certificate,
    /// The certificates that satellites have to have one for.
    pub satellites: KeyStore,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Section {
    keystore: Option<PathBuf>,
    #[serde(with = "linstor_wire::secret::on_link")]
    keystore_password: Secret,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    truststore: Option<PathBuf>,
    #[serde(with = "linstor_wire::secret::on_link")]
    truststore_password: Secret,
    satellite_ca: Option<PathBuf>,
}

impl Section {
    /// The settings, if there are any. Paths are relative to the directory of the file.
    pub(super) fn settings(self, file: &Path) -> Result<Option<Netcom>, ConfigError> {
        let directory = file.parent().unwrap_or(Path::new("/"));
        let settings = || {
            let pem = (self.certificate, self.key);
            let certificate =
                certificates::certificate(directory, self.keystore, self.keystore_password, pem)?;
            let pem = ("satellite_ca", self.satellite_ca);
            let satellites = certificates::authorities(
                directory,
                self.truststore,
                self.truststore_password,
                pem,
            )?;
            match (certificate, satellites) {
                (None, None) => Ok(None),
                (Some(certificate), Some(satellites)) => Ok(Some(Netcom {
                    certificate,
                    satellites,
                })),
                (Some(_), None) => Err("there is a certificate of the controller, and none to check satellites with; add \
                                        'truststore' or 'satellite_ca'"
                    .to_owned()),
                (None, Some(_)) => Err("there is no certificate of the controller, which satellites check; add 'keystore', or \
                                        'certificate' and 'key'"
                    .to_owned()),
            }
        };
        settings().map_err(|reason| ConfigError::Invalid {
            path: file.to_owned(),
            reason: format!("section [netcom]: {reason}"),
        })
    }
}

impl Netcom {
    /// Without passwords, which are for the start alone.
    pub(super) fn without_secrets(mut self) -> Netcom {
        self.certificate.forget_password();
        self.satellites.password = Secret::default();
        self
    }
}
