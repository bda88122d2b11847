//! Invariants: those that hold always, and those that hold when all faults are repaired and nothing is in progress.

use std::collections::{BTreeMap, BTreeSet};

use linstor_controller::Cluster;
use linstor_fake_host::DrbdKind;
use linstor_model::layer::luks::Keys;
use linstor_model::model::RowKey;
use linstor_model::name::NodeName;
use linstor_model::snapshot::SnapshotState;
use linstor_model::{Model, project};
use linstor_model::{Resource, SnapshotDefinition};
use linstor_store::Loaded;
use linstor_wire::spec::Withheld;

use crate::cluster::{Sim, VOLUME_GROUP};

/// Directory of the satellites' specs.
const SPECS: &str = "/var/lib/linstor/satellite/resources/";
/// So many blocks of snapshots are compared.
const SNAPSHOT_BLOCKS: u64 = 64;
/// Directory of the `.res` files.
const RES_FILES: &str = "/var/lib/linstor.d/";

/// The rows of a model as the store has them.
fn rows_of(model: &Model) -> BTreeMap<(String, String), String> {
    let mut keys = vec![RowKey::RowVersions, RowKey::Controller, RowKey::Epoch];
    keys.extend(model.nodes.keys().cloned().map(RowKey::Node));
    keys.extend(
        model
            .pool_definitions
            .keys()
            .cloned()
            .map(RowKey::StoragePoolDefinition),
    );
    keys.extend(
        model
            .pools
            .keys()
            .cloned()
            .map(|(node, pool)| RowKey::StoragePool(node, pool)),
    );
    keys.extend(model.groups.keys().cloned().map(RowKey::ResourceGroup));
    keys.extend(
        model
            .definitions
            .keys()
            .cloned()
            .map(RowKey::ResourceDefinition),
    );
    keys.extend(
        model
            .resources
            .keys()
            .cloned()
            .map(|(name, node)| RowKey::Resource(name, node)),
    );
    keys.extend(
        model
            .key_value_stores
            .keys()
            .cloned()
            .map(RowKey::KeyValueStore),
    );
    let snapshots = model.snapshots.values().flat_map(|rows| rows.values());
    keys.extend(
        snapshots.map(|row| RowKey::SnapshotDefinition(row.resource.clone(), row.name.clone())),
    );
    keys.extend([RowKey::MasterKey, RowKey::AuthTokens]);
    keys.extend(model.remotes.keys().cloned().map(RowKey::Remote));
    keys.extend(model.schedules.keys().cloned().map(RowKey::Schedule));
    keys.extend(
        model
            .external_files
            .keys()
            .cloned()
            .map(RowKey::ExternalFile),
    );
    keys.extend(model.processes.keys().copied().map(RowKey::Process));
    keys.iter()
        .filter_map(|key| {
            Some((
                (key.kind().as_str().to_owned(), key.key()),
                model.row_json(key)?,
            ))
        })
        .collect()
}

/// The published model is in the store: equal if no later commit was stored, and never newer.
pub fn durability(model: &Model, stored: &Loaded) -> Vec<String> {
    if stored.generation < model.generation {
        let (published, stored) = (model.generation, stored.generation);
        return vec![format!(
            "generation {published} was published, {stored} is stored"
        )];
    }
    if stored.generation > model.generation {
        return Vec::new();
    }
    let stored: BTreeMap<(String, String), String> = stored
        .rows
        .iter()
        .map(|row| ((row.kind.clone(), row.key.clone()), row.json.clone()))
        .collect();
    let published = rows_of(model);
    let keys: BTreeSet<_> = stored.keys().chain(published.keys()).collect();
    let is_held = |(kind, key): &(String, String)| {
        let mut rows = model.held.rows().iter();
        rows.any(|held| held.row.kind == *kind && held.row.key == *key)
    };
    keys.into_iter()
        .filter(|key| !is_held(key))
        .filter(|key| stored.get(*key) != published.get(*key))
        .map(|key| {
            let (stored, published) = (stored.get(key), published.get(key));
            format!("{key:?} is stored as {stored:?} and published as {published:?}")
        })
        .collect()
}

/// Every operation in progress is a job, and each waiting job has a reason.
pub fn explained(cluster: &Cluster) -> Vec<String> {
    let (model, jobs) = (cluster.model(), cluster.jobs());
    let mut wrong = Vec::new();
    for job in &jobs {
        if job.waiting_for.iter().any(|wait| wait.reason.is_empty()) {
            wrong.push(format!("job {} waits without a reason", job.id));
        }
    }
    for process in model.processes.values() {
        if !jobs.iter().any(|job| job.id == process.id.to_string()) {
            wrong.push(format!("process {} has no job", process.id));
        }
    }
    wrong
}

/// Violations of the invariants that hold without faults and without operations in progress.
pub fn at_rest(sim: &Sim) -> Vec<String> {
    let Some(cluster) = sim.cluster() else {
        return vec!["there is no controller".to_owned()];
    };
    let (model, observed) = (cluster.model(), cluster.observed());
    let mut wrong = Vec::new();
    for job in cluster.jobs() {
        let waits: Vec<String> = job
            .waiting_for
            .iter()
            .map(|wait| format!("{}: {}", wait.node, wait.reason))
            .collect();
        wrong.push(format!(
            "job {} is still in {}, waiting for {waits:?}",
            job.id, job.phase
        ));
    }
    for node in model.nodes.values() {
        if !observed.is_online(&node.name) {
            let reason = observed
                .nodes
                .get(&node.name)
                .and_then(|node| node.reason.clone());
            wrong.push(format!("{} is not online: {reason:?}", node.name));
        }
    }
    wrong.extend(explained(&cluster));
    wrong.extend(durability(&model, &sim.store.contents()));
    if sim.store.contents().generation != model.generation {
        wrong.push("the store has a newer generation than the model".to_owned());
    }
    wrong.extend(numbers(&model));
    for replica in model.resources.values() {
        wrong.extend(replica_at_rest(sim, &cluster, &model, replica));
        let (name, node) = (replica.name.as_str(), replica.node.as_str());
        if sim.fake.holds_requests(node, name) {
            wrong.push(format!("{name} on {node}: requests are held back"));
        }
    }
    for node in sim.nodes() {
        wrong.extend(leftovers(sim, &model, &node));
    }
    for definition in model.definitions.values() {
        let name = definition.name.as_str();
        wrong.extend(sim.fake.lost_writes(name));
    }
    let snapshots = model.snapshots.values().flat_map(|rows| rows.values());
    for row in snapshots {
        wrong.extend(snapshot_at_rest(sim, row));
    }
    wrong.extend(sim.fake.violations());
    wrong
}

/// A snapshot that was taken has the same content on all nodes, and the others are neither being taken nor deleted.
fn snapshot_at_rest(sim: &Sim, row: &SnapshotDefinition) -> Vec<String> {
    let (name, snapshot) = (&row.resource, &row.name);
    if row.state == SnapshotState::Incomplete {
        return vec![format!("snapshot {snapshot} of {name} is incomplete")];
    }
    let mut wrong = Vec::new();
    for number in row.volumes.keys().filter(|_| row.is_successful()) {
        let path = format!("/dev/{VOLUME_GROUP}/{name}_{number:05}_{snapshot}");
        let content = |node: &NodeName| -> Vec<Option<u64>> {
            let blocks = 0..SNAPSHOT_BLOCKS;
            blocks
                .map(|block| sim.fake.peek(node.as_str(), &path, block))
                .collect()
        };
        // A node that has booted since has not activated it.
        let nodes = row.snapshots.keys();
        let active = nodes.filter(|node| sim.fake.has_device(node.as_str(), &path));
        let mut contents: Vec<_> = active.map(content).collect();
        contents.dedup();
        if contents.len() > 1 {
            wrong.push(format!("{path} is not the same on all nodes"));
        }
    }
    wrong
}

/// No minor, port or node id is assigned twice.
fn numbers(model: &Model) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut minors = BTreeSet::new();
    for definition in model.definitions.values() {
        for minor in definition
            .volumes
            .values()
            .filter_map(|volume| volume.minor)
        {
            if !minors.insert(minor) {
                wrong.push(format!("minor {minor} is assigned twice"));
            }
        }
    }
    let (mut ports, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for replica in model.resources.values() {
        let Some(drbd) = &replica.drbd else { continue };
        for port in &drbd.ports {
            if !ports.insert((replica.node.clone(), *port)) {
                wrong.push(format!("port {port} is assigned twice on {}", replica.node));
            }
        }
        if !ids.insert((replica.name.clone(), drbd.node_id)) {
            wrong.push(format!(
                "node id {} is assigned twice in {}",
                drbd.node_id, replica.name
            ));
        }
    }
    wrong
}

/// The node of a resource has its backing volumes and its DRBD device.
fn replica_at_rest(sim: &Sim, cluster: &Cluster, model: &Model, replica: &Resource) -> Vec<String> {
    let (name, node) = (replica.name.as_str(), replica.node.as_str());
    if let Some(process) = model.process_of(replica) {
        return vec![format!("{name} on {node} is still in {:?}", process.kind)];
    }
    if replica.is_being_restored() {
        return vec![format!("{name} on {node} is still made of a snapshot")];
    }
    let keys = Keys::Withheld(Withheld::Locked);
    let Some(spec) = project::resource_spec(model, &replica.name, &replica.node, keys) else {
        return vec![format!("{name} on {node} has no spec")];
    };
    let mut wrong = Vec::new();
    let status = cluster
        .observed()
        .live(&replica.name, &replica.node)
        .cloned();
    for volume in &spec.volumes {
        let number = volume.number;
        let about = format!("{name}/{number} on {node}");
        if let Some(process) = model.process_of_volume(&replica.name, number) {
            let since = process.since.at;
            wrong.push(format!("{about} has a change in progress since {since}"));
        }
        let seen = status.iter().flat_map(|status| &status.volumes);
        let seen = seen.into_iter().find(|seen| seen.number == number);
        let backing = seen.and_then(|seen| seen.backing_kib);
        // The backing volumes of an inactive resource are resized when it is activated.
        let wanted = volume.data().map_or(0, |data| data.size_kib);
        let small = |kib: u64| kib < wanted && !replica.inactive;
        if !replica.is_diskless() && backing.is_none_or(small) {
            wrong.push(format!(
                "{about} should have {wanted} KiB of storage, its spec has {backing:?}"
            ));
        }
        if replica.drbd.is_some() && !replica.inactive {
            wrong.extend(drbd_at_rest(sim, model, replica, number, volume.usable_kib));
        }
    }
    wrong
}

/// DRBD is up and connected with every peer, its disk is UpToDate, and its size is that of the volume definition.
fn drbd_at_rest(
    sim: &Sim,
    model: &Model,
    replica: &Resource,
    number: u32,
    usable_kib: u64,
) -> Vec<String> {
    let (name, node) = (replica.name.as_str(), replica.node.as_str());
    let about = format!("{name}/{number} on {node}");
    let Some(state) = sim.fake.drbd(node, name, number) else {
        return vec![format!("{about} does not exist in DRBD")];
    };
    let mut wrong = Vec::new();
    let disk = if replica.is_diskless() {
        "Diskless"
    } else {
        "UpToDate"
    };
    if state.disk != disk {
        wrong.push(format!("{about} should be {disk}, is {}", state.disk));
    }
    if state.size_kib < usable_kib {
        wrong.push(format!(
            "{about} should have {usable_kib} KiB, has {}",
            state.size_kib
        ));
    }
    let peers = model.resources_of(&replica.name).filter(|peer| {
        peer.node != replica.node
            && !peer.inactive
            && !(peer.is_diskless() && replica.is_diskless())
    });
    for peer in peers {
        let seen = match sim.shape.drbd {
            // DRBD 8.4 does not report the name of its peer.
            Some(DrbdKind::V84) => state.peers.values().next(),
            _ => state.peers.get(peer.node.as_str()),
        };
        let disk = if peer.is_diskless() {
            "Diskless"
        } else {
            "UpToDate"
        };
        let good = seen.is_some_and(|(connection, _, peer_disk)| {
            connection == "Connected" && peer_disk == disk
        });
        if !good {
            wrong.push(format!("{about} reports peer {} as {seen:?}", peer.node));
        }
    }
    wrong
}

/// A node has no object that is not in the model.
fn leftovers(sim: &Sim, model: &Model, node: &str) -> Vec<String> {
    let here = || {
        model
            .resources
            .values()
            .filter(|replica| replica.node.as_str() == node)
    };
    let up = || here().filter(|replica| replica.drbd.is_some() && !replica.inactive);
    let mut wrong = Vec::new();
    let mut compare = |what: &str, found: BTreeSet<String>, wanted: BTreeSet<String>| {
        if found != wanted {
            wrong.push(format!(
                "{node} should have the {what} {wanted:?}, has {found:?}"
            ));
        }
    };
    let volumes = here()
        .filter(|replica| !replica.is_diskless())
        .flat_map(|replica| {
            let numbers = replica.volumes.keys();
            numbers
                .map(|number| format!("{}_{number:05}", replica.name))
                .collect::<Vec<_>>()
        });
    let thin = sim.shape.thin.then(|| "thin".to_owned());
    let rows = || model.snapshots.values().flat_map(|rows| rows.values());
    let taken = |successful: bool| {
        let rows = rows().filter(move |row| row.is_successful() == successful);
        let parts = rows.flat_map(|row| row.snapshots.iter().map(move |part| (row, part)));
        let here = parts.filter(|(_, (on, _))| on.as_str() == node);
        here.flat_map(|(row, (_, part))| {
            let numbers = part.volumes.keys();
            let name = |number: &u32| format!("{}_{number:05}_{}", row.resource, row.name);
            numbers.map(name).collect::<Vec<_>>()
        })
        .collect::<BTreeSet<String>>()
    };
    let found = sim.fake.logical_volumes(node, VOLUME_GROUP);
    // One that has failed may be there in part.
    let failed = taken(false);
    let found = found.into_iter().filter(|name| !failed.contains(name));
    let wanted = volumes.chain(thin).chain(taken(true));
    compare("logical volumes", found.collect(), wanted.collect());

    let names: BTreeSet<String> = up().map(|replica| replica.name.to_string()).collect();
    let found = sim.fake.drbd_resources(node).into_iter().collect();
    compare("DRBD resources", found, names.clone());

    let files = sim.fake.files(node);
    let below = |place: &str, suffix: &str| -> BTreeSet<String> {
        let paths = files
            .keys()
            .filter_map(|path| path.strip_prefix(place)?.strip_suffix(suffix));
        paths.map(str::to_owned).collect()
    };
    let backups = names.iter().map(|name| format!(".backup/{name}"));
    let wanted = names.iter().cloned().chain(backups).collect();
    compare("DRBD files", below(RES_FILES, ".res"), wanted);
    let wanted = here()
        .map(|replica| replica.name.as_str().to_ascii_uppercase())
        .collect();
    // Nobody is connected to a node that was deleted to say that what is destroyed there may be forgotten.
    let deleted = !model.nodes.keys().any(|name| name.as_str() == node);
    let is_destroyed = |name: &String| {
        let text = files.get(&format!("{SPECS}{name}.json"));
        let target = text.and_then(|text| text.split_once("\"target\": \""));
        target.is_some_and(|(_, target)| target.starts_with("destroyed"))
    };
    let mut found = below(SPECS, ".json");
    found.retain(|name| !(deleted && is_destroyed(name)));
    compare("specs", found, wanted);
    wrong
}
