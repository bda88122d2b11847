//! Commits: batches, refusals, panics, failing stores.

use std::time::Duration;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_controller::Superseded;
use linstor_store::memory::Fault;

use crate::fixture::{Fixture, get, kvs, set};

/// Many callers share few writes, and each has its own answer.
#[tokio::test(start_paused = true)]
async fn concurrent_commits_share_writes() {
    let fixture = Fixture::new().await;
    fixture.store.set_latency(Duration::from_millis(5));
    let before = fixture.store.attempts();
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..500_u32 {
        let cluster = fixture.cluster.clone();
        callers.spawn(async move {
            let name = format!("kvs{n}");
            let committed = cluster
                .commit(move |draft| {
                    set(draft, &name, "v")?;
                    Ok(n)
                })
                .await
                .unwrap();
            assert!(committed.changed);
            (n, committed.value)
        });
    }
    for (asked, answered) in callers.join_all().await {
        assert_eq!(asked, answered);
    }
    let writes = fixture.store.attempts() - before;
    assert!(writes <= 4, "{writes} writes for 500 commits");
    assert_eq!(fixture.cluster.model().key_value_stores.len(), 500);
    assert_eq!(
        fixture.store.contents().generation,
        fixture.cluster.model().generation
    );
}

/// A refused commit, and one that panics, leave no trace among their neighbours in the same batch.
#[tokio::test(start_paused = true)]
async fn refused_commits_leave_no_trace() {
    let fixture = Fixture::new().await;
    fixture.store.set_latency(Duration::from_millis(5));
    let before = fixture.store.attempts();
    // The first one occupies the writer, so that the others meet in one batch.
    let cluster = fixture.cluster.clone();
    let first = tokio::spawn(async move { cluster.commit(|draft| set(draft, "first", "1")).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let cluster = &fixture.cluster;
    let (good, refused, panicked, last) = tokio::join!(
        cluster.commit(|draft| set(draft, "good", "1")),
        cluster.commit(|draft| -> Result<(), _> {
            set(draft, "bad", "1")?;
            set(draft, "good", "spoilt")?;
            Err(Reply::new(code::FAIL_IN_USE, "no").into())
        }),
        cluster.commit(|draft| -> Result<(), _> {
            set(draft, "bad", "2")?;
            panic!("a bug of {}", "ours")
        }),
        cluster.commit(|draft| {
            assert_eq!(
                draft.key_value_stores[&kvs("good")].props["k"],
                "1",
                "the draft holds what a refused commit did"
            );
            set(draft, "last", "1")
        }),
    );
    assert!(first.await.unwrap().is_ok() && good.is_ok() && last.is_ok());
    assert_eq!(refused.unwrap_err().0[0].ret_code, code::FAIL_IN_USE);
    let panicked = panicked.unwrap_err().0;
    assert_eq!(panicked[0].ret_code, code::FAIL_IMPL_ERROR);
    assert_eq!(panicked[0].cause.as_deref(), Some("a bug of ours"));
    let writes = fixture.store.attempts() - before;
    assert_eq!(writes, 2, "one batch for all but the first");
    assert_eq!(get(cluster, "bad"), None);
    assert_eq!(get(cluster, "good").as_deref(), Some("1"));
}

/// A commit that changes nothing costs no write, whether it touched nothing or wrote what was there.
#[tokio::test(start_paused = true)]
async fn nothing_new_is_not_written() {
    let fixture = Fixture::new().await;
    fixture
        .cluster
        .commit(|d| set(d, "one", "1"))
        .await
        .unwrap();
    let (before, generation) = (fixture.store.attempts(), fixture.cluster.model().generation);
    let nothing = fixture.cluster.commit(|_| Ok(7)).await.unwrap();
    let same = fixture
        .cluster
        .commit(|d| set(d, "one", "1"))
        .await
        .unwrap();
    assert_eq!(
        (nothing.value, nothing.changed, same.changed),
        (7, false, false)
    );
    assert_eq!(
        (nothing.generation, same.generation),
        (generation, generation)
    );
    assert_eq!(fixture.store.attempts(), before);
}

/// When the store fails, nothing is published and everybody in the batch is told; the next commit works.
#[tokio::test(start_paused = true)]
async fn a_failing_store_fails_the_batch() {
    let fixture = Fixture::new().await;
    let before = fixture.cluster.model().generation;
    fixture.store.fail_next(Fault::BeforeWrite);
    let error = fixture
        .cluster
        .commit(|d| set(d, "one", "1"))
        .await
        .unwrap_err()
        .0;
    assert_eq!(error[0].ret_code, code::FAIL_SQL);
    assert_eq!(get(&fixture.cluster, "one"), None);
    assert_eq!(fixture.cluster.model().generation, before);
    let committed = fixture
        .cluster
        .commit(|d| set(d, "one", "2"))
        .await
        .unwrap();
    assert_eq!(committed.generation, before + 1);
}

/// A store that fails after it wrote is asked, and the commit counts.
#[tokio::test(start_paused = true)]
async fn a_write_that_got_in_counts() {
    let fixture = Fixture::new().await;
    fixture.store.fail_next(Fault::AfterWrite);
    let committed = fixture
        .cluster
        .commit(|d| set(d, "one", "1"))
        .await
        .unwrap();
    assert_eq!(get(&fixture.cluster, "one").as_deref(), Some("1"));
    assert_eq!(fixture.store.contents().generation, committed.generation);
}

/// When a store does not even answer that question, callers are told so, nothing else is written, and what did get in is
/// published once the store is back.
#[tokio::test(start_paused = true)]
async fn an_open_outcome_is_settled_later() {
    for (fault, got_in) in [
        (Fault::DeadAfterWrite, true),
        (Fault::DeadBeforeWrite, false),
    ] {
        let fixture = Fixture::new().await;
        fixture.store.fail_next(fault);
        let error = fixture
            .cluster
            .commit(|d| set(d, "one", "1"))
            .await
            .unwrap_err()
            .0;
        assert!(error[0].message.contains("may or may not"), "{error:?}");
        let error = fixture
            .cluster
            .commit(|d| set(d, "two", "1"))
            .await
            .unwrap_err()
            .0;
        assert!(error[0].message.contains("not made"), "{error:?}");
        assert_eq!(get(&fixture.cluster, "one"), None);
        fixture.store.revive();
        // Without any further commit.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(get(&fixture.cluster, "one").is_some(), got_in);
        fixture
            .cluster
            .commit(|d| set(d, "three", "1"))
            .await
            .unwrap();
        let stored = fixture.store.contents().generation;
        assert_eq!(fixture.cluster.model().generation, stored);
    }
}

/// A controller that finds another one writing stops writing, says so, and still serves reads.
#[tokio::test(start_paused = true)]
async fn a_second_controller_fences_the_first() {
    let first = Fixture::new().await;
    first.cluster.commit(|d| set(d, "one", "1")).await.unwrap();
    let epoch = first.cluster.model().epoch.number;
    let second = Fixture::on(first.store.clone()).await;
    assert!(second.cluster.model().epoch.number > epoch);
    let error = first
        .cluster
        .commit(|d| set(d, "two", "1"))
        .await
        .unwrap_err()
        .0;
    assert_eq!(error[0].ret_code, code::FAIL_SQL);
    assert_eq!(first.cluster.superseded().await, Superseded::InDatabase);
    assert_eq!(get(&first.cluster, "one").as_deref(), Some("1"));
    second.cluster.commit(|d| set(d, "two", "2")).await.unwrap();
    let again = first
        .cluster
        .commit(|d| set(d, "three", "1"))
        .await
        .unwrap_err()
        .0;
    assert!(again[0].message.contains("another controller"), "{again:?}");
}

/// What waits when the controller is stopped is still served; what comes later is refused.
#[tokio::test(start_paused = true)]
async fn a_stop_serves_what_waits() {
    let fixture = Fixture::new().await;
    fixture.store.set_latency(Duration::from_millis(5));
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..10_u32 {
        let cluster = fixture.cluster.clone();
        callers.spawn(async move { cluster.commit(move |d| set(d, &format!("k{n}"), "1")).await });
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    fixture.controller.stop().await;
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert!(
        fixture
            .cluster
            .commit(|d| set(d, "late", "1"))
            .await
            .is_err()
    );
}
