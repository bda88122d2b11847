//! What is shown of the schedules of resource definitions: where they are enabled, when the last backup was begun, and when
//! the next ones are due.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use linstor_api::schedule::{
    ScheduleDetails, ScheduleDetailsList, ScheduledRscs, ScheduledRscsList,
};
use linstor_model::Model;
use linstor_model::backup::history::{Due, Run, Triple};
use linstor_model::cron::{Cron, Minute};

use super::super::name;
use super::inherit::{is_active, settings};
use super::run;
use crate::cluster::Cluster;
use crate::transaction::Refusal;

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
    let wanted = |filter: &Option<String>, name: &str| {
        let filter = filter.as_ref().filter(|text| !text.is_empty());
        filter.is_none_or(|filter| filter.eq_ignore_ascii_case(name))
    };
    let mut data = Vec::new();
    let definitions = model.definitions.values();
    for row in definitions.filter(|row| wanted(&filter.definition, row.name.as_str())) {
        for (remote, schedule, setting) in settings(&model, row) {
            let is_active = is_active(&setting);
            if !wanted(&filter.remote, remote.as_str())
                || !wanted(&filter.schedule, schedule.as_str())
                || filter.active_only && !is_active
            {
                continue;
            }
            let of = Triple {
                resource: row.name.clone(),
                remote,
                schedule,
            };
            data.push(one(cluster, &model, &of, is_active));
        }
    }
    ScheduledRscsList { data }
}

fn one(cluster: &Cluster, model: &Model, of: &Triple, is_active: bool) -> ScheduledRscs {
    let (resource, remote, schedule) = (&of.resource, &of.remote, &of.schedule);
    let none = |reason: &str| ScheduledRscs {
        rsc_name: resource.to_string(),
        remote_name: remote.to_string(),
        schedule_name: schedule.to_string(),
        reason: Some(reason.to_owned()),
        last_snap_time: -1,
        last_snap_inc: false,
        next_exec_time: -1,
        next_exec_inc: false,
        next_planned_full: -1,
        next_planned_inc: -1,
    };
    let row = model.schedules.get(schedule).filter(|_| is_active);
    let Some(row) = row else {
        return none("disabled");
    };
    if !run::is_deployed(model, resource) {
        return none("undeployed");
    }
    let now_ms = cluster.env().now_ms();
    let default = Run::default();
    let ran = model.run(of).unwrap_or(&default);
    let counted_from = ran.counted_from.unwrap_or(now_ms);
    let due = Due::of(row, ran, counted_from, &local_times());
    let ms = |at: Option<u64>| at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1);
    // While one is being made the next is not known: it may last beyond its time.
    let next = due.at().filter(|_| !run::is_running(model, of));
    let reason = next
        .filter(|at| *at <= now_ms)
        .and_then(|_| run::held(model, of, cluster.master_key().is_some()));
    ScheduledRscs {
        reason,
        last_snap_time: ms(ran.last.as_ref().map(|last| last.at)),
        last_snap_inc: ran.last.as_ref().is_some_and(|last| last.incremental),
        next_exec_time: ms(next),
        next_exec_inc: next.is_some_and(|at| due.is_incremental_at(at.max(now_ms))),
        next_planned_full: ms(due.full),
        next_planned_inc: ms(due.incremental),
        ..none("")
    }
}

/// The next time of a cron expression after a moment in the controller's time zone, both in milliseconds since 1970.
pub(crate) fn local_times() -> impl Fn(&Cron, u64) -> Option<u64> {
    let zone = TimeZone::system();
    move |cron, at| {
        let next = next_ms(cron, i64::try_from(at).ok()?, &zone)?;
        u64::try_from(next).ok()
    }
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
