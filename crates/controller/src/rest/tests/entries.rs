//! The entries of answers: one for each step and node, with the bits and references that LINSTOR gives them.

use linstor_api::code;
use serde_json::json;

use super::{Answered, World, name};

const STORAGE: &str =
    r#"{"name":"rg","select_filter":{"place_count":2,"layer_stack":["STORAGE"]}}"#;

/// Each entry's code, operation, object and references without identities, sorted.
fn entries(answer: &Answered) -> Vec<String> {
    let replies = answer.json();
    let replies = replies.as_array().expect("replies are a list");
    let mut shown: Vec<String> = replies
        .iter()
        .map(|reply| {
            let ret_code = reply["ret_code"].as_i64().expect("a number");
            let operation = match ret_code & code::MASK_BITS_OP {
                code::MASK_CRT => "CRT",
                code::MASK_MOD => "MOD",
                code::MASK_DEL => "DEL",
                _ => "-",
            };
            let object = match ret_code & code::MASK_BITS_OBJ {
                code::MASK_RSC => "RSC",
                code::MASK_RSC_DFN => "RSC_DFN",
                code::MASK_RSC_GRP => "RSC_GRP",
                code::MASK_VLM => "VLM",
                code::MASK_VLM_DFN => "VLM_DFN",
                code::MASK_VLM_GRP => "VLM_GRP",
                code::MASK_NODE => "NODE",
                _ => "-",
            };
            let refs = reply["obj_refs"].as_object().cloned().unwrap_or_default();
            let refs = refs.iter().filter(|(key, _)| *key != "UUID");
            let refs: Vec<String> = refs
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                .collect();
            let refs = refs.join(",");
            format!("{} {operation} {object} {refs}", name(ret_code))
        })
        .collect();
    shown.sort();
    shown
}

async fn spawned() -> World {
    let world = World::with_nodes(3).await;
    world.call("POST", "/v1/resource-groups", STORAGE).await;
    let path = "/v1/resource-groups/rg/volume-groups";
    let answer = world.call("POST", path, r#"{"props":{"Aux/a":"1"}}"#).await;
    assert_eq!(
        entries(&answer),
        [
            "CREATED CRT VLM_DFN RscGrp=rg,VlmGrp=rg",
            "CREATED CRT VLM_GRP RscGrp=rg,VlmGrp=rg,VlmNr=0"
        ]
    );
    world
}

const SPAWN: &str = r#"{"resource_definition_name":"res","volume_sizes":[1024]}"#;

/// What is spawned is marked as the group's, but for the definitions and the properties of resources.
#[tokio::test(start_paused = true)]
async fn spawn() {
    let world = spawned().await;
    let answer = world
        .call("POST", "/v1/resource-groups/rg/spawn", SPAWN)
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    assert_eq!(
        entries(&answer),
        [
            "CREATED CRT RSC RscDfn=res,RscGrp=rg",
            "CREATED CRT RSC RscDfn=res,RscGrp=rg",
            "CREATED CRT RSC_DFN RscDfn=res,RscGrp=rg",
            "CREATED CRT RSC_GRP Node/0=n1,Node/1=n2,RscDfn=res,RscGrp=rg,\
             StoragePool/0/0=thin,LVM_THIN,StoragePool/1/0=thin,LVM_THIN",
            "CREATED CRT VLM RscDfn=res,RscGrp=rg,VlmNr=0",
            "CREATED CRT VLM RscDfn=res,RscGrp=rg,VlmNr=0",
            "CREATED CRT VLM_DFN RscDfn=res,RscGrp=rg,VlmNr=0",
            "MODIFIED CRT RSC_GRP RscDfn=res,RscGrp=rg",
            "MODIFIED CRT RSC_GRP RscDfn=res,RscGrp=rg",
        ]
    );
}

/// Resources by name, a volume more, a resource less, the definition gone.
#[tokio::test(start_paused = true)]
async fn resources_and_volumes() {
    let world = spawned().await;
    world
        .call("POST", "/v1/resource-groups/rg/spawn", SPAWN)
        .await;
    let path = "/v1/resource-definitions/res";
    let body = r#"{"resource":{"props":{"StorPoolName":"thin"}}}"#;
    let answer = world
        .call("POST", &format!("{path}/resources/n3"), body)
        .await;
    assert_eq!(
        entries(&answer),
        [
            "CREATED CRT RSC Node=n3,RscDfn=res",
            "CREATED CRT RSC RscDfn=res",
            "CREATED CRT VLM Node=n3,RscDfn=res,VlmNr=0",
            "CREATED CRT VLM RscDfn=res,VlmNr=0",
            "MODIFIED CRT RSC RscDfn=res",
            "MODIFIED CRT RSC RscDfn=res",
            "MODIFIED CRT RSC RscDfn=res",
        ]
    );
    let body = r#"{"volume_definition":{"size_kib":4096}}"#;
    let answer = world
        .call("POST", &format!("{path}/volume-definitions"), body)
        .await;
    let mut expected = vec!["CREATED CRT VLM RscDfn=res,VlmNr=1"; 3];
    expected.push("CREATED CRT VLM_DFN RscDfn=res,VlmNr=1");
    expected.extend(["MODIFIED CRT VLM_DFN RscDfn=res"; 3]);
    assert_eq!(entries(&answer), expected);
    let answer = world
        .call("DELETE", &format!("{path}/volume-definitions/1"), "")
        .await;
    let mut expected = vec!["DELETED DEL VLM RscDfn=res,VlmNr=1"; 3];
    expected.extend(["DELETED DEL VLM_DFN RscDfn=res,VlmNr=1"; 2]);
    expected.extend(["MODIFIED DEL VLM_DFN RscDfn=res,VlmNr=1"; 3]);
    assert_eq!(entries(&answer), expected);
    let answer = world
        .call("DELETE", &format!("{path}/resources/n3"), "")
        .await;
    let mut expected = vec!["DELETED DEL RSC Node=n3,RscDfn=res"; 2];
    expected.push("DELETED DEL VLM Node=n3,RscDfn=res,VlmNr=0");
    expected.extend(["MODIFIED DEL RSC Node=n3,RscDfn=res"; 3]);
    assert_eq!(entries(&answer), expected);
    let answer = world.call("DELETE", path, "").await;
    let mut expected = vec!["DELETED DEL RSC_DFN RscDfn=res"; 2];
    expected.extend(["DELETED DEL VLM RscDfn=res,VlmNr=0"; 2]);
    expected.extend(["MODIFIED DEL RSC_DFN RscDfn=res"; 2]);
    expected.sort_unstable();
    assert_eq!(entries(&answer), expected);
}

/// A group is changed although one of its definitions cannot follow; the others do, and each reports.
#[tokio::test(start_paused = true)]
async fn a_group_that_cannot_be_followed() {
    let world = spawned().await;
    world
        .call("POST", "/v1/resource-groups/rg/spawn", SPAWN)
        .await;
    let pinned = r#"{"resource_definition_name":"huge","volume_sizes":[1073741824]}"#;
    let answer = world
        .call("POST", "/v1/resource-groups/rg/spawn", pinned)
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let body = r#"{"select_filter":{"place_count":4}}"#;
    let answer = world.call("PUT", "/v1/resource-groups/rg", body).await;
    assert_eq!(answer.status, 500);
    let shown = entries(&answer);
    let failed = "FAIL_NOT_ENOUGH_NODES CRT RSC RscDfn=";
    let failed = shown.iter().filter(|entry| entry.starts_with(failed));
    assert_eq!(failed.count(), 2, "{shown:#?}");
    assert!(shown.contains(&"MODIFIED CRT RSC_GRP RscGrp=rg".to_owned()));
    let group = world.get("/v1/resource-groups/rg").await;
    assert_eq!(group["select_filter"]["place_count"], 4);
    let body = r#"{"select_filter":{"place_count":3}}"#;
    let answer = world.call("PUT", "/v1/resource-groups/rg", body).await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    let rows = world.get("/v1/view/resources").await;
    assert_eq!(rows.as_array().map(Vec::len), Some(6));
}

/// Spawning twice at once reserves space of thin pools against their totals, not against what is free.
#[tokio::test(start_paused = true)]
async fn large_thin_volumes_in_a_row() {
    let world = spawned().await;
    for name in ["one", "two"] {
        // 1 TiB in pools of 100 GiB, which may be promised 20 times.
        let body = format!(
            r#"{{"resource_definition_name":"{name}","volume_sizes":[1073741824],"select_filter":{{"place_count":1,"node_name_list":["n1"]}}}}"#
        );
        let answer = world
            .call("POST", "/v1/resource-groups/rg/spawn", &body)
            .await;
        let expected = if name == "one" { 201 } else { 500 };
        assert_eq!(answer.status, expected, "{:#}", answer.json());
    }
    let body = r#"{"resource_definition_name":"three","volume_sizes":[838860800],"select_filter":{"place_count":1,"node_name_list":["n1"]}}"#;
    let answer = world
        .call("POST", "/v1/resource-groups/rg/spawn", body)
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
}

/// Pools that no node has are named, and the group is made all the same; kinds that do not exist are refused.
#[tokio::test(start_paused = true)]
async fn pools_of_groups() {
    let world = World::with_nodes(1).await;
    let body = r#"{"name":"rg","select_filter":{"storage_pool_list":["thin","none"]}}"#;
    let answer = world.call("POST", "/v1/resource-groups", body).await;
    assert_eq!(
        entries(&answer),
        ["CREATED CRT RSC_GRP RscGrp=rg", "WARN_NOT_FOUND - - "]
    );
    assert!(
        answer.json()[0]["message"]
            .as_str()
            .is_some_and(|text| text.ends_with("\n\tnone"))
    );
    let body = r#"{"name":"new","select_filter":{"provider_list":["FLOPPY"]}}"#;
    let answer = world.call("POST", "/v1/resource-groups", body).await;
    assert_eq!(entries(&answer), ["FAIL_INVLD_LAYER_KIND - - "]);
}

/// Sizes are those of the pools where nodes do not support the layers, and the answer says so.
#[tokio::test(start_paused = true)]
async fn sizes_without_the_layers() {
    let world = World::with_nodes(2).await;
    let body =
        r#"{"name":"rg","select_filter":{"place_count":2,"layer_stack":["NVME","STORAGE"]}}"#;
    world.call("POST", "/v1/resource-groups", body).await;
    let sizes = world
        .get("/v1/resource-groups/rg/query-max-volume-size")
        .await;
    assert_eq!(sizes["candidates"][0]["node_names"], json!(["n1", "n2"]));
    let answer = world
        .call("POST", "/v1/resource-groups/rg/query-size-info", "{}")
        .await;
    let info = answer.json();
    assert_eq!(
        info["space_info"]["next_spawn_result"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let report = info["reports"][0]["message"].as_str().unwrap_or_default();
    assert!(
        report.contains("does not support the following layers: [NVME]"),
        "{report}"
    );
    let answer = world
        .call("POST", "/v1/resource-groups/none/query-size-info", "{}")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        name(
            answer.json()["reports"][0]["ret_code"]
                .as_i64()
                .unwrap_or_default()
        ),
        "FAIL_NOT_FOUND_RSC_GRP"
    );
}

/// The deletion of a node has entries for each of its resources once they are deleted.
#[tokio::test(start_paused = true)]
async fn entries_of_a_deleted_node() {
    let world = spawned().await;
    let path = "/v1/resource-groups/rg/spawn";
    assert_eq!(world.call("POST", path, SPAWN).await.status, 201);
    let answer = world.call("DELETE", "/v1/nodes/n1", "").await;
    assert_eq!(
        entries(&answer),
        [
            "DELETED DEL NODE Node=n1",
            "DELETED DEL NODE Node=n1",
            "DELETED DEL VLM Node=n1,RscDfn=res,VlmNr=0",
            "MODIFIED DEL NODE Node=n1",
        ]
    );
}

/// What a request did not name is a reference without a value.
#[tokio::test(start_paused = true)]
async fn entries_about_nothing_named() {
    let world = spawned().await;
    let refs = async |path: &str, body: &str| {
        let answer = world.call("POST", path, body).await.json();
        let reply = match &answer["messages"] {
            serde_json::Value::Null => answer[0].clone(),
            messages => messages[0].clone(),
        };
        reply["obj_refs"].clone()
    };
    let spawn = "/v1/resource-groups/rg/spawn";
    let expected = json!({"RscDfn": null, "RscGrp": "rg"});
    assert_eq!(refs(spawn, "{}").await, expected);
    let expected = json!({"RscDfn": "", "RscGrp": "rg"});
    assert_eq!(
        refs(spawn, r#"{"resource_definition_name":""}"#).await,
        expected
    );
    world.call("POST", spawn, SPAWN).await;
    let clone = "/v1/resource-definitions/res/clone";
    assert_eq!(refs(clone, "{}").await, json!({"RscDfn": null}));
    assert_eq!(refs("/v1/nodes/ebs", "{}").await, json!({"Node": null}));
}

/// A change of a node has an entry for the node and for each peer of its resources.
#[tokio::test(start_paused = true)]
async fn entries_of_a_changed_node() {
    let world = spawned().await;
    let path = "/v1/resource-groups/rg/spawn";
    let pinned = r#"{"resource_definition_name":"res","volume_sizes":[1024],"select_filter":{"node_name_list":["n1","n2"]}}"#;
    assert_eq!(world.call("POST", path, pinned).await.status, 201);
    let applied = async |node: &str| {
        let change = r#"{"override_props":{"Aux/rack":"1"}}"#;
        let answer = world
            .call("PUT", &format!("/v1/nodes/{node}"), change)
            .await;
        let replies = answer.json();
        let messages = replies.as_array().expect("a list").iter();
        let messages = messages.map(|reply| reply["message"].as_str().expect("a text").to_owned());
        let mut applied: Vec<String> = messages
            .filter(|message| message.ends_with("Node changes applied."))
            .collect();
        applied.sort();
        applied
    };
    let of = |node: &str| format!("({node}) Node changes applied.");
    assert_eq!(applied("n1").await, [of("n1"), of("n2")]);
    assert_eq!(applied("n3").await, [of("n3")]);
    assert_eq!(applied("n1").await, Vec::<String>::new(), "nothing changes");
}

/// What LINSTOR shows of itself: that there is no quorum without DRBD, and where a replica of an evacuated node was.
#[tokio::test(start_paused = true)]
async fn automatic_properties() {
    let world = spawned().await;
    world
        .call("POST", "/v1/resource-groups/rg/spawn", SPAWN)
        .await;
    let definition = world.get("/v1/resource-definitions/res").await;
    assert_eq!(definition["props"]["DrbdOptions/Resource/quorum"], "off");
    world.call("PUT", "/v1/nodes/n1/evacuate", "{}").await;
    for _ in 0..2 {
        let replica = world.get("/v1/resource-definitions/res/resources/n1").await;
        assert_eq!(replica["props"]["MigrateFrom"], "N1");
        world.call("PUT", "/v1/nodes/n1/restore", "{}").await;
    }
    // A quorum that a user has set is not replaced.
    let quorum = r#"{"override_props":{"DrbdOptions/Resource/quorum":"majority"}}"#;
    world.call("PUT", "/v1/resource-groups/rg", quorum).await;
    let other = SPAWN.replace("\"res\"", "\"other\"");
    world
        .call("POST", "/v1/resource-groups/rg/spawn", &other)
        .await;
    let definition = world.get("/v1/resource-definitions/other").await;
    assert_eq!(
        definition["props"]["DrbdOptions/Resource/quorum"],
        "majority"
    );
}

/// What a request does not name is `null` in the references of the refusal.
#[tokio::test(start_paused = true)]
async fn missing_names() {
    let world = World::with_nodes(1).await;
    for (path, body) in [
        ("/v1/storage-pool-definitions", "{}"),
        (
            "/v1/nodes/n1/storage-pools",
            r#"{"provider_kind":"DISKLESS"}"#,
        ),
    ] {
        let answer = world.call("POST", path, body).await;
        assert_eq!(answer.names(), ["FAIL_INVLD_STOR_POOL_NAME"]);
        let refs = answer.json()[0]["obj_refs"].clone();
        assert!(refs.as_object().unwrap().contains_key("StorPoolDfn"));
        assert_eq!(refs["StorPoolDfn"], json!(null));
    }
    let path = "/v1/resource-definitions";
    let null = r#"{"resource_definition":null}"#;
    let answer = world.call("POST", path, null).await;
    assert_eq!(answer.codes(), [code::FAIL_UNKNOWN_ERROR]);
}

/// A rule about a property without a name is shown, and has no effect.
#[tokio::test(start_paused = true)]
async fn rules_without_a_key() {
    let world = spawned().await;
    let rules =
        r#"{"select_filter":{"replicas_on_same":[""],"replicas_on_different":["","Aux/none"]}}"#;
    world.call("PUT", "/v1/resource-groups/rg", rules).await;
    let filter = world.get("/v1/resource-groups/rg").await["select_filter"].clone();
    assert_eq!(filter["replicas_on_same"], json!([""]));
    assert_eq!(filter["replicas_on_different"], json!(["", "Aux/none"]));
    let answer = world
        .call("POST", "/v1/resource-groups/rg/spawn", SPAWN)
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
}

/// The default group is there again when it is used, by a change of it too.
#[tokio::test(start_paused = true)]
async fn the_default_group() {
    let world = World::with_nodes(1).await;
    let path = "/v1/resource-groups/DfltRscGrp";
    world.call("DELETE", path, "").await;
    assert_eq!(world.call("GET", path, "").await.status, 404);
    let answer = world.call("PUT", path, r#"{"description":"again"}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.get(path).await["description"], "again");
}
