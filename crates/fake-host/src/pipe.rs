//! Pipes of faked programs.
//!
//! The programs run one after the other, each with the whole output of the one before it, since no stream of a fake
//! machine is large. Faults are injected into each program as if it ran alone.

use std::time::Duration;

use linstor_host::{
    Pipe, PipeCause, PipeError, PipeInput, PipeOutput, ProgramEnd, ProgramStatus, RunError,
    first_failure,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use crate::FakeHost;
use crate::host::End;
use crate::journal::{Completion, mutates};

const CHUNK_BYTES: usize = 64 * 1024;

/// One run of a pipe.
pub(crate) struct Run<'a> {
    host: &'a FakeHost,
    pipe: &'a Pipe,
    started: Instant,
    programs: Vec<ProgramEnd>,
}

/// Runs a pipe; see [`linstor_host::Host::pipe`].
pub(crate) async fn run(
    host: &FakeHost,
    pipe: &Pipe,
    input: Option<PipeInput<'_>>,
    output: Option<PipeOutput<'_>>,
) -> Result<Vec<ProgramEnd>, PipeError> {
    let mut run = Run {
        host,
        pipe,
        started: Instant::now(),
        programs: Vec::new(),
    };
    let result = run.pass(input, output).await;
    let programs = run.programs;
    match result {
        Ok(()) => Ok(programs),
        Err(cause) => Err(PipeError {
            pipe: pipe.to_string(),
            cause,
            programs,
        }),
    }
}

impl Run<'_> {
    async fn pass(
        &mut self,
        input: Option<PipeInput<'_>>,
        output: Option<PipeOutput<'_>>,
    ) -> Result<(), PipeCause> {
        for cmd in self.pipe.cmds() {
            self.host.check_installed(cmd).map_err(PipeCause::Run)?;
        }
        let mut stream = match input {
            Some(input) => self.read(input).await?,
            None => Vec::new(),
        };
        for index in 0..self.pipe.cmds().len() {
            stream = self.program(index, stream).await?;
        }
        match (first_failure(&self.programs), output) {
            (failed, Some(output)) => self.write(output, &stream, failed).await,
            (Some(failed), None) => Err(PipeCause::Program(failed)),
            (None, None) => Ok(()),
        }
    }

    async fn program(&mut self, index: usize, stream: Vec<u8>) -> Result<Vec<u8>, PipeCause> {
        let text = self.pipe.cmds()[index].to_string();
        let cmd = self.pipe.cmds()[index]
            .clone()
            .stdin(stream)
            .deadline(self.pipe.time_limit());
        let gone = || PipeCause::Run(RunError::HostGone { cmd: text.clone() });
        let request = self
            .host
            .open(&text, mutates(cmd.program(), cmd.arguments()))
            .ok_or_else(gone)?;
        let (completion, result) = match self.host.run_journaled(&cmd, &request).await {
            End::Ended(output) => {
                let status = ProgramStatus::Exited(output.code);
                self.programs.push(ProgramEnd {
                    cmd: text.clone(),
                    status,
                    stderr: output.stderr,
                });
                (Completion::Ran(output.code), Ok(output.stdout))
            }
            End::TimedOut(_) => (Completion::TimedOut, Err(self.stalled())),
            End::Unsupported(missing) => {
                let error = RunError::Unsupported {
                    cmd: text.clone(),
                    missing,
                };
                (Completion::Unsupported, Err(PipeCause::Run(error)))
            }
            End::Gone => return Err(gone()),
        };
        self.host.close(request.entry, completion);
        result
    }

    async fn read(&self, input: PipeInput<'_>) -> Result<Vec<u8>, PipeCause> {
        let mut stream = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let bytes = match timeout(self.pipe.time_limit().limit, input.read(&mut chunk)).await {
                Ok(Ok(0)) => return Ok(stream),
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) => return Err(PipeCause::Read(error)),
                Err(_) => return Err(self.stalled()),
            };
            stream.extend_from_slice(&chunk[..bytes]);
            self.check_size(&stream)?;
            self.pipe.moved().add_read(bytes as u64);
            self.pace(bytes).await;
        }
    }

    /// Writes the stream, including that of a program that failed after writing; the writer is shut down only after
    /// success.
    async fn write(
        &self,
        output: PipeOutput<'_>,
        stream: &[u8],
        failed: Option<usize>,
    ) -> Result<(), PipeCause> {
        self.check_size(stream)?;
        let limit = self.pipe.time_limit().limit;
        for chunk in stream.chunks(CHUNK_BYTES) {
            match timeout(limit, output.write_all(chunk)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(PipeCause::Write(error)),
                Err(_) => return Err(self.stalled()),
            }
            self.pipe.moved().add_written(chunk.len() as u64);
            self.pace(chunk.len()).await;
        }
        if let Some(failed) = failed {
            return Err(PipeCause::Program(failed));
        }
        match timeout(limit, output.shutdown()).await {
            Ok(result) => result.map_err(PipeCause::Write),
            Err(_) => Err(self.stalled()),
        }
    }

    fn check_size(&self, stream: &[u8]) -> Result<(), PipeCause> {
        match self.pipe.bytes_limit() {
            Some(bytes_max) if stream.len() as u64 > bytes_max => {
                Err(PipeCause::TooMuch { bytes_max })
            }
            _ => Ok(()),
        }
    }

    async fn pace(&self, bytes: usize) {
        if let Some(rate) = self.pipe.rate_limit() {
            sleep(Duration::from_secs_f64(bytes as f64 / rate as f64)).await;
        }
    }

    fn stalled(&self) -> PipeCause {
        PipeCause::TimedOut {
            after: self.started.elapsed(),
            why: "it made no progress",
            outlived_kill: false,
        }
    }
}
