//! Long-running commands, line by line.

use std::mem;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

use super::group::Group;
use super::run::spawn_alone;
use crate::cmd::Cmd;
use crate::error::RunError;
use crate::host::{LineStream, StreamEvent};

/// Lines queued for a slow reader; further ones remain in the pipe, and the program blocks when that is full.
const LINES_QUEUED_MAX: usize = 1024;

/// Starts a command; see [`crate::Host::stream`].
pub(super) async fn stream(cmd: Cmd) -> Result<LineStream, RunError> {
    let (mut child, group) = spawn_alone(&cmd)?;
    tracing::debug!(cmd = %cmd, "command started");
    let group = Arc::new(Mutex::new(group));
    let (events, receiver) = mpsc::channel(LINES_QUEUED_MAX);
    let limit = cmd.line_limit();
    let out = forward(
        child.stdout.take(),
        limit,
        events.clone(),
        StreamEvent::Line,
    );
    let err = forward(
        child.stderr.take(),
        limit,
        events.clone(),
        StreamEvent::ErrorLine,
    );
    let task_group = Arc::clone(&group);
    let task = tokio::spawn(async move {
        let _stopped = tokio::join!(out, err);
        // Both outputs are closed, or reading one failed: there are no further events.
        let exited = tokio::time::timeout(cmd.time_limit().term_wait, child.wait()).await;
        let code = match exited {
            Ok(Ok(status)) => status.code(),
            Ok(Err(_)) | Err(_) => None,
        };
        if code.is_some() {
            lock(&task_group).release();
        }
        tracing::debug!(cmd = %cmd, ?code, "command ended");
        let _reader_gone = events.send(StreamEvent::Ended(code)).await;
    });
    let guard = Guard {
        group,
        task: task.abort_handle(),
    };
    Ok(LineStream::new(receiver, Box::new(guard)))
}

/// Kills the process group when the stream is dropped. The task owns the child and reaps it.
struct Guard {
    group: Arc<Mutex<Group>>,
    task: AbortHandle,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let group = mem::replace(&mut *lock(&self.group), Group::new(None));
        drop(group);
        self.task.abort();
    }
}

fn lock(group: &Mutex<Group>) -> std::sync::MutexGuard<'_, Group> {
    group
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Forwards the lines of a pipe, in a task of its own so that neither pipe waits for the other.
fn forward(
    pipe: Option<impl AsyncRead + Send + Unpin + 'static>,
    limit: usize,
    events: mpsc::Sender<StreamEvent>,
    event: fn(String) -> StreamEvent,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(pipe) = pipe else { return };
        let mut pipe = BufReader::new(pipe);
        loop {
            let next = match next_line(&mut pipe, limit).await {
                Ok(Some(line)) => line.map_or(StreamEvent::LineTooLong, event),
                Ok(None) | Err(_) => return,
            };
            let useless = next == StreamEvent::LineTooLong;
            if events.send(next).await.is_err() || useless {
                return;
            }
        }
    })
}

/// The next line: `Ok(None)` at the end, `Ok(Some(None))` if it is too long.
async fn next_line(
    pipe: &mut (impl AsyncBufRead + Unpin),
    limit: usize,
) -> std::io::Result<Option<Option<String>>> {
    let mut line: Vec<u8> = Vec::new();
    loop {
        let chunk = pipe.fill_buf().await?;
        if chunk.is_empty() {
            return Ok((!line.is_empty()).then(|| Some(text(&line))));
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(chunk.len());
        line.extend_from_slice(&chunk[..taken]);
        pipe.consume(taken + usize::from(end.is_some()));
        if line.len() > limit {
            return Ok(Some(None));
        }
        if end.is_some() {
            return Ok(Some(Some(text(&line))));
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}
