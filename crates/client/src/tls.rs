//! HTTPS: certificates that the command line names, and encrypted connections.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use linstor_tls::{Authorities, Identity, Names};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use crate::failure::Failure;
use crate::request::shell_quote;

/// The files of `--cafile`, `--certfile` and `--keyfile`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The certificates that controllers are accepted for; without them any controller is, as with LINSTOR's client.
    pub authorities: Option<String>,
    /// The certificate of this client.
    pub certificate: Option<String>,
    /// Its key, if it is not in the same file.
    pub key: Option<String>,
}

impl Files {
    /// The settings of connections.
    pub fn config(&self) -> Result<Arc<ClientConfig>, Failure> {
        let usage = |error: &dyn fmt::Display| Failure::usage(error.to_string());
        let identity = self.certificate.as_ref().map(|certificate| {
            let key = self.key.as_ref().unwrap_or(certificate);
            Identity::of_pem(Path::new(certificate), Path::new(key))
        });
        let identity = identity.transpose().map_err(|error| usage(&error))?;
        let config = match &self.authorities {
            Some(file) => {
                let authorities =
                    Authorities::read(Path::new(file), "").map_err(|error| usage(&error))?;
                linstor_tls::client(authorities, Names::Checked, identity.as_ref())
            }
            None => linstor_tls::client_of_anybody(identity.as_ref()),
        };
        config.map(Arc::new).map_err(|error| usage(&error))
    }

    /// The options of `curl` for the same, with a blank after each.
    pub fn curl(&self) -> String {
        let options = [
            ("--cacert", &self.authorities),
            ("--cert", &self.certificate),
            ("--key", &self.key),
        ];
        let given = options.into_iter().filter_map(|(option, file)| {
            Some(format!("{option} {} ", shell_quote(file.as_ref()?)))
        });
        given.collect()
    }
}

/// Encrypts the connections to `https://`.
#[derive(Debug)]
pub struct Tls(pub Arc<ClientConfig>);

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Encrypted>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name =
            ServerName::try_from(host.to_owned()).map_err(|error| Error::Other(error.into()))?;
        let connection = ClientConnection::new(Arc::clone(&self.0), name);
        let mut connection = connection.map_err(|error| Error::Other(error.into()))?;
        let mut socket =
            TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection
            .complete_io(&mut socket)
            .map_err(|error| Error::Other(Box::new(NotSecured(reason(&error)))))?;
        let config = &details.config;
        Ok(Some(Either::B(Encrypted {
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            stream: StreamOwned::new(connection, socket),
        })))
    }
}

/// An encrypted connection.
pub struct Encrypted {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encrypted")
    }
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(failed)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input).map_err(failed)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Both sides did not come to terms: the controller has got no request.
#[derive(Debug)]
pub struct NotSecured(String);

impl fmt::Display for NotSecured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotSecured {}

/// With TLS 1.3 a client hears that it is refused after it has begun to send, and the request is not read then.
fn failed(error: io::Error) -> Error {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, DecryptError, UnknownCA, UnsupportedCertificate,
    };
    let refused = matches!(
        tls_error(&error),
        Some(rustls::Error::AlertReceived(
            AccessDenied
                | BadCertificate
                | CertificateExpired
                | CertificateRequired
                | CertificateRevoked
                | CertificateUnknown
                | DecryptError
                | UnknownCA
                | UnsupportedCertificate
        ))
    );
    match refused {
        true => Error::Other(Box::new(NotSecured(reason(&error)))),
        false => Error::Io(error),
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Why there is no encrypted connection, and what can be done.
fn reason(error: &io::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error as Tls};
    let advice = match tls_error(error) {
        Some(Tls::InvalidCertificate(Certificate::UnknownIssuer)) => {
            "the controller's certificate is not signed by one of --cafile"
        }
        Some(Tls::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        )) => "use a name or an address in --controllers that the controller's certificate has",
        Some(Tls::InvalidCertificate(
            Certificate::Expired | Certificate::ExpiredContext { .. },
        )) => "the controller's certificate has expired: renew it",
        Some(Tls::AlertReceived(Alert::CertificateRequired)) => {
            "the controller wants a certificate: give --certfile"
        }
        Some(Tls::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::DecryptError,
        )) => "the controller does not accept the certificate of --certfile",
        Some(Tls::InvalidMessage(_)) => "it does not speak HTTPS at this port",
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection was closed: check that it speaks HTTPS at this port"
        }
        _ => return error.to_string(),
    };
    format!("{error}; {advice}")
}
