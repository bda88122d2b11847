//! Section `[https]`: LINSTOR's key stores, or PEM files.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use linstor_wire::secret::Secret;
use serde::Deserialize;

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

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// In PEM.
    Pem {
        /// The certificate, and those that it is signed by.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// In a key store.
    Store(KeyStore),
}

/// A file with certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStore {
    /// The file.
    pub path: PathBuf,
    /// The password of a key store.
    pub password: Secret,
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
        let at = |path: PathBuf| directory.join(path);
        let given = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        let certificate = match (
            given(self.keystore),
            given(self.certificate),
            given(self.key),
        ) {
            (Some(_), Some(_), _) => {
                return invalid("'keystore' and 'certificate' are both given; remove one of them");
            }
            (Some(path), None, None) => Some(Certificate::Store(KeyStore {
                path: at(path),
                password: self.keystore_password,
            })),
            (_, None, Some(_)) => return invalid("'key' is given without 'certificate'; add it"),
            (None, Some(certificate), key) => Some(Certificate::Pem {
                key: at(key.unwrap_or_else(|| certificate.clone())),
                certificate: at(certificate),
            }),
            (None, None, None) => None,
        };
        let clients = match (given(self.truststore), given(self.client_ca)) {
            (Some(_), Some(_)) => {
                return invalid("'truststore' and 'client_ca' are both given; remove one of them");
            }
            (Some(path), None) => Some(KeyStore {
                path: at(path),
                password: self.truststore_password,
            }),
            (None, Some(path)) => Some(KeyStore {
                path: at(path),
                password: Secret::default(),
            }),
            (None, None) => None,
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
        let stores = match &mut self.certificate {
            Some(Certificate::Store(store)) => Some(store),
            _ => None,
        };
        for store in stores.into_iter().chain(&mut self.clients) {
            store.password = Secret::default();
        }
        self
    }
}
