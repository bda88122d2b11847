//! A LINSTOR cluster in a lab: the real programs, started in the guests as a user would start them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::{Background, Exec, Lab, Node};

/// Where the controller runs.
const CONTROLLER_NODE: u8 = 1;

/// The three programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// The programs in the given directory; without one, builds them in release mode.
    pub fn get(built: Option<&Path>) -> Result<Binaries> {
        if let Some(directory) = built {
            let directory = directory.canonicalize().context("find the programs")?;
            return Ok(Binaries { directory });
        }
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--release", "--quiet"]);
        for package in ["linstor-controller", "linstor-satellite", "linstor-client"] {
            command.args(["--package", package]);
        }
        let status = command.status().context("start cargo")?;
        ensure!(status.success(), "building the programs failed");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
            PathBuf::from,
        );
        Ok(Binaries {
            directory: target.canonicalize()?.join("release"),
        })
    }

    /// Path of a program, which is the same on this machine and in every guest.
    pub fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

/// A running cluster.
pub struct Cluster {
    /// The lab with the guests.
    pub lab: Lab,
    binaries: Binaries,
    log_filter: &'static str,
    controller: Option<Background>,
    satellites: Mutex<BTreeMap<Node, Background>>,
}

/// The result of the `linstor` command line.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code.
    pub code: i32,
    /// Its standard output and standard error.
    pub text: String,
}

impl Cluster {
    /// Starts a satellite on every node and the controller on the first one.
    pub fn start(lab: Lab, binaries: Binaries) -> Result<Cluster> {
        Cluster::start_logging(lab, binaries, "info")
    }

    /// See [`Cluster::start`]; the programs log what the filter says.
    pub fn start_logging(
        lab: Lab,
        binaries: Binaries,
        log_filter: &'static str,
    ) -> Result<Cluster> {
        let mut cluster = Cluster {
            lab,
            binaries,
            log_filter,
            controller: None,
            satellites: Mutex::default(),
        };
        for node in cluster.lab.nodes() {
            cluster.start_satellite(node)?;
        }
        cluster.start_controller()?;
        Ok(cluster)
    }

    /// Path of a program, which is the same on every node.
    pub fn program(&self, name: &str) -> String {
        self.binaries.path(name)
    }

    /// Starts the satellite of a node.
    pub fn start_satellite(&self, node: Node) -> Result<()> {
        let program = self.binaries.path("linstor-satellite");
        let started = self.lab.spawn(
            node,
            "satellite",
            Exec::new(&[program]).env("RUST_LOG", self.log_filter),
        )?;
        self.running().insert(node, started);
        Ok(())
    }

    /// What programs that are started from now on log, as `RUST_LOG` has it; returns what it was.
    pub fn set_log_filter(&mut self, filter: &'static str) -> &'static str {
        std::mem::replace(&mut self.log_filter, filter)
    }

    /// `kill -9` of a node's satellite. DRBD in the node's kernel is not affected.
    pub fn kill_satellite(&self, node: Node) -> Result<()> {
        let satellite = self.running().remove(&node);
        let satellite = satellite.with_context(|| format!("{node} has no satellite"))?;
        self.lab.signal(&satellite, Signal::SIGKILL)?;
        self.lab.wait(&satellite, Duration::from_secs(10)).map(drop)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Node, Background>> {
        self.satellites
            .lock()
            .expect("no code panics while holding it")
    }

    /// Starts the controller and waits for its first answer; returns how long that took.
    pub fn start_controller(&mut self) -> Result<Duration> {
        let program = self.binaries.path("linstor-controller");
        let begin = Instant::now();
        let node = self.controller_node();
        let started = self.lab.spawn(
            node,
            "controller",
            Exec::new(&[program]).env("RUST_LOG", self.log_filter),
        )?;
        self.controller = Some(started);
        self.wait_until("the controller to answer", Duration::from_secs(20), || {
            Ok(self.lab.connect(node, 3370).is_ok())
        })?;
        Ok(begin.elapsed())
    }

    /// `kill -9` of the controller.
    pub fn kill_controller(&mut self) -> Result<()> {
        let controller = self
            .controller
            .take()
            .context("the controller does not run")?;
        self.lab.signal(&controller, Signal::SIGKILL)
    }

    /// The node that the controller runs on.
    pub fn controller_node(&self) -> Node {
        self.node(CONTROLLER_NODE)
    }

    /// A node by its number, counted from 1.
    pub fn node(&self, number: u8) -> Node {
        Node::first(number)
            .last()
            .expect("nodes are counted from 1")
    }

    /// A node by its name.
    pub fn node_named(&self, name: &str) -> Result<Node> {
        let named = |node: &Node| node.to_string() == name;
        self.lab
            .nodes()
            .into_iter()
            .find(named)
            .with_context(|| format!("there is no node {name}"))
    }

    /// Runs the command line on the controller's node and returns its result, whatever its exit code.
    pub fn try_linstor(&self, args: &[&str]) -> Result<Answer> {
        let mut argv = vec![self.binaries.path("linstor"), "--no-color".to_owned()];
        argv.extend(args.iter().map(|arg| (*arg).to_owned()));
        let output = self.lab.run(
            self.controller_node(),
            Exec::new(&argv).timeout(Duration::from_secs(310)),
        )?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            text,
        })
    }

    /// Runs the command line, which has to succeed, and returns its output.
    pub fn linstor(&self, args: &[&str]) -> Result<String> {
        let answer = self.try_linstor(args)?;
        ensure!(
            answer.code == 0,
            "linstor {} ended with {}:\n{}",
            args.join(" "),
            answer.code,
            answer.text
        );
        Ok(answer.text)
    }

    /// Runs the command line with machine-readable output and returns the inner list.
    pub fn linstor_json(&self, args: &[&str]) -> Result<Vec<Value>> {
        let mut all = vec!["-m"];
        all.extend(args);
        let text = self.linstor(&all)?;
        let value: Value =
            serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))?;
        match value {
            Value::Array(mut outer) if outer.len() == 1 && outer[0].is_array() => {
                Ok(outer.remove(0).as_array().cloned().unwrap_or_default())
            }
            Value::Array(list) => Ok(list),
            other => bail!("not a list: {other}"),
        }
    }

    /// The replicas of a resource as the controller reports them.
    pub fn replicas(&self, resource: &str) -> Result<Vec<Replica>> {
        let rows = self.linstor_json(&["resource", "list", "-r", resource])?;
        Ok(rows.iter().map(Replica::new).collect())
    }

    /// Waits until all diskful replicas of a resource are UpToDate and connected.
    pub fn wait_up_to_date(
        &self,
        resource: &str,
        replicas: usize,
        limit: Duration,
    ) -> Result<Duration> {
        let begin = Instant::now();
        let mut last = String::new();
        let result = self.wait_until("all replicas to be UpToDate", limit, || {
            let rows = self.replicas(resource)?;
            last = format!("{rows:?}");
            let diskful: Vec<_> = rows.iter().filter(|row| !row.diskless).collect();
            let good =
                |row: &&Replica| row.disk_state.as_deref() == Some("UpToDate") && row.connected;
            Ok(diskful.len() == replicas && diskful.iter().all(good))
        });
        result.with_context(|| format!("last state: {last}"))?;
        Ok(begin.elapsed())
    }

    /// Polls a condition until it is true; after the time limit the error names the condition.
    pub fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut so: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if so()? {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "waited {} s for {what}",
                limit.as_secs()
            );
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    /// The last log lines of controller and satellites of all nodes, for a failed run.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for node in self.lab.nodes() {
            for label in ["controller", "satellite"] {
                let path = self
                    .lab
                    .share()
                    .join(node.to_string())
                    .join(format!("{label}.log"));
                if let Ok(log) = std::fs::read_to_string(&path) {
                    let lines: Vec<_> = log.lines().rev().take(60).collect();
                    text.push_str(&format!("--- {node} {label} (last lines)\n"));
                    lines
                        .iter()
                        .rev()
                        .for_each(|line| text.push_str(&format!("{line}\n")));
                }
            }
        }
        text
    }
}

/// One replica as `resource list` reports it.
#[derive(Debug, Clone)]
pub struct Replica {
    /// Its node.
    pub node: String,
    /// It is diskless.
    pub diskless: bool,
    /// It is primary.
    pub in_use: bool,
    /// Disk state of its first volume.
    pub disk_state: Option<String>,
    /// All its connections are Connected.
    pub connected: bool,
    /// Device of its first volume.
    pub device: Option<String>,
}

impl Replica {
    fn new(row: &Value) -> Replica {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let flags = row["flags"].as_array().cloned().unwrap_or_default();
        let volume = &row["volumes"][0];
        let connections = row["layer_object"]["drbd"]["connections"].as_object();
        Replica {
            node: text(&row["node_name"]).unwrap_or_default(),
            diskless: flags.iter().any(|flag| flag == "DISKLESS"),
            in_use: row["state"]["in_use"] == true,
            disk_state: text(&volume["state"]["disk_state"]),
            connected: connections
                .is_some_and(|all| all.values().all(|one| one["connected"] == true)),
            device: text(&volume["device_path"]),
        }
    }
}
