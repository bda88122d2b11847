//! Figures for Prometheus, under the names and labels that LINSTOR's dashboards ask for.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use linstor_api::drbd_state::DiskState;
use linstor_api::kind::ProviderKind;
use linstor_api::prop;
use linstor_model::{Model, Node, Observed, StoragePool};

use super::controller;
use crate::cluster::Cluster;

/// Upper bounds of the histograms' buckets, in seconds.
const BUCKETS: [f64; 19] = [
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0, 25.0, 50.0,
];

/// How long requests took, by route, and how often the metrics were read.
#[derive(Debug, Default)]
pub struct Requests {
    durations: Mutex<BTreeMap<String, Histogram>>,
    scrapes: AtomicU64,
}

#[derive(Debug, Clone, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

impl Requests {
    /// Counts a request of a route, which has to be one of the router's: each takes memory.
    pub(crate) fn took(&self, route: &str, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let mut durations = self
            .durations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !durations.contains_key(route) {
            durations.insert(route.to_owned(), Histogram::default());
        }
        let histogram = durations.get_mut(route).expect("it was just put there");
        histogram.count += 1;
        histogram.seconds += seconds;
        for (bucket, bound) in histogram.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
    }
}

/// Which figures are wanted besides those of nodes.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Those of resources and volumes.
    pub resources: bool,
    /// Those of storage pools.
    pub storage_pools: bool,
}

/// All figures in Prometheus' text format.
pub fn text(cluster: &Cluster, wanted: Wanted) -> String {
    let begun = Instant::now();
    let (model, observed) = (cluster.model(), cluster.observed());
    let requests = &cluster.shared.requests;
    let scrapes = requests.scrapes.fetch_add(1, Ordering::Relaxed) + 1;
    let mut text = Text(String::new());
    general(&mut text, &model, &observed);
    if wanted.resources {
        resources(&mut text, &model, &observed);
    }
    if wanted.storage_pools {
        storage_pools(&mut text, &model, &observed);
    }
    durations(&mut text, requests);
    text.process();
    text.kind(
        "linstor_scrape_requests_count",
        "counter",
        "Requests for these figures",
    );
    text.line("linstor_scrape_requests_count", &[], scrapes);
    let name = "linstor_scrape_duration_seconds";
    text.gauge(name, "Time that making these figures took");
    text.line(name, &[], begun.elapsed().as_secs_f64());
    text.0
}

fn general(text: &mut Text, model: &Model, observed: &Observed) {
    let version = controller::version();
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    let (name, git, built) = (
        of(&version.version),
        of(&version.git_hash),
        of(&version.build_time),
    );
    text.gauge("linstor_info", "What this program is");
    let labels = [
        ("version", name.as_str()),
        ("buildtime", &built),
        ("gitid", &git),
    ];
    text.line("linstor_info", &labels, 1);
    text.gauge(
        "linstor_node_state",
        "State of the connection to a node; 2 is online",
    );
    for node in model.nodes.values() {
        let status = observed.nodes.get(&node.name);
        let state = status.map_or(0, |status| status.connection as u64);
        let [address, port, encryption] = connection(node);
        let labels = [
            ("node", node.name.as_str()),
            ("nodetype", node.node_type.as_str()),
            ("address", &address),
            ("port", &port),
            ("encryption", &encryption),
        ];
        text.line("linstor_node_state", &labels, state);
    }
    let name = "linstor_resource_definition_count";
    text.gauge(name, "Number of resource definitions");
    text.line(name, &[], model.definitions.len());
    text.gauge("linstor_resource_count", "Number of resources");
    text.line("linstor_resource_count", &[], model.resources.len());
    let name = "linstor_volume_definition_size_bytes";
    text.gauge(name, "Size of a volume definition");
    for definition in model.definitions.values() {
        for (number, volume) in &definition.volumes {
            let number = number.to_string();
            let labels = [
                ("name", definition.name.as_str()),
                ("volume_number", &number),
                ("resource_group", definition.group.as_str()),
            ];
            text.line(name, &labels, volume.size_kib.saturating_mul(1024));
        }
    }
}

/// Address, port and encryption of the connection to a node's satellite.
fn connection(node: &Node) -> [String; 3] {
    let active = node
        .net_interfaces
        .iter()
        .find(|interface| interface.active);
    let Some(active) = active else {
        return Default::default();
    };
    let port = active.satellite_port;
    let encryption = active.encryption;
    [
        active.address.to_string(),
        port.map_or_else(String::new, |port| port.to_string()),
        encryption.map_or_else(String::new, |encryption| encryption.as_str().to_owned()),
    ]
}

fn resources(text: &mut Text, model: &Model, observed: &Observed) {
    let name = "linstor_resource_definition_resource_count";
    text.gauge(name, "Number of resources of a resource definition");
    for definition in model.definitions.values() {
        let labels = [
            ("name", definition.name.as_str()),
            ("resource_group", definition.group.as_str()),
        ];
        text.line(name, &labels, model.resources_of(&definition.name).count());
    }
    let name = "linstor_resource_state";
    text.gauge(
        name,
        "Role of a resource; 1 is primary, 0 secondary, -1 not known",
    );
    for ((resource, node), _) in &model.resources {
        let status = observed.live(resource, node);
        let state = status.map_or(-1, |status| {
            let drbd = status.drbd.as_ref();
            i64::from(drbd.is_some_and(|drbd| drbd.in_use))
        });
        let labels = [("name", resource.as_str()), ("node", node.as_str())];
        text.line(name, &labels, state);
    }
    let (state, allocated) = (
        "linstor_volume_state",
        "linstor_volume_allocated_size_bytes",
    );
    text.gauge(state, "State of a volume; 1 is UpToDate, 2 Created, 3 Attached, 4 Diskless, 5 Inconsistent, 6 Failed");
    volumes(text, model, observed, |text, labels, seen| {
        let disk = seen.and_then(|volume| volume.disk_state.as_ref());
        text.line(state, labels, volume_state(disk, seen.is_some()));
    });
    text.gauge(allocated, "Space that a volume takes in its storage pool");
    volumes(text, model, observed, |text, labels, seen| {
        match seen.and_then(|volume| volume.allocated_kib) {
            Some(kib) => text.line(allocated, labels, kib.saturating_mul(1024)),
            None => text.line(allocated, labels, "NaN"),
        }
    });
}

/// A volume without DRBD counts as created once its satellite has seen it.
fn volume_state(disk: Option<&DiskState>, seen: bool) -> i64 {
    match disk.map(DiskState::as_str) {
        None if seen => 2,
        Some("UpToDate") => 1,
        Some("Diskless") => 4,
        Some("Inconsistent") => 5,
        Some("Failed") => 6,
        _ => -1,
    }
}

type Labels<'a> = [(&'a str, &'a str)];

fn volumes(
    text: &mut Text,
    model: &Model,
    observed: &Observed,
    mut line: impl FnMut(&mut Text, &Labels<'_>, Option<&linstor_wire::status::VolumeStatus>),
) {
    for ((name, node), resource) in &model.resources {
        let status = observed.live(name, node);
        for (number, volume) in &resource.volumes {
            let seen = status.and_then(|status| {
                let mut volumes = status.volumes.iter();
                volumes.find(|volume| volume.number == *number)
            });
            let number = number.to_string();
            let device = seen.and_then(|volume| volume.device_path.as_deref());
            let labels = [
                ("resource", name.as_str()),
                ("node", node.as_str()),
                ("volume", &number),
                ("device_path", device.unwrap_or_default()),
                ("storage_pool", volume.pool.as_str()),
            ];
            line(text, &labels, seen);
        }
    }
}

fn storage_pools(text: &mut Text, model: &Model, observed: &Observed) {
    let diskful = || {
        let pools = model.pools.iter();
        pools.filter(|(_, pool)| pool.kind != ProviderKind::Diskless)
    };
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
        text.gauge(name, help);
        for (key, pool) in diskful() {
            let status = observed.pools.get(key).map(|seen| &seen.status);
            let kib = status.and_then(|status| match total {
                true => status.total_kib,
                false => status.free_kib,
            });
            match kib {
                Some(kib) => text.line(name, &pool_labels(pool), kib.saturating_mul(1024)),
                None => text.line(name, &pool_labels(pool), "NaN"),
            }
        }
    }
    let name = "linstor_storage_pool_error_count";
    text.gauge(
        name,
        "Whether a satellite reports that a storage pool cannot be used",
    );
    for (key, pool) in diskful() {
        let seen = observed.pools.get(key);
        let errors = seen.is_some_and(|seen| seen.status.problem.is_some());
        text.line(name, &pool_labels(pool), u8::from(errors));
    }
}

fn pool_labels(pool: &StoragePool) -> [(&str, &str); 4] {
    let backing = pool.props.get(prop::STOR_DRIVER_STOR_POOL_NAME);
    [
        ("storage_pool", pool.name.as_str()),
        ("node", pool.node.as_str()),
        ("driver", pool.kind.as_str()),
        ("backing_pool", backing.map_or("", String::as_str)),
    ]
}

fn durations(text: &mut Text, requests: &Requests) {
    let durations = requests
        .durations
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let durations = durations.clone();
    let name = "linstor_restapi_request_duration_seconds";
    text.kind(name, "histogram", "Time that requests of the REST API took");
    for (route, histogram) in &durations {
        for (bound, count) in BUCKETS.iter().zip(histogram.buckets) {
            let labels = [("apicall", route.as_str()), ("le", &bound.to_string())];
            text.line(&format!("{name}_bucket"), &labels, count);
        }
        let labels = [("apicall", route.as_str()), ("le", "+Inf")];
        text.line(&format!("{name}_bucket"), &labels, histogram.count);
        let labels = [("apicall", route.as_str())];
        text.line(&format!("{name}_sum"), &labels, histogram.seconds);
        text.line(&format!("{name}_count"), &labels, histogram.count);
    }
}

/// Figures as they are written. Writing into a string cannot fail.
struct Text(String);

impl Text {
    fn gauge(&mut self, name: &str, help: &str) {
        self.kind(name, "gauge", help);
    }

    fn kind(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        for (index, (key, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{key}=\"");
            for c in text.chars() {
                match c {
                    '\\' | '"' => self.0.extend(['\\', c]),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// The kernel's figures of this process, as far as it has them.
    fn process(&mut self) {
        let pages = |index: usize| {
            let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
            let pages: u64 = statm.split_whitespace().nth(index)?.parse().ok()?;
            Some(pages.saturating_mul(PAGE_BYTES))
        };
        let open = std::fs::read_dir("/proc/self/fd").ok();
        let open = open.map(|entries| entries.count() as u64);
        for (name, help, value) in [
            (
                "process_virtual_memory_bytes",
                "Virtual memory of the controller",
                pages(0),
            ),
            (
                "process_resident_memory_bytes",
                "Memory of the controller",
                pages(1),
            ),
            ("process_open_fds", "Open files of the controller", open),
        ] {
            if let Some(value) = value {
                self.gauge(name, help);
                self.line(name, &[], value);
            }
        }
    }
}

/// Linux' on all machines that satellites and controllers of LINSTOR run on.
const PAGE_BYTES: u64 = 4096;

/// Where Prometheus finds drbd-reactor's figures of the satellites.
pub fn scrape_targets(cluster: &Cluster) -> Vec<String> {
    const DRBD_REACTOR_PORT: u16 = 9942;
    let model = cluster.model();
    let addresses = model.satellites().filter_map(|node| {
        let mut interfaces = node.net_interfaces.iter();
        interfaces.find(|interface| interface.active)
    });
    let targets = addresses.map(|interface| {
        std::net::SocketAddr::new(interface.address, DRBD_REACTOR_PORT).to_string()
    });
    targets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels are escaped, whatever is in a property.
    #[test]
    fn labels_are_escaped() {
        let mut text = Text(String::new());
        text.line("a", &[("b", "c\"d\\e\nf"), ("g", "")], 1);
        text.line("h", &[], "NaN");
        assert_eq!(text.0, "a{b=\"c\\\"d\\\\e\\nf\",g=\"\"} 1\nh NaN\n");
    }

    /// A request counts in each bucket that is not below its time.
    #[test]
    fn requests_are_counted_by_time() {
        let requests = Requests::default();
        for ms in [1, 30, 60_000] {
            requests.took("GET /v1/nodes", Duration::from_millis(ms));
        }
        let mut text = Text(String::new());
        durations(&mut text, &requests);
        let name = "linstor_restapi_request_duration_seconds";
        for line in [
            format!("{name}_bucket{{apicall=\"GET /v1/nodes\",le=\"0.001\"}} 1"),
            format!("{name}_bucket{{apicall=\"GET /v1/nodes\",le=\"50\"}} 2"),
            format!("{name}_bucket{{apicall=\"GET /v1/nodes\",le=\"+Inf\"}} 3"),
            format!("{name}_count{{apicall=\"GET /v1/nodes\"}} 3"),
        ] {
            assert!(
                text.0.lines().any(|found| found == line),
                "{line}\n{}",
                text.0
            );
        }
    }
}
