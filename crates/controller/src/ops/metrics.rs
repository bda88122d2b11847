//! Figures for Prometheus, under the names that LINSTOR's dashboards ask for.

use std::fmt::Write as _;

use linstor_api::kind::ProviderKind;

use linstor_model::{Model, Observed};

use crate::cluster::Cluster;

/// All figures in Prometheus' text format.
pub fn text(cluster: &Cluster) -> String {
    let (model, observed) = (cluster.model(), cluster.observed());
    let mut out = String::new();
    let version = env!("CARGO_PKG_VERSION");
    header(&mut out, "linstor_info", "What this program is");
    line(&mut out, "linstor_info", &[("version", version)], 1);
    header(
        &mut out,
        "linstor_node_state",
        "State of the connection to a node; 2 is online",
    );
    for node in model.nodes.values() {
        let state = observed
            .nodes
            .get(&node.name)
            .map_or(0, |status| status.connection as u64);
        let labels = [
            ("node", node.name.as_str()),
            ("nodetype", node.node_type.as_str()),
        ];
        line(&mut out, "linstor_node_state", &labels, state);
    }
    let count = model.definitions.len() as u64;
    header(
        &mut out,
        "linstor_resource_definition_count",
        "Number of resource definitions",
    );
    line(&mut out, "linstor_resource_definition_count", &[], count);
    header(&mut out, "linstor_resource_count", "Number of resources");
    line(
        &mut out,
        "linstor_resource_count",
        &[],
        model.resources.len() as u64,
    );
    pools(&mut out, &model, &observed);
    out
}

/// The space of all pools that have any.
fn pools(out: &mut String, model: &Model, observed: &Observed) {
    for (name, help, total) in [
        (
            "linstor_storage_pool_capacity_free_bytes",
            "Free space of a storage pool",
            false,
        ),
        (
            "linstor_storage_pool_capacity_total_bytes",
            "Total space of a storage pool",
            true,
        ),
    ] {
        header(out, name, help);
        for (key, pool) in &model.pools {
            if pool.kind == ProviderKind::Diskless {
                continue;
            }
            let Some(seen) = observed.pools.get(key) else {
                continue;
            };
            let kib = if total {
                seen.status.total_kib
            } else {
                seen.status.free_kib
            };
            let labels = [
                ("node", pool.node.as_str()),
                ("storage_pool", pool.name.as_str()),
                ("driver", pool.kind.as_str()),
            ];
            if let Some(kib) = kib {
                line(out, name, &labels, kib.saturating_mul(1024));
            }
        }
    }
}

fn header(out: &mut String, name: &str, help: &str) {
    // Writing into a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
}

fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    // Names and kinds have no characters that would need escaping.
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, text)| format!("{key}=\"{text}\""))
        .collect();
    let _ = if labels.is_empty() {
        writeln!(out, "{name} {value}")
    } else {
        writeln!(out, "{name}{{{}}} {value}", labels.join(","))
    };
}
