//! I/O that a controller suspended is resumed, whichever process is killed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use linstor_wire::message::{PROTOCOL, PROTOCOL_MIN, SuspensionState};
use linstor_wire::{ToController, ToSatellite};
use serde::Deserialize;
use uuid::Uuid;

use super::{create_both, delete, device, undoing, wait_for_node};
use crate::cluster::Cluster;
use crate::lab::{Background, Exec, Node};

/// The requested lease in cases where another event ends the suspension.
const LEASE: Duration = Duration::from_secs(30);
/// Limit for I/O to be served after the end of the suspension.
const PROMPT: Duration = Duration::from_secs(4);
/// Time for which I/O is checked to be suspended before an event ends the suspension.
const HELD: Duration = Duration::from_secs(2);
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
const SATELLITE_PORT: u16 = 3366;

/// Tests a DRBD volume and a logical volume without DRBD, both written on one node.
pub fn ends(cluster: &mut Cluster) -> Result<()> {
    let node = cluster.node(2);
    create_both(cluster, "frozen", ["node2", "node3"])?;
    cluster
        .lab
        .exec_ok(node, &["drbdadm", "primary", "frozen"])?;
    create_plain(cluster, "stopped")?;
    let devices = [
        ("frozen", device(cluster, "frozen", node)?),
        ("stopped", device(cluster, "stopped", node)?),
    ];
    // From here on this program acts as the controller.
    cluster.kill_controller()?;
    let begun = devices
        .iter()
        .try_for_each(|(resource, device)| each_order(cluster, node, resource, device));
    let ended = undoing(
        || begun,
        || {
            // The last case leaves a running satellite; a failed case may not.
            if cluster.lab.connect(node, SATELLITE_PORT).is_err() {
                cluster.start_satellite(node)?;
            }
            Ok(())
        },
    );
    cluster.start_controller()?;
    wait_for_node(cluster, "node2", "ONLINE")?;
    ended?;
    cluster
        .lab
        .exec_ok(node, &["drbdadm", "secondary", "frozen"])?;
    delete(cluster, "frozen")?;
    delete(cluster, "stopped")
}

fn create_plain(cluster: &Cluster, name: &str) -> Result<()> {
    let layers = ["--layer-list", "storage"];
    cluster.linstor(&[&["resource-definition", "create", name], &layers[..]].concat())?;
    cluster.linstor(&["volume-definition", "create", name, "20M"])?;
    let create = [
        "resource",
        "create",
        "node2",
        name,
        "--storage-pool",
        "pool",
    ];
    cluster.linstor(&create).map(drop)
}

/// Every order in which controller and satellite can be killed.
fn each_order(cluster: &Cluster, node: Node, resource: &str, device: &str) -> Result<()> {
    let suspend = |lease| Suspended::begin(cluster, node, resource, device, lease);
    let restart = || {
        cluster.kill_satellite(node)?;
        cluster.start_satellite(node)
    };

    let held = suspend(HELD)?;
    held.ends_within(HELD + PROMPT)
        .context("the lease expires")?;

    let held = suspend(LEASE)?.holds()?.without_controller();
    held.ends_within(PROMPT)
        .context("the controller is killed")?;

    let held = suspend(LEASE)?.holds()?;
    restart()?;
    held.ends_within(PROMPT)
        .context("the satellite is killed")?;

    let held = suspend(LEASE)?.holds()?;
    cluster.kill_satellite(node)?;
    let held = held.without_controller();
    cluster.start_satellite(node)?;
    held.ends_within(PROMPT)
        .context("the satellite is killed, then the controller")?;

    let held = suspend(LEASE)?.holds()?.without_controller();
    restart()?;
    held.ends_within(PROMPT)
        .context("the controller is killed, then the satellite")
}

/// Suspended I/O, and a write that waits for it.
struct Suspended<'a> {
    cluster: &'a Cluster,
    resource: &'a str,
    write: Background,
    controller: Option<Controller>,
}

impl<'a> Suspended<'a> {
    fn begin(
        cluster: &'a Cluster,
        node: Node,
        resource: &'a str,
        device: &str,
        lease: Duration,
    ) -> Result<Self> {
        let mut controller = Controller::connect(cluster, node)?;
        controller.suspend(resource, lease)?;
        let of = format!("of={device}");
        let dd = [
            "dd",
            "if=/dev/zero",
            &of,
            "bs=4k",
            "count=1",
            "oflag=direct",
        ];
        let write = cluster.lab.spawn(node, "write", Exec::new(&dd))?;
        Ok(Suspended {
            cluster,
            resource,
            write,
            controller: Some(controller),
        })
    }

    fn holds(self) -> Result<Self> {
        std::thread::sleep(HELD);
        let ended = self.cluster.lab.poll(&self.write)?;
        ensure!(ended.is_none(), "a write to '{}' was served", self.resource);
        Ok(self)
    }

    fn without_controller(mut self) -> Self {
        self.controller = None;
        self
    }

    fn ends_within(self, limit: Duration) -> Result<()> {
        let began = Instant::now();
        let ended = self.cluster.lab.wait(&self.write, limit);
        let status = ended.with_context(|| format!("I/O of '{}' is suspended", self.resource))?;
        ensure!(status.success(), "the write failed: {status}");
        println!(
            "      '{}': I/O resumed after {:.1?}",
            self.resource,
            began.elapsed()
        );
        Ok(())
    }
}

/// The controller that a satellite has accepted, from the satellite's file.
#[derive(Deserialize)]
struct Identity {
    cluster_id: Uuid,
    node_name: String,
    node_uuid: Uuid,
    epoch: u64,
    start: Uuid,
}

/// The satellite's side of a controller.
struct Controller {
    stream: TcpStream,
}

impl Controller {
    fn connect(cluster: &Cluster, node: Node) -> Result<Self> {
        let identity = cluster
            .lab
            .exec_ok(node, &["cat", "/var/lib/linstor/satellite/identity.json"])?;
        let identity: Identity = serde_json::from_str(&identity)?;
        let mut stream = None;
        cluster.wait_until("the satellite to listen", ANSWER_LIMIT, || {
            stream = cluster.lab.connect(node, SATELLITE_PORT).ok();
            Ok(stream.is_some())
        })?;
        let stream = stream.context("no connection to the satellite")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let mut controller = Controller { stream };
        controller.send(&ToSatellite::Hello {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL,
            version: "test".to_owned(),
            cluster_id: identity.cluster_id,
            epoch: identity.epoch,
            start: identity.start,
            node_name: identity.node_name.parse()?,
            node_uuid: identity.node_uuid,
        })?;
        match controller.hear()? {
            ToController::Welcome { .. } => Ok(controller),
            other => bail!("the satellite answers {other:?}"),
        }
    }

    fn suspend(&mut self, resource: &str, lease: Duration) -> Result<()> {
        let id = Uuid::new_v4();
        self.send(&ToSatellite::Suspend {
            lease: id,
            resources: vec![resource.parse()?],
            duration_ms: u64::try_from(lease.as_millis())?,
        })?;
        loop {
            match self.hear()? {
                ToController::Suspension { lease, state } if lease == id => match state {
                    SuspensionState::Suspended => return Ok(()),
                    other => bail!("I/O of '{resource}' is not suspended: {other:?}"),
                },
                _ => {}
            }
        }
    }

    fn send(&mut self, message: &ToSatellite) -> Result<()> {
        let frame = serde_json::to_vec(message)?;
        self.stream
            .write_all(&u32::try_from(frame.len())?.to_be_bytes())?;
        Ok(self.stream.write_all(&frame)?)
    }

    fn hear(&mut self) -> Result<ToController> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length))?];
        self.stream.read_exact(&mut frame)?;
        Ok(serde_json::from_slice(&frame)?)
    }
}
