//! Deleting backups: never what another backup needs.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::Model;
use linstor_model::backup::history::Triple;
use linstor_model::backup::{Backup, Catalogue, retention};
use linstor_model::name::{ResourceName, SnapshotName};
use linstor_model::process::Kind;
use uuid::Uuid;

use super::super::snapshot;
use super::bucket::{self, Listed, Opened};
use super::list::{moment, prefix, stored};
use super::run;
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// How many objects a reply names.
const NAMED_MAX: usize = 100;

/// Which backups are to be deleted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The id of one, or how it begins if no other begins so.
    pub id: Option<String>,
    /// How the ids of several begin.
    pub id_prefix: Option<String>,
    /// Those that began before: local time, `yyyyMMdd_HHmmss`.
    pub timestamp: Option<String>,
    /// Those of a resource.
    pub resource: Option<String>,
    /// Those that a node sent.
    pub node: Option<String>,
    /// All.
    pub all: bool,
    /// All that this cluster made.
    pub all_local_cluster: bool,
    /// An object, whether it is a backup's or not.
    pub s3_key: Option<String>,
    /// Whether what is based on them is deleted, too.
    pub cascading: bool,
    /// Whether nothing is deleted, only said what would be.
    pub dry_run: bool,
    /// Whether their snapshots in this cluster are retained.
    pub keep_snapshots: bool,
}

/// What is to be deleted, in this order.
#[derive(Debug, Default)]
struct Plan {
    /// Objects of volumes, and others.
    objects: BTreeSet<String>,
    /// Descriptions: last, so that what an interruption leaves is still found by its id.
    descriptions: BTreeSet<String>,
    /// Snapshots of this cluster.
    snapshots: Vec<(ResourceName, SnapshotName)>,
    /// What is not there.
    missing: Vec<String>,
}

impl Selection {
    /// Refuses what says nothing, or several things that exclude each other.
    fn check(&self) -> Result<(), Refusal> {
        let filter = self.timestamp.is_some() || self.resource.is_some() || self.node.is_some();
        let given = [
            self.id.is_some(),
            self.id_prefix.is_some(),
            filter,
            self.all,
            self.all_local_cluster,
            self.s3_key.is_some(),
        ];
        let (message, cause, correction) = match given.into_iter().filter(|given| *given).count() {
            1 => return Ok(()),
            0 => (
                "The request does not select the backups to be deleted.",
                "No id, filter or key is given.",
                "Use 'all' to delete all backups of the remote.",
            ),
            _ => (
                "The request selects the backups to be deleted in several ways.",
                "Ids, filters, 'all' and keys exclude each other.",
                "Use one of them.",
            ),
        };
        Err(Reply::new(code::FAIL_INVLD_REQUEST, message)
            .cause(cause)
            .correction(correction)
            .into())
    }

    /// How the keys of everything in question begin: nothing else is listed.
    fn listed(&self, model: &Model) -> Result<String, Refusal> {
        match &self.resource {
            Some(resource) => Ok(prefix(&stored(model, resource)?)),
            None => Ok(String::new()),
        }
    }

    /// Whether what depends on the backups goes with them.
    fn cascades(&self) -> bool {
        self.cascading || self.all || self.all_local_cluster
    }

    /// The descriptions of the selected backups; `local` is the id of this cluster.
    fn select<'a>(
        &self,
        catalogue: &'a Catalogue,
        local: &str,
    ) -> Result<BTreeSet<&'a str>, Refusal> {
        let all = || {
            catalogue
                .backups
                .iter()
                .map(|(key, backup)| (key.as_str(), backup))
        };
        let keys = |wanted: &dyn Fn(&str, &Backup) -> bool| -> BTreeSet<&'a str> {
            let wanted = all().filter(|(key, backup)| wanted(key, backup));
            wanted.map(|(key, _)| key).collect()
        };
        if let Some(id) = &self.id {
            let begin = if id.ends_with(".meta") {
                id.clone()
            } else {
                format!("{id}.meta")
            };
            let found = keys(&|key, _| key == begin || key.starts_with(begin.as_str()));
            if found.len() > 1 && !found.contains(begin.as_str()) {
                let list: Vec<&str> = found.iter().copied().take(NAMED_MAX).collect();
                let message = format!("The id '{}' is ambiguous.", id.escape_debug());
                return Err(Reply::new(code::FAIL_NOT_FOUND_BACKUP, message)
                    .cause(format!("Several backups begin so: {}.", list.join(", ")))
                    .correction("Use the whole id, or delete all of them by their prefix.")
                    .into());
            }
            let whole = found.get(begin.as_str()).copied();
            return Ok(whole.map_or(found, |whole| BTreeSet::from([whole])));
        }
        if let Some(begin) = &self.id_prefix {
            return Ok(keys(&|key, _| key.starts_with(begin.as_str())));
        }
        if self.all {
            return Ok(keys(&|_, _| true));
        }
        if self.all_local_cluster {
            return Ok(keys(&|_, backup| {
                backup.summary.cluster.as_deref() == Some(local)
            }));
        }
        if self.s3_key.is_some() {
            return Ok(BTreeSet::new());
        }
        let zone = TimeZone::system();
        let before = self.timestamp.as_ref().map(|text| {
            moment(text, &zone).ok_or_else(|| {
                let message = format!("'{}' is not a time.", text.escape_debug());
                Refusal::from(
                    Reply::new(code::FAIL_INVLD_TIME_PARAM, message)
                        .cause("Times have the form YYYYMMDD_HHMMSS.")
                        .correction("Use a local time such as 20210824_072543."),
                )
            })
        });
        let before = before.transpose()?;
        let same = |wanted: &Option<String>, name: &str| {
            let wanted = wanted.as_deref();
            wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        Ok(keys(&|_, backup| {
            let summary = &backup.summary;
            // As LINSTOR does: the time in the key, which a person sees.
            let started = moment(backup.key.time(), &zone);
            before.is_none_or(|before| started.is_some_and(|at| at < before))
                && same(&self.resource, &backup.key.resource)
                && same(&self.node, &summary.node)
        }))
    }

    fn plan(&self, model: &Model, listed: &Listed) -> Result<Plan, Refusal> {
        let catalogue = &listed.catalogue;
        let mut plan = Plan::default();
        let local = model.controller.cluster_id.to_string();
        let mut selected = self.select(catalogue, &local)?;
        if let Some(key) = &self.s3_key {
            let owners = catalogue.owners();
            if catalogue.backups.contains_key(key) {
                selected.insert(key);
            } else if let Some(owner) = owners.get(key.as_str()) {
                if !self.cascading {
                    return Err(needed(key, owner));
                }
                selected.insert(owner);
            } else {
                plan.objects.insert(key.clone());
            }
        }
        let closed = catalogue.with_dependants(selected.iter().copied());
        if !self.cascades()
            && let Some(dependant) = closed.iter().find(|key| !selected.contains(*key))
        {
            let base = &catalogue.backups[*dependant].summary.based_on;
            return Err(needed(base.as_deref().unwrap_or_default(), dependant));
        }
        for key in &closed {
            let backup = &catalogue.backups[*key];
            plan.snapshots.extend(snapshot_of(model, backup));
        }
        plan.add(listed, closed);
        Ok(plan)
    }
}

impl Plan {
    /// Adds whole backups. What a backup that remains has, too, is not deleted.
    fn add(&mut self, listed: &Listed, closed: BTreeSet<&str>) {
        let catalogue = &listed.catalogue;
        let retained = catalogue.backups.iter();
        let retained = retained.filter(|(key, _)| !closed.contains(key.as_str()));
        let used: BTreeSet<&str> = retained
            .flat_map(|(_, backup)| &backup.summary.volumes)
            .map(|(_, object, _)| object.as_str())
            .collect();
        for key in closed {
            for (_, object, _) in &catalogue.backups[key].summary.volumes {
                if !listed.sizes.contains_key(object) {
                    self.missing.push(object.clone());
                } else if !used.contains(object.as_str()) {
                    self.objects.insert(object.clone());
                }
            }
            self.descriptions.insert(key.to_owned());
        }
    }
}

/// The snapshot of this cluster that a backup is of.
fn snapshot_of(model: &Model, backup: &Backup) -> Option<(ResourceName, SnapshotName)> {
    let uuid = backup.summary.snapshot.as_deref()?.parse::<Uuid>().ok()?;
    let name = ResourceName::parse(&backup.summary.resource).ok()?;
    let mut of_resource = model.snapshots.get(&name)?.values();
    let found = of_resource.find(|row| row.uuid == uuid)?;
    Some((found.resource.clone(), found.name.clone()))
}

fn needed(what: &str, by: &str) -> Refusal {
    let message = format!("'{}' was not deleted.", what.escape_debug());
    Reply::new(code::FAIL_DEPENDEND_BACKUP | code::MASK_BACKUP, message)
        .cause(format!("At least the backup '{by}' needs it."))
        .correction("Use --cascading to delete what needs it, too.")
        .into()
}

/// Names, as many as a person reads.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let names: Vec<&str> = names.take(NAMED_MAX).map(String::as_str).collect();
    let names = names.join(", ");
    match more {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

/// Deletes backups.
pub async fn delete(cluster: &Cluster, on: String, mut selection: Selection) -> Vec<Reply> {
    for text in [
        &mut selection.id,
        &mut selection.id_prefix,
        &mut selection.timestamp,
        &mut selection.resource,
        &mut selection.node,
        &mut selection.s3_key,
    ] {
        *text = text.take().filter(|text| !text.is_empty());
    }
    let work = async {
        selection.check()?;
        let opened = bucket::open(cluster, &on)?;
        let model = cluster.model();
        let listed = opened.list(cluster, &selection.listed(&model)?).await?;
        let mut plan = selection.plan(&model, &listed)?;
        if selection.keep_snapshots {
            plan.snapshots.clear();
        }
        match selection.dry_run {
            true => Ok(would(&plan)),
            false => carry_out(cluster, &opened, &selection, plan).await,
        }
    };
    run(work).await
}

/// Deletes the backups that a schedule does not retain any more, but not their snapshots. Returns their descriptions.
pub(crate) async fn expire(
    cluster: &Cluster,
    of: &Triple,
    keep: usize,
) -> Result<Vec<String>, Refusal> {
    let opened = bucket::open(cluster, of.remote.as_str())?;
    let listed = opened.list(cluster, &prefix(of.resource.as_str())).await?;
    let model = cluster.model();
    let mut processes = model.processes.values();
    if processes.any(
        |process| matches!(&process.kind, Kind::RestoreBackup(from) if from.remote == of.remote),
    ) {
        let message = format!("No backups are deleted from the remote {} now.", of.remote);
        return Err(Reply::new(code::FAIL_IN_USE, message)
            .cause("A backup on it is being restored.")
            .correction("Wait until that is done.")
            .into());
    }
    let bases = model
        .shipments()
        .filter_map(|(_, backup)| backup.base.as_ref());
    let bases: BTreeSet<&str> = bases.map(|base| base.meta.as_str()).collect();
    let cluster_id = model.controller.cluster_id.to_string();
    let surplus = retention::remote(&listed.catalogue, &cluster_id, of, keep, &bases);
    let deleted: Vec<String> = surplus.iter().map(|key| (*key).to_owned()).collect();
    if deleted.is_empty() {
        return Ok(deleted);
    }
    let mut plan = Plan::default();
    plan.add(&listed, surplus);
    let replies = carry_out(cluster, &opened, &Selection::default(), plan).await?;
    match replies.iter().any(Reply::is_error) {
        true => Err(Refusal(replies)),
        false => Ok(deleted),
    }
}

/// The entries of a run that deletes nothing have no code.
fn would(plan: &Plan) -> Vec<Reply> {
    let mut replies = Vec::new();
    let objects: Vec<&String> = plan.objects.iter().chain(&plan.descriptions).collect();
    if !objects.is_empty() {
        let lines = objects.iter().map(|key| format!("  {key}\n"));
        let lines: String = lines.collect();
        replies.push(Reply::new(0, format!("Would delete s3 objects:\n{lines}")));
    }
    if !plan.snapshots.is_empty() {
        let snapshots = plan.snapshots.iter();
        let lines =
            snapshots.map(|(resource, name)| format!("  Resource: {resource}, Snapshot: {name}\n"));
        let lines: String = lines.collect();
        replies.push(Reply::new(0, format!("Would delete Snapshots:\n{lines}")));
    }
    if replies.is_empty() {
        replies.push(Reply::new(0, "Nothing is selected for deletion."));
    }
    replies.extend(missing(plan));
    replies
}

fn missing(plan: &Plan) -> Option<Reply> {
    let names = some(plan.missing.iter());
    (!plan.missing.is_empty()).then(|| {
        let message = format!("These objects are not in the bucket: {names}");
        Reply::new(code::WARN_NOT_FOUND, message)
            .cause("Descriptions of the deleted backups name them.")
    })
}

async fn carry_out(
    cluster: &Cluster,
    opened: &Opened,
    selection: &Selection,
    plan: Plan,
) -> Result<Vec<Reply>, Refusal> {
    if plan.objects.is_empty() && plan.descriptions.is_empty() {
        let ret_code = match selection.id.is_some() || selection.id_prefix.is_some() {
            true => code::WARN_NOT_FOUND,
            false => code::FAIL_INVLD_REQUEST | code::MASK_BACKUP,
        };
        let message = format!("The remote {} has no such backups.", opened.name);
        return Ok(vec![
            Reply::new(ret_code, message)
                .cause("No backup is selected, so that nothing was deleted.")
                .correction("Use ids, resources and nodes of the list of backups."),
        ]);
    }
    let refusal = |error| {
        let message = format!(
            "Not all backups were deleted from the remote {}.",
            opened.name
        );
        bucket::failed(message, &error)
    };
    let mut deleted: Vec<String> = Vec::new();
    let mut kept = Vec::new();
    for some in [plan.objects.clone(), plan.descriptions.clone()] {
        let some: Vec<String> = some.into_iter().collect();
        // A description goes only when all volumes have gone: it is by it that they are found.
        if !kept.is_empty() {
            break;
        }
        let left = opened.bucket.delete(&some).await.map_err(refusal)?;
        let names: BTreeSet<&str> = left.iter().map(|left| left.key.as_str()).collect();
        let gone = some.iter().filter(|key| !names.contains(key.as_str()));
        deleted.extend(gone.cloned());
        kept.extend(left);
    }
    let mut replies = Vec::new();
    if let Some(first) = kept.first() {
        let keys: Vec<String> = kept.iter().map(|left| left.key.clone()).collect();
        let message = format!("Could not delete {}", some(keys.iter()));
        let reply = Reply::new(code::FAIL_UNKNOWN_ERROR | code::MASK_BACKUP, message)
            .cause(format!("'{}': {}", first.key, first.reason))
            .correction("Allow the owner of the access key to delete objects, and delete again.");
        replies.push(reply);
    }
    if !deleted.is_empty() {
        let message = format!("Successfully deleted [{}]", some(deleted.iter()));
        replies.push(Reply::new(code::MASK_SUCCESS | code::MASK_BACKUP, message));
    }
    replies.extend(missing(&plan));
    if kept.is_empty() {
        for (resource, name) in plan.snapshots {
            let (resource, name) = (resource.to_string(), name.to_string());
            replies.extend(snapshot::delete(cluster, resource, name, Vec::new()).await);
        }
    }
    Ok(replies)
}
