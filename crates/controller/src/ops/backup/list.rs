//! Which backups a remote has.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use linstor_api::backup::{
    Backup as Json, BackupList, BackupOther, BackupS3, BackupVolume, BackupVolumeS3,
};
use linstor_api::sorted_map::SortedMap;
use linstor_model::Model;
use linstor_model::backup::key::MetaKey;
use linstor_model::backup::{Backup, Loose};
use linstor_model::process::ship_backup::ShipBackup;

use super::super::name;
use super::bucket;
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// How LINSTOR writes times of backups; local time.
const TIME: &str = "%Y%m%d_%H%M%S";

/// The backups on a remote, only of a resource or a snapshot where one is given.
///
/// # Errors
///
/// When there is no such remote, or it cannot be read.
pub async fn list(
    cluster: &Cluster,
    on: String,
    resource: Option<String>,
    snapshot: Option<String>,
) -> Result<BackupList, Refusal> {
    let opened = bucket::open(cluster, &on)?;
    let resource = resource.filter(|text| !text.is_empty());
    let resource = resource.map(|text| stored(&cluster.model(), &text));
    let resource = resource.transpose()?;
    let prefix = resource.as_ref().map_or(String::new(), |name| prefix(name));
    let listed = opened.list(cluster, &prefix).await?;
    let snapshot = snapshot.filter(|text| !text.is_empty());
    let wanted = |key: &MetaKey| {
        let of_resource = resource.as_ref().is_none_or(|name| *name == key.resource);
        let name = key.snapshot_name();
        of_resource && snapshot.as_ref().is_none_or(|wanted| wanted == name)
    };
    let zone = TimeZone::system();
    let backups = listed.catalogue.backups.values();
    let backups = backups.filter(|backup| wanted(&backup.key));
    let backups = backups.map(|backup| (backup.key.id(), described(backup, &zone)));
    let loose = listed.catalogue.loose.values();
    let loose = loose.filter(|loose| wanted(&loose.key));
    let loose = loose.filter_map(|loose| {
        let (_, first) = loose.volumes.first_key_value()?;
        Some((first.clone(), undescribed(loose, &zone)))
    });
    let mut all: std::collections::BTreeMap<String, Json> = backups.chain(loose).collect();
    let model = cluster.model();
    for (_, backup) in model.shipments() {
        let Some(key) = backup
            .key()
            .filter(|key| backup.remote_uuid == opened.uuid && wanted(key))
        else {
            continue;
        };
        // Its objects are not visible before they are complete.
        let objects = match model.snapshot(&backup.resource, &backup.snapshot) {
            Some(row) => backup.objects(row),
            None => continue,
        };
        if let Some(first) = objects.values().next().cloned() {
            let id = key.key();
            all.retain(|_, other| other.s3.is_some() || format!("{}.meta", other.id) != id);
            all.insert(
                first,
                running(
                    &Loose {
                        key,
                        volumes: objects,
                    },
                    backup,
                    &zone,
                ),
            );
        }
    }
    let mut linstor = SortedMap::new();
    for (id, backup) in all {
        linstor.insert(id, backup);
    }
    Ok(BackupList {
        linstor,
        other: BackupOther {
            files: listed.catalogue.other,
        },
    })
}

/// How the keys of a resource's backups begin.
pub fn prefix(resource: &str) -> String {
    format!("{resource}_")
}

/// The name of a resource as its backups have it: keys of objects are not the same in upper and lower case.
///
/// # Errors
///
/// When it is no name of a resource.
pub fn stored(model: &Model, given: &str) -> Result<String, Refusal> {
    let name = name::resource(given)?;
    let known = model.definitions.get(&name).map(|row| row.name.to_string());
    Ok(known.unwrap_or_else(|| given.to_owned()))
}

/// A moment as LINSTOR writes it.
pub fn shown(at_ms: i64, zone: &TimeZone) -> Option<String> {
    let at = Timestamp::from_millisecond(at_ms).ok()?;
    Some(at.to_zoned(zone.clone()).strftime(TIME).to_string())
}

/// A moment as LINSTOR writes it, in milliseconds since the Unix epoch.
pub fn moment(text: &str, zone: &TimeZone) -> Option<i64> {
    let digits = |c: char| c.is_ascii_digit() || c == '_';
    if text.len() != "yyyyMMdd_HHmmss".len() || !text.chars().all(digits) {
        return None;
    }
    let local = DateTime::strptime(TIME, text).ok()?;
    Some(
        local
            .to_zoned(zone.clone())
            .ok()?
            .timestamp()
            .as_millisecond(),
    )
}

fn described(backup: &Backup, zone: &TimeZone) -> Json {
    let summary = &backup.summary;
    let volumes = summary
        .volumes
        .iter()
        .map(|(number, key, at)| BackupVolume {
            vlm_nr: i64::from(*number),
            finished_time: shown(*at, zone),
            finished_timestamp: Some(*at),
            s3: Some(BackupVolumeS3 {
                key: Some(key.clone()),
            }),
        });
    let lacks = &backup.lacks;
    Json {
        id: backup.key.id(),
        start_time: shown(summary.started_at, zone),
        start_timestamp: Some(summary.started_at),
        finished_time: shown(summary.finished_at, zone),
        finished_timestamp: Some(summary.finished_at),
        origin_rsc: backup.key.resource.clone(),
        origin_snap: backup.key.snapshot_name().to_owned(),
        origin_node: Some(summary.node.clone()),
        fail_messages: (!lacks.is_empty()).then(|| lacks.join(" ")),
        vlms: volumes.collect(),
        success: Some(true),
        shipping: Some(false),
        restorable: Some(lacks.is_empty()),
        s3: Some(BackupS3 {
            meta_name: Some(backup.key.key()),
        }),
        based_on_id: summary.based_on.clone(),
    }
}

fn undescribed(loose: &Loose, zone: &TimeZone) -> Json {
    let volumes = loose.volumes.iter().map(|(number, key)| BackupVolume {
        vlm_nr: i64::from(*number),
        s3: Some(BackupVolumeS3 {
            key: Some(key.clone()),
        }),
        ..BackupVolume::default()
    });
    let time = loose.key.time();
    Json {
        id: loose.key.id(),
        start_time: Some(time.to_owned()),
        start_timestamp: moment(time, zone),
        origin_rsc: loose.key.resource.clone(),
        origin_snap: loose.key.snapshot_name().to_owned(),
        fail_messages: Some(format!("The object '{}' is missing.", loose.key.key())),
        vlms: volumes.collect(),
        restorable: Some(false),
        ..Json::default()
    }
}

/// A backup that is being made.
fn running(objects: &Loose, backup: &ShipBackup, zone: &TimeZone) -> Json {
    Json {
        start_timestamp: i64::try_from(backup.started_at).ok(),
        origin_node: Some(backup.node.to_string()),
        fail_messages: None,
        shipping: Some(true),
        ..undescribed(objects, zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times are local, and come back as they were; what is none is not read.
    #[test]
    fn times_are_local() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (at, text) in [
            (1_743_170_939_000, "20250328_150859"),
            (1_751_378_400_000, "20250701_160000"),
        ] {
            assert_eq!(shown(at, &zone).as_deref(), Some(text));
            assert_eq!(moment(text, &zone), Some(at));
        }
        for bad in [
            "",
            "bad",
            "20250230_000000",
            "20250228_250000",
            "20250228 000000",
            "2025022_0000000",
        ] {
            assert_eq!(moment(bad, &zone), None, "{bad}");
        }
    }
}
