//! A changing request from its parameters to its answer: parse, plan, commit, wait for the satellites, answer.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::Model;
use linstor_model::name::{NodeName, ResourceName};
use tokio::time::Instant;

use super::{resource, storage_pool};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// How long a call waits for satellites to follow a change. What is not done then goes on as a job.
pub const WAIT: Duration = Duration::from_secs(120);

/// What a request is about: fills in what its replies leave open.
#[derive(Debug, Clone)]
pub struct Context {
    mask: i64,
    object: String,
    refs: Vec<(&'static str, String)>,
    fresh_space: bool,
}

/// What an answer waits for once the change is committed.
#[derive(Debug)]
pub enum Wait {
    /// Nothing.
    Nothing,
    /// The nodes of these definitions have applied the change.
    Applied(Vec<ResourceName>),
    /// These nodes have applied what concerns themselves; the reply is given for each that did.
    Nodes(Vec<NodeName>, Reply),
    /// The nodes of a definition have applied the change, and its new resources on these nodes can be used.
    Deployed(ResourceName, Vec<NodeName>),
}

impl Context {
    /// A request's operation and object bits, and its object as error details show it.
    pub fn new(mask: i64, object: impl Into<String>) -> Self {
        Context {
            mask,
            object: object.into(),
            refs: Vec::new(),
            fresh_space: false,
        }
    }

    /// With a reference that every reply carries.
    pub fn about(mut self, key: &'static str, value: impl Display) -> Self {
        self.refs.push((key, value.to_string()));
        self
    }

    /// Whether nodes report the space of their thin pools anew before the plan.
    pub fn fresh_space(mut self, wanted: bool) -> Self {
        self.fresh_space = wanted;
        self
    }

    /// Makes a change: parses the request, plans on a draft, commits, waits as the plan says, and answers.
    pub async fn change<P: Send + 'static>(
        self,
        cluster: &Cluster,
        parse: impl FnOnce() -> Result<P, Refusal>,
        plan: impl FnOnce(&mut Transaction<'_>, P) -> Result<Wait, Refusal> + Send + 'static,
    ) -> Vec<Reply> {
        let fresh_space = self.fresh_space;
        let work = async {
            let parsed = parse()?;
            if fresh_space {
                storage_pool::refresh_thin(cluster).await;
            }
            let committed = cluster.commit(move |tx| plan(tx, parsed)).await?;
            let mut replies = committed.replies;
            if committed.changed {
                let waited = wait(cluster, committed.value, committed.generation);
                replies.append(&mut waited.await);
            }
            Ok(replies)
        };
        self.run(work).await
    }

    /// Runs a request that is more than one change, and fills in its replies.
    pub async fn run(self, work: impl Future<Output = Result<Vec<Reply>, Refusal>>) -> Vec<Reply> {
        let replies = work.await.unwrap_or_else(|Refusal(replies)| replies);
        replies.into_iter().map(|reply| self.entry(reply)).collect()
    }

    fn entry(&self, reply: Reply) -> Reply {
        // These codes use the bits that otherwise have operation and object.
        let whole = [
            code::API_CALL_PARSE_ERROR,
            code::UNKNOWN_API_CALL,
            code::API_CALL_AUTH_REQ,
        ];
        if reply.plain || whole.contains(&reply.ret_code) {
            return reply;
        }
        let mut reply = reply.with_mask(self.mask);
        for (key, value) in &self.refs {
            reply
                .obj_refs
                .get_or_insert_with((*key).to_owned(), || value.clone());
        }
        if reply.is_error() && !self.object.is_empty() {
            reply.details = Some(match reply.details.take() {
                Some(details) => format!("{details}\n{}", self.object),
                None => self.object.clone(),
            });
        }
        reply
    }
}

/// Waits for what a commit brings about.
pub(super) async fn wait(cluster: &Cluster, wait: Wait, generation: u64) -> Vec<Reply> {
    match wait {
        Wait::Nothing => Vec::new(),
        Wait::Applied(names) => applied(cluster, &names, generation).await,
        Wait::Nodes(nodes, done) => nodes_applied(cluster, &nodes, &done, generation).await,
        Wait::Deployed(name, nodes) => resource::deployed(cluster, &name, &nodes, generation).await,
    }
}

/// Waits until nodes have followed a commit as far as they themselves are concerned.
async fn nodes_applied(
    cluster: &Cluster,
    nodes: &[NodeName],
    done: &Reply,
    generation: u64,
) -> Vec<Reply> {
    let deadline = Instant::now() + WAIT;
    let answers = nodes.iter().map(|node| async move {
        let mut replies = cluster.wait_node_applied(node, generation, deadline).await;
        // Its storage pools are no matter of this change.
        replies.retain(|reply| !reply.obj_refs.contains_key("StorPoolDfn"));
        if !replies.is_empty() {
            return replies;
        }
        let mut done = done.clone();
        done.message = format!("({node}) {}", done.message);
        vec![done]
    });
    futures::future::join_all(answers).await.concat()
}

/// Waits until all nodes of these definitions have followed a commit.
async fn applied(cluster: &Cluster, names: &[ResourceName], generation: u64) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    for name in names {
        let applied = resource::applied(cluster, name, generation).await;
        for reply in applied.replies {
            // The same warning about the same node is given once, however many definitions it is about.
            if !replies.contains(&reply) {
                replies.push(reply);
            }
        }
    }
    replies
}

/// Waits until work on a definition is done. Returns why it does not go on, or that `what` goes on after the call.
pub(super) async fn wait_done(
    cluster: &Cluster,
    name: &ResourceName,
    what: &str,
    done: impl Fn(&Model) -> bool,
) -> Vec<Reply> {
    let deadline = Instant::now() + WAIT;
    let wait = cluster.wait_until(name, deadline, |model, observed| {
        if done(model) {
            return Some(Vec::new());
        }
        resource::stuck(model, observed, name)
    });
    match wait.await {
        Some(reasons) => reasons,
        None => {
            let (reply, waits) = (still_working(what), waits(cluster, name));
            vec![if waits.is_empty() {
                reply
            } else {
                reply.cause(waits)
            }]
        }
    }
}

/// What the processes of a definition wait for.
fn waits(cluster: &Cluster, name: &ResourceName) -> String {
    let jobs = cluster.jobs().into_iter();
    let of_definition = jobs.filter(|job| {
        let about = job.obj_refs.get("RscDfn");
        about.is_some_and(|about| about.eq_ignore_ascii_case(name.as_str()))
    });
    let waits = of_definition.flat_map(|job| job.waiting_for);
    let waits: Vec<String> = waits
        .map(|wait| format!("Node '{}': {}.", wait.node, wait.reason))
        .collect();
    waits.join(" ")
}

/// The warning for work that goes on after the call's deadline.
pub(super) fn still_working(what: &str) -> Reply {
    Reply::new(
        code::WARN_STLT_NOT_UPDATED,
        format!("The change of {what} is not finished yet and goes on in the background."),
    )
    .correction("See /v1/jobs for its progress and what it waits for.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits, references and the object are filled in, and only where the reply has none.
    #[tokio::test]
    async fn the_context_fills_gaps() {
        let context =
            Context::new(code::MASK_NODE | code::MASK_DEL, "Node: alpha").about("Node", "alpha");
        let given = vec![
            Reply::new(code::MASK_RSC | code::FAIL_IN_USE, "x").about("Node", "other"),
            Reply::new(code::DELETED, "y"),
            Reply::new(code::API_CALL_PARSE_ERROR, "z"),
        ];
        let replies = context.run(async { Ok(given) }).await;
        assert_eq!(
            replies[0].ret_code,
            code::FAIL_IN_USE | code::MASK_RSC | code::MASK_DEL
        );
        assert_eq!(replies[0].obj_refs["Node"], "other");
        assert_eq!(replies[0].details.as_deref(), Some("Node: alpha"));
        assert_eq!(
            replies[1].ret_code,
            code::DELETED | code::MASK_NODE | code::MASK_DEL
        );
        assert_eq!(replies[1].details, None);
        assert_eq!(replies[2].ret_code, code::API_CALL_PARSE_ERROR);
    }
}
