//! The links to the satellites: one task per node, which dials, synchronises, keeps up with commits and takes reports.
//!
//! Reading order: this file (which links there are), [`crate::mailbox`] (what a link has still to send), [`dial`] (one
//! link's life across connections), [`session`] (one connection).

mod dial;
mod session;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use linstor_api::kind::Encryption;
use linstor_model::Model;
use linstor_model::Node;
use linstor_model::name::{NetInterfaceName, NodeName};
use linstor_net::ControllerSide;
use linstor_tls::{Names, TlsError};
use rustls::pki_types::ServerName;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::config::Netcom;

/// Where a satellite is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node.
    pub node: NodeName,
    /// The net interface.
    pub net_if: NetInterfaceName,
    /// Its address, with the satellite's port.
    pub address: SocketAddr,
    /// How to talk.
    pub encryption: Encryption,
}

/// Makes connections to satellites: TCP in the real world, pipes in the simulation.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Connects; the error is for a person and names the address.
    async fn connect(&self, target: &Target) -> Result<ControllerSide, String>;
}

/// Connects over TCP, and encrypts where the net interface says so.
#[derive(Default)]
pub struct TcpConnector {
    tls: Option<TlsConnector>,
}

impl TcpConnector {
    /// With the certificates of the settings.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn new(netcom: Option<&Netcom>) -> Result<TcpConnector, String> {
        let Some(netcom) = netcom else {
            return Ok(TcpConnector::default());
        };
        let failed = |error: TlsError| error.to_string();
        let own = netcom.certificate.read().map_err(failed)?;
        let satellites = netcom.satellites.read().map_err(failed)?;
        // As with LINSTOR: who has a certificate of the authority is trusted, at whatever address.
        let config = linstor_tls::client(satellites, Names::Ignored, Some(&own))?;
        Ok(TcpConnector {
            tls: Some(TlsConnector::from(Arc::new(config))),
        })
    }
}

#[async_trait]
impl Connector for TcpConnector {
    async fn connect(&self, target: &Target) -> Result<ControllerSide, String> {
        let address = target.address;
        let tls = match (target.encryption, &self.tls) {
            (Encryption::Plain, _) => None,
            (Encryption::Ssl, Some(tls)) => Some(tls),
            (Encryption::Ssl, None) => {
                return Err(format!(
                    "{address} is for SSL, and this controller has no certificate for links to satellites: add section \
                     [netcom] to linstor.toml and restart it"
                ));
            }
        };
        let dialled = linstor_net::tcp::dial(address, Timing::default().connect_max).await;
        let stream = dialled.map_err(|error| chain(&error))?;
        let Some(tls) = tls else {
            return Ok(ControllerSide::new(stream));
        };
        let name = ServerName::from(address.ip());
        let encrypted = tls.connect(name, stream).await;
        let stream = encrypted.map_err(|error| {
            format!("{address} and this controller do not come to terms over TLS: {error}")
        })?;
        Ok(ControllerSide::new(stream))
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Intervals and limits of a link.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How often the satellite is asked whether it is there.
    pub ping_every: Duration,
    /// A connection on which nothing was heard for this long is lost.
    pub silence_max: Duration,
    /// How long an attempt to connect may take.
    pub connect_max: Duration,
    /// How long the satellite may take to answer the first frame: it reads its own state and probes its tools before.
    pub welcome_max: Duration,
    /// How long after a first failure the next attempt begins at the latest.
    pub backoff_min: Duration,
    /// How long after many failures the next attempt begins at the latest.
    pub backoff_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            ping_every: Duration::from_secs(1),
            silence_max: Duration::from_secs(5),
            connect_max: Duration::from_secs(5),
            welcome_max: Duration::from_secs(40),
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(10),
        }
    }
}

/// What a link depends on: when it changes, the link is made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    uuid: Uuid,
    /// Where to dial first; none when no net interface can be used.
    active: Option<Target>,
}

/// Where a node's satellite may be reached, the active net interface first. Where that is encrypted no other kind counts: whoever
/// keeps it from working must not get to see what would go over it.
fn targets(node: &Node) -> Vec<Target> {
    let usable = node.net_interfaces.iter().filter_map(|net_if| {
        let target = Target {
            node: node.name.clone(),
            net_if: net_if.name.clone(),
            address: SocketAddr::new(net_if.address, net_if.satellite_port?),
            encryption: net_if.encryption?,
        };
        Some((!net_if.active, target))
    });
    let mut usable: Vec<(bool, Target)> = usable.collect();
    // Stable: the others remain in the order they were created.
    usable.sort_by_key(|(inactive, _)| *inactive);
    if usable
        .first()
        .is_some_and(|(_, first)| first.encryption == Encryption::Ssl)
    {
        usable.retain(|(_, target)| target.encryption == Encryption::Ssl);
    }
    usable.into_iter().map(|(_, target)| target).collect()
}

/// The links that a model asks for. A node that was given up on is not dialled.
fn wanted(model: &Model) -> BTreeMap<NodeName, Identity> {
    if model.held.is_cluster_unknown() {
        // Satellites would refuse to be called in another cluster's name, or, new ones, join it.
        return BTreeMap::new();
    }
    let nodes = model.satellites().filter(|node| !node.evicted);
    let identities = nodes.map(|node| {
        let identity = Identity {
            uuid: node.uuid,
            active: targets(node).into_iter().next(),
        };
        (node.name.clone(), identity)
    });
    identities.collect()
}

/// A link that runs.
struct Running {
    identity: Identity,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends the link. Quick: it waits for nothing that cannot be dropped.
    async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the connection to a satellite ended with an error");
        }
    }
}

/// Keeps one link per satellite until shutdown.
pub(crate) async fn run(
    cluster: Cluster,
    connector: Arc<dyn Connector>,
    timing: Timing,
    shutdown: CancellationToken,
) {
    let mut links: BTreeMap<NodeName, Running> = BTreeMap::new();
    loop {
        let wanted = wanted(&cluster.model());
        for (node, running) in std::mem::take(&mut links) {
            if wanted.get(&node) == Some(&running.identity) {
                links.insert(node, running);
            } else {
                // The old link has ended before a new one reports anything about the node.
                running.stop().await;
                cluster.shared.mailboxes.close(&node);
                dial::set_unlinked(&cluster, &node);
            }
        }
        for (node, identity) in wanted {
            if links.contains_key(&node) {
                continue;
            }
            let link = dial::Link {
                cluster: cluster.clone(),
                connector: Arc::clone(&connector),
                timing: timing.clone(),
                uuid: identity.uuid,
                mailbox: cluster.shared.mailboxes.open(&node),
                node: node.clone(),
            };
            let stop = CancellationToken::new();
            let task = tokio::spawn(link.run(stop.clone()));
            let running = Running {
                identity,
                stop,
                task,
            };
            links.insert(node, running);
        }
        tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => break,
            // Cancel-safe: the notice is consumed only when this arm wins; the model is read afterwards.
            () = cluster.shared.mailboxes.nodes_changed.notified() => {}
        }
    }
    for running in links.into_values() {
        running.stop().await;
    }
}
