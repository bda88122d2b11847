//! Schedules of backups, and what they are enabled for.
//!
//! A schedule is enabled for a remote by properties below `Schedule/<remote>/<schedule>/` of a resource definition, its
//! group or the controller ([`inherit`]). The nearest one with such a property decides, so that a disabled schedule has a
//! property too. [`run`] begins what is due and deletes what is not retained any more.

mod inherit;
pub(crate) mod run;
mod view;

use linstor_api::code;
use linstor_api::reply::{Reply, UNNAMED};
use linstor_api::schedule::{BackupSchedule, Schedule as Json, ScheduleList, ScheduleModify};
use linstor_model::backup::history;
use linstor_model::cron::Cron;
use linstor_model::model::RowKey;
use linstor_model::name::{RemoteName, ResourceGroupName, ResourceName, ScheduleName};
use linstor_model::remote::Target;
use linstor_model::schedule::OnFailure;
use linstor_model::{
    Controller, Draft, Model, Props, Remote, ResourceDefinition, ResourceGroup, Schedule,
};

pub(crate) use inherit::active;
pub use inherit::first_enabled;
pub(crate) use view::local_times;
pub use view::{Filter, by_resource, details};

use super::name;
use super::reply::{deleted, marked};
use super::request::{Context, Wait};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};
use inherit::{ENABLED, NAMESPACE, PREFERRED_NODE, pair};

fn context(mask: i64, name: Option<&str>) -> Context {
    let shown = name.unwrap_or("null");
    // LINSTOR's key for schedules.
    Context::new(code::MASK_SCHEDULE | mask, format!("Schedule: {shown}"))
        .about("Remote", name.unwrap_or(UNNAMED))
}

fn label(row: &Schedule) -> String {
    let mut text = format!("schedule: {}, full cron: {}", row.name, row.full_cron);
    if let Some(cron) = &row.inc_cron {
        text.push_str(&format!(", incremental cron: {cron}"));
    }
    text
}

/// LINSTOR's entries about schedules have no UUID among their references.
fn without_uuid(mut reply: Reply) -> Reply {
    reply.obj_refs.remove("UUID");
    reply
}

/// All schedules.
pub fn list(cluster: &Cluster) -> ScheduleList {
    let model = cluster.model();
    let show = |row: &Schedule| Json {
        schedule_name: Some(row.name.to_string()),
        full_cron: Some(row.full_cron.to_string()),
        inc_cron: row.inc_cron.as_ref().map(Cron::to_string),
        keep_local: row.keep_local,
        keep_remote: row.keep_remote,
        on_failure: Some(row.on_failure.as_str().to_owned()),
        max_retries: row.max_retries,
    };
    ScheduleList {
        data: model.schedules.values().map(|row| show(row)).collect(),
    }
}

/// Creates a schedule.
pub async fn create(cluster: &Cluster, request: Json) -> Vec<Reply> {
    let given = request.schedule_name.clone();
    let parse = || name::schedule(given.as_deref().unwrap_or_default());
    context(code::MASK_CRT, given.as_deref())
        .change(cluster, parse, move |tx, name| {
            if tx.schedules.contains_key(&name) {
                let message = format!("A schedule with the name '{name}' already exists.");
                return Err(Reply::new(code::FAIL_EXISTS_SCHEDULE, message)
                    .cause("Names compare without regard to case.")
                    .correction("Use another name, or modify the schedule instead.")
                    .into());
            }
            let Some(full_cron) = &request.full_cron else {
                let message = format!("The schedule '{name}' has no time.");
                return Err(Reply::new(code::FAIL_UNKNOWN_ERROR, message)
                    .cause("The request has no 'full_cron'.")
                    .correction("Give the time of full backups, for example '0 3 * * *'.")
                    .into());
            };
            let row = Schedule {
                uuid: tx.uuid(),
                full_cron: cron(full_cron, code::MASK_ERROR)?,
                inc_cron: inc_cron(request.inc_cron.as_deref(), code::MASK_ERROR)?,
                keep_local: request.keep_local,
                keep_remote: request.keep_remote,
                on_failure: on_failure(request.on_failure.as_deref())?.unwrap_or(OnFailure::Skip),
                max_retries: request.max_retries,
                name,
            };
            tx.reply(without_uuid(super::reply::created(&label(&row), row.uuid)));
            tx.put_schedule(row);
            Ok(Wait::Nothing)
        })
        .await
}

/// Changes a schedule; what is not given is left unchanged.
pub async fn modify(cluster: &Cluster, name: String, request: ScheduleModify) -> Vec<Reply> {
    let parse = || name::schedule(&name);
    context(code::MASK_MOD, Some(&name))
        .change(cluster, parse, move |tx, name| {
            let mut row = Schedule::clone(name::known_schedule(tx, &name)?);
            let ret_code = code::FAIL_UNKNOWN_ERROR;
            if let Some(given) = &request.full_cron {
                row.full_cron = cron(given, ret_code)?;
            }
            if let Some(given) = &request.inc_cron {
                row.inc_cron = inc_cron(Some(given), ret_code)?;
            }
            for (member, given) in [
                (&mut row.keep_local, request.keep_local),
                (&mut row.keep_remote, request.keep_remote),
                (&mut row.max_retries, request.max_retries),
            ] {
                if let Some(number) = given {
                    *member = (number >= 0).then_some(number);
                }
            }
            let given = on_failure(request.on_failure.as_deref())?;
            row.on_failure = given.unwrap_or(row.on_failure);
            tx.reply(without_uuid(super::reply::modified(&label(&row), row.uuid)));
            tx.put_schedule(row);
            Ok(Wait::Nothing)
        })
        .await
}

fn cron(given: &str, ret_code: i64) -> Result<Cron, Refusal> {
    Cron::parse(given).map_err(|reason| {
        let shown = given.escape_debug();
        Reply::new(
            ret_code,
            format!("'{shown}' is not a cron expression: {reason}."),
        )
        .cause("Times of schedules are Unix cron expressions in the controller's time zone.")
        .correction("Use five fields, for example '0 3 * * *' for three o'clock each night.")
        .into()
    })
}

fn inc_cron(given: Option<&str>, ret_code: i64) -> Result<Option<Cron>, Refusal> {
    let given = given.filter(|text| !text.is_empty());
    given.map(|text| cron(text, ret_code)).transpose()
}

fn on_failure(given: Option<&str>) -> Result<Option<OnFailure>, Refusal> {
    let Some(given) = given.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let parsed = OnFailure::parse(given).ok_or_else(|| {
        let message = format!("'{}' is no reaction to a failure.", given.escape_debug());
        Reply::new(code::FAIL_UNKNOWN_ERROR, message)
            .cause("A failed backup is either skipped or tried again.")
            .correction("Use SKIP or RETRY for 'on_failure'.")
    })?;
    Ok(Some(parsed))
}

/// Deletes a schedule, wherever it is enabled.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    let parse = || name::schedule(&name);
    context(code::MASK_DEL, Some(&name))
        .change(cluster, parse, |tx, name| {
            let key = RowKey::Schedule(name.clone());
            let Some(row) = tx.schedules.get(&name).cloned() else {
                let missing = || {
                    let message = format!("Schedule: {name} not found.");
                    Reply::new(code::WARN_NOT_FOUND, message)
                };
                return Err(tx.held.refuses(&key, true).unwrap_or_else(missing).into());
            };
            remove_uses(tx, |_, schedule| {
                schedule.eq_ignore_ascii_case(row.name.as_str())
            });
            history::forget(tx, |_, schedule| schedule == Some(&row.name));
            tx.remove(&key);
            let what = format!("schedule: {}", row.name);
            tx.reply(without_uuid(marked(&what, row.uuid)));
            // LINSTOR has the bits of a change here.
            let gone = deleted(&what, row.uuid).with_mask(code::MASK_MOD);
            tx.reply(without_uuid(gone));
            Ok(Wait::Nothing)
        })
        .await
}

/// Where a schedule is enabled or disabled.
enum Level {
    ResourceDefinition(ResourceDefinition),
    ResourceGroup(ResourceGroup),
    Controller(Controller),
}

impl Level {
    fn of(model: &Model, definition: Option<&str>, group: Option<&str>) -> Result<Level, Refusal> {
        let definition = definition.filter(|text| !text.is_empty());
        let group = group.filter(|text| !text.is_empty());
        if let Some(given) = definition {
            let name: ResourceName = name::resource(given)?;
            let row = name::known_definition(model, &name)?;
            return Ok(Level::ResourceDefinition(ResourceDefinition::clone(row)));
        }
        if let Some(given) = group {
            let name: ResourceGroupName = name::group(given)?;
            let row = name::known_group(model, &name)?;
            return Ok(Level::ResourceGroup(ResourceGroup::clone(row)));
        }
        Ok(Level::Controller(Controller::clone(&model.controller)))
    }

    fn props(&mut self) -> &mut Props {
        match self {
            Level::ResourceDefinition(row) => &mut row.props,
            Level::ResourceGroup(row) => &mut row.props,
            Level::Controller(row) => &mut row.props,
        }
    }

    fn put(self, draft: &mut Draft) {
        match self {
            Level::ResourceDefinition(row) => draft.put_resource_definition(row),
            Level::ResourceGroup(row) => draft.put_resource_group(row),
            Level::Controller(row) => draft.put_controller(row),
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Level::ResourceDefinition(row) => write!(f, "for resource definition '{}'", row.name),
            Level::ResourceGroup(row) => write!(f, "for resource group '{}'", row.name),
            Level::Controller(_) => f.write_str("on the controller"),
        }
    }
}

/// A schedule and a remote, by name.
pub struct Pair {
    /// The remote.
    pub remote: String,
    /// The schedule.
    pub schedule: String,
}

/// What is done with a schedule at a level.
enum Use {
    Enable(BackupSchedule),
    Disable,
    Delete,
}

/// Enables a schedule.
pub async fn enable(cluster: &Cluster, pair: Pair, request: BackupSchedule) -> Vec<Reply> {
    let at = (request.rsc_name.clone(), request.grp_name.clone());
    change_use(cluster, pair, at, Use::Enable(request)).await
}

/// Disables a schedule, also where a farther level enables it.
pub async fn disable(cluster: &Cluster, pair: Pair, request: BackupSchedule) -> Vec<Reply> {
    change_use(
        cluster,
        pair,
        (request.rsc_name, request.grp_name),
        Use::Disable,
    )
    .await
}

/// Leaves it to the farther levels whether a schedule is enabled.
pub async fn remove(
    cluster: &Cluster,
    pair: Pair,
    definition: Option<String>,
    group: Option<String>,
) -> Vec<Reply> {
    change_use(cluster, pair, (definition, group), Use::Delete).await
}

async fn change_use(
    cluster: &Cluster,
    pair: Pair,
    (definition, group): (Option<String>, Option<String>),
    r#use: Use,
) -> Vec<Reply> {
    let parse = move || {
        let remote: RemoteName = name::remote(&pair.remote)?;
        let schedule: ScheduleName = name::schedule(&pair.schedule)?;
        if let Use::Enable(request) = &r#use {
            check(request)?;
        }
        Ok((remote, schedule, r#use))
    };
    // LINSTOR's replies have neither operation and object bits nor references here.
    Context::new(0, "")
        .change(cluster, parse, move |tx, (remote, schedule, r#use)| {
            let target = Remote::clone(name::known_remote(tx, &remote)?);
            let remote = target.name.clone();
            let schedule = name::known_schedule(tx, &schedule)?.name.clone();
            let mut level = Level::of(tx, definition.as_deref(), group.as_deref())?;
            let prefix = format!("{NAMESPACE}{remote}/{schedule}/");
            let mut details = None;
            let (ret_code, verb) = match r#use {
                Use::Enable(request) => {
                    details = without_effect(&target, &request);
                    set(tx, &mut level, &prefix, request);
                    (code::MODIFIED, "enabled")
                }
                Use::Disable => {
                    let key = format!("{prefix}{ENABLED}");
                    level.props().insert(key, "False".to_owned());
                    (code::MODIFIED, "disabled")
                }
                Use::Delete => {
                    for key in [ENABLED, PREFERRED_NODE] {
                        level.props().remove(&format!("{prefix}{key}"));
                    }
                    (code::DELETED, "deleted")
                }
            };
            let message = format!(
                "Backup shipping schedule '{schedule}' successfully {verb} {level} to remote '{remote}'."
            );
            let mut reply = Reply::new(ret_code, message);
            reply.details = details;
            tx.reply(reply);
            level.put(tx);
            Ok(Wait::Nothing)
        })
        .await
}

/// What of a request has no effect.
fn without_effect(remote: &Remote, request: &BackupSchedule) -> Option<String> {
    if let Some(why) = run::not_for(remote) {
        return Some(format!("The schedule is stored and has no effect: {why}."));
    }
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let for_clusters = given(&request.dst_stor_pool)
        || !request.stor_pool_rename.is_empty()
        || request.force_restore
        || given(&request.dst_rsc_grp)
        || given(&request.dst_rsc_name)
        || request.force_mv_rsc_grp;
    let is_bucket = matches!(remote.target, Target::S3(_));
    (is_bucket && for_clusters).then(|| {
        "What is said about the target has no effect: backups on S3 remotes are restored by request."
            .to_owned()
    })
}

/// Names in the properties of an enabled schedule are names.
fn check(request: &BackupSchedule) -> Result<(), Refusal> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(node) = given(&request.node_name) {
        name::node(&node)?;
    }
    if let Some(name) = given(&request.dst_rsc_name) {
        name::resource(&name)?;
    }
    if let Some(group) = given(&request.dst_rsc_grp) {
        name::group(&group)?;
    }
    let renamed = request.stor_pool_rename.iter();
    let renamed = renamed.flat_map(|(from, to)| [from, to]);
    for pool in renamed.chain(&given(&request.dst_stor_pool)) {
        name::pool(pool)?;
    }
    Ok(())
}

fn set(tx: &mut Transaction<'_>, level: &mut Level, prefix: &str, request: BackupSchedule) {
    let is_definition = matches!(level, Level::ResourceDefinition(_));
    let target = request.dst_rsc_name.filter(|text| !text.is_empty());
    if target.is_some() && !is_definition {
        let message = "The name of the target was not set.";
        tx.reply(
            Reply::new(code::WARN_INVLD_CONF, message)
                .cause("Only a resource definition's schedule has one target.")
                .correction("Enable the schedule for the resource definition."),
        );
    }
    let flag = |on: bool| on.then(|| "True".to_owned());
    let members = [
        (ENABLED, flag(true)),
        (PREFERRED_NODE, request.node_name),
        ("ForceRestore", flag(request.force_restore)),
        ("TargetResourceGroup", request.dst_rsc_grp),
        ("TargetResourceName", target.filter(|_| is_definition)),
        ("ForceResourceGroup", flag(request.force_mv_rsc_grp)),
        ("RenameStorpoolMap/*", request.dst_stor_pool),
    ];
    let members = members
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value.filter(|text| !text.is_empty())?)));
    let renamed = request.stor_pool_rename.into_iter();
    let renamed = renamed.map(|(from, to)| (format!("RenameStorpoolMap/{from}"), to));
    for (key, value) in members.chain(renamed) {
        level.props().insert(format!("{prefix}{key}"), value);
    }
}

/// Removes the properties of schedules and remotes that are deleted, at every level.
pub fn remove_uses(draft: &mut Draft, is_deleted: impl Fn(&str, &str) -> bool) {
    let of_deleted =
        |key: &str| pair(key).is_some_and(|(remote, schedule, _)| is_deleted(remote, schedule));
    let concerned = |props: &Props| props.keys().any(|key| of_deleted(key));
    let mut levels = Vec::new();
    let definitions = draft.definitions.values();
    let definitions = definitions.filter(|row| concerned(&row.props));
    levels.extend(definitions.map(|row| Level::ResourceDefinition(ResourceDefinition::clone(row))));
    let groups = draft.groups.values().filter(|row| concerned(&row.props));
    levels.extend(groups.map(|row| Level::ResourceGroup(ResourceGroup::clone(row))));
    if concerned(&draft.controller.props) {
        levels.push(Level::Controller(Controller::clone(&draft.controller)));
    }
    for mut level in levels {
        level.props().retain(|key, _| !of_deleted(key));
        level.put(draft);
    }
}
