//! External files: written where the settings allow it, and removed when nothing needs them.

use std::path::Path;

use linstor_host::Host as _;
use linstor_wire::digest::sha256;
use linstor_wire::question::{Answer, FileState, Question};
use linstor_wire::secret::Secret;
use linstor_wire::spec::FileSpec;
use linstor_wire::status::Outcome;

use crate::bench::{Bench, DrbdKind, Heard};

const PATH: &str = "/etc/drbd-reactor.d/a.toml";
const DISABLED: &str = "/etc/drbd-reactor.d/a.toml.disabled";
/// `hello`, `world`.
const HELLO: &str = "aGVsbG8=";
const WORLD: &str = "d29ybGQ=";

fn file(path: &str, content: &str) -> FileSpec {
    FileSpec {
        path: path.to_owned().try_into().expect("a path"),
        content: Secret::new(content),
        alt_suffixes: vec![".disabled".to_owned()],
    }
}

/// Gives the node these files, and returns the messages of what fails.
async fn deploy(bench: &mut Bench, files: Vec<FileSpec>) -> Vec<String> {
    bench.nodes.get_mut("alpha").expect("a node").spec.files = files;
    bench.sync("alpha", &[]).await;
    let generation = bench.generation;
    let tried = |h: &Heard| h.node.as_ref().is_some_and(|(at, _)| *at == generation);
    bench
        .until("alpha", "that the files were tried", tried)
        .await;
    let heard = bench.nodes["alpha"].heard.lock().unwrap();
    match &heard.node {
        Some((_, Outcome::Failed { replies })) => {
            replies.iter().map(|r| r.message.clone()).collect()
        }
        _ => Vec::new(),
    }
}

async fn put(bench: &Bench, path: &str, content: &str) {
    let host = bench.cluster.host("alpha");
    let directory = Path::new(path).parent().expect("a directory");
    host.create_dir_all(directory).await.unwrap();
    host.write_atomic(Path::new(path), content.as_bytes(), 0o644)
        .await
        .unwrap();
}

/// A file is written once, replaced when its content changes or somebody has changed it, and removed when it is not needed.
#[tokio::test(start_paused = true)]
async fn files_follow_the_spec() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    let none: Vec<String> = Vec::new();
    assert_eq!(deploy(&mut bench, vec![file(PATH, HELLO)]).await, none);
    assert_eq!(bench.cluster.file("alpha", PATH).as_deref(), Some("hello"));
    assert_eq!(bench.cluster.file_mode("alpha", PATH), Some(0o644));
    bench.rests().await;
    assert_eq!(deploy(&mut bench, vec![file(PATH, WORLD)]).await, none);
    assert_eq!(bench.cluster.file("alpha", PATH).as_deref(), Some("world"));
    put(&bench, PATH, "changed by hand").await;
    assert_eq!(deploy(&mut bench, vec![file(PATH, WORLD)]).await, none);
    assert_eq!(bench.cluster.file("alpha", PATH).as_deref(), Some("world"));
    // A satellite that was started meanwhile knows what it wrote.
    bench.restart("alpha");
    bench.connect("alpha").await;
    assert_eq!(deploy(&mut bench, vec![]).await, none);
    assert_eq!(bench.cluster.file("alpha", PATH), None);
    // What somebody has changed since is theirs.
    assert_eq!(deploy(&mut bench, vec![file(PATH, HELLO)]).await, none);
    put(&bench, PATH, "changed by hand").await;
    deploy(&mut bench, vec![]).await;
    assert_eq!(
        bench.cluster.file("alpha", PATH).as_deref(),
        Some("changed by hand")
    );
}

/// A file that was renamed with one of its suffixes is changed, and removed, under that name.
#[tokio::test(start_paused = true)]
async fn a_disabled_file_stays_disabled() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    put(&bench, DISABLED, "hello").await;
    deploy(&mut bench, vec![file(PATH, WORLD)]).await;
    assert_eq!(
        bench.cluster.file("alpha", DISABLED).as_deref(),
        Some("world")
    );
    assert_eq!(bench.cluster.file("alpha", PATH), None);
    deploy(&mut bench, vec![]).await;
    assert_eq!(bench.cluster.file("alpha", DISABLED), None);
}

/// Nothing is written outside the directories of the settings, whatever a controller says; other files are.
#[tokio::test(start_paused = true)]
async fn paths_that_are_not_allowed() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    for path in [
        "/etc/passwd",
        "/etc/drbd-reactor.d/../passwd",
        "/etc/drbd-reactor.d/below/a.toml",
        "/etc/drbd-reactor.d/./a.toml",
        "/etc/drbd-reactor.d//a.toml",
        "/etc/drbd-reactor.d/",
        "/etc/drbd-reactor.d",
        "/",
    ] {
        let before = bench
            .cluster
            .files("alpha")
            .into_keys()
            .filter(|path| path.starts_with("/etc/"));
        let mut expected: Vec<String> = before.chain([PATH.to_owned()]).collect();
        expected.sort();
        expected.dedup();
        let failures = deploy(&mut bench, vec![file(path, HELLO), file(PATH, HELLO)]).await;
        assert_eq!(
            failures,
            [format!(
                "The external file '{path}' is not allowed on this node."
            )]
        );
        let after = bench
            .cluster
            .files("alpha")
            .into_keys()
            .filter(|path| path.starts_with("/etc/"));
        assert_eq!(after.collect::<Vec<_>>(), expected, "{path}");
    }
    let mut bad = file(PATH, HELLO);
    bad.alt_suffixes = vec!["/../x".to_owned()];
    assert_eq!(deploy(&mut bench, vec![bad]).await.len(), 1);
    assert_eq!(
        deploy(&mut bench, vec![file(PATH, "no base64 !")])
            .await
            .len(),
        1
    );
}

async fn ask(bench: &mut Bench, path: &str, content: &str) -> FileState {
    let question = Question::ExternalFile {
        path: path.to_owned().try_into().expect("a path"),
        alt_suffixes: vec![".disabled".to_owned()],
        sha256: Some(sha256(content.as_bytes())),
    };
    match bench.ask("alpha", question).await {
        Answer::ExternalFile(state) => state,
        other => panic!("{other:?}"),
    }
}

/// What a file is on the node; nothing is told of files elsewhere.
#[tokio::test(start_paused = true)]
async fn questions_about_files() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    put(&bench, "/etc/secret", "hello").await;
    assert_eq!(
        ask(&mut bench, "/etc/secret", "hello").await,
        FileState::default()
    );
    let allowed = FileState {
        allowed: true,
        ..FileState::default()
    };
    assert_eq!(ask(&mut bench, PATH, "hello").await, allowed);
    put(&bench, DISABLED, "hello").await;
    for (content, content_matches) in [("hello", true), ("world", false)] {
        let path = Some(DISABLED.to_owned());
        let there = FileState {
            path,
            content_matches,
            ..allowed.clone()
        };
        assert_eq!(ask(&mut bench, PATH, content).await, there);
    }
}
