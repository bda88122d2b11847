//! Pipes of programs on a fake machine.

use std::time::Duration;

use linstor_fake_host::{DrbdKind, Effect, FakeCluster, Fault};
use linstor_host::{Cmd, Deadline, Host, Pipe, PipeCause, PipeError, RunError};

fn compress() -> Cmd {
    Cmd::new("zstd").arg("-c")
}

fn decompress() -> Cmd {
    Cmd::new("zstd").arg("-dc")
}

fn cluster() -> FakeCluster {
    let cluster = FakeCluster::new(1);
    cluster.add_host("n1", DrbdKind::V9);
    cluster
}

async fn run(cluster: &FakeCluster, pipe: Pipe, input: &[u8]) -> (Result<(), PipeError>, Vec<u8>) {
    let (mut input, mut output) = (input, Vec::new());
    let result = cluster
        .host("n1")
        .pipe(pipe, Some(&mut input), Some(&mut output))
        .await;
    (result.map(|_| ()), output)
}

/// Bytes pass through all programs, and each is in the journal.
#[tokio::test(start_paused = true)]
async fn a_pipe_moves_everything() {
    let cluster = cluster();
    let pipe = Pipe::new(compress()).to(decompress());
    let moved = pipe.moved();
    let (result, output) = run(&cluster, pipe, b"\xff\x00data").await;
    result.unwrap();
    assert_eq!(
        (output.as_slice(), moved.read(), moved.written()),
        (&b"\xff\x00data"[..], 6, 6)
    );
    let journal: Vec<String> = cluster
        .take_journal()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(journal, ["n1: zstd -c", "n1: zstd -dc"]);
}

/// Faults are injected into the programs of a pipe as into commands that run alone.
#[tokio::test(start_paused = true)]
async fn faults() {
    let cluster = cluster();
    let pipe = || {
        Pipe::new(compress())
            .to(decompress())
            .deadline(Deadline::stall(Duration::from_secs(9)))
    };
    cluster.inject(Fault::next_with("n1", "zstd -c", Effect::FailsBefore(4)));
    let (result, output) = run(&cluster, pipe(), b"data").await;
    let error = result.unwrap_err();
    assert!(
        matches!(error.cause, PipeCause::Program(0)) && output.is_empty(),
        "{error}"
    );
    assert!(error.programs[1].stderr.contains("unexpected end of file"));
    cluster.inject(Fault::next_with("n1", "zstd -dc", Effect::FailsAfter(4)));
    let (result, output) = run(&cluster, pipe(), b"data").await;
    assert!(matches!(result.unwrap_err().cause, PipeCause::Program(1)) && output == b"data");
    cluster.inject(Fault::next_with("n1", "zstd -dc", Effect::Hangs));
    let started = tokio::time::Instant::now();
    let (result, _) = run(&cluster, pipe(), b"data").await;
    assert!(matches!(
        result.unwrap_err().cause,
        PipeCause::TimedOut { .. }
    ));
    assert_eq!(started.elapsed().as_secs(), 9);
    cluster.inject(Fault::next_with("n1", "zstd -dc", Effect::CrashAfter));
    let (result, _) = run(&cluster, pipe(), b"data").await;
    assert!(matches!(
        result.unwrap_err().cause,
        PipeCause::Run(RunError::HostGone { .. })
    ));
}

/// A broken input stream, limits, a program that is not installed, and a writer that stops.
#[tokio::test(start_paused = true)]
async fn limits_and_refusals() {
    let cluster = cluster();
    let (result, _) = run(&cluster, Pipe::new(decompress()), b"garbage").await;
    assert!(
        result
            .unwrap_err()
            .to_string()
            .contains("unsupported format")
    );
    let (result, _) = run(&cluster, Pipe::new(compress()).bytes_max(5), b"123456").await;
    assert!(matches!(
        result.unwrap_err().cause,
        PipeCause::TooMuch { bytes_max: 5 }
    ));
    let started = tokio::time::Instant::now();
    run(
        &cluster,
        Pipe::new(compress()).to(decompress()).bytes_per_second(10),
        &[1; 100],
    )
    .await
    .0
    .unwrap();
    assert!(started.elapsed() >= Duration::from_secs(20));
    let (mut stopped, _unread) = tokio::io::duplex(1);
    let mut input = &b"data"[..];
    let pipe = Pipe::new(compress()).deadline(Deadline::stall(Duration::from_secs(9)));
    let result = cluster
        .host("n1")
        .pipe(pipe, Some(&mut input), Some(&mut stopped))
        .await;
    assert!(matches!(
        result.unwrap_err().cause,
        PipeCause::TimedOut { .. }
    ));
    cluster.uninstall("n1", "zstd");
    let (result, _) = run(&cluster, Pipe::new(compress()), b"data").await;
    assert!(matches!(
        result.unwrap_err().cause,
        PipeCause::Run(RunError::NotFound { .. })
    ));
}
