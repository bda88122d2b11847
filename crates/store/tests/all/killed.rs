//! A real process is killed in the middle of its writes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use linstor_store::{SqliteStore, Store};

/// How many times a writer is started and killed.
const ROUNDS: u64 = 12;

/// Every batch that a killed process said was written is there, and every batch is there as a whole.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the test kills a process of its own"
)]
fn acknowledged_batches_survive_a_kill() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("linstor.db");
    let mut total = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(env!("CARGO_BIN_EXE_store-writer"))
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        // A different moment each round, from before the first write to many writes in.
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(3 + round * 17));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let mut acknowledged = 0;
        for line in BufReader::new(stdout).lines() {
            // The kill may cut the last line; only whole ones were said.
            if let Ok(generation) = line.unwrap().parse::<u64>() {
                acknowledged = generation;
            }
        }
        killer.join().unwrap();
        let mut store = runtime.block_on(SqliteStore::open(&path)).unwrap();
        let loaded = runtime.block_on(store.load()).unwrap();
        assert!(
            loaded.generation >= acknowledged,
            "round {round}: {acknowledged} was acknowledged, {} is there",
            loaded.generation
        );
        // Batch n writes its number into both rows.
        let values: Vec<u64> = loaded
            .rows
            .iter()
            .map(|row| row.json.parse().unwrap())
            .collect();
        let whole = values.iter().all(|value| *value == loaded.generation);
        assert!(whole, "round {round}: half a batch is there: {values:?}");
        assert!(loaded.generation == 0 || values.len() == 2);
        total = loaded.generation;
    }
    assert!(total > 0, "no writer got to write anything");
}
