//! The daemons under measurement, started as a user would start them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::Method;

use crate::rest::Rest;

/// A controller process with its own configuration and database.
pub struct Controller {
    binary: PathBuf,
    directory: PathBuf,
    /// Port of its REST API.
    pub port: u16,
    child: Child,
}

impl Controller {
    /// Starts it and waits for the first answer; returns how long that took.
    pub async fn start(
        binary: &Path,
        directory: &Path,
        port: u16,
    ) -> anyhow::Result<(Self, Duration)> {
        let config = directory.join("etc");
        std::fs::create_dir_all(&config)?;
        let database = directory.join("linstor.db");
        let text = format!(
            "[http]\nlisten_addr = \"127.0.0.1\"\nport = {port}\n\n[db]\nconnection_url = \"sqlite:{}\"\n",
            database.display()
        );
        std::fs::write(config.join("linstor.toml"), text)?;
        let begin = Instant::now();
        let child = spawn(binary, &config, &directory.join("controller.log"))?;
        let mut controller = Controller {
            binary: binary.into(),
            directory: directory.into(),
            port,
            child,
        };
        controller.first_answer("/v1/controller/version").await?;
        Ok((controller, begin.elapsed()))
    }

    /// Waits until a path is answered with success.
    async fn first_answer(&mut self, path: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Ok(mut rest) = Rest::connect(self.port).await
                && rest.expect(Method::GET, path, None).await.is_ok()
            {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(self.directory.join("controller.log"))?;
                bail!("the controller ended ({status}): {log}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("the controller did not answer within a minute")
    }

    /// Kills it without warning, starts it again, and returns how long the first answer to `path` took.
    pub async fn restart(&mut self, path: &str) -> anyhow::Result<Duration> {
        self.child.kill()?;
        self.child.wait()?;
        let begin = Instant::now();
        self.child = spawn(
            &self.binary,
            &self.directory.join("etc"),
            &self.directory.join("controller.log"),
        )?;
        self.first_answer(path).await?;
        Ok(begin.elapsed())
    }

    /// Milliseconds of processor time that the process has used so far, from `/proc/PID/stat`. On a machine with other
    /// work this says more than the time on the clock.
    pub fn cpu_ms(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("no end of the name")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // Fields 14 and 15 of proc(5): user and system time in ticks of 10 ms.
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
        };
        let (user, system) = ticks(11).zip(ticks(12)).context("no times")?;
        Ok((user + system) * 10.0)
    }

    /// Resident memory in MiB.
    pub fn rss_mib(&self) -> anyhow::Result<f64> {
        memory_mib(self.child.id(), "VmRSS:")
    }

    /// Resident memory that is no part of a file, in MiB.
    pub fn anonymous_mib(&self) -> anyhow::Result<f64> {
        memory_mib(self.child.id(), "RssAnon:")
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // The process may be gone already; either way nothing is left of it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(binary: &Path, config: &Path, log: &Path) -> anyhow::Result<Child> {
    let log = std::fs::File::create(log)?;
    Command::new(binary)
        .arg("--config-directory")
        .arg(config)
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", binary.display()))
}

/// An amount of memory of a process in MiB, from `/proc/PID/status`.
fn memory_mib(pid: u32, field: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .context("the process has no memory")?;
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .context("no number")?
        .parse()?;
    Ok(kib / 1024.0)
}

/// Starts a satellite with configuration and state of its own in a directory.
pub fn spawn_satellite(binary: &Path, directory: &Path, port: u16) -> anyhow::Result<Child> {
    let config = directory.join("satellite-etc");
    std::fs::create_dir_all(&config)?;
    std::fs::write(
        config.join("linstor_satellite.toml"),
        format!("[netcom]\nbind_address = \"127.0.0.1\"\nport = {port}\n"),
    )?;
    let log = std::fs::File::create(directory.join("satellite.log"))?;
    Command::new(binary)
        .arg("--config-directory")
        .arg(&config)
        .arg("--state-directory")
        .arg(directory.join("satellite"))
        .arg("--res-directory")
        .arg(directory.join("linstor.d"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", binary.display()))
}

/// Resident memory of an idle satellite in MiB, and how much of it is no part of a file: started, settled, nobody connected.
pub async fn idle_satellite_mib(
    binary: &Path,
    directory: &Path,
    port: u16,
) -> anyhow::Result<(f64, f64)> {
    let mut child = spawn_satellite(binary, directory, port)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ended = child.try_wait()?;
    let rss = memory_mib(child.id(), "VmRSS:");
    let anonymous = memory_mib(child.id(), "RssAnon:");
    let _ = child.kill();
    child.wait()?;
    if let Some(status) = ended {
        bail!(
            "the satellite ended ({status}): {}",
            std::fs::read_to_string(directory.join("satellite.log"))?
        );
    }
    Ok((rss?, anonymous?))
}
