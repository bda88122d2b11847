//! What callers can ask for: one file per noun, verbs over the functions of the model, no HTTP.
//!
//! A changing verb makes one atomic commit, then waits, within limits, for the satellites to follow; it always returns
//! replies. A reading verb takes a snapshot and never waits. [`reply`] holds the words that all of them share, [`names`]
//! turns text into names and rows, [`property`] checks properties.

mod beside;
pub mod controller;
pub mod external_name;
pub mod filter;
pub mod key_value_store;
pub mod metrics;
pub mod names;
pub mod net_interface;
pub mod node;
pub mod placement;
pub mod property;
pub mod query_size;
pub mod reply;
pub mod resource;
pub mod resource_definition;
pub mod resource_group;
pub mod select_filter;
pub mod storage_pool;
pub mod storage_pool_definition;
pub mod volume;
pub mod volume_definition;
pub mod volume_group;

use std::sync::Arc;
use std::time::Duration;

use linstor_api::properties::PropertiesModify;
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::resource::Seeds;
use linstor_model::{Draft, Model, Observed, quorum};
use tokio::time::Instant;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::env::Env;

/// How long a call waits for satellites to follow a change. What is not done then goes on as a job.
pub const WAIT: Duration = Duration::from_secs(120);
/// How long a call waits for reports of space.
pub const WAIT_SPACE: Duration = Duration::from_secs(15);
/// How long a call waits for new replicas to be usable (spec core 5.2 step 10).
pub const WAIT_READY: Duration = Duration::from_secs(15);

/// What a plan needs beside the model: the time, randomness, and what nodes said.
#[derive(Clone)]
pub struct Facts {
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// What nodes said.
    pub observed: Observed,
    env: Arc<dyn Env>,
}

impl Facts {
    /// The facts as of now.
    pub fn gather(cluster: &Cluster) -> Self {
        Facts {
            now_ms: cluster.env().now_ms(),
            observed: cluster.observed(),
            env: cluster.env().clone(),
        }
    }

    /// A new identity.
    pub fn uuid(&self) -> Uuid {
        self.env.uuid()
    }

    /// Lends what plans of the model take.
    pub fn seeded<T>(&self, plan: impl FnOnce(&mut Seeds<'_>) -> T) -> T {
        plan(&mut Seeds {
            now_ms: self.now_ms,
            uuid: &mut || self.uuid(),
        })
    }

    /// Bytes that nobody can guess.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.env.fill(&mut bytes);
        bytes
    }
}

/// The nodes that have a replica.
pub fn nodes_of(model: &Model, name: &ResourceName) -> Vec<NodeName> {
    model
        .resources_of(name)
        .map(|replica| replica.node.clone())
        .collect()
}

/// Waits until all nodes of these definitions have followed a commit.
pub async fn wait_all(cluster: &Cluster, names: &[ResourceName], generation: u64) -> Vec<Reply> {
    let deadline = Instant::now() + WAIT;
    let mut replies = Vec::new();
    for name in names {
        let nodes = nodes_of(&cluster.model(), name);
        replies.append(
            &mut cluster
                .wait_applied(name, &nodes, generation, deadline)
                .await,
        );
    }
    without_repeats(replies)
}

/// The same warning about the same node is said once, however many definitions it is about.
fn without_repeats(replies: Vec<Reply>) -> Vec<Reply> {
    let mut kept: Vec<Reply> = Vec::with_capacity(replies.len());
    for reply in replies {
        if !kept.contains(&reply) {
            kept.push(reply);
        }
    }
    kept
}

/// The warning for work that goes on after the call's deadline.
pub fn still_working(what: &str) -> Reply {
    Reply::new(
        code::WARN_STLT_NOT_UPDATED,
        format!("The change of {what} is not finished yet and goes on in the background."),
    )
    .correction("See /v1/jobs for its progress and what it waits for.")
}

/// Whether a change of properties says something about quorum or tie breakers.
pub(crate) fn concerns_helpers(change: &PropertiesModify) -> bool {
    let keys = [
        prop::DRBD_AUTO_ADD_QUORUM_TIEBREAKER,
        prop::DRBD_QUORUM,
        prop::DRBD_QUORUM_SET_BY,
    ];
    let named = |key: &str| {
        change.override_props.contains_key(key)
            || change.delete_props.iter().any(|given| given == key)
            || change
                .delete_namespaces
                .iter()
                .any(|space| key.starts_with(space.trim_matches('/')))
    };
    keys.into_iter().any(named)
}

/// Keeps quorum and tie breaker right after replicas came or went (spec core 5.9). A definition without replicas is left
/// as its creator wrote it.
pub(crate) fn helpers_after_change(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
) -> Vec<Reply> {
    if draft.resources_of(name).next().is_none() {
        return Vec::new();
    }
    facts.seeded(|seeds| quorum::auto_helpers(draft, &facts.observed, name, seeds))
}
