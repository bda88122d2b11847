//! A certificate with its key.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use p12_keystore::{CertificateBag, PrivateKeyBag};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use crate::file::{Content, Problem, TlsError, content, read};
use crate::provider;

/// A certificate, those that it is signed by, and its private key, which belong together and are valid now.
#[derive(Debug, Clone)]
pub struct Identity {
    pub(crate) key: Arc<CertifiedKey>,
}

impl Identity {
    /// Of PEM files: the certificate, followed by those that it is signed by, and its key. Both may be one file.
    ///
    /// # Errors
    ///
    /// What is wrong with one of the files, or with both together.
    pub fn of_pem(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
        Identity::of((read(certificate, "")?, certificate), (read(key, "")?, key))
    }

    /// Of PEM with both, which is called by a file's name in errors.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn of_text(pem: &str, name: &Path) -> Result<Identity, TlsError> {
        let read = || {
            content(pem.as_bytes(), name, "").map_err(|problem| TlsError {
                path: name.to_owned(),
                problem,
            })
        };
        Identity::of((read()?, name), (read()?, name))
    }

    fn of(
        (certificate, at): (Content, &Path),
        (key, key_at): (Content, &Path),
    ) -> Result<Identity, TlsError> {
        let failed = |path: &Path, problem| {
            Err(TlsError {
                path: path.to_owned(),
                problem,
            })
        };
        let Content::Pem {
            certificates: chain,
            ..
        } = certificate
        else {
            return failed(at, Problem::NotPem);
        };
        let Content::Pem {
            mut keys,
            encrypted_key,
            ..
        } = key
        else {
            return failed(key_at, Problem::NotPem);
        };
        if encrypted_key {
            return failed(key_at, Problem::EncryptedKey);
        }
        match (keys.pop(), keys.len()) {
            (None, _) => failed(key_at, Problem::NoKey),
            (Some(_), others @ 1..) => failed(key_at, Problem::SeveralKeys(others + 1)),
            (Some(one), 0) => Identity::new((chain, at), (one, key_at)),
        }
    }

    /// Of a key store in PKCS #12, or of a PEM file that holds both.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn of_store(path: &Path, password: &str) -> Result<Identity, TlsError> {
        let failed = |problem| TlsError {
            path: path.to_owned(),
            problem,
        };
        let (certificates, mut keys) = match read(path, password)? {
            Content::Pem { .. } => return Identity::of_pem(path, path),
            Content::Store { certificates, keys } => (certificates, keys),
        };
        let key = match (keys.pop(), keys.len()) {
            (None, _) => return Err(failed(Problem::NoKey)),
            (Some(_), others @ 1..) => return Err(failed(Problem::SeveralKeys(others + 1))),
            (Some(key), 0) => key,
        };
        let chain = chain(&key, &certificates);
        if chain.is_empty() {
            return Err(failed(Problem::KeyWithoutCertificate));
        }
        let key = PrivatePkcs8KeyDer::from(key.key.as_der().to_vec());
        Identity::new((chain, path), (PrivateKeyDer::Pkcs8(key), path))
    }

    fn new(
        (chain, at): (Vec<CertificateDer<'static>>, &Path),
        (key, key_at): (PrivateKeyDer<'static>, &Path),
    ) -> Result<Identity, TlsError> {
        let failed = |path: &Path, problem| TlsError {
            path: path.to_owned(),
            problem,
        };
        let Some(first) = chain.first() else {
            return Err(failed(at, Problem::NoCertificate));
        };
        check(first, SystemTime::now()).map_err(|problem| failed(at, problem))?;
        let loaded = provider().key_provider.load_private_key(key);
        let loaded = loaded.map_err(|error| failed(key_at, Problem::UnusableKey(bare(&error))))?;
        let key = CertifiedKey::new(chain, loaded);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Identity { key: Arc::new(key) })
            }
            Err(Error::InconsistentKeys(_)) => {
                Err(failed(key_at, Problem::OtherKey(at.to_owned())))
            }
            Err(error) => Err(failed(at, Problem::Certificate(error.to_string()))),
        }
    }

    /// The certificate, and those that it is signed by, in DER.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }
}

/// The certificate of a key, and those that it is signed by as far as the store has them.
fn chain(key: &PrivateKeyBag, all: &[CertificateBag]) -> Vec<CertificateDer<'static>> {
    let id = key.local_key_id.as_ref().map(|id| id.as_ref());
    let of_key = |bag: &&CertificateBag| match id {
        Some(id) => bag.local_key_id.as_deref() == Some(id),
        // Without ids there must be one key, whose certificate comes first.
        None => true,
    };
    let mut next = all.iter().find(of_key);
    let mut chain: Vec<&CertificateBag> = Vec::new();
    while let Some(bag) = next.take_if(|bag| !chain.contains(bag)) {
        chain.push(bag);
        let issuer = bag.cert.issuer();
        if issuer != bag.cert.subject() {
            next = all.iter().find(|other| other.cert.subject() == issuer);
        }
    }
    let der = chain.iter().map(|bag| bag.cert.as_der().to_vec());
    der.map(CertificateDer::from).collect()
}

/// The reason without the words that the library puts before it.
fn bare(error: &Error) -> String {
    match error {
        Error::General(text) => text.clone(),
        error => error.to_string(),
    }
}

/// Whether a certificate is one that others can check, at a time.
pub(crate) fn check(der: &CertificateDer<'_>, now: SystemTime) -> Result<(), Problem> {
    let parsed = X509Certificate::from_der(der);
    let (_, certificate) = parsed.map_err(|error| Problem::Certificate(error.to_string()))?;
    let subject = format!("'{}'", certificate.subject());
    if certificate.version() != X509Version::V3 {
        return Err(Problem::OldVersion(subject));
    }
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = i64::try_from(seconds.map_or(0, |since| since.as_secs())).unwrap_or(i64::MAX);
    let now = ASN1Time::from_timestamp(seconds)
        .map_err(|error| Problem::Certificate(error.to_string()))?;
    let validity = certificate.validity();
    if now < validity.not_before {
        let from = validity.not_before.to_string();
        return Err(Problem::NotYetValid { subject, from });
    }
    if now > validity.not_after {
        let until = validity.not_after.to_string();
        return Err(Problem::Expired { subject, until });
    }
    Ok(())
}
