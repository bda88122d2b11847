//! Lists: filters, pages, and rows that the API's own types read.

use axum::body::Body;
use axum::http::Request;
use linstor_api::resource::Resource;
use linstor_model::DiskKind;
use linstor_wire::status::ResourceStatus;
use serde_json::Value;

use super::World;
use super::speed::{fill, tell_status};

async fn filled() -> World {
    let world = World::with_nodes(2).await;
    world
        .call(
            "POST",
            "/v1/resource-groups",
            r#"{"name":"rg","select_filter":{"place_count":2}}"#,
        )
        .await;
    for name in ["aa", "bb", "cc"] {
        let body = format!(r#"{{"resource_definition_name":"{name}","volume_sizes":[10240]}}"#);
        let answer = world
            .call("POST", "/v1/resource-groups/rg/spawn", &body)
            .await;
        assert_eq!(answer.status, 201, "{:#}", answer.json());
    }
    world
}

/// Every filter, alone and together; offset counts only beside a limit.
#[tokio::test(start_paused = true)]
async fn filters_and_pages() {
    let world = filled().await;
    let named = |rows: serde_json::Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().clone();
        let name = |row: &serde_json::Value| {
            format!(
                "{}/{}",
                row["name"].as_str().unwrap(),
                row["node_name"].as_str().unwrap()
            )
        };
        rows.iter().map(name).collect()
    };
    for (query, expected) in [
        ("", "aa/n1 aa/n2 bb/n1 bb/n2 cc/n1 cc/n2"),
        ("offset=0&limit=0", "aa/n1 aa/n2 bb/n1 bb/n2 cc/n1 cc/n2"),
        ("offset=2", "aa/n1 aa/n2 bb/n1 bb/n2 cc/n1 cc/n2"),
        ("offset=2&limit=3", "bb/n1 bb/n2 cc/n1"),
        ("nodes=N2", "aa/n2 bb/n2 cc/n2"),
        (
            "resources=cc&resources=AA&resources=none",
            "aa/n1 aa/n2 cc/n1 cc/n2",
        ),
        ("resources=bb&nodes=n1&nodes=N1", "bb/n1"),
        ("storage_pools=thin&limit=1", "aa/n1"),
        ("storage_pools=other", ""),
        ("props=StorPoolName=thin&resources=aa", "aa/n1 aa/n2"),
        ("props=Aux/none", ""),
    ] {
        let rows = world.get(&format!("/v1/view/resources?{query}")).await;
        assert_eq!(named(rows).join(" "), expected, "{query}");
    }
    let rows = world
        .get("/v1/resource-definitions?resource_definitions=BB&limit=5")
        .await;
    assert_eq!(rows[0]["name"], "bb");
    assert_eq!(rows[0].get("volume_definitions"), None);
    let rows = world
        .get("/v1/view/storage-pools?nodes=n1&cached=true&limit=1&offset=1")
        .await;
    assert_eq!(rows[0]["storage_pool_name"], "thin");
    let rows = world.get("/v1/resource-groups?resource_groups=RG").await;
    assert_eq!(rows[0]["select_filter"]["place_count"], 2);
}

/// What is written by hand for speed reads as the type that describes it, with no member that the type lacks.
#[tokio::test(start_paused = true)]
async fn rows_are_what_the_types_say() {
    let world = filled().await;
    let rows = world.get("/v1/view/resources").await;
    for row in rows.as_array().unwrap() {
        let text = row.to_string();
        let read: Resource =
            linstor_api::request::read(text.as_bytes()).expect("no unknown member");
        let volume = &read.volumes[0];
        // What DRBD has room for in a thin volume of whole chunks.
        assert_eq!(volume.usable_size_kib, Some(10_264));
        assert_eq!(volume.layer_data_list.len(), 2);
        let layer = read.layer_object.as_ref().unwrap();
        assert_eq!(layer.r#type.as_deref(), Some("DRBD"));
        assert_eq!(layer.children[0].r#type.as_deref(), Some("STORAGE"));
        let drbd = layer.drbd.as_ref().unwrap();
        assert_eq!(drbd.drbd_volumes[0].usable_size_kib, Some(10_264));
        assert_eq!(drbd.tcp_ports.len(), 1);
        // Written again by the type it is the same, so nothing was left out or spelt differently.
        let again: serde_json::Value = serde_json::to_value(&read).unwrap();
        assert_eq!(&again, row);
    }
}

/// Rows that differ in what they have.
async fn varied(definitions: u32) -> World {
    let world = World::with_nodes(2).await;
    fill(&world, definitions).await;
    let committed = world.cluster.commit(move |draft| {
        // Not the last one, whose status the others take.
        let copies = 2 * definitions as usize;
        let all: Vec<_> = draft.resources.keys().take(copies).cloned().collect();
        for (number, (name, node)) in all.into_iter().enumerate() {
            draft.edit_resource(&name, &node, |row| {
                let odd = "a\"b\\c\n\u{1f}\u{7f}é€😀";
                match number % 7 {
                    0 => drop(
                        row.props
                            .insert(format!("Aux/{odd}"), odd.repeat(number % 5)),
                    ),
                    1 => row.inactive = true,
                    2 => row.volumes.clear(),
                    3 => row
                        .drbd
                        .iter_mut()
                        .for_each(|drbd| drbd.disk = DiskKind::Client),
                    _ => {}
                }
            });
        }
        Ok(())
    });
    committed.await.expect("stored");
    // The nodes have done what that asked of them, and say no more by themselves.
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    tell_status(&world, |number, status: &mut ResourceStatus| {
        match number % 5 {
            0 => status.drbd = None,
            1 => status.volumes[0].disk_state = None,
            2 => {
                let peers = status.volumes[0].replication.values_mut();
                peers.for_each(|peer| {
                    peer.state = "SyncTarget".into();
                    peer.done_percent = Some(12.345);
                });
            }
            3 => status.volumes.clear(),
            _ => {}
        }
    });
    world
}

/// A list of many pieces is one list: every row is what the API's types write, and every filter and part gives the rows
/// that it gives of the whole.
#[tokio::test(start_paused = true)]
async fn long_lists_are_whole() {
    let world = varied(400).await;
    let answer = world.call("GET", "/v1/view/resources", "").await;
    assert!(answer.body.len() > 3 * linstor_api::list::PIECE_BYTES);
    for shown in [
        "SyncTarget(12.3",
        r#"a\"b\\c\n\u001f"#,
        "INACTIVE",
        "DRBD_DISKLESS",
    ] {
        let found = answer.body.windows(shown.len());
        assert!(
            found.into_iter().any(|text| text == shown.as_bytes()),
            "{shown}"
        );
    }
    let all = answer.json().as_array().unwrap().clone();
    assert!(all.len() > 600, "those without volumes are left out");
    for row in &all {
        let read: Resource = serde_json::from_value(row.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), *row);
    }
    let names = |rows: &[&Value]| -> Vec<String> {
        let name = |row: &&Value| format!("{}/{}", row["name"], row["node_name"]);
        rows.iter().map(name).collect()
    };
    let mut sorted = names(&all.iter().collect::<Vec<_>>());
    sorted.dedup();
    assert_eq!(sorted.len(), all.len(), "no row is shown twice");
    assert!(sorted.is_sorted());

    let odd = |row: &Value| {
        row["name"]
            .as_str()
            .unwrap()
            .ends_with(['1', '3', '5', '7', '9'])
    };
    let odd_names = (0..400).filter(|number| number % 2 == 1);
    let odd_names: String = odd_names.map(|n| format!("resources=r{n:05}&")).collect();
    for (query, expected) in [
        ("offset=150&limit=300", all[150..450].iter().collect()),
        ("offset=599&limit=1", all[599..600].iter().collect()),
        ("offset=100000&limit=5", vec![]),
        (
            "nodes=n2",
            all.iter().filter(|row| row["node_name"] == "n2").collect(),
        ),
        ("storage_pools=thin", all.iter().collect()),
        (
            &*odd_names,
            all.iter().filter(|row| odd(row)).collect::<Vec<_>>(),
        ),
    ] {
        let rows = world.get(&format!("/v1/view/resources?{query}")).await;
        let rows: Vec<&Value> = rows.as_array().unwrap().iter().collect();
        assert_eq!(names(&rows), names(&expected), "{query}");
        for (row, expected) in rows.iter().zip(expected) {
            assert_eq!(**row, *expected, "{query}");
        }
    }
    let rows = world
        .get("/v1/resource-definitions?with_volume_definitions=true")
        .await;
    assert_eq!(rows.as_array().unwrap().len(), 401);
    let part =
        world.get("/v1/resource-definitions?with_volume_definitions=true&offset=7&limit=390");
    assert_eq!(
        part.await.as_array().unwrap()[..],
        rows.as_array().unwrap()[7..397]
    );
}

/// A list of several pieces reaches a client that accepts gzip whole, and is what others get.
#[tokio::test(start_paused = true)]
async fn long_lists_are_whole_when_compressed() {
    let world = World::with_nodes(2).await;
    fill(&world, 1_000).await;
    let get = |encoding: &str| {
        let request = Request::builder()
            .uri("/v1/resource-definitions")
            .header("accept-encoding", encoding);
        world
            .server
            .send(request.body(Body::empty()).expect("a valid path"))
    };
    let compressed = get("gzip").await;
    assert_eq!(compressed.headers["content-encoding"], "gzip");
    assert_eq!(compressed.json().as_array().expect("a list").len(), 1_001);
    let plain = get("identity").await;
    assert!(plain.body.len() > linstor_api::list::PIECE_BYTES);
    assert!(plain.body == compressed.body);
}

/// A definition without layers shows DRBD from the first replica on, or when it was given a value of DRBD's; its volumes only when
/// they were given a minor.
#[tokio::test(start_paused = true)]
async fn layers_of_a_definition() {
    let world = World::with_nodes(1).await;
    let shown = async |name: &str| -> Vec<String> {
        let path = format!("/v1/resource-definitions/{name}");
        let definition = world.get(&path).await;
        let volumes = world.get(&format!("{path}/volume-definitions")).await;
        let of = |row: &Value| {
            let layers = row["layer_data"].as_array().cloned().unwrap_or_default();
            let kinds = layers
                .iter()
                .map(|layer| layer["type"].as_str().unwrap().to_owned());
            kinds.collect::<Vec<_>>().join(",")
        };
        vec![of(&definition), of(&volumes[0])]
    };
    for (name, given) in [
        ("plain", ""),
        ("port", r#","drbd_port":7777"#),
        ("slots", r#","drbd_peer_slots":3"#),
        ("secret", r#","drbd_secret":"mine""#),
        ("transport", r#","drbd_transport_type":"IP""#),
        ("minor", ""),
    ] {
        let body = format!(r#"{{"resource_definition":{{"name":"{name}"}}{given}}}"#);
        let answer = world.call("POST", "/v1/resource-definitions", &body).await;
        assert_eq!(answer.status, 201, "{:#}", answer.json());
        let path = format!("/v1/resource-definitions/{name}/volume-definitions");
        let minor = if name == "minor" {
            r#","drbd_minor_number":1500"#
        } else {
            ""
        };
        let body = &format!(r#"{{"volume_definition":{{"size_kib":10240}}{minor}}}"#);
        let answer = world.call("POST", &path, body).await;
        assert_eq!(answer.status, 200, "{:#}", answer.json());
        let expected = match name {
            "plain" => ["", ""],
            "minor" => ["DRBD", "DRBD"],
            _ => ["DRBD", ""],
        };
        assert_eq!(shown(name).await, expected, "{name}");
    }
    let path = "/v1/resource-definitions/plain";
    let replica = r#"[{"resource":{"node_name":"n1","props":{"StorPoolName":"thin"}}}]"#;
    let answer = world
        .call("POST", &format!("{path}/resources"), replica)
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    assert_eq!(shown("plain").await, ["DRBD,STORAGE", "DRBD,STORAGE"]);
}
