//! Follows DRBD: one event stream for all resources, started again whenever it ends.

use std::sync::Arc;
use std::time::Duration;

use linstor_api::drbd_state::{ConnectionState, DiskState};
use linstor_api::kind::DrbdKind;
use linstor_api::name::ResourceName;
use linstor_host::StreamEvent;
use linstor_wire::Key;
use linstor_wire::spec::ResourceSpec;

use super::observed::Observed;
use super::{adm, foreign, v84};
use crate::shared::Shared;

/// Pause before the stream is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(5);
/// How often the progress of a resync is asked for where the events do not have it.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(3);
/// How often the size of a volume that grows is asked for.
const SIZE_INTERVAL: Duration = Duration::from_secs(1);
/// Lines that are taken in one go before other tasks get their turn.
const BURST_LINES: usize = 256;

/// Which DRBD the node has, as far as is known: the module may be loaded long after the satellite's start.
fn kind(shared: &Shared) -> Option<DrbdKind> {
    shared.state().info.drbd.as_ref().map(|d| d.kind)
}

/// Waits until a DRBD was found.
async fn until_there_is_one(shared: &Shared) {
    let mut changed = shared.changed.subscribe();
    while kind(shared).is_none() {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Follows until dropped.
pub async fn run(shared: Arc<Shared>) {
    loop {
        shared.observed_drbd.reset();
        until_there_is_one(&shared).await;
        match shared.machine.host().stream(adm::events()).await {
            Ok(mut stream) => {
                let mut taken = 0;
                while let Some(event) = stream.next().await {
                    if !take(&shared, event) {
                        break;
                    }
                    taken += 1;
                    if taken % BURST_LINES == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "drbdsetup events2 cannot be read"),
        }
        // The state is out of date: no attempt may act on it.
        shared.observed_drbd.reset();
        report_all(&shared);
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

/// Takes one event; false at the end of the stream.
fn take(shared: &Shared, event: StreamEvent) -> bool {
    match event {
        StreamEvent::Line(line) => {
            let was_known = shared.observed_drbd.is_known();
            for name in shared.observed_drbd.feed(&line) {
                changed(shared, &name);
            }
            if !was_known && shared.observed_drbd.is_known() {
                // Resources that DRBD does not have are known now, too.
                shared.recheck_all();
                foreign::report(shared);
            }
            true
        }
        StreamEvent::ErrorLine(line) => {
            tracing::warn!(line, "drbdsetup events2 printed an error");
            true
        }
        StreamEvent::LineTooLong => {
            tracing::error!(
                "drbdsetup events2 printed a line that is too long; the line was ignored"
            );
            false
        }
        StreamEvent::Ended(exit_code) => {
            tracing::warn!(exit_code, "drbdsetup events2 ended; it is started again");
            false
        }
    }
}

fn changed(shared: &Shared, name: &str) {
    // A name that LINSTOR does not permit is that of a resource of somebody else.
    let Ok(name) = ResourceName::parse(name) else {
        foreign::report(shared);
        return;
    };
    let key = Key::Resource(name.clone());
    let mut state = shared.state();
    let Some(tracked) = state.objects.get(&key) else {
        drop(state);
        foreign::report(shared);
        return;
    };
    let at_rest = tracked.running.is_none() && tracked.waiting.is_none();
    let seen = shared.observed_drbd.get(&name);
    let wrong = at_rest && needs_a_look(&seen);
    let small = tracked.resource().is_some_and(|spec| is_small(spec, &seen));
    state.outbox.status(&key);
    drop(state);
    shared.outgoing.notify_one();
    if small {
        shared.watch_size(&key);
    }
    if matches!(&seen, Observed::Present(resource) if resource.is_syncing()) {
        shared.space_unsettled();
    }
    shared.recheck(&key);
    if wrong {
        shared.mark_due(&key);
    }
}

/// Whether DRBD shows something that the reconciler may have to mend.
fn needs_a_look(seen: &Observed) -> bool {
    match seen {
        Observed::Unknown => false,
        Observed::Absent => true,
        Observed::Present(resource) => {
            let disks = resource.devices.values();
            let lost = |disk: &DiskState| matches!(disk, DiskState::Failed | DiskState::Diskless);
            disks
                .into_iter()
                .any(|d| lost(&d.disk) && d.client != Some(true))
                || resource
                    .connections
                    .values()
                    .any(|c| c.state == ConnectionState::StandAlone)
        }
    }
}

/// Whether a volume has not the size of its spec in DRBD.
fn is_small(spec: &ResourceSpec, seen: &Observed) -> bool {
    let Observed::Present(resource) = seen else {
        return false;
    };
    spec.volumes.iter().any(|volume| {
        let device = resource.devices.get(&volume.number);
        let size_kib = device.and_then(|device| device.size_kib);
        size_kib.is_some_and(|kib| kib > 0 && kib < volume.usable_kib)
    })
}

/// Asks for the size of volumes that grow: DRBD reports it in no event.
pub async fn run_sizes(shared: Arc<Shared>) {
    loop {
        if shared.watched_sizes().is_empty() {
            // A missed notice is stored.
            shared.sizes_watched.notified().await;
        }
        tokio::time::sleep(SIZE_INTERVAL).await;
        for key in shared.watched_sizes() {
            let spec = {
                let state = shared.state();
                let tracked = state.objects.get(&key);
                tracked.and_then(|tracked| tracked.resource().cloned())
            };
            let Some(spec) = spec else { continue };
            if !is_small(&spec, &shared.observed_drbd.get(&spec.name)) {
                shared.unwatch_size(&key);
                continue;
            }
            if let Ok(output) = shared.machine.try_run(adm::now(&spec.name)).await
                && shared.observed_drbd.sizes(&spec.name, &output.stdout)
            {
                shared.report(|outbox| outbox.status(&key));
                shared.recheck(&key);
            }
        }
    }
}

fn report_all(shared: &Shared) {
    shared.state().report_all();
    shared.outgoing.notify_one();
}

/// Asks for the progress of running resyncs where the events do not have it.
pub async fn run_progress(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        if kind(&shared).is_none_or(v84::events_have_progress) {
            continue;
        }
        for name in shared.observed_drbd.syncing() {
            let Ok(output) = shared.machine.try_run(adm::status(&name)).await else {
                continue;
            };
            if shared.observed_drbd.progress(&name, &output.stdout) {
                let key = Key::resource(&name);
                shared.report(|outbox| outbox.status(&key));
                shared.recheck(&key);
            }
        }
    }
}
