//! Two clusters, one of which ships snapshots to the other: their controllers talk over sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use linstor_api::code;
use linstor_store::MemoryStore;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt as _;

use super::satellite::Satellites;
use super::{World, name};

const SHIP: &str = "/v1/remotes/peer/backups/ship";
const ABORT: &str = "/v1/remotes/peer/backups/abort";
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A cluster whose API is served on a socket.
struct Cluster {
    world: World,
    app: Arc<Mutex<Option<Router>>>,
    url: String,
    _serving: AbortOnDropHandle<()>,
}

impl Cluster {
    async fn new(seed: u64, nodes: u8) -> Cluster {
        let world = World::seeded(seed, MemoryStore::new(), Satellites::default(), None).await;
        for number in 1..=nodes {
            world.add_node(number).await;
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Arc::new(Mutex::new(Some(world.app.clone())));
        let current = Arc::clone(&app);
        let served = Router::new().fallback(move |request: Request<Body>| {
            let app = current.lock().unwrap().clone();
            async move {
                match app {
                    Some(app) => app.oneshot(request).await.unwrap(),
                    None => axum::response::IntoResponse::into_response(
                        axum::http::StatusCode::SERVICE_UNAVAILABLE,
                    ),
                }
            }
        });
        let serving = tokio::spawn(async move { axum::serve(listener, served).await.unwrap() });
        Cluster {
            world,
            app,
            url,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// Its controller ends, and another one starts on its store.
    async fn restart(&mut self) {
        *self.app.lock().unwrap() = None;
        self.world.restart().await;
        *self.app.lock().unwrap() = Some(self.world.app.clone());
    }

    async fn id(&self) -> String {
        let props = self.world.get("/v1/controller/properties").await;
        props["Cluster/LocalID"].as_str().unwrap().to_owned()
    }

    async fn add_remote(&self, url: &str, id: &str) {
        let body = json!({"remote_name": "peer", "url": url, "cluster_id": id}).to_string();
        self.world
            .check("POST", "/v1/remotes/linstor", &body, 200, &["CREATED"])
            .await;
    }

    fn jobs(&self) -> Vec<Value> {
        let jobs = self.world.cluster.jobs().into_iter();
        jobs.map(|job| serde_json::to_value(job).unwrap()).collect()
    }

    async fn until_idle(&self, what: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.jobs().is_empty() {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.jobs());
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_step(&self, step: &str) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let jobs = self.jobs();
            if jobs
                .iter()
                .any(|job| job.to_string().contains(&format!("\"{step}\"")))
            {
                return;
            }
            assert!(Instant::now() < deadline, "no job is {step}: {jobs:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn snapshots(&self, resource: &str) -> Vec<Value> {
        let path = format!("/v1/resource-definitions/{resource}/snapshots");
        let answer = self.world.call("GET", &path, "").await;
        answer.json().as_array().cloned().unwrap_or_default()
    }

    async fn definitions(&self) -> Vec<String> {
        let all = self.world.get("/v1/resource-definitions").await;
        let all = all.as_array().unwrap().iter();
        all.map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The value of a property of a snapshot whose key ends so.
fn prop(snapshot: &Value, end: &str) -> String {
    let props = snapshot["snapshot_definition_props"].as_object().unwrap();
    let found = props.iter().find(|(key, _)| key.ends_with(end));
    found.map_or(String::new(), |(_, value)| {
        value.as_str().unwrap().to_owned()
    })
}

/// A cluster with a resource `res` of two volumes, and one with two nodes, which know each other.
async fn two() -> (Cluster, Cluster) {
    let (here, there) = (Cluster::new(11, 1).await, Cluster::new(12, 2).await);
    here.add_remote(&there.url, &there.id().await).await;
    there.add_remote(&here.url, &here.id().await).await;
    let world = &here.world;
    let rd = "/v1/resource-definitions";
    let body = r#"{"resource_definition":{"name":"res","layer_data":[{"type":"STORAGE"}]}}"#;
    let made = world.call("POST", rd, body).await;
    assert_eq!(made.status, 201, "{}", made.json());
    for _ in 0..2 {
        let body = r#"{"volume_definition":{"size_kib":8192}}"#;
        let made = world
            .call("POST", &format!("{rd}/res/volume-definitions"), body)
            .await;
        assert_eq!(made.status, 200, "{}", made.json());
    }
    let body = r#"{"resource":{"props":{"StorPoolName":"thin"}}}"#;
    let made = world
        .call("POST", &format!("{rd}/res/resources/n1"), body)
        .await;
    assert_eq!(made.status, 201, "{}", made.json());
    (here, there)
}

fn body(extra: &[(&str, Value)]) -> String {
    let mut body = json!({"src_rsc_name": "res", "dst_rsc_name": "copy"});
    for (key, value) in extra {
        body[*key] = value.clone();
    }
    body.to_string()
}

/// The resource is made there of what was sent; the next snapshot is based on that one; another pool is used where one is
/// named; both sides know that it is over.
#[tokio::test]
async fn a_snapshot_is_shipped() {
    let (here, there) = two().await;
    let answer = here.world.call("POST", SHIP, &body(&[])).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    assert!(
        answer.names().contains(&"CREATED".to_owned()),
        "{:?}",
        answer.names()
    );
    here.until_idle("the shipment").await;
    there.until_idle("the reception").await;
    let resources = there
        .world
        .get("/v1/resource-definitions/copy/resources")
        .await;
    assert_eq!(resources.as_array().unwrap().len(), 1, "{resources}");
    let view = there.world.get("/v1/view/resources?resources=copy").await;
    assert_eq!(view[0]["volumes"].as_array().unwrap().len(), 2, "{view}");
    let (sent, received) = (here.snapshots("res").await, there.snapshots("copy").await);
    assert_eq!(prop(&sent[0], "ShippingStatus"), "Success");
    assert_eq!(prop(&received[0], "ShippingStatus"), "Success");
    assert_eq!(prop(&received[0], "FromClusterUUID"), here.id().await);
    let (own, copied) = (
        sent[0]["name"].as_str().unwrap(),
        received[0]["name"].as_str().unwrap(),
    );
    assert!(
        copied.starts_with(own) && copied.len() == own.len() + 9,
        "{own} {copied}"
    );
    // Based on the first one, and only a snapshot: the resource is there.
    sleep(Duration::from_millis(1100)).await;
    let answer = here.world.call("POST", SHIP, &body(&[])).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    here.until_idle("the second shipment").await;
    there.until_idle("the second reception").await;
    let sent = here.snapshots("res").await;
    let base: Vec<String> = sent
        .iter()
        .map(|row| prop(row, "BackupLastSnapshot"))
        .collect();
    assert!(base.contains(&own.to_owned()), "{base:?}");
    assert_eq!(there.snapshots("copy").await.len(), 2);
    // All of it, to a node and a pool that are named, and only as a snapshot.
    let pool = r#"{"storage_pool_name":"other","provider_kind":"LVM_THIN","props":{"StorDriver/StorPoolName":"vg/other"}}"#;
    let made = there
        .world
        .call("POST", "/v1/nodes/n2/storage-pools", pool)
        .await;
    assert_eq!(made.status, 201, "{}", made.json());
    sleep(Duration::from_millis(1100)).await;
    let wanted = body(&[
        ("dst_rsc_name", json!("third")),
        ("dst_node_name", json!("n2")),
        ("stor_pool_rename", json!({"thin": "other"})),
        ("download_only", json!(true)),
        ("allow_incremental", json!(false)),
    ]);
    let answer = here.world.call("POST", SHIP, &wanted).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    here.until_idle("the third shipment").await;
    there.until_idle("the third reception").await;
    let received = there.snapshots("third").await;
    assert_eq!(received[0]["nodes"], json!(["n2"]));
    let resources = there
        .world
        .get("/v1/resource-definitions/third/resources")
        .await;
    assert_eq!(resources, json!([]));
}

/// What cannot be is refused before anything is made on either side, and says which side refuses.
#[tokio::test]
async fn what_cannot_be_shipped_is_refused() {
    let (here, there) = two().await;
    for (extra, cause) in [
        (vec![("dst_node_name", json!("n9"))], "n9"),
        (vec![("dst_stor_pool", json!("none"))], "none"),
        (vec![("dst_net_if_name", json!("eth9"))], "eth9"),
        (vec![("dst_snap_name", json!("x1"))], "dst_snap_name"),
        (vec![("src_rsc_name", json!("none"))], "none"),
        (vec![("src_node_name", json!("n9"))], "n9"),
    ] {
        let answer = here.world.call("POST", SHIP, &body(&extra)).await;
        let said = answer.json().to_string();
        assert!(
            answer.status.as_u16() >= 400 && said.contains(cause),
            "{said}"
        );
        assert!(there.definitions().await.is_empty());
        there.until_idle("nothing").await;
        here.until_idle("nothing").await;
    }
    // A cluster that does not know this one, one that is not there, and one that is something else.
    there
        .world
        .call("DELETE", "/v1/remotes?remote_name=peer", "")
        .await;
    let answer = here.world.call("POST", SHIP, &body(&[])).await;
    assert_eq!(answer.names(), ["FAIL_BACKUP_UNKNOWN_CLUSTER"]);
    assert!(
        answer.json()[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("Remote 'peer': ")
    );
    let nobody = r#"{"url":"http://127.0.0.1:1"}"#;
    let path = "/v1/remotes/linstor/peer";
    here.world
        .check("PUT", path, nobody, 200, &["MODIFIED"])
        .await;
    let answer = here.world.call("POST", SHIP, &body(&[])).await;
    let first = &answer.json()[0];
    assert!(
        first["cause"].as_str().unwrap().contains("127.0.0.1:1"),
        "{first}"
    );
    assert!(here.jobs().is_empty());
}

/// LINSTOR's clusters, which ship otherwise, are told so; calls that mean nothing change nothing.
#[tokio::test]
async fn the_conversation_is_guarded() {
    let (here, there) = two().await;
    let id = here.id().await;
    let path = |last: &str| format!("/v1/internal/backups/{last}");
    let call = |last: &str, body: Value| {
        let (path, world) = (path(last), &there.world);
        async move { world.call("POST", &path, &body.to_string()).await }
    };
    let asked = json!({"srcVersion": [1, 34, 0], "srcClusterId": id, "dstRscName": "copy", "srcSnapDfnUuids": [],
        "dstNodeName": null});
    let answer = call("requestPrevSnap", asked.clone()).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["canReceive"], false);
    let refused = answer.json()["responses"][0]["returnCode"]
        .as_i64()
        .unwrap();
    assert_eq!(name(refused), "FAIL_BACKUP_INCOMPATIBLE_VERSION");
    let mut stranger = asked;
    stranger["srcClusterId"] = json!("00000000-0000-0000-0000-000000000009");
    let answer = call("requestPrevSnap", stranger).await;
    let refused = answer.json()["responses"][0]["returnCode"]
        .as_i64()
        .unwrap();
    assert_eq!(name(refused), "FAIL_BACKUP_UNKNOWN_CLUSTER");
    let meta = json!({"rscName": "r", "nodeName": "n", "startTimestamp": 1, "finishTimestamp": 2,
        "layerData": {"kind": "storage", "children": [], "rscNameSuffix": "", "volumeList": []}});
    let ship = json!({"srcVersion": [1, 34, 0], "metaData": meta, "srcBackupName": "s", "srcClusterId": id,
        "srcL2LRemoteName": "peer", "srcStltRemoteName": ".stlt;r_s_x", "dstRscName": "copy", "useZstd": true});
    let answer = call("requestShip", ship).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["canReceive"]),
        (500, &json!(false))
    );
    let receive = json!({"canReceive": true, "responses": [], "linstorRemoteName": "peer", "stltRemoteName": "x",
        "remoteUrl": "http://x", "dstStltIp": "192.0.2.1", "dstStltPorts": {"0": 12000}, "srcSnapDfnUuid": null,
        "useZstd": true, "srcStltRemoteName": ".stlt;r_s_x"});
    let answer = call("requestReceive", receive).await;
    assert_eq!(answer.names(), ["FAIL_NOT_FOUND_BACKUP"]);
    let done = json!({"responses": [], "linstorRemoteName": "peer", "stltRemoteName": "x", "remoteUrl": "http://x"});
    let answer = call("requestReceiveDone", done).await;
    assert_eq!(answer.status, 200);
    let abort = json!({"responses": [], "clusterId": id, "rscAndSnapNamesToAbort": {"copy": ["s"]},
        "clusterVersion": [1, 34, 0]});
    assert_eq!(call("requestPrepareAbort", abort).await.status, 200);
    for last in [
        "requestPrevSnap",
        "requestShip",
        "requestReceive",
        "requestReceiveDone",
        "requestPrepareAbort",
    ] {
        let answer = there
            .world
            .call("POST", &path(last), "{\"responses\":7")
            .await;
        assert_eq!(answer.codes(), [code::API_CALL_PARSE_ERROR], "{last}");
    }
    assert!(there.definitions().await.is_empty());
}

/// Aborted on either side, both end; what was received is removed, and a snapshot that a user has made stays.
#[tokio::test]
async fn a_shipment_is_aborted_on_either_side() {
    for side in ["here", "there"] {
        for own in [false, true] {
            let (here, there) = two().await;
            there.world.satellites.hold("n1");
            there.world.satellites.hold("n2");
            if own {
                let path = "/v1/resource-definitions/res/snapshots";
                let made = here.world.call("POST", path, r#"{"name":"mine"}"#).await;
                assert_eq!(made.status, 201, "{}", made.json());
            }
            let extra = match own {
                true => vec![("src_snap_name", json!("mine"))],
                false => Vec::new(),
            };
            let answer = here.world.call("POST", SHIP, &body(&extra)).await;
            assert_eq!(answer.status, 201, "{}", answer.json());
            here.until_step("waiting-for-remote").await;
            let (cluster, resource) = match side {
                "here" => (&here, "res"),
                _ => (&there, "copy"),
            };
            // What is being shipped is not deleted, nor its remote.
            let refused = cluster
                .world
                .call("DELETE", "/v1/remotes?remote_name=peer", "")
                .await;
            assert_eq!(refused.names(), ["FAIL_IN_USE"]);
            let abort = json!({"rsc_name": resource}).to_string();
            let answer = cluster.world.call("POST", ABORT, &abort).await;
            assert_eq!(answer.status, 200, "{}", answer.json());
            here.until_idle("the shipment").await;
            there.until_idle("the reception").await;
            assert!(
                there.definitions().await.is_empty(),
                "nothing half received stays"
            );
            let left = here.snapshots("res").await;
            match (side, own) {
                ("here", false) => assert!(left.is_empty(), "{left:?}"),
                ("here", true) => assert_eq!(prop(&left[0], "ShippingStatus"), "Aborted"),
                _ => {
                    assert_eq!(prop(&left[0], "ShippingStatus"), "Failed");
                    let why = prop(&left[0], "FailureReason");
                    assert!(why.contains("It was aborted there."), "{why}");
                }
            }
            // Once more finds nothing.
            let again = cluster.world.call("POST", ABORT, &abort).await;
            assert!(again.status == 200 || side == "there", "{}", again.json());
        }
    }
}

/// Controllers that end in the middle go on after their start, and nodes that fail end it on both sides, with the reason.
#[tokio::test]
async fn controllers_are_started_again() {
    for side in ["here", "there", "both"] {
        let (mut here, mut there) = two().await;
        here.world.satellites.hold("n1");
        there.world.satellites.hold("n1");
        there.world.satellites.hold("n2");
        let answer = here.world.call("POST", SHIP, &body(&[])).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        here.until_step("sending").await;
        there.until_step("receiving").await;
        for (cluster, nodes) in [(&mut here, &["n1"][..]), (&mut there, &["n1", "n2"])] {
            for node in nodes {
                cluster.world.satellites.release(node);
            }
        }
        if side != "there" {
            here.restart().await;
        }
        if side != "here" {
            there.restart().await;
        }
        match side {
            // The other side is told to go on as well: only its end matters.
            "here" => there.restart().await,
            "there" => here.restart().await,
            _ => {}
        }
        here.until_idle("the shipment").await;
        there.until_idle("the reception").await;
        assert_eq!(
            prop(&here.snapshots("res").await[0], "ShippingStatus"),
            "Success",
            "{side}"
        );
        let resources = there
            .world
            .get("/v1/resource-definitions/copy/resources")
            .await;
        assert_eq!(resources.as_array().unwrap().len(), 1, "{side}");
    }
}

/// A node that fails ends it on both sides, with the reason.
#[tokio::test]
async fn a_node_that_fails_ends_it() {
    let (here, there) = two().await;
    here.world.satellites.hold("n1");
    there.world.satellites.failing("n1");
    there.world.satellites.failing("n2");
    let answer = here.world.call("POST", SHIP, &body(&[])).await;
    drop(answer);
    here.until_idle("the shipment").await;
    let why = prop(&here.snapshots("res").await[0], "FailureReason");
    assert!(why.contains("lvcreate failed"), "{why}");
}
