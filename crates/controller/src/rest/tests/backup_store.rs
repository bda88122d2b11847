//! Backups in the bucket of a store: listed, described and deleted.

use linstor_fake_s3::{ACCESS_KEY, BUCKET, Behaviour, Store};
use serde_json::{Value, json};

use super::World;

const PASSPHRASE: &str = r#"{"new_passphrase":"pass"}"#;
const LIST: &str = "/v1/remotes/store/backups";

fn remote(name: &str, store: &Store) -> Value {
    json!({"remote_name": name, "endpoint": store.endpoint(), "bucket": BUCKET, "region": "here", "access_key": ACCESS_KEY,
        "secret_key": "sesame"})
}

async fn world(store: &Store) -> World {
    let world = World::new().await;
    let path = "/v1/encryption/passphrase";
    world
        .check("POST", path, PASSPHRASE, 201, &["CREATED"])
        .await;
    let body = remote("store", store).to_string();
    world
        .check("POST", "/v1/remotes/s3", &body, 200, &["CREATED"])
        .await;
    world
}

/// A backup: the day of January 2025 at which it was made, and that of the one that it is based on.
fn put(store: &Store, resource: &str, day: u32, base: Option<u32>) -> String {
    put_of(store, resource, day, base, "c1")
}

fn put_of(store: &Store, resource: &str, day: u32, base: Option<u32>, cluster: &str) -> String {
    let id = |day: u32| format!("{resource}_back_202501{day:02}_100000");
    let volume = format!("{resource}_00000_back_202501{day:02}_100000");
    let at = 1_735_725_600_000_i64 + i64::from(day - 1) * 86_400_000;
    let mut meta = json!({
        "rscName": resource, "nodeName": "alpha", "startTimestamp": at, "finishTimestamp": at + 60_000,
        "layerData": {"kind": "drbd", "rscNameSuffix": "", "volumeList": [], "children": [
            {"kind": "storage", "children": [], "rscNameSuffix": "", "volumeList": [
                {"kind": "lvmThin", "vlmNr": 0, "snapshotUsableSize": 8192, "snapshotAllocatedSize": 4096,
                 "storPoolApi": {"kind": "storPool", "storPoolName": "pool", "deviceProviderKind": "LVM_THIN"}}]}]},
        "rscDfn": {"flags": 0}, "rsc": {"flags": 0},
        "backups": {"0": [{"name": volume, "finishedTimestamp": at + 59_000, "node": "alpha"}]},
        "clusterId": cluster, "snapDfnUuid": "00000000-0000-0000-0000-000000000001",
    });
    if let Some(base) = base {
        meta["basedOn"] = json!(format!("{}.meta", id(base)));
    }
    store.put(&volume, vec![7; 3000]);
    store.put(&format!("{}.meta", id(day)), meta.to_string());
    id(day)
}

fn ids(list: &Value) -> Vec<String> {
    let backups = list["linstor"].as_object();
    let backups = backups.into_iter().flatten();
    backups.map(|(id, _)| id.clone()).collect()
}

/// The bucket is tried before the remote is made or changed, and the answer says what is wrong with it.
#[tokio::test]
async fn buckets_are_tried() {
    let store = Store::start().await;
    let world = world(&store).await;
    let list = world.get("/v1/remotes/s3").await;
    assert!(!list.to_string().contains("sesame"), "{list}");
    let path = "/v1/remotes/s3";
    for (member, value, cause) in [
        ("bucket", "none", "NoSuchBucket"),
        ("access_key", "other", "InvalidAccessKeyId"),
        ("endpoint", "http://127.0.0.1:1", "refused"),
        ("endpoint", "not a url", "not a valid URL"),
    ] {
        let mut body = remote("second", &store);
        body[member] = json!(value);
        for (method, path) in [("POST", path), ("PUT", "/v1/remotes/s3/store")] {
            let answer = world.call(method, path, &body.to_string()).await;
            let entry = &answer.json()[0];
            assert_eq!(answer.status, 500, "{entry}");
            let text = entry["cause"].as_str().unwrap();
            assert!(text.contains(cause), "{text}");
            assert!(!entry.to_string().contains("sesame"), "{entry}");
        }
    }
    assert_eq!(world.get(path).await, list);
    store.requests();
    world
        .check("PUT", "/v1/remotes/s3/store", "{}", 200, &["MODIFIED"])
        .await;
    assert_eq!(store.requests().len(), 1);
}

/// Backups have what LINSTOR shows; only a whole chain can be restored; volumes without a description and foreign objects
/// are told apart, and filters leave the rest out.
#[tokio::test]
async fn backups_are_listed() {
    let store = Store::start().await;
    let world = world(&store).await;
    assert_eq!(world.get(LIST).await, json!({"other": {}}));
    let full = put(&store, "res", 1, None);
    let next = put(&store, "res", 2, Some(1));
    let last = put(&store, "res", 3, Some(2));
    put(&store, "res2", 4, None);
    store.put("res_00000_back_20250105_100000^mine", "x");
    store.put("res_back_20250106_100000.meta", "no description");
    store.put("picture.jpg", "x");
    let list = world.get(LIST).await;
    let other = json!(["picture.jpg", "res_back_20250106_100000.meta"]);
    assert_eq!(list["other"]["files"], other);
    assert_eq!(ids(&list).len(), 5);
    let backup = &list["linstor"][&next];
    assert_eq!(backup["id"], json!(next));
    assert_eq!(backup["based_on_id"], json!(format!("{full}.meta")));
    assert_eq!(backup["s3"]["meta_name"], json!(format!("{next}.meta")));
    assert_eq!(backup["origin_rsc"], "res");
    assert_eq!(backup["origin_snap"], "back_20250102_100000");
    assert_eq!(backup["origin_node"], "alpha");
    assert_eq!(backup["start_timestamp"], 1_735_812_000_000_i64);
    assert_eq!(
        [
            &backup["success"],
            &backup["shipping"],
            &backup["restorable"]
        ],
        [true, false, true]
    );
    assert_eq!(
        backup["vlms"][0]["s3"]["key"],
        "res_00000_back_20250102_100000"
    );
    let loose = &list["linstor"]["res_00000_back_20250105_100000^mine"];
    assert_eq!(loose["id"], "res_back_20250105_100000^mine");
    assert_eq!(loose["restorable"], false);
    assert_eq!(loose.get("success"), None);
    // The whole chain has to be there.
    store.remove("res_00000_back_20250101_100000");
    let list = world.get(LIST).await;
    for (id, reason) in [
        (
            &full,
            "The object 'res_00000_back_20250101_100000' of volume 0 is missing.",
        ),
        (
            &last,
            "The backup 'res_back_20250101_100000.meta' that it is based on cannot be restored.",
        ),
    ] {
        let backup = &list["linstor"][id];
        assert_eq!(backup["restorable"], false);
        let text = backup["fail_messages"].as_str().unwrap();
        assert!(text.contains(reason), "{text}");
    }
    let of = world.get(&format!("{LIST}?rsc_name=res2")).await;
    assert_eq!(ids(&of), ["res2_back_20250104_100000"]);
    let of = world
        .get(&format!("{LIST}?rsc_name=res&snap_name=mine"))
        .await;
    assert_eq!(ids(&of), ["res_00000_back_20250105_100000^mine"]);
}

/// The list of one resource does not grow with what else is in the bucket, and descriptions are read once.
#[tokio::test]
async fn the_list_of_a_resource_asks_for_no_more() {
    let store = Store::start().await;
    let world = world(&store).await;
    put(&store, "res", 1, None);
    put(&store, "res", 2, Some(1));
    for number in 0..20_000 {
        store.put(&format!("photo-{number}"), "x");
    }
    store.requests();
    let path = format!("{LIST}?rsc_name=res");
    assert_eq!(ids(&world.get(&path).await).len(), 2);
    let requests = store.requests();
    // Each list is read twice.
    assert_eq!(requests.len(), 2 + 2, "{requests:#?}");
    world.get(&path).await;
    assert_eq!(store.requests().len(), 2);
    // Another content is read again.
    put_of(&store, "res", 2, None, "another");
    let list = world.get(&path).await;
    assert_eq!(
        list["linstor"]["res_back_20250102_100000"].get("based_on_id"),
        None
    );
}

/// What a backup needs: sizes of what is downloaded and of what it occupied, the chain, the pools with their new names.
#[tokio::test]
async fn backups_are_described() {
    let store = Store::start().await;
    let world = world(&store).await;
    put(&store, "res", 1, None);
    put(&store, "res", 2, Some(1));
    let path = format!("{LIST}/info");
    let info = world
        .call(
            "POST",
            &path,
            r#"{"src_rsc_name":"res","stor_pool_map":{"*":"fast"}}"#,
        )
        .await
        .json();
    let volume = |day: &str, sizes: Value| {
        let mut row = json!({"name": format!("res_00000_back_202501{day}_100000"), "layer_type": "STORAGE", "dl_size_kib": 3});
        row.as_object_mut()
            .unwrap()
            .extend(sizes.as_object().unwrap().clone());
        row
    };
    let expected = json!({"rsc": "res", "snap": "back_20250102_100000", "full": "res_back_20250101_100000.meta",
        "latest": "res_back_20250102_100000", "count": 2, "dl_size_kib": 6, "alloc_size_kib": 4096, "storpools": [
            {"name": "pool", "provider_kind": "LVM_THIN", "target_name": "fast", "vlms": [
                volume("02", json!({"alloc_size_kib": 4096, "usable_size_kib": 8192})), volume("01", json!({}))]}]});
    assert_eq!(info, expected);
    let full = r#"{"last_backup":"res_back_20250101_100000"}"#;
    assert_eq!(world.call("POST", &path, full).await.json()["count"], 1);
    for (body, status, code) in [
        ("{}", 400, "FAIL_INVLD_REQUEST"),
        (
            r#"{"last_backup":"nonsense"}"#,
            500,
            "FAIL_INVLD_BACKUP_CONFIG",
        ),
        (r#"{"src_rsc_name":"none"}"#, 404, "FAIL_NOT_FOUND_BACKUP"),
        (
            r#"{"src_rsc_name":"res","node_name":"none"}"#,
            404,
            "FAIL_NOT_FOUND_NODE",
        ),
    ] {
        world.check("POST", &path, body, status, &[code]).await;
    }
    store.remove("res_00000_back_20250101_100000");
    world
        .check(
            "POST",
            &path,
            r#"{"src_rsc_name":"res"}"#,
            404,
            &["FAIL_NOT_FOUND_BACKUP"],
        )
        .await;
}

/// What is missing is named before a node is asked; the answer of the node is that of the request, also when it is repeated.
#[tokio::test]
async fn backups_are_verified() {
    let store = Store::start().await;
    let path = format!("{LIST}/verify");
    let of_resource = r#"{"src_rsc_name":"web"}"#;
    let alone = world(&store).await;
    put(&store, "web", 1, None);
    let not_connected = ["FAIL_NOT_CONNECTED"];
    let check = alone.check("POST", &path, of_resource, 500, &not_connected);
    check.await;
    let world = super::story::spawned(2).await;
    let body = remote("store", &store).to_string();
    let passphrase = "/v1/encryption/passphrase";
    let created = ["CREATED"];
    world
        .check("POST", passphrase, PASSPHRASE, 201, &created)
        .await;
    world
        .check("POST", "/v1/remotes/s3", &body, 200, &created)
        .await;
    for _ in 0..2 {
        let answer = world.call("POST", &path, of_resource).await;
        assert_eq!(answer.status, 200, "{:#}", answer.json());
        let text = answer.json().to_string();
        assert!(text.contains("is whole") && text.contains("1 objects with 3000 bytes"));
    }
    for (body, status, code) in [
        ("{}", 400, "FAIL_INVLD_REQUEST"),
        (r#"{"src_rsc_name":"none"}"#, 404, "FAIL_NOT_FOUND_BACKUP"),
        (
            r#"{"src_rsc_name":"web","node_name":"none"}"#,
            404,
            "FAIL_NOT_FOUND_NODE",
        ),
    ] {
        world.check("POST", &path, body, status, &[code]).await;
    }
    assert_eq!(world.get("/v1/jobs").await, json!([]));
    store.remove("web_00000_back_20250101_100000");
    let missing = ["FAIL_NOT_FOUND_BACKUP"];
    world.check("POST", &path, of_resource, 404, &missing).await;
}

/// Each way to select backups, and that nothing goes that another backup needs.
#[tokio::test]
async fn backups_are_deleted() {
    let store = Store::start().await;
    let world = world(&store).await;
    let fill = || {
        for key in store.keys() {
            store.remove(&key);
        }
        put(&store, "res", 1, None);
        put(&store, "res", 2, Some(1));
        put(&store, "res", 3, Some(2));
        let local = world.cluster.model().controller.cluster_id.to_string();
        put_of(&store, "two", 4, None, &local);
        store.put("photo", "x");
        store.put("two_00000_back_20250105_100000", "x");
    };
    const ALL: usize = 10;
    let deleted = "res_back_20250101_100000";
    for (query, codes, left) in [
        // A code of its own; what is based on it keeps it.
        (
            &format!("id={deleted}")[..],
            &["FAIL_DEPENDEND_BACKUP"][..],
            ALL,
        ),
        (
            &format!("id={deleted}&cascading=true&dryrun=true"),
            &["0x0"],
            ALL,
        ),
        (
            &format!("id={deleted}&cascading=true"),
            &["0x80000"],
            ALL - 6,
        ),
        ("id=res_back_20250103_100000.meta", &["0x80000"], ALL - 2),
        ("id=none", &["WARN_NOT_FOUND"], ALL),
        ("id_prefix=res_back_2025010", &["0x80000"], ALL - 6),
        (
            "id_prefix=res_back_20250102",
            &["FAIL_DEPENDEND_BACKUP"],
            ALL,
        ),
        ("resource_name=RES", &["FAIL_INVLD_REQUEST"], ALL),
        ("resource_name=res", &["0x80000"], ALL - 6),
        ("resource_name=two&node_name=ALPHA", &["0x80000"], ALL - 2),
        ("node_name=other", &["FAIL_INVLD_REQUEST"], ALL),
        ("timestamp=20250102_120000", &["FAIL_DEPENDEND_BACKUP"], ALL),
        (
            "timestamp=20250102_120000&cascading=true",
            &["0x80000"],
            ALL - 6,
        ),
        ("timestamp=bad", &["FAIL_INVLD_TIME_PARAM"], ALL),
        ("all_local_cluster=true", &["0x80000"], ALL - 2),
        ("all=true", &["0x80000"], 2),
        ("s3key=photo", &["0x80000"], ALL - 1),
        (
            "s3key=two_00000_back_20250105_100000",
            &["0x80000"],
            ALL - 1,
        ),
        (
            "s3key=two_00000_back_20250104_100000",
            &["FAIL_DEPENDEND_BACKUP"],
            ALL,
        ),
        (
            "s3key=two_00000_back_20250104_100000&cascading=true",
            &["0x80000"],
            ALL - 2,
        ),
        ("s3key=two_back_20250104_100000.meta", &["0x80000"], ALL - 2),
        (
            "s3key=res_back_20250101_100000.meta",
            &["FAIL_DEPENDEND_BACKUP"],
            ALL,
        ),
        ("all=true&id=x", &["FAIL_INVLD_REQUEST"], ALL),
        ("", &["FAIL_INVLD_REQUEST"], ALL),
    ] {
        fill();
        let answer = world.call("DELETE", &format!("{LIST}?{query}"), "").await;
        assert_eq!(answer.names(), codes, "{query}: {}", answer.json());
        assert_eq!(store.keys().len(), left, "{query}: {:?}", store.keys());
    }
    fill();
    // An object that cannot be deleted keeps the description by which it is found.
    store.behave(Behaviour {
        undeletable: vec!["two_00000_back_20250104".to_owned()],
        ..Behaviour::default()
    });
    let path = format!("{LIST}?id=two_back_20250104_100000");
    let answer = world.call("DELETE", &path, "").await;
    assert_eq!(answer.names(), ["FAIL_UNKNOWN_ERROR"]);
    assert_eq!(store.keys().len(), ALL);
    store.behave(Behaviour::default());
    // Its object is not there any more: the rest goes, and it is said.
    store.remove("two_00000_back_20250104_100000");
    let answer = world.call("DELETE", &path, "").await;
    assert_eq!(answer.names(), ["0x80000", "WARN_NOT_FOUND"]);
    assert_eq!(store.keys().len(), ALL - 2);
}

/// A remote may be named as a kind of remotes is.
#[tokio::test]
async fn remotes_are_named_as_their_kinds() {
    let store = Store::start().await;
    let world = world(&store).await;
    put(&store, "res", 1, None);
    for name in ["s3", "linstor", "ebs", "backups"] {
        let body = remote(name, &store).to_string();
        world
            .check("POST", "/v1/remotes/s3", &body, 200, &["CREATED"])
            .await;
        let path = format!("/v1/remotes/{name}/backups");
        assert_eq!(ids(&world.get(&path).await).len(), 1, "{name}");
        let info = world
            .call("POST", &format!("{path}/info"), r#"{"src_rsc_name":"res"}"#)
            .await;
        assert_eq!(info.json()["count"], 1, "{name}");
        let dry = format!("{path}?all=true&dryrun=true");
        world.check("DELETE", &dry, "", 200, &["0x0"]).await;
    }
    world
        .check("PUT", "/v1/remotes/s3/backups", "{}", 200, &["MODIFIED"])
        .await;
}

/// A store that refuses, or does not answer, is named with its reason; the passphrase is needed.
#[tokio::test]
async fn stores_fail() {
    let store = Store::start().await;
    let mut world = world(&store).await;
    put(&store, "res", 1, None);
    store.fail(&[(403, "RequestTimeTooSkewed")]);
    let info = r#"{"src_rsc_name":"res"}"#;
    let answer = world.call("POST", &format!("{LIST}/info"), info).await;
    assert_eq!(answer.status, 500);
    let entry = &answer.json()[0];
    let text = entry["cause"].as_str().unwrap();
    assert!(text.contains("RequestTimeTooSkewed"), "{text}");
    assert!(entry["correction"].as_str().unwrap().contains("clock"));
    // Busy for a moment is no failure.
    store.fail(&[(503, "SlowDown"), (500, "InternalError")]);
    let answer = world.call("GET", LIST, "").await;
    assert_eq!(ids(&answer.json()).len(), 1, "{}", answer.json());
    world.restart().await;
    world
        .check(
            "POST",
            &format!("{LIST}/info"),
            info,
            404,
            &["FAIL_NOT_FOUND_CRYPT_KEY"],
        )
        .await;
}

/// A backup of a snapshot that is taken for it: its volumes are sent before it is described; one that is not can be aborted.
#[tokio::test]
async fn backups_are_made() {
    let store = Store::start().await;
    let world = super::story::spawned(2).await;
    let path = "/v1/encryption/passphrase";
    world
        .check("POST", path, PASSPHRASE, 201, &["CREATED"])
        .await;
    let body = remote("store", &store).to_string();
    world
        .check("POST", "/v1/remotes/s3", &body, 200, &["CREATED"])
        .await;
    let answer = world
        .call(
            "POST",
            LIST,
            r#"{"rsc_name":"res","snap_name":"s1","incremental":true}"#,
        )
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let text = answer.json().to_string();
    assert!(text.contains("is a full one"), "{text}");
    assert!(
        text.contains("Shipping of resource Res to remote store in progress."),
        "{text}"
    );
    let meta = loop {
        let keys = store.keys();
        if let Some(key) = keys.into_iter().find(|key| key.ends_with("^s1.meta")) {
            break key;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let text = String::from_utf8(store.get(&meta).unwrap().to_vec()).unwrap();
    let meta: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(meta["rscName"], "Res");
    assert_eq!(meta["layerData"]["kind"], "drbd");
    let volume = &meta["layerData"]["children"][0]["volumeList"][0];
    assert_eq!(volume["kind"], "lvmThin");
    assert_eq!(volume["storPoolApi"]["deviceProviderKind"], "LVM_THIN");
    let props = &meta["rscDfn"]["rscDfnProps"];
    assert_eq!(props["DrbdOptions/ForceInitialSyncPermanent"], "True");
    assert!(!text.contains("sesame"));
    let body = r#"{"rsc_name":"res","node_name":"none"}"#;
    world
        .check("POST", LIST, body, 404, &["FAIL_NOT_FOUND_NODE"])
        .await;
    let abort = format!("{LIST}/abort");
    let nothing = world.call("POST", &abort, r#"{"rsc_name":"res"}"#).await;
    assert_eq!(nothing.json(), json!([]));
}
