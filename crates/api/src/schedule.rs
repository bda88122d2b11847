//! Schedules of backups, and what they are enabled for.

use crate::lenient::object;
use crate::sorted_map::SortedMap;

object! {
    /// A schedule; in a change, what is not given is left unchanged.
    pub struct Schedule {
        /// Its name.
        pub schedule_name: Option<String>,
        /// When full backups are made, as a cron expression.
        pub full_cron: Option<String>,
        /// When incremental backups are made; the empty text for never.
        pub inc_cron: Option<String>,
        /// How many snapshots of full backups are retained on the nodes.
        pub keep_local: Option<i32>,
        /// How many full backups are retained on the remote.
        pub keep_remote: Option<i32>,
        /// `SKIP` or `RETRY`.
        pub on_failure: Option<String>,
        /// How often a failed backup is tried again.
        pub max_retries: Option<i32>,
    }

    /// A change of a schedule.
    pub struct ScheduleModify {
        /// When full backups are made, as a cron expression.
        pub full_cron: Option<String>,
        /// When incremental backups are made; the empty text for never.
        pub inc_cron: Option<String>,
        /// How many snapshots of full backups are retained on the nodes.
        pub keep_local: Option<i32>,
        /// How many full backups are retained on the remote.
        pub keep_remote: Option<i32>,
        /// `SKIP` or `RETRY`.
        pub on_failure: Option<String>,
        /// How often a failed backup is tried again.
        pub max_retries: Option<i32>,
    }

    /// All schedules.
    pub struct ScheduleList {
        /// The schedules.
        pub data: Vec<Schedule>,
    }

    /// What a schedule is enabled or disabled for: a resource definition, a group, or without either the controller.
    pub struct BackupSchedule {
        /// The resource definition.
        pub rsc_name: Option<String>,
        /// The resource group.
        pub grp_name: Option<String>,
        /// The node that ships, if it can.
        pub node_name: Option<String>,
        /// The storage pool of the target.
        pub dst_stor_pool: Option<String>,
        /// Storage pools of the target by those of the source.
        pub stor_pool_rename: SortedMap<String, String>,
        /// Whether the target is restored although it has resources.
        pub force_restore: bool,
        /// The resource group of the target.
        pub dst_rsc_grp: Option<String>,
        /// The name of the target; only for a resource definition.
        pub dst_rsc_name: Option<String>,
        /// Whether the target is moved into the group although it has resources.
        pub force_mv_rsc_grp: bool,
    }

    /// Resource definitions with a schedule.
    pub struct ScheduledRscsList {
        /// One for each resource definition, remote and schedule.
        pub data: Vec<ScheduledRscs>,
    }

    /// A schedule of a resource definition. Times are milliseconds since 1970, -1 for never.
    pub struct ScheduledRscs {
        /// The resource definition.
        pub rsc_name: String,
        /// The remote.
        pub remote_name: String,
        /// The schedule.
        pub schedule_name: String,
        /// Why it is not active.
        pub reason: Option<String>,
        /// The last scheduled backup.
        pub last_snap_time: i64,
        /// Whether that was incremental.
        pub last_snap_inc: bool,
        /// The next backup.
        pub next_exec_time: i64,
        /// Whether that is incremental.
        pub next_exec_inc: bool,
        /// The next full backup.
        pub next_planned_full: i64,
        /// The next incremental backup.
        pub next_planned_inc: i64,
    }

    /// Where the schedules of a resource definition are enabled or disabled.
    pub struct ScheduleDetailsList {
        /// One for each remote and schedule.
        pub data: Vec<ScheduleDetails>,
    }

    /// Where a schedule is enabled (true) or disabled (false).
    pub struct ScheduleDetails {
        /// The remote.
        pub remote_name: String,
        /// The schedule.
        pub schedule_name: String,
        /// At the controller.
        pub ctrl: Option<bool>,
        /// At the resource group.
        pub rsc_grp: Option<bool>,
        /// At the resource definition.
        pub rsc_dfn: Option<bool>,
    }
}
