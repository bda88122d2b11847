//! Backups that schedules have made, in real time with a clock that is set forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use linstor_fake_s3::{ACCESS_KEY, BUCKET, Behaviour, Store};
use linstor_model::name::{ResourceName, SnapshotName};
use linstor_model::process::ship_backup::Step;
use linstor_store::MemoryStore;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

use super::World;
use super::satellite::Satellites;
use crate::env::{Env, SeededEnv};

const VIEW: &str = "/v1/view/schedules-by-resource";
const PASSPHRASE: &str = "/v1/encryption/passphrase";
const MINUTE: i64 = 60_000;
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A clock that can be set.
struct Clock {
    env: SeededEnv,
    shift_ms: AtomicI64,
}

impl Env for Clock {
    fn now_ms(&self) -> u64 {
        let shift = self.shift_ms.load(Ordering::Relaxed);
        self.env.now_ms().saturating_add_signed(shift)
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.env.fill(bytes);
    }
}

struct Scheduled {
    world: World,
    clock: Arc<Clock>,
    store: Arc<Store>,
}

impl Scheduled {
    /// Resources on two nodes, with a schedule of full backups each hour and incremental ones each ten minutes.
    async fn new(names: &[&str], members: &Value) -> Scheduled {
        let clock = Arc::new(Clock {
            env: SeededEnv::new(1),
            shift_ms: AtomicI64::new(0),
        });
        let env = Arc::clone(&clock) as Arc<dyn Env>;
        let world = World::start_at(env, MemoryStore::new(), Satellites::default(), None).await;
        for number in 1..=2 {
            world.add_node(number).await;
        }
        let store = Arc::new(Store::start().await);
        let mut schedule = json!({"schedule_name": "hourly", "full_cron": "0 * * * *", "inc_cron": "*/10 * * * *"});
        let members = members.as_object().unwrap().clone();
        schedule.as_object_mut().unwrap().extend(members);
        let remote = json!({"remote_name": "store", "endpoint": store.endpoint(), "bucket": BUCKET, "region": "here",
            "access_key": ACCESS_KEY, "secret_key": "sesame"});
        for (path, body) in [
            ("/v1/resource-groups", super::story::GROUP.to_owned()),
            ("/v1/resource-groups/rg/volume-groups", "{}".to_owned()),
            (PASSPHRASE, r#"{"new_passphrase":"pass"}"#.to_owned()),
            ("/v1/remotes/s3", remote.to_string()),
            ("/v1/schedules", schedule.to_string()),
        ] {
            let answer = world.call("POST", path, &body).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.json());
        }
        for name in names {
            let body = json!({"resource_definition_name": name, "volume_sizes": [1024]});
            let path = "/v1/resource-groups/rg/spawn";
            let answer = world.call("POST", path, &body.to_string()).await;
            assert_eq!(answer.status, 201, "{:#}", answer.json());
        }
        let scheduled = Scheduled {
            world,
            clock,
            store,
        };
        scheduled.upload();
        scheduled
    }

    /// The satellites of these tests send nothing: the volumes are put into the bucket here.
    fn upload(&self) {
        let (cluster, store) = (self.world.cluster.clone(), Arc::clone(&self.store));
        tokio::spawn(async move {
            loop {
                for (_, backup) in cluster.model().shipments() {
                    for key in backup.keys().iter().filter(|key| !key.ends_with(".meta")) {
                        store.put(key, "content");
                    }
                }
                sleep(Duration::from_millis(1)).await;
            }
        });
    }

    /// Another controller on the same store; it has no passphrase.
    async fn restart(&mut self) {
        let env = Arc::clone(&self.clock) as Arc<dyn Env>;
        let (store, satellites) = (self.world.store.clone(), self.world.satellites.clone());
        let next = World::start_at(env, store, satellites, None).await;
        let before = std::mem::replace(&mut self.world, next);
        before.controller.stop().await;
        self.upload();
        self.until("the nodes are online", |at| {
            let observed = at.world.cluster.observed();
            let model = at.world.cluster.model();
            model.nodes.keys().all(|node| observed.is_online(node))
        })
        .await;
        sleep(Duration::from_millis(700)).await;
    }

    /// How many backups the cluster sends at a time.
    async fn limit(&self, count: &str) {
        let body = json!({"override_props": {"BackupShipping/MaxConcurrentBackups": count}});
        let path = "/v1/controller/properties";
        let answer = self.world.call("POST", path, &body.to_string()).await;
        assert!(answer.status.is_success(), "{}", answer.json());
    }

    async fn figures(&self) -> String {
        let request = Request::builder().uri("/metrics").body(Body::empty());
        let answer = self.world.app.clone().oneshot(request.unwrap()).await;
        let body = axum::body::to_bytes(answer.unwrap().into_body(), usize::MAX).await;
        String::from_utf8(body.unwrap().to_vec()).unwrap()
    }

    async fn switch(&self, verb: &str, body: &Value) {
        let path = format!("/v1/remotes/store/backups/schedule/hourly/{verb}");
        let expected = ["MODIFIED"];
        self.world
            .check("PUT", &path, &body.to_string(), 200, &expected)
            .await;
        // Times count from when the task has seen it.
        self.until_idle().await;
    }

    fn now(&self) -> i64 {
        i64::try_from(self.clock.now_ms()).unwrap()
    }

    /// Sets the clock, of which a commit makes the tasks aware.
    async fn set_clock(&self, at_ms: i64) {
        let shift = at_ms - self.now();
        self.clock.shift_ms.fetch_add(shift, Ordering::Relaxed);
        let body = json!({"override_props": {"Aux/clock": at_ms.to_string()}}).to_string();
        let path = "/v1/controller/properties";
        let answer = self.world.call("POST", path, &body).await;
        assert!(answer.status.is_success(), "{}", answer.json());
    }

    async fn row(&self, name: &str) -> Value {
        let rows = self.world.get(&format!("{VIEW}?rsc={name}")).await;
        rows["data"][0].clone()
    }

    async fn next(&self, name: &str) -> i64 {
        self.row(name).await["next_exec_time"].as_i64().unwrap()
    }

    fn backups(&self) -> usize {
        let keys = self.store.keys();
        keys.iter().filter(|key| key.ends_with(".meta")).count()
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !holds(self) {
            let jobs = self.world.cluster.jobs();
            assert!(Instant::now() < deadline, "{what}: {jobs:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Until nothing is being made or deleted.
    async fn until_idle(&self) {
        sleep(Duration::from_millis(700)).await;
        self.until("idle", |at| at.world.cluster.model().processes.is_empty())
            .await;
    }

    fn failures(&self, name: &str) -> u64 {
        let name = ResourceName::parse(name).unwrap();
        let model = self.world.cluster.model();
        let mut on = model.definitions[&name].backups.values();
        on.next().map_or(0, |on| on.failures)
    }

    fn snapshots(&self, name: &str) -> Vec<SnapshotName> {
        let name = ResourceName::parse(name).unwrap();
        let model = self.world.cluster.model();
        model
            .snapshots_of(&name)
            .map(|row| row.name.clone())
            .collect()
    }
}

/// Backups are made at their times, one after a time in which the controller was down, once it can open its keys; what is not
/// retained is deleted, but not what somebody else has made.
#[tokio::test]
async fn backups_are_made_at_their_times() {
    let mut at = Scheduled::new(&["res"], &json!({"keep_local": 1, "keep_remote": 1})).await;
    assert_eq!(at.row("res").await, Value::Null);
    at.switch("enable", &json!({})).await;
    let path = "/v1/resource-definitions/res/snapshots";
    let answer = at.world.call("POST", path, r#"{"name":"mine"}"#).await;
    assert_eq!(answer.status, 201);
    let row = at.row("res").await;
    assert_eq!(row["last_snap_time"], -1);
    assert_eq!(row.get("reason"), None);
    let first = at.next("res").await;
    assert_eq!(first % (10 * MINUTE), 0);
    assert!(first > at.now() && first <= at.now() + 10 * MINUTE, "{row}");
    at.set_clock(first - 5000).await;
    at.until_idle().await;
    assert_eq!(at.backups(), 0);
    at.set_clock(first).await;
    at.until("the first backup", |at| at.backups() == 1).await;
    at.until_idle().await;
    // There was nothing that it could be based on.
    let row = at.row("res").await;
    assert_eq!(row["last_snap_inc"], false);
    assert!(row["last_snap_time"].as_i64() >= Some(first), "{row}");
    // Two times have passed: it is one backup, a full one if the hour is over.
    at.set_clock(first + 20 * MINUTE).await;
    at.until("the incremental backup", |at| at.backups() == 2)
        .await;
    at.until_idle().await;
    let row = at.row("res").await;
    let is_full = (first / MINUTE % 60) + 20 >= 60;
    assert_eq!(row["last_snap_inc"], !is_full, "{row}");
    assert_eq!(at.backups(), if is_full { 1 } else { 2 });
    let env = Arc::clone(&at.clock) as Arc<dyn Env>;
    let (store, satellites) = (at.world.store.clone(), at.world.satellites.clone());
    at.clock
        .shift_ms
        .fetch_add(3 * 60 * MINUTE, Ordering::Relaxed);
    let next = World::start_at(env, store, satellites, None).await;
    std::mem::replace(&mut at.world, next)
        .controller
        .stop()
        .await;
    at.upload();
    at.until_idle().await;
    let row = at.row("res").await;
    let reason = row["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("passphrase was not entered"), "{row}");
    let before = at.backups();
    let answer = at.world.call("PATCH", PASSPHRASE, r#""pass""#).await;
    assert_eq!(answer.status, 200);
    at.until("the backup that was missed", |at| {
        at.backups() == 1 && at.snapshots("res").len() == 2
    })
    .await;
    at.until_idle().await;
    let row = at.row("res").await;
    assert_eq!(row["last_snap_inc"], false, "{before} {row}");
    let next = row["next_exec_time"].as_i64().unwrap();
    assert!(next > at.now() && next <= at.now() + 10 * MINUTE, "{row}");
    assert_eq!(at.backups(), 1);
    let mine = SnapshotName::parse("mine").unwrap();
    assert!(at.snapshots("res").contains(&mine));
    // What is deleted leaves nothing.
    at.world
        .check(
            "DELETE",
            "/v1/schedules/hourly",
            "",
            200,
            &["DELETED", "DELETED"],
        )
        .await;
    assert_eq!(at.row("res").await, Value::Null);
}

/// What the limit of the cluster has wait is listed, also after a start of the controller, and begins when the limit lets it;
/// then there are figures of it.
#[tokio::test]
async fn what_waits_is_listed() {
    const QUEUE: &str = "/v1/view/backup/queue";
    let mut at = Scheduled::new(&["res", "other"], &json!({})).await;
    at.switch("enable", &json!({})).await;
    at.limit("0").await;
    let first = at.next("res").await;
    at.set_clock(first).await;
    let queued = |at: &Scheduled| {
        let model = at.world.cluster.model();
        let mut backups = model.shipments();
        backups.all(|(_, backup)| backup.step == Step::Begin) && model.shipments().count() == 2
    };
    at.until("both wait", queued).await;
    let figures = at.figures().await;
    assert!(
        figures.contains("linstor_backup_queued_count 2"),
        "{figures}"
    );
    let never = r#"linstor_backup_age_seconds{resource="res",remote="store"} +Inf"#;
    assert!(figures.contains(never), "{figures}");
    let queue = at.world.get(&format!("{QUEUE}?snap_to_node=true")).await;
    let snaps = queue["snap_queues"].as_array().unwrap();
    assert_eq!(snaps.len(), 2, "{queue}");
    assert_eq!(queue.get("node_queues"), None);
    let node = snaps[0]["queue"][0]["node_name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(snaps[0]["remote_name"], "store");
    assert_eq!(snaps[0]["incremental"], false);
    assert_eq!(snaps[0]["pref_node"], node.as_str());
    assert!(snaps[0]["start_timestamp"].as_i64() >= Some(first));
    for (filter, count) in [
        ("resources=RES".to_owned(), 1),
        ("resources=res&resources=other".to_owned(), 2),
        ("remotes=none".to_owned(), 0),
        ("nodes=none".to_owned(), 0),
        (
            format!("snapshots={}&resources=res", at.snapshots("res")[0]),
            1,
        ),
    ] {
        let queue = at.world.get(&format!("{QUEUE}?{filter}")).await;
        let nodes = queue["node_queues"].as_array().cloned().unwrap_or_default();
        let backups = nodes
            .iter()
            .map(|node| node["queue"].as_array().unwrap().len());
        assert_eq!(backups.sum::<usize>(), count, "{filter}: {queue}");
    }
    let before = at.world.get(QUEUE).await;
    at.restart().await;
    assert_eq!(at.world.get(QUEUE).await, before);
    let answer = at.world.call("PATCH", PASSPHRASE, r#""pass""#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(at.world.get(QUEUE).await, before);
    at.limit("1").await;
    at.until("both are made", |at| at.backups() == 2).await;
    at.until_idle().await;
    assert_eq!(at.world.get(QUEUE).await, json!({}));
    let figures = at.figures().await;
    for line in [
        r#"linstor_backup_size_bytes{resource="res",remote="store"} 7"#,
        r#"linstor_backup_failure_count{resource="res",remote="store"} 0"#,
        "linstor_backup_queued_count 0",
    ] {
        assert!(figures.contains(line), "{line}: {figures}");
    }
}

/// One that fails is tried again as often as the schedule says, then at its next time, and leaves one snapshot at most.
#[tokio::test]
async fn failed_backups_are_tried_again() {
    let policy = json!({"on_failure": "RETRY", "max_retries": 1});
    let at = Scheduled::new(&["res"], &policy).await;
    at.switch("enable", &json!({"rsc_name": "res", "node_name": "n2"}))
        .await;
    let first = at.next("res").await;
    at.store.behave(Behaviour {
        read_only: true,
        ..Behaviour::default()
    });
    at.set_clock(first).await;
    at.until("the first failure", |at| at.failures("res") == 1)
        .await;
    at.until_idle().await;
    let retry = at.next("res").await;
    assert!(retry > at.now() && retry <= at.now() + MINUTE, "{retry}");
    at.set_clock(retry).await;
    at.until("the second failure", |at| at.failures("res") == 2)
        .await;
    at.until_idle().await;
    let next = at.next("res").await;
    assert_eq!(next % (10 * MINUTE), 0);
    assert!(next > at.now(), "{next}");
    // The one of the first attempt is deleted.
    assert_eq!(at.snapshots("res").len(), 1);
    at.store.behave(Behaviour::default());
    at.set_clock(next).await;
    at.until("the backup", |at| at.backups() == 1).await;
    at.until_idle().await;
    assert_eq!(at.snapshots("res").len(), 1);
    let meta = at
        .store
        .keys()
        .into_iter()
        .find(|key| key.ends_with(".meta"));
    let text = at.store.get(&meta.unwrap()).unwrap();
    let meta: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(meta["nodeName"], "n2");
    let props = &meta["rscDfn"]["snapDfnProps"];
    assert_eq!(props["Schedule/BackupShippedBySchedule"], "hourly");
    let full = "BackupShipping/Source/store/LastFullBackupTimestamp";
    assert_eq!(props[full], at.snapshots("res")[0].to_string());
}

/// The clock is set back: times count from then on. What is disabled where it counts is not made, whatever else says.
#[tokio::test]
async fn clocks_are_set_back_and_schedules_disabled() {
    let at = Scheduled::new(&["res", "other"], &json!({})).await;
    at.switch("enable", &json!({"grp_name": "rg"})).await;
    at.switch("disable", &json!({"rsc_name": "other"})).await;
    at.set_clock(at.now() + 10_000 * MINUTE).await;
    at.until("the backup", |at| at.backups() == 1).await;
    at.until_idle().await;
    assert_eq!(at.row("other").await["reason"], "disabled");
    assert!(at.snapshots("other").is_empty());
    at.set_clock(at.now() - 9_000 * MINUTE).await;
    at.until_idle().await;
    let next = at.next("res").await;
    assert!(next > at.now() && next <= at.now() + 10 * MINUTE, "{next}");
    assert_eq!(at.backups(), 1);
    at.set_clock(next).await;
    at.until("the next backup", |at| at.backups() == 2).await;
}

/// Of many that are due at the same time only some begin at once.
#[tokio::test]
async fn many_that_are_due_are_spread() {
    let names: Vec<String> = (0..11).map(|number| format!("res{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let at = Scheduled::new(&names, &json!({})).await;
    at.switch("enable", &json!({})).await;
    at.until("all are counted", |at| {
        let model = at.world.cluster.model();
        model
            .definitions
            .values()
            .all(|row| !row.backups.is_empty())
    })
    .await;
    let first = at.next("res0").await;
    at.set_clock(first).await;
    at.until("the first ones", |at| at.backups() >= 9).await;
    assert_eq!(at.backups(), 9);
    at.until("all", |at| at.backups() == 11).await;
}
