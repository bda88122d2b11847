//! Schedules of backups. Properties below `Schedule/` enable one for a remote and a resource definition.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cron::Cron;
use crate::name::ScheduleName;

/// When backups are made, and how many are retained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name.
    pub name: ScheduleName,
    /// Identity.
    pub uuid: Uuid,
    /// When full backups are made.
    pub full_cron: Cron,
    /// When incremental backups are made between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inc_cron: Option<Cron>,
    /// How many snapshots of full backups are retained on the nodes; all when none, as for a negative number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_local: Option<i32>,
    /// How many full backups are retained on the remote; all when none, as for a negative number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_remote: Option<i32>,
    /// What happens when a backup fails.
    pub on_failure: OnFailure,
    /// How often a failed backup is tried again; without end when none, as for a negative number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<i32>,
}

/// What happens when a backup fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OnFailure {
    /// The next one is made at its time.
    Skip,
    /// It is tried again.
    Retry,
}

impl OnFailure {
    /// As the API has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            OnFailure::Skip => "SKIP",
            OnFailure::Retry => "RETRY",
        }
    }

    /// The value of this name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [OnFailure::Skip, OnFailure::Retry]
            .into_iter()
            .find(|value| value.as_str().eq_ignore_ascii_case(text))
    }
}
