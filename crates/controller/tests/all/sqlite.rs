//! The controller on the store it really uses.

use std::process::Command;
use std::sync::Arc;

use linstor_controller::env::RealEnv;
use linstor_controller::{Controller, Options};
use linstor_store::{SqliteStore, Store, Write};

use crate::fixture::{get, set};
use crate::program::Program;
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

/// The program ends with a code of its own on a database that a newer version wrote, and leaves it as it is.
#[test]
fn a_newer_database_has_its_exit_code() {
    const EXIT_NEWER_DATABASE: i32 = 77;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("linstor.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let versions = Write {
        kind: "row_versions".into(),
        key: String::new(),
        json: Some(r#"{"versions":{"node":99},"written_by":"99.0.0"}"#.into()),
    };
    let store = || runtime.block_on(SqliteStore::open(&path)).unwrap();
    runtime
        .block_on(store().apply(0, 1, vec![versions]))
        .unwrap();
    let ended = Program::spawn(dir.path(), |arguments| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_linstor-controller"));
        command.args(arguments);
        command
    });
    let code = ended.err().and_then(|status| status.code());
    assert_eq!(code, Some(EXIT_NEWER_DATABASE));
    assert_eq!(runtime.block_on(store().load()).unwrap().rows.len(), 1);
}
