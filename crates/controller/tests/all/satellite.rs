//! A satellite that does what a test says, at the other end of a pipe.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use linstor_api::reply::Reply;
use linstor_controller::link::{Connector, Target};
use linstor_model::name::NodeName;
use linstor_net::{ControllerSide, SatelliteSide};
use linstor_wire::message::{Forget, PROTOCOL};
use linstor_wire::spec::{ResourceSpec, Spec};
use linstor_wire::status::{NodeInfo, Outcome, PoolStatus};
use linstor_wire::{Key, ToController, ToSatellite, Wanted};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::fixture::node;

/// How much a pipe holds, in bytes.
const PIPE_BYTES: usize = 64 * 1024;

/// How long a satellite waits for a message: paused time would run on for ever.
const PATIENCE: Duration = Duration::from_secs(600);

type Calls = mpsc::UnboundedSender<(Target, DuplexStream)>;

/// Connects to the satellites that a test has put up; others refuse.
#[derive(Clone, Default)]
pub struct Pipes {
    listening: Arc<Mutex<BTreeMap<NodeName, Calls>>>,
    /// How many calls there were, answered or not.
    pub calls: Arc<Mutex<u32>>,
}

impl Pipes {
    /// Puts up a satellite for a node.
    pub fn listen(&self, name: &str) -> Listener {
        let (calls, incoming) = mpsc::unbounded_channel();
        self.listening.lock().unwrap().insert(node(name), calls);
        Listener { incoming }
    }
}

#[async_trait]
impl Connector for Pipes {
    async fn connect(&self, target: &Target) -> Result<ControllerSide, String> {
        *self.calls.lock().unwrap() += 1;
        let (here, there) = tokio::io::duplex(PIPE_BYTES);
        let listening = self.listening.lock().unwrap();
        let calls = listening.get(&target.node);
        let taken = calls.is_some_and(|calls| calls.send((target.clone(), there)).is_ok());
        if taken {
            Ok(ControllerSide::new(here))
        } else {
            Err(format!("{} refuses", target.address))
        }
    }
}

/// Where a satellite takes calls.
pub struct Listener {
    incoming: mpsc::UnboundedReceiver<(Target, DuplexStream)>,
}

impl Listener {
    /// The next call's target and its bare stream.
    pub async fn raw(&mut self) -> (Target, DuplexStream) {
        self.incoming.recv().await.expect("the controller is there")
    }

    /// The next call, not yet answered.
    pub async fn accept(&mut self) -> Satellite {
        let (target, stream) = self.raw().await;
        Satellite {
            target,
            connection: SatelliteSide::new(stream),
        }
    }

    /// The next call, answered and synchronised; what the sync brought comes with it.
    pub async fn online(&mut self, uname: &str) -> (Satellite, Vec<ResourceSpec>) {
        let mut satellite = self.accept().await;
        satellite.welcome(uname).await;
        let specs = satellite.sync().await;
        (satellite, specs)
    }
}

/// The resources among specs.
pub fn resources(specs: &[Wanted]) -> Vec<ResourceSpec> {
    let specs = specs.iter().filter_map(|wanted| match wanted.read() {
        Ok(Spec::Resource(resource)) => Some(ResourceSpec::clone(&resource)),
        Ok(Spec::Node(_) | Spec::Snapshot(_)) => None,
        Err(why) => panic!("{why}"),
    });
    specs.collect()
}

/// A connected satellite.
pub struct Satellite {
    pub target: Target,
    connection: SatelliteSide,
}

impl Satellite {
    pub async fn send(&mut self, message: ToController) {
        self.connection.send(&message).await.unwrap();
    }

    /// The next message that is no ping; pings are answered. A message that never comes fails the test.
    pub async fn next(&mut self) -> Option<ToSatellite> {
        let next = tokio::time::timeout(PATIENCE, self.wait());
        next.await.expect("the controller says something")
    }

    async fn wait(&mut self) -> Option<ToSatellite> {
        loop {
            match self.connection.next().await {
                Ok(Some(ToSatellite::Ping { id })) => {
                    // The controller may be gone by now.
                    let _ = self.connection.send(&ToController::Pong { id }).await;
                }
                Ok(message) => return message,
                Err(_) => return None,
            }
        }
    }

    /// Answers pings until the future is done.
    pub async fn while_idle<T>(&mut self, future: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            result = future => result,
            message = self.wait() => panic!("not expected: {message:?}"),
        }
    }

    /// Takes the hello and answers it.
    pub async fn welcome(&mut self, uname: &str) {
        let hello = self.next().await;
        assert!(
            matches!(hello, Some(ToSatellite::Hello { .. })),
            "{hello:?}"
        );
        self.send(ToController::Welcome {
            protocol: PROTOCOL,
            version: "1.2.3".into(),
            info: NodeInfo {
                uname: uname.into(),
                ..NodeInfo::default()
            },
        })
        .await;
    }

    /// Takes a full sync and confirms it. Returns the specs in it.
    pub async fn sync(&mut self) -> Vec<ResourceSpec> {
        let begin = self.next().await;
        let Some(ToSatellite::SyncBegin { generation }) = begin else {
            panic!("not a sync: {begin:?}");
        };
        let mut specs = Vec::new();
        loop {
            match self.next().await {
                Some(ToSatellite::Apply {
                    generation: of,
                    specs: wanted,
                    forget,
                }) => {
                    assert_eq!((of, forget), (generation, Vec::new()));
                    specs.extend(resources(&wanted));
                }
                Some(ToSatellite::SyncEnd { generation: of, .. }) => {
                    assert_eq!(of, generation);
                    break;
                }
                other => panic!("not part of a sync: {other:?}"),
            }
        }
        self.send(ToController::Synced { generation }).await;
        specs
    }

    /// The next incremental change.
    pub async fn apply(&mut self) -> (u64, Vec<ResourceSpec>, Vec<Forget>) {
        match self.next().await {
            Some(ToSatellite::Apply {
                generation,
                specs,
                forget,
            }) => (generation, resources(&specs), forget),
            other => panic!("not an apply: {other:?}"),
        }
    }

    pub async fn done(&mut self, spec: &ResourceSpec, generation: u64) {
        self.outcome(spec, generation, Outcome::Done).await;
    }

    pub async fn failed(&mut self, spec: &ResourceSpec, generation: u64, reply: Reply) {
        let replies = vec![reply];
        self.outcome(spec, generation, Outcome::Failed { replies })
            .await;
    }

    /// Like [`Satellite::failed`], with the time until the next attempt.
    pub async fn failed_for_now(
        &mut self,
        spec: &ResourceSpec,
        generation: u64,
        reply: Reply,
        retry_in_ms: u64,
    ) {
        self.send(ToController::Applied {
            generation,
            key: Key::Resource(spec.name.clone()),
            uuid: spec.uuid,
            outcome: Outcome::Failed {
                replies: vec![reply],
            },
            done: Vec::new(),
            retry_in_ms: Some(retry_in_ms),
        })
        .await;
    }

    async fn outcome(&mut self, spec: &ResourceSpec, generation: u64, outcome: Outcome) {
        self.applied(spec.name.as_str(), spec.uuid, generation, outcome)
            .await;
    }

    pub async fn applied(&mut self, name: &str, uuid: Uuid, generation: u64, outcome: Outcome) {
        self.send(ToController::Applied {
            generation,
            key: Key::resource(name),
            uuid,
            outcome,
            done: Vec::new(),
            retry_in_ms: None,
        })
        .await;
    }

    pub async fn space(&mut self, refresh: Option<u64>, free_kib: u64) {
        self.send(ToController::Space {
            refresh,
            pools: vec![PoolStatus {
                name: "DfltStorPool".into(),
                free_kib: Some(free_kib),
                total_kib: Some(1_000_000),
                granularity_kib: Some(64),
                ..PoolStatus::default()
            }],
        })
        .await;
    }
}
