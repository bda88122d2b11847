//! What the quorum of a resource is, who votes in it, and why, for a person.

use linstor_api::kind::DrbdKind;
use linstor_api::prop;

use super::{
    LINSTOR, MAJORITY, OFF, connected, disk, diskful_count, is_managed, policy, tie_breaker_reason,
    why_no_quorum,
};
use crate::DiskKind;
use crate::model::Model;
use crate::name::ResourceName;
use crate::observed::Observed;
use crate::place::drbd_of;
use crate::{Resource, ResourceDefinition};

/// The quorum of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The value of DRBD's option.
    pub quorum: String,
    /// Whether LINSTOR sets it; a user otherwise.
    pub managed: bool,
    /// Why it is so.
    pub reason: String,
    /// Why there is a tie breaker, or none.
    pub tie_breaker: String,
    /// How many disks one side of a broken connection needs, and how many nodes may fail; none without quorum.
    pub majority: Option<(u32, u32)>,
    /// In the order of nodes.
    pub votes: Vec<Vote>,
}

/// How a resource votes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Its row's node, as people write it.
    pub node: String,
    /// What it is.
    pub disk: DiskKind,
    /// How it counts, or why it does not.
    pub counts: Result<Counts, String>,
    /// Its node is online.
    pub online: bool,
    /// The node reports a volume without quorum.
    pub quorum_lost: bool,
}

/// How a vote counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// As one disk.
    Disk,
    /// Between two halves of the disks.
    Tie,
}

/// The quorum of a definition; none if that is not replicated by DRBD.
pub fn explain(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
) -> Option<Explained> {
    definition.drbd.as_ref()?;
    let name = &definition.name;
    let managed = is_managed(model, definition);
    let stored = policy(model, definition, prop::DRBD_QUORUM).map(str::to_ascii_lowercase);
    let obstacle = why_no_quorum(model, observed, name);
    let quorum = stored.unwrap_or_else(|| OFF.to_owned());
    let reason = match (managed, obstacle) {
        (true, None) => format!("{LINSTOR} sets it: there are enough resources for a majority"),
        (true, Some(why)) => format!("{LINSTOR} switches it off, {why}"),
        (false, None) => "a property sets it".to_owned(),
        (false, Some(why)) => format!("a property sets it; there is no majority, {why}"),
    };
    let tie_breaker = match tie_breaker_reason(model, observed, definition) {
        Ok(why) if ties(model, name).next().is_some() => format!("there is one: {why}"),
        Ok(why) => format!("there is none, as no node can have it: {why}"),
        Err(why) => format!("none is needed: {why}"),
    };
    let disks = diskful_count(model, name) as u32;
    let has_tie = ties(model, name).next().is_some() && disks.is_multiple_of(2);
    let majority = (quorum == MAJORITY && disks > 0).then(|| match has_tie {
        true => (disks / 2, disks / 2),
        false => (disks / 2 + 1, (disks - 1) / 2),
    });
    let votes = model.resources_of(name).filter(|row| row.drbd.is_some());
    Some(Explained {
        quorum,
        managed,
        reason,
        tie_breaker,
        majority,
        votes: votes.map(|row| vote(model, observed, row)).collect(),
    })
}

/// The diskless resources that vote.
fn ties<'a>(model: &'a Model, name: &'a ResourceName) -> impl Iterator<Item = &'a Resource> {
    let voters = connected(model, name);
    voters
        .filter(|row| matches!(disk(row), DiskKind::Diskless | DiskKind::TieBreaker))
        .map(|row| &**row)
}

fn vote(model: &Model, observed: &Observed, row: &Resource) -> Vote {
    let live = observed.live(&row.name, &row.node);
    let drbd = live.and_then(|status| status.drbd.as_ref());
    let counts = if model.is_deleting(row) {
        Err("it is being deleted".to_owned())
    } else if row.inactive {
        Err("it is inactive".to_owned())
    } else if drbd_of(model, observed, &row.node).0 == Some(DrbdKind::Drbd84) {
        Err("the node's DRBD 8.4 has no quorum".to_owned())
    } else {
        match disk(row) {
            DiskKind::Diskful => Ok(Counts::Disk),
            DiskKind::Diskless | DiskKind::TieBreaker => Ok(Counts::Tie),
            DiskKind::Client => Err("it is a DRBD client".to_owned()),
        }
    };
    Vote {
        node: model
            .node(&row.node)
            .map_or_else(|| row.node.to_string(), |node| node.name.to_string()),
        disk: disk(row),
        counts,
        online: observed.is_online(&row.node),
        quorum_lost: drbd.is_some_and(|drbd| drbd.quorum_lost),
    }
}
