//! Real Linux guests in a network of their own, on any machine, without virtualisation.
//!
//! Guests are User Mode Linux: a Linux kernel that runs as an ordinary process, with device
//! mapper, LVM and DRBD. In reading order: [`Lab`] is what tasks use; `state` is the
//! lab's folder; `guest` a kernel's process; `network` the links; `init` and `agent` run
//! inside a guest; `exec` and `protocol` reach the agent; `cli` is `cargo xtask lab`.

mod boot;
mod exec;
mod kernel;
mod netns;
mod network;
mod node;
mod protocol;
mod requirements;
mod state;
mod tool;

pub mod agent;
pub mod cli;
pub mod guest;
pub mod init;
pub mod selftest;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use exec::Line;
use netns::Netns;
use network::Pair;
use protocol::{AGENT_PORT, Reply, Request};
use state::{LabDir, State};

pub use exec::{Exec, TimedOut};
pub use node::{HOST_ADDRESS, Node};
pub use requirements::packages;

/// Mount point of the lab's folder in guests.
pub const GUEST_SHARE: &str = "/mnt";

/// Nodes per lab.
const NODES_MAX: u8 = 16;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The configuration of a lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LabConfig {
    /// Several labs can run at once under different names.
    pub name: String,
    /// Number of guests.
    pub nodes: u8,
    /// Empty data disks per guest: `/dev/ubda`, `/dev/ubdb`, ...
    pub disks: u8,
    /// Size of each (a sparse file on the host).
    pub disk_bytes: u64,
    /// All guests have a disk in common, of the same size: `/dev/ubdo`.
    #[serde(default)]
    pub shared_disk: bool,
    /// Memory of each guest.
    pub memory_mib: u32,
    /// A User Mode Linux kernel instead of the package's.
    pub kernel: Option<PathBuf>,
    /// Folders of modules for the kernel; later ones take precedence over earlier ones and over the
    /// package's.
    pub modules: Vec<PathBuf>,
    /// Replace a running lab of that name.
    pub replace: bool,
    /// The lab is removed when its [`Lab`] is dropped; if the program ends without that, its
    /// guests are killed.
    pub owned: bool,
}

impl Default for LabConfig {
    fn default() -> LabConfig {
        LabConfig {
            name: "default".to_owned(),
            nodes: 3,
            disks: 1,
            disk_bytes: 2 << 30,
            shared_disk: false,
            memory_mib: 384,
            kernel: None,
            modules: Vec::new(),
            replace: false,
            owned: false,
        }
    }
}

/// A running lab.
///
/// Unless its configuration says `owned`, the guests are not tied to this value: they run until
/// [`Lab::down`], also when the program ends before. Methods take `&self` and may be called from several threads.
pub struct Lab {
    dir: LabDir,
    netns: Netns,
    config: LabConfig,
    release: String,
    tie: Option<Tie>,
}

/// The writing end of a pipe whose reading end the guests of an owned lab watch.
struct Tie {
    guests: PipeReader,
    _ours: PipeWriter,
}

impl Tie {
    fn new() -> Result<Tie> {
        let (guests, ours) = io::pipe()?;
        Ok(Tie {
            guests,
            _ours: ours,
        })
    }
}

/// A command started by [`Lab::spawn`].
#[derive(Clone, Debug)]
pub struct Background {
    node: Node,
    pid: i32,
    log: PathBuf,
}

impl Background {
    /// Its process id in the guest.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The host's file with both its output streams.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

impl Lab {
    /// Starts a lab and waits until every guest answers. The remains of a crashed run are removed
    /// first; a running lab of that name is only replaced on request.
    pub fn up(config: LabConfig) -> Result<Lab> {
        let config = checked(config)?;
        let dir = LabDir::of(&config.name)?;
        let _lock = dir.lock()?;
        if let Ok(Some(old)) = dir.load()
            && old.ready
            && !config.replace
            && Node::first(old.config.nodes).any(|node| guest::is_running(&dir, node))
        {
            bail!(
                "lab `{}` is up; `down` it first, or `up --replace`",
                config.name
            );
        }
        clean(&dir)?;
        let mut state = create(&dir, config)?;
        let mut lab = Lab::of(dir, &state);
        lab.tie = if state.config.owned {
            Some(Tie::new()?)
        } else {
            None
        };
        lab.switch_on(&state, &Node::first(state.config.nodes).collect::<Vec<_>>())?;
        state.ready = true;
        lab.dir.save(&state)?;
        Ok(lab)
    }

    /// The lab of that name, started earlier by this or another program.
    pub fn open(name: &str) -> Result<Lab> {
        let dir = LabDir::of(name)?;
        let state = dir
            .load()?
            .with_context(|| format!("no lab `{name}`; `up` starts it"))?;
        Ok(Lab::of(dir, &state))
    }

    fn of(dir: LabDir, state: &State) -> Lab {
        let (netns, config) = (Netns::named(&state.netns), state.config.clone());
        Lab {
            dir,
            netns,
            config,
            release: state.release.clone(),
            tie: None,
        }
    }

    /// Kills all guests and removes everything of the lab `name`, whatever its state.
    pub fn down_named(name: &str) -> Result<()> {
        let dir = LabDir::of(name)?;
        let _lock = dir.lock()?;
        clean(&dir)
    }

    /// Kills all guests and removes everything.
    pub fn down(mut self) -> Result<()> {
        self.tie = None;
        Lab::down_named(&self.config.name)
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &LabConfig {
        &self.config
    }

    /// The guests' kernel release.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// All guests, with power or without.
    pub fn nodes(&self) -> Vec<Node> {
        Node::first(self.config.nodes).collect()
    }

    /// The host's folder that is mounted at `/mnt` in guests.
    pub fn share(&self) -> &Path {
        self.dir.root()
    }

    /// The file with a guest's console output.
    pub fn console(&self, node: impl Into<Node>) -> PathBuf {
        self.dir.console(node.into())
    }

    /// Runs `action` on a thread inside the lab's network: there the host reaches guests at
    /// [`Node::address`], and guests reach what listens at [`HOST_ADDRESS`].
    pub fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> Result<T> {
        self.netns.enter(action)
    }

    /// Connects to a port of a guest.
    pub fn connect(&self, node: impl Into<Node>, port: u16) -> Result<TcpStream> {
        let node = self.known(node.into())?;
        let address = SocketAddr::from((node.address(), port));
        self.inside(|| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT))?
            .with_context(|| format!("connect to {node} port {port}"))
    }

    /// Whether a guest has power.
    pub fn has_power(&self, node: impl Into<Node>) -> bool {
        guest::is_running(&self.dir, node.into())
    }

    /// Runs a command and returns its result, whatever its exit code.
    pub fn exec<S: AsRef<str>>(&self, node: impl Into<Node>, argv: &[S]) -> Result<Output> {
        self.run(node, Exec::new(argv))
    }

    /// Runs a command that has to succeed; returns its standard output.
    pub fn exec_ok<S: AsRef<str>>(&self, node: impl Into<Node>, argv: &[S]) -> Result<String> {
        self.run_ok(node, Exec::new(argv))
    }

    /// Like [`Lab::exec`], with input, environment or another timeout.
    pub fn run(&self, node: impl Into<Node>, exec: Exec) -> Result<Output> {
        let node = self.known(node.into())?;
        exec::output(&GuestLine { lab: self, node }, exec).with_context(|| format!("on {node}"))
    }

    /// Like [`Lab::exec_ok`], with input, environment or another timeout.
    pub fn run_ok(&self, node: impl Into<Node>, exec: Exec) -> Result<String> {
        let node = node.into();
        let shown = exec.shown();
        let output = self.run(node, exec)?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("on {node}: `{shown}`: {}\n{stdout}{stderr}", output.status);
        }
        Ok(stdout.into_owned())
    }

    /// Like [`Lab::run`], but writes the output to the writers while the command runs.
    pub fn stream(
        &self,
        node: impl Into<Node>,
        exec: Exec,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> Result<ExitStatus> {
        let node = self.known(node.into())?;
        exec::stream(&GuestLine { lab: self, node }, exec, stdout, stderr)
            .with_context(|| format!("on {node}"))
    }

    /// Writes a file so that it outlives a power cut, if its folder does.
    pub fn write_file(
        &self,
        node: impl Into<Node>,
        path: &str,
        contents: impl Into<Vec<u8>>,
    ) -> Result<()> {
        let input = std::io::Cursor::new(contents.into());
        let target = format!("of={path}");
        self.run_ok(node, Exec::new(&["dd", &target, "conv=fsync"]).stdin(input))
            .map(|_| ())
    }

    /// Starts a command that runs in the background until it ends, [`Lab::signal`] ends it or the
    /// guest loses power. Both output streams are appended to `NODE/LABEL.log` in the lab's
    /// folder; the host sees them within half a second.
    pub fn spawn(&self, node: impl Into<Node>, label: &str, exec: Exec) -> Result<Background> {
        let node = self.known(node.into())?;
        if label.is_empty() || label.contains('/') {
            bail!("`{label}` is no name for a log file");
        }
        let file = format!("{label}.log");
        let log = format!("{GUEST_SHARE}/{node}/{file}");
        match self.call(
            node,
            &Request::Spawn {
                command: exec.command,
                log,
            },
        )? {
            Reply::Spawned { pid } => Ok(Background {
                node,
                pid,
                log: self.dir.node(node).join(file),
            }),
            other => bail!("{node} answers {other:?}"),
        }
    }

    /// The exit status of a spawned command; none while it runs.
    pub fn poll(&self, background: &Background) -> Result<Option<ExitStatus>> {
        use std::os::unix::process::ExitStatusExt;
        match self.call(
            background.node,
            &Request::Poll {
                pid: background.pid,
            },
        )? {
            Reply::Status { wait_status } => Ok(wait_status.map(ExitStatus::from_raw)),
            other => bail!("{} answers {other:?}", background.node),
        }
    }

    /// Waits for a spawned command to end.
    pub fn wait(&self, background: &Background, timeout: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.poll(background)? {
                return Ok(status);
            }
            if start.elapsed() > timeout {
                bail!(
                    "process {} on {} did not end",
                    background.pid,
                    background.node
                );
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sends a signal to a spawned command and its children, unless it has ended.
    pub fn signal(&self, background: &Background, signal: Signal) -> Result<()> {
        let request = Request::Signal {
            pid: background.pid,
            signal: signal as i32,
        };
        self.call(background.node, &request).map(|_| ())
    }

    /// Stops all traffic between two nodes, silently, like a broken cable.
    pub fn cut(&self, a: impl Into<Node>, b: impl Into<Node>) -> Result<()> {
        self.change_links(true, &BTreeSet::from([self.pair(a.into(), b.into())?]))
    }

    /// Cuts all links of a node; the host still reaches it.
    pub fn cut_off(&self, node: impl Into<Node>) -> Result<()> {
        self.change_links(
            true,
            &Pair::all_of(self.known(node.into())?, self.config.nodes),
        )
    }

    /// Restores the link between two nodes.
    pub fn heal(&self, a: impl Into<Node>, b: impl Into<Node>) -> Result<()> {
        self.change_links(false, &BTreeSet::from([self.pair(a.into(), b.into())?]))
    }

    /// Restores all links of a node.
    pub fn heal_node(&self, node: impl Into<Node>) -> Result<()> {
        self.change_links(
            false,
            &Pair::all_of(self.known(node.into())?, self.config.nodes),
        )
    }

    /// Restores all links.
    pub fn heal_all(&self) -> Result<()> {
        let all = self
            .nodes()
            .into_iter()
            .flat_map(|node| Pair::all_of(node, self.config.nodes));
        self.change_links(false, &all.collect())
    }

    /// The links that are cut.
    pub fn cuts(&self) -> Result<Vec<(Node, Node)>> {
        Ok(self.state()?.cuts.into_iter().map(Pair::nodes).collect())
    }

    /// Cuts a node's power. Data that had reached its disks is preserved.
    pub fn kill(&self, node: impl Into<Node>) -> Result<()> {
        let node = self.known(node.into())?;
        let _lock = self.dir.lock()?;
        guest::kill_power(&self.dir, node)
    }

    /// Boots a node and waits until it answers. Its disks, `/etc` and `/var/lib` are
    /// preserved; everything else is new.
    pub fn boot(&self, node: impl Into<Node>) -> Result<()> {
        self.boot_all(&[node.into()])
    }

    /// Boots nodes at the same time and waits until all answer.
    pub fn boot_all(&self, nodes: &[Node]) -> Result<()> {
        let _lock = self.dir.lock()?;
        for node in nodes {
            if guest::is_running(&self.dir, self.known(*node)?) {
                bail!("{node} has power already");
            }
        }
        self.switch_on(&self.state()?, nodes)
    }

    fn switch_on(&self, state: &State, nodes: &[Node]) -> Result<()> {
        thread::scope(|scope| {
            let boots: Vec<_> = nodes
                .iter()
                .map(|node| {
                    let guest = BootingGuest {
                        lab: self,
                        state,
                        node: *node,
                    };
                    scope.spawn(move || boot::boot(&guest, &node.to_string(), boot::Limits::LAB))
                })
                .collect();
            let mut results = boots.into_iter().map(|boot| {
                boot.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            results.find(Result::is_err).unwrap_or(Ok(()))
        })
    }

    fn call(&self, node: Node, request: &Request) -> Result<Reply> {
        exec::call(&GuestLine { lab: self, node }, request, CALL_TIMEOUT)
            .with_context(|| format!("on {node}"))
    }

    fn change_links(&self, cut: bool, links: &BTreeSet<Pair>) -> Result<()> {
        let _lock = self.dir.lock()?;
        let mut state = self.state()?;
        if cut {
            let fresh: BTreeSet<Pair> = links.difference(&state.cuts).copied().collect();
            network::cut(&self.netns, &fresh)?;
            state.cuts.extend(fresh);
        } else {
            let known: BTreeSet<Pair> = links.intersection(&state.cuts).copied().collect();
            network::heal(&self.netns, &known)?;
            state.cuts.retain(|link| !known.contains(link));
        }
        self.dir.save(&state)
    }

    fn state(&self) -> Result<State> {
        self.dir.load()?.context("the lab is down")
    }

    fn known(&self, node: Node) -> Result<Node> {
        if !(1..=self.config.nodes).contains(&node.number()) {
            bail!("no {node}: the lab has {} nodes", self.config.nodes);
        }
        Ok(node)
    }

    fn pair(&self, a: Node, b: Node) -> Result<Pair> {
        let (a, b) = (self.known(a)?, self.known(b)?);
        if a == b {
            bail!("a node has no link to itself: {a}");
        }
        Ok(Pair::new(a, b))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.tie.is_some()
            && let Err(error) = Lab::down_named(&self.config.name)
        {
            eprintln!("lab `{}` is not down: {error:#}", self.config.name);
        }
    }
}

struct GuestLine<'a> {
    lab: &'a Lab,
    node: Node,
}

impl Line for GuestLine<'_> {
    fn connect(&self) -> Result<TcpStream> {
        if !self.has_power() {
            bail!("the node has no power");
        }
        self.lab.connect(self.node, AGENT_PORT)
    }

    fn has_power(&self) -> bool {
        self.lab.has_power(self.node)
    }
}

struct BootingGuest<'a> {
    lab: &'a Lab,
    state: &'a State,
    node: Node,
}

impl boot::Guest for BootingGuest<'_> {
    fn switch_on(&self) -> Result<()> {
        let tie = self.lab.tie.as_ref().map(|tie| &tie.guests);
        guest::start(&self.lab.dir, self.state, self.node, tie)
    }

    fn switch_off(&self) -> Result<()> {
        guest::kill_power(&self.lab.dir, self.node)
    }

    fn has_power(&self) -> bool {
        self.lab.has_power(self.node)
    }

    fn answers(&self) -> Result<bool> {
        match exec::call(self, &Request::Ping, Duration::from_secs(2)) {
            Ok(Reply::Pong {
                version: protocol::VERSION,
            }) => Ok(true),
            Ok(other) => bail!("{} answers {other:?}", self.node),
            Err(_) => Ok(false),
        }
    }

    fn console(&self) -> String {
        guest::console_since_start(&self.lab.dir, self.node)
    }
}

/// While a guest boots, packets to it are lost; a short timeout and a new attempt reach its agent
/// sooner than TCP's retransmissions, which back off.
impl Line for BootingGuest<'_> {
    fn connect(&self) -> Result<TcpStream> {
        let address = SocketAddr::from((self.node.address(), AGENT_PORT));
        let wait = Duration::from_millis(200);
        Ok(self
            .lab
            .inside(|| TcpStream::connect_timeout(&address, wait))??)
    }

    fn has_power(&self) -> bool {
        self.lab.has_power(self.node)
    }
}

fn checked(mut config: LabConfig) -> Result<LabConfig> {
    requirements::check(config.kernel.as_deref())?;
    if !(1..=NODES_MAX).contains(&config.nodes) {
        bail!("a lab has 1 to {NODES_MAX} nodes");
    }
    if config.disks > guest::DISKS_MAX {
        bail!("a guest has up to {} data disks", guest::DISKS_MAX);
    }
    // Each guest is started in its own folder.
    for path in config.kernel.iter_mut().chain(&mut config.modules) {
        *path = fs::canonicalize(&path).with_context(|| format!("find {}", path.display()))?;
    }
    Ok(config)
}

/// Creates everything but the running guests.
fn create(dir: &LabDir, config: LabConfig) -> Result<State> {
    let image = config
        .kernel
        .as_deref()
        .unwrap_or(kernel::DEFAULT_IMAGE.as_ref());
    let release = kernel::release(image)?;
    fs::create_dir_all(dir.root())?;
    // A copy: the original may be rebuilt while guests run it.
    fs::copy(std::env::current_exe()?, dir.agent()).context("copy this program")?;
    kernel::stage_modules(&release, &config.modules, &dir.modules())?;
    let state = State {
        version: protocol::VERSION,
        config,
        release,
        netns: dir.netns_name(),
        live_folders: state::live_folders(),
        ready: false,
        cuts: BTreeSet::new(),
    };
    dir.save(&state)?;
    for node in Node::first(state.config.nodes) {
        guest::create_disks(dir, &state, node)?;
    }
    let netns = Netns::named(&state.netns);
    netns.create()?;
    network::create(&netns, state.config.nodes)?;
    Ok(state)
}

/// Removes a lab, whatever its state.
fn clean(dir: &LabDir) -> Result<()> {
    Netns::named(&dir.netns_name()).destroy()?;
    dir.remove()
}
