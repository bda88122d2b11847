//! Links over TLS, on real sockets with real certificates.

use std::path::Path;
use std::sync::Arc;

use linstor_api::kind::Encryption;
use linstor_controller::config::{Arguments, Config};
use linstor_controller::link::{Connector, Target, TcpConnector};
use linstor_net::SatelliteSide;
use linstor_tls::{Authorities, Identity};
use linstor_wire::ToSatellite;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::pki::Files;

/// The connector of a controller whose file of settings has this section.
fn connector(directory: &Path, netcom: &str) -> Result<TcpConnector, String> {
    std::fs::write(
        directory.join("linstor.toml"),
        format!("[netcom]\n{netcom}"),
    )
    .unwrap();
    let arguments = Arguments {
        config_directory: Some(directory.to_owned()),
        ..Arguments::default()
    };
    let config = Config::load(&arguments, &|_| None).unwrap();
    TcpConnector::new(config.netcom.as_ref())
}

fn identity(directory: &Path, name: &str) -> Identity {
    let at = |end: &str| directory.join(format!("{name}.{end}"));
    Identity::of_pem(&at("pem"), &at("key")).unwrap()
}

/// A message crosses a link if each side is signed by the authority of the other one; else there is no link, and the reason.
#[tokio::test]
async fn both_sides_have_certificates() {
    let files = Files::new();
    let (ca, ca_file) = files.authority("ca");
    let (other, other_file) = files.authority("other");
    files.signed("controller", &ca, |_| ());
    files.signed("satellite", &ca, |_| ());
    files.signed("stranger", &other, |_| ());
    let directory = files.path();
    let netcom = |own: &str, authority: &str| {
        let text = format!(
            "certificate = \"{own}.pem\"\nkey = \"{own}.key\"\nsatellite_ca = \"{authority}\"\n"
        );
        connector(directory, &text).unwrap()
    };
    for (controller, satellite, trusted, expected) in [
        (netcom("controller", "ca"), "satellite", &ca_file, None),
        (
            netcom("controller", "ca"),
            "stranger",
            &ca_file,
            Some("UnknownIssuer"),
        ),
        (netcom("stranger", "ca"), "satellite", &ca_file, Some("")),
        (
            netcom("controller", "ca"),
            "satellite",
            &other_file,
            Some(""),
        ),
        (
            TcpConnector::default(),
            "satellite",
            &ca_file,
            Some("section [netcom]"),
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target {
            node: "n1".parse().unwrap(),
            net_if: "default".parse().unwrap(),
            address: listener.local_addr().unwrap(),
            encryption: Encryption::Ssl,
        };
        let trusted = Some(Authorities::read(trusted, "").unwrap());
        let config = linstor_tls::server(&identity(directory, satellite), trusted).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let heard = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = acceptor.accept(stream).await.ok()?;
            SatelliteSide::new(stream).next().await.ok()?
        });
        let connected = controller.connect(&target).await;
        match (connected, expected) {
            (Ok(mut link), _) => {
                // With TLS 1.3 the controller hears that it is refused when it reads.
                let _ = link.send(&ToSatellite::Ping { id: 7 }).await;
                let heard = heard.await.unwrap();
                let wanted = expected.is_none().then_some(ToSatellite::Ping { id: 7 });
                assert_eq!(heard, wanted, "{satellite}");
            }
            (Err(reason), Some(expected)) => {
                assert!(
                    reason.contains(expected) && reason.contains("127.0.0.1"),
                    "{reason}"
                );
            }
            (Err(reason), None) => panic!("{reason}"),
        }
    }
    let wrong =
        "certificate = \"controller.pem\"\nkey = \"satellite.key\"\nsatellite_ca = \"ca\"\n";
    let reason = connector(directory, wrong).err().unwrap();
    assert!(reason.contains("not that of the certificate"), "{reason}");
}
