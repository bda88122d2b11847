//! What a file holds: certificates and keys in PEM, or a key store of Java in PKCS #12.

use std::path::{Path, PathBuf};

use p12_keystore::{CertificateBag, Pkcs12Archive, PrivateKeyBag};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How Java's own formats of key stores begin: JKS and JCEKS.
const JAVA: [[u8; 4]; 2] = [[0xfe, 0xed, 0xfe, 0xed], [0xce, 0xce, 0xce, 0xce]];
/// How a SEQUENCE begins whose length takes more than one byte, which PKCS #12 is.
const DER_SEQUENCE: [u8; 2] = [0x30, 0x82];
/// Certificates and keys take a few KiB each.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file with certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// Why, and how to correct it.
    #[source]
    pub problem: Problem,
}

/// Why a file with certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum Problem {
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::Error),
    #[error("it is larger than {BYTES_MAX} bytes; name a file with certificates")]
    TooLarge,
    #[error(
        "it is a key store in a format of Java's own (JKS); convert it with 'keytool -importkeystore -srckeystore {0} \
         -destkeystore {0}.p12 -deststoretype PKCS12' and name the new file"
    )]
    JavaKeyStore(String),
    #[error("it is neither PEM nor a key store in PKCS #12")]
    UnknownFormat,
    #[error("it is a key store; name it as the key store, or use PEM")]
    NotPem,
    #[error("the key store cannot be opened: {0}; check its password")]
    Store(String),
    #[error("it is not valid PEM: {0}")]
    Pem(String),
    #[error("it holds no certificate")]
    NoCertificate,
    #[error("it holds no private key")]
    NoKey,
    #[error(
        "the private key is encrypted; decrypt it with 'openssl pkey -in FILE -out NEW' into a file that only its program \
         can read"
    )]
    EncryptedKey,
    #[error("it holds {0} private keys; leave one")]
    SeveralKeys(usize),
    #[error("the key store has no certificate of its private key")]
    KeyWithoutCertificate,
    #[error("the private key is not that of the certificate in {}", .0.display())]
    OtherKey(PathBuf),
    #[error(
        "the private key cannot be used: {0}; use RSA of 2048 to 8192 bits, or ECDSA with P-256, P-384 or Ed25519"
    )]
    UnusableKey(String),
    #[error("a certificate cannot be used: {0}")]
    Certificate(String),
    #[error("the certificate of {subject} has expired: it was valid until {until}; renew it")]
    Expired { subject: String, until: String },
    #[error(
        "the certificate of {subject} is not valid before {from}; check the clock of this machine"
    )]
    NotYetValid { subject: String, from: String },
    #[error(
        "the certificate of {0} is of version 1, which has no names of hosts; make one of version 3 with subject \
         alternative names"
    )]
    OldVersion(String),
}

/// What a file holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// Certificates and keys as they stand in the file.
    Pem {
        certificates: Vec<CertificateDer<'static>>,
        keys: Vec<PrivateKeyDer<'static>>,
        encrypted_key: bool,
    },
    /// A key store.
    Store {
        certificates: Vec<CertificateBag>,
        keys: Vec<PrivateKeyBag>,
    },
}

/// Reads a file. The password is for key stores.
pub(crate) fn read(path: &Path, password: &str) -> Result<Content, TlsError> {
    let failed = |problem| TlsError {
        path: path.to_owned(),
        problem,
    };
    let unreadable = |error| failed(Problem::Unreadable(error));
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > BYTES_MAX {
        return Err(failed(Problem::TooLarge));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    content(&bytes, path, password).map_err(failed)
}

pub(crate) fn content(bytes: &[u8], path: &Path, password: &str) -> Result<Content, Problem> {
    if JAVA.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(Problem::JavaKeyStore(path.display().to_string()));
    }
    if bytes.starts_with(&DER_SEQUENCE) {
        // The parser's errors say where it failed; what people get wrong is the password.
        let archive = Pkcs12Archive::from_pkcs12(bytes, password)
            .map_err(|error| Problem::Store(error.to_string()))?;
        return Ok(Content::Store {
            certificates: archive.certs,
            keys: archive.keys,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::UnknownFormat)?;
    if !text.contains("-----BEGIN ") {
        return Err(Problem::UnknownFormat);
    }
    let invalid = |error: pem::Error| Problem::Pem(format!("{error:?}"));
    let certificates = CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>();
    let keys = PrivateKeyDer::pem_slice_iter(bytes).collect::<Result<_, _>>();
    Ok(Content::Pem {
        certificates: certificates.map_err(invalid)?,
        keys: keys.map_err(invalid)?,
        encrypted_key: text.contains("ENCRYPTED"),
    })
}
