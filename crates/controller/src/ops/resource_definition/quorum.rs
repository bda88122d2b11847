//! The quorum of a definition, who votes in it, and why.

use linstor_api::code;
use linstor_api::quorum::{QuorumReport, Vote as Json};
use linstor_api::reply::Reply;
use linstor_model::DiskKind;
use linstor_model::quorum::{self, Counts, Vote};

use super::super::name;
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// Shows it.
pub fn quorum(cluster: &Cluster, name: &str) -> Result<QuorumReport, Refusal> {
    let name = name::resource(name)?;
    let (model, observed) = (cluster.model(), cluster.observed());
    let definition = name::known_definition(&model, &name)?;
    let explained = quorum::explain(&model, &observed, definition).ok_or_else(|| {
        let message = format!("Resource definition '{}' has no quorum.", definition.name);
        Reply::new(code::FAIL_INVLD_LAYER_STACK, message)
            .cause("Its resources are not replicated by DRBD.")
            .correction("Use the layers DRBD, STORAGE.")
    })?;
    Ok(QuorumReport {
        resource_definition: definition.name.to_string(),
        quorum: explained.quorum,
        set_by: if explained.managed { "linstor" } else { "user" }.to_owned(),
        reason: explained.reason,
        tie_breaker: explained.tie_breaker,
        disks_needed: explained.majority.map(|(disks, _)| disks),
        failures_allowed: explained.majority.map(|(_, failures)| failures),
        votes: explained.votes.into_iter().map(show).collect(),
    })
}

fn show(vote: Vote) -> Json {
    let kind = match vote.disk {
        DiskKind::Diskful => "DISKFUL",
        DiskKind::Diskless => "DRBD_DISKLESS",
        DiskKind::TieBreaker => "TIE_BREAKER",
        DiskKind::Client => "DRBD_CLIENT",
    };
    Json {
        node_name: vote.node,
        kind: kind.to_owned(),
        vote: match &vote.counts {
            Ok(Counts::Disk) => "disk",
            Ok(Counts::Tie) => "tie",
            Err(_) => "none",
        }
        .to_owned(),
        online: vote.online,
        quorum_lost: vote.quorum_lost,
        reason: vote.counts.err(),
    }
}
