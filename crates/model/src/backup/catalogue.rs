//! What is in a bucket: backups with their descriptions, volumes without one, and other objects.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::prop;

use super::key::{MetaKey, VolumeKey};
use super::meta::{Meta, Props};

/// What is in a bucket, as far as it was listed.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Backups by the key of their description.
    pub backups: BTreeMap<String, Backup>,
    /// Volumes that no description names, by the key of the description that they should have.
    pub loose: BTreeMap<String, Loose>,
    /// Keys of the other objects.
    pub other: Vec<String>,
}

/// A backup.
#[derive(Debug, Clone)]
pub struct Backup {
    /// The key of its description.
    pub key: MetaKey,
    /// What its description says.
    pub summary: Summary,
    /// Why it cannot be restored; nothing when it can.
    pub lacks: Vec<String>,
}

/// What listing and deleting need of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The resource that it is of.
    pub resource: String,
    /// The node that sent it.
    pub node: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_at: i64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub finished_at: i64,
    /// The key of the description of the backup that it is based on.
    pub based_on: Option<String>,
    /// Number, key and time of the objects.
    pub volumes: Vec<(u32, String, i64)>,
    /// The cluster that made it.
    pub cluster: Option<String>,
    /// Identity of the snapshot.
    pub snapshot: Option<String>,
    /// The schedule that had it made; none where somebody asked for it.
    pub scheduled: Option<Scheduled>,
}

/// Which schedule had a backup made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// The schedule.
    pub schedule: String,
    /// The remotes that its snapshot was sent to, as the cluster that made it names them.
    pub remotes: Vec<String>,
}

impl Scheduled {
    fn of(props: &Props) -> Option<Scheduled> {
        let remotes = props.keys().filter_map(|key| {
            let key = key.strip_prefix(prop::BACKUP_SOURCE_NAMESPACE)?;
            let (remote, member) = key.strip_prefix('/')?.split_once('/')?;
            (member == prop::BACKUP_TARGET_REMOTE).then(|| remote.to_owned())
        });
        Some(Scheduled {
            schedule: props.get(prop::BACKUP_SHIPPED_BY_SCHEDULE)?.clone(),
            remotes: remotes.collect(),
        })
    }
}

/// Volumes of one backup that have no description.
#[derive(Debug, Clone)]
pub struct Loose {
    /// The key of the description that they should have.
    pub key: MetaKey,
    /// The keys of the objects, by number.
    pub volumes: BTreeMap<u32, String>,
}

impl From<&Meta> for Summary {
    fn from(meta: &Meta) -> Self {
        let objects = meta.backups.iter();
        let volumes = objects.flat_map(|(number, objects)| {
            let objects = objects.0.iter();
            objects.map(|object| (*number, object.name.clone(), object.finished_timestamp))
        });
        Summary {
            resource: meta.rsc_name.clone(),
            node: meta.node_name.clone(),
            started_at: meta.start_timestamp,
            finished_at: meta.finish_timestamp,
            based_on: meta.based_on.clone(),
            volumes: volumes.collect(),
            cluster: meta.cluster_id.clone(),
            snapshot: meta.snap_dfn_uuid.clone(),
            scheduled: Scheduled::of(&meta.rsc_dfn.snap_dfn_props),
        }
    }
}

impl Catalogue {
    /// Puts together what a listing has found: the keys of volumes, descriptions that were read, and other keys.
    pub fn new(
        volumes: Vec<(String, VolumeKey)>,
        descriptions: Vec<(MetaKey, Summary)>,
        other: Vec<String>,
    ) -> Catalogue {
        let mut left: BTreeMap<&str, &VolumeKey> = volumes
            .iter()
            .map(|(key, parsed)| (key.as_str(), parsed))
            .collect();
        let there: BTreeSet<&str> = left.keys().copied().collect();
        let mut backups = BTreeMap::new();
        for (key, summary) in descriptions {
            let mut lacks = Vec::new();
            for (number, object, _) in &summary.volumes {
                if !there.contains(object.as_str()) {
                    lacks.push(format!(
                        "The object '{object}' of volume {number} is missing."
                    ));
                    continue;
                }
                let named = VolumeKey::parse(object).map(|parsed| parsed.number);
                match named == Some(*number) {
                    true => {
                        left.remove(object.as_str());
                    }
                    false => {
                        lacks.push(format!("The object '{object}' is not of volume {number}."))
                    }
                }
            }
            if summary.volumes.is_empty() {
                lacks.push("It has no volumes.".to_owned());
            }
            let backup = Backup {
                key: key.clone(),
                summary,
                lacks,
            };
            backups.insert(key.key(), backup);
        }
        let mut loose: BTreeMap<String, Loose> = BTreeMap::new();
        for (key, parsed) in left {
            let meta = parsed.meta.key();
            let entry = loose.entry(meta).or_insert_with(|| Loose {
                key: parsed.meta.clone(),
                volumes: BTreeMap::new(),
            });
            entry.volumes.insert(parsed.number, key.to_owned());
        }
        let mut catalogue = Catalogue {
            backups,
            loose,
            other,
        };
        catalogue.check_chains();
        catalogue
    }

    /// A backup can be restored only if all that it is based on can be.
    fn check_chains(&mut self) {
        let broken = self.backups.keys().filter_map(|key| {
            let chain = self.chain(key);
            let base = match &chain {
                Err(reason) => return Some((key.clone(), reason.clone())),
                Ok(chain) => chain
                    .iter()
                    .skip(1)
                    .find(|key| !self.backups[**key].lacks.is_empty())?,
            };
            let reason = format!("The backup '{base}' that it is based on cannot be restored.");
            Some((key.clone(), reason))
        });
        let broken: Vec<(String, String)> = broken.collect();
        for (key, reason) in broken {
            let backup = self.backups.get_mut(&key);
            backup.expect("it was just there").lacks.push(reason);
        }
    }

    /// The descriptions from a backup back to the full one.
    ///
    /// # Errors
    ///
    /// Why it does not go back to a full one.
    pub fn chain<'a>(&'a self, key: &'a str) -> Result<Vec<&'a str>, String> {
        let mut chain: Vec<&str> = Vec::new();
        let mut next = Some(key);
        while let Some(key) = next {
            if chain.contains(&key) {
                return Err(format!("The backup '{key}' is based on itself."));
            }
            let Some(backup) = self.backups.get(key) else {
                return Err(format!(
                    "The backup '{key}' that it is based on is missing."
                ));
            };
            chain.push(key);
            next = backup.summary.based_on.as_deref();
        }
        Ok(chain)
    }

    /// The backups by that which they are based on.
    pub fn dependants(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut dependants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, backup) in &self.backups {
            if let Some(base) = &backup.summary.based_on {
                dependants.entry(base).or_default().push(key);
            }
        }
        dependants
    }

    /// Backups with all that are based on them.
    pub fn with_dependants<'a>(
        &'a self,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> BTreeSet<&'a str> {
        let dependants = self.dependants();
        let mut left: Vec<&str> = keys.into_iter().collect();
        let mut found = BTreeSet::new();
        while let Some(key) = left.pop() {
            if found.insert(key) {
                left.extend(dependants.get(key).into_iter().flatten());
            }
        }
        found
    }

    /// Descriptions by the objects that they name.
    pub fn owners(&self) -> BTreeMap<&str, &str> {
        let backups = self.backups.iter();
        let owners = backups.flat_map(|(key, backup)| {
            let volumes = backup.summary.volumes.iter();
            volumes.map(|(_, object, _)| (object.as_str(), key.as_str()))
        });
        owners.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(day: u32) -> MetaKey {
        MetaKey::parse(&format!("myres_back_202501{day:02}_000000.meta")).unwrap()
    }

    fn catalogue(there: &[u32], based_on: &[(u32, Option<u32>)]) -> Catalogue {
        let volumes = there.iter().map(|day| {
            let object = key(*day).volume(0);
            (object.clone(), VolumeKey::parse(&object).unwrap())
        });
        let descriptions = based_on.iter().map(|(day, base)| {
            let summary = Summary {
                resource: "myres".to_owned(),
                node: "alpha".to_owned(),
                started_at: i64::from(*day),
                finished_at: 0,
                based_on: base.map(|day| key(day).key()),
                volumes: vec![(0, key(*day).volume(0), 0)],
                cluster: None,
                snapshot: None,
                scheduled: None,
            };
            (key(*day), summary)
        });
        Catalogue::new(volumes.collect(), descriptions.collect(), Vec::new())
    }

    fn restorable(catalogue: &Catalogue) -> Vec<bool> {
        let backups = catalogue.backups.values();
        backups.map(|backup| backup.lacks.is_empty()).collect()
    }

    /// A missing object, a missing base, a base with a missing object, and a circle: none of them can be restored.
    #[test]
    fn a_chain_is_as_good_as_each_of_its_backups() {
        let chain = [(1, None), (2, Some(1)), (3, Some(2))];
        let all = catalogue(&[1, 2, 3], &chain);
        assert_eq!(restorable(&all), [true; 3]);
        assert_eq!(all.chain(&key(3).key()).unwrap().len(), 3);
        assert!(all.loose.is_empty());
        assert_eq!(
            restorable(&catalogue(&[1, 3], &chain)),
            [true, false, false]
        );
        assert_eq!(restorable(&catalogue(&[2, 3], &chain)), [false; 3]);
        assert_eq!(restorable(&catalogue(&[2, 3], &chain[1..])), [false; 2]);
        assert_eq!(
            restorable(&catalogue(&[1, 2], &[(1, Some(2)), (2, Some(1))])),
            [false; 2]
        );
        assert_eq!(restorable(&catalogue(&[1], &[(1, Some(1))])), [false]);
        let loose = catalogue(&[1, 4], &chain[..1]);
        assert_eq!(loose.loose.keys().collect::<Vec<_>>(), [&key(4).key()]);
    }

    /// Deleting with dependants takes all of them, and no more.
    #[test]
    fn dependants_are_found() {
        let tree = [
            (1, None),
            (2, Some(1)),
            (3, Some(1)),
            (4, Some(3)),
            (5, None),
        ];
        let all = catalogue(&[1, 2, 3, 4, 5], &tree);
        let keys: Vec<String> = (1..=5).map(|day| key(day).key()).collect();
        let found = |of: usize| all.with_dependants([keys[of - 1].as_str()]).len();
        assert_eq!([1, 2, 3, 4, 5].map(found), [4, 1, 2, 1, 1]);
    }
}
