//! The real program, killed without warning while clients write: what was acknowledged is there after the next start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::program::{Program, call};

const ROUNDS: u32 = 10;
const CLIENTS: u32 = 4;

/// Names that were acknowledged before the program was killed.
fn write_until_killed(program: Program, next: &Arc<AtomicU32>, after: Duration) -> Vec<String> {
    let port = program.port();
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
    program.kill();
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
        let program = Program::start(directory.path());
        // Each round is cut at another moment of the writes.
        let after = Duration::from_millis(u64::from(40 + 37 * round));
        acknowledged.extend(write_until_killed(program, &next, after));
        let program = Program::start(directory.path());
        let (status, body) = program.call("GET", "/v1/resource-definitions", "").unwrap();
        program.kill();
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
