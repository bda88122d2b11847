//! Section `[https]`: LINSTOR's key stores, or PEM files.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use linstor_wire::secret::Secret;
use serde::Deserialize;

use super::certificates::{self, Certificate, KeyStore};
use super::{ConfigError, EVERY_IPV6, Listen};

/// Port of the REST API over TLS.
const HTTPS_PORT: u16 = 3371;

/// How the REST API is served over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Https {
    /// Where it listens.
    pub listen: Listen,
    /// The controller's certificate. Without one HTTPS is served only where the property `REST/AutoHTTPS` asks for it,
    /// with a certificate that the controller makes.
    pub certificate: Option<Certificate>,
    /// The certificates that callers have to have one for; anybody may call without.
    pub clients: Option<KeyStore>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Section {
    enabled: Option<bool>,
    listen_addr: Option<IpAddr>,
    port: Option<u16>,
    keystore: Option<PathBuf>,
    #[serde(with = "linstor_wire::secret::on_link")]
    keystore_password: Secret,
    truststore: Option<PathBuf>,
    #[serde(with = "linstor_wire::secret::on_link")]
    truststore_password: Secret,
    // What follows is not LINSTOR's.
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
}

impl Section {
    /// The settings; none where HTTPS is turned off. Paths are relative to the directory of the file.
    pub(super) fn settings(
        self,
        file: &Path,
        bind: Option<SocketAddr>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Https>, ConfigError> {
        let invalid = |reason: &str| {
            Err(ConfigError::Invalid {
                path: file.to_owned(),
                reason: format!("section [https]: {reason}"),
            })
        };
        let directory = file.parent().unwrap_or(Path::new("/"));
        let pem = (self.certificate, self.key);
        let certificate =
            certificates::certificate(directory, self.keystore, self.keystore_password, pem);
        let pem = ("client_ca", self.client_ca);
        let clients =
            certificates::authorities(directory, self.truststore, self.truststore_password, pem);
        let (certificate, clients) = match (certificate, clients) {
            (Ok(certificate), Ok(clients)) => (certificate, clients),
            (Err(reason), _) | (_, Err(reason)) => return invalid(&reason),
        };
        if self.enabled == Some(false) {
            return Ok(None);
        }
        if certificate.is_none() && clients.is_some() {
            return invalid(
                "'truststore' or 'client_ca' is given without a certificate of the controller; add 'keystore', or \
                 'certificate' and 'key'",
            );
        }
        let listens = self.listen_addr.is_some() || self.port.is_some() || bind.is_some();
        if certificate.is_none() && (listens || self.enabled == Some(true)) {
            warnings.push(
                "HTTPS has settings, and no certificate ('keystore', or 'certificate' and 'key' in section [https]): it is \
                 served only if the property REST/AutoHTTPS is true"
                    .to_owned(),
            );
        }
        let listen = match bind {
            Some(bind) => Listen::at(bind),
            None => Listen {
                address: self.listen_addr.filter(|address| *address != EVERY_IPV6),
                port: self.port.unwrap_or(HTTPS_PORT),
            },
        };
        Ok(Some(Https {
            listen,
            certificate,
            clients,
        }))
    }

    /// Whether the file says where to listen, which takes precedence over the environment.
    pub(super) fn has_address(&self) -> bool {
        self.listen_addr.is_some() || self.port.is_some()
    }
}

impl Https {
    /// Without passwords, which are for the start alone.
    pub(super) fn without_secrets(mut self) -> Https {
        if let Some(certificate) = &mut self.certificate {
            certificate.forget_password();
        }
        if let Some(clients) = &mut self.clients {
            clients.password = Secret::default();
        }
        self
    }
}
