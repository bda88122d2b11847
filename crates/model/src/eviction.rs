//! Automatic eviction: when a node that is offline for long is evicted, and when it is not.
//!
//! To evict a node costs the copying of all its data, so that nothing is done as long as there is another explanation
//! than a lost node: its peers still see it, or many nodes are offline, which is a fault of the network. And nothing is
//! done that another copy is needed for and is not there.

use std::fmt;

use linstor_api::drbd_state::ConnectionState;
use linstor_api::kind::ConnectionStatus;
use linstor_api::prop;

use crate::Node;
use crate::model::Model;
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;
use crate::props::is_true;

/// How long a node is offline before it is evicted, in minutes, while no property has it.
const AFTER_MINUTES_DEFAULT: u64 = 60;
/// How many of all nodes may be offline, in percent, while no property has it.
const OFFLINE_PERCENT_DEFAULT: u64 = 34;

/// Why an offline node is not evicted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StandDown {
    /// The property for that is not set: the node is being maintained, for example.
    NotAllowed,
    /// It will be at this time, in milliseconds since the Unix epoch.
    NotYet(u64),
    /// So many nodes are offline, of which only the second number may be.
    ManyOffline(usize, usize),
    /// No other node has this resource up to date.
    LastCopy(ResourceName),
}

impl fmt::Display for StandDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StandDown::NotAllowed => {
                write!(f, "{} is not set", prop::DRBD_AUTO_EVICT_ALLOW_EVICTION)
            }
            StandDown::NotYet(_) => f.write_str("it has not been offline for long enough"),
            StandDown::ManyOffline(offline, allowed) => {
                write!(
                    f,
                    "{offline} nodes are offline, of which only {allowed} may be"
                )
            }
            StandDown::LastCopy(name) => {
                write!(f, "no other node has resource '{name}' up to date")
            }
        }
    }
}

fn value<'a>(model: &'a Model, node: &'a Node, key: &str) -> Option<&'a String> {
    let of_node = node.props.get(key);
    of_node.or_else(|| model.controller.props.get(key))
}

/// Whether an offline node may ever be evicted.
pub fn is_allowed(model: &Model, node: &Node) -> bool {
    let allowed = value(model, node, prop::DRBD_AUTO_EVICT_ALLOW_EVICTION);
    node.node_type.has_satellite() && !node.evicted && allowed.is_some_and(|value| is_true(value))
}

/// When a node that is offline since then is evicted, in milliseconds since the Unix epoch.
pub fn due_at(model: &Model, node: &Node, offline_since: u64) -> u64 {
    let minutes = value(model, node, prop::DRBD_AUTO_EVICT_AFTER_TIME);
    let minutes = minutes.and_then(|text| text.parse().ok());
    offline_since + minutes.unwrap_or(AFTER_MINUTES_DEFAULT) * 60_000
}

/// Whether a peer that is online reports a connection of DRBD to the node: the node is up.
pub fn is_seen(model: &Model, observed: &Observed, node: &NodeName) -> bool {
    model.resources_on(node).any(|replica| {
        let peers = model.resources_of(&replica.name);
        let mut peers = peers.filter(|peer| peer.node != *node);
        peers.any(|peer| {
            let status = observed.live(&replica.name, &peer.node);
            let drbd = status.and_then(|status| status.drbd.as_ref());
            drbd.is_some_and(|drbd| {
                let mut connections = drbd.connections.iter();
                connections.any(|(name, state)| {
                    *state == ConnectionState::Connected && name.eq_ignore_ascii_case(node.as_str())
                })
            })
        })
    })
}

/// Whether a node is evicted that has been offline, and not been seen by its peers, since then.
pub fn check(
    model: &Model,
    observed: &Observed,
    node: &Node,
    offline_since: u64,
    now_ms: u64,
) -> Result<(), StandDown> {
    if !is_allowed(model, node) {
        return Err(StandDown::NotAllowed);
    }
    let due_at = due_at(model, node, offline_since);
    if due_at > now_ms {
        return Err(StandDown::NotYet(due_at));
    }
    let satellites: Vec<_> = model.satellites().filter(|row| !row.evicted).collect();
    let offline = satellites
        .iter()
        .filter(|row| is_offline(observed, row))
        .count();
    let percent = model
        .controller
        .props
        .get(prop::DRBD_AUTO_EVICT_MAX_DISCONNECTED_NODES);
    let percent = percent.and_then(|text| text.parse::<u64>().ok());
    let percent = percent.unwrap_or(OFFLINE_PERCENT_DEFAULT) as usize;
    let allowed = (satellites.len() * percent + 50) / 100;
    if offline > allowed {
        return Err(StandDown::ManyOffline(offline, allowed));
    }
    let last = model.resources_on(&node.name).find(|replica| {
        let with_data = replica.drbd.is_some() && !replica.is_diskless();
        let others = model.resources_of(&replica.name);
        let mut others =
            others.filter(|other| other.node != node.name && !model.is_deleting(other));
        with_data && !others.any(|other| observed.is_up_to_date(&replica.name, &other.node))
    });
    match last {
        Some(replica) => Err(StandDown::LastCopy(replica.name.clone())),
        None => Ok(()),
    }
}

/// Whether the controller cannot reach the node's satellite.
pub fn is_offline(observed: &Observed, node: &Node) -> bool {
    let status = observed.nodes.get(&node.name);
    status.is_none_or(|status| status.connection == ConnectionStatus::Offline)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use linstor_api::drbd_state::DiskState;
    use linstor_wire::status::{DrbdStatus, ResourceStatus, VolumeStatus};

    use super::*;
    use crate::place::fixture::{Cluster, cluster, node, resource};

    const HOUR: u64 = 3_600_000;
    const THREE: &str = "n1 offline: sp1 100\n n2: sp1 100\n n3: sp1 100";

    fn with_replicas(nodes: &str) -> Cluster {
        let mut cluster = cluster(nodes);
        cluster.controller_prop(prop::DRBD_AUTO_EVICT_ALLOW_EVICTION, "True");
        cluster.define("res", &[1]);
        cluster.put("res", "sp1", &["n1", "n2"]);
        report(&mut cluster, "n2", DiskState::UpToDate, &[]);
        cluster
    }

    fn report(cluster: &mut Cluster, on: &str, disk: DiskState, connected: &[&str]) {
        let connections = connected
            .iter()
            .map(|peer| ((*peer).to_owned(), ConnectionState::Connected));
        let status = ResourceStatus {
            name: "res".into(),
            drbd: Some(DrbdStatus {
                connections: connections.collect(),
                ..DrbdStatus::default()
            }),
            volumes: vec![VolumeStatus {
                disk_state: Some(disk),
                ..VolumeStatus::default()
            }],
            ..ResourceStatus::default()
        };
        let key = (resource("res"), node(on));
        cluster.observed.resources.insert(key, Arc::new(status));
    }

    fn check_n1(cluster: &Cluster, now_ms: u64) -> Result<(), StandDown> {
        let row = cluster.draft.node(&node("n1")).unwrap();
        check(&cluster.draft, &cluster.observed, row, 0, now_ms)
    }

    /// A node is evicted after its time, which a property of it or of the controller sets; not where that is forbidden.
    #[test]
    fn after_its_time() {
        let mut cluster = with_replicas(THREE);
        assert_eq!(check_n1(&cluster, HOUR - 1), Err(StandDown::NotYet(HOUR)));
        assert_eq!(check_n1(&cluster, HOUR), Ok(()));
        cluster.controller_prop(prop::DRBD_AUTO_EVICT_AFTER_TIME, "720");
        assert_eq!(check_n1(&cluster, HOUR), Err(StandDown::NotYet(12 * HOUR)));
        let set = |cluster: &mut Cluster, key: &str, value: &str| {
            cluster.draft.edit_node(&node("n1"), |row| {
                row.props.insert(key.to_owned(), value.to_owned());
            });
        };
        set(&mut cluster, prop::DRBD_AUTO_EVICT_AFTER_TIME, "60");
        assert_eq!(check_n1(&cluster, HOUR), Ok(()));
        set(&mut cluster, prop::DRBD_AUTO_EVICT_ALLOW_EVICTION, "false");
        assert_eq!(check_n1(&cluster, HOUR), Err(StandDown::NotAllowed));
    }

    /// Several nodes that are offline are a fault of the network.
    #[test]
    fn not_with_many_offline() {
        let mut cluster = with_replicas("n1 offline: sp1 100\n n2: sp1 100\n n3 offline: sp1 100");
        assert_eq!(check_n1(&cluster, HOUR), Err(StandDown::ManyOffline(2, 1)));
        cluster.controller_prop(prop::DRBD_AUTO_EVICT_MAX_DISCONNECTED_NODES, "67");
        assert_eq!(check_n1(&cluster, HOUR), Ok(()));
    }

    /// Nobody gives up the last copy.
    #[test]
    fn not_the_last_copy() {
        let mut cluster = with_replicas(THREE);
        report(&mut cluster, "n2", DiskState::Inconsistent, &[]);
        let last = StandDown::LastCopy(resource("res"));
        assert_eq!(check_n1(&cluster, HOUR), Err(last));
    }

    /// A node that its peers are connected to is up.
    #[test]
    fn peers_see_a_node() {
        let mut cluster = with_replicas(THREE);
        assert!(!is_seen(&cluster.draft, &cluster.observed, &node("n1")));
        report(&mut cluster, "n2", DiskState::UpToDate, &["n1"]);
        assert!(is_seen(&cluster.draft, &cluster.observed, &node("n1")));
    }
}
