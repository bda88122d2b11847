//! Turns at storage that several nodes use: one node after the other changes a shared space.
//!
//! Nothing of it is stored. Satellites name the turns that they want or have whenever these change, and on each new
//! connection; so after a start it is not known who has one until all nodes of the space have called.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use linstor_model::Model;
use linstor_model::name::NodeName;
use linstor_wire::message::TURN_MAX;
use tokio::time::Instant;
use uuid::Uuid;

#[derive(Debug)]
struct Holder {
    node: NodeName,
    turn: Uuid,
    /// When its connection was lost; its commands may still run.
    lost_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Space {
    holder: Option<Holder>,
    waiting: VecDeque<(NodeName, Uuid)>,
}

#[derive(Debug)]
struct State {
    begun: Instant,
    spaces: BTreeMap<String, Space>,
    /// Nodes that have named their turns since the start.
    heard: BTreeSet<NodeName>,
}

/// The turns of all nodes.
#[derive(Debug)]
pub(crate) struct Turns(Mutex<State>);

impl Turns {
    pub(crate) fn new(now: Instant) -> Self {
        Turns(Mutex::new(State {
            begun: now,
            spaces: BTreeMap::new(),
            heard: BTreeSet::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over which turns a node wants or has. Returns the nodes that have got another one.
    pub(crate) fn named(
        &self,
        model: &Model,
        node: &NodeName,
        (wanted, held): (&BTreeMap<String, Uuid>, &BTreeSet<String>),
        now: Instant,
    ) -> BTreeSet<NodeName> {
        let mut state = self.state();
        state.heard.insert(node.clone());
        for (name, space) in &mut state.spaces {
            let turn = wanted.get(name);
            space
                .waiting
                .retain(|(other, id)| other != node || Some(id) == turn);
            if let Some(holder) = space.holder.as_mut().filter(|holder| holder.node == *node) {
                match Some(&holder.turn) == turn {
                    true => holder.lost_at = None,
                    false => space.holder = None,
                }
            }
        }
        let mut told = BTreeSet::from([node.clone()]);
        for (name, turn) in wanted {
            let space = state.spaces.entry(name.clone()).or_default();
            let is_known = space.waiting.iter().any(|(_, id)| id == turn);
            match &space.holder {
                Some(holder) if holder.turn == *turn => {}
                // It was granted by an earlier controller.
                None if held.contains(name) => {
                    space.holder = Some(Holder {
                        node: node.clone(),
                        turn: *turn,
                        lost_at: None,
                    });
                }
                _ if is_known => {}
                Some(_) | None => space.waiting.push_back((node.clone(), *turn)),
            }
        }
        told.extend(state.give(model, now));
        told
    }

    /// A node's connection was lost: it waits no longer, and what it has ends after a while.
    pub(crate) fn lost(&self, node: &NodeName, now: Instant) {
        for space in self.state().spaces.values_mut() {
            space.waiting.retain(|(other, _)| other != node);
            if let Some(holder) = space.holder.as_mut().filter(|holder| holder.node == *node) {
                holder.lost_at.get_or_insert(now);
            }
        }
    }

    /// The turns that a node has.
    pub(crate) fn of(&self, node: &NodeName) -> BTreeMap<String, Uuid> {
        let state = self.state();
        let spaces = state.spaces.iter();
        let own = spaces.filter_map(|(name, space)| {
            let holder = space.holder.as_ref()?;
            (holder.node == *node).then(|| (name.clone(), holder.turn))
        });
        own.collect()
    }
}

impl State {
    fn give(&mut self, model: &Model, now: Instant) -> Vec<NodeName> {
        let is_over = |since: Instant| now.duration_since(since) >= TURN_MAX;
        let mut told = Vec::new();
        for (name, space) in &mut self.spaces {
            let is_gone = |holder: &Holder| {
                model.node(&holder.node).is_none() || holder.lost_at.is_some_and(is_over)
            };
            if space.holder.as_ref().is_some_and(is_gone) {
                space.holder = None;
            }
            let mut pools = model.pools.values();
            let is_missing = pools.any(|pool| {
                pool.shared_name.as_deref() == Some(name) && !self.heard.contains(&pool.node)
            });
            if space.holder.is_some() || is_missing && !is_over(self.begun) {
                continue;
            }
            if let Some((node, turn)) = space.waiting.pop_front() {
                told.push(node.clone());
                space.holder = Some(Holder {
                    node,
                    turn,
                    lost_at: None,
                });
            }
        }
        self.spaces
            .retain(|_, space| space.holder.is_some() || !space.waiting.is_empty());
        told
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use linstor_api::kind::{NodeType, ProviderKind};
    use linstor_model::StoragePool;
    use linstor_model::draft::Draft;
    use linstor_model::name::StoragePoolName;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn node(name: &str) -> NodeName {
        NodeName::parse(name).unwrap()
    }

    /// Nodes that share a space.
    fn model(names: &[&str]) -> Model {
        let mut draft = Draft::new(Model::empty(Uuid::nil()));
        for name in names {
            draft.put_node(linstor_model::Node {
                name: node(name),
                uuid: Uuid::nil(),
                node_type: NodeType::Satellite,
                net_interfaces: Vec::new(),
                props: Default::default(),
                connections: Vec::new(),
                evacuate: false,
                evacuate_to: Vec::new(),
                evacuate_not_to: Vec::new(),
                evicted: false,
                host: None,
            });
            draft.put_storage_pool(StoragePool {
                node: node(name),
                name: StoragePoolName::parse("san").unwrap(),
                uuid: Uuid::nil(),
                kind: ProviderKind::Lvm,
                props: Default::default(),
                shared_name: Some("san".to_owned()),
                external_locking: false,
                granularity_kib: None,
            });
        }
        draft.into_model()
    }

    struct Table {
        turns: Turns,
        model: Model,
        now: Instant,
    }

    impl Table {
        fn names(&mut self, who: &str, turn: Option<u128>, held: bool) {
            let wanted: BTreeMap<String, Uuid> = turn
                .map(|turn| ("san".to_owned(), Uuid::from_u128(turn)))
                .into_iter()
                .collect();
            let held = wanted.keys().filter(|_| held).cloned().collect();
            self.turns
                .named(&self.model, &node(who), (&wanted, &held), self.now);
        }

        /// Who has the turn.
        fn has(&self) -> Option<&'static str> {
            let has = |who: &&&str| !self.turns.of(&node(who)).is_empty();
            ["n1", "n2", "n3"].iter().find(has).copied()
        }
    }

    fn table(names: &[&str]) -> Table {
        let now = Instant::now();
        Table {
            turns: Turns::new(now),
            model: model(names),
            now,
        }
    }

    /// One node has the turn, the others get it in the order in which they asked.
    #[test]
    fn one_node_at_a_time() {
        let mut table = table(&["n1", "n2", "n3"]);
        for who in ["n1", "n2", "n3"] {
            table.names(who, None, false);
        }
        table.names("n2", Some(2), false);
        table.names("n3", Some(3), false);
        table.names("n1", Some(1), false);
        assert_eq!(table.has(), Some("n2"));
        table.names("n2", Some(2), true);
        assert_eq!(table.has(), Some("n2"), "named again");
        table.names("n2", None, false);
        assert_eq!(table.has(), Some("n3"));
        table.names("n1", None, false);
        table.names("n3", None, false);
        assert_eq!(table.has(), None, "n1 has given up");
    }

    /// After a start nobody has a turn before it is known who has one still, or it must be over.
    #[test]
    fn a_turn_outlives_the_controller() {
        let mut table = table(&["n1", "n2"]);
        table.names("n2", Some(2), false);
        assert_eq!(table.has(), None, "n1 may have it");
        table.names("n1", Some(1), true);
        assert_eq!(table.has(), Some("n1"));
        table.names("n1", None, false);
        assert_eq!(table.has(), Some("n2"));

        let mut table = self::table(&["n1", "n2"]);
        table.names("n2", Some(2), false);
        table.now += TURN_MAX;
        table.names("n2", Some(2), false);
        assert_eq!(table.has(), Some("n2"));
    }

    /// What a lost node has begun may go on; when it calls again, or after a while, others have their turn.
    #[test]
    fn a_lost_node_keeps_its_turn_for_a_while() {
        let mut table = table(&["n1", "n2"]);
        table.names("n1", Some(1), false);
        table.names("n2", Some(2), false);
        assert_eq!(table.has(), Some("n1"));
        table.turns.lost(&node("n1"), table.now);
        table.now += TURN_MAX - SECOND;
        table.names("n2", Some(2), false);
        assert_eq!(table.has(), Some("n1"));
        table.now += SECOND;
        table.names("n2", Some(2), false);
        assert_eq!(table.has(), Some("n2"));
        table.turns.lost(&node("n2"), table.now);
        table.names("n2", None, false);
        assert_eq!(table.has(), None, "it was started again");
        table.names("n1", Some(3), false);
        assert_eq!(table.has(), Some("n1"));
        table.names("n2", Some(4), false);
        table.model = model(&["n2"]);
        table.names("n2", Some(4), false);
        assert_eq!(table.has(), Some("n2"), "n1 was deleted");
    }
}
