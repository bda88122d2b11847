//! What became of the backups of a resource definition on each remote, and of the runs of its schedules. It is in the row of
//! the definition, so that a controller that starts knows which run is due, how often one was tried, and when the last
//! backup was made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Schedule;
use crate::cron::Cron;
use crate::draft::Draft;
use crate::model::Model;
use crate::name::{RemoteName, ResourceName, ScheduleName};
use crate::row::is_default;
use crate::schedule::OnFailure;

/// How long after a failure a backup is tried again, in milliseconds.
pub const RETRY_AFTER_MS: u64 = 60_000;
/// The pause doubles with each failure, up to this one, in milliseconds.
pub const RETRY_AFTER_MAX_MS: u64 = 3_600_000;
/// How much of a reason is retained, in characters.
const REASON_MAX: usize = 300;

/// What is remembered, by remote.
pub type History = BTreeMap<RemoteName, OnRemote>;

/// What is remembered of the backups on one remote.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OnRemote {
    /// The last backup that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Made>,
    /// How many backups have failed so far; one that was aborted has not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failures: u64,
    /// The runs of schedules.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub runs: BTreeMap<ScheduleName, Run>,
}

/// A backup that was made. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// When it began.
    pub began_at: u64,
    /// When it was complete.
    pub ended_at: u64,
    /// How many bytes its objects have; none where the store did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// It is based on another one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub incremental: bool,
}

/// The runs of a schedule for a resource definition. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Times of the schedule after this one are due: when its last backup began, was given up, or since when it is enabled.
    /// None while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_from: Option<u64>,
    /// The last backup that was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Began>,
    /// The last one has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
    /// A full backup was made, and what is not retained any more was not deleted yet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expires: bool,
}

/// A backup of a schedule that was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// It is based on another one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub incremental: bool,
}

/// A backup of a schedule that has failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// Why.
    pub reason: String,
    /// It was to be an incremental one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub incremental: bool,
    /// How often it was tried again, or will be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retries: u32,
    /// When it is tried again, in milliseconds since the Unix epoch; none if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<u64>,
}

/// Whose run something is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Triple {
    /// The resource definition.
    pub resource: ResourceName,
    /// The remote.
    pub remote: RemoteName,
    /// The schedule.
    pub schedule: ScheduleName,
}

/// How a backup has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// It was made.
    Made(Made),
    /// It has failed, for this reason.
    Failed(String),
    /// Somebody has aborted it.
    Aborted,
}

/// The next times of a schedule. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The next full backup.
    pub full: Option<u64>,
    /// The next incremental one.
    pub incremental: Option<u64>,
    /// The next attempt at one that has failed, which is made instead of both, and whether it is incremental.
    pub retry: Option<(u64, bool)>,
}

impl Due {
    /// The next times after those that count as done; `after` gives the first time of a cron expression after a moment.
    pub fn of(
        schedule: &Schedule,
        run: &Run,
        counted_from: u64,
        after: &dyn Fn(&Cron, u64) -> Option<u64>,
    ) -> Due {
        let failed = run.failed.as_ref();
        let incremental = schedule.inc_cron.as_ref();
        Due {
            full: after(&schedule.full_cron, counted_from),
            incremental: incremental.and_then(|cron| after(cron, counted_from)),
            retry: failed.and_then(|failed| Some((failed.retry_at?, failed.incremental))),
        }
    }

    /// When the next backup is due.
    pub fn at(&self) -> Option<u64> {
        match self.retry {
            Some((at, _)) => Some(at),
            None => self.full.into_iter().chain(self.incremental).min(),
        }
    }

    /// Whether the backup that is begun at a moment is an incremental one. Of several times that have passed only one is
    /// made up for: a full one if one of them is.
    pub fn is_incremental_at(&self, now_ms: u64) -> bool {
        let full_is_due = self.full.is_some_and(|at| at <= now_ms);
        match self.retry {
            Some((_, incremental)) => incremental && !full_is_due,
            None => !full_is_due && self.incremental.is_some_and(|at| at <= now_ms),
        }
    }
}

impl Model {
    /// The runs of a schedule for a resource definition, if there were any.
    pub fn run(&self, of: &Triple) -> Option<&Run> {
        let on_remote = self
            .definitions
            .get(&of.resource)?
            .backups
            .get(&of.remote)?;
        on_remote.runs.get(&of.schedule)
    }
}

fn edit(draft: &mut Draft, of: &Triple, edit: impl FnOnce(&mut Run)) {
    draft.edit_resource_definition(&of.resource, |row| {
        let on_remote = row.backups.entry(of.remote.clone()).or_default();
        edit(on_remote.runs.entry(of.schedule.clone()).or_default());
    });
}

/// Times after this one are due from now on; none while the schedule is not enabled.
pub fn count_from(draft: &mut Draft, of: &Triple, at: Option<u64>) {
    edit(draft, of, |run| {
        run.counted_from = at;
        run.failed = None;
    });
}

/// Notes that a backup of a schedule was begun.
pub fn began(draft: &mut Draft, of: &Triple, began: Began) {
    edit(draft, of, |run| {
        // An attempt that is being made is not made a second time.
        if let Some(failed) = &mut run.failed {
            failed.retry_at = None;
        }
        run.counted_from = Some(began.at);
        run.last = Some(began);
    });
}

/// Notes that what is not retained any more was deleted.
pub fn expired(draft: &mut Draft, of: &Triple) {
    edit(draft, of, |run| run.expires = false);
}

/// Notes how a backup has ended; `schedule` is the one that it was made for, `incremental` what it was to be.
pub fn ended(
    draft: &mut Draft,
    (resource, remote): (&ResourceName, &RemoteName),
    schedule: Option<&ScheduleName>,
    incremental: bool,
    end: End,
    now_ms: u64,
) {
    let policy = schedule.and_then(|name| draft.schedules.get(name).cloned());
    draft.edit_resource_definition(resource, |row| {
        let on_remote = row.backups.entry(remote.clone()).or_default();
        match &end {
            End::Made(made) => on_remote.last = Some(made.clone()),
            End::Failed(_) => on_remote.failures = on_remote.failures.saturating_add(1),
            End::Aborted => {}
        }
        // A schedule that was deleted meanwhile has no runs any more.
        let (Some(name), Some(policy)) = (schedule, &policy) else {
            return;
        };
        let run = on_remote.runs.entry(name.clone()).or_default();
        match end {
            End::Made(made) => {
                run.expires |= !made.incremental;
                // Its base may turn out to be of no use only when it is sent.
                if let Some(last) = &mut run.last {
                    last.incremental = made.incremental;
                }
                run.failed = None;
            }
            End::Failed(reason) => run.fail(policy, reason, incremental, now_ms),
            End::Aborted => {
                run.failed = None;
                run.skip(now_ms);
            }
        }
    });
}

impl Run {
    /// The next time is the next one of the schedule.
    fn skip(&mut self, now_ms: u64) {
        if self.counted_from.is_some() {
            self.counted_from = Some(now_ms);
        }
    }

    fn fail(&mut self, policy: &Schedule, reason: String, incremental: bool, now_ms: u64) {
        let before = self.failed.as_ref().map_or(0, |failed| failed.retries);
        let max = policy.max_retries.and_then(|max| u32::try_from(max).ok());
        let again = policy.on_failure == OnFailure::Retry && max.is_none_or(|max| before < max);
        let doubled = 1_u64.checked_shl(before).unwrap_or(u64::MAX);
        let pause = RETRY_AFTER_MS.saturating_mul(doubled);
        self.failed = Some(Failed {
            reason: reason.chars().take(REASON_MAX).collect(),
            incremental,
            retries: if again { before.saturating_add(1) } else { 0 },
            retry_at: again.then(|| now_ms.saturating_add(pause.min(RETRY_AFTER_MAX_MS))),
        });
        if !again {
            self.skip(now_ms);
        }
    }
}

/// Forgets what is remembered of remotes, or of schedules on them, that are deleted. `schedule` is none where the remote
/// as a whole is asked for.
pub fn forget(draft: &mut Draft, is_deleted: impl Fn(&RemoteName, Option<&ScheduleName>) -> bool) {
    let concerned = |on: &OnRemote, remote: &RemoteName| {
        let mut schedules = on.runs.keys();
        is_deleted(remote, None) || schedules.any(|name| is_deleted(remote, Some(name)))
    };
    let definitions = draft.definitions.values();
    let names = definitions.filter(|row| row.backups.iter().any(|(name, on)| concerned(on, name)));
    let names: Vec<ResourceName> = names.map(|row| row.name.clone()).collect();
    for name in names {
        draft.edit_resource_definition(&name, |row| {
            row.backups.retain(|remote, on| {
                on.runs
                    .retain(|schedule, _| !is_deleted(remote, Some(schedule)));
                !is_deleted(remote, None)
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const MINUTE: u64 = 60_000;

    fn schedule(
        full: &str,
        inc: Option<&str>,
        on_failure: OnFailure,
        max: Option<i32>,
    ) -> Schedule {
        Schedule {
            name: ScheduleName::parse("hourly").unwrap(),
            uuid: Uuid::nil(),
            full_cron: Cron::parse(full).unwrap(),
            inc_cron: inc.map(|text| Cron::parse(text).unwrap()),
            keep_local: None,
            keep_remote: None,
            on_failure,
            max_retries: max,
        }
    }

    /// Here a full backup is due each hour, an incremental one each ten minutes.
    fn after(cron: &Cron, at: u64) -> Option<u64> {
        let every = match cron.as_str() {
            "0 * * * *" => 60 * MINUTE,
            _ => 10 * MINUTE,
        };
        Some((at / every + 1) * every)
    }

    fn hourly(on_failure: OnFailure, max: Option<i32>) -> Schedule {
        schedule("0 * * * *", Some("*/10 * * * *"), on_failure, max)
    }

    fn due(schedule: &Schedule, run: &Run) -> Due {
        Due::of(schedule, run, run.counted_from.unwrap(), &after)
    }

    fn counted(at: u64) -> Run {
        Run {
            counted_from: Some(at),
            ..Run::default()
        }
    }

    /// Whatever time has passed, one backup is due, and a full one if the time of one has passed.
    #[test]
    fn one_of_many_missed_is_due() {
        let schedule = hourly(OnFailure::Skip, None);
        for (from, now, at, incremental) in [
            (5, 9, 10, false),
            (5, 10, 10, true),
            (5, 45, 10, true),
            (5, 60, 10, false),
            (5, 61, 10, false),
            (50, 60, 60, false),
            (5, 100_000, 10, false),
            (61, 70, 70, true),
        ] {
            let due = due(&schedule, &counted(from * MINUTE));
            assert_eq!(due.at(), Some(at * MINUTE), "{from} {now}");
            assert_eq!(
                due.is_incremental_at(now * MINUTE),
                incremental,
                "{from} {now}"
            );
        }
        let full = super::Schedule {
            inc_cron: None,
            ..schedule
        };
        let due = due(&full, &counted(5 * MINUTE));
        assert_eq!((due.at(), due.incremental), (Some(60 * MINUTE), None));
    }

    /// What is skipped is due at the next time after its end; what is retried, after longer and longer pauses, as the type
    /// that it was unless a full one has become due; after the last attempt at the next time.
    #[test]
    fn failures_are_skipped_or_retried() {
        let mut run = counted(10 * MINUTE);
        run.fail(
            &hourly(OnFailure::Skip, Some(3)),
            "why".into(),
            true,
            25 * MINUTE,
        );
        let skip = hourly(OnFailure::Skip, Some(3));
        assert_eq!(due(&skip, &run).at(), Some(30 * MINUTE));
        let retry = hourly(OnFailure::Retry, Some(2));
        let mut run = counted(10 * MINUTE);
        run.fail(&retry, "why".into(), true, 25 * MINUTE);
        let next = due(&retry, &run);
        assert_eq!(next.at(), Some(26 * MINUTE));
        assert!(next.is_incremental_at(26 * MINUTE));
        assert!(!next.is_incremental_at(60 * MINUTE));
        run.fail(&retry, "why".into(), true, 30 * MINUTE);
        assert_eq!(due(&retry, &run).at(), Some(32 * MINUTE));
        run.fail(&retry, "why".into(), true, 33 * MINUTE);
        let next = due(&retry, &run);
        assert_eq!((next.at(), next.retry), (Some(40 * MINUTE), None));
        assert_eq!(run.failed.as_ref().map(|failed| failed.retries), Some(0));
        let endless = hourly(OnFailure::Retry, None);
        for _ in 0..100 {
            run.fail(&endless, "why".into(), false, 50 * MINUTE);
        }
        assert_eq!(
            due(&endless, &run).at(),
            Some(50 * MINUTE + RETRY_AFTER_MAX_MS)
        );
        let never = hourly(OnFailure::Retry, Some(0));
        let mut run = counted(10 * MINUTE);
        run.fail(&never, "why".into(), true, 25 * MINUTE);
        assert_eq!(due(&never, &run).at(), Some(30 * MINUTE));
    }

    proptest! {
        /// Whatever happens and whenever: once a backup has begun, nothing is due before the next time of the schedule, so
        /// that what is missed never piles up.
        #[test]
        fn nothing_piles_up(
            steps in prop::collection::vec((0_u64..200, 0_u8..4), 1..50), retries in prop::option::of(0_i32..4),
        ) {
            let schedule = hourly(OnFailure::Retry, retries);
            let mut run = counted(0);
            let mut now = 0;
            for (minutes, what) in steps {
                now += minutes * MINUTE;
                let next = due(&schedule, &run);
                if next.at().unwrap() > now {
                    continue;
                }
                let incremental = next.is_incremental_at(now);
                // As `began` does.
                run.failed.iter_mut().for_each(|failed| failed.retry_at = None);
                run.counted_from = Some(now);
                let at = due(&schedule, &run).at().unwrap();
                prop_assert!(at > now, "{at} {now}");
                match what {
                    0 => run.fail(&schedule, String::new(), incremental, now + MINUTE),
                    1 => { run.failed = None; run.skip(now + MINUTE); }
                    _ => run.failed = None,
                }
                prop_assert!(due(&schedule, &run).at().unwrap() > now);
            }
        }
    }
}
