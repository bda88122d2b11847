//! Schedules of backups, and what they are enabled for.
//!
//! A schedule is enabled for a remote by properties below `Schedule/<remote>/<schedule>/` of a resource definition, its
//! group or the controller. The nearest one with such a property decides, so that a disabled schedule has a property
//! too. Nothing ships backups yet: schedules are stored, and views show when it would be time.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use linstor_api::code;
use linstor_api::reply::{Reply, UNNAMED};
use linstor_api::schedule::{
    BackupSchedule, Schedule as Json, ScheduleDetails, ScheduleDetailsList, ScheduleList,
    ScheduleModify, ScheduledRscs, ScheduledRscsList,
};
use linstor_model::cron::{Cron, Minute};
use linstor_model::model::RowKey;
use linstor_model::name::{RemoteName, ResourceGroupName, ResourceName, ScheduleName};
use linstor_model::schedule::OnFailure;
use linstor_model::{Controller, Draft, Model, Props, ResourceDefinition, ResourceGroup, Schedule};

use super::name;
use super::reply::{deleted, marked};
use super::request::{Context, Wait};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

const NAMESPACE: &str = "Schedule/";
const ENABLED: &str = "Enabled";
const PREFERRED_NODE: &str = "PrefNode";
const NOT_SHIPPED: &str =
    "This version does not ship backups yet: the schedule is stored and has no effect.";

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
            let remote = name::known_remote(tx, &remote)?.name.clone();
            let schedule = name::known_schedule(tx, &schedule)?.name.clone();
            let mut level = Level::of(tx, definition.as_deref(), group.as_deref())?;
            let prefix = format!("{NAMESPACE}{remote}/{schedule}/");
            let (ret_code, verb) = match r#use {
                Use::Enable(request) => {
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
            tx.reply(Reply::new(ret_code, message).details(NOT_SHIPPED));
            level.put(tx);
            Ok(Wait::Nothing)
        })
        .await
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

/// Remote, schedule and the rest of a key below `Schedule/`.
fn pair(key: &str) -> Option<(&str, &str, &str)> {
    let mut parts = key.strip_prefix(NAMESPACE)?.splitn(3, '/');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// The remotes and schedules that a level enables or disables.
fn pairs_of(model: &Model, props: &Props) -> BTreeSet<(RemoteName, ScheduleName)> {
    let pairs = props.keys().filter_map(|key| pair(key));
    let pairs = pairs.filter(|(.., member)| *member == ENABLED);
    let known = pairs.filter_map(|(remote, schedule, _)| {
        let remote = model.remotes.get(&RemoteName::parse(remote).ok()?)?;
        let schedule = model.schedules.get(&ScheduleName::parse(schedule).ok()?)?;
        Some((remote.name.clone(), schedule.name.clone()))
    });
    known.collect()
}

fn enabled_at(props: &Props, remote: &RemoteName, schedule: &ScheduleName) -> Option<bool> {
    let value = props.get(&format!("{NAMESPACE}{remote}/{schedule}/{ENABLED}"))?;
    Some(value.eq_ignore_ascii_case("true"))
}

/// Whether definition, group and controller enable a schedule, in this order.
type Setting = [Option<bool>; 3];

fn settings(model: &Model, row: &ResourceDefinition) -> Vec<(RemoteName, ScheduleName, Setting)> {
    let none = Props::new();
    let group = model.groups.get(&row.group);
    let group = group.map_or(&none, |group| &group.props);
    let levels = [&row.props, group, &model.controller.props];
    let pairs: BTreeSet<_> = levels
        .iter()
        .flat_map(|props| pairs_of(model, props))
        .collect();
    let each = pairs.into_iter().map(|(remote, schedule)| {
        let setting = levels.map(|props| enabled_at(props, &remote, &schedule));
        (remote, schedule, setting)
    });
    each.collect()
}

/// The first schedule that is enabled for a resource definition.
pub fn first_enabled(model: &Model, name: &ResourceName) -> Option<(RemoteName, ScheduleName)> {
    let settings = settings(model, model.definitions.get(name)?);
    let enabled = |setting: &Setting| setting.iter().flatten().next() == Some(&true);
    let first = settings
        .into_iter()
        .find(|(_, _, setting)| enabled(setting));
    first.map(|(remote, schedule, _)| (remote, schedule))
}

/// Which rows of the view are wanted.
#[derive(Debug, Default)]
pub struct Filter {
    /// Those of this resource definition.
    pub definition: Option<String>,
    /// Those of this remote.
    pub remote: Option<String>,
    /// Those of this schedule.
    pub schedule: Option<String>,
    /// Only those that are enabled.
    pub active_only: bool,
}

/// The schedules of all resource definitions.
pub fn by_resource(cluster: &Cluster, filter: &Filter) -> ScheduledRscsList {
    let model = cluster.model();
    let zone = TimeZone::system();
    let now = i64::try_from(cluster.env().now_ms()).unwrap_or(i64::MAX);
    let wanted = |filter: &Option<String>, name: &str| {
        let filter = filter.as_ref().filter(|text| !text.is_empty());
        filter.is_none_or(|filter| filter.eq_ignore_ascii_case(name))
    };
    let mut data = Vec::new();
    let definitions = model.definitions.values();
    for row in definitions.filter(|row| wanted(&filter.definition, row.name.as_str())) {
        for (remote, schedule, setting) in settings(&model, row) {
            let active = setting.into_iter().flatten().next() == Some(true);
            if !wanted(&filter.remote, remote.as_str())
                || !wanted(&filter.schedule, schedule.as_str())
                || filter.active_only && !active
            {
                continue;
            }
            let known = model.schedules.get(&schedule).filter(|_| active);
            let next = |cron: Option<&Cron>| cron.and_then(|cron| next_ms(cron, now, &zone));
            let full = next(known.map(|row| &row.full_cron));
            let inc = next(known.and_then(|row| row.inc_cron.as_ref()));
            // At the same time a full backup is made instead of an incremental one.
            let is_inc = full.is_none_or(|full| inc.is_some_and(|inc| inc < full));
            data.push(ScheduledRscs {
                rsc_name: row.name.to_string(),
                remote_name: remote.to_string(),
                schedule_name: schedule.to_string(),
                reason: (!active).then(|| "disabled".to_owned()),
                last_snap_time: -1,
                last_snap_inc: false,
                next_exec_time: full.into_iter().chain(inc).min().unwrap_or(-1),
                next_exec_inc: is_inc && inc.is_some(),
                next_planned_full: full.unwrap_or(-1),
                next_planned_inc: inc.unwrap_or(-1),
            });
        }
    }
    ScheduledRscsList { data }
}

/// The next time of a schedule after a moment, both in milliseconds since 1970. A minute that the clock skips counts when
/// the clock is past it.
fn next_ms(cron: &Cron, now_ms: i64, zone: &TimeZone) -> Option<i64> {
    let now = Timestamp::from_millisecond(now_ms).ok()?;
    let local = now.to_zoned(zone.clone()).datetime();
    let small = |number: i8| u32::try_from(number).ok();
    let mut next = Minute {
        year: i64::from(local.year()),
        month: small(local.month())?,
        day: small(local.day())?,
        hour: small(local.hour())?,
        minute: small(local.minute())?,
    };
    // When clocks are set back, the next minute of the calendar may be in the past.
    for _ in 0..2 * 60 {
        next = cron.next_after(next)?;
        let part = |number: u32| i8::try_from(number).ok();
        let (month, day) = (part(next.month)?, part(next.day)?);
        let (hour, minute) = (part(next.hour)?, part(next.minute)?);
        let year = i16::try_from(next.year).ok()?;
        let local = DateTime::new(year, month, day, hour, minute, 0, 0).ok()?;
        let at = local.to_zoned(zone.clone()).ok()?.timestamp();
        if at > now {
            return Some(at.as_millisecond());
        }
    }
    None
}

/// Where the schedules of a resource definition are enabled or disabled.
pub fn details(cluster: &Cluster, name: &str) -> Result<ScheduleDetailsList, Refusal> {
    let name = name::resource(name)?;
    let model = cluster.model();
    let row = name::known_definition(&model, &name)?;
    let each = settings(&model, row).into_iter();
    let each = each.map(
        |(remote, schedule, [rsc_dfn, rsc_grp, ctrl])| ScheduleDetails {
            remote_name: remote.to_string(),
            schedule_name: schedule.to_string(),
            ctrl,
            rsc_grp,
            rsc_dfn,
        },
    );
    Ok(ScheduleDetailsList {
        data: each.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times are those of the zone, also when its clocks are changed.
    #[test]
    fn times_are_local() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        for (cron, now, next) in [
            ("0 3 * * *", "2026-11-27T01:30:00Z", "2026-11-27T02:00:00Z"),
            ("0 3 * * *", "2026-07-27T01:30:00Z", "2026-07-28T01:00:00Z"),
            // Half past two is skipped on 29 March, and comes twice on 25 October.
            ("30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
            ("30 2 * * *", "2026-10-25T00:29:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "2026-10-25T00:45:00Z", "2026-10-26T01:30:00Z"),
        ] {
            let cron = Cron::parse(cron).unwrap();
            assert_eq!(
                next_ms(&cron, ms(now), &zone),
                Some(ms(next)),
                "{cron} {now}"
            );
        }
    }
}
