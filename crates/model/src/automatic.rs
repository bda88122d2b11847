//! Properties that the controller sets by itself: the verify algorithm of a definition, the unit in which its volumes are
//! written, and the granularity in which a resync of them discards.
//!
//! A verify algorithm that only one side of a connection has cuts the connection when it is set up again. Hence it is
//! chosen from those that all nodes have now, before DRBD runs anywhere, and not for a definition that runs without one;
//! and it is left out of all nodes' files while one of them does not have it.

use std::collections::BTreeMap;
use std::sync::Arc;

use linstor_api::kind::ProviderKind;
use linstor_api::prop;

use crate::block_size;
use crate::draft::Draft;
use crate::model::Model;
use crate::name::ResourceName;
use crate::observed::Observed;
use crate::props::{Purpose, Scope, effective, is_true};
use crate::{Resource, ResourceDefinition, VolumeDefinition};

/// The largest granularity that DRBD takes, in bytes.
const DISCARD_GRANULARITY_MAX: u64 = 1 << 20;

const VERIFY_ALG: &str = "verify-alg";

/// Sets what follows from the resources of a definition as they are, within the same commit.
pub fn settle(draft: &mut Draft, observed: &Observed, name: &ResourceName) {
    let Some(definition) = draft.definitions.get(name).map(Arc::clone) else {
        return;
    };
    if draft.is_deleting_definition(&definition) || draft.held.holds_definition(name) {
        return;
    }
    let mut row = ResourceDefinition::clone(&definition);
    for (number, volume) in &mut row.volumes {
        if let Some(bytes) = block_size::wanted(draft, observed, &definition, *number) {
            set(volume, prop::DRBD_DISK_BLOCK_SIZE, bytes.to_string());
        }
        let first = volume.first_copy_on.as_ref().map(ToString::to_string);
        if let Some(node) = first.filter(|_| definition.drbd.is_some()) {
            set(volume, prop::DRBD_INITIAL_UPTODATE_ON, node);
        }
        if block_size::is_to_be_frozen(draft, observed, &definition, volume) {
            set(volume, prop::DRBD_FREEZE_BLOCK_SIZE, "True".to_owned());
        }
    }
    if definition.drbd.is_some() {
        settle_drbd(draft, observed, &definition, &mut row);
    }
    if row != *definition {
        draft.put_resource_definition(row);
    }
}

fn set(volume: &mut VolumeDefinition, key: &str, value: String) {
    volume.props.insert(key.to_owned(), value);
}

fn settle_drbd(
    draft: &Draft,
    observed: &Observed,
    definition: &ResourceDefinition,
    row: &mut ResourceDefinition,
) {
    if let Some(algorithm) = new_verify_algorithm(draft, observed, definition) {
        row.props
            .insert(prop::DRBD_AUTO_VERIFY_ALG.to_owned(), algorithm);
    }
    for (number, volume) in &mut row.volumes {
        let granularity = discard_granularity(draft, observed, definition, *number);
        if let Some(bytes) = granularity {
            let key = prop::DRBD_DISK_RS_DISCARD_GRANULARITY;
            set(volume, key, bytes.to_string());
        }
    }
}

fn replicas<'a>(
    model: &'a Model,
    name: &'a ResourceName,
) -> impl Iterator<Item = &'a Arc<Resource>> {
    let all = model.resources_of(name);
    all.filter(|replica| replica.drbd.is_some() && !model.is_deleting(replica))
}

/// Whether DRBD runs for a replica.
pub(crate) fn runs(model: &Model, observed: &Observed, name: &ResourceName) -> bool {
    replicas(model, name).any(|replica| {
        let key = (name.clone(), replica.node.clone());
        let status = observed.resources.get(&key);
        status.is_some_and(|status| status.uuid == replica.uuid && status.drbd.is_some())
    })
}

fn new_verify_algorithm(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
) -> Option<String> {
    let name = &definition.name;
    let scope = Scope::definition(definition);
    let disabled = effective(
        model,
        Purpose::Policy,
        &scope,
        prop::DRBD_DISABLE_AUTO_VERIFY_ALGO,
    );
    let own = format!("{}/{VERIFY_ALG}", prop::DRBD_NET_OPTIONS);
    if definition.props.contains_key(prop::DRBD_AUTO_VERIFY_ALG)
        || disabled.is_some_and(is_true)
        || effective(model, Purpose::DrbdResource, &scope, &own).is_some()
        || runs(model, observed, name)
    {
        return None;
    }
    let mut nodes = replicas(model, name).map(|replica| digests(model, replica));
    // All of them have to be known. The first one's priorities count.
    let first = nodes.next()??;
    let others: Vec<&BTreeMap<String, u32>> = nodes.collect::<Option<_>>()?;
    let keys = [
        prop::DRBD_AUTO_VERIFY_ALGO_ALLOWED,
        prop::DRBD_AUTO_VERIFY_ALGO_ALLOWED_USER,
    ];
    let props = &model.controller.props;
    let allowed = keys.iter().filter_map(|key| props.get(*key));
    let allowed = allowed.flat_map(|list| list.split(';')).map(str::trim);
    let common = allowed.filter(|algorithm| others.iter().all(|has| has.contains_key(*algorithm)));
    let common = common.filter_map(|algorithm| Some((*first.get(algorithm)?, algorithm)));
    // Of several with the same priority the first one of the list.
    let best = common.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, algorithm)| algorithm.to_owned())
}

/// The digests of a replica's node; none while its satellite has not reported them.
fn digests<'a>(model: &'a Model, replica: &Resource) -> Option<&'a BTreeMap<String, u32>> {
    let host = model.node(&replica.node)?.host.as_ref()?;
    (!host.digests.is_empty()).then_some(&host.digests)
}

/// The verify algorithm that was chosen for a definition, if all nodes have it as far as they have reported any.
pub fn verify_algorithm<'a>(model: &Model, definition: &'a ResourceDefinition) -> Option<&'a str> {
    let algorithm = definition.props.get(prop::DRBD_AUTO_VERIFY_ALG)?;
    let lacks = |replica: &Arc<Resource>| {
        digests(model, replica).is_some_and(|has| !has.contains_key(algorithm))
    };
    let lacking = replicas(model, &definition.name).any(lacks);
    (!lacking).then_some(algorithm)
}

/// The granularity of discards of the thin pools of a volume, the largest one, in bytes: a resync that discards what reads
/// as zeros does not allocate it. None where no pool has one, or the controller does not manage it.
fn discard_granularity(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    number: u32,
) -> Option<u64> {
    let scope = Scope::definition(definition);
    let managed = effective(
        model,
        Purpose::Granularity,
        &scope,
        prop::DRBD_AUTO_RS_DISCARD_GRANULARITY,
    );
    if managed.is_some_and(|value| !is_true(value)) {
        return None;
    }
    let of_pool = |replica: &Arc<Resource>| {
        let pool = &replica.volumes.get(&number)?.pool;
        let row = model.pool(&replica.node, pool)?;
        if row.kind != ProviderKind::LvmThin {
            return None;
        }
        let seen = observed.pools.get(&(row.node.clone(), row.name.clone()))?;
        Some(seen.status.chunk_kib? * 1024)
    };
    let largest = replicas(model, &definition.name)
        .filter_map(of_pool)
        .max()?;
    Some(largest.min(DISCARD_GRANULARITY_MAX))
}

#[cfg(test)]
mod tests {
    use linstor_api::kind::LayerKind;

    use super::*;
    use crate::place::fixture::{Cluster, cluster, node, pool, resource};

    type Digests<'a> = &'a [(&'a str, u32)];

    /// Two replicas on nodes with these digests.
    fn deployed(n1: &[(&str, u32)], n2: &[(&str, u32)]) -> Cluster {
        let mut cluster = cluster("n1: sp1 100\n n2: sp1 100");
        cluster.controller_prop(
            prop::DRBD_AUTO_VERIFY_ALGO_ALLOWED,
            "crct10dif;crc32c;sha256;sha1",
        );
        cluster.define("res", &[1]);
        cluster.put("res", "sp1", &["n1", "n2"]);
        report(&mut cluster, "n1", n1);
        report(&mut cluster, "n2", n2);
        cluster
    }

    fn report(cluster: &mut Cluster, on: &str, digests: &[(&str, u32)]) {
        cluster.draft.edit_node(&node(on), |row| {
            let host = row.host.as_mut().expect("it has reported");
            let digests = digests
                .iter()
                .map(|(name, rank)| ((*name).to_owned(), *rank));
            host.digests = digests.collect();
        });
    }

    /// What was chosen, and what is in the files.
    fn settled(cluster: &mut Cluster) -> (Option<String>, Option<String>) {
        let (name, observed) = (resource("res"), cluster.observed.clone());
        settle(&mut cluster.draft, &observed, &name);
        let definition = &cluster.draft.definitions[&name];
        let chosen = definition.props.get(prop::DRBD_AUTO_VERIFY_ALG).cloned();
        let used = verify_algorithm(&cluster.draft, definition).map(str::to_owned);
        (chosen, used)
    }

    fn both(name: &str) -> (Option<String>, Option<String>) {
        (Some(name.to_owned()), Some(name.to_owned()))
    }

    /// It is one that all nodes have, of the allowed ones that with the highest priority on the first node.
    #[test]
    fn the_verify_algorithm_is_common() {
        let cases: [(Digests<'_>, Digests<'_>, Option<&str>); 6] = [
            (
                &[("crc32c", 100), ("sha1", 200)],
                &[("crc32c", 300), ("sha1", 1)],
                Some("sha1"),
            ),
            (
                &[("crct10dif", 300), ("sha1", 200)],
                &[("sha1", 1)],
                Some("sha1"),
            ),
            (
                &[("crc32c", 100), ("sha1", 100)],
                &[("sha1", 1), ("crc32c", 1)],
                Some("crc32c"),
            ),
            (
                &[("md5", 900), ("sha1", 1)],
                &[("md5", 900), ("sha1", 1)],
                Some("sha1"),
            ),
            (&[("md5", 900)], &[("md5", 900)], None),
            (&[("sha1", 1)], &[], None),
        ];
        for (n1, n2, expected) in cases {
            let mut cluster = deployed(n1, n2);
            let expected = expected.map_or((None, None), both);
            assert_eq!(settled(&mut cluster), expected, "{n1:?} {n2:?}");
        }
    }

    /// A choice of a user, and one that was made, are not changed; a definition that runs without one goes on so. A node
    /// that comes without it has it left out everywhere.
    #[test]
    fn running_connections_are_not_changed() {
        let all = [("crc32c", 100), ("sha1", 200)];
        let mut disabled = deployed(&all, &all);
        disabled.prop("res", prop::DRBD_DISABLE_AUTO_VERIFY_ALGO, "true");
        assert_eq!(settled(&mut disabled), (None, None));
        let mut user = deployed(&all, &all);
        user.prop("res", "DrbdOptions/Net/verify-alg", "sha256");
        assert_eq!(settled(&mut user).0, None);
        let mut running = deployed(&all, &all);
        let status = linstor_wire::status::ResourceStatus {
            drbd: Some(Default::default()),
            ..Default::default()
        };
        let key = (resource("res"), node("n2"));
        running.observed.resources.insert(key, Arc::new(status));
        assert_eq!(settled(&mut running), (None, None));
        let mut chosen = deployed(&all, &all);
        assert_eq!(settled(&mut chosen), both("sha1"));
        report(&mut chosen, "n1", &[("crc32c", 900), ("sha1", 200)]);
        assert_eq!(settled(&mut chosen), both("sha1"));
        report(&mut chosen, "n2", &[("crc32c", 100)]);
        assert_eq!(settled(&mut chosen), (Some("sha1".into()), None));
    }

    /// Volumes are written in the unit of the layer that has the largest one, until DRBD runs; a larger one of a user
    /// is not changed, and none is set where the controller does not manage it.
    #[test]
    fn the_block_size_is_that_of_the_layers() {
        let deployed = |layers: &[LayerKind]| {
            let mut cluster = deployed(&[], &[]);
            for on in ["n1", "n2"] {
                let mut replica =
                    Resource::clone(cluster.draft.resource(&resource("res"), &node(on)).unwrap());
                replica.layer_stack = layers.to_vec();
                cluster.draft.put_resource(replica);
            }
            cluster
        };
        let size = |cluster: &mut Cluster| {
            settled(cluster);
            let volume = &cluster.draft.definitions[&resource("res")].volumes[&0];
            volume.props.get(prop::DRBD_DISK_BLOCK_SIZE).cloned()
        };
        let plain = [LayerKind::Drbd, LayerKind::Storage];
        let encrypted = [LayerKind::Drbd, LayerKind::Luks, LayerKind::Storage];
        assert_eq!(
            size(&mut deployed(&[LayerKind::Storage])).as_deref(),
            Some("512")
        );
        assert_eq!(size(&mut deployed(&encrypted)).as_deref(), Some("4096"));
        let mut unmanaged = deployed(&plain);
        unmanaged.prop("res", prop::DRBD_AUTO_BLOCK_SIZE, "false");
        assert_eq!(size(&mut unmanaged), None);
        let mut cluster = deployed(&plain);
        cluster
            .draft
            .edit_resource_definition(&resource("res"), |row| {
                let props = &mut row.volumes.get_mut(&0).unwrap().props;
                props.insert(prop::DRBD_DISK_BLOCK_SIZE.to_owned(), "4096".to_owned());
            });
        assert_eq!(size(&mut cluster).as_deref(), Some("4096"));
        let mut running = deployed(&encrypted);
        let status = linstor_wire::status::ResourceStatus {
            drbd: Some(Default::default()),
            ..Default::default()
        };
        let replica = running
            .draft
            .resource(&resource("res"), &node("n2"))
            .unwrap();
        let status = Arc::new(linstor_wire::status::ResourceStatus {
            uuid: replica.uuid,
            ..status
        });
        running
            .observed
            .resources
            .insert((resource("res"), node("n2")), status);
        assert_eq!(size(&mut running), None);
    }

    /// Volumes are written in the largest logical sectors of their pools. Once that cannot change, because DRBD runs or a
    /// replica was primary, a pool on larger sectors takes no replica, and does again when a user takes the latter back.
    #[test]
    fn sectors_of_4096_bytes() {
        let deployed = |sectors: u32| {
            let mut cluster = cluster("n1: sp1 100\n n2: sp1 100\n n3: sp1 100");
            cluster.define("res", &[1]);
            cluster.put("res", "sp1", &["n1", "n2"]);
            for (on, bytes) in [("n2", sectors), ("n3", 4096)] {
                let key = (node(on), pool("sp1"));
                let seen = cluster.observed.pools.get_mut(&key).expect("a pool");
                seen.status.sector_bytes = Some(bytes);
            }
            settled(&mut cluster);
            cluster
        };
        let props = |cluster: &Cluster| {
            let volume = &cluster.draft.definitions[&resource("res")].volumes[&0];
            volume.props.clone()
        };
        let refused = |cluster: &Cluster| {
            let definition = &cluster.draft.definitions[&resource("res")];
            let row = cluster.draft.pool(&node("n3"), &pool("sp1")).unwrap();
            block_size::check(&cluster.draft, &cluster.observed, definition, row).is_err()
        };
        let size = |cluster: &Cluster| props(cluster).get(prop::DRBD_DISK_BLOCK_SIZE).cloned();
        assert_eq!(size(&deployed(4096)).as_deref(), Some("4096"));
        let mut cluster = deployed(512);
        assert_eq!(size(&cluster).as_deref(), Some("512"));
        assert!(!refused(&cluster));
        let replica = cluster.draft.resource(&resource("res"), &node("n1"));
        let drbd = linstor_wire::status::DrbdStatus {
            in_use: true,
            ..Default::default()
        };
        let status = Arc::new(linstor_wire::status::ResourceStatus {
            uuid: replica.unwrap().uuid,
            drbd: Some(drbd),
            ..Default::default()
        });
        let key = (resource("res"), node("n1"));
        cluster.observed.resources.insert(key.clone(), status);
        assert!(refused(&cluster), "DRBD runs");
        settled(&mut cluster);
        let frozen = props(&cluster).get(prop::DRBD_FREEZE_BLOCK_SIZE).cloned();
        assert_eq!(frozen.as_deref(), Some("True"));
        cluster.observed.resources.remove(&key);
        assert!(refused(&cluster), "it was primary");
        cluster
            .draft
            .edit_resource_definition(&resource("res"), |row| {
                let props = &mut row.volumes.get_mut(&0).unwrap().props;
                props.insert(prop::DRBD_FREEZE_BLOCK_SIZE.into(), "False".into());
            });
        assert!(!refused(&cluster));
        cluster.put("res", "sp1", &["n3"]);
        settled(&mut cluster);
        assert_eq!(size(&cluster).as_deref(), Some("4096"));
    }

    /// Resyncs discard in the largest chunks of the thin pools, unless the controller does not manage that.
    #[test]
    fn discards_are_as_large_as_chunks() {
        let thin = || {
            let mut cluster = cluster("n1: sp1 100 LVM_THIN\n n2: sp1 100 LVM_THIN");
            cluster.define("res", &[1]);
            cluster.put("res", "sp1", &["n1", "n2"]);
            for (on, kib) in [("n1", 64), ("n2", 128)] {
                let key = (node(on), pool("sp1"));
                let seen = cluster.observed.pools.get_mut(&key).expect("a pool");
                seen.status.chunk_kib = Some(kib);
            }
            cluster
        };
        let granularity = |cluster: &mut Cluster| {
            settled(cluster);
            let volume = &cluster.draft.definitions[&resource("res")].volumes[&0];
            volume
                .props
                .get(prop::DRBD_DISK_RS_DISCARD_GRANULARITY)
                .cloned()
        };
        let mut unmanaged = thin();
        unmanaged.controller_prop(prop::DRBD_AUTO_RS_DISCARD_GRANULARITY, "false");
        assert_eq!(granularity(&mut unmanaged), None);
        assert_eq!(granularity(&mut thin()).as_deref(), Some("131072"));
    }
}
