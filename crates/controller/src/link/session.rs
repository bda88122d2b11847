//! One connection after the welcome: a full sync, then what commits change, pings, and what the satellite reports.
//!
//! Four loops side by side in one task: reading, writing, noting what was learned, and watching for silence. None waits
//! for another, so that neither a long send nor a slow store delays reading, which would make the satellite appear
//! offline.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use linstor_api::code;
use linstor_api::kind::{ConnectionStatus, Encryption};
use linstor_api::reply::Reply;
use linstor_model::StoragePool;
use linstor_model::device_size;
use linstor_model::layer::luks::Keys;
use linstor_model::name::{NodeName, ResourceName, StoragePoolName};
use linstor_model::observed::Applied;
use linstor_model::process::Object;
use linstor_model::project;
use linstor_model::{AuthToken, AuthTokens, Model};
use linstor_net::{ControllerSide, NetError, Receiver, Sender};
use linstor_wire::auth_token::{from_random, hash};
use linstor_wire::message::{APPLY_SPECS_MAX, FRAME_BYTES_MAX, Forget, Held};
use linstor_wire::question::{Answer, Question};
use linstor_wire::spec::{Spec, Withheld};
use linstor_wire::status::{NodeInfo, PoolStatus, ResourceStatus};
use linstor_wire::{Key, Secret, ToController, ToSatellite, Wanted};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::dial::{Ended, Link, refused};
use crate::mailbox::{Asked, Mail};

/// How much one frame of specs carries before the next one begins, in bytes.
const APPLY_BYTES: usize = 1024 * 1024;
/// How many specs of a full sync are made until others get their turn.
const SPECS_AT_ONCE: usize = 16;
/// How many held resources are named; if there are more, everything is. At 50 bytes each they fit into one frame.
const HELD_NAMES_MAX: usize = 50_000;
/// Pause before what could not be committed is tried again.
const COMMIT_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// The spec of an object that the satellite has got.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// Of what the node must have while the spec is in force.
    hash: u64,
    /// Of what the node has to do once.
    once: u64,
    uuid: Uuid,
    /// Generation of the model that the spec was sent with.
    generation: u64,
    /// The newest generation that asks for nothing else.
    wanted: u64,
}

#[derive(Debug, Default)]
struct State {
    sent: BTreeMap<Key, Sent>,
    sync_generation: Option<u64>,
    /// Suspensions of I/O that were asked for and are still wanted.
    leases: BTreeSet<Uuid>,
    /// Granularities that the pools' rows do not have yet.
    granularities: BTreeMap<StoragePoolName, u64>,
    /// Sizes of volumes that somebody made larger than their rows know.
    sizes: BTreeMap<(ResourceName, u32), u64>,
    /// The node's capabilities, if the node's row does not have them yet.
    info: Option<NodeInfo>,
    /// Who waits for the answer to which question.
    asked: BTreeMap<u64, oneshot::Sender<Answer>>,
    questions: u64,
    /// Hash of the token of the REST API that the satellite has or was given; none if it takes none.
    auth_token: Option<String>,
    /// The token to give it.
    new_auth_token: Option<Secret>,
}

/// A connection in use.
pub(super) struct Session<'a> {
    link: &'a Link,
    /// Keys of encrypted volumes may be sent over the connection.
    may_have_keys: bool,
    connected_at: u64,
    state: Mutex<State>,
    heard: Mutex<Instant>,
    learned: Notify,
    auth_token_made: Notify,
}

/// However a connection ends, the node is not waited for at shared spaces any more.
struct Lost<'a>(&'a Link);

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        let turns = &self.0.cluster.shared.turns;
        turns.lost(&self.0.node, Instant::now());
    }
}

/// When specs are made.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// Somebody may wait for what was changed.
    AtOnce,
    /// One link after the other.
    InTurn,
}

/// Specs on their way into a frame.
#[derive(Default)]
struct Parcel {
    specs: Vec<Wanted>,
    forget: Vec<Forget>,
    /// Objects of which nothing new is asked, and which were tried already.
    unchanged: Vec<Key>,
    bytes: usize,
}

impl Parcel {
    fn is_full(&self) -> bool {
        self.bytes >= APPLY_BYTES
            || self.specs.len() >= APPLY_SPECS_MAX
            || self.forget.len() >= APPLY_SPECS_MAX
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(link: &'a Link, encryption: Encryption) -> Self {
        let observed = link.cluster.observed();
        let status = observed.nodes.get(&link.node);
        let info = status.and_then(|status| status.info.as_ref());
        let learned = Notify::new();
        // The satellite may need a token.
        learned.notify_one();
        let config = link.cluster.shared.config.as_ref();
        let on_plain = config.is_none_or(|config| config.keys_on_plain_links);
        Session {
            link,
            may_have_keys: on_plain || encryption == Encryption::Ssl,
            connected_at: link.cluster.env().now_ms(),
            state: Mutex::new(State {
                auth_token: info.and_then(|info| info.auth_token.clone()),
                ..State::default()
            }),
            heard: Mutex::new(Instant::now()),
            learned,
            auth_token_made: Notify::new(),
        }
    }

    /// Talks until the connection is of no use any more; returns why.
    pub(super) async fn run(self, connection: ControllerSide) -> Ended {
        let (sender, receiver) = connection.split();
        let _lost = Lost(self.link);
        tokio::select! {
            biased;
            // All arms are endless loops; the first that ends ends the connection, so that nothing is lost by dropping
            // the others. Reading comes first: what has arrived counts before silence is judged.
            ended = self.read(receiver) => ended,
            ended = self.write(sender) => ended,
            ended = self.note_learned() => ended,
            ended = self.watch() => ended,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds this lock; if some did, the connection is about to end anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when nothing was heard for too long.
    async fn watch(&self) -> Ended {
        let silence_max = self.link.timing.silence_max;
        loop {
            let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.elapsed() >= silence_max {
                return Ended::offline(format!("nothing was heard for {silence_max:?}"));
            }
            tokio::time::sleep_until(heard + silence_max).await;
        }
    }

    async fn read(&self, mut receiver: Receiver<ToController>) -> Ended {
        loop {
            let frame = receiver.next_understood().await;
            if frame.is_ok() {
                *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
            match frame {
                Ok(Some(message)) => {
                    let (kind, begun) = (message.kind(), std::time::Instant::now());
                    let taken = self.take(message);
                    let cluster = &self.link.cluster;
                    let now_ms = cluster.env().now_ms();
                    let requests = &cluster.shared.requests;
                    requests.message(&self.link.node, kind, begun.elapsed(), now_ms);
                    if let Err(ended) = taken {
                        return ended;
                    }
                }
                Ok(None) => return Ended::offline("the satellite closed the connection"),
                Err(error) => return Ended::broken(&error),
            }
        }
    }

    /// Takes one report. Never waits.
    fn take(&self, message: ToController) -> Result<(), Ended> {
        let (cluster, node) = (&self.link.cluster, &self.link.node);
        match message {
            ToController::Pong { .. } => {}
            ToController::Suspension { lease, state } => {
                tracing::debug!(%node, %lease, ?state, "suspension of I/O");
                cluster.observe_suspension(node, lease, state);
            }
            ToController::Turns { wanted, held } => cluster.observe_turns(node, &wanted, &held),
            ToController::Welcome { .. } => {
                return Err(Ended::offline("the satellite began the conversation anew"));
            }
            ToController::Refused {
                kind,
                message,
                newer,
            } => return Err(refused(kind, message, newer)),
            ToController::Synced { generation } => {
                if self.state().sync_generation == Some(generation) {
                    self.link.set_status(ConnectionStatus::Online, None);
                    tracing::info!(%node, "the satellite is online");
                }
            }
            ToController::Applied {
                generation,
                key,
                uuid,
                outcome,
                done,
                retry_in_ms,
            } => {
                let now = cluster.env().now_ms();
                let applied = Applied {
                    uuid,
                    generation: self.reached(&key, uuid, generation),
                    outcome,
                    done,
                    at: now,
                    next_try: retry_in_ms.map(|pause| now.saturating_add(pause)),
                };
                cluster.observe_applied(node, &key, applied);
            }
            ToController::Status { resources, gone } => {
                self.learn_sizes(&resources);
                cluster.observe_status(node, resources, &gone);
            }
            ToController::Info { info } => {
                tracing::info!(%node, uname = info.uname, drbd = ?info.drbd, "node capabilities changed");
                cluster.observe_info(node, info.clone());
                let mut state = self.state();
                state.auth_token = info.auth_token.clone();
                state.info = Some(info);
                drop(state);
                self.learned.notify_one();
            }
            ToController::Answer { id, answer } => {
                if let Some(caller) = self.state().asked.remove(&id) {
                    // It may have stopped waiting.
                    let _ = caller.send(answer);
                }
            }
            ToController::Space { refresh, pools } => {
                self.learn_granularities(&pools);
                cluster.observe_space(node, pools, self.connected_at);
                if let Some(id) = refresh {
                    cluster.shared.waiters.refreshed(node, id);
                }
            }
        }
        Ok(())
    }

    /// How far an object has got that was tried with the spec of this generation.
    fn reached(&self, key: &Key, uuid: Uuid, generation: u64) -> u64 {
        let sent = self.state().sent.get(key).copied();
        // A generation that does not exist yet has not been tried.
        let model = self.link.cluster.model();
        let generation = generation.min(model.generation);
        // Newer models asked nothing else of it, so it has got as far as they ask.
        sent.filter(|sent| sent.uuid == uuid && generation >= sent.generation)
            .map_or(generation, |sent| generation.max(sent.wanted))
    }

    /// Keeps granularities that the rows do not have yet for [`Session::note_learned`].
    fn learn_granularities(&self, pools: &[PoolStatus]) {
        let model = self.link.cluster.model();
        let mut news = BTreeMap::new();
        for status in pools {
            let (Some(kib), Ok(pool)) =
                (status.granularity_kib, StoragePoolName::parse(&status.name))
            else {
                continue;
            };
            let row = model.pool(&self.link.node, &pool);
            if row.is_some_and(|row| row.granularity_kib != Some(kib)) {
                news.insert(pool, kib);
            }
        }
        if !news.is_empty() {
            self.state().granularities.append(&mut news);
            self.learned.notify_one();
        }
    }

    /// Keeps sizes that the rows do not have yet for [`Session::note_learned`].
    fn learn_sizes(&self, resources: &[ResourceStatus]) {
        let model = self.link.cluster.model();
        let mut news = BTreeMap::new();
        for status in resources {
            let Ok(name) = ResourceName::parse(&status.name) else {
                continue;
            };
            let definition = model.definitions.get(&name);
            let (Some(definition), Some(row)) =
                (definition, model.resource(&name, &self.link.node))
            else {
                continue;
            };
            for volume in &status.volumes {
                let sizes = (volume.backing_kib, volume.usable_kib);
                let learned = device_size::learned_kib(definition, volume.number, row, sizes);
                news.extend(learned.map(|kib| ((name.clone(), volume.number), kib)));
            }
        }
        if !news.is_empty() {
            self.state().sizes.append(&mut news);
            self.learned.notify_one();
        }
    }

    /// Commits what the satellite reported, in a loop of its own: reading must not wait for the store.
    async fn note_learned(&self) -> Ended {
        loop {
            self.learned.notified().await;
            if let Err(ended) = self.note_info().await {
                return ended;
            }
            self.renew_auth_token().await;
            let news = std::mem::take(&mut self.state().granularities);
            let sizes = std::mem::take(&mut self.state().sizes);
            if news.is_empty() && sizes.is_empty() {
                continue;
            }
            let node = self.link.node.clone();
            let committed = self.link.cluster.commit(move |draft| {
                for (pool, kib) in news {
                    if let Some(row) = draft.pool(&node, &pool).cloned() {
                        draft.put_storage_pool(StoragePool {
                            granularity_kib: Some(kib),
                            ..StoragePool::clone(&row)
                        });
                    }
                }
                for ((name, number), kib) in sizes {
                    device_size::learn(draft, &name, number, kib);
                }
                Ok(())
            });
            // The writer has logged why; the next report has it again.
            let _ = committed.await;
        }
    }

    /// Commits the node's capabilities, in as many attempts as that takes: they are not reported again on this
    /// connection.
    async fn note_info(&self) -> Result<(), Ended> {
        loop {
            let Some(info) = self.state().info.take() else {
                return Ok(());
            };
            if !self.link.learn_host(None, &info).await? {
                self.state().info.get_or_insert(info);
                tokio::time::sleep(COMMIT_PAUSE).await;
            }
        }
    }

    /// Makes the satellite's token of the REST API if it does not have it: the token itself is on the node alone.
    async fn renew_auth_token(&self) {
        let Some(has) = self.state().auth_token.clone() else {
            return;
        };
        let (node, uuid) = (self.link.node.clone(), self.link.uuid);
        let lacks_it = move |model: &Model| match model.auth_tokens.of_node(uuid) {
            Some((_, token)) => !token.revoked && token.hash.as_deref() != Some(has.as_str()),
            None => {
                model.needs_auth_token() && model.node(&node).is_some_and(|row| row.uuid == uuid)
            }
        };
        if !lacks_it(&self.link.cluster.model()) {
            return;
        }
        let node = self.link.node.clone();
        let committed = self.link.cluster.commit(move |tx| {
            if !lacks_it(tx) {
                return Ok(None);
            }
            let secret = from_random(tx.random());
            let mut row = AuthTokens::clone(&tx.auth_tokens);
            let id = match row.of_node(uuid) {
                Some((id, _)) => id,
                None => row.add(AuthToken::for_satellite(node, uuid, tx.now_ms)),
            };
            if let Some(token) = row.tokens.get_mut(&id) {
                token.hash = Some(hash(secret.reveal()));
            }
            tx.put_auth_tokens(row);
            Ok(Some(secret))
        });
        // If it fails, the writer has logged why, and the next connection tries again.
        if let Some(secret) = committed.await.ok().and_then(|committed| committed.value) {
            let mut state = self.state();
            state.auth_token = Some(hash(secret.reveal()));
            state.new_auth_token = Some(secret);
            drop(state);
            self.auth_token_made.notify_one();
        }
    }

    async fn write(&self, mut sender: Sender<ToSatellite>) -> Ended {
        match self.send_all(&mut sender).await {
            Ok(never) => match never {},
            Err(error) => Ended::broken(&error),
        }
    }

    async fn send_all(
        &self,
        sender: &mut Sender<ToSatellite>,
    ) -> Result<std::convert::Infallible, NetError> {
        let mut pinged = Pings::new(self.link.timing.ping_every);
        self.sync(sender, &mut pinged).await?;
        loop {
            tokio::select! {
                biased;
                // Cancel-safe: a tick is consumed only when this arm wins. First, so that no amount of work delays it.
                _ = pinged.timer.tick() => pinged.send(sender).await?,
                // Cancel-safe: the mail is in the mailbox until it is taken below.
                () = self.link.mailbox.arrived() => {
                    let mail = self.link.mailbox.take();
                    if mail.keys.contains(&Key::Node) {
                        self.learned.notify_one();
                    }
                    self.deliver(sender, &mut pinged, mail).await?;
                }
                // Cancel-safe: the token is in the state until it is taken.
                () = self.auth_token_made.notified() => {
                    let token = self.state().new_auth_token.take();
                    if let Some(token) = token {
                        sender.send(&ToSatellite::AuthToken { token }).await?;
                    }
                }
            }
        }
    }

    /// Sends the satellite all specs. What commits change meanwhile is in the mailbox afterwards.
    async fn sync(
        &self,
        sender: &mut Sender<ToSatellite>,
        pinged: &mut Pings,
    ) -> Result<(), NetError> {
        // Emptied before the model is read, so that nothing falls between the two.
        let mail = self.link.mailbox.take();
        let model = self.link.cluster.model();
        let generation = model.generation;
        let node = &self.link.node;
        if model.node(node).is_none() {
            return Ok(());
        }
        self.state().sync_generation = Some(generation);
        sender.send(&ToSatellite::SyncBegin { generation }).await?;
        let resources = model.resources_on(node);
        let resources = resources.map(|resource| Key::Resource(resource.name.clone()));
        // Only those of which something is asked have a spec.
        let objects = model.processes.values().flat_map(|row| row.objects());
        let snapshots = objects.filter_map(|object| match object {
            Object::Snapshot(name, snapshot) => Some(Key::Snapshot(name, snapshot)),
            _ => None,
        });
        let keys: BTreeSet<Key> = resources.chain(snapshots).chain([Key::Node]).collect();
        self.send_specs(sender, pinged, &model, &keys, Order::InTurn)
            .await?;
        self.hold_leases(sender, &model).await?;
        let held = held_resources(&model);
        sender
            .send(&ToSatellite::SyncEnd { generation, held })
            .await?;
        if let Some(id) = mail.refresh {
            sender.send(&ToSatellite::RefreshSpace { id }).await?;
        }
        if mail.turns {
            let granted = self.link.cluster.shared.turns.of(node);
            sender.send(&ToSatellite::Turns { granted }).await?;
        }
        self.ask(sender, mail.questions).await
    }

    /// Has I/O suspended where snapshots are to be taken, and resumed where that is over. A suspension that was asked for
    /// on an earlier connection ended with it.
    async fn hold_leases(
        &self,
        sender: &mut Sender<ToSatellite>,
        model: &Model,
    ) -> Result<(), NetError> {
        let wanted = model.leases_of(&self.link.node);
        let now_ms = self.link.cluster.env().now_ms();
        let mut orders = Vec::new();
        {
            let held = &mut self.state().leases;
            held.retain(|lease| {
                let wanted = wanted.iter().any(|wanted| wanted.id == *lease);
                if !wanted {
                    orders.push(ToSatellite::Resume { lease: *lease });
                }
                wanted
            });
            for lease in wanted {
                let duration_ms = lease.until.saturating_sub(now_ms);
                if lease.may_begin && duration_ms > 0 && held.insert(lease.id) {
                    orders.push(ToSatellite::Suspend {
                        lease: lease.id,
                        resources: lease.resources,
                        duration_ms,
                    });
                }
            }
        }
        for order in &orders {
            sender.send(order).await?;
        }
        Ok(())
    }

    /// Sends questions whose callers still wait.
    async fn ask(
        &self,
        sender: &mut Sender<ToSatellite>,
        questions: Vec<Asked>,
    ) -> Result<(), NetError> {
        for Asked { question, answer } in questions {
            if answer.is_closed() {
                continue;
            }
            if matches!(question, Question::VerifyObject(_)) && !self.may_have_keys {
                let message = "The node is sent no keys of buckets.";
                let reply = Reply::new(code::FAIL_NOT_CONNECTED, message)
                    .cause("Its link is not encrypted, and the controller is set to send no keys over a plain one.")
                    .correction("Encrypt the link to the node, or use another node.");
                // The caller may have ended.
                let _sent = answer.send(Answer::Failed(reply));
                continue;
            }
            let id = {
                let mut state = self.state();
                state.asked.retain(|_, caller| !caller.is_closed());
                state.questions += 1;
                let id = state.questions;
                state.asked.insert(id, answer);
                id
            };
            sender.send(&ToSatellite::Ask { id, question }).await?;
        }
        Ok(())
    }

    /// Sends the satellite what commits have changed for it.
    async fn deliver(
        &self,
        sender: &mut Sender<ToSatellite>,
        pinged: &mut Pings,
        mail: Mail,
    ) -> Result<(), NetError> {
        let model = self.link.cluster.model();
        if mail.keys.iter().any(|key| matches!(key, Key::Snapshot(..))) {
            self.hold_leases(sender, &model).await?;
        }
        self.send_specs(sender, pinged, &model, &mail.keys, Order::AtOnce)
            .await?;
        if let Some(id) = mail.refresh {
            // After the specs, so that the report knows the newest pools.
            sender.send(&ToSatellite::RefreshSpace { id }).await?;
        }
        if mail.turns {
            let granted = self.link.cluster.shared.turns.of(&self.link.node);
            sender.send(&ToSatellite::Turns { granted }).await?;
        }
        self.ask(sender, mail.questions).await
    }

    async fn send_specs(
        &self,
        sender: &mut Sender<ToSatellite>,
        pinged: &mut Pings,
        model: &Model,
        keys: &BTreeSet<Key>,
        order: Order,
    ) -> Result<(), NetError> {
        let generation = model.generation;
        let mut keys = keys.iter().peekable();
        while keys.peek().is_some() {
            let turn = match order {
                Order::AtOnce => None,
                Order::InTurn => Some(self.turn(sender, pinged).await?),
            };
            let parcel = self.pack_all(model, &mut keys).await;
            drop(turn);
            if !parcel.specs.is_empty() || !parcel.forget.is_empty() {
                let apply = ToSatellite::Apply {
                    generation,
                    specs: parcel.specs,
                    forget: parcel.forget,
                };
                sender.send(&apply).await?;
            }
            let cluster = &self.link.cluster;
            cluster.observe_unchanged(&self.link.node, &parcel.unchanged, generation);
            // A long sync must let pings through.
            pinged.send_if_due(sender).await?;
        }
        Ok(())
    }

    /// Waits until no other link makes the specs of a full sync.
    async fn turn(
        &self,
        sender: &mut Sender<ToSatellite>,
        pinged: &mut Pings,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, NetError> {
        let turn = self.link.cluster.shared.syncing.lock();
        tokio::pin!(turn);
        loop {
            tokio::select! {
                biased;
                // Cancel-safe: a tick is consumed only when this arm wins.
                _ = pinged.timer.tick() => pinged.send(sender).await?,
                // Keeps its place in the queue.
                turn = &mut turn => return Ok(turn),
            }
        }
    }

    /// As many of the objects as one frame takes.
    async fn pack_all<'k>(
        &self,
        model: &Model,
        keys: &mut impl Iterator<Item = &'k Key>,
    ) -> Parcel {
        let mut parcel = Parcel::default();
        let mut packed = 0;
        while !parcel.is_full()
            && let Some(key) = keys.next()
        {
            self.pack(model, key, &mut parcel);
            packed += 1;
            if packed % SPECS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        parcel
    }

    /// Adds an object to the parcel if its spec has changed.
    fn pack(&self, model: &Model, key: &Key, parcel: &mut Parcel) {
        if is_held(model, &self.link.node, key) {
            return;
        }
        let generation = model.generation;
        let mut state = self.state();
        let before = state.sent.get(key).copied();
        let master_key = self.link.cluster.master_key();
        let keys = match &master_key {
            _ if !self.may_have_keys => Keys::Withheld(Withheld::PlainLink),
            Some(master_key) => Keys::Master(master_key),
            None => Keys::Withheld(Withheld::Locked),
        };
        let spec = project::spec(model, &self.link.node, key, keys);
        let uuid = spec.as_ref().map(Spec::uuid);
        if let Some(sent) = before
            && Some(sent.uuid) != uuid
        {
            parcel.forget.push(Forget {
                key: key.clone(),
                uuid: sent.uuid,
            });
        }
        let Some(spec) = spec else {
            state.sent.remove(key);
            return;
        };
        let (hash, once) = (hash_of(&spec), hash_of(spec.once()));
        // Instructions that a node has carried out are removed without a new spec.
        if let Some(sent) = state.sent.get_mut(key)
            && sent.hash == hash
            && (sent.once == once || spec.once().is_empty())
        {
            sent.wanted = generation;
            let sent = *sent;
            drop(state);
            let observed = self.link.cluster.observed();
            if let Some(applied) = observed.applied_of_key(key, &self.link.node, sent.uuid)
                && applied.generation >= sent.generation
            {
                parcel.unchanged.push(key.clone());
            }
            return;
        }
        let wanted = Wanted::new(&spec);
        let bytes = wanted.json().len();
        if bytes + APPLY_BYTES > FRAME_BYTES_MAX {
            tracing::error!(node = %self.link.node, %key, bytes, "spec too large to be sent");
            return;
        }
        let sent = Sent {
            hash,
            once,
            uuid: wanted.uuid,
            generation,
            wanted: generation,
        };
        state.sent.insert(key.clone(), sent);
        parcel.bytes += bytes;
        parcel.specs.push(wanted);
    }
}

/// When the satellite was last asked whether it is there.
struct Pings {
    timer: tokio::time::Interval,
    every: std::time::Duration,
    last: Instant,
    id: u64,
}

impl Pings {
    fn new(every: std::time::Duration) -> Self {
        let mut timer = tokio::time::interval(every);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Pings {
            timer,
            every,
            last: Instant::now(),
            id: 0,
        }
    }

    async fn send(&mut self, sender: &mut Sender<ToSatellite>) -> Result<(), NetError> {
        self.id += 1;
        self.last = Instant::now();
        sender.send(&ToSatellite::Ping { id: self.id }).await
    }

    async fn send_if_due(&mut self, sender: &mut Sender<ToSatellite>) -> Result<(), NetError> {
        if self.last.elapsed() >= self.every {
            self.send(sender).await?;
        }
        Ok(())
    }
}

/// Whether the controller cannot read a row that the spec of an object is made of: the satellite keeps the spec that it
/// has.
fn is_held(model: &Model, node: &NodeName, key: &Key) -> bool {
    match key {
        Key::Node => model.held.holds_node_spec(node),
        Key::Resource(name) | Key::Snapshot(name, _) => model.held.holds_definition(name),
        Key::Other(_) => false,
    }
}

/// What the satellite leaves alone.
fn held_resources(model: &Model) -> Held {
    let names = model.held.definitions().cloned().map(Key::Resource);
    let keys: BTreeSet<Key> = names.take(HELD_NAMES_MAX + 1).collect();
    let all = model.held.holds_everything() || keys.len() > HELD_NAMES_MAX;
    Held {
        all,
        keys: if all { BTreeSet::new() } else { keys },
    }
}

/// By which a spec is compared with the one last sent. Not for storing: the function may differ in another build.
fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
