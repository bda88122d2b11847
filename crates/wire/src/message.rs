//! Messages, one closed enum per direction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use linstor_api::name::{NodeName, ResourceName};
use linstor_api::reply::Reply;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::key::Key;
use crate::question::{Answer, Question};
use crate::secret::{self, Secret};
use crate::status::{NodeInfo, Outcome, PoolStatus, ResourceStatus};
use crate::wanted::Wanted;

/// Version of the conversation. Members and kinds of objects may be added without changing it; a new message, or a new
/// meaning of an old member, changes it. A member of a spec that must not be passed over needs a feature of its own
/// ([`crate::wanted::FEATURES`]).
pub const PROTOCOL: u32 = 5;

/// The oldest protocol this build still speaks. Nothing was released with an older one.
pub const PROTOCOL_MIN: u32 = 4;

/// The longest time that a satellite suspends I/O for after it was last asked to.
pub const SUSPENSION_MAX: Duration = Duration::from_secs(30);

/// The largest frame that either side accepts, in bytes. Full syncs are chunked, so that no cluster size reaches it.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A controller that sent nothing for this long is not connected any more, even if its connection is open. It pings
/// every second.
pub const CONTROLLER_SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long after its connection was lost a node may still be changing a shared space that it had its turn at.
pub const TURN_MAX: Duration = Duration::from_secs(180);

/// How many specs one [`ToSatellite::Apply`] carries at most.
pub const APPLY_SPECS_MAX: usize = 256;

/// Messages of a controller to a satellite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToSatellite {
    /// First frame: the controller, and the node that it connects to.
    Hello {
        /// Oldest protocol that the controller speaks.
        protocol_min: u32,
        /// Newest protocol that the controller speaks.
        protocol_max: u32,
        /// The controller's version, for people.
        version: String,
        /// The cluster.
        cluster_id: Uuid,
        /// Grows each time a controller starts on the database; a satellite refuses older ones.
        epoch: u64,
        /// Which start of a controller made this epoch: two databases of one cluster may count to the same number. Nil
        /// from controllers that do not send it.
        #[serde(default)]
        start: Uuid,
        /// The node's name in the cluster.
        node_name: NodeName,
        /// The node's identity.
        node_uuid: Uuid,
    },
    /// A full sync begins: what is not named until [`ToSatellite::SyncEnd`] is to be forgotten (not destroyed).
    SyncBegin {
        /// Generation of the model that the sync shows.
        generation: u64,
    },
    /// The full sync ends.
    SyncEnd {
        /// Generation of the model that the sync showed.
        generation: u64,
        /// Objects that were not named and are not forgotten.
        #[serde(default)]
        held: Held,
    },
    /// Specs that changed.
    Apply {
        /// Generation of the model.
        generation: u64,
        /// Complete specs, each replacing the one before.
        specs: Vec<Wanted>,
        /// Objects that the controller no longer has: their specs are dropped, nothing is destroyed.
        #[serde(default)]
        forget: Vec<Forget>,
    },
    /// Query the space of the pools and report it.
    RefreshSpace {
        /// Comes back in [`ToController::Space`].
        id: u64,
    },
    /// Suspend I/O of resources, all or none, or extend a suspension that is held.
    ///
    /// It ends by itself after `duration_ms`, at most [`SUSPENSION_MAX`], with the connection, and when the satellite
    /// starts again.
    Suspend {
        /// Names the suspension; one that has ended is not begun again under the same id.
        lease: Uuid,
        /// Names of the resources; of no meaning when the suspension is held already.
        resources: Vec<ResourceName>,
        /// How long from now, in milliseconds.
        duration_ms: u64,
    },
    /// End a suspension.
    Resume {
        /// The suspension.
        lease: Uuid,
    },
    /// Asks for [`ToController::Answer`].
    Ask {
        /// Comes back in [`ToController::Answer`].
        id: u64,
        /// What is asked.
        question: Question,
    },
    /// The node's turns at shared spaces, all of them. Others that it has named are not granted yet.
    Turns {
        /// Ids by the name of the space.
        granted: BTreeMap<String, Uuid>,
    },
    /// The node's token of the REST API, which replaces the one that it has. The satellite puts it into the file
    /// [`crate::auth_token::FILE_NAME`] and reports its hash with [`ToController::Info`].
    AuthToken {
        /// The token.
        #[serde(with = "secret::on_link")]
        token: Secret,
    },
    /// Asks for [`ToController::Pong`].
    Ping {
        /// Comes back in [`ToController::Pong`].
        id: u64,
    },
}

/// Objects of which the controller cannot read all rows: the satellite neither forgets nor changes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// All that were not named.
    #[serde(default)]
    pub all: bool,
    /// Which ones; the node need not have them.
    #[serde(default)]
    pub keys: BTreeSet<Key>,
}

/// An object that the controller no longer has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// Which one.
    pub key: Key,
    /// Its identity; another one of the same name is not forgotten.
    pub uuid: Uuid,
}

/// Messages of a satellite to its controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToController {
    /// The controller is accepted.
    Welcome {
        /// The protocol that is spoken from now on.
        protocol: u32,
        /// The satellite's version, for people.
        version: String,
        /// What the node is able to do.
        info: NodeInfo,
    },
    /// The controller is refused.
    Refused {
        /// Why.
        kind: RefusalKind,
        /// Why, for a person.
        message: String,
        /// With [`RefusalKind::OlderEpoch`]: the controller that this satellite obeys.
        #[serde(default)]
        newer: Option<NewerController>,
    },
    /// The full sync of this generation has been stored and the space of the pools is known: the node is online.
    Synced {
        /// Generation of [`ToSatellite::SyncEnd`].
        generation: u64,
    },
    /// The outcome of an attempt to bring an object to its spec. Sent after each attempt that failed or whose outcome
    /// differs from the last one sent, and always once per [`ToSatellite::Apply`].
    Applied {
        /// Generation of the newest spec that was tried.
        generation: u64,
        /// The object.
        key: Key,
        /// The object's identity.
        uuid: Uuid,
        /// How it went.
        outcome: Outcome,
        /// Ids of the spec's instructions that have been carried out.
        #[serde(default)]
        done: Vec<Uuid>,
        /// After a failure: how long until the next attempt, in milliseconds.
        #[serde(default)]
        retry_in_ms: Option<u64>,
    },
    /// Resources whose status changed.
    Status {
        /// New status, each replacing the one before.
        resources: Vec<ResourceStatus>,
        /// Resources that the node no longer has a spec of.
        #[serde(default)]
        gone: Vec<Key>,
    },
    /// Space of the pools, sent after a sync, when it changed, and when asked.
    Space {
        /// Id of the [`ToSatellite::RefreshSpace`] that this answers.
        #[serde(default)]
        refresh: Option<u64>,
        /// All pools of the node.
        pools: Vec<PoolStatus>,
    },
    /// The node's capabilities or its host name changed.
    Info {
        /// Replaces that of [`ToController::Welcome`].
        info: NodeInfo,
    },
    /// The state of a suspension of I/O: sent when all is suspended, and when nothing is any more.
    Suspension {
        /// The suspension.
        lease: Uuid,
        /// What it is now.
        state: SuspensionState,
    },
    /// The turns at shared spaces that the node wants or has, all of them: sent when that changes, and on each connection
    /// of a node with such pools.
    Turns {
        /// Ids by the name of the space.
        wanted: BTreeMap<String, Uuid>,
        /// The spaces whose turn it has.
        #[serde(default)]
        held: BTreeSet<String>,
    },
    /// Answer to a question.
    Answer {
        /// Id of the [`ToSatellite::Ask`] that this answers.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// Answer to a ping.
    Pong {
        /// Id of the ping.
        id: u64,
    },
}

impl ToController {
    /// The kind of message, as it is written.
    pub const fn kind(&self) -> &'static str {
        match self {
            ToController::Welcome { .. } => "welcome",
            ToController::Refused { .. } => "refused",
            ToController::Synced { .. } => "synced",
            ToController::Applied { .. } => "applied",
            ToController::Status { .. } => "status",
            ToController::Space { .. } => "space",
            ToController::Info { .. } => "info",
            ToController::Suspension { .. } => "suspension",
            ToController::Turns { .. } => "turns",
            ToController::Answer { .. } => "answer",
            ToController::Pong { .. } => "pong",
        }
    }
}

/// The controller that a satellite obeys instead of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewerController {
    /// Its epoch.
    pub epoch: u64,
    /// Whether it is connected: its last frame is not older than [`CONTROLLER_SILENCE_MAX`].
    pub connected: bool,
}

/// The state of a suspension of I/O.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum SuspensionState {
    /// No I/O of the resources reaches their storage.
    Suspended,
    /// I/O is resumed, after all of it or some of it was suspended.
    Ended {
        /// Why.
        reason: SuspensionEnd,
    },
    /// I/O could not be suspended, and is not.
    Failed {
        /// Why; never empty.
        replies: Vec<Reply>,
    },
}

/// Why a suspension of I/O ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspensionEnd {
    /// The controller asked for it.
    Asked,
    /// Its time was up.
    Expired,
    /// The connection to the controller ended.
    ControllerLost,
}

/// Why a satellite refuses a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// No common protocol.
    Version,
    /// The satellite belongs to another cluster or is another node.
    Identity,
    /// The satellite has accepted a newer controller.
    OlderEpoch,
}
