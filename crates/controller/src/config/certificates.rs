//! Certificates that the settings name: in a key store, as LINSTOR has them, or in PEM.

use std::path::{Path, PathBuf};

use linstor_tls::{Authorities, Identity, TlsError};
use linstor_wire::secret::Secret;

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

impl Certificate {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// What is wrong with the files.
    pub fn read(&self) -> Result<Identity, TlsError> {
        match self {
            Certificate::Pem { certificate, key } => Identity::of_pem(certificate, key),
            Certificate::Store(store) => Identity::of_store(&store.path, store.password.reveal()),
        }
    }

    pub(super) fn forget_password(&mut self) {
        if let Certificate::Store(store) = self {
            store.password = Secret::default();
        }
    }
}

impl KeyStore {
    /// Reads certificates of authorities.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn read(&self) -> Result<Authorities, TlsError> {
        Authorities::read(&self.path, self.password.reveal())
    }
}

fn given(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

/// The certificate that a section names, relative to a directory.
pub(super) fn certificate(
    directory: &Path,
    keystore: Option<PathBuf>,
    password: Secret,
    (certificate, key): (Option<PathBuf>, Option<PathBuf>),
) -> Result<Option<Certificate>, String> {
    let at = |path: PathBuf| directory.join(path);
    match (given(keystore), given(certificate), given(key)) {
        (Some(_), Some(_), _) => {
            Err("'keystore' and 'certificate' are both given; remove one of them".to_owned())
        }
        (_, None, Some(_)) => Err("'key' is given without 'certificate'; add it".to_owned()),
        (Some(path), None, None) => Ok(Some(Certificate::Store(KeyStore {
            path: at(path),
            password,
        }))),
        (None, Some(certificate), key) => Ok(Some(Certificate::Pem {
            key: at(key.unwrap_or_else(|| certificate.clone())),
            certificate: at(certificate),
        })),
        (None, None, None) => Ok(None),
    }
}

/// The certificates of authorities that a section names, in LINSTOR's way and in PEM with a key of this name.
pub(super) fn authorities(
    directory: &Path,
    truststore: Option<PathBuf>,
    password: Secret,
    (name, pem): (&str, Option<PathBuf>),
) -> Result<Option<KeyStore>, String> {
    let (path, password) = match (given(truststore), given(pem)) {
        (Some(_), Some(_)) => {
            return Err(format!(
                "'truststore' and '{name}' are both given; remove one of them"
            ));
        }
        (Some(path), None) => (path, password),
        (None, Some(path)) => (path, Secret::default()),
        (None, None) => return Ok(None),
    };
    let path = directory.join(path);
    Ok(Some(KeyStore { path, password }))
}
