//! Figures for Prometheus, under the names and labels that LINSTOR's dashboards ask for.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use linstor_api::drbd_state::DiskState;
use linstor_api::kind::ProviderKind;
use linstor_api::name::NodeName;
use linstor_api::prop;
use linstor_model::{Model, Node, Observed, StoragePool, watermark};

use super::{controller, error_report};
use crate::cluster::Cluster;

/// Upper bounds of the histograms' buckets, in seconds.
const BUCKETS: [f64; 19] = [
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0, 25.0, 50.0,
];

/// The same of messages of satellites, of which each node has its own histograms.
const MESSAGE_BUCKETS: [f64; 5] = [0.0001, 0.001, 0.01, 0.1, 1.0];

/// How long requests took, by route, how long messages of satellites took, by their kind and node, and how often what was
/// done.
#[derive(Debug, Default)]
pub struct Requests {
    durations: Mutex<BTreeMap<String, Histogram>>,
    messages: Mutex<BTreeMap<(NodeName, &'static str), Histogram>>,
    reconnects: Mutex<BTreeMap<NodeName, u64>>,
    scrapes: AtomicU64,
}

#[derive(Debug, Clone)]
struct Histogram {
    bounds: &'static [f64],
    buckets: Vec<u64>,
    count: u64,
    seconds: f64,
    /// When it was begun, in milliseconds since the Unix epoch.
    created: u64,
}

impl Histogram {
    fn new(bounds: &'static [f64], now_ms: u64) -> Self {
        Histogram {
            bounds,
            buckets: vec![0; bounds.len()],
            count: 0,
            seconds: 0.0,
            created: now_ms,
        }
    }

    fn count(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.count += 1;
        self.seconds += seconds;
        for (bucket, bound) in self.buckets.iter_mut().zip(self.bounds) {
            *bucket += u64::from(seconds <= *bound);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Requests {
    /// Counts a request of a route, which has to be one of the router's: each takes memory.
    pub(crate) fn took(&self, route: &str, duration: Duration, now_ms: u64) {
        let mut durations = lock(&self.durations);
        if !durations.contains_key(route) {
            let histogram = Histogram::new(&BUCKETS, now_ms);
            durations.insert(route.to_owned(), histogram);
        }
        let histogram = durations.get_mut(route).expect("it was just put there");
        histogram.count(duration);
    }

    /// Counts a message of a node's satellite.
    pub(crate) fn message(
        &self,
        node: &NodeName,
        kind: &'static str,
        duration: Duration,
        now_ms: u64,
    ) {
        let mut messages = lock(&self.messages);
        let histogram = messages.entry((node.clone(), kind));
        let histogram = histogram.or_insert_with(|| Histogram::new(&MESSAGE_BUCKETS, now_ms));
        histogram.count(duration);
    }

    /// Counts an attempt to connect to a node again.
    pub(crate) fn reconnect(&self, node: &NodeName) {
        *lock(&self.reconnects).entry(node.clone()).or_default() += 1;
    }

    /// Nothing more is counted of a node.
    pub(crate) fn forget(&self, node: &NodeName) {
        lock(&self.reconnects).remove(node);
        lock(&self.messages).retain(|(of, _), _| of != node);
    }
}

/// Which figures are wanted besides those of nodes.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Those of resources and volumes.
    pub resources: bool,
    /// Those of storage pools.
    pub storage_pools: bool,
    /// The number of error reports.
    pub error_reports: bool,
}

/// The controller's property that keeps the figures to HTTPS.
const DISABLE: &str = "REST/disable-http-metrics";

/// Whether the figures are for HTTPS alone where that is served.
pub fn need_https(cluster: &Cluster) -> bool {
    let model = cluster.model();
    let value = model.controller.props.get(DISABLE);
    value.is_some_and(|value| prop::is_true(value))
}

/// All figures in Prometheus' text format.
pub fn text(cluster: &Cluster, wanted: Wanted) -> String {
    let begun = Instant::now();
    let (model, observed) = (cluster.model(), cluster.observed());
    let requests = &cluster.shared.requests;
    let scrapes = requests.scrapes.fetch_add(1, Ordering::Relaxed) + 1;
    let mut text = Text(String::new());
    general(&mut text, &model, &observed);
    reconnects(&mut text, &model, requests);
    if wanted.error_reports {
        error_reports(&mut text, cluster);
    }
    if wanted.resources {
        resources(&mut text, &model, &observed);
        backups(&mut text, &model, cluster.env().now_ms());
    }
    if wanted.storage_pools {
        storage_pools(&mut text, &model, &observed, cluster.env().now_ms());
    }
    durations(&mut text, requests);
    messages(&mut text, requests);
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
        node_line(text, "linstor_node_state", node, state);
    }
    let name = "linstor_resource_definition_count";
    text.gauge(name, "Number of resource definitions");
    text.line(name, &[], model.definitions.len());
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

fn node_line(text: &mut Text, name: &str, node: &Node, value: impl Display) {
    let [address, port, encryption] = connection(node);
    let labels = [
        ("node", node.name.as_str()),
        ("nodetype", node.node_type.as_str()),
        ("address", &address),
        ("port", &port),
        ("encryption", &encryption),
    ];
    text.line(name, &labels, value);
}

fn reconnects(text: &mut Text, model: &Model, requests: &Requests) {
    let name = "linstor_node_reconnect_attempt_count";
    text.gauge(name, "Attempts to connect to a node again");
    let counts = lock(&requests.reconnects).clone();
    for node in model.nodes.values() {
        node_line(text, name, node, counts.get(&node.name).unwrap_or(&0));
    }
}

fn error_reports(text: &mut Text, cluster: &Cluster) {
    let name = "linstor_error_reports_count";
    text.gauge(name, "Number of error reports");
    let count = cluster.shared.error_reports.count();
    let labels = [("module", "CONTROLLER"), ("hostname", error_report::NODE)];
    text.line(name, &labels, count);
    text.line(name, &[], count);
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

/// Figures of backups, of which alerts are made: a remote for which a schedule is enabled is among them before its first backup.
fn backups(text: &mut Text, model: &Model, now_ms: u64) {
    let all = || {
        let definitions = model.definitions.values();
        definitions.flat_map(|row| {
            let on = row.backups.iter();
            on.map(move |(remote, on)| {
                let labels = [("resource", row.name.as_str()), ("remote", remote.as_str())];
                (labels, on)
            })
        })
    };
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let name = "linstor_backup_last_success_timestamp_seconds";
    text.gauge(
        name,
        "When the last backup was complete, in seconds since 1970; 0 if there was none",
    );
    for (labels, on) in all() {
        let ended = on.last.as_ref().map_or(0, |last| last.ended_at);
        text.line(name, &labels, seconds(ended));
    }
    let name = "linstor_backup_age_seconds";
    text.gauge(name, "How long ago the last backup was begun: what was written since is lost with the cluster; +Inf if there was none");
    for (labels, on) in all() {
        match &on.last {
            Some(last) => text.line(name, &labels, seconds(now_ms.saturating_sub(last.began_at))),
            None => text.line(name, &labels, "+Inf"),
        }
    }
    let name = "linstor_backup_size_bytes";
    text.gauge(name, "Size of the objects of the last backup");
    for (labels, on) in all() {
        match on.last.as_ref().and_then(|last| last.bytes) {
            Some(bytes) => text.line(name, &labels, bytes),
            None => text.line(name, &labels, "NaN"),
        }
    }
    let name = "linstor_backup_failure_count";
    text.kind(
        name,
        "counter",
        "Backups that have failed; those that were aborted have not",
    );
    for (labels, on) in all() {
        text.line(name, &labels, on.failures);
    }
    let name = "linstor_backup_queued_count";
    text.gauge(name, "Number of backups that wait until others are sent");
    let queued = model.shipments().filter(|(id, backup)| {
        let process = model.processes.get(id);
        process.is_some_and(|process| backup.is_queued(process, model))
    });
    text.line(name, &[], queued.count());
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

fn storage_pools(text: &mut Text, model: &Model, observed: &Observed, now: u64) {
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
    let name = "linstor_storage_pool_filled_ratio";
    text.gauge(name, "How full a storage pool is: its data or its metadata");
    for (key, pool) in diskful() {
        let seen = observed.pools.get(key);
        let percent = seen.and_then(|seen| watermark::filled_percent(&seen.status));
        let ratio = percent.map_or(f64::NAN, |percent| percent / 100.0);
        text.line(name, &pool_labels(pool), ratio);
    }
    let name = "linstor_storage_pool_full_in_seconds";
    text.gauge(
        name,
        "When a storage pool will be full at the rate at which it fills; NaN if it does not",
    );
    for (key, pool) in diskful() {
        let trend = observed.trends.get(key);
        let seconds = trend.and_then(|trend| trend.full_in_seconds(now));
        text.line(name, &pool_labels(pool), seconds.unwrap_or(f64::NAN));
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
    let durations = lock(&requests.durations).clone();
    let name = "linstor_restapi_request_duration_seconds";
    let help = "Time that requests of the REST API took";
    let rows = durations.iter();
    let rows = rows.map(|(route, histogram)| (vec![("apicall", route.as_str())], histogram));
    text.histograms(name, help, rows.collect());
}

fn messages(text: &mut Text, requests: &Requests) {
    let messages = lock(&requests.messages).clone();
    let name = "linstor_apicall_duration_seconds";
    let help = "Time that messages of satellites took";
    let rows = messages.iter().map(|((node, kind), histogram)| {
        let labels = vec![("apicall", *kind), ("peer", node.as_str())];
        (labels, histogram)
    });
    text.histograms(name, help, rows.collect());
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

    /// Histograms, and when each was begun.
    fn histograms(&mut self, name: &str, help: &str, rows: Vec<(Vec<(&str, &str)>, &Histogram)>) {
        self.kind(name, "histogram", help);
        for (labels, histogram) in &rows {
            let mut with_bound = labels.clone();
            let place = with_bound.len();
            with_bound.push(("le", ""));
            let bounds = histogram.bounds.iter().map(ToString::to_string);
            let counts = histogram.buckets.iter().chain([&histogram.count]);
            for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
                let mut labels = with_bound.clone();
                labels[place].1 = &bound;
                self.line(&format!("{name}_bucket"), &labels, count);
            }
            self.line(&format!("{name}_sum"), labels, histogram.seconds);
            self.line(&format!("{name}_count"), labels, histogram.count);
        }
        let name = format!("{name}_created");
        self.gauge(
            &name,
            "When counting began, in seconds since the Unix epoch",
        );
        for (labels, histogram) in &rows {
            let created = Duration::from_millis(histogram.created);
            self.line(&name, labels, created.as_secs_f64());
        }
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
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let word = |path: &str, index: usize| -> Option<u64> {
            read(path)?.split_whitespace().nth(index)?.parse().ok()
        };
        let pages = |index| Some((word("/proc/self/statm", index)? * PAGE_BYTES) as f64);
        // The second word, the name of the program in brackets, may have spaces.
        let stat = read("/proc/self/stat");
        let stat = stat.as_deref().and_then(|text| text.rsplit_once(')'));
        let ticks = |index: usize| -> Option<f64> {
            let ticks: f64 = stat?.1.split_whitespace().nth(index)?.parse().ok()?;
            Some(ticks / TICKS_PER_SECOND)
        };
        let value_of = |path: &str, key: &str| -> Option<f64> {
            let text = read(path)?;
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        let open = std::fs::read_dir("/proc/self/fd").ok();
        let open = open.map(|entries| entries.count() as f64);
        #[rustfmt::skip]
        let figures = [
            ("process_cpu_seconds_total", "counter", "Time on processors", sum(ticks(11), ticks(12))),
            ("process_start_time_seconds", "gauge", "Start, in seconds since the Unix epoch",
                sum(value_of("/proc/stat", "btime"), ticks(19))),
            ("process_virtual_memory_bytes", "gauge", "Virtual memory of the controller", pages(0)),
            ("process_resident_memory_bytes", "gauge", "Memory of the controller", pages(1)),
            ("process_open_fds", "gauge", "Open files of the controller", open),
            ("process_max_fds", "gauge", "Files that the controller may have open",
                value_of("/proc/self/limits", "Max open files")),
        ];
        for (name, kind, help, value) in figures {
            if let Some(value) = value {
                self.kind(name, kind, help);
                self.line(name, &[], value);
            }
        }
    }
}

/// In which Linux counts time for programs, on all machines.
const TICKS_PER_SECOND: f64 = 100.0;
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
            requests.took("GET /v1/nodes", Duration::from_millis(ms), 1500);
        }
        let mut text = Text(String::new());
        durations(&mut text, &requests);
        let name = "linstor_restapi_request_duration_seconds";
        for line in [
            format!("{name}_bucket{{apicall=\"GET /v1/nodes\",le=\"0.001\"}} 1"),
            format!("{name}_bucket{{apicall=\"GET /v1/nodes\",le=\"50\"}} 2"),
            format!("{name}_bucket{{apicall=\"GET /v1/nodes\",le=\"+Inf\"}} 3"),
            format!("{name}_count{{apicall=\"GET /v1/nodes\"}} 3"),
            format!("{name}_created{{apicall=\"GET /v1/nodes\"}} 1.5"),
        ] {
            assert!(
                text.0.lines().any(|found| found == line),
                "{line}\n{}",
                text.0
            );
        }
    }
}
