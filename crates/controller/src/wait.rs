//! Waiting for the effect of a commit. Every wait has a deadline, and reports what it still waited for.
//!
//! A wait checks the state, and again whenever something about its definition changed. It never changes anything: when
//! its deadline has passed, the change continues as a job (see [`crate::jobs`]).

use linstor_api::code;
use linstor_api::drbd_state::{ConnectionState, DiskState};
use linstor_api::kind::ConnectionStatus;
use linstor_api::reply::Reply;
use linstor_api::sorted_map::SortedMap;
use linstor_model::Resource;
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::observed::NodeStatus;
use linstor_model::{Model, Observed};
use linstor_wire::question::{Answer, Question};
use linstor_wire::status::{Outcome, ResourceStatus};
use tokio::time::Instant;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::observing::is_connected;
use crate::waiters::poll_until;

/// What one node's part of a wait has come to.
enum Progress {
    Done(Vec<Reply>),
    /// What for, if the node has reported that.
    Waiting(Option<String>),
}

impl Cluster {
    /// Checks the state until the predicate gives an answer, each time something about the definition changed. None
    /// when the deadline passed without one.
    pub async fn wait_until<T>(
        &self,
        name: &ResourceName,
        deadline: Instant,
        mut predicate: impl FnMut(&Model, &Observed) -> Option<T>,
    ) -> Option<T> {
        let row = RowKey::ResourceDefinition(name.clone());
        let subscription = self.shared.waiters.subscribe(row);
        let poll = || predicate(&self.model(), &self.observed());
        poll_until(&subscription.notify, deadline, poll).await
    }

    /// Waits until each of the nodes has tried what a commit asks of it, or is known to be away.
    ///
    /// Returns the errors of nodes that failed, a warning for each that is away, and a warning for each that had not
    /// answered at the deadline; nothing when all went well. Nodes without a replica have nothing to do.
    pub async fn wait_applied(
        &self,
        name: &ResourceName,
        nodes: &[NodeName],
        generation: u64,
        deadline: Instant,
    ) -> Vec<Reply> {
        let definition = RowKey::ResourceDefinition(name.clone());
        let generation = self.shared.waiters.effective(&definition, generation);
        let poll = |model: &Model, observed: &Observed| {
            let mut replies = Vec::new();
            for node in nodes {
                match applied(model, observed, name, node, generation) {
                    Progress::Done(of_node) => replies.extend(of_node),
                    Progress::Waiting(_) => return None,
                }
            }
            Some(replies)
        };
        if let Some(replies) = self.wait_until(name, deadline, poll).await {
            return replies;
        }
        let (model, observed) = (self.model(), self.observed());
        let mut replies = Vec::new();
        for node in nodes {
            match applied(&model, &observed, name, node, generation) {
                Progress::Done(of_node) => replies.extend(of_node),
                Progress::Waiting(on) => {
                    let what = format!("resource '{name}'");
                    replies.push(still_applying(&what, node, on).about("RscDfn", name.as_str()));
                }
            }
        }
        replies
    }

    /// Waits until a node has tried what a commit asks of the node itself, its storage pools for example, or is known
    /// to be away. Returns what failed, or a warning when the node is away or had not answered at the deadline.
    pub async fn wait_node_applied(
        &self,
        node: &NodeName,
        generation: u64,
        deadline: Instant,
    ) -> Vec<Reply> {
        let row = RowKey::Node(node.clone());
        let generation = self.shared.waiters.effective(&row, generation);
        let tried = || {
            let (model, observed) = (self.model(), self.observed());
            match model.node(node) {
                None => Progress::Done(Vec::new()),
                Some(known) => progress(&observed, node, &row, known.uuid, generation),
            }
        };
        let poll = || match tried() {
            Progress::Done(replies) => Some(replies),
            Progress::Waiting(_) => None,
        };
        if let Some(replies) = poll_until(&self.shared.waiters.nodes, deadline, poll).await {
            return replies;
        }
        match tried() {
            Progress::Done(replies) => replies,
            Progress::Waiting(on) => vec![still_applying("its storage pools", node, on)],
        }
    }

    /// Waits until the replicas on these nodes can be used: each has access to up-to-date data and is connected to
    /// every diskful peer that is online. Returns a warning for each that is not at the deadline.
    ///
    /// A definition with a single replica, or without DRBD, needs no such wait.
    pub async fn wait_ready(
        &self,
        name: &ResourceName,
        nodes: &[NodeName],
        deadline: Instant,
    ) -> Vec<Reply> {
        let unready = |model: &Model, observed: &Observed| -> Vec<NodeName> {
            if model.resources_of(name).nth(1).is_none() {
                return Vec::new();
            }
            let not_ready = nodes
                .iter()
                .filter(|node| !is_ready(model, observed, name, node));
            not_ready.cloned().collect()
        };
        let poll =
            |model: &Model, observed: &Observed| unready(model, observed).is_empty().then_some(());
        if self.wait_until(name, deadline, poll).await.is_some() {
            return Vec::new();
        }
        unready(&self.model(), &self.observed())
            .iter()
            .map(|node| not_ready(name, node))
            .collect()
    }

    /// Asks a node something and waits for its answer. Fails when the node is away, ends the connection, or does not
    /// answer in time: what became of the question is then not known.
    pub async fn ask(
        &self,
        node: &NodeName,
        question: Question,
        deadline: Instant,
    ) -> Result<Answer, Reply> {
        if !self.observed().is_online(node) {
            let message = format!("No active connection to satellite '{node}'");
            return Err(Reply::new(code::FAIL_NOT_CONNECTED, message)
                .cause("The node is not online, so that it cannot be asked.")
                .correction("Start the satellite on the node, or wait until it is online.")
                .about("Node", node.as_str()));
        }
        let answered = self.shared.mailboxes.ask(node, question);
        let why = match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(_)) => "The connection to it was lost.",
            Err(_) => "It did not answer in time.",
        };
        let message = format!("Satellite '{node}' gave no answer.");
        Err(Reply::new(code::FAIL_NOT_CONNECTED, message)
            .cause(why)
            .correction(
                "What was asked for may have been done: look at the node, then repeat the request.",
            )
            .about("Node", node.as_str()))
    }

    /// Asks nodes to query the space of their pools and waits for their reports. Returns a warning for each node that
    /// is away or did not report in time; what is known of its pools is then out of date.
    pub async fn refresh_space(&self, nodes: &[NodeName], deadline: Instant) -> Vec<Reply> {
        let asked: Vec<(NodeName, u64)> = nodes
            .iter()
            .map(|node| (node.clone(), self.shared.mailboxes.refresh(node)))
            .collect();
        let missing = || -> Vec<Reply> {
            let observed = self.observed();
            let missing = asked.iter().filter_map(|(node, id)| {
                if self.shared.waiters.has_refreshed(node, *id) {
                    return None;
                }
                let waits = may_answer(&observed, node);
                Some((waits, node))
            });
            let replies = missing.map(|(waits, node)| {
                if waits {
                    no_report(node)
                } else {
                    not_connected(node)
                }
            });
            replies.collect()
        };
        let poll = || {
            let observed = self.observed();
            let all = asked.iter().all(|(node, id)| {
                self.shared.waiters.has_refreshed(node, *id) || !may_answer(&observed, node)
            });
            all.then(&missing)
        };
        match poll_until(&self.shared.waiters.nodes, deadline, poll).await {
            Some(replies) => replies,
            None => missing(),
        }
    }

    /// Checks what is known of a node's satellite until the predicate gives an answer; it sees none while nothing is
    /// known. None when the deadline passed without an answer.
    pub async fn wait_node<T>(
        &self,
        node: &NodeName,
        deadline: Instant,
        mut predicate: impl FnMut(Option<&NodeStatus>) -> Option<T>,
    ) -> Option<T> {
        let poll = || predicate(self.observed().nodes.get(node));
        poll_until(&self.shared.waiters.nodes, deadline, poll).await
    }

    /// Waits until a node is online or an attempt to connect to it has failed. Returns the node's status, none when
    /// neither happened in time.
    pub async fn wait_connected(&self, node: &NodeName, deadline: Instant) -> Option<NodeStatus> {
        let answer = |status: Option<&NodeStatus>| {
            let status = status?;
            let settled = status.connection == ConnectionStatus::Online || status.reason.is_some();
            settled.then(|| status.clone())
        };
        self.wait_node(node, deadline, answer).await
    }
}

fn applied(
    model: &Model,
    observed: &Observed,
    name: &ResourceName,
    node: &NodeName,
    generation: u64,
) -> Progress {
    let Some(replica) = model.resource(name, node) else {
        return Progress::Done(Vec::new());
    };
    let row = RowKey::Resource(name.clone(), node.clone());
    progress(observed, node, &row, replica.uuid, generation)
}

/// What a node has come to with an object.
fn progress(
    observed: &Observed,
    node: &NodeName,
    row: &RowKey,
    uuid: Uuid,
    generation: u64,
) -> Progress {
    let applied = observed.applied_of(row, uuid);
    let tried = applied.filter(|applied| applied.generation >= generation);
    match tried.map(|applied| &applied.outcome) {
        Some(Outcome::Done) => Progress::Done(Vec::new()),
        Some(Outcome::Failed { replies }) => Progress::Done(of_satellite(node, replies)),
        Some(Outcome::Waiting { .. }) | None if !may_answer(observed, node) => {
            Progress::Done(vec![not_connected(node)])
        }
        Some(Outcome::Waiting { on, .. }) => Progress::Waiting(Some(on.clone())),
        None => Progress::Waiting(None),
    }
}

/// Whether the node is connected, so that an answer of it can be expected.
fn may_answer(observed: &Observed, node: &NodeName) -> bool {
    observed
        .nodes
        .get(node)
        .is_some_and(|status| is_connected(status.connection))
}

/// Replies of a satellite, marked with the node as LINSTOR does.
pub(crate) fn of_satellite(node: &NodeName, replies: &[Reply]) -> Vec<Reply> {
    let marked = replies.iter().cloned().map(|mut reply| {
        reply.message = format!("({node}) {}", reply.message);
        reply
    });
    marked.collect()
}

/// The failure that a node answered a question with, or that it answered something else.
pub(crate) fn not_answered(node: &NodeName, answer: Answer) -> Reply {
    let reply = match answer {
        Answer::Failed(reply) => reply,
        _ => Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            "The answer is not one to the question.",
        ),
    };
    of_satellite(node, &[reply]).remove(0)
}

/// The warning for a change that a node gets when it is connected again.
pub fn not_connected(node: &NodeName) -> Reply {
    Reply::new(
        code::WARN_NOT_CONNECTED,
        format!("No active connection to satellite '{node}'"),
    )
    .details(
        "The controller is trying to (re-) establish a connection to the satellite. \
         The controller stored the changes and as soon as the satellite is connected, it will \
         receive this update.",
    )
    .about("Node", node.as_str())
}

fn still_applying(what: &str, node: &NodeName, on: Option<String>) -> Reply {
    let reply = Reply::new(
        code::MASK_WARN | code::MASK_RSC,
        format!("Node '{node}' has not yet finished the change of {what}."),
    );
    let reply = match on {
        Some(on) => reply.cause(format!("It waits for {on}.")),
        None => reply,
    };
    reply
        .details("The change is stored and the node continues to apply it.")
        .about("Node", node.as_str())
}

fn not_ready(name: &ResourceName, node: &NodeName) -> Reply {
    let message = format!(
        "Resource '{name}' did not become ready on node '{node}' within reasonable time, \
         check Satellite for errors."
    );
    Reply::new(code::MASK_WARN | code::MASK_RSC, message)
        .about("Node", node.as_str())
        .about("RscDfn", name.as_str())
}

fn no_report(node: &NodeName) -> Reply {
    Reply::new(
        code::WARN_STLT_NOT_UPDATED,
        format!("Satellite '{node}' did not report the space of its storage pools in time."),
    )
    .details("The last known space may be out of date.")
    .about("Node", node.as_str())
}

/// Whether a replica can be used.
fn is_ready(model: &Model, observed: &Observed, name: &ResourceName, node: &NodeName) -> bool {
    let Some(replica) = model.resource(name, node) else {
        return true;
    };
    let nothing = replica.drbd.is_none() || replica.volumes.is_empty() || replica.inactive;
    if nothing || !observed.is_online(node) {
        return true;
    }
    let Some(status) = observed.live(name, node) else {
        return false;
    };
    let Some(drbd) = &status.drbd else {
        return false;
    };
    let peers_connected = model
        .resources_of(name)
        .filter(|peer| {
            peer.node != *node && is_diskful(model, peer) && observed.is_online(&peer.node)
        })
        .all(|peer| state_of(&drbd.connections, &peer.node) == Some(&ConnectionState::Connected));
    peers_connected && has_current_data(status)
}

fn is_diskful(model: &Model, replica: &Resource) -> bool {
    let diskful = replica
        .drbd
        .as_ref()
        .is_some_and(|drbd| !drbd.disk.is_diskless());
    diskful && !replica.inactive && !model.is_deleting(replica)
}

fn state_of<'a>(
    connections: &'a SortedMap<String, ConnectionState>,
    node: &NodeName,
) -> Option<&'a ConnectionState> {
    connections
        .iter()
        .find(|(peer, _)| peer.eq_ignore_ascii_case(node.as_str()))
        .map(|(_, state)| state)
}

/// Whether every volume is up to date here or on a peer that this node sees.
fn has_current_data(status: &ResourceStatus) -> bool {
    !status.volumes.is_empty()
        && status.volumes.iter().all(|volume| {
            let peers = volume.replication.values();
            let mut states = peers
                .map(|peer| &peer.peer_disk)
                .chain([&volume.disk_state]);
            states.any(|state| *state == Some(DiskState::UpToDate))
        })
}
