//! TLS: certificates and keys of files, checked before they are used, and which certificates of others are accepted.
//!
//! In reading order: `file` reads what a file holds, PEM or a key store of Java, [`Identity`] is a certificate with its key,
//! [`Authorities`] are the certificates that others are accepted for, [`server`] and [`client`] make the settings of a
//! connection, [`self_signed`] makes a certificate where nobody has brought one.
//!
//! The cryptography is ring's, for all programs.

mod config;
mod file;
mod identity;
mod self_signed;
mod verify;

pub use config::{client, client_of_anybody, server};
pub use file::{Problem, TlsError};
pub use identity::Identity;
pub use self_signed::self_signed;
pub use verify::{Authorities, Names};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The cryptography of all connections.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
