//! The controller on the store it really uses.

use std::sync::Arc;

use linstor_controller::env::RealEnv;
use linstor_controller::{Controller, Options};
use linstor_store::SqliteStore;

use crate::fixture::{get, set};
use crate::satellite::Pipes;

/// What was committed is there after a stop and a start, and the next controller is a newer one.
#[tokio::test]
async fn a_cluster_outlives_its_controller() {
    let dir = tempfile::tempdir().unwrap();
    let start = || async {
        let store = SqliteStore::open(dir.path().join("db/linstor.db")).await;
        Controller::start(
            Box::new(store.unwrap()),
            Arc::new(RealEnv),
            Arc::new(Pipes::default()),
            Options::default(),
        )
        .await
        .unwrap()
    };
    let first = start().await;
    let cluster = first.cluster.clone();
    cluster.commit(|d| set(d, "one", "1")).await.unwrap();
    first.stop().await;
    let second = start().await;
    assert_eq!(get(&second.cluster, "one").as_deref(), Some("1"));
    let (old, new) = (cluster.model(), second.cluster.model());
    assert_eq!(old.controller.cluster_id, new.controller.cluster_id);
    assert_eq!(new.generation, old.generation + 1);
    assert!(new.epoch.number > old.epoch.number);
    second.stop().await;
}
