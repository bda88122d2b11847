//! Section `[netcom]` of `linstor_satellite.toml`: where the satellite listens, and with which certificates.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use linstor_tls::{Authorities, Identity};
use linstor_wire::secret::Secret;
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

/// Port that controllers call.
const PORT_PLAIN: u16 = 3366;
/// Port that controllers call over TLS.
const PORT_SSL: u16 = 3367;
/// Java's names of what is spoken: both ends take the newest version that both have, from 1.2 on.
const PROTOCOLS: [&str; 3] = ["TLS", "TLSv1.2", "TLSv1.3"];

/// The section.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Netcom {
    /// `plain` or `ssl`.
    #[serde(rename = "type")]
    kind: Option<String>,
    pub(crate) bind_address: Option<IpAddr>,
    port: Option<u16>,
    server_certificate: Option<PathBuf>,
    #[serde(with = "linstor_wire::secret::on_link")]
    keystore_password: Secret,
    #[serde(with = "linstor_wire::secret::on_link")]
    key_password: Secret,
    trusted_certificates: Option<PathBuf>,
    #[serde(with = "linstor_wire::secret::on_link")]
    truststore_password: Secret,
    ssl_protocol: Option<String>,
    /// Not LINSTOR's: the key where the certificate is in PEM and its key is not in the same file.
    key: Option<PathBuf>,
}

impl Netcom {
    fn is_ssl(&self) -> Result<bool, String> {
        match self.kind.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("plain" | "") => Ok(false),
            Some("ssl") => Ok(true),
            Some(_) => Err("'type' is neither \"plain\" nor \"ssl\"".to_owned()),
        }
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        let default = match self.is_ssl() {
            Ok(true) => PORT_SSL,
            _ => PORT_PLAIN,
        };
        self.port.unwrap_or(default)
    }

    /// What encrypts connections, if they are to be; controllers have to have a certificate then. Paths are relative to the
    /// directory of the settings.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings or the files. The satellite must not start then: whoever calls would get in.
    pub(crate) fn acceptor(&self, directory: &Path) -> Result<Option<TlsAcceptor>, String> {
        if !self.is_ssl()? {
            return Ok(None);
        }
        if let Some(protocol) = &self.ssl_protocol
            && !PROTOCOLS.contains(&protocol.as_str())
        {
            return Err(format!(
                "'ssl_protocol' is not one of {}",
                PROTOCOLS.join(", ")
            ));
        }
        let needed = |file: &Option<PathBuf>, name: &str| {
            let path = file.as_ref().map(|path| directory.join(path));
            path.ok_or_else(|| format!("'type' is \"ssl\", and '{name}' is not given"))
        };
        let certificate = needed(&self.server_certificate, "server_certificate")?;
        let trusted = needed(&self.trusted_certificates, "trusted_certificates")?;
        let password = match (&self.keystore_password, &self.key_password) {
            (store, key) if key.is_empty() || key == store => store,
            (store, key) if store.is_empty() => key,
            _ => {
                return Err("'key_password' differs from 'keystore_password': a key store in PKCS #12 has one password".to_owned());
            }
        };
        let own = match &self.key {
            Some(key) => Identity::of_pem(&certificate, &directory.join(key)),
            None => Identity::of_store(&certificate, password.reveal()),
        };
        let own = own.map_err(|error| error.to_string())?;
        let trusted = Authorities::read(&trusted, self.truststore_password.reveal());
        let trusted = trusted.map_err(|error| error.to_string())?;
        let config = linstor_tls::server(&own, Some(trusted))?;
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A satellite that is to be called over TLS has all that it needs for it, or does not start.
    #[test]
    fn certificates_are_needed() {
        let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tls/tests/keystores");
        let netcom = |text: &str| toml::from_str::<Netcom>(text).unwrap();
        let plain = netcom("type = \"Plain\"");
        assert!(plain.acceptor(&stores).unwrap().is_none());
        assert_eq!((plain.port(), netcom("").port()), (3366, 3366));
        let good = "type = \"ssl\"\nserver_certificate = \"keytool.p12\"\nkeystore_password = \"linstor\"\n\
                    trusted_certificates = \"truststore.p12\"\ntruststore_password = \"linstor\"\n";
        let ssl = netcom(&format!(
            "{good}key_password = \"linstor\"\nssl_protocol = \"TLSv1.2\""
        ));
        assert!(ssl.acceptor(&stores).unwrap().is_some());
        assert_eq!(ssl.port(), 3367);
        for (wrong, expected) in [
            ("type = \"tls\"".to_owned(), "neither"),
            (
                "type = \"ssl\"".to_owned(),
                "'server_certificate' is not given",
            ),
            (
                "type = \"ssl\"\nserver_certificate = \"x\"".to_owned(),
                "'trusted_certificates' is not given",
            ),
            (format!("{good}ssl_protocol = \"SSLv3\""), "ssl_protocol"),
            (format!("{good}key_password = \"other\""), "one password"),
            (
                good.replace("keytool.p12", "keytool.jks"),
                "-deststoretype PKCS12",
            ),
            (good.replace("truststore.p12", "absent"), "cannot be read"),
        ] {
            let refused = netcom(&wrong).acceptor(&stores).err();
            assert!(
                refused.as_ref().is_some_and(|text| text.contains(expected)),
                "{wrong}: {refused:?}"
            );
        }
    }
}
