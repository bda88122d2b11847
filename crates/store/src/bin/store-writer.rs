//! Writes batches into a store until it is killed, and prints the generation of each that was acknowledged. For tests.

use std::io::Write as _;

use linstor_store::{SqliteStore, Store, Write};

fn row(key: &str, generation: u64) -> Write {
    Write {
        kind: "node".into(),
        key: key.into(),
        json: Some(generation.to_string()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: store-writer FILE")?;
    let mut store = SqliteStore::open(path).await?;
    let mut generation = store.load().await?.generation;
    let mut out = std::io::stdout();
    loop {
        let next = generation + 1;
        let batch = vec![row("A", next), row("B", next)];
        store.apply(generation, next, batch).await?;
        generation = next;
        writeln!(out, "{generation}")?;
        out.flush()?;
    }
}
