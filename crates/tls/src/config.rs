//! The settings of connections: TLS 1.2 and 1.3.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ServerConfig};

use crate::identity::Identity;
use crate::provider;
use crate::verify::{AnyServer, Authorities, Clients, Names, Servers};

/// A server with a certificate. With authorities, clients have to have a certificate that is accepted for one of them.
///
/// # Errors
///
/// When the library does not take the settings.
pub fn server(identity: &Identity, clients: Option<Authorities>) -> Result<ServerConfig, String> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match clients {
        Some(authorities) => {
            let clients = Clients::new(authorities).map_err(|error| error.to_string())?;
            builder.with_client_cert_verifier(Arc::new(clients))
        }
        None => builder.with_no_client_auth(),
    };
    let own = SingleCertAndKey::from(Arc::clone(&identity.key));
    Ok(builder.with_cert_resolver(Arc::new(own)))
}

/// A client of servers that are accepted for an authority, with its own certificate if it has one.
///
/// # Errors
///
/// When the library does not take the settings.
pub fn client(
    authorities: Authorities,
    names: Names,
    identity: Option<&Identity>,
) -> Result<ClientConfig, String> {
    of(Arc::new(Servers::new(authorities, names)), identity)
}

/// A client of servers of which nothing is known: what is sent is encrypted, and whoever answers can read it.
///
/// # Errors
///
/// When the library does not take the settings.
pub fn client_of_anybody(identity: Option<&Identity>) -> Result<ClientConfig, String> {
    let algorithms = provider().signature_verification_algorithms;
    of(Arc::new(AnyServer(algorithms)), identity)
}

fn of(
    servers: Arc<dyn ServerCertVerifier>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(servers);
    Ok(match identity {
        Some(identity) => {
            let own = SingleCertAndKey::from(Arc::clone(&identity.key));
            builder.with_client_cert_resolver(Arc::new(own))
        }
        None => builder.with_no_client_auth(),
    })
}
