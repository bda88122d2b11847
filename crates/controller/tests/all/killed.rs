//! The real program, killed without warning while clients write: what was acknowledged is there after the next start.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 10;
const CLIENTS: u32 = 4;
const START_MAX: Duration = Duration::from_secs(20);

/// A port that nobody uses now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn start(directory: &Path, port: u16) -> Child {
    std::fs::create_dir_all(directory).unwrap();
    let text = format!("[http]\nlisten_addr = \"127.0.0.1\"\nport = {port}\n");
    std::fs::write(directory.join("linstor.toml"), text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_linstor-controller"))
        .arg("--config-directory")
        .arg(directory)
        .arg("--controller-directory")
        .arg(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + START_MAX;
    while call(port, "GET", "/v1/controller/version", "").is_none() {
        assert!(Instant::now() < deadline, "the controller does not answer");
        thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Status and body of a request; none when the connection breaks before the answer is whole. HTTP/1.0, so that the body
/// comes in one piece.
fn call(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// Names that were acknowledged before the program was killed.
fn write_until_killed(
    port: u16,
    next: &Arc<AtomicU32>,
    child: &mut Child,
    after: Duration,
) -> Vec<String> {
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (next, stop) = (next.clone(), stop.clone());
            thread::spawn(move || {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let name = format!("res-{:05}", next.fetch_add(1, Ordering::Relaxed));
                    let body = format!("{{\"resource_definition\":{{\"name\":\"{name}\"}}}}");
                    match call(port, "POST", "/v1/resource-definitions", &body) {
                        Some((201, _)) => acknowledged.push(name),
                        Some((status, text)) => panic!("{name} answered {status}: {text}"),
                        None => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    stop.store(true, Ordering::Relaxed);
    clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect()
}

/// Nothing acknowledged is lost, whenever the program is killed.
#[test]
fn acknowledged_definitions_survive_a_killed_program() {
    let directory = tempfile::tempdir().unwrap();
    let next = Arc::new(AtomicU32::new(0));
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let port = free_port();
        let mut child = start(directory.path(), port);
        // Each round is cut at another moment of the writes.
        let after = Duration::from_millis(u64::from(40 + 37 * round));
        acknowledged.extend(write_until_killed(port, &next, &mut child, after));
        let port = free_port();
        let mut child = start(directory.path(), port);
        let (status, body) = call(port, "GET", "/v1/resource-definitions", "").unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(status, 200);
        let missing: Vec<_> = acknowledged
            .iter()
            .filter(|name| !body.contains(*name))
            .collect();
        assert!(missing.is_empty(), "round {round}: lost {missing:?}");
    }
    assert!(
        !acknowledged.is_empty(),
        "nothing was acknowledged in any round"
    );
}
