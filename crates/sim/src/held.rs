//! A row of the database is damaged while no controller runs: what it describes stays as it is on every node.

use std::time::Duration;

use linstor_api::reply::Reply;
use linstor_model::cron::Cron;
use linstor_model::external_file::FilePath;
use linstor_model::master_key::Key;
use linstor_model::model::{RowKey, RowKind, StoredRow};
use linstor_model::name::{
    KeyValueStoreName, NodeName, RemoteName, ResourceName, ScheduleName, SnapshotName,
};
use linstor_model::process::delete_resource;
use linstor_model::remote::{Linstor, Target};
use linstor_model::schedule::OnFailure;
use linstor_model::snapshot::{self, NewSnapshot, SnapshotReason, SnapshotState};
use linstor_model::{
    AuthToken, AuthTokens, Draft, ExternalFile, KeyValueStore, MasterKey, Model, Remote, Schedule,
    SnapshotDefinition,
};
use linstor_wire::secret::Secret;
use tokio::time::sleep;
use uuid::Uuid;

use crate::cluster::{Shape, Sim};
use crate::run::{Parameters, Report, Run, on_own_runtime};
use crate::trace::Trace;
use crate::workload::Op;

/// Longer than the pauses of links and passes of satellites.
const WATCHED: Duration = Duration::from_secs(120);
const KIB: u64 = 8 * 1024;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Its end is missing.
    Cut,
    /// It is not JSON at all.
    Garbage,
    /// It is JSON, but nothing is in it.
    Empty,
}

/// All that is tried.
pub const DAMAGES: [Damage; 3] = [Damage::Cut, Damage::Garbage, Damage::Empty];

/// How it went when the first row of a kind was damaged.
pub fn damaged(shape: Shape, kind: RowKind, damage: Damage) -> Report {
    on_own_runtime(async move {
        let mut run = Run::new(Parameters::untroubled(shape), Trace::new(false)).await;
        run.register().await;
        play(&mut run, kind, damage).await;
        run.end().await
    })
}

fn spawn(run: &Run, name: &str) -> Op {
    Op::Spawn {
        name: name.to_owned(),
        kib: KIB,
        place: 2,
        drbd: run.sim.shape.drbd.is_some(),
    }
}

async fn play(run: &mut Run, kind: RowKind, damage: Damage) {
    for name in ["r1", "r2"] {
        run.ask(spawn(run, name));
    }
    let cluster = run.sim.cluster().expect("it was just started");
    let stored = cluster.commit(|draft| {
        draft.put_key_value_store(KeyValueStore {
            name: KeyValueStoreName::parse("csi").expect("a name"),
            props: Default::default(),
        });
        put_alone(draft);
        Ok(())
    });
    stored.await.expect("the store works");
    run.come_to_rest("before").await;
    let taken = cluster.commit(|draft| {
        put_snapshot(draft);
        Ok(())
    });
    taken.await.expect("the store works");
    let before = run.sim.cluster().expect("it runs").model();
    drop(cluster);
    run.sim.kill_controller().await;
    let rows = run.sim.store.contents().rows;
    let row = match kind {
        RowKind::Process => begun_deletion(&before),
        _ => rows.into_iter().find(|row| row.kind == kind.as_str()),
    };
    let row = row.expect("there is one of each kind");
    let json = match damage {
        Damage::Cut => row.json[..row.json.len() * 2 / 3].to_owned(),
        Damage::Garbage => "\u{fffd}\u{0}garbage".to_owned(),
        Damage::Empty => "{}".to_owned(),
    };
    run.sim.store.plant(&row.kind, &row.key, &json);
    run.collect();
    run.sim.start_controller().await;
    sleep(WATCHED).await;
    nothing_changes(&mut run.sim, "after the start", &["/", " "]);
    if kind != RowKind::Epoch {
        shown(&mut run.sim, &row.key);
    }
    changes_are_refused(run, &before).await;
    nothing_changes(&mut run.sim, "after the refusals", &["/", " "]);
    new_numbers_are_free(run, &before).await;
    nothing_changes(&mut run.sim, "after the new resource", &["r1", "r2"]);
    if kind == RowKind::Epoch {
        // It is a count: the satellites say where it has to go on.
        let cluster = run.sim.cluster().expect("it was started");
        let replies = linstor_controller::ops::controller::take_over(&cluster).await;
        run.sim.trace.add(format_args!("take over: {replies:?}"));
    }
    run.sim.kill_controller().await;
    if kind != RowKind::Epoch {
        run.sim.store.plant(&row.kind, &row.key, &row.json);
    }
    run.sim.start_controller().await;
    run.collect();
    run.come_to_rest("repaired").await;
}

/// Rows of the kinds that no node and no resource depends on.
fn put_alone(draft: &mut Draft) {
    let key = Key::new([1; 32]);
    let passphrase = Secret::new("pass");
    draft.put_master_key(MasterKey::seal(&key, &passphrase, [2; 16], [3; 12]));
    let mut tokens = AuthTokens::default();
    tokens.add(AuthToken {
        hash: Some("0".repeat(64)),
        node: None,
        ..AuthToken::for_satellite(NodeName::parse("n1").expect("a name"), Uuid::nil(), 0)
    });
    draft.put_auth_tokens(tokens);
    draft.put_remote(Remote {
        name: RemoteName::parse("peer").expect("a name"),
        uuid: Uuid::nil(),
        target: Target::Linstor(Linstor {
            url: "http://peer:3370".to_owned(),
            passphrase: None,
            cluster_id: None,
        }),
    });
    draft.put_schedule(Schedule {
        name: ScheduleName::parse("daily").expect("a name"),
        uuid: Uuid::nil(),
        full_cron: Cron::parse("0 3 * * *").expect("a time"),
        inc_cron: None,
        keep_local: None,
        keep_remote: None,
        on_failure: OnFailure::Skip,
        max_retries: None,
    });
    draft.put_external_file(ExternalFile {
        path: FilePath::parse("/etc/a.conf").expect("a path"),
        uuid: Uuid::nil(),
        content: String::new(),
        alt_suffixes: Vec::new(),
    });
}

/// A snapshot that failed on all nodes: there is nothing of it to be removed.
fn put_snapshot(draft: &mut Draft) {
    let new = NewSnapshot {
        resource: ResourceName::parse("r1").expect("a name"),
        name: SnapshotName::parse("s1").expect("a name"),
        nodes: Default::default(),
        reason: SnapshotReason::Request,
        props: Default::default(),
    };
    let row = snapshot::row(draft, new, 1, &mut || Uuid::from_u128(1));
    draft.put_snapshot_definition(SnapshotDefinition {
        state: SnapshotState::FailedDeployment,
        ..row.expect("its definition was spawned")
    });
}

/// The row of a deletion that has begun, of the first resource.
fn begun_deletion(model: &Model) -> Option<StoredRow> {
    let resource = model.resources.values().next()?;
    let mut draft = Draft::new(model.clone());
    delete_resource::begin(&mut draft, &resource.name, &resource.node, 1);
    let key = RowKey::Process(*draft.processes.keys().next()?);
    Some(StoredRow {
        kind: key.kind().as_str().to_owned(),
        key: key.key(),
        json: draft.row_json(&key)?,
    })
}

/// No changing command that mentions any of these ran on any node. A satellite may write its own files, such as a spec
/// whose instructions are done, and load a module to see whether it is there.
fn nothing_changes(sim: &mut Sim, when: &str, about: &[&str]) {
    for entry in sim.fake.journal() {
        let mentioned = about.iter().any(|about| entry.text.contains(about));
        let harmless = ["write /var/lib/linstor/satellite/", "modprobe"];
        let harmless = harmless.iter().any(|text| entry.text.contains(text));
        if entry.mutating && mentioned && !harmless {
            sim.failures.push(format!("{when}: {entry}"));
        }
    }
}

fn shown(sim: &mut Sim, key: &str) {
    let cluster = sim.cluster().expect("it was started");
    let jobs = cluster.jobs();
    if !jobs
        .iter()
        .any(|job| job.obj_refs.get("Key").is_some_and(|shown| shown == key))
    {
        sim.failures.push(format!("no job shows the row '{key}'"));
    }
    let health = linstor_controller::ops::controller::health(&cluster);
    if !health.contains("held: ") {
        sim.failures.push(format!("the health is {health}"));
    }
}

/// What is held is neither grown nor deleted, and the answer says why.
async fn changes_are_refused(run: &mut Run, before: &Model) {
    let cluster = run.sim.cluster().expect("it was started");
    for name in before.definitions.keys() {
        if !cluster.model().held.holds_definition(name) {
            continue;
        }
        let name = name.to_string();
        let grow = Op::Grow {
            name: name.clone(),
            kib: 2 * KIB,
        };
        for op in [
            grow,
            Op::DeleteDefinition { name: name.clone() },
            spawn(run, &name),
        ] {
            let what = op.to_string();
            let replies: Vec<Reply> = op.run(cluster.clone()).await;
            let explained = |reply: &Reply| {
                reply.is_error() && reply.cause.is_some() && reply.correction.is_some()
            };
            if !replies.iter().any(explained) {
                run.sim
                    .failures
                    .push(format!("{what} is answered with {replies:?}"));
            }
        }
    }
}

/// A new resource, if there can be one, has no number of what is held.
async fn new_numbers_are_free(run: &mut Run, before: &Model) {
    let cluster = run.sim.cluster().expect("it was started");
    let replies = spawn(run, "r9").run(cluster.clone()).await;
    run.sim
        .trace
        .add(format_args!("a new resource: {replies:?}"));
    sleep(WATCHED).await;
    let model = cluster.model();
    for replica in model
        .resources
        .values()
        .filter(|row| row.name.as_str() == "r9")
    {
        for port in replica.drbd.iter().flat_map(|drbd| &drbd.ports) {
            if before.uses_port(&replica.node, *port) {
                run.sim
                    .failures
                    .push(format!("port {port} is given out again"));
            }
        }
    }
    for definition in model
        .definitions
        .values()
        .filter(|row| row.name.as_str() == "r9")
    {
        for minor in definition
            .volumes
            .values()
            .filter_map(|volume| volume.minor)
        {
            if before.uses_minor(minor) {
                run.sim
                    .failures
                    .push(format!("minor {minor} is given out again"));
            }
        }
    }
}
