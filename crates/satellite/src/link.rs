//! The conversation with the controller.
//!
//! Four loops share one connection: reading, which answers pings itself and queues everything else; taking over what
//! was queued; refreshing space; and writing what the outbox holds. None waits for another, so that a ping is
//! answered however busy the node is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linstor_api::code;
use linstor_net::{NetError, Receiver, SatelliteSide, Sender};
use linstor_wire::message::{
    CONTROLLER_SILENCE_MAX, Held, NewerController, PROTOCOL, PROTOCOL_MIN, RefusalKind,
};
use linstor_wire::spec::Spec;
use linstor_wire::status::{NodeInfo, Outcome, ResourceStatus};
use linstor_wire::{Key, ToController, ToSatellite, Wanted};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use crate::failure::{Failure, bounded};
use crate::outbox::AppliedEntry;
use crate::shared::{Order, Shared, State};
use crate::spec_store::{Identity, Revision};
use crate::{auth_token, facts, questions, space, status};

/// How long a caller may take to send `Hello`.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// How long a caller waits at most until the specs on disk have been read.
const LOAD_LIMIT: Duration = Duration::from_secs(30);
/// How long a caller waits at most until the identity of another one has been written.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(10);
/// How long the node's tools may take to answer a caller's question.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// How much of the name of an unknown object is shown, in bytes.
const KEY_BYTES_SHOWN_MAX: usize = 120;
/// Messages that may wait to be taken over. A full sync of 50,000 resources has 200.
const INTAKE_MAX: usize = 4096;
/// Refreshes of space that may wait.
const REFRESHES_MAX: usize = 64;
/// Pause between two rounds of status, in which changes gather.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);
/// Resources per status message.
const STATUS_RESOURCES_MAX: usize = 256;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The link itself.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The caller did not send `Hello` first, or not in time.
    #[error("the caller did not introduce itself")]
    NoHello,
    /// The caller was refused.
    #[error("the caller was refused: {0}")]
    Refused(String),
    /// Another controller, or a newer connection of the same one, took over.
    #[error("a newer connection took over")]
    Replaced,
    /// The caller sent something that cannot be done.
    #[error("{0}")]
    Unusable(String),
    /// The satellite's own disk failed.
    #[error("own state cannot be written: {0}")]
    Store(#[from] Failure),
}

/// Who calls.
struct Caller {
    protocol_min: u32,
    protocol_max: u32,
    version: String,
    identity: Identity,
}

/// Serves a connection until it ends.
pub async fn serve<S>(shared: Arc<Shared>, stream: S) -> Result<(), LinkError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut connection = SatelliteSide::new(stream);
    let caller = match timeout(HELLO_LIMIT, connection.next()).await {
        Ok(Ok(Some(hello))) => caller(hello)?,
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(LinkError::NoHello),
    };
    wait_until_loaded(&shared).await?;
    let judged = judge_now(&shared.state(), &caller);
    if let Err(refusal) = judged {
        return refuse(&shared, connection, refusal).await;
    }
    // A tool that hangs must not delay the answer: the capabilities known so far are reported, and changes later.
    let _in_time = timeout(PROBE_LIMIT, facts::refresh(&shared)).await;
    let (number, info) = match take_over(&shared, &caller).await? {
        Ok(taken) => taken,
        Err(refusal) => return refuse(&shared, connection, refusal).await,
    };
    let _connected = Connected {
        shared: &shared,
        number,
    };
    let protocol = PROTOCOL.min(caller.protocol_max);
    tracing::info!(
        version = caller.version,
        epoch = caller.identity.epoch,
        "controller connected"
    );
    connection
        .send(&ToController::Welcome {
            protocol,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            info,
        })
        .await?;
    let ended = converse(&shared, number, caller.identity, connection).await;
    tracing::info!(?ended, "controller disconnected");
    ended
}

/// Why a caller is refused.
type Refusal = (RefusalKind, String);

async fn refuse(
    shared: &Shared,
    mut connection: SatelliteSide,
    (kind, message): Refusal,
) -> Result<(), LinkError> {
    let refused = ToController::Refused {
        kind,
        message: message.clone(),
        newer: newer_controller(shared).filter(|_| kind == RefusalKind::OlderEpoch),
    };
    connection.send(&refused).await?;
    Err(LinkError::Refused(message))
}

fn caller(message: ToSatellite) -> Result<Caller, LinkError> {
    let ToSatellite::Hello {
        protocol_min,
        protocol_max,
        version,
        cluster_id,
        epoch,
        start,
        node_name,
        node_uuid,
    } = message
    else {
        return Err(LinkError::NoHello);
    };
    Ok(Caller {
        protocol_min,
        protocol_max,
        version,
        identity: Identity {
            cluster_id,
            node_name,
            node_uuid,
            epoch,
            start,
        },
    })
}

async fn wait_until_loaded(shared: &Shared) -> Result<(), LinkError> {
    let mut changed = shared.changed.subscribe();
    let loaded = async {
        while !shared.state().loaded {
            if changed.changed().await.is_err() {
                return;
            }
        }
    };
    timeout(LOAD_LIMIT, loaded)
        .await
        .map_err(|_| LinkError::Unusable("the specs on disk were not read in time".into()))
}

fn judge_now(state: &State, caller: &Caller) -> Result<(), Refusal> {
    let has_resources = state.resources().next().is_some();
    judge(caller, state.identity.as_ref(), has_resources)
}

/// Whether a caller is accepted.
fn judge(caller: &Caller, known: Option<&Identity>, has_resources: bool) -> Result<(), Refusal> {
    if caller.protocol_min > PROTOCOL || caller.protocol_max < PROTOCOL_MIN {
        let message = format!(
            "This satellite speaks protocol {PROTOCOL_MIN} to {PROTOCOL}, the controller {} to {}.",
            caller.protocol_min, caller.protocol_max
        );
        return Err((RefusalKind::Version, message));
    }
    let Some(known) = known else { return Ok(()) };
    let called = &caller.identity;
    let same_cluster = known.cluster_id == called.cluster_id;
    let same_node = known.node_uuid == called.node_uuid || known.node_name == called.node_name;
    // A node that was deleted and registered again has a new identity, but is the same machine.
    if has_resources && !(same_cluster && same_node) {
        let message = format!(
            "This satellite is node '{}' of cluster {} and has resources of it. \
             It was called as node '{}' of cluster {}. If that is right, stop the satellite, \
             remove its state directory and start it again.",
            known.node_name, known.cluster_id, called.node_name, called.cluster_id
        );
        return Err((RefusalKind::Identity, message));
    }
    // The same epoch of two starts: one of them counted on a copy of the database.
    let other_start =
        known.start != called.start && !known.start.is_nil() && !called.start.is_nil();
    if same_cluster && (called.epoch < known.epoch || called.epoch == known.epoch && other_start) {
        let message = format!(
            "This satellite obeys a controller of the same cluster with epoch {}; the caller has epoch {}.",
            known.epoch, called.epoch
        );
        return Err((RefusalKind::OlderEpoch, message));
    }
    Ok(())
}

/// A connection that is served: with its end, however it ends, the controller is not connected any more.
struct Connected<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.shared.suspensions.connection_ended(self.number);
        let mut state = self.shared.state();
        if state.connection == self.number {
            state.controller_heard = None;
        }
    }
}

/// The controller that is obeyed.
fn newer_controller(shared: &Shared) -> Option<NewerController> {
    let state = shared.state();
    let heard = state.controller_heard;
    Some(NewerController {
        epoch: state.identity.as_ref()?.epoch,
        connected: heard.is_some_and(|heard| heard.elapsed() < CONTROLLER_SILENCE_MAX),
    })
}

/// Makes this the connection that is served, and ends the one before; its number, and what the node is able to do.
///
/// Another controller may have called since the caller was first judged, so it is judged again, in the same step that
/// ends the authority of the connection before. The identity is on disk before the caller is welcome: an older
/// controller must be refused after a restart, too.
async fn take_over(
    shared: &Shared,
    caller: &Caller,
) -> Result<Result<(u64, NodeInfo), Refusal>, LinkError> {
    let turn = timeout(TAKE_OVER_LIMIT, shared.machine.lock("identity")).await;
    let _turn =
        turn.map_err(|_| LinkError::Unusable("own state cannot be written in time".into()))?;
    let (before, number, info) = {
        let mut state = shared.state();
        if let Err(refusal) = judge_now(&state, caller) {
            return Ok(Err(refusal));
        }
        let before = state.identity.replace(caller.identity.clone());
        if before.as_ref().map(|b| b.cluster_id) != Some(caller.identity.cluster_id) {
            // A spec of another cluster is of no use any more.
            state.objects.remove(&Key::Node);
        }
        let other_node = |before: &Identity| before.node() != caller.identity.node();
        if before.as_ref().is_some_and(other_node) {
            state
                .objects
                .values_mut()
                .for_each(|tracked| tracked.former = true);
        }
        state.connection += 1;
        state.controller_heard = Some(Instant::now());
        state.outbox.clear();
        (before, state.connection, state.info.clone())
    };
    shared.changed.send_modify(|()| {});
    if before.as_ref() != Some(&caller.identity) {
        let saved = shared
            .store
            .save_identity(shared.machine.host(), &caller.identity)
            .await;
        if let Err(failure) = saved {
            shared.state().identity = before;
            return Err(failure.into());
        }
    }
    // A loss that this probe was the first to find is probed for again.
    shared.doubts.notify_one();
    Ok(Ok((number, info)))
}

async fn converse(
    shared: &Arc<Shared>,
    number: u64,
    identity: Identity,
    connection: SatelliteSide,
) -> Result<(), LinkError> {
    let (sender, receiver) = connection.split();
    let (queue, queued) = mpsc::channel(INTAKE_MAX);
    let refreshes = Refreshes::default();
    // Dropping any of these loses only what the next connection sends again.
    tokio::select! {
        biased;
        // A newer connection is served instead.
        () = replaced(shared, number) => Err(LinkError::Replaced),
        // The controller closed the connection, or sent something that cannot be done.
        ended = read(shared, number, receiver, queue, &refreshes) => ended,
        // What was received cannot be written down.
        ended = take_in(shared, number, identity, queued) => ended,
        // Never ends by itself.
        () = refresh(shared, &refreshes) => Ok(()),
        // The connection cannot be written to any more.
        ended = write(shared, sender) => ended,
    }
}

async fn replaced(shared: &Shared, number: u64) {
    let mut changed = shared.changed.subscribe();
    while shared.state().connection == number {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Ids of refreshes that were asked for.
#[derive(Default)]
struct Refreshes {
    ids: Mutex<Vec<u64>>,
    asked: Notify,
}

async fn read(
    shared: &Arc<Shared>,
    number: u64,
    mut receiver: Receiver<ToSatellite>,
    queue: mpsc::Sender<ToSatellite>,
    refreshes: &Refreshes,
) -> Result<(), LinkError> {
    loop {
        let frame = receiver.next_understood().await;
        {
            let mut state = shared.state();
            if state.connection == number {
                state.controller_heard = Some(Instant::now());
            }
        }
        match frame {
            Ok(None) => return Ok(()),
            Ok(Some(ToSatellite::Ping { id })) => shared.report(|outbox| outbox.pong(id)),
            Ok(Some(ToSatellite::Suspend {
                lease,
                resources,
                duration_ms,
            })) => {
                let duration = Duration::from_millis(duration_ms);
                shared
                    .suspensions
                    .suspend(number, lease, resources, duration);
            }
            Ok(Some(ToSatellite::Turns { granted })) => shared.machine.turns.grant(granted),
            Ok(Some(ToSatellite::Resume { lease })) => shared.suspensions.resume(lease),
            Ok(Some(ToSatellite::Ask { id, question })) => {
                questions::answer(shared, number, id, question);
            }
            Ok(Some(ToSatellite::RefreshSpace { id })) => {
                let mut ids = refreshes
                    .ids
                    .lock()
                    .expect("no code panics while holding it");
                if ids.len() < REFRESHES_MAX {
                    ids.push(id);
                }
                refreshes.asked.notify_one();
            }
            Ok(Some(message)) => {
                if queue.try_send(message).is_err() {
                    let why = "the controller sends more than this node's disk can store";
                    return Err(LinkError::Unusable(why.into()));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn refresh(shared: &Shared, refreshes: &Refreshes) {
    loop {
        refreshes.asked.notified().await;
        let ids = {
            let mut ids = refreshes
                .ids
                .lock()
                .expect("no code panics while holding it");
            std::mem::take(&mut *ids)
        };
        if ids.is_empty() {
            continue;
        }
        shared.observations.all_unknown().await;
        let pools = space::query(shared).await;
        shared.report(|outbox| {
            for id in ids {
                outbox.space(pools.clone(), Some(id));
            }
        });
    }
}

/// Takes over what was queued, in order.
async fn take_in(
    shared: &Arc<Shared>,
    connection: u64,
    identity: Identity,
    mut queued: mpsc::Receiver<ToSatellite>,
) -> Result<(), LinkError> {
    let order = |generation| Order {
        connection,
        revision: Revision {
            epoch: identity.epoch,
            generation,
        },
    };
    // Objects named in the full sync that is running.
    let mut sync: Option<BTreeSet<Key>> = None;
    while let Some(message) = queued.recv().await {
        match message {
            ToSatellite::SyncBegin { .. } => sync = Some(BTreeSet::new()),
            ToSatellite::Apply {
                generation,
                specs,
                forget,
            } => {
                if let Some(named) = &mut sync {
                    named.extend(specs.iter().map(|wanted| wanted.key.clone()));
                }
                for wanted in specs {
                    take_wanted(shared, &identity, order(generation), &wanted)?;
                }
                for removed in forget {
                    shared.take_forget(order(generation), &removed.key, Some(removed.uuid));
                }
            }
            ToSatellite::SyncEnd { generation, held } => {
                let named = sync.take().unwrap_or_default();
                end_sync(shared, order(generation), named, held).await;
            }
            ToSatellite::AuthToken { token } => auth_token::take(shared, token).await,
            // These are answered where they are read; a second hello means nothing.
            ToSatellite::Ping { .. }
            | ToSatellite::Suspend { .. }
            | ToSatellite::Resume { .. }
            | ToSatellite::Turns { .. }
            | ToSatellite::Ask { .. }
            | ToSatellite::RefreshSpace { .. }
            | ToSatellite::Hello { .. } => {}
        }
    }
    Ok(())
}

fn take_wanted(
    shared: &Shared,
    identity: &Identity,
    order: Order,
    wanted: &Wanted,
) -> Result<(), LinkError> {
    let failure = match wanted.read() {
        Ok(Spec::Node(node)) if (node.cluster_id, node.uuid) != identity.node() => {
            let why = "the node's spec is of another node than the one that was called";
            return Err(LinkError::Unusable(why.into()));
        }
        Ok(spec) => match shared.take(order, spec) {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        },
        Err(why) => {
            shared.refuse(&wanted.key);
            not_understood(&wanted.key, why)
        }
    };
    // Only another spec can help.
    tracing::warn!(key = %wanted.key, ?order, %failure, "spec refused");
    let entry = AppliedEntry {
        generation: order.revision.generation,
        uuid: wanted.uuid,
        outcome: Outcome::Failed {
            replies: vec![failure.reply()],
        },
        done: Vec::new(),
        retry_in_ms: None,
    };
    shared.report(|outbox| outbox.applied(&wanted.key, entry));
    Ok(())
}

fn not_understood(key: &Key, why: String) -> Failure {
    let shown = key.to_string().escape_debug().to_string();
    Failure::new(
        code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER,
        format!(
            "The satellite on this node, version {}, does not understand what is asked of '{}'.",
            env!("CARGO_PKG_VERSION"),
            bounded(&shown, KEY_BYTES_SHOWN_MAX)
        ),
    )
    .cause(why)
    .correction("Install the controller's version of the satellite on this node.")
}

async fn end_sync(shared: &Arc<Shared>, order: Order, mut named: BTreeSet<Key>, held: Held) {
    named.extend(held.keys);
    let unnamed: Vec<Key> = {
        let state = shared.state();
        let keys = state.objects.keys();
        let is_unnamed = |key: &&Key| !held.all && !named.contains(*key);
        keys.filter(is_unnamed).cloned().collect()
    };
    for key in unnamed {
        shared.take_forget(order, &key, None);
    }
    shared.observations.all_unknown().await;
    shared.mark_all_due();
    let pools = space::query(shared).await;
    let mut state = shared.state();
    state.report_all();
    state.outbox.space(pools, None);
    state.outbox.synced(order.revision.generation);
    drop(state);
    shared.outgoing.notify_one();
}

/// What was reported on this connection, so that only changes are.
#[derive(Default)]
struct Reported {
    status: BTreeMap<Key, ResourceStatus>,
    /// When the next round of status may go.
    next_round: Option<Instant>,
}

async fn write(shared: &Shared, mut sender: Sender<ToController>) -> Result<(), LinkError> {
    let mut reported = Reported::default();
    shared.machine.turns.connected();
    loop {
        let mut messages = collect(shared, &mut reported);
        if let Some(info) = news(shared) {
            messages.insert(0, ToController::Info { info });
        }
        messages.extend(shared.machine.turns.take_news());
        if messages.is_empty() {
            let waiting = shared.state().outbox.has_status();
            let round = reported.next_round.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                // Something new is to be reported. Cancel-safe: a missed notice is stored.
                () = shared.outgoing.notified() => {}
                // Turns are wanted, or are over. Cancel-safe as above.
                () = shared.machine.turns.news.notified() => {}
                // The next round of status may go.
                () = tokio::time::sleep_until(round), if waiting => {}
            }
            continue;
        }
        for message in &messages {
            sender.feed(message).await?;
        }
        sender.flush().await?;
    }
}

/// What the node is able to do, if that is to be reported.
fn news(shared: &Shared) -> Option<NodeInfo> {
    let mut state = shared.state();
    state.outbox.take_info().then(|| state.info.clone())
}

/// Takes what is to be reported now, in that order.
fn collect(shared: &Shared, reported: &mut Reported) -> Vec<ToController> {
    let mut state = shared.state();
    let mut messages = state.outbox.take_pongs();
    let synced = state.outbox.take_synced();
    messages.extend(state.outbox.take_suspensions());
    messages.extend(state.outbox.take_answers());
    messages.extend(state.outbox.take_space());
    let now = Instant::now();
    let round = synced.is_some() || reported.next_round.is_none_or(|at| at <= now);
    let (keys, gone) = state.outbox.take_status(round);
    if round && !keys.is_empty() {
        reported.next_round = Some(now + STATUS_INTERVAL);
    }
    let mut changed = Vec::new();
    for key in keys {
        let tracked = state.objects.get(&key);
        let Some((tracked, spec)) = tracked.and_then(|t| Some((t, t.resource()?))) else {
            continue;
        };
        let status = status::of(spec, tracked, &shared.observed_drbd);
        if reported.status.get(&key) != Some(&status) {
            reported.status.insert(key, status.clone());
            changed.push(status);
        }
    }
    for key in &gone {
        reported.status.remove(key);
    }
    let mut gone = Some(gone).filter(|g| !g.is_empty());
    while !changed.is_empty() || gone.is_some() {
        let rest = changed.split_off(changed.len().min(STATUS_RESOURCES_MAX));
        messages.push(ToController::Status {
            resources: std::mem::replace(&mut changed, rest),
            gone: gone.take().unwrap_or_default(),
        });
    }
    messages.extend(state.outbox.take_applied());
    messages.extend(synced);
    messages
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn caller(cluster: u128, node: u128, name: &str, epoch: u64) -> Caller {
        Caller {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL,
            version: "test".into(),
            identity: Identity {
                cluster_id: Uuid::from_u128(cluster),
                node_name: name.parse().unwrap(),
                node_uuid: Uuid::from_u128(node),
                epoch,
                start: Uuid::from_u128(u128::from(epoch)),
            },
        }
    }

    fn refusal(called: &Caller, resources: bool) -> Option<RefusalKind> {
        let known = caller(1, 1, "alpha", 5).identity;
        judge(called, Some(&known), resources)
            .err()
            .map(|(kind, _)| kind)
    }

    /// Which callers a satellite accepts that belongs to a cluster.
    #[test]
    fn strangers_and_the_dethroned_are_refused() {
        assert_eq!(refusal(&caller(1, 1, "alpha", 5), true), None);
        assert_eq!(
            refusal(&caller(1, 1, "alpha", 4), true),
            Some(RefusalKind::OlderEpoch)
        );
        let mut copy = caller(1, 1, "alpha", 5);
        copy.identity.start = Uuid::from_u128(50);
        assert_eq!(
            refusal(&copy, true),
            Some(RefusalKind::OlderEpoch),
            "counted on a copy of the database"
        );
        assert_eq!(
            refusal(&caller(2, 1, "alpha", 9), true),
            Some(RefusalKind::Identity)
        );
        assert_eq!(
            refusal(&caller(1, 2, "beta", 9), true),
            Some(RefusalKind::Identity)
        );
        assert_eq!(
            refusal(&caller(1, 2, "Alpha", 9), true),
            None,
            "registered again"
        );
        assert_eq!(
            refusal(&caller(2, 2, "beta", 1), false),
            None,
            "an empty one may move"
        );
        let mut newer = caller(1, 1, "alpha", 5);
        newer.protocol_min = PROTOCOL + 1;
        assert_eq!(refusal(&newer, true), Some(RefusalKind::Version));
    }
}
