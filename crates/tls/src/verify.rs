//! Which certificates of others are accepted: those that are signed by an authority, and those that stand among the
//! authorities themselves.
//!
//! The second is what certificates amount to that sign themselves, which users of LINSTOR exchange. Many of them may sign others too,
//! and the library accepts none of those for a host.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use crate::file::{Content, Problem, TlsError, content, read};
use crate::identity::check;
use crate::provider;

/// The certificates that others are accepted for.
#[derive(Debug, Clone)]
pub struct Authorities {
    certificates: Arc<[CertificateDer<'static>]>,
    roots: Arc<RootCertStore>,
}

/// Whether a certificate has to have the name that was connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// It has to, as for HTTPS.
    Checked,
    /// It need not, as between LINSTOR's controllers and satellites, whose addresses change.
    Ignored,
}

impl Authorities {
    /// Of a PEM file, or a key store in PKCS #12. Of a store that Java made only the certificates that it marks as trusted
    /// count, of another one all.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn read(path: &Path, password: &str) -> Result<Authorities, TlsError> {
        let certificates: Vec<_> = match read(path, password)? {
            Content::Pem { certificates, .. } => certificates,
            Content::Store { certificates, .. } => {
                let marked = certificates.iter().any(|bag| bag.trusted);
                let trusted = certificates.iter().filter(|bag| bag.trusted || !marked);
                let der = trusted.map(|bag| bag.cert.as_der().to_vec());
                der.map(CertificateDer::from).collect()
            }
        };
        Authorities::of(certificates, path)
    }

    /// Of PEM, which is called by a file's name in errors.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn of_text(pem: &str, name: &Path) -> Result<Authorities, TlsError> {
        let failed = |problem| TlsError {
            path: name.to_owned(),
            problem,
        };
        match content(pem.as_bytes(), name, "").map_err(failed)? {
            Content::Pem { certificates, .. } => Authorities::of(certificates, name),
            Content::Store { .. } => Err(failed(Problem::NotPem)),
        }
    }

    fn of(
        certificates: Vec<CertificateDer<'static>>,
        path: &Path,
    ) -> Result<Authorities, TlsError> {
        let failed = |problem| TlsError {
            path: path.to_owned(),
            problem,
        };
        if certificates.is_empty() {
            return Err(failed(Problem::NoCertificate));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| failed(Problem::Certificate(error.to_string())))?;
        }
        Ok(Authorities {
            certificates: certificates.into(),
            roots: Arc::new(roots),
        })
    }

    /// Whether a certificate is one of them. It must be valid: what nobody else vouches for expires too.
    fn has(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<bool, Error> {
        if !self.certificates.iter().any(|known| known == certificate) {
            return Ok(false);
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        match check(certificate, now) {
            Ok(()) => Ok(true),
            Err(Problem::Expired { .. }) => Err(CertificateError::Expired.into()),
            Err(Problem::NotYetValid { .. }) => Err(CertificateError::NotValidYet.into()),
            Err(_) => Err(CertificateError::BadEncoding.into()),
        }
    }
}

/// Checks the certificates of servers.
#[derive(Debug)]
pub(crate) struct Servers {
    authorities: Authorities,
    names: Names,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Servers {
    pub(crate) fn new(authorities: Authorities, names: Names) -> Servers {
        Servers {
            authorities,
            names,
            algorithms: provider().signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if !self.authorities.has(end_entity, now)? {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.authorities.roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if self.names == Names::Checked {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts every server, as LINSTOR's clients do that are given no certificates of authorities.
#[derive(Debug)]
pub(crate) struct AnyServer(pub(crate) WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Checks the certificates of clients, which have to have one.
#[derive(Debug)]
pub(crate) struct Clients {
    authorities: Authorities,
    signed: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    pub(crate) fn new(authorities: Authorities) -> Result<Clients, VerifierBuilderError> {
        let roots = Arc::clone(&authorities.roots);
        let signed = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
        Ok(Clients {
            authorities,
            signed,
        })
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.authorities.has(end_entity, now)? {
            true => Ok(ClientCertVerified::assertion()),
            false => self
                .signed
                .verify_client_cert(end_entity, intermediates, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}
