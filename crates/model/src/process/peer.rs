//! A snapshot that another cluster sends: what [`RestoreBackup`] has to know of that cluster, and what has to be said to it.
//!
//! What has to be said is said by the task for shipments, which reads it here ([`RestoreBackup::call`]), and notes in the same row
//! that it was said. All of it can be said again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_wire::Secret;
use linstor_wire::spec::{InboundSpec, ShippingLink};
use linstor_wire::status::Outcome;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::restore_backup::{RestoreBackup, Step};
use super::ship_snapshot::silence_limit;
use super::{Context, Kind, Process, ProcessId};
use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, SnapshotName};
use crate::numbers::{Ranges, TCP_PORTS, Used, blocked_ports};
use crate::row::is_default;

/// Range of the ports that nodes receive snapshots of other clusters on, unless a property has another one.
const DEFAULT_PORTS: &str = "12000-12999";

/// A cluster that sends a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its identity.
    pub cluster: Uuid,
    /// Name of the resource definition there.
    pub resource: String,
    /// Name of the snapshot there.
    pub snapshot: String,
    /// What it calls its remote that is this cluster.
    pub remote: String,
    /// What it calls the shipment.
    pub label: String,
    /// Names the shipment on the connection of the nodes.
    pub shipment: Uuid,
    /// Address of the node that receives.
    pub address: IpAddr,
    /// The TCP port that it listens on.
    pub port: u16,
    /// Ports that other programs of the node listen on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub busy: BTreeSet<u16>,
    /// The certificate of this side with its key, PEM.
    #[serde(with = "linstor_wire::secret::in_store")]
    pub identity: Secret,
    /// The certificate of the node that sends, PEM.
    pub certificate: String,
    /// The snapshot that it is based on; none if all of it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// It knows where to send it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub announced: bool,
    /// It knows that it is not received, or has said so itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub told: bool,
}

/// The snapshot that one is based on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its name.
    pub snapshot: SnapshotName,
    /// Its identity.
    pub uuid: Uuid,
}

/// What has to be said to the cluster that sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Where it is to be sent.
    Announce,
    /// How it ended.
    End,
}

/// A port that nothing is received on, and that no other program listens on; none if there is none left.
pub fn free_port(model: &Model, node: &NodeName, busy: &BTreeSet<u16>) -> Option<u16> {
    let key = prop::BACKUP_SHIPPING_TCP_PORT_RANGE;
    let of_node = model.node(node).and_then(|row| row.props.get(key));
    let set = of_node.or_else(|| model.controller.props.get(key));
    let read = |text: &str| Ranges::parse(text, &TCP_PORTS).ok();
    let ranges = set
        .and_then(|text| read(text))
        .or_else(|| read(DEFAULT_PORTS))?;
    let mut used = Used::default();
    let received = model
        .processes
        .values()
        .filter_map(|process| match &process.kind {
            Kind::RestoreBackup(of) if of.node == *node => Some(of.peer.as_ref()?.port),
            _ => None,
        });
    for port in received
        .chain(busy.iter().copied())
        .collect::<BTreeSet<_>>()
    {
        used.insert(u32::from(port));
    }
    let free = ranges.lowest_free(&used, &blocked_ports(model, node))?;
    u16::try_from(free).ok()
}

/// Notes that it knows where to send it.
pub fn announced(draft: &mut Draft, id: ProcessId, port: u16) {
    change(draft, id, |of| {
        if let Some(peer) = of.peer.as_mut().filter(|peer| peer.port == port) {
            peer.announced = true;
        }
    });
}

/// Notes that it has to be told again where to send it.
pub fn announce_again(draft: &mut Draft, id: ProcessId) {
    change(draft, id, |of| {
        if let Some(peer) = &mut of.peer {
            peer.announced = false;
        }
    });
}

/// Notes that it knows how it ended, or cannot be told.
pub fn told(draft: &mut Draft, id: ProcessId) {
    let Some(of) = draft.restoration(id) else {
        return;
    };
    match of.step {
        Step::Report => {
            draft.remove(&RowKey::Process(id));
        }
        Step::Abandon => change(draft, id, |of| {
            if let Some(peer) = &mut of.peer {
                peer.told = true;
            }
        }),
        Step::Receive | Step::Clear | Step::Restore => {}
    }
}

/// Notes that it has aborted the shipment: it need not be told. The process is still to be cancelled.
pub fn aborted(draft: &mut Draft, id: ProcessId) {
    change(draft, id, |of| {
        if let Some(peer) = &mut of.peer {
            peer.told = true;
        }
    });
}

fn change(draft: &mut Draft, id: ProcessId, change: impl FnOnce(&mut RestoreBackup)) {
    let Some(process) = draft.processes.get(&id).cloned() else {
        return;
    };
    let Kind::RestoreBackup(of) = &process.kind else {
        return;
    };
    let mut changed = of.clone();
    change(&mut changed);
    draft.put_process(Process {
        kind: changed.into(),
        ..Process::clone(&process)
    });
}

impl Peer {
    /// What the node has to receive.
    pub(crate) fn spec(&self, model: &Model, of: &RestoreBackup) -> Option<InboundSpec> {
        let base = match &self.base {
            Some(base) => Some(of.shipment().base(model, &base.snapshot, base.uuid)?),
            None => None,
        };
        let limit = silence_limit(model, &of.resource, &of.node);
        Some(InboundSpec {
            id: of.id,
            shipment: self.shipment,
            port: self.port,
            link: ShippingLink {
                own: self.identity.clone(),
                peer: self.certificate.clone(),
            },
            limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            base,
        })
    }
}

impl RestoreBackup {
    /// What has to be said now to the cluster that sends it.
    pub fn call(&self) -> Option<Call> {
        let peer = self.peer.as_ref()?;
        match self.step {
            Step::Receive if !peer.announced => Some(Call::Announce),
            Step::Report => Some(Call::End),
            Step::Abandon if !peer.told => Some(Call::End),
            Step::Receive | Step::Clear | Step::Restore | Step::Abandon => None,
        }
    }

    /// The same at another port, where another program of the node listens on this one.
    pub(super) fn at_another_port(&self, process: &Process, now: &Context<'_>) -> Option<Kind> {
        let peer = self.peer.as_ref()?;
        let row = now.draft.snapshot(&self.resource, &self.snapshot)?;
        let key = (&self.resource, &self.snapshot, &self.node);
        let applied = now
            .observed
            .snapshot_applied(key, row.on(&self.node)?.uuid)?;
        let Outcome::Failed { replies } = &applied.outcome else {
            return None;
        };
        let is_port = |reply: &Reply| {
            let bare = code::MASK_BITS_TYPE | code::MASK_BITS_CODE;
            reply.ret_code & bare == code::FAIL_POOL_EXHAUSTED_BACKUP_SHIPPING_TCP_PORT & bare
        };
        if applied.generation < process.since.generation || !replies.iter().any(is_port) {
            return None;
        }
        let mut busy = peer.busy.clone();
        busy.insert(peer.port);
        let port = free_port(now.draft, &self.node, &busy)?;
        let peer = Peer {
            port,
            busy,
            announced: false,
            ..peer.clone()
        };
        Some(
            RestoreBackup {
                peer: Some(peer),
                ..self.clone()
            }
            .into(),
        )
    }
}

impl Model {
    /// The shipments of a cluster that are being received.
    pub fn received_from(
        &self,
        cluster: Uuid,
    ) -> impl Iterator<Item = (ProcessId, &RestoreBackup, &Peer)> {
        self.processes.values().filter_map(move |process| {
            let Kind::RestoreBackup(of) = &process.kind else {
                return None;
            };
            let peer = of.peer.as_ref().filter(|peer| peer.cluster == cluster)?;
            Some((process.id, of, peer))
        })
    }
}
