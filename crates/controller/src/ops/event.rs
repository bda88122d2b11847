//! Streams of events: who may become primary, and nodes that come, change and go.
//!
//! A stream compares what it sent last with what is there now, each time something is new. Maps that share their parts
//! are compared without the parts that they share, so that an event costs what changed, whatever the size of the cluster.
//! What changes back before a stream was read is not sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use imbl::ordmap::DiffItem;
use linstor_api::node::Node as NodeJson;
use linstor_model::{Model, Node, Observed};
use linstor_wire::status::ResourceStatus;
use serde::Serialize;
use tokio::sync::watch;

use super::node;
use crate::cluster::Cluster;

/// A comment is sent after so long without an event: only a write shows that the client has closed the connection.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const COMMENT: &[u8] = b":\n\n";
/// So many events are sent at once at most.
const EVENTS_MAX: usize = 256;

/// An event as it is sent.
fn frame(name: &str, data: &impl Serialize) -> Vec<u8> {
    let data = serde_json::to_string(data).expect("events are made of strings and numbers");
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

/// What a stream watches.
trait Watched: Send + 'static {
    /// The events since the last call.
    fn news(&mut self, cluster: &Cluster) -> VecDeque<Vec<u8>>;
}

struct State<W> {
    cluster: Cluster,
    news: watch::Receiver<()>,
    watched: W,
    waiting: VecDeque<Vec<u8>>,
}

fn stream<W: Watched>(
    cluster: &Cluster,
    waiting: VecDeque<Vec<u8>>,
    news: watch::Receiver<()>,
    watched: W,
) -> impl Stream<Item = Vec<u8>> + Send + use<W> {
    let state = State {
        cluster: cluster.clone(),
        news,
        watched,
        waiting,
    };
    futures::stream::unfold(state, |mut state| async move {
        while state.waiting.is_empty() {
            match tokio::time::timeout(SILENCE_MAX, state.news.changed()).await {
                Ok(Ok(())) => state.waiting = state.watched.news(&state.cluster),
                // The cluster is part of the state.
                Ok(Err(_)) => return None,
                Err(_) => return Some((COMMENT.to_vec(), state)),
            }
        }
        let count = state.waiting.len().min(EVENTS_MAX);
        let frames: Vec<u8> = state.waiting.drain(..count).flatten().collect();
        Some((frames, state))
    })
}

#[derive(Serialize)]
struct MayPromote<'a> {
    resource_name: &'a str,
    node_name: &'a str,
    may_promote: bool,
}

struct Promotions {
    sent: Observed,
}

fn may_promote(status: &ResourceStatus) -> Option<bool> {
    status.drbd.as_ref().and_then(|drbd| drbd.may_promote)
}

impl Watched for Promotions {
    fn news(&mut self, cluster: &Cluster) -> VecDeque<Vec<u8>> {
        let now = cluster.observed();
        let mut frames = VecDeque::new();
        for change in self.sent.resources.diff(&now.resources) {
            let (key, before, after) = match change {
                DiffItem::Add(key, after) => (key, None, may_promote(after)),
                DiffItem::Update { old, new } => (new.0, may_promote(old.1), may_promote(new.1)),
                // It is not there any more: that nobody may promote it is no change of its own.
                DiffItem::Remove(..) => continue,
            };
            let (before, after) = (before.unwrap_or(false), after.unwrap_or(false));
            if before != after {
                frames.push_back(promotion(key.0.as_str(), key.1.as_str(), after));
            }
        }
        self.sent = now;
        frames
    }
}

fn promotion(resource_name: &str, node_name: &str, may_promote: bool) -> Vec<u8> {
    let data = MayPromote {
        resource_name,
        node_name,
        may_promote,
    };
    frame("may-promote-change", &data)
}

/// Changes of who may become primary; with `replay`, how it is at the beginning first.
pub fn promotions(cluster: &Cluster, replay: bool) -> impl Stream<Item = Vec<u8>> + Send + use<> {
    // Before the state is taken: what changes in between is seen as a change.
    let news = cluster.news();
    let sent = cluster.observed();
    let mut waiting = VecDeque::new();
    if replay {
        for ((name, node), status) in &sent.resources {
            if let Some(may) = may_promote(status) {
                waiting.push_back(promotion(name.as_str(), node.as_str(), may));
            }
        }
    }
    stream(cluster, waiting, news, Promotions { sent })
}

#[derive(Serialize)]
struct OneNode {
    node: NodeJson,
}

#[derive(Serialize)]
struct ModifiedNode {
    old_node: NodeJson,
    new_node: NodeJson,
}

struct Nodes {
    sent: (Arc<Model>, Observed),
}

impl Watched for Nodes {
    fn news(&mut self, cluster: &Cluster) -> VecDeque<Vec<u8>> {
        let now = (cluster.model(), cluster.observed());
        let mut frames = VecDeque::new();
        let show = |(model, observed): &(Arc<Model>, Observed), row: &Node| {
            node::show(model, row, observed)
        };
        for change in self.sent.0.nodes.diff(&now.0.nodes) {
            frames.push_back(match change {
                DiffItem::Add(_, new) => {
                    let node = show(&now, new);
                    frame("node-create", &OneNode { node })
                }
                DiffItem::Remove(_, old) => {
                    let node = show(&self.sent, old);
                    frame("node-delete", &OneNode { node })
                }
                DiffItem::Update { old, new } => {
                    let (old, new) = (old.1, new.1);
                    let was_given_up = old.evicted || old.evacuate;
                    let name = match () {
                        () if new.evicted && !old.evicted => "node-evicted",
                        () if new.evacuate && !old.evacuate => "node-evacuate",
                        () if was_given_up && !new.evicted && !new.evacuate => "node-restored",
                        () => {
                            let (old_node, new_node) = (show(&self.sent, old), show(&now, new));
                            let data = ModifiedNode { old_node, new_node };
                            frames.push_back(frame("node-modified", &data));
                            continue;
                        }
                    };
                    let node = show(&now, new);
                    frame(name, &OneNode { node })
                }
            });
        }
        self.sent = now;
        frames
    }
}

/// Nodes that are created, changed, evacuated, evicted, restored and deleted.
pub fn nodes(cluster: &Cluster) -> impl Stream<Item = Vec<u8>> + Send + use<> {
    let news = cluster.news();
    let sent = (cluster.model(), cluster.observed());
    stream(cluster, VecDeque::new(), news, Nodes { sent })
}
