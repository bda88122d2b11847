//! The real program over HTTPS, with real certificates.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use linstor_tls::{Authorities, Identity, Names};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use crate::pki::Files;
use crate::program::{Program, free_port};

const VERSION: &str = "/v1/controller/version";
const INITIALIZE: &str = "/v1/controller/auth/initialize-token-auth";
/// How the program ends when its settings cannot be used.
const EXIT_CONFIG: i32 = 2;

/// The program with these settings, and the port of HTTPS; or how it ended.
fn start(directory: &Path, settings: &str) -> Result<(Program, u16), Option<i32>> {
    std::fs::write(directory.join("linstor.toml"), settings).unwrap();
    let port = free_port();
    let program = Program::spawn(directory, |arguments| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_linstor-controller"));
        command.args(arguments);
        command.args(["--rest-bind-secure", &format!("127.0.0.1:{port}")]);
        command
    });
    program
        .map(|program| (program, port))
        .map_err(|status| status.code())
}

/// Head and body of an answer.
fn call(
    client: &Arc<ClientConfig>,
    port: u16,
    request: &str,
    token: &str,
) -> std::io::Result<(String, String)> {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(client), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream = StreamOwned::new(connection, socket);
    let request = format!(
        "{request} HTTP/1.0\r\nHost: localhost:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok((head.to_owned(), body.to_owned()))
}

fn status(answer: std::io::Result<(String, String)>) -> Result<u16, String> {
    let (head, _) = answer.map_err(|error| error.to_string())?;
    Ok(head.split(' ').nth(1).unwrap_or_default().parse().unwrap())
}

fn client(authority: &Path, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let authorities = Authorities::read(authority, "").unwrap();
    Arc::new(linstor_tls::client(authorities, Names::Checked, identity).unwrap())
}

/// HTTPS is served with the certificate of the settings, to those who have one where that is wanted, and HTTP sends there.
#[test]
fn certificates_of_the_settings() {
    let files = Files::new();
    let (ca, ca_file) = files.authority("ca");
    let (_, other_file) = files.authority("other");
    files.signed("host", &ca, |_| ());
    let (certificate, key) = files.signed("person", &ca, |_| ());
    let person = Identity::of_pem(&certificate, &key).unwrap();
    let settings = "[https]\ncertificate = \"host.pem\"\nkey = \"host.key\"\n";

    let (program, port) = start(files.path(), settings).unwrap();
    let get = format!("GET {VERSION}");
    assert_eq!(
        status(call(&client(&ca_file, None), port, &get, "")),
        Ok(200)
    );
    let refused = status(call(&client(&other_file, None), port, &get, "")).unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    // LINSTOR's clients look for this answer.
    let (plain, body) = program.call("GET", VERSION, "").unwrap();
    assert_eq!((plain, body.as_str()), (302, ""));
    let create = r#"{"name":"n1","type":"satellite"}"#;
    assert_eq!(program.call("POST", "/v1/nodes", create).unwrap().0, 302);
    for open in ["/health", "/metrics"] {
        assert_eq!(program.call("GET", open, "").unwrap().0, 200, "{open}");
    }
    let (_, config) = call(
        &client(&ca_file, None),
        port,
        "GET /v1/controller/config",
        "",
    )
    .unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["https"]["enabled"], true);
    assert_eq!(config["https"]["port"], port);
    let (_, nodes) = call(&client(&ca_file, None), port, "GET /v1/nodes", "").unwrap();
    assert_eq!(nodes, "[]", "what was sent over HTTP was not done");
    // What is not TLS ends its connection, and nothing else.
    let mut wrong = TcpStream::connect(("127.0.0.1", port)).unwrap();
    wrong.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    wrong
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let _ = wrong.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1"));
    assert_eq!(
        status(call(&client(&ca_file, None), port, &get, "")),
        Ok(200)
    );
    program.kill();

    let closed = format!("{settings}client_ca = \"ca\"\n");
    let (_program, port) = start(files.path(), &closed).unwrap();
    assert_eq!(
        status(call(&client(&ca_file, Some(&person)), port, &get, "")),
        Ok(200)
    );
    let refused = status(call(&client(&ca_file, None), port, &get, "")).unwrap_err();
    assert!(refused.contains("CertificateRequired"), "{refused}");
}

/// A controller whose certificate cannot be used does not start: its users would speak to it unencrypted.
#[test]
fn unusable_certificates() {
    let files = Files::new();
    let (ca, _) = files.authority("ca");
    files.signed("good", &ca, |_| ());
    files.signed("other", &ca, |_| ());
    let day = Duration::from_secs(86_400);
    files.signed("old", &ca, |params| {
        params.not_after = (std::time::SystemTime::now() - day).into();
    });
    let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tls/tests/keystores/keytool.jks");
    for settings in [
        "certificate = \"good.pem\"\nkey = \"other.key\"\n".to_owned(),
        "certificate = \"old.pem\"\nkey = \"old.key\"\n".to_owned(),
        "certificate = \"absent\"\n".to_owned(),
        "certificate = \"good.pem\"\nkey = \"good.key\"\nclient_ca = \"good.key\"\n".to_owned(),
        format!(
            "keystore = \"{}\"\nkeystore_password = \"linstor\"\n",
            store.display()
        ),
        "truststore = \"ca\"\n".to_owned(),
    ] {
        let ended = start(files.path(), &format!("[https]\n{settings}"));
        assert_eq!(ended.err(), Some(Some(EXIT_CONFIG)), "{settings}");
    }
}

/// Authentication with tokens brings HTTPS with a certificate of the controller's own, which is kept; the property ends it.
#[test]
fn tokens_bring_https() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("https.pem");
    let (program, port) = start(directory.path(), "").unwrap();
    assert_eq!(program.call("GET", "/v1/nodes", "").unwrap().0, 200);
    assert!(!file.exists() && TcpStream::connect(("127.0.0.1", port)).is_err());
    let (status_of, answer) = program.call("POST", INITIALIZE, "{}").unwrap();
    assert_eq!(status_of, 201, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let token = answer[0]["obj_refs"]["token"].as_str().unwrap().to_owned();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let trusting = client(&file, None);
    let get = "GET /v1/nodes";
    assert_eq!(program.call("GET", "/v1/nodes", "").unwrap().0, 302);
    assert_eq!(status(call(&trusting, port, get, "wrong")), Ok(401));
    assert_eq!(status(call(&trusting, port, get, &token)), Ok(200));
    let made = std::fs::read(&file).unwrap();
    program.kill();

    let (program, port) = start(directory.path(), "").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), made);
    assert_eq!(status(call(&trusting, port, get, &token)), Ok(200));
    let remove = "DELETE /v1/controller/properties/REST/AutoHTTPS";
    assert_eq!(status(call(&trusting, port, remove, &token)), Ok(200));
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(Instant::now() < deadline, "HTTPS is still served");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        program.call("GET", "/v1/nodes", "").unwrap().0,
        401,
        "not redirected any more"
    );

    program.kill();
    // Where HTTPS is turned off tokens are not made for it.
    let other = tempfile::tempdir().unwrap();
    let (program, _) = start(other.path(), "[https]\nenabled = false\n").unwrap();
    let (status_of, answer) = program.call("POST", INITIALIZE, "{}").unwrap();
    assert_eq!(status_of, 500);
    assert!(answer.contains("turned off"), "{answer}");
    let on = r#"{"override_props":{"REST/AutoHTTPS":"True"}}"#;
    let (_, answer) = program
        .call("POST", "/v1/controller/properties", on)
        .unwrap();
    assert!(answer.contains("has no effect now"), "{answer}");
    assert_eq!(program.call("GET", "/v1/nodes", "").unwrap().0, 200);
}
