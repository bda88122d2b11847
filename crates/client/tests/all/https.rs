//! HTTPS: certificates of both sides, and the way there from HTTP.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;

use linstor_tls::{Authorities, Identity};
use rcgen::SanType;

use super::pki::Files;
use super::{Answer, CREATED, Controller, linstor, run, stderr, stdout};

/// A controller with a certificate for the address and the name of this machine, and files of its authority and of others.
struct World {
    files: Files,
    server: Identity,
}

impl World {
    fn new() -> World {
        let files = Files::new();
        let (ca, _) = files.authority("ca");
        let (other, _) = files.authority("other");
        let address = SanType::IpAddress([127, 0, 0, 1].into());
        let (certificate, key) = files.signed("server", &ca, |params| {
            params.subject_alt_names.push(address.clone());
        });
        files.signed("person", &ca, |_| ());
        files.signed("stranger", &other, |_| ());
        let server = Identity::of_pem(&certificate, &key).unwrap();
        World { files, server }
    }

    /// It wants certificates of its callers if it is closed.
    fn controller(&self, is_closed: bool) -> (Controller, u16) {
        let clients = is_closed.then(|| Authorities::read(&self.file("ca"), "").unwrap());
        let config = linstor_tls::server(&self.server, clients).unwrap();
        let controller = Controller::start_with(CREATED, Some(Arc::new(config)));
        let (_, port) = controller.address.rsplit_once(':').unwrap();
        let port = port.parse().unwrap();
        (controller, port)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Runs a line in which `@` stands for the directory of the files.
    fn run(&self, controllers: &str, line: &str) -> Output {
        run(
            controllers,
            &line.replace('@', &format!("{}/", self.files.path().display())),
        )
    }
}

fn refused(output: &Output, code: i32, reason: &str) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(reason), "{reason}: {text}");
}

/// A controller is accepted for its authority and its name, or whatever it is without `--cafile`.
#[test]
fn controllers_are_checked() {
    let world = World::new();
    let (controller, port) = world.controller(false);
    for (uri, line) in [
        (format!("https://127.0.0.1:{port}"), "--cafile @ca n d a"),
        (
            format!("linstor+ssl://localhost:{port}"),
            "--cafile @ca n d a",
        ),
        (
            format!("https://127.0.0.2:{port},https://127.0.0.1:{port}"),
            "n d a",
        ),
    ] {
        let output = world.run(&uri, line);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{uri} {line}: {}",
            stderr(&output)
        );
    }
    assert_eq!(controller.seen().len(), 3);
    let uri = format!("https://127.0.0.1:{port}");
    let output = world.run(&uri, "--cafile @other n d a");
    refused(&output, 20, "not signed by one of --cafile");
    let output = world.run(
        &format!("https://[::ffff:127.0.0.1]:{port}"),
        "--cafile @ca n d a",
    );
    refused(&output, 20, "use a name or an address");
    assert_eq!(
        controller.seen().len(),
        3,
        "nothing is sent to a controller that is not accepted"
    );
    // One that is not accepted is as good as one that is not there: the next one has its turn.
    let good = Controller::start(CREATED);
    let output = world.run(&format!("{uri},{}", good.address), "--cafile @other n d a");
    assert_eq!((output.status.code(), good.seen().len()), (Some(0), 1));
    let output = world.run(&format!("https://{}", good.address), "n d a");
    refused(&output, 20, "HTTPS at this port");
}

/// A controller may want a certificate of its callers.
#[test]
fn clients_have_certificates() {
    let world = World::new();
    let (controller, port) = world.controller(true);
    let uri = format!("https://127.0.0.1:{port}");
    let line = "--cafile @ca --certfile @person.pem --keyfile @person.key n d a";
    let output = world.run(&uri, line);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let parts = ["person.pem", "person.key"].map(|name| std::fs::read_to_string(world.file(name)));
    let both: String = parts.into_iter().map(Result::unwrap).collect();
    std::fs::write(world.file("both"), both).unwrap();
    let output = world.run(&uri, "--cafile @ca --certfile @both n d a");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(controller.seen().len(), 2);
    refused(
        &world.run(&uri, "--cafile @ca n d a"),
        20,
        "give --certfile",
    );
    let line = "--certfile @stranger.pem --keyfile @stranger.key n d a";
    refused(
        &world.run(&uri, line),
        20,
        "does not accept the certificate of --certfile",
    );
    assert_eq!(controller.seen().len(), 2);
    for (line, reason) in [
        ("--cafile @absent n d a", "cannot be read"),
        ("--cafile @person.key n d a", "holds no certificate"),
        ("--certfile @person.pem n d a", "holds no private key"),
        (
            "--certfile @person.pem --keyfile @stranger.key n d a",
            "not that of the certificate",
        ),
    ] {
        refused(&world.run(&uri, line), 2, reason);
    }
    let output = world.run(&uri, "--curl --cafile @ca --certfile @both n l");
    let shown = stdout(&output).replace(&format!("{}/", world.files.path().display()), "@");
    assert_eq!(
        shown,
        format!("curl -X GET --cacert @ca --cert @both {uri}/v1/nodes\n")
    );
}

/// A controller that serves HTTPS says so over HTTP. Whatever is sent goes to its own host, and what others may not see is not
/// sent before.
#[test]
fn https_is_found() {
    let world = World::new();
    let (secure, port) = world.controller(false);
    let plain = Controller::start(Answer::Redirect(port));
    let output = world.run(&plain.address, "--cafile @ca n c a 10.0.0.1");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("New node 'a' created."));
    assert!(secure.seen()[0].starts_with("new POST /v1/nodes {\"name\":\"a\""));

    let output = world.run(&plain.address, "-u me -P secret --cafile @ca n d a");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        plain.seen().last().unwrap(),
        "new GET /v1/controller/version"
    );
    assert_eq!(
        secure.seen().last().unwrap(),
        "new DELETE /v1/nodes/a Basic bWU6c2VjcmV0"
    );

    let mut child = linstor()
        .args([
            "--controllers",
            &plain.address,
            "-u",
            "me",
            "node",
            "delete",
            "a",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        secure.seen().last().unwrap(),
        "new DELETE /v1/nodes/a Basic bWU6c2VjcmV0"
    );

    std::fs::write(world.file("token"), "t0ken").unwrap();
    let output = linstor()
        .env("LS_BEARER_TOKEN_FILE", world.file("token"))
        .args(["--controllers", &plain.address])
        .args(["resource", "delete", "a", "b", "r1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let seen = secure.seen();
    assert_eq!(
        seen[seen.len() - 2..],
        [
            "new DELETE /v1/resource-definitions/r1/resources/a Bearer t0ken",
            "same DELETE /v1/resource-definitions/r1/resources/b Bearer t0ken"
        ],
        "what was found is kept"
    );
    refused(
        &world.run(&plain.address, "--cafile @other n l"),
        20,
        "https://127.0.0.1:",
    );
}
