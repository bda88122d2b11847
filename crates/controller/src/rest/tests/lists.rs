//! Lists: filters, pages, and rows that the API's own types read.

use linstor_api::resource::Resource;

use super::World;

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
            "resources=cc&resources=AA&resources=..",
            "aa/n1 aa/n2 cc/n1 cc/n2",
        ),
        ("resources=bb&nodes=n1&nodes=nope", "bb/n1"),
        ("storage_pools=thin&limit=1", "aa/n1"),
        ("storage_pools=other", ""),
        ("props=DiskfulBy=auto-placer&resources=aa", "aa/n1 aa/n2"),
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
        assert_eq!(volume.usable_size_kib, Some(10_240));
        assert_eq!(volume.layer_data_list.len(), 2);
        let layer = read.layer_object.as_ref().unwrap();
        assert_eq!(layer.r#type.as_deref(), Some("DRBD"));
        assert_eq!(layer.children[0].r#type.as_deref(), Some("STORAGE"));
        let drbd = layer.drbd.as_ref().unwrap();
        assert_eq!(drbd.drbd_volumes[0].usable_size_kib, Some(10_240));
        assert_eq!(drbd.tcp_ports.len(), 1);
        // Written again by the type it is the same, so nothing was left out or spelt differently.
        let again: serde_json::Value = serde_json::to_value(&read).unwrap();
        assert_eq!(&again, row);
    }
}
