//! Keeps the node's capabilities up to date while the satellite runs: a probe can fail, tools and modules are
//! installed, removed and upgraded, hosts are renamed.
//!
//! Programs are started only for a reason: something that a spec needs is missing, the kernel's module is another one
//! than before, or a long time has passed. Changes are reported to the controller, and failed attempts are
//! repeated.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use linstor_api::kind::{LayerKind, ProviderKind};
use linstor_wire::status::NodeInfo;
use tokio::time::Instant;

use crate::drbd::foreign;
use crate::shared::{Shared, State};
use crate::{auth_token, probe};

/// Pauses before the first, second... probe for something that is missing; the last one repeats.
const BACKOFF_S: [u64; 7] = [1, 2, 5, 10, 20, 40, 60];
/// How old a probe may become without any reason for another one.
const THOROUGH_INTERVAL: Duration = Duration::from_secs(600);

/// Why the node is to be probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// A resource has a DRBD layer, and no DRBD was found.
    Drbd,
    /// A pool is of this kind, whose tools were not found.
    Provider(ProviderKind),
    /// The host was renamed.
    Name,
    /// Something was not found that was there before; once is not enough to believe it.
    Confirmation,
}

/// Probes the node and takes over what was found. One at a time; a second caller sees at least what the first one did.
pub async fn refresh(shared: &Shared) {
    let _turn = shared.machine.lock("probe").await;
    let before = shared.state().info.clone();
    let mut found = probe::probe(&shared.machine, &before).await;
    found.uname = shared.uname();
    found.auth_token = Some(auth_token::hash_on_node(shared).await);
    found.foreign_drbd = foreign::all(shared).unwrap_or(before.foreign_drbd);
    let module = probe::module_version(&shared.machine).await;
    if take(&mut shared.state(), found, module) {
        shared.outgoing.notify_one();
        shared.mark_failed_due();
        shared.space_changed.notify_one();
        shared.changed.send_modify(|()| {});
    }
}

/// Takes over what a probe found; true if the node's capabilities changed.
fn take(state: &mut State, mut found: NodeInfo, module: Option<String>) -> bool {
    state.module = module;
    let lost = loses(&state.info, &found);
    if lost && !state.loss_suspected {
        // One failed program must not cost the node all that depends on it.
        state.loss_suspected = true;
        found = NodeInfo {
            uname: found.uname,
            kernel: found.kernel,
            os: found.os,
            auth_token: found.auth_token,
            foreign_drbd: found.foreign_drbd,
            ..state.info.clone()
        };
    } else {
        state.loss_suspected = false;
    }
    if state.info == found {
        return false;
    }
    tracing::info!(uname = found.uname, drbd = ?found.drbd, providers = ?found.providers, "node capabilities read");
    state.info = found;
    state.outbox.info();
    true
}

/// Whether a layer or provider that was found before is missing.
fn loses(before: &NodeInfo, found: &NodeInfo) -> bool {
    let provider = |kind: &ProviderKind| !found.providers.contains(kind);
    let layer = |kind: &LayerKind| !found.layers.contains(kind);
    before.providers.iter().any(provider) || before.layers.iter().any(layer)
}

/// Probes whenever there is a reason to, until dropped.
pub async fn run(shared: Arc<Shared>) {
    let mut looked = Instant::now();
    let mut needs = BTreeSet::new();
    let mut tries = 0;
    let mut next = looked + shared.options.pass_interval;
    loop {
        let now_needed = needs_of(&shared);
        if now_needed != needs {
            // A new need is probed for at once, unless the last probe was within the first pause.
            let first = looked + Duration::from_secs(BACKOFF_S[0]);
            next = if now_needed.is_empty() {
                Instant::now() + shared.options.pass_interval
            } else {
                first.max(Instant::now())
            };
            tries = 0;
            needs = now_needed;
        }
        tokio::select! {
            biased;
            // An attempt or a pool needs what was not found. Cancel-safe: a missed notice is stored.
            () = shared.doubts.notified() => continue,
            // The next probe is due.
            () = tokio::time::sleep_until(next) => {}
        }
        // A spec may have been removed whose resource DRBD still has.
        foreign::report(&shared);
        let old = looked.elapsed() >= THOROUGH_INTERVAL;
        if old || !needs.is_empty() || module_changed(&shared).await {
            refresh(&shared).await;
            looked = Instant::now();
            tries += 1;
        }
        let pause = if needs.is_empty() {
            shared.options.pass_interval
        } else {
            Duration::from_secs(BACKOFF_S[tries.min(BACKOFF_S.len() - 1)])
        };
        next = Instant::now() + pause;
    }
}

/// Whether the kernel has another DRBD than when the node was probed. Costs no program.
async fn module_changed(shared: &Shared) -> bool {
    let module = probe::module_version(&shared.machine).await;
    shared.state().module != module
}

/// What is missing and could be found by a probe.
fn needs_of(shared: &Shared) -> BTreeSet<Need> {
    let uname = shared.uname();
    let state = shared.state();
    let mut needs = BTreeSet::new();
    let mut specs = state.resources().map(|(_, spec)| spec);
    if state.info.drbd.is_none() && specs.any(|spec| spec.drbd().is_some()) {
        needs.insert(Need::Drbd);
    }
    for pool in state.node().iter().flat_map(|node| &node.pools) {
        if !state.info.providers.contains(&pool.kind) {
            needs.insert(Need::Provider(pool.kind));
        }
    }
    if state.info.uname != uname {
        needs.insert(Need::Name);
    }
    if state.loss_suspected {
        needs.insert(Need::Confirmation);
    }
    needs
}

#[cfg(test)]
mod tests {
    use linstor_api::kind::DrbdKind;
    use linstor_wire::status::DrbdInfo;

    use super::*;

    fn info(drbd: Option<&str>, providers: &[ProviderKind]) -> NodeInfo {
        let mut layers = vec![LayerKind::Storage];
        layers.extend(drbd.map(|_| LayerKind::Drbd));
        NodeInfo {
            uname: "alpha".into(),
            drbd: drbd.map(|version| DrbdInfo {
                kind: DrbdKind::Drbd9,
                version: version.into(),
                utils: "9.22.0".into(),
            }),
            layers,
            providers: providers.to_vec(),
            ..NodeInfo::default()
        }
    }

    /// More is believed at once, less only when it is seen twice in a row; a new name never waits.
    #[test]
    fn a_loss_must_be_seen_twice() {
        let mut state = State::default();
        let all = info(Some("9.2.18"), &[ProviderKind::Diskless, ProviderKind::Zfs]);
        let less = info(None, &[ProviderKind::Diskless]);
        assert!(take(&mut state, all.clone(), None));
        assert!(!take(&mut state, all.clone(), None), "nothing new");
        assert!(!take(&mut state, less.clone(), None), "not believed yet");
        assert_eq!(state.info, all);
        assert!(!take(&mut state, all.clone(), None), "it was a mistake");
        let renamed = NodeInfo {
            uname: "beta".into(),
            ..less.clone()
        };
        assert!(take(&mut state, renamed, None));
        assert_eq!(
            (state.info.uname.as_str(), &state.info.drbd),
            ("beta", &all.drbd)
        );
        assert!(take(&mut state, less.clone(), None), "seen twice");
        assert_eq!(state.info, less);
        let newer = info(Some("9.2.19"), &[ProviderKind::Diskless]);
        assert!(take(&mut state, newer.clone(), None));
        assert_eq!(state.info, newer);
    }
}
