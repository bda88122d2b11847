//! The real program on its real database, dead at every single write of a fixed story: what was acknowledged is there,
//! nothing is half there, and the story goes on from there to the same end.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use linstor_store::memory::Fault;
use linstor_store::{Limits, Loaded, Store, StoreError, Write, sqlite};
use nix::sys::signal::{Signal, raise};
use serde_json::Value;

use crate::program::Program;

/// Runs at the same time.
const RUNS: usize = 4;
/// How long what goes on by itself after a start may take to show.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// How long nothing may change before all is taken for done.
const REST: Duration = Duration::from_millis(250);
/// Deaths in the middle of a write come this many bytes after each other: a page and its head in the log are 4120, so that
/// they come between pages and at both thirds of one.
const TORN_STEP_BYTES: u64 = 4120 * 2 / 3;
/// SQLite's shared memory has this many bytes, and the limit on the size of files holds for it, too.
const TORN_FIRST_BYTES: u64 = 32 * 1024;

/// One request and the status that it gets the first time.
type Step = (&'static str, &'static str, &'static str, u16);

const STORY: &[Step] = &[
    (
        "POST",
        "/v1/nodes",
        r#"{"name":"alpha","type":"SATELLITE","net_interfaces":[{"name":"default","address":"127.0.0.1",
            "satellite_port":1,"satellite_encryption_type":"PLAIN"}]}"#,
        201,
    ),
    (
        "POST",
        "/v1/nodes/alpha/net-interfaces",
        r#"{"name":"data","address":"10.0.0.1"}"#,
        201,
    ),
    (
        "POST",
        "/v1/nodes/alpha/storage-pools",
        r#"{"storage_pool_name":"pool","provider_kind":"DISKLESS"}"#,
        201,
    ),
    (
        "POST",
        "/v1/resource-groups",
        r#"{"name":"fast","select_filter":{"place_count":2}}"#,
        201,
    ),
    (
        "POST",
        "/v1/resource-groups/fast/volume-groups",
        r#"{"volume_number":0}"#,
        201,
    ),
    (
        "POST",
        "/v1/resource-groups/fast/spawn",
        r#"{"resource_definition_name":"res","volume_sizes":[10240],"definitions_only":true}"#,
        201,
    ),
    (
        "POST",
        "/v1/resource-definitions/res/volume-definitions",
        r#"{"volume_definition":{"volume_number":1,"size_kib":20480}}"#,
        200,
    ),
    (
        "POST",
        "/v1/resource-definitions/res/resources/alpha",
        r#"{"resource":{"props":{"StorPoolName":"pool"}}}"#,
        201,
    ),
    (
        "PUT",
        "/v1/resource-definitions/res",
        r#"{"override_props":{"Aux/a":"1","Aux/b":"2"}}"#,
        200,
    ),
    (
        "PUT",
        "/v1/resource-definitions/res/volume-definitions/0",
        r#"{"size_kib":12288}"#,
        200,
    ),
    (
        "PUT",
        "/v1/key-value-store/kv",
        r#"{"override_props":{"a":"1","b":"2"}}"#,
        200,
    ),
    (
        "POST",
        "/v1/controller/properties",
        r#"{"override_props":{"Aux/x":"1"}}"#,
        201,
    ),
    (
        "POST",
        "/v1/remotes/linstor",
        r#"{"remote_name":"peer","url":"peer"}"#,
        200,
    ),
    (
        "POST",
        "/v1/schedules",
        r#"{"schedule_name":"daily","full_cron":"0 3 * * *"}"#,
        200,
    ),
    (
        "PUT",
        "/v1/remotes/peer/backups/schedule/daily/enable",
        r#"{"rsc_name":"res"}"#,
        200,
    ),
    (
        "PUT",
        "/v1/files/%2Fetc%2Fa.conf",
        r#"{"content":"aGVsbG8="}"#,
        200,
    ),
    ("DELETE", "/v1/key-value-store/kv", "", 200),
    ("DELETE", "/v1/schedules/daily", "", 200),
    ("DELETE", "/v1/remotes?remote_name=peer", "", 200),
    ("DELETE", "/v1/files/%2Fetc%2Fa.conf", "", 200),
    (
        "DELETE",
        "/v1/resource-definitions/res/volume-definitions/1",
        "",
        200,
    ),
    (
        "DELETE",
        "/v1/resource-definitions/res/resources/alpha",
        "",
        200,
    ),
    ("DELETE", "/v1/nodes/alpha", "", 200),
    ("DELETE", "/v1/resource-definitions/res", "", 200),
    ("DELETE", "/v1/nodes/alpha/lost", "", 200),
    ("DELETE", "/v1/resource-groups/fast", "", 200),
];

/// Everything that a client can see of the cluster.
const LISTS: &[&str] = &[
    "/v1/nodes",
    "/v1/storage-pool-definitions",
    "/v1/view/storage-pools",
    "/v1/resource-groups",
    "/v1/resource-groups/fast/volume-groups",
    "/v1/resource-definitions?with_volume_definitions=true",
    "/v1/view/resources",
    "/v1/key-value-store",
    "/v1/remotes",
    "/v1/schedules",
    "/v1/files?content=true",
    "/v1/controller/properties",
    "/v1/jobs",
];

/// What the lists say, without what legitimately differs between two runs.
type Snapshot = BTreeMap<&'static str, Value>;

fn snapshot(program: &Program) -> Snapshot {
    let list = |path: &&'static str| {
        let (_, body) = program.call("GET", path, "").expect("an answer");
        let mut value = serde_json::from_str(&body).expect("JSON");
        without_chance(&mut value);
        (*path, value)
    };
    LISTS.iter().map(list).collect()
}

/// Drops identities, times, random numbers, and the state of a connection that nobody answers.
fn without_chance(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| {
                let chance = [
                    "id",
                    "uuid",
                    "connection_status",
                    "create_timestamp",
                    "eviction_timestamp",
                    "created_at",
                    "since",
                    "waiting_for",
                    "reports",
                    "secret",
                    "DrbdCurrentGi",
                    "Cluster/LocalID",
                ];
                !chance.contains(&key.as_str())
            });
            members.values_mut().for_each(without_chance);
        }
        Value::Array(all) => all.iter_mut().for_each(without_chance),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Tells the story from a step on, until the program dies. Returns the step that was under way.
fn tell(program: &Program, from: usize) -> usize {
    for (index, (method, path, body, status)) in STORY.iter().enumerate().skip(from) {
        match program.call(method, path, body) {
            Some((found, _)) if found == *status => {}
            Some((found, text)) => panic!("{method} {path} answered {found}: {text}"),
            None => return index,
        }
    }
    STORY.len()
}

/// The lists before the story and after each step, when nothing goes wrong.
fn undisturbed() -> Vec<Snapshot> {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let mut seen = vec![snapshot(&program)];
    for (method, path, body, status) in STORY {
        let (found, text) = program.call(method, path, body).expect("an answer");
        assert_eq!(found, *status, "{method} {path}: {text}");
        seen.push(at_rest(&program));
    }
    let changes = seen.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, STORY.len(), "every step shows");
    seen
}

/// The lists once nothing changes by itself any more.
fn at_rest(program: &Program) -> Snapshot {
    let mut last = snapshot(program);
    loop {
        thread::sleep(REST);
        let seen = snapshot(program);
        if seen == last {
            return seen;
        }
        last = seen;
    }
}

/// One run: the program, made to die somewhere, tells the story; the shipped program goes on. False when nobody died.
fn run(
    what: &str,
    states: &[Snapshot],
    deadly: Signal,
    command: impl Fn(&[String]) -> Command,
) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (begun, ended) = match Program::spawn(path, command) {
        Ok(program) => match tell(&program, 0) {
            all if all == STORY.len() => {
                assert_eq!(&snapshot(&program), &states[all], "{what}");
                return false;
            }
            begun => (begun, program.ended()),
        },
        Err(ended) => (0, ended),
    };
    assert_eq!(ended.signal(), Some(deadly as i32), "{what}: {ended}");

    let program = Program::start(path);
    // All that was acknowledged, and of the step that was under way all or nothing.
    let found = settled(&program, &states[begun..=begun + 1])
        .unwrap_or_else(|odd| panic!("{what}, step {begun}: {}", differences(&odd, states, begun)));
    let goes_on_at = begun + found;
    if found == 1 {
        // Who was not answered asks again: that may be refused, and changes nothing.
        let (method, path, body, _) = STORY[begun];
        program.call(method, path, body).expect("an answer");
        let same = settled(&program, &states[goes_on_at..=goes_on_at]);
        assert!(same.is_ok(), "{what}: step {begun} was done twice");
    }
    assert_eq!(tell(&program, goes_on_at), STORY.len(), "{what}");
    let end = settled(&program, &states[STORY.len()..]);
    assert!(end.is_ok(), "{what}: another end");
    program.kill();
    let problems = sqlite::check(&path.join("linstor.db")).unwrap();
    assert_eq!(problems, Vec::<String>::new(), "{what}");
    true
}

/// Which of these states the program shows once what it does by itself is done; what it shows if it is none of them.
fn settled(program: &Program, states: &[Snapshot]) -> Result<usize, Box<Snapshot>> {
    let deadline = Instant::now() + SETTLE_MAX;
    loop {
        let seen = snapshot(program);
        if let Some(at) = states.iter().position(|state| *state == seen) {
            return Ok(at);
        }
        if Instant::now() > deadline {
            return Err(Box::new(seen));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn differences(odd: &Snapshot, states: &[Snapshot], begun: usize) -> String {
    let mut text = String::new();
    for (path, value) in odd {
        let (before, after) = (&states[begun][path], &states[begun + 1][path]);
        if value != before || value != after {
            text.push_str(&format!(
                "\n{path}\n  is     {value}\n  before {before}\n  after  {after}"
            ));
        }
    }
    text
}

/// Runs for 1, 2, 3... until nobody dies any more; returns how many died.
fn sweep(one: impl Fn(u64) -> bool + Sync) -> u64 {
    let (next, dead) = (AtomicU64::new(1), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..RUNS {
            scope.spawn(|| {
                while one(next.fetch_add(1, Ordering::Relaxed)) {
                    dead.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    dead.into_inner()
}

/// A database that kills its process at one of its writes.
struct Deadly {
    inner: Box<dyn Store>,
    writes: u64,
    nth: u64,
    fault: Fault,
}

#[async_trait]
impl Store for Deadly {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn load(&mut self) -> Result<Loaded, StoreError> {
        self.inner.load().await
    }

    async fn apply(
        &mut self,
        expected: u64,
        next: u64,
        batch: Vec<Write>,
    ) -> Result<(), StoreError> {
        self.writes += 1;
        let dies = self.writes == self.nth;
        if dies && self.fault == Fault::DeadBeforeWrite {
            raise(Signal::SIGKILL).expect("dead");
        }
        let done = self.inner.apply(expected, next, batch).await;
        if dies && self.fault == Fault::DeadAfterWrite {
            raise(Signal::SIGKILL).expect("dead");
        }
        done
    }

    async fn generation(&mut self) -> Result<u64, StoreError> {
        self.inner.generation().await
    }

    async fn copy(&mut self, name: &str) -> Result<String, StoreError> {
        self.inner.copy(name).await
    }
}

const NTH: &str = "TEST_DIES_AT_WRITE";
const AFTER: &str = "TEST_DIES_AFTER_IT";
const ARGUMENTS: &str = "TEST_ARGUMENTS";

/// Not a test: the program that dies, in a process of its own, started by the test below.
#[test]
#[ignore = "a process of another test"]
fn the_program_that_dies() {
    let variable = |name| std::env::var(name).ok();
    let Some(nth) = variable(NTH).map(|nth| nth.parse().expect("a number")) else {
        return;
    };
    let fault = match variable(AFTER) {
        Some(_) => Fault::DeadAfterWrite,
        None => Fault::DeadBeforeWrite,
    };
    let arguments = variable(ARGUMENTS).unwrap_or_default();
    let arguments = std::iter::once("linstor-controller").chain(arguments.lines());
    let ended = linstor_controller::program::main(arguments.map(Into::into), |inner| {
        Box::new(Deadly {
            inner,
            writes: 0,
            nth,
            fault,
        })
    });
    assert_eq!(ended, ExitCode::SUCCESS);
}

/// Killed right before, or right after, each batch that the program writes.
#[test]
fn the_program_dies_at_every_batch() {
    let states = undisturbed();
    for after in [false, true] {
        let dead = sweep(|nth| {
            let what = format!("batch {nth}, {}", if after { "after" } else { "before" });
            run(&what, &states, Signal::SIGKILL, |arguments| {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command
                    .args(["--exact", "every_write::the_program_that_dies", "--ignored"])
                    .env(NTH, nth.to_string())
                    .env(ARGUMENTS, arguments.join("\n"));
                if after {
                    command.env(AFTER, "yes");
                }
                command
            })
        });
        // The start writes, too.
        assert!(dead > STORY.len() as u64, "only {dead} batches");
    }
}

/// Killed by the kernel in the middle of a batch, between two pages and within one: the shipped program may not make a
/// file longer than so many bytes, and dies at the write that would.
#[test]
fn the_program_dies_within_batches() {
    let states = undisturbed();
    let dead = sweep(|n| {
        let bytes = TORN_FIRST_BYTES + (n - 1) * TORN_STEP_BYTES;
        let what = format!("files of {bytes} bytes");
        run(&what, &states, Signal::SIGXFSZ, |arguments| {
            let mut command = Command::new("prlimit");
            command
                .args([&format!("--fsize={bytes}"), "--core=0"])
                .arg(env!("CARGO_BIN_EXE_linstor-controller"))
                .args(arguments);
            command
        })
    });
    assert!(dead > STORY.len() as u64, "only {dead} deaths");
}
