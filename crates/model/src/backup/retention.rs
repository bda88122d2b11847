//! What a schedule does not retain any more: snapshots on the nodes, backups on the remote. Only what the schedule itself has
//! made is ever counted or deleted, and nothing that another backup needs.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::prop;

use super::catalogue::{Backup, Catalogue};
use super::history::Triple;
use crate::SnapshotDefinition;
use crate::model::Model;
use crate::name::SnapshotName;
use crate::process::ship_backup::{Status, prop_key};

/// What a snapshot says of a backup of it on the remote.
fn value<'a>(row: &'a SnapshotDefinition, of: &Triple, key: &str) -> Option<&'a str> {
    row.props
        .get(&prop_key(&of.remote, key))
        .map(String::as_str)
}

/// Whether a schedule has made a snapshot for a remote, and nobody has made a backup of it on another one.
fn is_made_by(row: &SnapshotDefinition, of: &Triple) -> bool {
    let by = row.props.get(prop::BACKUP_SHIPPED_BY_SCHEDULE);
    let own = format!("{}/{}/", prop::BACKUP_SOURCE_NAMESPACE, of.remote);
    let mut keys = row.props.keys();
    let elsewhere = keys.any(|key| {
        key.starts_with(prop::BACKUP_SOURCE_NAMESPACE) && !key.starts_with(own.as_str())
    });
    by.is_some_and(|by| by.eq_ignore_ascii_case(of.schedule.as_str()))
        && value(row, of, prop::BACKUP_TARGET_REMOTE).is_some()
        && !elsewhere
}

/// The snapshots that a schedule has made and that nothing needs now, the oldest first.
fn own<'a>(model: &'a Model, of: &Triple) -> Vec<&'a SnapshotDefinition> {
    let rows = model.snapshots_of(&of.resource).map(|row| &**row);
    let mut rows: Vec<&SnapshotDefinition> = rows
        .filter(|row| {
            is_made_by(row, of)
                && model
                    .deletion_of_snapshot(&of.resource, &row.name)
                    .is_none()
                && !model.is_being_sent(&of.resource, &row.name)
        })
        .collect();
    rows.sort_by_key(|row| row.sequence_number);
    rows
}

/// The snapshots that are left of backups of a schedule that have failed.
pub fn failed(model: &Model, of: &Triple) -> Vec<SnapshotName> {
    let status = Status::Failed.as_str();
    let rows = own(model, of).into_iter();
    rows.filter(|row| value(row, of, prop::BACKUP_SHIPPING_STATUS) == Some(status))
        .map(|row| row.name.clone())
        .collect()
}

/// The snapshots of a schedule that are older than those of its last `keep` full backups, without those that newer ones are
/// based on.
pub fn local(model: &Model, of: &Triple, keep: usize) -> Vec<SnapshotName> {
    let rows = own(model, of);
    let success = Status::Success.as_str();
    let base = |row: &SnapshotDefinition| {
        let base = value(row, of, prop::BACKUP_LAST_SNAPSHOT)?;
        SnapshotName::parse(base).ok()
    };
    let full = rows.iter().filter(|row| {
        base(row).is_none() && value(row, of, prop::BACKUP_SHIPPING_STATUS) == Some(success)
    });
    let mut full: Vec<u64> = full.map(|row| row.sequence_number).collect();
    full.reverse();
    let Some(oldest) = keep
        .checked_sub(1)
        .map_or(Some(u64::MAX), |last| full.get(last).copied())
    else {
        return Vec::new();
    };
    let by_name: BTreeMap<&SnapshotName, &SnapshotDefinition> =
        rows.iter().map(|row| (&row.name, *row)).collect();
    let mut needed = BTreeSet::new();
    for row in rows.iter().filter(|row| row.sequence_number >= oldest) {
        let mut next = base(row);
        // A chain that comes back to itself ends at what is noted already.
        while let Some(name) = next.filter(|name| needed.insert(name.clone())) {
            next = by_name.get(&name).and_then(|row| base(row));
        }
    }
    let surplus = rows
        .iter()
        .filter(|row| row.sequence_number < oldest && !needed.contains(&row.name));
    surplus.map(|row| row.name.clone()).collect()
}

/// The descriptions of the backups of a schedule that are older than its last `keep` full ones, with all that is based on
/// them. A chain of which anybody else's backup, or a newer one, is a part remains, and so does what `needed` names. The last
/// full backup always remains.
pub fn remote<'a>(
    catalogue: &'a Catalogue,
    cluster: &str,
    of: &Triple,
    keep: usize,
    needed: &BTreeSet<&str>,
) -> BTreeSet<&'a str> {
    let is_own = |backup: &Backup| {
        let summary = &backup.summary;
        let by = summary.scheduled.as_ref();
        let name = of.resource.as_str();
        backup.key.resource.eq_ignore_ascii_case(name)
            && summary.cluster.as_deref() == Some(cluster)
            && by.is_some_and(|by| {
                let mut remotes = by.remotes.iter();
                by.schedule.eq_ignore_ascii_case(of.schedule.as_str())
                    && remotes.any(|remote| remote.eq_ignore_ascii_case(of.remote.as_str()))
            })
    };
    let all = catalogue.backups.iter();
    let full = all.filter(|(_, backup)| is_own(backup) && backup.summary.based_on.is_none());
    let full: Vec<(&'a str, &Backup)> = full.map(|(key, backup)| (key.as_str(), backup)).collect();
    let whole = full.iter().filter(|(_, backup)| backup.lacks.is_empty());
    let mut times: Vec<i64> = whole.map(|(_, backup)| backup.summary.started_at).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    let Some(oldest) = times.get(keep.max(1) - 1).copied() else {
        return BTreeSet::new();
    };
    let mut surplus = BTreeSet::new();
    for (key, _) in full {
        let chain = catalogue.with_dependants([key]);
        let goes = |key: &&str| {
            let backup = &catalogue.backups[*key];
            is_own(backup) && backup.summary.started_at < oldest && !needed.contains(key)
        };
        if chain.iter().all(goes) {
            surplus.extend(chain);
        }
    }
    surplus
}

#[cfg(test)]
mod tests {
    use proptest::collection;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::backup::catalogue::{Scheduled, Summary};
    use crate::backup::key::{MetaKey, VolumeKey};
    use crate::name::{RemoteName, ResourceName, ScheduleName};

    fn triple() -> Triple {
        Triple {
            resource: ResourceName::parse("myres").unwrap(),
            remote: RemoteName::parse("s3").unwrap(),
            schedule: ScheduleName::parse("daily").unwrap(),
        }
    }

    fn key(minute: usize) -> MetaKey {
        let (hour, minute) = (minute / 60, minute % 60);
        MetaKey::parse(&format!("myres_back_20250101_{hour:02}{minute:02}00.meta")).unwrap()
    }

    /// A backup: the one that it is based on, whose it is, and whether its volume is in the bucket.
    #[derive(Debug, Clone)]
    struct Sketch {
        base: Option<usize>,
        by: Option<&'static str>,
        is_whole: bool,
    }

    fn catalogue(sketches: &[Sketch]) -> Catalogue {
        let (mut volumes, mut described) = (Vec::new(), Vec::new());
        for (index, sketch) in sketches.iter().enumerate() {
            let object = key(index).volume(0);
            if sketch.is_whole {
                volumes.push((object.clone(), VolumeKey::parse(&object).unwrap()));
            }
            let summary = Summary {
                resource: "myres".to_owned(),
                node: "alpha".to_owned(),
                started_at: index as i64,
                finished_at: 0,
                based_on: sketch.base.map(|base| key(base).key()),
                volumes: vec![(0, object, 0)],
                cluster: Some("c1".to_owned()),
                snapshot: None,
                scheduled: sketch.by.map(|by| Scheduled {
                    schedule: by.to_owned(),
                    remotes: vec!["s3".to_owned()],
                }),
            };
            described.push((key(index), summary));
        }
        Catalogue::new(volumes, described, Vec::new())
    }

    fn backup(base: Option<usize>) -> Sketch {
        Sketch {
            base,
            by: Some("daily"),
            is_whole: true,
        }
    }

    fn surplus(sketches: &[Sketch], keep: usize, needed: &[usize]) -> Vec<usize> {
        let catalogue = catalogue(sketches);
        let needed: Vec<String> = needed.iter().map(|index| key(*index).key()).collect();
        let needed = needed.iter().map(String::as_str).collect();
        let goes = remote(&catalogue, "c1", &triple(), keep, &needed);
        let all = 0..sketches.len();
        all.filter(|index| goes.contains(key(*index).key().as_str()))
            .collect()
    }

    /// Whole chains go, the oldest first, and only those of this schedule of this cluster.
    #[test]
    fn old_chains_go() {
        let chains = [
            backup(None),
            backup(Some(0)),
            backup(None),
            backup(Some(2)),
            backup(None),
        ];
        for (keep, goes) in [
            (0, vec![0, 1, 2, 3]),
            (1, vec![0, 1, 2, 3]),
            (2, vec![0, 1]),
            (3, vec![]),
            (9, vec![]),
        ] {
            assert_eq!(surplus(&chains, keep, &[]), goes, "{keep}");
        }
        // The base of a backup that is being made.
        assert_eq!(surplus(&chains, 1, &[1]), [2, 3]);
        let mut others = chains.clone();
        others[1].by = None;
        assert_eq!(surplus(&others, 1, &[]), [2, 3]);
        others[2].by = Some("weekly");
        others[3].by = Some("weekly");
        assert!(surplus(&others, 1, &[]).is_empty());
        // One that cannot be restored is none of those that are retained.
        let mut broken = chains.clone();
        broken[4].is_whole = false;
        assert_eq!(surplus(&broken, 1, &[]), [0, 1]);
        // A newer one is based on an old chain.
        let mut newer = chains.to_vec();
        newer.push(backup(Some(1)));
        assert_eq!(surplus(&newer, 1, &[]), [2, 3]);
        let goes = catalogue(&chains);
        assert!(remote(&goes, "c2", &triple(), 1, &BTreeSet::new()).is_empty());
    }

    proptest! {
        /// What is deleted is never the base of what remains, never anybody else's, and the last full backups remain.
        #[test]
        fn nothing_that_is_needed_goes(
            seeds in collection::vec((any::<u8>(), 0_u8..10, any::<bool>()), 1..25),
            keep in 0_usize..4, needed in collection::vec(0_usize..25, 0..2),
        ) {
            let sketches: Vec<Sketch> = seeds.iter().enumerate().map(|(index, (base, by, is_whole))| Sketch {
                base: (index > 0 && base % 3 > 0).then(|| usize::from(*base) % index),
                by: match by { 0 => None, 1 => Some("weekly"), _ => Some("daily") },
                is_whole: *is_whole,
            }).collect();
            let goes: BTreeSet<usize> = surplus(&sketches, keep, &needed).into_iter().collect();
            for (index, sketch) in sketches.iter().enumerate() {
                if goes.contains(&index) {
                    prop_assert_eq!(sketch.by, Some("daily"));
                    prop_assert!(!needed.contains(&index));
                } else if let Some(base) = sketch.base {
                    prop_assert!(!goes.contains(&base), "{} needs {}", index, base);
                }
            }
            let full = |index: &usize| {
                let sketch = &sketches[*index];
                sketch.base.is_none() && sketch.by == Some("daily") && sketch.is_whole
            };
            let full: Vec<usize> = (0..sketches.len()).rev().filter(full).take(keep.max(1)).collect();
            prop_assert!(full.iter().all(|index| !goes.contains(index)));
        }
    }
}
