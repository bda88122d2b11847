//! What earlier identities of a node have left: shown, removed as it was shown, and in nobody's way.

use std::time::Duration;

use linstor_wire::question::{Leftover, LeftoverKind};
use linstor_wire::status::ForeignDrbd;
use serde_json::json;
use uuid::Uuid;

use super::World;
use super::story::spawned;

fn volume(name: &str, cluster: Uuid, resource: Uuid) -> Leftover {
    Leftover {
        what: LeftoverKind::Volume {
            pool: "thin".into(),
            path: format!("/dev/vg/{name}"),
            size_kib: 10_240,
            allocated_kib: Some(64),
        },
        name: name.into(),
        owner: Some((cluster, resource)),
        kept_because: None,
    }
}

fn in_drbd(name: &str, owner: Option<(Uuid, Uuid)>) -> Leftover {
    Leftover {
        what: LeftoverKind::Drbd {
            minors: [1000].into(),
            ports: [7000].into(),
        },
        name: name.into(),
        owner,
        kept_because: owner.is_none().then(|| "no mark".to_owned()),
    }
}

const PATH: &str = "/v1/nodes/n1/leftovers";
const FORGET: &str = "/v1/nodes/n1/leftovers/forget";

/// The list has what would be removed; only what is named is removed, and what a resource has is in no list.
#[tokio::test(start_paused = true)]
async fn shown_then_removed() {
    let world = spawned(3).await;
    let (cluster, old) = (
        world.cluster.model().controller.cluster_id,
        Uuid::from_u128(7),
    );
    let live = world
        .cluster
        .model()
        .resources
        .values()
        .next()
        .map(|row| row.uuid);
    let mine = live.expect("there are resources");
    world.satellites.leaves(
        "n1",
        vec![
            in_drbd("old", Some((cluster, old))),
            in_drbd("stranger", None),
            volume("old_00000", cluster, old),
            volume("other_00000", Uuid::from_u128(9), old),
            volume("res_00000", cluster, mine),
        ],
    );
    let list = world.get(PATH).await;
    let ids: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    let id = format!("volume/thin/old_00000/{cluster}/{old}");
    assert_eq!(
        ids.len(),
        4,
        "the volume of a resource is not left over: {ids:?}"
    );
    assert!(ids.contains(&id.as_str()), "{ids:?}");
    assert_eq!(list[0]["minor_numbers"], json!([1000]));
    assert_eq!(list[0]["tcp_ports"], json!([7000]));
    assert_eq!(list[1]["reason"], "no mark");
    assert_eq!(list[3]["other_cluster"], true);
    assert_eq!(list[2]["size_kib"], 10_240);

    let body = json!({"ids": [id]}).to_string();
    world.check("POST", FORGET, &body, 200, &["DELETED"]).await;
    assert_eq!(world.get(PATH).await.as_array().unwrap().len(), 3);
    let absent = ["FAIL_NOT_FOUND_VLM"];
    let twice = world.call("POST", FORGET, &body).await;
    assert_eq!(twice.names(), absent);
    let live = json!({"ids": [format!("volume/thin/res_00000/{cluster}/{mine}")]});
    assert_eq!(
        world.call("POST", FORGET, &live.to_string()).await.names(),
        absent
    );
    let all = world.call("POST", FORGET, "{}").await;
    assert_eq!(
        all.names(),
        ["FAIL_INVLD_CONF"],
        "nothing is removed unseen"
    );
}

/// A node that is away cannot be asked, and there is no such thing of a node that does not exist.
#[tokio::test(start_paused = true)]
async fn of_nodes_that_cannot_be_asked() {
    let world = World::with_nodes(1).await;
    world
        .check(
            "GET",
            "/v1/nodes/nobody/leftovers",
            "",
            404,
            &["FAIL_NOT_FOUND_NODE"],
        )
        .await;
    world.satellites.away("n1");
    world.call("PUT", "/v1/nodes/n1/reconnect", "").await;
    let answer = world.call("GET", PATH, "").await;
    assert_eq!(answer.names(), ["FAIL_NOT_CONNECTED"]);
}

/// Minors and ports of resources in DRBD that are not LINSTOR's are not given to others.
#[tokio::test(start_paused = true)]
async fn numbers_of_others_are_avoided() {
    let world = World::new().await;
    let foreign = ForeignDrbd {
        name: "stranger".into(),
        minors: [1000, 1001].into(),
        ports: [7000].into(),
    };
    world.satellites.foreign("n1", vec![foreign]);
    for node in 1..=2 {
        world.add_node(node).await;
    }
    let group = r#"{"name":"two","select_filter":{"place_count":2,"storage_pool":"thin"}}"#;
    world
        .check("POST", "/v1/resource-groups", group, 201, &["CREATED"])
        .await;
    world
        .call("POST", "/v1/resource-groups/two/volume-groups", "{}")
        .await;
    let spawn = r#"{"resource_definition_name":"res","volume_sizes":[10240]}"#;
    let answer = world
        .call("POST", "/v1/resource-groups/two/spawn", spawn)
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let volume = world
        .get("/v1/resource-definitions/res/volume-definitions/0")
        .await;
    let minor = &volume["layer_data"][0]["data"]["minor_number"];
    assert_eq!(minor, 1002);
    let rows = world.get("/v1/resource-definitions/res/resources").await;
    let port = |row: usize| rows[row]["layer_object"]["drbd"]["tcp_ports"].clone();
    assert_ne!(port(0), json!([7000]), "n1 has it in use");
}

/// A port that a node finds in use is replaced by another one, which later resources get at once.
#[tokio::test(start_paused = true)]
async fn a_busy_port_is_replaced() {
    let world = World::with_nodes(2).await;
    world.satellites.port_is_busy("n1", 7000);
    let group = r#"{"name":"two","select_filter":{"place_count":2,"storage_pool":"thin"}}"#;
    world
        .check("POST", "/v1/resource-groups", group, 201, &["CREATED"])
        .await;
    world
        .call("POST", "/v1/resource-groups/two/volume-groups", "{}")
        .await;
    let ports = async |name: &str| {
        let path = format!("/v1/resource-definitions/{name}/resources/n1");
        world.get(&path).await["layer_object"]["drbd"]["tcp_ports"].clone()
    };
    let spawn =
        |name: &str| format!(r#"{{"resource_definition_name":"{name}","volume_sizes":[10240]}}"#);
    let path = "/v1/resource-groups/two/spawn";
    let answer = world.call("POST", path, &spawn("first")).await;
    let said = answer
        .names()
        .iter()
        .any(|name| name == "FAIL_INVLD_RSC_PORT");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ports("first").await, json!([7001]), "said: {said}");
    assert_eq!(world.get("/v1/jobs").await, json!([]), "it is deployed");
    let answer = world.call("POST", path, &spawn("second")).await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    assert_ne!(ports("second").await, json!([7000]));
}
