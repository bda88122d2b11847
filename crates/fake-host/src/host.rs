//! One machine of the cluster as a [`Host`].

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use linstor_host::{
    Cmd, DeviceUse, FileError, FileUsage, Host, LineStream, Output, PROGRAM_DIRS, Pipe, PipeError,
    PipeInput, PipeOutput, Place, PortState, ProgramEnd, RunError, StreamEvent, Uname,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::cluster::Shared;
use super::content::{BLOCK_BYTES, Block};
use super::drbd;
use super::fault::Effect;
use super::journal::{Completion, Entry, mutates};
use super::machine::{Dev, Machine};
use super::pipe;
use super::programs;
use super::tool::{Stop, ToolOutput};
use super::world::{EVENTS_QUEUED_MAX, Stream, World};

/// Interval at which a waiting command checks its condition.
const WAIT_POLL: Duration = Duration::from_millis(50);

/// A machine of a [`super::FakeCluster`] during one boot: after a crash only a new handle works.
#[derive(Debug, Clone)]
pub struct FakeHost {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: String,
    pub(crate) boot: u64,
}

/// A request in the journal, with its duration and the fault to inject into it.
pub(crate) struct Journaled {
    pub(crate) entry: usize,
    effect: Option<Effect>,
    time: Duration,
}

pub(crate) enum End {
    Ended(ToolOutput),
    TimedOut(Duration),
    Unsupported(String),
    Gone,
}

impl FakeHost {
    fn is_alive(&self, world: &World) -> bool {
        world
            .machines
            .get(&self.node)
            .is_some_and(|m| m.up && m.boot == self.boot)
    }

    /// Writes a request into the journal and selects the fault to inject into it; `None` if the machine is down.
    pub(crate) fn open(&self, text: &str, mutating: bool) -> Option<Journaled> {
        self.shared.start_driver();
        self.shared.with(|world| {
            if !self.is_alive(world) {
                return None;
            }
            let entry = world.journal.len();
            world.journal.push(Entry {
                node: self.node.clone(),
                at: world.started.elapsed(),
                text: text.to_owned(),
                mutating,
                completion: Completion::Unfinished,
            });
            let effect = world
                .faults
                .iter_mut()
                .find_map(|fault| fault.strike(&self.node, text, mutating));
            world.faults.retain(|fault| !fault.is_spent());
            let config = world.config;
            let time = if mutating {
                config.change_time
            } else {
                config.read_time
            };
            Some(Journaled {
                entry,
                effect,
                time,
            })
        })
    }

    pub(crate) fn close(&self, entry: usize, completion: Completion) {
        self.shared.with(|world| {
            // The journal may have been cleared since.
            if let Some(entry) = world.journal.get_mut(entry) {
                entry.completion = completion;
            }
        });
    }

    pub(crate) async fn run_journaled(&self, cmd: &Cmd, request: &Journaled) -> End {
        let limit = cmd.time_limit().limit;
        let mut before = request.time / 2;
        match request.effect {
            Some(Effect::Hangs) => {
                sleep(limit).await;
                return End::TimedOut(limit);
            }
            Some(Effect::Slow(more)) if more >= limit => {
                sleep(limit).await;
                return End::TimedOut(limit);
            }
            Some(Effect::Slow(more)) => before += more,
            Some(Effect::FailsBefore(code)) => {
                sleep(request.time).await;
                return End::Ended(ToolOutput::err(
                    code,
                    "injected failure, nothing was changed\n",
                ));
            }
            Some(Effect::Lies) => {
                sleep(request.time).await;
                return End::Ended(ToolOutput::nothing());
            }
            Some(Effect::CrashBefore) => {
                sleep(request.time).await;
                self.shared.crash(&self.node);
                return End::Gone;
            }
            Some(Effect::FailsAfter(_) | Effect::CrashAfter) | None => {}
        }
        sleep(before).await;
        let end = self.execute(cmd, limit).await;
        if request.effect == Some(Effect::CrashAfter) {
            self.shared.crash(&self.node);
            return End::Gone;
        }
        sleep(request.time / 2).await;
        if !self.shared.with(|world| self.is_alive(world)) {
            return End::Gone;
        }
        match (request.effect, end) {
            (Some(Effect::FailsAfter(code)), End::Ended(output)) => End::Ended(ToolOutput {
                code,
                stderr: format!(
                    "{}injected failure, although the command was carried out\n",
                    output.stderr
                ),
                ..output
            }),
            (_, end) => end,
        }
    }

    /// Runs the command; if it has to wait, runs it again until it does not, or until a time limit.
    async fn execute(&self, cmd: &Cmd, limit: Duration) -> End {
        let started = Instant::now();
        let patience = cmd
            .arguments()
            .iter()
            .find_map(|arg| arg.strip_prefix("--wfc-timeout=")?.parse().ok())
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs);
        loop {
            let done = self.shared.with(|world| {
                if !self.is_alive(world) {
                    return Some(End::Gone);
                }
                let stdin = cmd.input().map(|input| input.reveal()).unwrap_or_default();
                let mutating = mutates(cmd.program(), cmd.arguments());
                let result =
                    programs::run(world, &self.node, cmd.program(), cmd.arguments(), stdin);
                world.settle();
                if mutating {
                    world.audit(&format!("{}: {cmd}", self.node));
                }
                match result {
                    Ok(output) | Err(Stop::Failed(output)) => Some(End::Ended(output)),
                    Err(Stop::Missing(missing)) => Some(End::Unsupported(missing.0)),
                    Err(Stop::Wait) => None,
                }
            });
            if let Some(end) = done {
                return end;
            }
            if patience.is_some_and(|patience| started.elapsed() >= patience) {
                return End::Ended(ToolOutput::err(5, ""));
            }
            if started.elapsed() >= limit {
                return End::TimedOut(limit);
            }
            sleep(WAIT_POLL).await;
        }
    }

    pub(crate) fn check_installed(&self, cmd: &Cmd) -> Result<(), RunError> {
        let missing = self.shared.with(|world| {
            world
                .machines
                .get(&self.node)
                .is_some_and(|m| m.missing_tools.contains(cmd.program()))
        });
        if !missing {
            return Ok(());
        }
        let searched = PROGRAM_DIRS.iter().map(|dir| (*dir).to_owned()).collect();
        Err(RunError::NotFound {
            program: cmd.program().to_owned(),
            searched,
        })
    }

    /// Runs a request that is not a command.
    async fn file<T>(
        &self,
        action: &'static str,
        path: &Path,
        changes: Option<&str>,
        work: impl FnOnce(&mut World, &str) -> io::Result<T> + Send,
    ) -> Result<T, FileError> {
        let gone = || io::Error::other("the host crashed");
        let name = path.to_string_lossy().into_owned();
        let result = match changes {
            None => self.shared.with(|world| {
                if self.is_alive(world) {
                    work(world, &name)
                } else {
                    Err(gone())
                }
            }),
            Some(verb) => {
                self.change_file(&format!("{verb} {name}"), &name, work)
                    .await
            }
        };
        result.map_err(|source| FileError {
            action,
            path: path.to_owned(),
            source,
        })
    }

    async fn change_file<T>(
        &self,
        text: &str,
        name: &str,
        work: impl FnOnce(&mut World, &str) -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let gone = || io::Error::other("the host crashed");
        let request = self.open(text, true).ok_or_else(gone)?;
        let failed = || io::Error::other("injected failure");
        match request.effect {
            Some(Effect::FailsBefore(_)) => {
                self.close(request.entry, Completion::Ran(1));
                return Err(failed());
            }
            Some(Effect::CrashBefore) => {
                self.shared.crash(&self.node);
                return Err(gone());
            }
            // File operations have no deadline: a hanging one is a slow one.
            Some(Effect::Hangs) => sleep(Duration::from_secs(45)).await,
            Some(Effect::Slow(more)) => sleep(more).await,
            // Requests to the kernel do not lie.
            Some(Effect::FailsAfter(_) | Effect::Lies | Effect::CrashAfter) | None => {}
        }
        let result = self.shared.with(|world| {
            if !self.is_alive(world) {
                return Err(gone());
            }
            let result = work(world, name);
            world.settle();
            world.audit(&format!("{}: {text}", self.node));
            result
        });
        self.close(request.entry, Completion::Ran(i32::from(result.is_err())));
        match request.effect {
            Some(Effect::FailsAfter(_)) => Err(failed()),
            Some(Effect::CrashAfter) => {
                self.shared.crash(&self.node);
                Err(gone())
            }
            _ => result,
        }
    }
}

#[async_trait]
impl Host for FakeHost {
    async fn run(&self, cmd: Cmd) -> Result<Output, RunError> {
        let text = cmd.to_string();
        let mutating = mutates(cmd.program(), cmd.arguments());
        let Some(request) = self.open(&text, mutating) else {
            return Err(RunError::HostGone { cmd: text });
        };
        if let Err(error) = self.check_installed(&cmd) {
            self.close(request.entry, Completion::NotFound);
            return Err(error);
        }
        let end = self.run_journaled(&cmd, &request).await;
        let to_output = |tool: ToolOutput| Output {
            cmd: cmd.to_string(),
            code: tool.code,
            stdout: String::from_utf8_lossy(&tool.stdout).into_owned(),
            stderr: tool.stderr,
        };
        match end {
            End::Ended(output) => {
                self.close(request.entry, Completion::Ran(output.code));
                Ok(to_output(output))
            }
            End::TimedOut(after) => {
                self.close(request.entry, Completion::TimedOut);
                let output = Box::new(to_output(ToolOutput {
                    code: -1,
                    ..ToolOutput::default()
                }));
                let why = "it took too long";
                Err(RunError::TimedOut {
                    after,
                    why,
                    output,
                    outlived_kill: false,
                })
            }
            End::Unsupported(missing) => {
                self.close(request.entry, Completion::Unsupported);
                Err(RunError::Unsupported { cmd: text, missing })
            }
            End::Gone => Err(RunError::HostGone { cmd: text }),
        }
    }

    async fn stream(&self, cmd: Cmd) -> Result<LineStream, RunError> {
        let text = cmd.to_string();
        if matches!(cmd.program(), "thin_dump" | "thin_delta") {
            let output = self.run(cmd).await?;
            let lines = output
                .stdout
                .lines()
                .map(|line| StreamEvent::Line(line.to_owned()));
            let errors = output
                .stderr
                .lines()
                .map(|line| StreamEvent::ErrorLine(line.to_owned()));
            let ended = std::iter::once(StreamEvent::Ended(Some(output.code)));
            let all: Vec<StreamEvent> = lines.chain(errors).chain(ended).collect();
            let (events, receiver) = mpsc::channel(all.len());
            for event in all {
                // There is room for all of them.
                let _sent = events.try_send(event);
            }
            return Ok(LineStream::new(receiver, Box::new(())));
        }
        let args: Vec<&str> = cmd.arguments().iter().map(String::as_str).collect();
        let statistics = args.contains(&"--statistics") || args.contains(&"--full");
        let known = ["events2", "--statistics", "--full", "all"];
        let names: Vec<&&str> = args.iter().filter(|arg| !known.contains(arg)).collect();
        let supported = names.len() <= 1 && !names.iter().any(|name| name.starts_with('-'));
        if cmd.program() != "drbdsetup" || !args.contains(&"events2") || !supported {
            let missing = "only `drbdsetup events2` streams".to_owned();
            return Err(RunError::Unsupported { cmd: text, missing });
        }
        let Some(request) = self.open(&text, false) else {
            return Err(RunError::HostGone { cmd: text });
        };
        self.check_installed(&cmd)?;
        sleep(request.time).await;
        let (events, receiver) = mpsc::channel(EVENTS_QUEUED_MAX);
        let resource = names.first().map(|name| (**name).to_owned());
        let stream = self.shared.with(|world| {
            if !self.is_alive(world) {
                return None;
            }
            let mut seen = BTreeMap::new();
            for name in world.kernel(&self.node)?.resources.keys() {
                if resource.as_ref().is_some_and(|only| only != name) {
                    continue;
                }
                let view = drbd::view(world, &self.node, name);
                for line in drbd::dump(&view, "exists", statistics) {
                    // The queue is new and empty; if the dump does not fit, the stream ends below.
                    let _full = events.try_send(StreamEvent::Line(line));
                }
                seen.insert(name.clone(), view);
            }
            let _full = events.try_send(StreamEvent::Line("exists -".to_owned()));
            world.stream_count += 1;
            let id = world.stream_count;
            let node = self.node.clone();
            world.streams.insert(
                id,
                Stream {
                    node,
                    resource,
                    statistics,
                    events,
                    seen,
                },
            );
            Some(id)
        });
        let Some(id) = stream else {
            return Err(RunError::HostGone { cmd: text });
        };
        self.close(request.entry, Completion::Ran(0));
        let guard = StreamGuard {
            shared: Arc::downgrade(&self.shared),
            id,
        };
        Ok(LineStream::new(
            receiver,
            Box::new(guard) as Box<dyn Any + Send>,
        ))
    }

    async fn pipe(
        &self,
        pipe: Pipe,
        input: Option<PipeInput<'_>>,
        output: Option<PipeOutput<'_>>,
    ) -> Result<Vec<ProgramEnd>, PipeError> {
        pipe::run(self, &pipe, input, output).await
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        self.file("read", path, None, |world, path| {
            let machine = self.machine(world)?;
            if path == "/proc/drbd" {
                return proc_drbd(machine);
            }
            machine.files.read(path)
        })
        .await
    }

    async fn write_atomic(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
        let work = |world: &mut World, path: &str| {
            self.machine_mut(world)?.files.write(path, content, mode)
        };
        self.file("write", path, Some("write"), work).await
    }

    async fn write_in_place(&self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        let work = |world: &mut World, path: &str| {
            self.machine_mut(world)?.files.write_in_place(path, content)
        };
        self.file("write", path, Some("write"), work).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let to = to.to_string_lossy().into_owned();
        let work = |world: &mut World, from: &str| self.machine_mut(world)?.files.rename(from, &to);
        self.file("rename", from, Some("rename"), work).await
    }

    async fn remove_file(&self, path: &Path) -> Result<bool, FileError> {
        let there = self.shared.with(|world| {
            let machine = world.machines.get(&self.node);
            machine.is_some_and(|m| m.files.mode(&path.to_string_lossy()).is_some())
        });
        // Removing a file that does not exist changes nothing and is not in the journal.
        let changes = there.then_some("remove");
        let work = |world: &mut World, path: &str| Ok(self.machine_mut(world)?.files.remove(path));
        self.file("remove", path, changes, work).await
    }

    async fn create_dir_all(&self, path: &Path) -> Result<(), FileError> {
        let work = |world: &mut World, path: &str| {
            self.machine_mut(world)?.files.create_dir_all(path);
            Ok(())
        };
        self.file("create directory", path, None, work).await
    }

    async fn list_dir(&self, path: &Path) -> Result<Vec<String>, FileError> {
        let work = |world: &mut World, path: &str| self.machine(world)?.files.list(path);
        self.file("list directory", path, None, work).await
    }

    async fn file_usage(&self, path: &Path) -> Result<Option<FileUsage>, FileError> {
        let work = |world: &mut World, path: &str| Ok(self.machine(world)?.files.usage(path));
        self.file("find", path, None, work).await
    }

    async fn block_device_size(&self, path: &Path) -> Result<Option<u64>, FileError> {
        let work = |world: &mut World, path: &str| {
            let machine = self.machine(world)?;
            Ok(machine.device(path).map(|dev| machine.size_bytes(&dev)))
        };
        self.file("find block device", path, None, work).await
    }

    async fn mapped_device_size(&self, name: &str) -> Result<Option<u64>, FileError> {
        self.block_device_size(&Path::new("/dev/mapper").join(name))
            .await
    }

    async fn wait_for_device(&self, path: &Path, limit: Duration) -> Result<u64, FileError> {
        let give_up = Instant::now() + limit;
        loop {
            if let Some(bytes) = self.block_device_size(path).await? {
                return Ok(bytes);
            }
            if Instant::now() >= give_up {
                let source = io::Error::from(io::ErrorKind::TimedOut);
                let action = "wait for block device";
                return Err(FileError {
                    action,
                    path: path.to_owned(),
                    source,
                });
            }
            sleep(WAIT_POLL).await;
        }
    }

    async fn read_at(&self, path: &Path, place: Place, len: usize) -> Result<Vec<u8>, FileError> {
        let work = |world: &mut World, path: &str| read_at(self.machine(world)?, path, place, len);
        self.file("read from", path, None, work).await
    }

    async fn zero(&self, path: &Path, place: Place, len: u64) -> Result<(), FileError> {
        let work = |world: &mut World, path: &str| zero(self.machine_mut(world)?, path, place, len);
        self.file("overwrite with zeros in", path, Some("zero"), work)
            .await
    }

    async fn write_at(&self, path: &Path, offset: u64, content: Vec<u8>) -> Result<(), FileError> {
        let work = |world: &mut World, path: &str| {
            write_at(self.machine_mut(world)?, path, offset, &content)
        };
        self.file("write into", path, Some("write"), work).await
    }

    async fn sync(&self, path: &Path) -> Result<(), FileError> {
        let work = |world: &mut World, path: &str| device(self.machine(world)?, path).map(drop);
        self.file("write to its disk", path, None, work).await
    }

    async fn device_use(&self, path: &Path) -> Result<DeviceUse, FileError> {
        let work = |world: &mut World, path: &str| {
            let machine = self.machine(world)?;
            Ok(match machine.device(path) {
                Some(dev) => machine.device_use(&dev),
                None => DeviceUse::Free,
            })
        };
        self.file("find users of", path, None, work).await
    }

    async fn test_bind(&self, port: u16) -> Result<PortState, FileError> {
        let work = |world: &mut World, _: &str| {
            let machine = self.machine(world)?;
            if let Some(holder) = machine.busy_ports.get(&port) {
                return Ok(PortState::Busy {
                    holder: Some(holder.clone()),
                });
            }
            let busy = machine.drbd.listens_on(port);
            Ok(if busy {
                PortState::Busy { holder: None }
            } else {
                PortState::Free
            })
        };
        self.file("find a listener in", Path::new("/proc/net/tcp"), None, work)
            .await
    }

    fn uname(&self) -> Uname {
        let node = self
            .shared
            .with(|world| world.machines.get(&self.node).map(|m| m.uname.clone()));
        Uname {
            node: node.unwrap_or_default(),
            release: "6.1.0-fake".to_owned(),
            machine: "x86_64".to_owned(),
        }
    }

    fn wall_clock(&self) -> SystemTime {
        // An arbitrary fixed time with a readable date.
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        start + self.shared.with(|world| world.started.elapsed())
    }

    fn random_u64(&self) -> u64 {
        self.shared.with(|world| world.rng.next())
    }
}

impl FakeHost {
    fn machine<'a>(&self, world: &'a World) -> io::Result<&'a Machine> {
        world
            .machines
            .get(&self.node)
            .ok_or_else(|| io::Error::other("no such machine"))
    }

    fn machine_mut<'a>(&self, world: &'a mut World) -> io::Result<&'a mut Machine> {
        world
            .machines
            .get_mut(&self.node)
            .ok_or_else(|| io::Error::other("no such machine"))
    }
}

/// Ends a stream when its reader is dropped.
struct StreamGuard {
    shared: Weak<Shared>,
    id: u64,
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.with(|world| world.streams.remove(&self.id));
        }
    }
}

fn proc_drbd(machine: &Machine) -> io::Result<Vec<u8>> {
    if !machine.modules.contains("drbd") {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    let text = match machine.drbd.kind {
        drbd::DrbdKind::V9 => {
            "version: 9.2.18 (api:2/proto:118-122)\nGIT-hash: 0 build by fake\n\
             Transports (api:21): tcp (9.2.18)\n"
        }
        drbd::DrbdKind::V84 => "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: 0\n",
    };
    let counters = match machine.drbd.kind {
        drbd::DrbdKind::V9 => String::new(),
        drbd::DrbdKind::V84 => drbd::counters(&machine.drbd),
    };
    Ok((text.to_owned() + &counters).into_bytes())
}

fn device(machine: &Machine, path: &str) -> io::Result<Dev> {
    machine
        .device(path)
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

fn start_of(place: Place, size: u64) -> u64 {
    match place {
        Place::FromStart(bytes) => bytes.min(size),
        Place::FromEnd(bytes) => size.saturating_sub(bytes),
    }
}

fn read_at(machine: &Machine, path: &str, place: Place, len: usize) -> io::Result<Vec<u8>> {
    let dev = device(machine, path)?;
    let size = machine.size_bytes(&dev);
    let start = start_of(place, size);
    let end = (start + len as u64).min(size);
    let mut bytes = Vec::new();
    let mut at = start;
    while at < end {
        let block = at / BLOCK_BYTES;
        let stop = ((block + 1) * BLOCK_BYTES).min(end);
        let content = machine
            .get(&dev, block)
            .map_err(|_| io::Error::other("Input/output error"))?;
        let content = content.map_or_else(|| vec![0; BLOCK_BYTES as usize], |block| block.bytes());
        let inside = |at: u64| usize::try_from(at - block * BLOCK_BYTES).unwrap_or(0);
        bytes.extend_from_slice(&content[inside(at)..inside(stop)]);
        at = stop;
    }
    Ok(bytes)
}

fn write_at(machine: &mut Machine, path: &str, offset: u64, content: &[u8]) -> io::Result<()> {
    let dev = device(machine, path)?;
    if offset + content.len() as u64 > machine.size_bytes(&dev) {
        return Err(io::Error::other("it is not that large"));
    }
    let failed = |_| io::Error::other("Input/output error");
    let mut left = content;
    let mut at = offset;
    while !left.is_empty() {
        let (block, inside) = (at / BLOCK_BYTES, (at % BLOCK_BYTES) as usize);
        let some = left.len().min(BLOCK_BYTES as usize - inside);
        let there = machine.get(&dev, block).map_err(failed)?;
        let mut bytes = there.map_or_else(|| vec![0; BLOCK_BYTES as usize], |block| block.bytes());
        bytes[inside..inside + some].copy_from_slice(&left[..some]);
        machine
            .put(&dev, block, Block::of(&bytes))
            .map_err(failed)?;
        left = &left[some..];
        at += some as u64;
    }
    Ok(())
}

fn zero(machine: &mut Machine, path: &str, place: Place, len: u64) -> io::Result<()> {
    let dev = device(machine, path)?;
    let size = machine.size_bytes(&dev);
    let start = start_of(place, size);
    let end = (start.saturating_add(len)).min(size);
    let mut at = start;
    while at < end {
        let block = at / BLOCK_BYTES;
        let stop = ((block + 1) * BLOCK_BYTES).min(end);
        let failed = |_| io::Error::other("Input/output error");
        let whole = at == block * BLOCK_BYTES && stop == (block + 1) * BLOCK_BYTES;
        let rest = match machine.get(&dev, block).map_err(failed)? {
            Some(content) if !whole => {
                let mut bytes = content.bytes();
                let inside = |at: u64| usize::try_from(at - block * BLOCK_BYTES).unwrap_or(0);
                bytes[inside(at)..inside(stop)].fill(0);
                Block::of(&bytes)
            }
            Some(_) | None => None,
        };
        machine.put(&dev, block, rest).map_err(failed)?;
        at = stop;
    }
    Ok(())
}
