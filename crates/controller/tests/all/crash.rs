//! A crash at every store write.

use std::collections::BTreeMap;

use linstor_store::memory::Fault;

use crate::fixture::{Fixture, get, set};

/// How many commits the workload makes.
const COMMITS: u32 = 12;

/// Runs the workload until the store dies. Returns what was acknowledged, and the commit whose outcome was left open.
async fn work(fixture: &Fixture) -> (BTreeMap<String, String>, Option<(String, String)>) {
    let mut acknowledged = BTreeMap::new();
    for n in 0..COMMITS {
        let (name, value) = (format!("kvs{}", n % 5), n.to_string());
        let (key, text) = (name.clone(), value.clone());
        let committed = fixture.cluster.commit(move |d| set(d, &key, &text));
        if committed.await.is_err() {
            return (acknowledged, Some((name, value)));
        }
        acknowledged.insert(name, value);
    }
    (acknowledged, None)
}

/// Whichever write the controller dies at, before or after it: what was acknowledged is there at the next start, and
/// nothing else but the one change that was under way.
#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_survives_a_crash_at_any_write() {
    for fault in [Fault::DeadBeforeWrite, Fault::DeadAfterWrite] {
        let mut crashes = 0;
        loop {
            let fixture = Fixture::new().await;
            let next = fixture.store.attempts() + 1;
            fixture.store.fail_write(next + crashes, fault);
            let (acknowledged, open) = work(&fixture).await;
            let store = fixture.store.clone();
            // Dropped, not stopped.
            drop(fixture);
            store.revive();
            let again = Fixture::on(store).await;
            let mut expected = acknowledged.clone();
            if let (Some((name, value)), Fault::DeadAfterWrite) = (&open, fault) {
                expected.insert(name.clone(), value.clone());
            }
            for n in 0..5 {
                let name = format!("kvs{n}");
                assert_eq!(
                    get(&again.cluster, &name),
                    expected.get(&name).cloned(),
                    "{fault:?} at write {crashes}: {name}"
                );
            }
            if open.is_none() {
                break;
            }
            crashes += 1;
        }
        assert_eq!(crashes, u64::from(COMMITS));
    }
}
