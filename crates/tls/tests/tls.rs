//! Certificates and keys of files, and connections with them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

mod common {
    pub mod pki;
}

use common::pki::Files;
use linstor_tls::{Authorities, Identity, Names, Problem, client, client_of_anybody, server};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

fn store(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    directory.join("tests/keystores").join(name)
}

/// Shakes hands in memory, and brings a word to the server; the error of the side that refuses.
fn connect(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<(), String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    client.writer().write_all(b"word").unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut read = &wire[..];
        while !read.is_empty() {
            server.read_tls(&mut read).unwrap();
            server
                .process_new_packets()
                .map_err(|e| format!("server: {e}"))?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut read = &wire[..];
        while !read.is_empty() {
            client.read_tls(&mut read).unwrap();
            client
                .process_new_packets()
                .map_err(|e| format!("client: {e}"))?;
        }
    }
    let mut word = [0; 4];
    server
        .reader()
        .read_exact(&mut word)
        .map_err(|e| e.to_string())?;
    assert_eq!(&word, b"word");
    Ok(())
}

fn identity((certificate, key): &(PathBuf, PathBuf)) -> Identity {
    Identity::of_pem(certificate, key).unwrap()
}

fn authorities(path: &Path) -> Authorities {
    Authorities::read(path, "").unwrap()
}

/// A server is accepted for the authority that signed it, under its name; a client too, where the server wants one.
#[test]
fn both_sides_are_checked() {
    let files = Files::new();
    let (ca, ca_file) = files.authority("ca");
    let (_, other_file) = files.authority("other");
    let host = identity(&files.signed("host", &ca, |_| ()));
    let person = identity(&files.signed("person", &ca, |_| ()));
    let trusting = |path: &Path, names, identity: Option<&Identity>| {
        Arc::new(client(authorities(path), names, identity).unwrap())
    };
    let open = Arc::new(server(&host, None).unwrap());
    let (checked, ignored) = (Names::Checked, Names::Ignored);
    connect(&trusting(&ca_file, checked, None), &open, "localhost").unwrap();
    for (client, name, expected) in [
        (
            trusting(&other_file, checked, None),
            "localhost",
            "UnknownIssuer",
        ),
        (
            trusting(&other_file, ignored, None),
            "localhost",
            "UnknownIssuer",
        ),
        (
            trusting(&ca_file, checked, None),
            "example.com",
            "not valid for name",
        ),
    ] {
        let error = connect(&client, &open, name).unwrap_err();
        assert!(
            error.starts_with("client: ") && error.contains(expected),
            "{error}"
        );
    }
    connect(&trusting(&ca_file, ignored, None), &open, "example.com").unwrap();
    let anybody = Arc::new(client_of_anybody(None).unwrap());
    connect(&anybody, &open, "example.com").unwrap();

    let closed = Arc::new(server(&host, Some(authorities(&ca_file))).unwrap());
    connect(
        &trusting(&ca_file, checked, Some(&person)),
        &closed,
        "localhost",
    )
    .unwrap();
    let error = connect(&trusting(&ca_file, checked, None), &closed, "localhost").unwrap_err();
    assert!(error.contains("no certificates"), "{error}");
    let others = Arc::new(server(&host, Some(authorities(&other_file))).unwrap());
    let error = connect(
        &trusting(&ca_file, checked, Some(&person)),
        &others,
        "localhost",
    )
    .unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
}

/// A certificate that signs itself is accepted where it stands among the authorities, also one that may sign others, as
/// OpenSSL makes them.
#[test]
fn certificates_that_sign_themselves() {
    let files = Files::new();
    let pem = linstor_tls::self_signed("host", vec!["localhost".to_owned()]).unwrap();
    let plain = files.write("plain", &pem);
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let both = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
    let both = files.write("both", &both);
    for (own, other) in [(&plain, &both), (&both, &plain)] {
        let host = Identity::of_pem(own, own).unwrap();
        let trusted = Some(authorities(own));
        let server = Arc::new(server(&host, trusted).unwrap());
        let with =
            |path: &Path| Arc::new(client(authorities(path), Names::Checked, Some(&host)).unwrap());
        connect(&with(own), &server, "localhost").unwrap();
        connect(&with(own), &server, "example.com").unwrap_err();
        connect(&with(other), &server, "localhost").unwrap_err();
    }
}

/// Key stores that keytool and OpenSSL made serve as identity and as authorities; of a trust store the certificates count.
#[test]
fn key_stores_of_java() {
    for name in ["keytool.p12", "legacy.p12"] {
        let host = Identity::of_store(&store(name), "linstor").unwrap();
        let server = Arc::new(server(&host, None).unwrap());
        for trusted in ["truststore.p12", "nokeys.p12"] {
            let trusted = Authorities::read(&store(trusted), "linstor").unwrap();
            let client = Arc::new(client(trusted, Names::Checked, None).unwrap());
            connect(&client, &server, "localhost").unwrap();
        }
    }
    for (name, password, expected) in [
        ("keytool.jks", "linstor", "-deststoretype PKCS12"),
        ("keytool.p12", "wrong", "check its password"),
        ("keytool.p12", "", "check its password"),
        ("truststore.p12", "linstor", "holds no private key"),
        ("absent.p12", "linstor", "cannot be read"),
    ] {
        let error = Identity::of_store(&store(name), password)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
}

/// What cannot be used is refused with the file and the reason.
#[test]
fn unusable_files_are_refused() {
    let files = Files::new();
    let (ca, ca_file) = files.authority("ca");
    let good = files.signed("good", &ca, |_| ());
    let other = files.signed("other", &ca, |_| ());
    let day = std::time::Duration::from_secs(86_400);
    let now = SystemTime::now();
    let expired = files.signed("expired", &ca, |p| p.not_after = (now - day).into());
    let early = files.signed("early", &ca, |p| p.not_before = (now + day).into());
    let text = files.write("text", "what people wrote\n");
    let broken = files.write(
        "broken",
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    );
    let no_certificate = files.write(
        "nocertificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let encrypted = files.write(
        "encrypted",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let two_keys = [&good.1, &other.1].map(|path| std::fs::read_to_string(path).unwrap());
    let two_keys = files.write("twokeys", &two_keys.concat());
    let absent = files.path().join("absent");
    let problem = |certificate: &Path, key: &Path| Identity::of_pem(certificate, key).unwrap_err();
    let expect = |certificate: &Path, key: &Path, blamed: &Path, expected: &str| {
        let error = problem(certificate, key);
        assert_eq!(error.path, blamed, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    identity(&good);
    expect(
        &good.0,
        &other.1,
        &other.1,
        "not that of the certificate in",
    );
    expect(
        &expired.0,
        &expired.1,
        &expired.0,
        "has expired: it was valid until",
    );
    expect(&early.0, &early.1, &early.0, "not valid before");
    expect(&text, &good.1, &text, "neither PEM nor");
    expect(&broken, &good.1, &broken, "not valid PEM");
    expect(&no_certificate, &good.1, &no_certificate, "cannot be used");
    expect(&good.1, &good.1, &good.1, "no certificate");
    expect(&good.0, &ca_file, &ca_file, "no private key");
    expect(&good.0, &encrypted, &encrypted, "openssl pkey");
    expect(&good.0, &two_keys, &two_keys, "2 private keys");
    expect(&absent, &good.1, &absent, "cannot be read");
    assert!(matches!(
        Authorities::read(&good.1, "").unwrap_err().problem,
        Problem::NoCertificate
    ));
}
