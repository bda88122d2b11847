//! Reports for support: the state of the cluster and of its machines in one archive.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use linstor_api::code;
use linstor_api::error_report::ErrorReportFilter;
use linstor_api::reply::Reply;
use linstor_model::name::NodeName;
use linstor_wire::question::{Answer, Question};
use serde::Serialize;
use tokio::time::Instant;

use super::filter::{Names, PropFilter};
use super::request::Context;
use super::resource::list::Filter;
use super::{
    config, controller, database, error_report, name, node, resource, resource_definition,
    resource_group, storage_pool,
};
use crate::archive::{Entry, tar_gz};
use crate::cluster::Cluster;
use crate::transaction::Refusal;
use crate::wait::not_answered;

/// How long a node may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How far back logs go when the request says nothing, in milliseconds: 7 days.
const SINCE_DEFAULT_MS: u64 = 7 * 24 * 3600 * 1000;

/// What a report is about.
#[derive(Debug, Default, Serialize)]
pub struct Wanted {
    /// These nodes; all when neither nodes nor resources are given.
    pub nodes: Vec<String>,
    /// The nodes of these resources.
    pub resources: Vec<String>,
    /// Not these nodes.
    pub exclude: Vec<String>,
    /// Messages from this time on, in milliseconds since the Unix epoch.
    pub since: Option<u64>,
    /// Whether the controller's own part is left out.
    pub without_controller: bool,
}

/// A report: the name of its file, and its content.
pub struct Report {
    /// `sos_<time>.tar.gz`.
    pub file: String,
    /// The archive.
    pub archive: Vec<u8>,
}

/// Makes a report and leaves it in the controller's directory.
pub async fn create(cluster: &Cluster, wanted: Wanted) -> Vec<Reply> {
    let work = async {
        let directory = database::directory(cluster)?;
        let report = make(cluster, wanted).await?;
        let path = directory.join(&report.file);
        let shown = path.display().to_string();
        let write = move || database::write_new(&path, &report.archive);
        let reason = match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => {
                let message = format!("SOS report created on the controller: {shown}");
                return Ok(vec![
                    Reply::new(code::CREATED, message).about("path", shown),
                ]);
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let message = format!("The report {shown} cannot be written.");
        let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, message).cause(reason);
        Err(reply.correction("Download it instead.").into())
    };
    Context::new(code::MASK_CTRL_CONF | code::MASK_CRT, "SOS report")
        .run(work)
        .await
}

/// Makes a report.
pub async fn make(cluster: &Cluster, wanted: Wanted) -> Result<Report, Refusal> {
    let nodes = nodes(cluster, &wanted)?;
    let now_ms = cluster.env().now_ms();
    let since_ms = wanted
        .since
        .unwrap_or(now_ms.saturating_sub(SINCE_DEFAULT_MS));
    let top = format!("sos_{}", database::stamp(cluster));
    let mut entries = vec![Entry {
        path: "query-params".to_owned(),
        content: pretty(&wanted),
    }];
    if !wanted.without_controller {
        entries.extend(of_controller(cluster, since_ms));
    }
    let asked = nodes
        .iter()
        .map(|node| of_node(cluster, node, since_ms / 1000));
    entries.extend(join_all(asked).await.concat());
    for entry in &mut entries {
        entry.path = format!("{top}/{}", entry.path);
    }
    // Compression takes its time, and others are to be answered meanwhile.
    let packed = tokio::task::spawn_blocking(move || tar_gz(&entries, now_ms / 1000));
    let archive = packed.await.map_err(|error| {
        let message = "The report could not be packed.";
        Refusal::from(Reply::new(code::FAIL_IMPL_ERROR, message).cause(error.to_string()))
    })?;
    Ok(Report {
        file: format!("{top}.tar.gz"),
        archive,
    })
}

fn nodes(cluster: &Cluster, wanted: &Wanted) -> Result<BTreeSet<NodeName>, Refusal> {
    let model = cluster.model();
    let parse = |given: &String| {
        let node = name::node(given)?;
        name::known_node(&model, &node).map(|row| row.name.clone())
    };
    let mut nodes: BTreeSet<NodeName> = wanted.nodes.iter().map(parse).collect::<Result<_, _>>()?;
    for given in &wanted.resources {
        let definition = name::resource(given)?;
        name::known_definition(&model, &definition)?;
        nodes.extend(model.resources_of(&definition).map(|row| row.node.clone()));
    }
    if wanted.nodes.is_empty() && wanted.resources.is_empty() {
        nodes.extend(model.satellites().map(|node| node.name.clone()));
    }
    let excluded: BTreeSet<NodeName> =
        wanted.exclude.iter().map(parse).collect::<Result<_, _>>()?;
    Ok(&nodes - &excluded)
}

/// The lists are those of the API, which shows no secrets.
fn of_controller(cluster: &Cluster, since_ms: u64) -> Vec<Entry> {
    let (all, any, every) = (Names::default(), PropFilter::default(), (0, usize::MAX));
    let none = Vec::new;
    let pools = storage_pool::view(cluster, none(), none(), none()).unwrap_or_default();
    let reports = ErrorReportFilter {
        since: i64::try_from(since_ms).ok(),
        ..ErrorReportFilter::default()
    };
    let entry = |name: &str, content| Entry {
        path: format!("_Controller/{name}"),
        content,
    };
    let mut entries = vec![
        entry("linstorInfo", pretty(&controller::version())),
        entry("health", controller::health(cluster).into_bytes()),
        entry("config.json", pretty(&config::show(cluster))),
        entry("properties.json", pretty(&controller::properties(cluster))),
        entry("node-list.json", pretty(&node::list(cluster, &all, &any))),
        entry("stor-pool-list.json", pretty(&pools)),
        entry(
            "resource-group-list.json",
            pretty(&resource_group::list(cluster, &all, &any, every)),
        ),
        entry(
            "resource-definition-list.json",
            resource_definition::list(cluster, all.clone(), any.clone(), true, every)
                .flatten()
                .collect(),
        ),
        entry(
            "view-resources.json",
            resource::list::all(cluster, Filter::default(), every)
                .flatten()
                .collect(),
        ),
        entry(
            "error-reports.json",
            pretty(&error_report::list(cluster, &reports, true)),
        ),
    ];
    if let Ok(text) = std::fs::read("/etc/os-release") {
        entries.push(entry("release", text));
    }
    entries
}

async fn of_node(cluster: &Cluster, node: &NodeName, since: u64) -> Vec<Entry> {
    let deadline = Instant::now() + ANSWER_MAX;
    let answer = cluster
        .ask(node, Question::Support { since }, deadline)
        .await;
    let reason = match answer {
        Ok(Answer::Files(files)) => {
            let files = files.into_iter().map(|file| Entry {
                // The satellite names it: it may not leave its directory.
                path: format!("{node}/{}", file.name.replace('/', "_")),
                content: file.text.into_bytes(),
            });
            return files.collect();
        }
        Ok(answer) => not_answered(node, answer).message,
        Err(reply) => reply.message,
    };
    vec![Entry {
        path: format!("{node}.failed"),
        content: reason.into_bytes(),
    }]
}

fn pretty(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("answers are made of strings, numbers and lists")
}
