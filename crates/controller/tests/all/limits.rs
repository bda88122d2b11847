//! A store that takes little at once.

use std::time::Duration;

use linstor_api::code;
use linstor_store::memory::Fault;
use linstor_store::{Limits, MemoryStore};

use crate::fixture::{Fixture, get, set};

async fn limited(rows: usize, bytes: usize) -> Fixture {
    let store = MemoryStore::new();
    store.set_limits(Limits { rows, bytes });
    Fixture::on(store).await
}

/// Commits that wait together are divided into as many batches as they need, by rows and by bytes; each change is whole and
/// has a generation of its own.
#[tokio::test(start_paused = true)]
async fn commits_are_divided_into_batches() {
    for (rows, bytes) in [(8, usize::MAX), (usize::MAX, 2400)] {
        let fixture = limited(rows, bytes).await;
        fixture.store.set_latency(Duration::from_millis(5));
        let before = fixture.store.attempts();
        let mut callers = tokio::task::JoinSet::new();
        for n in 0..30_u32 {
            let cluster = fixture.cluster.clone();
            callers.spawn(async move {
                let committed = cluster.commit(move |draft| {
                    for part in ["a", "b", "c"] {
                        set(draft, &format!("kvs{n}{part}"), &"v".repeat(150))?;
                    }
                    Ok(draft.since(0).generation)
                });
                committed.await.unwrap()
            });
        }
        let mut changes = callers.join_all().await;
        changes.sort_by_key(|committed| committed.value);
        changes.dedup_by_key(|committed| committed.value);
        assert_eq!(changes.len(), 30, "no two changes have the same generation");
        for committed in &changes {
            assert!(committed.value <= committed.generation);
        }
        let journal = fixture.store.journal();
        let batches = &journal[before as usize..];
        assert!(batches.len() >= 8, "{}", batches.len());
        assert!(
            batches.iter().any(|entry| entry.batch.len() > 3),
            "changes share batches"
        );
        for entry in batches {
            assert!(
                entry.batch.len().is_multiple_of(3),
                "a change is in one batch"
            );
        }
        let contents = fixture.store.contents();
        assert_eq!(contents.generation, fixture.cluster.model().generation);
        assert_eq!(get(&fixture.cluster, "kvs29c"), Some("v".repeat(150)));
    }
}

/// A change that was planned on top of a batch that is not stored is not made either.
#[tokio::test(start_paused = true)]
async fn what_stands_on_a_failed_batch_fails() {
    let fixture = limited(8, usize::MAX).await;
    fixture.store.set_latency(Duration::from_millis(5));
    let cluster = &fixture.cluster;
    let many = |from: usize| {
        cluster.commit(move |draft| {
            for n in from..from + 5 {
                set(draft, &format!("kvs{n}"), "v")?;
            }
            Ok(())
        })
    };
    let nth = fixture.store.attempts() + 1;
    fixture.store.fail_write(nth, Fault::BeforeWrite);
    let (one, two, three) = tokio::join!(many(0), many(5), many(10));
    assert!(one.is_err() && two.is_err());
    assert!(three.is_ok(), "it was planned afterwards: {three:?}");
    for (name, there) in [("kvs0", false), ("kvs5", false), ("kvs10", true)] {
        assert_eq!(get(cluster, name).is_some(), there, "{name}");
    }
}

/// A single change that is too large is refused, says by how much, and changes nothing.
#[tokio::test(start_paused = true)]
async fn a_change_that_is_too_large_is_refused() {
    let fixture = limited(8, 4000).await;
    let before = fixture.store.attempts();
    let rows = fixture.cluster.commit(|draft| {
        for n in 0..9 {
            set(draft, &format!("kvs{n}"), "v")?;
        }
        Ok(())
    });
    let bytes = fixture
        .cluster
        .commit(|draft| set(draft, "long", &"v".repeat(4000)));
    for (refused, text) in [(rows.await, "9 rows"), (bytes.await, "1 rows of 40")] {
        let reply = refused.unwrap_err().0.remove(0);
        assert_eq!(reply.ret_code, code::FAIL_SQL);
        let cause = reply.cause.unwrap();
        assert!(
            cause.contains(text) && cause.contains("at most 8 rows and 4000 bytes"),
            "{cause}"
        );
        assert!(reply.correction.is_some());
    }
    assert_eq!(fixture.store.attempts(), before);
    assert_eq!(
        linstor_controller::ops::controller::health(&fixture.cluster),
        ""
    );
    fixture
        .cluster
        .commit(|d| set(d, "small", "1"))
        .await
        .unwrap();
}
