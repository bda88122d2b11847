//! What the controller says to the controllers of other clusters while snapshots are shipped to them, or received from them.
//! All of it can be said again: a controller that starts goes on with what the rows of the processes say.

use std::time::Duration;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::backup::describe;
use linstor_model::name::RemoteName;
use linstor_model::process::peer;
use linstor_model::process::restore_backup::RestoreBackup;
use linstor_model::process::ship_snapshot::{self, Call, ShipSnapshot, TELL_LIMIT, silence_limit};
use linstor_model::process::{Process, ProcessId};
use uuid::Uuid;

use super::backup::{Again, commit, has_lasted};
use crate::cluster::Cluster;
use crate::ops::backup::shipping::call::Peer;
use crate::ops::backup::shipping::conversation::{
    ABORT, Abort, DONE, Done, Entry, RECEIVE, Receive, SHIP, Ship, ShipAnswer, first_error,
    own_version,
};
use crate::ops::backup::shipping::{certificate, destination, not_alike};

/// How long after a failure it is said again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The other cluster; none when the remote is another one by now.
fn open(cluster: &Cluster, name: &RemoteName, uuid: Uuid) -> Option<Peer> {
    let model = cluster.model();
    let remote = model.remotes.get(name)?;
    Peer::new(remote).ok().filter(|_| remote.uuid == uuid)
}

/// Says what is to be said of a snapshot that is sent.
pub(super) async fn outbound(cluster: &Cluster, process: &Process, of: &ShipSnapshot) -> Again {
    let (id, now_ms) = (process.id, cluster.env().now_ms());
    if let Some(why) = of.silent(process, &cluster.model(), now_ms) {
        return fail(cluster, id, why).await;
    }
    match of.call(process, &cluster.model()) {
        Some(Call::Ship) => offer(cluster, id, of).await,
        Some(Call::Abort) => abandon(cluster, process, of).await,
        None => Ok(()),
    }
}

async fn fail(cluster: &Cluster, id: ProcessId, why: Reply) -> Again {
    commit(cluster, move |tx| {
        tx.plan(|draft, _, seeds| ship_snapshot::failed(draft, id, why, seeds.now_ms));
    })
    .await
}

/// Asks the other cluster to receive it.
async fn offer(cluster: &Cluster, id: ProcessId, of: &ShipSnapshot) -> Again {
    let model = cluster.model();
    let Some(peer) = open(cluster, &of.remote, of.remote_uuid) else {
        // The process ends by that itself.
        return Ok(());
    };
    let message = format!("The snapshot was not shipped to the remote {}.", of.remote);
    let Some(row) = model.snapshot(&of.resource, &of.snapshot) else {
        return Ok(());
    };
    let Some(part) = row.on(&of.node) else {
        return Ok(());
    };
    let mut meta = describe::snapshot(&model, &cluster.observed(), row, part, None);
    meta.start_timestamp = i64::try_from(of.started_at).unwrap_or(i64::MAX);
    meta.finish_timestamp = meta.start_timestamp;
    let target = &of.target;
    let said = Ship {
        src_version: own_version().to_vec(),
        meta_data: Box::new(meta),
        src_backup_name: of.snapshot.to_string(),
        src_cluster_id: model.controller.cluster_id.to_string(),
        src_l2l_remote_name: of.remote.to_string(),
        src_stlt_remote_name: of.label(),
        dst_rsc_name: target.resource.clone(),
        dst_node_name: target.node.clone(),
        dst_node_net_if_name: target.interface.clone(),
        dst_stor_pool: target.pool.clone(),
        stor_pool_rename_map: target.renamed.clone(),
        dst_rsc_grp: target.group.clone(),
        use_zstd: true,
        download_only: target.download_only,
        force_restore: target.force_restore,
        reset_data: false,
        dst_base_snap_name: of.base.as_ref().map(|base| base.there.clone()),
        dst_actual_node_name: of.base.as_ref().map(|base| base.node.clone()),
        src_rsc_name: of.resource.to_string(),
        force_rsc_grp: target.moves_group,
        src_certificate: Some(certificate(&of.identity)),
    };
    match peer.call::<ShipAnswer>(SHIP, &said).await {
        Ok(answered) if !answered.is_alike => {
            let why = not_alike(&format!("The cluster of the remote {}", of.remote));
            fail(cluster, id, why).await
        }
        Ok(answered) if answered.is_ok && answered.body.can_receive => {
            commit(cluster, move |tx| {
                tx.plan(|draft, _, seeds| ship_snapshot::accepted(draft, id, seeds.now_ms));
            })
            .await
        }
        Ok(answered) => {
            let why = first_error(&answered.body.responses, &peer.name);
            let why = why.unwrap_or_else(|| {
                Reply::new(code::FAIL_UNKNOWN_ERROR | code::MASK_BACKUP, message)
                    .cause("The other cluster refuses it, and does not say why.")
                    .correction("See the log of the other cluster's controller.")
            });
            fail(cluster, id, why).await
        }
        Err(error) => {
            let limit = silence_limit(&model, &of.resource, &of.node);
            let now_ms = cluster.env().now_ms();
            let lasted = now_ms.saturating_sub(of.asked_at.unwrap_or(now_ms));
            if !error.is_transient || u128::from(lasted) >= limit.as_millis() {
                return fail(cluster, id, error.reply(message)).await;
            }
            commit(cluster, move |tx| {
                tx.plan(|draft, _, seeds| ship_snapshot::asked(draft, id, seeds.now_ms));
            })
            .await?;
            Err(error.why)
        }
    }
}

/// Tells the other cluster that it is not sent.
async fn abandon(cluster: &Cluster, process: &Process, of: &ShipSnapshot) -> Again {
    let id = process.id;
    if let Some(failure) = &of.failure {
        tracing::warn!(resource = %of.resource, remote = %of.remote, message = failure.message, cause = failure.cause, "the snapshot was not shipped");
    }
    let peer = open(cluster, &of.remote, of.remote_uuid);
    if let Some(peer) = peer.filter(|_| !of.told) {
        let snapshots = vec![of.snapshot.to_string()];
        let said = Abort {
            responses: Vec::new(),
            cluster_id: cluster.model().controller.cluster_id.to_string(),
            rsc_and_snap_names_to_abort: [(of.target.resource.clone(), snapshots)].into(),
            cluster_version: own_version().to_vec(),
        };
        let said = peer.call::<Vec<Reply>>(ABORT, &said).await;
        if let Err(error) = said {
            if error.is_transient && !has_lasted(cluster, process, TELL_LIMIT) {
                return Err(error.why);
            }
            tracing::error!(resource = %of.resource, remote = %of.remote, "the other cluster does not know that it is not shipped: {}", error.why);
        }
    }
    commit(cluster, move |tx| {
        tx.plan(|draft, _, seeds| ship_snapshot::told(draft, id, seeds.now_ms));
    })
    .await
}

/// Says what is to be said of a snapshot that is received.
pub(super) async fn inbound(cluster: &Cluster, process: &Process, of: &RestoreBackup) -> Again {
    match of.call() {
        Some(peer::Call::Announce) => announce(cluster, process, of).await,
        Some(peer::Call::End) => report(cluster, process, of).await,
        None => Ok(()),
    }
}

/// Tells the other cluster where to send it.
async fn announce(cluster: &Cluster, process: &Process, of: &RestoreBackup) -> Again {
    let (id, Some(sender)) = (process.id, &of.peer) else {
        return Ok(());
    };
    let Some(peer) = open(cluster, &of.remote, of.remote_uuid) else {
        return Ok(());
    };
    let port = sender.port;
    let ports = of.objects.keys().map(|number| (number.to_string(), port));
    let said = Receive {
        can_receive: true,
        responses: Vec::new(),
        linstor_remote_name: sender.remote.clone(),
        stlt_remote_name: sender.label.clone(),
        remote_url: peer.url().to_owned(),
        dst_stlt_ip: sender.address.to_string(),
        dst_stlt_ports: ports.collect(),
        src_snap_dfn_uuid: None,
        use_zstd: true,
        src_stlt_remote_name: sender.label.clone(),
        dst_certificate: Some(certificate(&sender.identity)),
    };
    // Without an answer the node stops waiting by itself, which ends it.
    let answered = peer.call::<Vec<Reply>>(RECEIVE, &said).await;
    let answered = answered.map_err(|error| error.why)?;
    match answered.body.iter().find(|reply| reply.is_error()) {
        Some(error) => {
            tracing::warn!(resource = %of.resource, remote = %of.remote, message = error.message, "the other cluster does not send it any more");
            let forgotten = destination::forget(cluster, id).await;
            forgotten.map_err(|_| "the database could not be written".to_owned())
        }
        None => {
            commit(cluster, move |tx| {
                tx.plan(|draft, _, _| peer::announced(draft, id, port));
            })
            .await
        }
    }
}

/// Tells the other cluster how it ended.
async fn report(cluster: &Cluster, process: &Process, of: &RestoreBackup) -> Again {
    let (id, Some(sender)) = (process.id, &of.peer) else {
        return Ok(());
    };
    if let Some(peer) = open(cluster, &of.remote, of.remote_uuid) {
        let failed = of.step == linstor_model::process::restore_backup::Step::Abandon;
        let why = failed.then(|| {
            of.failure.clone().unwrap_or_else(|| {
                Reply::new(
                    code::FAIL_UNKNOWN_ERROR | code::MASK_BACKUP,
                    "The snapshot was not received.",
                )
                .cause("It was aborted there.")
                .correction("Ship it again.")
            })
        });
        let now_ms = cluster.env().now_ms();
        let said = Done {
            responses: why.iter().map(|why| Entry::new(why, now_ms)).collect(),
            linstor_remote_name: sender.remote.clone(),
            stlt_remote_name: sender.label.clone(),
            remote_url: peer.url().to_owned(),
        };
        let said = peer.call::<Vec<Reply>>(DONE, &said).await;
        if let Err(error) = said {
            if error.is_transient && !has_lasted(cluster, process, TELL_LIMIT) {
                return Err(error.why);
            }
            tracing::error!(resource = %of.resource, remote = %of.remote, "the other cluster does not know how its shipment ended: {}", error.why);
        }
    }
    commit(cluster, move |tx| {
        tx.plan(|draft, _, _| peer::told(draft, id));
    })
    .await
}
