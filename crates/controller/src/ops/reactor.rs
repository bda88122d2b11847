//! Control of drbd-reactor on nodes.

use std::time::Duration;

use futures::future::join_all;
use linstor_api::code;
use linstor_api::name::{FileName, NodeName};
use linstor_api::reactor::{ReactorExec, ReactorPlugin, ReactorResult};
use linstor_api::reply::Reply;
use linstor_wire::question::{Answer, ProgramEnd, Question, ReactorOrder};
use tokio::time::Instant;

use super::name;
use crate::cluster::Cluster;
use crate::transaction::Refusal;
use crate::wait::not_answered;

/// How long a node may take: more than its satellite gives the program.
const ANSWER_MAX: Duration = Duration::from_secs(75);

type Results = Result<Vec<ReactorResult>, Refusal>;

/// The state of drbd-reactor.
pub async fn status(cluster: &Cluster, request: ReactorExec) -> Results {
    let resource = request.resource.filter(|name| !name.is_empty());
    let resource = resource.map(|name| file(&name)).transpose()?;
    run(cluster, request.nodes, ReactorOrder::Status { resource }).await
}

/// Moves a resource away from nodes.
pub async fn evict(cluster: &Cluster, request: ReactorExec) -> Results {
    let order = ReactorOrder::Evict {
        resource: needed("resource", request.resource)?,
        wait: request.wait,
    };
    let mut results = run(cluster, request.nodes, order).await?;
    for result in &mut results {
        result.active_node = result.stdout_utf8.as_deref().and_then(taken_over_by);
    }
    Ok(results)
}

/// Has nodes no longer use a configuration.
pub async fn disable(cluster: &Cluster, request: ReactorPlugin) -> Results {
    let order = ReactorOrder::Disable {
        config: needed("config", request.config)?,
        now: request.now,
    };
    run(cluster, request.nodes, order).await
}

/// Has nodes use a configuration.
pub async fn enable(cluster: &Cluster, request: ReactorPlugin) -> Results {
    let config = needed("config", request.config)?;
    run(cluster, request.nodes, ReactorOrder::Enable { config }).await
}

/// Has nodes stop and start a configuration.
pub async fn restart(cluster: &Cluster, request: ReactorPlugin) -> Results {
    let config = needed("config", request.config)?;
    run(cluster, request.nodes, ReactorOrder::Restart { config }).await
}

fn needed(member: &str, given: Option<String>) -> Result<FileName, Refusal> {
    let given = given.filter(|name| !name.is_empty()).ok_or_else(|| {
        Reply::new(
            code::FAIL_INVLD_CONF,
            format!("The request has no '{member}'."),
        )
        .correction("Name a configuration of drbd-reactor, without '.toml'.")
    })?;
    file(&given)
}

fn file(given: &str) -> Result<FileName, Refusal> {
    FileName::parse(given).map_err(|error| {
        Reply::new(code::FAIL_INVLD_CONF, format!("{error}."))
            .cause("The configurations of drbd-reactor are files in its directory.")
            .correction("Name one of them, without '.toml'.")
            .into()
    })
}

async fn run(cluster: &Cluster, nodes: Vec<String>, order: ReactorOrder) -> Results {
    if nodes.is_empty() {
        let reply = Reply::new(code::FAIL_INVLD_NODE_NAME, "The request names no node.");
        return Err(reply.correction("Name the nodes in 'nodes'.").into());
    }
    let model = cluster.model();
    let known = nodes.iter().map(|given| {
        let node = name::node(given)?;
        name::known_node(&model, &node).map(|row| row.name.clone())
    });
    let nodes: Vec<NodeName> = known.collect::<Result<_, Refusal>>()?;
    let results = nodes.iter().map(|node| on(cluster, node, order.clone()));
    Ok(join_all(results).await)
}

async fn on(cluster: &Cluster, node: &NodeName, order: ReactorOrder) -> ReactorResult {
    let deadline = Instant::now() + ANSWER_MAX;
    let answer = cluster.ask(node, Question::Reactor(order), deadline).await;
    let end = match answer {
        Ok(Answer::Program(end)) => end,
        Ok(answer) => not_run(not_answered(node, answer)),
        Err(reply) => not_run(reply),
    };
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    ReactorResult {
        node: node.to_string(),
        exit_code: end.code,
        stdout_utf8: given(end.stdout),
        stderr_utf8: given(end.stderr),
        active_node: None,
    }
}

fn not_run(reply: Reply) -> ProgramEnd {
    ProgramEnd {
        code: -1,
        stderr: reply.message,
        ..ProgramEnd::default()
    }
}

/// The node that an eviction reports in a line such as `Node 'bravo' took over`.
fn taken_over_by(stdout: &str) -> Option<String> {
    let line = stdout.lines().find(|line| line.contains("took over"))?;
    let node = line.split('\'').nth(1)?;
    NodeName::parse(node).ok().map(|node| node.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What drbd-reactorctl prints after an eviction.
    #[test]
    fn the_new_node_is_read() {
        assert_eq!(
            taken_over_by("Evicting web\nNode 'bravo' took over\n").as_deref(),
            Some("bravo")
        );
        assert_eq!(taken_over_by("The eviction has begun."), None);
        assert_eq!(taken_over_by("Node '../x' took over"), None);
    }
}
