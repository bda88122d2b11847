//! The epoch: which controller on which database the satellites obey.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The largest epoch that is accepted: JSON readers that use doubles change larger numbers, and no controller is
/// started that often.
pub const EPOCH_MAX: u64 = 1 << 53;

/// Which start of a controller on this database was the last. A row of its own, so that a start writes little.
///
/// A counter, not a time. Each start adds one, by a batch that compares and sets the database's generation: two
/// controllers on one database cannot both succeed, and satellites refuse the one with the smaller number.
///
/// A database restored from an older copy counts behind what satellites have seen. They refuse it and report which epoch
/// they obey and whether that controller is connected to them. Then:
///
/// - If it is connected, or if the satellite had obeyed the present epoch before, another controller has superseded this
///   one: this one ends.
/// - Else a restored database cannot be distinguished from a forgotten copy of it. The controller keeps running, shows
///   the refusal, and waits for a person, who knows that no other controller of the cluster runs: `linstor controller
///   take-over` sets the epoch to one more than [`Epoch::newer`].
///
/// In both cases [`Epoch::newer`] is stored first; while it is there, starts add nothing, so that a controller that is
/// started again and again does not count itself past its successor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// How many starts there were, take-overs included.
    pub number: u64,
    /// Random, made with the number: a copy of the database may count to the same number.
    pub start: Uuid,
    /// The newest epoch for which a satellite refused this database, if that is not less than `number`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<u64>,
}
