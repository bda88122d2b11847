//! Lists of many rows.

use std::time::Duration;

use linstor_model::name::{NodeName, ResourceName};
use linstor_model::{DiskKind, DrbdResource, Resource};
use linstor_wire::status::ResourceStatus;

use super::World;
use crate::ops::resource::list::{self, Filter};

const DEFINITIONS: u32 = 5_000;
const ROUNDS: u32 = 10;

/// Ten thousand resources are shown while nobody waits: within 60 ms in a release build on the reference machine. The
/// limit here is loose, as tests are built for debugging and share their machine.
#[tokio::test(start_paused = true)]
async fn ten_thousand_rows() {
    let world = World::with_nodes(2).await;
    fill(&world, DEFINITIONS).await;
    tell_status(&world, |_, _| {});
    let shortest = (0..ROUNDS).map(|_| {
        let begun = on_cpu();
        let pieces = list::all(&world.cluster, Filter::default(), (0, usize::MAX));
        assert!(pieces.count() > 1);
        on_cpu().saturating_sub(begun)
    });
    let took = shortest.min().expect("at least one round");
    let answer = world.call("GET", "/v1/view/resources", "").await;
    let rows = answer.json().as_array().unwrap().len();
    assert_eq!(
        answer.json()[7]["volumes"][0]["state"]["disk_state"],
        "UpToDate"
    );
    println!("{rows} rows, {} KiB, {took:?}", answer.body.len() / 1024);
    assert_eq!(rows, 2 * DEFINITIONS as usize + 2);
    assert!(took.as_secs() < 60, "{took:?}");
}

/// One resource on two nodes, spawned, and so many copies of it, which the nodes have applied.
pub(super) async fn fill(world: &World, definitions: u32) {
    let template = spawn_one(world).await;
    let committed = world.cluster.commit(move |draft| {
        let first = ResourceName::parse("res").expect("a name");
        let definition = draft
            .definitions
            .get(&first)
            .expect("it was spawned")
            .clone();
        for number in 0..definitions {
            let name = ResourceName::parse(&format!("r{number:05}")).expect("a name");
            let mut row = linstor_model::ResourceDefinition::clone(&definition);
            row.name = name.clone();
            row.volumes
                .values_mut()
                .for_each(|volume| volume.minor = Some(2_000 + number));
            draft.put_resource_definition(row);
            for row in &template {
                let mut row = row.clone();
                row.name = name.clone();
                if let Some(drbd) = &mut row.drbd {
                    *drbd = DrbdResource {
                        disk: DiskKind::Diskful,
                        ..drbd.clone()
                    };
                }
                draft.put_resource(row);
            }
        }
        Ok(())
    });
    committed.await.expect("stored");
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// How long this thread has been running: others use the machine too, and their time does not count.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// Each node says of every resource what it says of the first one, changed by number.
pub(super) fn tell_status(world: &World, change: fn(usize, &mut ResourceStatus)) {
    let (model, observed) = (world.cluster.model(), world.cluster.observed());
    let first = ResourceName::parse("res").expect("a name");
    for node in model.nodes.keys() {
        let known = observed.live(&first, node).expect("the node spoke").clone();
        let all = model.resources_on(node).enumerate().map(|(number, row)| {
            let mut status = ResourceStatus::clone(&known);
            status.name = row.name.to_string();
            change(number, &mut status);
            status
        });
        world.cluster.observe_status(node, all.collect(), &[]);
    }
}

async fn spawn_one(world: &World) -> Vec<Resource> {
    world
        .call("POST", "/v1/resource-groups", r#"{"name":"rg"}"#)
        .await;
    let body = r#"{"resource_definition_name":"res","volume_sizes":[10240]}"#;
    world
        .call("POST", "/v1/resource-groups/rg/spawn", body)
        .await;
    let model = world.cluster.model();
    let row = |node: &str| {
        let node = NodeName::parse(node).expect("a name");
        let name = ResourceName::parse("res").expect("a name");
        Resource::clone(model.resource(&name, &node).expect("it was placed there"))
    };
    vec![row("n1"), row("n2")]
}
