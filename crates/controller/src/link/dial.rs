//! One link's life: dial, talk, find out why the talk ended, wait, dial again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use linstor_api::kind::{ConnectionStatus, Encryption};
use linstor_api::prop;
use linstor_model::name::NodeName;
use linstor_model::observed::NodeStatus;
use linstor_model::{HostFacts, Model, Node};
use linstor_net::{ControllerSide, NetError};
use linstor_wire::message::{NewerController, PROTOCOL, PROTOCOL_MIN, RefusalKind};
use linstor_wire::status::NodeInfo;
use linstor_wire::{ToController, ToSatellite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::session::Session;
use super::{Connector, Target, Timing, chain, targets};
use crate::cluster::Cluster;
use crate::mailbox::Mailbox;

/// What a person can do about a satellite that obeys another controller.
const TAKE_OVER: &str = "The database of this controller is an older copy. If it is the one to go on with, make sure that no \
     other controller of the cluster runs, then run 'linstor controller take-over'.";

/// A link to one satellite.
pub(super) struct Link {
    pub(super) cluster: Cluster,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) timing: Timing,
    pub(super) node: NodeName,
    pub(super) uuid: Uuid,
    pub(super) mailbox: Arc<Mailbox>,
}

/// Why there is no connection (any more).
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ConnectionStatus,
    pub(super) reason: String,
    /// The controller that the satellite obeys instead.
    pub(super) newer: Option<NewerController>,
}

/// How a connection came to its end.
enum End {
    /// By itself.
    Ended(Ended),
    /// A request asks for a new one.
    Reconnect,
}

impl Ended {
    pub(super) fn offline(reason: impl Into<String>) -> Ended {
        Ended {
            newer: None,
            status: ConnectionStatus::Offline,
            reason: reason.into(),
        }
    }

    pub(super) fn broken(error: &NetError) -> Ended {
        Ended::offline(chain(error))
    }
}

impl Link {
    /// Keeps the node connected until stopped.
    pub(super) async fn run(self, stop: CancellationToken) {
        self.set_status(ConnectionStatus::Offline, None);
        let mut failures: u32 = 0;
        // The epoch that the satellite obeyed last.
        let mut obeyed = None;
        let mut first = true;
        loop {
            if !std::mem::take(&mut first) {
                self.cluster.shared.requests.reconnect(&self.node);
            }
            let attempt = AssertUnwindSafe(self.attempt(failures, &mut obeyed)).catch_unwind();
            let ended = tokio::select! {
                biased;
                // Cancel-safe: a flag. Dropping the attempt closes its connection.
                () = stop.cancelled() => return,
                // Never dropped for another arm except at the end.
                ended = attempt => ended,
            };
            let was_online = self.cluster.observed().is_online(&self.node);
            match ended {
                Ok(End::Reconnect) => {
                    failures = 0;
                    self.set_status(ConnectionStatus::Offline, None);
                    continue;
                }
                Ok(End::Ended(ended)) => {
                    let newer = ended.newer;
                    self.note(was_online, ended);
                    if let Some(newer) = newer {
                        self.cluster.refused(&self.node, newer, obeyed).await;
                    }
                }
                Err(_) => {
                    let reason = "the link ended because of a fault in the controller";
                    self.note(was_online, Ended::offline(reason));
                }
            }
            // After a loss the active net interface has its turn again.
            failures = if was_online {
                0
            } else {
                failures.saturating_add(1)
            };
            tokio::select! {
                biased;
                // Cancel-safe: a flag.
                () = stop.cancelled() => return,
                // Cancel-safe: the notice is consumed only when this arm wins.
                () = self.mailbox.reconnect.notified() => failures = 0,
                // Cancel-safe: a timer.
                () = tokio::time::sleep(self.backoff(failures)) => {}
            }
        }
    }

    /// Longer with each failure, and never the same for two links.
    fn backoff(&self, failures: u32) -> Duration {
        let doubled = self
            .timing
            .backoff_min
            .saturating_mul(1 << failures.saturating_sub(1).min(16));
        self.cluster
            .env()
            .jittered(doubled.min(self.timing.backoff_max))
    }

    fn note(&self, was_online: bool, ended: Ended) {
        if was_online {
            tracing::warn!(node = %self.node, reason = ended.reason, "the connection to the satellite was lost");
        } else {
            tracing::debug!(node = %self.node, reason = ended.reason, "the satellite could not be reached");
        }
        self.set_status(ended.status, Some(ended.reason));
    }

    /// One connection from its first byte to its last.
    async fn attempt(&self, failures: u32, obeyed: &mut Option<u64>) -> End {
        let (connection, encryption) = match self.connect(failures).await {
            Ok((connection, encryption, epoch)) => {
                *obeyed = Some(epoch);
                (connection, encryption)
            }
            Err(ended) => return End::Ended(ended),
        };
        // A request for a new connection up to now has got one. To dial again at once would only make the
        // satellite choose between two connections.
        let _ = self.mailbox.reconnect.notified().now_or_never();
        tokio::select! {
            biased;
            // Cancel-safe: the notice is consumed only when this arm wins. Dropping the session closes its connection.
            () = self.mailbox.reconnect.notified() => End::Reconnect,
            // Never dropped for another arm except to end the connection.
            ended = Session::new(self, encryption).run(connection) => End::Ended(ended),
        }
    }

    /// Dials, and is welcomed. Net interfaces take turns, the active one first.
    async fn connect(&self, failures: u32) -> Result<(ControllerSide, Encryption, u64), Ended> {
        let model = self.cluster.model();
        let targets = model
            .node(&self.node)
            .map(|node| targets(node))
            .unwrap_or_default();
        if targets.is_empty() {
            return Err(Ended {
                newer: None,
                status: ConnectionStatus::NoStltConn,
                reason: "no net interface has a satellite port and an encryption type".into(),
            });
        }
        let target = &targets[failures as usize % targets.len()];
        let connect_max = self.timing.connect_max;
        let mut connection = timeout(connect_max, self.connector.connect(target))
            .await
            .map_err(|_| {
                let address = target.address;
                Ended::offline(format!("no answer from {address} within {connect_max:?}"))
            })?
            .map_err(Ended::offline)?;
        let (version, info) = timeout(self.timing.welcome_max, self.greet(&model, &mut connection))
            .await
            .map_err(|_| Ended::offline("the satellite did not answer the first frame"))??;
        self.learn_host(Some(target), &info).await?;
        self.set_connected(version, info);
        Ok((connection, target.encryption, model.epoch.number))
    }

    /// Sends `Hello` and receives the answer.
    async fn greet(
        &self,
        model: &Model,
        connection: &mut ControllerSide,
    ) -> Result<(String, NodeInfo), Ended> {
        let hello = ToSatellite::Hello {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_id: model.controller.cluster_id,
            epoch: model.epoch.number,
            start: model.epoch.start,
            node_name: self.node.clone(),
            node_uuid: self.uuid,
        };
        let sent = connection.send(&hello).await;
        sent.map_err(|error| Ended::broken(&error))?;
        match connection.next().await {
            Ok(Some(ToController::Welcome {
                protocol,
                version,
                info,
            })) if (PROTOCOL_MIN..=PROTOCOL).contains(&protocol) => Ok((version, info)),
            Ok(Some(ToController::Welcome {
                protocol, version, ..
            })) => Err(Ended {
                newer: None,
                status: ConnectionStatus::VersionMismatch,
                reason: format!(
                    "satellite {version} speaks protocol {protocol}, this controller {PROTOCOL_MIN} to {PROTOCOL}"
                ),
            }),
            Ok(Some(ToController::Refused {
                kind,
                message,
                newer,
            })) => Err(refused(kind, message, newer)),
            Ok(Some(_)) => Err(Ended {
                newer: None,
                status: ConnectionStatus::AuthenticationError,
                reason: "the satellite answered the first frame with another message".into(),
            }),
            Ok(None) => Err(Ended::offline("the satellite closed the connection")),
            Err(error @ NetError::NotUnderstood { .. }) => Err(Ended {
                newer: None,
                status: ConnectionStatus::AuthenticationError,
                reason: chain(&error),
            }),
            Err(error) => Err(Ended::broken(&error)),
        }
    }

    /// Stores what plans need to know of the host while it is away, and refuses a host that is another node already.
    ///
    /// `target` is the address of a new connection. Returns whether the facts were stored: if not, the satellite is
    /// still more useful connected than not.
    pub(super) async fn learn_host(
        &self,
        target: Option<&Target>,
        info: &NodeInfo,
    ) -> Result<bool, Ended> {
        let (name, uuid) = (self.node.clone(), self.uuid);
        let (reported, net_if) = (info.clone(), target.map(|target| target.net_if.to_string()));
        let committed = self.cluster.commit(move |draft| {
            if let Some(other) = twin(draft.nodes.values(), uuid, &reported.uname) {
                return Ok(Some(other));
            }
            if draft.node(&name).is_some_and(|node| node.uuid == uuid) {
                draft.edit_node(&name, |node| {
                    if let Some(net_if) = net_if {
                        node.props.insert(prop::CUR_STLT_CONN_NAME.into(), net_if);
                    }
                    let uname = reported.uname.clone();
                    node.props.insert(prop::NODE_UNAME.into(), uname);
                    node.host = Some(host_facts(&reported, node.host.as_ref()));
                });
            }
            Ok(None)
        });
        match committed.await {
            Ok(committed) => match committed.value {
                None => Ok(true),
                Some(other) => Err(Ended {
                    newer: None,
                    status: ConnectionStatus::DuplicateUname,
                    reason: format!(
                        "the name of its host is '{}', as is that of the host of node '{other}'",
                        info.uname
                    ),
                }),
            },
            // The writer has logged why.
            Err(_) => Ok(false),
        }
    }

    /// Notes a state and why it is so.
    pub(super) fn set_status(&self, connection: ConnectionStatus, reason: Option<String>) {
        self.cluster
            .observe_node(&self.node, connection, |status| status.reason = reason);
    }

    fn set_connected(&self, version: String, info: NodeInfo) {
        let connection = ConnectionStatus::Connected;
        self.cluster
            .observe_node(&self.node, connection, |status: &mut NodeStatus| {
                status.reason = None;
                status.version = Some(version);
                status.info = Some(Arc::new(info));
            });
    }
}

/// A node without a link is offline, and no connection is attempted.
pub(super) fn set_unlinked(cluster: &Cluster, node: &NodeName) {
    cluster.observe_node(node, ConnectionStatus::Offline, |status| {
        status.reason = Some("the controller does not connect to this node".into());
    });
}

impl Cluster {
    /// Closes the connection to a node's satellite, if there is one, and dials again at once; an attempt that is under
    /// way continues. A wait that begins afterwards ([`Cluster::wait_connected`]) waits for the outcome.
    pub fn reconnect(&self, node: &NodeName) {
        // What was known of the connection no longer counts: the next attempt decides.
        self.observe_node(node, ConnectionStatus::Offline, |status| {
            status.reason = None;
        });
        self.shared.mailboxes.reconnect(node);
    }
}

pub(super) fn refused(kind: RefusalKind, message: String, newer: Option<NewerController>) -> Ended {
    let status = match kind {
        RefusalKind::Version => ConnectionStatus::VersionMismatch,
        RefusalKind::Identity => ConnectionStatus::AuthenticationError,
        RefusalKind::OlderEpoch => ConnectionStatus::OtherController,
    };
    Ended {
        status,
        reason: match newer {
            Some(_) => format!("{message} {TAKE_OVER}"),
            None => message,
        },
        newer,
    }
}

/// What is stored of a satellite's report. A node whose DRBD was not found keeps the kind that it had: replicas with
/// metadata of that kind are on it, and it is what the node will have again.
fn host_facts(info: &NodeInfo, before: Option<&HostFacts>) -> HostFacts {
    let uname = info.uname.clone();
    let (providers, layers) = (info.providers.clone(), info.layers.clone());
    match (&info.drbd, before) {
        (Some(drbd), _) => HostFacts {
            uname,
            providers,
            layers,
            drbd: Some(drbd.kind),
            drbd_version: Some(drbd.version.clone()),
            digests: info.digests.clone(),
        },
        (None, Some(before)) => HostFacts {
            uname,
            providers,
            layers,
            ..before.clone()
        },
        (None, None) => HostFacts {
            uname,
            providers,
            layers,
            drbd: None,
            drbd_version: None,
            digests: info.digests.clone(),
        },
    }
}

/// Another node whose host has this name.
fn twin<'a>(
    mut nodes: impl Iterator<Item = &'a Arc<Node>>,
    uuid: Uuid,
    uname: &str,
) -> Option<NodeName> {
    let other = nodes.find(|node| {
        let host = node.host.as_ref();
        node.uuid != uuid && host.is_some_and(|host| host.uname.eq_ignore_ascii_case(uname))
    });
    other.map(|node| node.name.clone())
}
