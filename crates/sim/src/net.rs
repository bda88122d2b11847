//! The connections between controller and satellites: pipes in memory that can be closed or drop data silently.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use linstor_controller::link::{Connector, Target};
use linstor_net::ControllerSide;
use linstor_satellite::Satellite;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::task::JoinHandle;

use crate::newer::{self, Newer};

/// Buffer size of a pipe in bytes.
const PIPE_BYTES: usize = 64 * 1024;

/// The state of the network between controller and node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// It works.
    #[default]
    Open,
    /// Connections are closed, and new ones are refused.
    Refused,
    /// All data is dropped silently.
    Silent,
}

/// The network of all nodes. Clones share it.
#[derive(Clone, Default)]
pub struct Net {
    ports: Arc<Mutex<BTreeMap<String, Port>>>,
    newer: Arc<Mutex<Newer>>,
}

/// A node's end of the network.
#[derive(Default)]
struct Port {
    satellite: Option<Satellite>,
    reach: Reach,
    connections: Vec<Connection>,
}

struct Connection {
    task: JoinHandle<()>,
    silent: Arc<AtomicBool>,
}

impl Net {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Port>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the listening satellite of a node, or removes it; connections to the previous one are closed.
    pub fn listen(&self, node: &str, satellite: Option<Satellite>) {
        let mut ports = self.lock();
        let port = ports.entry(node.to_owned()).or_default();
        port.satellite = satellite;
        port.hang_up();
    }

    /// The address of a node.
    pub fn reach(&self, node: &str) -> Reach {
        self.lock()
            .get(node)
            .map(|port| port.reach)
            .unwrap_or_default()
    }

    /// Sets the state of the network to a node.
    pub fn set_reach(&self, node: &str, reach: Reach) {
        let mut ports = self.lock();
        let port = ports.entry(node.to_owned()).or_default();
        let before = std::mem::replace(&mut port.reach, reach);
        if before == reach {
            return;
        }
        if reach == Reach::Silent {
            for connection in &port.connections {
                connection.silent.store(true, Ordering::Relaxed);
            }
        } else {
            // Connections that were silent are closed: nothing would wake their ends.
            port.hang_up();
        }
    }

    /// Who is of the next version from now on; connections end.
    pub fn set_newer(&self, newer: Newer) {
        *self.newer.lock().unwrap_or_else(PoisonError::into_inner) = newer;
        self.hang_up_all();
    }

    /// Closes all connections of a killed controller.
    pub fn hang_up_all(&self) {
        for port in self.lock().values_mut() {
            port.hang_up();
        }
    }

    fn connect(&self, node: &str) -> Option<Result<ControllerSide, String>> {
        let mut ports = self.lock();
        let port = ports.entry(node.to_owned()).or_default();
        if port.reach == Reach::Silent {
            return None;
        }
        let Some(satellite) = port.satellite.clone().filter(|_| port.reach == Reach::Open) else {
            return Some(Err(format!("{node} refuses the connection")));
        };
        let (ours, mut theirs) = tokio::io::duplex(PIPE_BYTES);
        let newer = *self.newer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut relay = None;
        if newer != Newer::default() {
            let (near, far) = tokio::io::duplex(PIPE_BYTES);
            relay = Some(newer::relay(
                newer,
                std::mem::replace(&mut theirs, far),
                near,
            ));
        }
        let silent = Arc::new(AtomicBool::new(false));
        let pipe = Pipe {
            inner: theirs,
            silent: Arc::clone(&silent),
        };
        let task = tokio::spawn(async move {
            let serving = satellite.serve_connection(pipe);
            match relay {
                // The controller detects by itself that the connection ended.
                None => drop(serving.await),
                Some(relay) => {
                    let _ended = tokio::join!(serving, relay);
                }
            }
        });
        port.connections
            .retain(|connection| !connection.task.is_finished());
        port.connections.push(Connection { task, silent });
        Some(Ok(ControllerSide::new(ours)))
    }
}

impl Port {
    fn hang_up(&mut self) {
        for connection in self.connections.drain(..) {
            connection.task.abort();
        }
    }
}

/// The access of one controller to the network; it ends with that controller.
pub struct Dialler {
    /// The network.
    pub net: Net,
    /// Whether the controller is running.
    pub alive: Arc<AtomicBool>,
}

#[async_trait]
impl Connector for Dialler {
    async fn connect(&self, target: &Target) -> Result<ControllerSide, String> {
        if !self.alive.load(Ordering::Relaxed) {
            return Err("this controller was killed".to_owned());
        }
        match self.net.connect(target.node.as_str()) {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

/// The satellite's end of a connection.
struct Pipe {
    inner: DuplexStream,
    silent: Arc<AtomicBool>,
}

impl Pipe {
    fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_silent() {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_silent() {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
