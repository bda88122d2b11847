//! Peers of the next version: a relay on the wire adds to every message what this version does not know.
//!
//! A peer of another version speaks the protocol that both know, so that all that differs is what the rules of the wire
//! leave open: more members everywhere, more kinds of layers, providers, suffixes and objects, features that a spec
//! requires, and messages that are not known.

use std::io;
use std::time::Duration;

use linstor_model::model::RowKey;
use linstor_wire::message::{FRAME_BYTES_MAX, PROTOCOL};
use linstor_wire::status::Outcome;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::time::sleep;

use crate::cluster::{Shape, Sim};
use crate::run::{Parameters, Report, Run, on_own_runtime};
use crate::trace::Trace;
use crate::workload::Op;

/// A resource that needs a feature which only the next version has.
pub const NEEDY: &str = "needy";
/// That feature.
const FEATURE: &str = "time-travel";
/// Longer than an attempt, and than callers wait.
const WATCHED: Duration = Duration::from_secs(180);
const KIB: u64 = 8 * 1024;

/// Who is of the next version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Newer {
    /// The controller.
    pub controller: bool,
    /// The satellites.
    pub satellites: bool,
}

/// Carries frames between the two ends until one of them ends.
pub(crate) async fn relay(newer: Newer, controller: DuplexStream, satellite: DuplexStream) {
    let (from_controller, to_controller) = tokio::io::split(controller);
    let (from_satellite, to_satellite) = tokio::io::split(satellite);
    tokio::select! {
        biased;
        // Both end with the connection, whose frames are then of no use.
        _ended = carry(from_controller, to_satellite, newer.controller.then_some(of_controller)) => {}
        _ended = carry(from_satellite, to_controller, newer.satellites.then_some(of_satellite)) => {}
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    change: Option<fn(&mut Value) -> Option<Value>>,
) -> io::Result<()> {
    loop {
        let length = from.read_u32().await? as usize;
        assert!(length <= FRAME_BYTES_MAX, "a frame above the limit");
        let mut frame = vec![0; length];
        from.read_exact(&mut frame).await?;
        let Some(change) = change else {
            write(&mut to, &frame).await?;
            continue;
        };
        let mut message: Value = serde_json::from_slice(&frame).expect("frames are JSON");
        let more = change(&mut message);
        write(&mut to, message.to_string().as_bytes()).await?;
        if let Some(more) = more {
            write(&mut to, more.to_string().as_bytes()).await?;
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    to.write_u32(frame.len() as u32).await?;
    to.write_all(frame).await?;
    to.flush().await
}

/// Gives an object more members than this version knows.
fn grow(object: Option<&mut Value>) {
    if let Some(members) = object.and_then(Value::as_object_mut) {
        members.insert("later".into(), json!({"colour": ["blue", 7]}));
    }
}

/// Does so to each element of a list, and returns them.
fn grow_each(list: Option<&mut Value>) -> Vec<&mut Value> {
    let elements = list.and_then(Value::as_array_mut).into_iter().flatten();
    let mut elements: Vec<&mut Value> = elements.collect();
    for element in &mut elements {
        grow(Some(element));
    }
    elements
}

/// What a controller of the next version writes; also a message of its own after each full sync.
fn of_controller(message: &mut Value) -> Option<Value> {
    let (name, content) = message.as_object_mut()?.iter_mut().next()?;
    let name = name.clone();
    grow(Some(content));
    if let Some(newest) = content.get_mut("protocol_max") {
        *newest = (PROTOCOL + 1).into();
    }
    for wanted in grow_each(content.get_mut("specs")) {
        if wanted["key"] == format!("resource/{NEEDY}") {
            let requires = wanted.as_object_mut()?.entry("requires");
            requires
                .or_insert(json!([]))
                .as_array_mut()?
                .push(FEATURE.into());
        }
        let spec = &mut wanted["spec"];
        grow(Some(spec));
        grow_each(spec.get_mut("pools"));
        grow_each(spec.get_mut("volumes"));
        grow_each(spec.get_mut("once"));
        for layer in spec
            .get_mut("layers")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let Some(drbd) = layer.get_mut("drbd") else {
                continue;
            };
            grow(Some(drbd));
            grow_each(drbd.get_mut("peers"));
            grow_each(drbd.get_mut("volumes"));
        }
    }
    if name == "apply" {
        // An object of a kind that only the next version has.
        let clone = json!({"key": "clone/r1/s1", "uuid": uuid::Uuid::from_u128(77), "spec": {"resource": "r1"}});
        content["specs"].as_array_mut()?.push(clone);
    }
    (name == "sync_end").then(|| json!({"rehearse": {"generation": 1}}))
}

/// What a satellite of the next version writes; also a message of its own after each full sync.
fn of_satellite(message: &mut Value) -> Option<Value> {
    let (name, content) = message.as_object_mut()?.iter_mut().next()?;
    let name = name.clone();
    grow(Some(content));
    if let Some(info) = content.get_mut("info") {
        grow(Some(info));
        for (list, more) in [("layers", "TELEPORT"), ("providers", "TAPE")] {
            info[list].as_array_mut()?.push(more.into());
        }
        info["unsupported_layers"]["WORMHOLE"] = json!(["there is none here"]);
        info["unsupported_providers"]["PAPER"] = json!(["it is wet"]);
    }
    grow(content.get_mut("outcome"));
    grow_each(content.get_mut("pools"));
    for resource in grow_each(content.get_mut("resources")) {
        grow(resource.get_mut("drbd"));
        for volume in grow_each(resource.get_mut("volumes")) {
            let extra = volume.as_object_mut()?.entry("extra_storage");
            extra
                .or_insert(json!({}))
                .as_object_mut()?
                .insert(".time".into(), json!({"size_kib": 4}));
        }
    }
    (name == "synced").then(|| json!({"confess": {"generation": 1}}))
}

/// How it went when some were of the next version, and then all of this one.
pub fn mixed(shape: Shape, newer: Newer) -> Report {
    on_own_runtime(async move {
        let mut run = Run::new(Parameters::untroubled(shape), Trace::new(false)).await;
        run.sim.net.set_newer(newer);
        run.register().await;
        play(&mut run, newer).await;
        run.end().await
    })
}

async fn play(run: &mut Run, newer: Newer) {
    let drbd = run.sim.shape.drbd.is_some();
    let spawn = |name: &str| Op::Spawn {
        name: name.to_owned(),
        kib: KIB,
        place: 2,
        drbd,
    };
    let name = || "r1".to_owned();
    run.ask(spawn("r1"));
    run.ask(spawn("r2"));
    run.come_to_rest("made").await;
    run.ask(Op::Grow {
        name: name(),
        kib: 2 * KIB,
    });
    run.come_to_rest("grown").await;
    let node = replica_of_r1(&run.sim);
    for active in [false, true] {
        run.ask(Op::SetActive {
            name: name(),
            node: node.clone(),
            active,
        });
        run.come_to_rest("deactivated and activated").await;
    }
    run.sim.kill_satellite(&node).await;
    run.sim.start_satellite(&node);
    run.sim.kill_controller().await;
    run.sim.start_controller().await;
    run.ask(Op::DeleteDefinition {
        name: "r2".to_owned(),
    });
    run.come_to_rest("deleted").await;
    run.ask(spawn(NEEDY));
    sleep(WATCHED).await;
    is_needy_explained(&mut run.sim, newer);
    run.sim.net.set_newer(Newer::default());
    run.come_to_rest("all of this version").await;
}

fn replica_of_r1(sim: &Sim) -> String {
    let model = sim.cluster().expect("it runs").model();
    let mut replicas = model
        .resources
        .values()
        .filter(|row| row.name.as_str() == "r1");
    replicas.next().expect("it was made").node.to_string()
}

/// The resource that needs a feature of the next version has failed on each of its nodes if the controller is of that
/// version, with the reason, and the others have not.
fn is_needy_explained(sim: &mut Sim, newer: Newer) {
    let cluster = sim.cluster().expect("it runs");
    let (model, observed) = (cluster.model(), cluster.observed());
    for replica in model.resources.values() {
        let row = RowKey::Resource(replica.name.clone(), replica.node.clone());
        let fails = newer.controller && replica.name.as_str() == NEEDY;
        let expected = match observed.applied.get(&row).map(|applied| &applied.outcome) {
            Some(Outcome::Failed { replies }) => {
                let text = format!("{replies:?}");
                fails && text.contains(FEATURE)
            }
            Some(Outcome::Done) => !fails,
            Some(Outcome::Waiting { .. }) | None => false,
        };
        if !expected {
            let found = observed.applied.get(&row);
            sim.failures
                .push(format!("{newer:?}: {row} has come to {found:?}"));
        }
    }
    let explained = cluster.jobs().iter().any(|job| {
        let of_needy = job.obj_refs.get("RscDfn").is_some_and(|name| name == NEEDY);
        of_needy
            && job
                .last_error
                .as_ref()
                .is_some_and(|error| error.contains(FEATURE))
    });
    if explained != newer.controller {
        sim.failures
            .push(format!("{newer:?}: the jobs are {:?}", cluster.jobs()));
    }
}
