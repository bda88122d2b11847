//! What restoring a backup needs.

use std::collections::BTreeMap;

use linstor_api::backup::{BackupInfo, BackupInfoRequest, BackupInfoStorPool, BackupInfoVolume};
use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::reply::Reply;
use linstor_model::backup::meta::{Layer, Pool};
use linstor_model::backup::{Backup, Catalogue, Meta, MetaKey, VolumeKey};
use linstor_model::name::NodeName;
use linstor_model::space;

use super::super::{name, storage_pool};
use super::bucket::{self, Listed, Opened};
use super::list::{prefix, stored};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// Which backup is meant.
pub struct Wanted {
    /// Its id, with or without `.meta`.
    pub id: Option<String>,
    /// The resource that it is of.
    pub resource: Option<String>,
    /// Its snapshot.
    pub snapshot: Option<String>,
}

impl Wanted {
    /// The prefix of the keys in question.
    fn prefix(&self, cluster: &Cluster) -> Result<String, Refusal> {
        if let Some(id) = &self.id {
            let key = MetaKey::parse(&with_meta(id)).ok_or_else(|| bad_id(id))?;
            return Ok(prefix(&key.resource));
        }
        match &self.resource {
            Some(given) => Ok(prefix(&stored(&cluster.model(), given)?)),
            None => Ok(String::new()),
        }
    }

    /// The backup with this id, or the latest one.
    fn find<'a>(&self, catalogue: &'a Catalogue) -> Option<(&'a String, &'a Backup)> {
        if let Some(id) = &self.id {
            return catalogue.backups.get_key_value(&with_meta(id));
        }
        let wanted = catalogue.backups.iter().filter(|(_, backup)| {
            let key = &backup.key;
            let of = |wanted: &Option<String>, name: &str| {
                let wanted = wanted.as_deref();
                wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name))
            };
            of(&self.resource, &key.resource) && of(&self.snapshot, key.snapshot_name())
        });
        wanted.max_by(|(a_key, a), (b_key, b)| {
            let (a, b) = (&a.summary.started_at, &b.summary.started_at);
            (a, a_key).cmp(&(b, b_key))
        })
    }
}

fn with_meta(id: &str) -> String {
    let id = id.strip_suffix(".meta").unwrap_or(id);
    format!("{id}.meta")
}

fn bad_id(id: &str) -> Refusal {
    let shown = id.escape_debug();
    let message = format!("'{shown}' is not the id of a backup.");
    Reply::new(code::FAIL_INVLD_BACKUP_CONFIG | code::MASK_BACKUP, message)
        .cause(
            "An id has the form <resource>_back_YYYYMMDD_HHMMSS[suffix][^snapshot], as in myres_back_20210824_072543.",
        )
        .correction("Use an id of the list of backups, or only the resource for its latest backup.")
        .into()
}

/// A backup with all that it is based on, the newest first.
pub struct Chain {
    /// The key of its description.
    pub key: MetaKey,
    /// Keys and descriptions.
    pub links: Vec<(String, Meta)>,
}

/// Finds a backup, and reads its chain.
///
/// # Errors
///
/// When there is none, or a part of it is missing.
pub async fn chain(
    cluster: &Cluster,
    opened: &Opened,
    wanted: &Wanted,
) -> Result<(Chain, Listed), Refusal> {
    let listed = opened.list(cluster, &wanted.prefix(cluster)?).await?;
    let remote = &opened.name;
    let Some((key, backup)) = wanted.find(&listed.catalogue) else {
        let message = format!("The remote {remote} has no such backup.");
        return Err(
            Reply::new(code::FAIL_NOT_FOUND_BACKUP | code::MASK_BACKUP, message)
                .cause("No backup has this id, or is of this resource and snapshot.")
                .correction("Use a backup of the list of backups.")
                .into(),
        );
    };
    let broken = |cause: String| -> Refusal {
        let message = format!("The backup '{}' cannot be restored.", backup.key.id());
        Reply::new(code::FAIL_NOT_FOUND_BACKUP | code::MASK_BACKUP, message)
            .cause(cause)
            .correction("Use another backup, or put the missing objects back.")
            .into()
    };
    if !backup.lacks.is_empty() {
        return Err(broken(backup.lacks.join(" ")));
    }
    let mut links = Vec::new();
    for key in listed.catalogue.chain(key).map_err(broken)? {
        match opened.read(key).await {
            Ok(Some(meta)) => links.push((key.to_owned(), meta)),
            Ok(None) => return Err(broken(format!("The object '{key}' cannot be read."))),
            Err(error) => return Err(broken(error.to_string())),
        }
    }
    let key = backup.key.clone();
    Ok((Chain { key, links }, listed))
}

/// What restoring a backup needs.
///
/// # Errors
///
/// When there is no such backup, or it cannot be restored.
pub async fn info(
    cluster: &Cluster,
    on: &str,
    request: BackupInfoRequest,
) -> Result<BackupInfo, Refusal> {
    let opened = bucket::open(cluster, on)?;
    let text = |given: Option<String>| given.filter(|text| !text.is_empty());
    let node = text(request.node_name).map(|node| name::node(&node));
    let node = node.transpose()?;
    if let Some(node) = &node {
        name::known_node(&cluster.model(), node)?;
        storage_pool::refresh_thin(cluster).await;
    }
    let wanted = Wanted {
        id: text(request.last_backup),
        resource: text(request.src_rsc_name),
        snapshot: text(request.src_snap_name),
    };
    let (chain, listed) = chain(cluster, &opened, &wanted).await?;
    let mut pools: BTreeMap<Pool, Vec<BackupInfoVolume>> = BTreeMap::new();
    for (index, (_, meta)) in chain.links.iter().enumerate() {
        for layer in meta.layer_data.storage() {
            volumes(meta, layer, index == 0, &listed, &mut pools);
        }
    }
    let all = || pools.values().flatten();
    let dl_size_kib = all().filter_map(|volume| volume.dl_size_kib).sum();
    let alloc_size_kib = all().filter_map(|volume| volume.alloc_size_kib).sum();
    let mut storpools: Vec<BackupInfoStorPool> = pools
        .into_iter()
        .map(|(pool, vlms)| {
            let renamed = request.stor_pool_map.get(&pool.stor_pool_name);
            let renamed = renamed.or_else(|| request.stor_pool_map.get("*"));
            let target = renamed.unwrap_or(&pool.stor_pool_name).clone();
            BackupInfoStorPool {
                name: pool.stor_pool_name,
                provider_kind: pool.device_provider_kind,
                target_name: Some(target),
                remaining_space_kib: None,
                vlms,
            }
        })
        .collect();
    if let Some(node) = &node {
        remaining(cluster, node, &mut storpools)?;
    }
    Ok(BackupInfo {
        rsc: chain.key.resource.clone(),
        snap: chain.key.snapshot_name().to_owned(),
        full: chain.links.last().map(|(key, _)| key.clone()),
        latest: chain.key.id(),
        count: i32::try_from(chain.links.len()).unwrap_or(i32::MAX),
        dl_size_kib,
        alloc_size_kib,
        storpools,
    })
}

/// Adds the volumes of a layer. What they occupy is known of the latest backup: what the others hold is part of it.
fn volumes(
    meta: &Meta,
    layer: &Layer,
    is_latest: bool,
    listed: &Listed,
    pools: &mut BTreeMap<Pool, Vec<BackupInfoVolume>>,
) {
    for volume in &layer.volume_list {
        let objects = meta.backups.get(&volume.vlm_nr);
        let mut objects = objects.into_iter().flat_map(|objects| &objects.0);
        let object = objects.find(|object| {
            let key = VolumeKey::parse(&object.name);
            key.is_some_and(|key| key.layer_suffix == layer.rsc_name_suffix)
        });
        let bytes = object.and_then(|object| listed.sizes.get(&object.name));
        let row = BackupInfoVolume {
            name: object.map(|object| object.name.clone()),
            layer_type: layer_of(&layer.rsc_name_suffix).to_string(),
            dl_size_kib: bytes.map(|bytes| i64::try_from(bytes.div_ceil(1024)).unwrap_or(i64::MAX)),
            alloc_size_kib: volume.snapshot_allocated_size.filter(|_| is_latest),
            usable_size_kib: volume.snapshot_usable_size.filter(|_| is_latest),
        };
        let pool = volume.stor_pool_api.clone().unwrap_or_default();
        pools.entry(pool).or_default().push(row);
    }
}

/// The layer whose backing volumes have a suffix.
fn layer_of(suffix: &str) -> LayerKind {
    match suffix {
        ".meta" => LayerKind::Drbd,
        ".crypt" => LayerKind::Luks,
        ".cache" | ".dmcache_cache" | ".dmcache_meta" => LayerKind::Cache,
        _ => LayerKind::Storage,
    }
}

/// What is free in the pools of a node once the backup is restored to them.
fn remaining(
    cluster: &Cluster,
    node: &NodeName,
    storpools: &mut [BackupInfoStorPool],
) -> Result<(), Refusal> {
    let (model, observed) = (cluster.model(), cluster.observed());
    let mut needed: BTreeMap<String, i64> = BTreeMap::new();
    for pool in storpools.iter() {
        let target = pool.target_name.clone().unwrap_or_default();
        let volumes = pool.vlms.iter();
        let kib = volumes.filter_map(|volume| Some(volume.alloc_size_kib? + volume.dl_size_kib?));
        *needed.entry(target.to_ascii_uppercase()).or_default() += kib.sum::<i64>();
    }
    for pool in storpools {
        let target = pool.target_name.clone().unwrap_or_default();
        let name = name::pool(&target)?;
        let row = name::known_pool(&model, node, &name)?;
        let free = space::of_pool(&model, &observed, row).free_kib;
        let free = free.map(|kib| i64::try_from(kib).unwrap_or(i64::MAX));
        let needed = needed.get(&target.to_ascii_uppercase()).copied();
        pool.remaining_space_kib = free.map(|free| free - needed.unwrap_or_default());
    }
    Ok(())
}
