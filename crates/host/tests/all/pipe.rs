//! Pipes of programs on the real machine.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use linstor_host::{
    Cmd, Deadline, Host, Pipe, PipeCause, PipeError, PipeInput, PipeOutput, ProgramEnd,
    ProgramStatus, RealHost, RunError, Watch,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::real::{runs, sh};

fn cat() -> Cmd {
    Cmd::new("cat")
}

/// A deadline of half a second without I/O.
fn impatient() -> Deadline {
    Deadline {
        limit: Duration::from_millis(500),
        watch: Watch::Io {
            poll: Duration::from_millis(50),
        },
        term_wait: Duration::from_millis(300),
        kill_wait: Duration::from_secs(5),
    }
}

async fn run(
    pipe: Pipe,
    input: Option<PipeInput<'_>>,
    output: Option<PipeOutput<'_>>,
) -> Result<Vec<ProgramEnd>, PipeError> {
    RealHost
        .pipe(pipe.deadline(impatient()), input, output)
        .await
}

/// A reader of this many zeros.
struct Zeros(u64);

impl AsyncRead for Zeros {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = usize::try_from(self.0)
            .unwrap_or(usize::MAX)
            .min(into.remaining());
        into.initialize_unfilled_to(bytes).fill(0);
        into.advance(bytes);
        self.0 -= bytes as u64;
        Poll::Ready(Ok(()))
    }
}

/// A writer that accepts this many bytes and then blocks or fails; counts, and records whether it was shut down.
struct Sink {
    room: u64,
    then: fn() -> Poll<io::Result<usize>>,
    bytes: u64,
    shut_down: bool,
}

impl Sink {
    fn new() -> Sink {
        Sink {
            room: u64::MAX,
            then: || Poll::Pending,
            bytes: 0,
            shut_down: false,
        }
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = usize::try_from(self.room)
            .unwrap_or(usize::MAX)
            .min(from.len());
        if bytes == 0 {
            return (self.then)();
        }
        self.room -= bytes as u64;
        self.bytes += bytes as u64;
        Poll::Ready(Ok(bytes))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down = true;
        Poll::Ready(Ok(()))
    }
}

/// All bytes pass from the reader through all programs into the writer, which is shut down at the end.
#[tokio::test]
async fn a_pipe_moves_everything() {
    let pipe = Pipe::new(Cmd::new("tr").args(["a-z", "A-Z"])).to(Cmd::new("sed").arg("s/B/<b>/"));
    let moved = pipe.moved();
    let (mut input, mut output) = (&b"abc\n"[..], Vec::new());
    let ends = run(pipe, Some(&mut input), Some(&mut output))
        .await
        .unwrap();
    assert_eq!(output, b"A<b>C\n");
    assert_eq!((moved.read(), moved.written()), (4, 6));
    let cmds: Vec<&str> = ends.iter().map(|end| end.cmd.as_str()).collect();
    assert_eq!(cmds, ["tr a-z A-Z", "sed 's/B/<b>/'"]);
    // Without a reader the first program's input is empty, without a writer the output is discarded.
    let ends = run(
        Pipe::new(cat()).to(sh("cat; echo lost; echo error >&2")),
        None,
        None,
    )
    .await
    .unwrap();
    assert_eq!(ends[1].stderr, "error\n");
    let mut sink = Sink::new();
    run(Pipe::new(sh("echo x")), None, Some(&mut sink))
        .await
        .unwrap();
    assert!(sink.shut_down);
}

/// A stream of any size needs the same memory, and its progress can be read while it runs.
#[tokio::test]
async fn a_large_stream_in_constant_memory() {
    const BYTES: u64 = 512 << 20;
    let peak_kib = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let before = peak_kib();
    let pipe = Pipe::new(cat()).to(cat()).to(cat());
    let moved = pipe.moved();
    let (mut input, mut output) = (Zeros(BYTES), Sink::new());
    let watched = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let written = moved.written();
            if written > 0 {
                return written;
            }
        }
    };
    let (ends, seen) = tokio::join!(run(pipe, Some(&mut input), Some(&mut output)), watched);
    ends.unwrap();
    assert!(seen < BYTES, "progress is visible before the end");
    assert_eq!(
        (output.bytes, moved.read(), moved.written()),
        (BYTES, BYTES, BYTES)
    );
    let grown = peak_kib() - before;
    assert!(grown < 32 * 1024, "{grown} KiB for a stream of 512 MiB");
}

/// If the reader, a program or the writer blocks, the pipe ends at its deadline without I/O, and all process groups
/// are killed.
#[tokio::test]
async fn a_stall_ends_all_programs() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    // Each writes its process id and that of a child to a file, and one of them ignores SIGTERM.
    let noting = |rest: &str| {
        sh(&format!(
            "sleep 61 & echo $$ $! >> {}; {rest}",
            pids.display()
        ))
    };
    let (mut silent, _open) = tokio::io::duplex(16);
    let (mut zeros, mut more_zeros) = (Zeros(u64::MAX), Zeros(u64::MAX));
    let (mut sink, mut full) = (
        Sink::new(),
        Sink {
            room: 1 << 20,
            ..Sink::new()
        },
    );
    let cases: [(&str, PipeInput<'_>, PipeOutput<'_>); 3] = [
        ("exec cat", &mut silent, &mut sink),
        ("trap '' TERM; exec sleep 61", &mut zeros, &mut Vec::new()),
        ("exec cat", &mut more_zeros, &mut full),
    ];
    for (middle, input, output) in cases {
        std::fs::write(&pids, "").unwrap();
        let started = Instant::now();
        let pipe = Pipe::new(noting("exec cat"))
            .to(noting(middle))
            .to(noting("exec cat"));
        let error = run(pipe, Some(input), Some(output)).await.unwrap_err();
        assert!(
            matches!(
                error.cause,
                PipeCause::TimedOut {
                    outlived_kill: false,
                    ..
                }
            ),
            "{middle}: {error}"
        );
        assert!(started.elapsed() < Duration::from_secs(10), "{middle}");
        assert_eq!(error.programs.len(), 3);
        // One can read the end of its input, as the program before it was killed, before its own signal arrives.
        let ended = |end: &ProgramEnd| {
            matches!(
                end.status,
                ProgramStatus::Killed(_) | ProgramStatus::Exited(0)
            )
        };
        assert!(error.programs.iter().all(ended), "{error:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let pids = std::fs::read_to_string(&pids).unwrap();
        assert_eq!(pids.split_whitespace().count(), 6);
        for pid in pids.split_whitespace() {
            assert!(!runs(pid), "{middle}: {pid} still runs");
        }
    }
    assert!(!sink.shut_down && !full.shut_down);
}

/// A slow pipe that continues to move bytes is not killed.
#[tokio::test]
async fn a_slow_pipe_may_go_on() {
    let slow = sh("i=0; while [ $i -lt 10 ]; do echo x; sleep 0.1; i=$((i+1)); done");
    let mut output = Vec::new();
    run(Pipe::new(slow).to(cat()), None, Some(&mut output))
        .await
        .unwrap();
    assert_eq!(output.len(), 20);
}

/// The program that failed is reported as the cause, not those before it that got SIGPIPE, nor those after it whose
/// input was truncated; the error has each one's exit code and standard error, and the writer is not shut down.
#[tokio::test]
async fn a_failure_in_the_middle() {
    let middle = "head -c 100000 >/dev/null; echo 'out of memory' >&2; exit 3";
    let last = "cat; echo 'unexpected end' >&2; exit 1";
    let (mut input, mut output) = (Zeros(u64::MAX), Sink::new());
    let started = Instant::now();
    let pipe = Pipe::new(cat()).to(sh(middle)).to(sh(last));
    let error = run(pipe, Some(&mut input), Some(&mut output))
        .await
        .unwrap_err();
    assert!(matches!(error.cause, PipeCause::Program(1)), "{error}");
    let statuses: Vec<ProgramStatus> = error.programs.iter().map(|end| end.status).collect();
    assert_eq!(
        statuses,
        [
            ProgramStatus::Killed(13),
            ProgramStatus::Exited(3),
            ProgramStatus::Exited(1)
        ]
    );
    assert_eq!(error.programs[2].stderr, "unexpected end\n");
    assert!(
        error
            .to_string()
            .ends_with("ended with exit code 3: out of memory"),
        "{error}"
    );
    assert!(!output.shut_down);
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// A program that hangs does not delay the report of one that failed.
#[tokio::test]
async fn a_failure_after_a_hang() {
    let deadline = Deadline {
        limit: Duration::from_secs(60),
        ..impatient()
    };
    let started = Instant::now();
    let error = RealHost
        .pipe(
            Pipe::new(sh("exec sleep 60"))
                .to(sh("exit 2"))
                .deadline(deadline),
            None,
            None,
        )
        .await;
    assert!(matches!(error.unwrap_err().cause, PipeCause::Program(1)));
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// If the programs succeed without reading all input, the pipe fails.
#[tokio::test]
async fn input_that_is_left() {
    let error = run(Pipe::new(sh("head -c 10")), Some(&mut Zeros(1 << 20)), None)
        .await
        .unwrap_err();
    assert!(matches!(error.cause, PipeCause::InputLeft), "{error}");
    let error = run(Pipe::new(sh("exec yes")).to(sh("head -c 10")), None, None)
        .await
        .unwrap_err();
    assert!(matches!(error.cause, PipeCause::Program(0)), "{error}");
}

/// An error of the reader or of the writer ends the pipe and is reported as its cause.
#[tokio::test]
async fn reader_and_writer_fail() {
    let mut broken = lost_after(1000);
    let error = run(Pipe::new(cat()), Some(&mut broken), None)
        .await
        .unwrap_err();
    assert!(
        matches!(&error.cause, PipeCause::Read(error) if error.to_string() == "lost"),
        "{error}"
    );
    let mut full = Sink {
        room: 1 << 20,
        then: || Poll::Ready(Err(io::Error::other("full"))),
        ..Sink::new()
    };
    let error = run(
        Pipe::new(cat()),
        Some(&mut Zeros(u64::MAX)),
        Some(&mut full),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(&error.cause, PipeCause::Write(error) if error.to_string() == "full"),
        "{error}"
    );
    assert!(!full.shut_down);
}

/// If the reader fails, the first program gets no end of file, which would make the stream look complete.
#[tokio::test]
async fn an_aborted_input_does_not_end() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let received = sh(&format!("cat > /dev/null; touch {}", whole.display()));
    assert!(
        run(Pipe::new(received), Some(&mut lost_after(1000)), None)
            .await
            .is_err()
    );
    assert!(!whole.exists());
}

/// A reader of some bytes and then an error.
fn lost_after(bytes: u64) -> impl AsyncRead + Unpin + Send {
    struct Lost;
    impl AsyncRead for Lost {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::Error::other("lost")))
        }
    }
    Zeros(bytes).chain(Lost)
}

/// A limit of bytes is exact in both directions.
#[tokio::test]
async fn too_many_bytes() {
    let pipe = || Pipe::new(cat()).bytes_max(1 << 20);
    let mut output = Sink::new();
    run(pipe(), Some(&mut Zeros(1 << 20)), Some(&mut output))
        .await
        .unwrap();
    assert_eq!(output.bytes, 1 << 20);
    let error = run(pipe(), Some(&mut Zeros((1 << 20) + 1)), None)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error.cause,
            PipeCause::TooMuch {
                bytes_max: 1_048_576
            }
        ),
        "{error}"
    );
    let mut output = Sink::new();
    let grows = Pipe::new(Cmd::new("head").args(["-c", "3000000", "/dev/zero"])).bytes_max(1 << 20);
    assert!(run(grows, None, Some(&mut output)).await.is_err());
    assert!(output.bytes <= 1 << 20 && !output.shut_down);
}

/// A limit of the rate is observed.
#[tokio::test]
async fn a_rate() {
    let started = Instant::now();
    let pipe = Pipe::new(cat()).bytes_per_second(100_000);
    run(pipe, Some(&mut Zeros(100_000)), None).await.unwrap();
    let took = started.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
}

/// Dropping the future kills all programs.
#[tokio::test]
async fn a_dropped_pipe_kills_all_groups() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let noting = || {
        sh(&format!(
            "sleep 61 & echo $$ $! >> {}; exec cat",
            pids.display()
        ))
    };
    let mut zeros = Zeros(u64::MAX);
    let mut sink = Sink {
        room: 0,
        ..Sink::new()
    };
    let pipe = Pipe::new(noting()).to(noting()).deadline(Deadline {
        limit: Duration::from_secs(60),
        ..impatient()
    });
    let run = tokio::time::timeout(
        Duration::from_millis(500),
        RealHost.pipe(pipe, Some(&mut zeros), Some(&mut sink)),
    );
    assert!(run.await.is_err());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pids = std::fs::read_to_string(&pids).unwrap();
    assert_eq!(pids.split_whitespace().count(), 4);
    for pid in pids.split_whitespace() {
        assert!(!runs(pid), "{pid} still runs");
    }
}

/// If one program is not installed none is started.
#[tokio::test]
async fn a_missing_program_starts_none() {
    let dir = tempfile::tempdir().unwrap();
    let started = dir.path().join("started");
    let pipe =
        Pipe::new(sh(&format!("touch {}", started.display()))).to(Cmd::new("no-such-program"));
    let error = run(pipe, None, None).await.unwrap_err();
    assert!(
        matches!(error.cause, PipeCause::Run(RunError::NotFound { .. })),
        "{error}"
    );
    assert!(error.programs.is_empty() && !started.exists());
}
