//! What follows from a change without being asked for, whatever made it.

use std::collections::BTreeSet;

use linstor_api::prop;
use linstor_model::name::{NodeName, ResourceGroupName, ResourceName};
use linstor_model::process::{delete_node, delete_resource};
use linstor_model::{DiskKind, Draft, Model, Observed, Resource, ResourceGroup, SelectFilter};
use linstor_store::Limits;

use super::World;
use super::story::spawned;
use crate::ops::autoplace;
use crate::ops::resource::delete::take_down;
use crate::settle::settle;
use crate::transaction::Transaction;

fn name() -> ResourceName {
    ResourceName::parse("res").expect("a name")
}

/// A definition on so many nodes, of which so many have a resource with a disk.
struct Case {
    world: World,
    model: Model,
    observed: Observed,
}

impl Case {
    async fn new(nodes: u8, disks: u32) -> Self {
        let world = World::with_nodes(nodes).await;
        let body = r#"{"resource_definition":{"name":"res"}}"#;
        let created = ["CREATED"];
        let path = "/v1/resource-definitions";
        world.check("POST", path, body, 201, &created).await;
        let body = r#"{"volume_definition":{"size_kib":10240}}"#;
        let path = "/v1/resource-definitions/res/volume-definitions";
        world.check("POST", path, body, 200, &created).await;
        let mut case = Case {
            model: Model::clone(&world.cluster.model()),
            observed: world.cluster.observed(),
            world,
        };
        case.change(|tx| {
            let filter = SelectFilter {
                place_count: Some(disks),
                ..SelectFilter::default()
            };
            autoplace::place(tx, &name(), &filter).expect("there are enough nodes");
        });
        case
    }

    fn begin(&self) -> Transaction<'_> {
        let draft = Draft::new(self.model.clone());
        let env = self.world.cluster.env();
        Transaction::new(draft, self.observed.clone(), &**env, Limits::NONE)
    }

    /// Makes a change and settles it; settling again changes nothing.
    fn change(&mut self, change: impl FnOnce(&mut Transaction<'_>)) {
        let mut tx = self.begin();
        change(&mut tx);
        settle(&self.model, &mut tx);
        self.model = tx.into_parts().0.into_model();
        let mut again = self.begin();
        for row in self.model.resources_of(&name()) {
            again.put_resource(Resource::clone(row));
        }
        // As if everything were new, so that there is something to settle.
        let nothing = Model::empty(self.model.controller.cluster_id);
        settle(&nothing, &mut again);
        let same = |key| again.has_same_row(&self.model, key);
        assert!(again.touched().iter().all(same), "{:?}", again.touched());
    }

    /// Disks, tie breakers and what DRBD asks for, of the resources that are not being deleted.
    fn shown(&self) -> String {
        let name = name();
        let kind = |disk: DiskKind| {
            let resources = self.model.resources_of(&name);
            let rows = resources.filter(|row| !self.model.is_deleting(row));
            let drbd = rows.filter_map(|row| row.drbd.as_ref());
            drbd.filter(|drbd| drbd.disk == disk).count()
        };
        let definition = &self.model.definitions[&name];
        let quorum = definition.props.get(prop::DRBD_QUORUM);
        format!(
            "{}+{} {}",
            kind(DiskKind::Diskful),
            kind(DiskKind::TieBreaker),
            quorum.map_or("-", String::as_str)
        )
    }

    fn diskful(&self) -> BTreeSet<NodeName> {
        let name = name();
        let rows = self.model.resources_of(&name);
        let rows = rows.filter(|row| !row.is_diskless() && !self.model.is_deleting(row));
        rows.map(|row| row.node.clone()).collect()
    }
}

/// What is there, in the notation of [`Case::shown`], by nodes and disks.
const TABLE: [(u8, u32, &str); 14] = [
    (2, 1, "1+0 off"),
    (2, 2, "2+0 off"),
    (3, 1, "1+0 off"),
    (3, 2, "2+1 majority"),
    (3, 3, "3+0 majority"),
    (4, 1, "1+0 off"),
    (4, 2, "2+1 majority"),
    (4, 3, "3+0 majority"),
    (4, 4, "4+0 majority"),
    (5, 1, "1+0 off"),
    (5, 2, "2+1 majority"),
    (5, 3, "3+0 majority"),
    (5, 4, "4+1 majority"),
    (5, 5, "5+0 majority"),
];

fn expected(nodes: u8, disks: u32) -> Option<&'static str> {
    let row = TABLE.iter().find(|(n, d, _)| (*n, *d) == (nodes, disks));
    row.map(|(.., shown)| *shown)
}

/// Tie breaker and quorum follow from how many disks there are on how many nodes.
#[tokio::test(start_paused = true)]
async fn resources_are_settled() {
    for (nodes, disks, shown) in TABLE {
        let case = Case::new(nodes, disks).await;
        assert_eq!(case.shown(), shown, "{disks} disks on {nodes} nodes");
    }
}

/// A node that is deleted or lost leaves what there would be without it.
#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_is_settled() {
    for (nodes, disks, _) in TABLE {
        for lost in [false, true] {
            let mut case = Case::new(nodes, disks).await;
            let Some(target) = case.diskful().pop_first() else {
                continue;
            };
            case.change(|tx| {
                if lost {
                    delete_resource::remove_resource(tx, &name(), &target);
                    delete_node::remove_node(tx, &target);
                } else {
                    let now_ms = tx.now_ms;
                    delete_node::begin(tx, &target, now_ms);
                }
            });
            if let Some(shown) = expected(nodes - 1, disks - 1) {
                assert_eq!(
                    case.shown(),
                    shown,
                    "{disks} disks on {nodes} nodes, lost: {lost}"
                );
            }
        }
    }
}

/// A resource that is deleted breaks ties instead where that is of use; otherwise the rest is settled without it.
#[tokio::test(start_paused = true)]
async fn a_deleted_resource_is_settled() {
    for (nodes, disks, _) in TABLE {
        let mut case = Case::new(nodes, disks).await;
        let target = case.diskful().pop_first().expect("there is one");
        case.change(|tx| take_down(tx, &name(), &target));
        if let Some(shown) = expected(nodes, disks - 1) {
            assert_eq!(case.shown(), shown, "{disks} disks on {nodes} nodes");
        }
    }
}

/// A group's place count and a move to another group bring resources, and these the tie breaker; a definition that is
/// merely touched gets none.
#[tokio::test(start_paused = true)]
async fn a_place_count_is_settled() {
    for nodes in 2..=5 {
        let mut case = Case::new(nodes, 1).await;
        let group = case.model.definitions[&name()].group.clone();
        case.change(|tx| {
            tx.edit_resource_definition(&name(), |row| {
                row.props.insert("Aux/a".to_owned(), "b".to_owned());
            });
        });
        assert_eq!(case.diskful().len(), 1);
        for place_count in [1, u32::from(nodes) - 1] {
            case.change(|tx| {
                let mut row = ResourceGroup::clone(&tx.groups[&group]);
                row.filter.place_count = Some(place_count);
                tx.put_resource_group(row);
            });
            assert_eq!(Some(&*case.shown()), expected(nodes, place_count));
        }
        let other = ResourceGroupName::parse("other").expect("a name");
        case.change(|tx| {
            let mut row = ResourceGroup::clone(&tx.groups[&group]);
            row.name = other.clone();
            row.filter.place_count = Some(u32::from(nodes));
            tx.put_resource_group(row);
            tx.edit_resource_definition(&name(), |row| row.group = other);
        });
        assert_eq!(Some(&*case.shown()), expected(nodes, nodes.into()));
    }
}

/// A definition without DRBD has nothing to wait for once it is deployed.
#[tokio::test(start_paused = true)]
async fn a_definition_without_drbd_is_not_pending() {
    let world = spawned(3).await;
    let body = r#"{"resource_definition_name":"plain","volume_sizes":[1048576],
        "select_filter":{"layer_stack":["STORAGE"],"place_count":1}}"#;
    let answer = world
        .call("POST", "/v1/resource-groups/rg/spawn", body)
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let model = world.cluster.model();
    assert_eq!(model.definitions.len(), 2);
    let pending: Vec<_> = model.pending_definitions().collect();
    assert!(pending.is_empty(), "{pending:?}");
}
