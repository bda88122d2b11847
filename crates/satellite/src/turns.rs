//! Turns at volume groups that other nodes use, too: LVM without a lock manager cannot order the changes of several nodes,
//! so the controller has one node after the other make them.
//!
//! What the node wants and what it was granted are states that are sent whole, so that a lost connection loses nothing:
//! a turn that was granted goes on, and is named again on the next connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use linstor_api::code;
use linstor_wire::ToController;
use linstor_wire::spec::PoolSpec;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use uuid::Uuid;

use crate::check::{PoolPlace, pool_place};
use crate::failure::{Failure, Result};

/// How long an attempt waits for a turn; then it fails, and the next one waits again.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Default)]
struct State {
    /// Volume groups whose changes need a turn, and the name of their space.
    spaces: BTreeMap<String, String>,
    /// Turns that are wanted or taken, by space.
    wanted: BTreeMap<String, Uuid>,
    /// Those of them that were granted.
    held: BTreeSet<String>,
    /// The controller is to be told.
    is_news: bool,
}

/// The turns of the node.
#[derive(Default)]
pub struct Turns {
    state: Mutex<State>,
    granted: watch::Sender<BTreeMap<String, Uuid>>,
    /// There is something to tell the controller.
    pub news: Notify,
}

/// A turn that was granted. It ends when this is dropped.
pub struct Turn<'a> {
    turns: &'a Turns,
    space: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.change(|state| {
            state.wanted.remove(&self.space);
            state.held.remove(&self.space);
        });
    }
}

impl Turns {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while holding it")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.is_news = true;
        drop(state);
        self.news.notify_one();
    }

    /// Takes over which volume groups are shared.
    pub fn set_pools(&self, pools: &[PoolSpec]) {
        let spaces = pools.iter().filter_map(|pool| {
            let space = pool.turns.clone()?;
            match pool_place(pool).ok()? {
                PoolPlace::Lvm { vg } => Some((vg, space)),
                _ => None,
            }
        });
        let spaces: BTreeMap<String, String> = spaces.collect();
        if self.state().spaces != spaces {
            self.change(|state| state.spaces = spaces);
        }
    }

    /// A connection begins: its controller knows nothing yet.
    pub fn connected(&self) {
        self.change(|_| ());
    }

    /// What the controller is to be told.
    pub fn take_news(&self) -> Option<ToController> {
        let mut state = self.state();
        let has_shared = !state.spaces.is_empty() || !state.wanted.is_empty();
        let is_news = std::mem::take(&mut state.is_news) && has_shared;
        is_news.then(|| ToController::Turns {
            wanted: state.wanted.clone(),
            held: state.held.clone(),
        })
    }

    /// The controller has granted these.
    pub fn grant(&self, granted: BTreeMap<String, Uuid>) {
        self.granted.send_replace(granted);
    }

    /// Waits until no other node changes a volume group; `id` names the turn. `None` where no other node uses it.
    pub async fn take(&self, vg: &str, id: Uuid) -> Result<Option<Turn<'_>>> {
        let Some(space) = self.state().spaces.get(vg).cloned() else {
            return Ok(None);
        };
        self.change(|state| {
            state.wanted.insert(space.clone(), id);
        });
        let turn = Turn { turns: self, space };
        let mut granted = self.granted.subscribe();
        let is_granted = |granted: &BTreeMap<String, Uuid>| granted.get(&turn.space) == Some(&id);
        match timeout(WAIT_MAX, granted.wait_for(is_granted)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err(not_granted(vg, &turn.space)),
        }
        // The controller knows; a later one has to be told.
        self.state().held.insert(turn.space.clone());
        Ok(Some(turn))
    }
}

fn not_granted(vg: &str, space: &str) -> Failure {
    let limit = WAIT_MAX.as_secs();
    Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("Volume group '{vg}' is not changed: its space '{space}' is shared with other nodes."),
    )
    .cause(format!(
        "The controller did not give this node its turn within {limit} s: another node makes changes, or was lost while \
         it did, or the controller is not connected."
    ))
    .correction("The satellite tries again by itself.")
}

#[cfg(test)]
mod tests {
    use linstor_api::kind::ProviderKind;
    use linstor_wire::spec::Props;

    use super::*;

    fn shared() -> Turns {
        let turns = Turns::default();
        let place = ("StorDriver/StorPoolName".to_owned(), "vg0".to_owned());
        turns.set_pools(&[PoolSpec {
            name: "pool".parse().unwrap(),
            uuid: Uuid::nil(),
            kind: ProviderKind::Lvm,
            props: Props::from([place]),
            turns: Some("san".to_owned()),
        }]);
        turns
    }

    fn wanted(turns: &Turns) -> Option<BTreeMap<String, Uuid>> {
        match turns.take_news()? {
            ToController::Turns { wanted, .. } => Some(wanted),
            _ => None,
        }
    }

    /// A turn is waited for until it is granted under its own id, is named again on a new connection, and ends when it is
    /// dropped. Other volume groups need none.
    #[tokio::test(start_paused = true)]
    async fn a_turn_is_waited_for() {
        let turns = shared();
        assert!(
            turns
                .take("vg1", Uuid::from_u128(1))
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(wanted(&turns), Some(BTreeMap::new()));
        assert_eq!(wanted(&turns), None);
        let controller = async {
            turns.news.notified().await;
            let asked = wanted(&turns).unwrap();
            turns.grant([("san".to_owned(), Uuid::nil())].into());
            tokio::time::sleep(Duration::from_secs(5)).await;
            turns.grant(asked);
        };
        let begun = tokio::time::Instant::now();
        turns.news.notified().await;
        let (turn, ()) = tokio::join!(turns.take("vg0", Uuid::from_u128(2)), controller);
        assert!(
            begun.elapsed() >= Duration::from_secs(5),
            "not that of another id"
        );
        turns.connected();
        assert_eq!(wanted(&turns).unwrap().len(), 1);
        drop(turn);
        assert_eq!(wanted(&turns), Some(BTreeMap::new()));
        let failure = turns.take("vg0", Uuid::from_u128(3)).await.err().unwrap();
        assert!(
            failure.to_string().contains("'vg0' is not changed"),
            "{failure}"
        );
        assert_eq!(wanted(&turns), Some(BTreeMap::new()), "given up");
    }
}
