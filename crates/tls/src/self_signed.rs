//! A certificate where nobody has brought one.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

/// How long it is valid: those who have accepted it would have to do so again.
const VALID: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Clocks differ.
const BEFORE: Duration = Duration::from_secs(24 * 60 * 60);

/// A new certificate that signs itself, for names and addresses, with its key: PEM.
///
/// # Errors
///
/// When a name cannot stand in a certificate.
pub fn self_signed(common_name: &str, names: Vec<String>) -> Result<String, String> {
    let failed = |error: rcgen::Error| error.to_string();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = SystemTime::now();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + VALID).into();
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}
