//! Sizes of deployed volumes: growth that is changed or withdrawn, sizes that are exact.

use super::World;
use super::story::spawned;

const VOLUME: &str = "/v1/resource-definitions/res/volume-definitions/0";

async fn size_and_flags(world: &World) -> (u64, String) {
    let shown = world.get(VOLUME).await;
    let size_kib = shown["size_kib"].as_u64().expect("a size");
    (size_kib, shown["flags"].to_string())
}

async fn put_size(world: &World, size_kib: u64) -> Vec<String> {
    let body = format!(r#"{{"size_kib":{size_kib}}}"#);
    world.call("PUT", VOLUME, &body).await.names()
}

/// A growth that a node refuses, or that waits for one that is away, can be changed to another size or to the one before:
/// nothing is being resized for ever.
#[tokio::test(start_paused = true)]
async fn a_growth_can_be_changed_and_withdrawn() {
    for away in [false, true] {
        let world = spawned(2).await;
        let (before, _) = size_and_flags(&world).await;
        match away {
            false => world.satellites.failing("n2"),
            true => world.satellites.away("n2"),
        }
        for size_kib in [2 * before, 3 * before, before + 4096] {
            put_size(&world, size_kib).await;
            let (shown, flags) = size_and_flags(&world).await;
            assert_eq!(shown, size_kib);
            assert!(flags.contains("RESIZE"), "{flags}");
        }
        assert_eq!(put_size(&world, before / 2).await, ["FAIL_INVLD_VLM_SIZE"]);
        let names = put_size(&world, before).await;
        assert!(names.contains(&"MODIFIED".to_owned()), "{names:?}");
        let (shown, flags) = size_and_flags(&world).await;
        assert_eq!(shown, before);
        assert!(!flags.contains("RESIZE"), "{flags}");
        let jobs = world.get("/v1/jobs").await.to_string();
        assert!(!jobs.contains("resize"), "{jobs}");
    }
}

/// With `DrbdOptions/ExactSize` a volume does not grow, deployed or not; and the property is not set later.
#[tokio::test(start_paused = true)]
async fn an_exact_size_stays() {
    let world = World::with_nodes(2).await;
    let exact =
        r#"{"resource_definition":{"name":"res","props":{"DrbdOptions/ExactSize":"True"}}}"#;
    world.call("POST", "/v1/resource-definitions", exact).await;
    let volumes = "/v1/resource-definitions/res/volume-definitions";
    let volume = r#"{"volume_definition":{"size_kib":100001}}"#;
    world.call("POST", volumes, volume).await;
    assert_eq!(put_size(&world, 200_000).await, ["FAIL_INVLD_PROP"]);
    let world = spawned(2).await;
    let exact = r#"{"override_props":{"DrbdOptions/ExactSize":"True"}}"#;
    let refused = ["FAIL_INVLD_PROP"];
    let definition = "/v1/resource-definitions/res";
    world.check("PUT", definition, exact, 500, &refused).await;
}
