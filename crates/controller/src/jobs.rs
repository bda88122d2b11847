//! Jobs: everything that has begun and is not done, derived from the state. Nothing is stored for them, so none can be
//! left over.

use jiff::Timestamp;
use linstor_api::job::{Job, WaitingFor};
use linstor_model::held::REPAIR;
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::observed::Applied;
use linstor_model::{
    HeldRow, Node, ResizeStep, Resource, ResourceDefinition, ResourcePhase, Since,
};
use linstor_model::{Model, Observed, phase};
use linstor_wire::status::Outcome;

use crate::cluster::Cluster;

impl Cluster {
    /// What has begun and is not done, in the order of the objects' names.
    pub fn jobs(&self) -> Vec<Job> {
        let (model, observed) = (self.model(), self.observed());
        let mut jobs = Jobs {
            cluster: self,
            model: &model,
            observed: &observed,
            jobs: Vec::new(),
        };
        for held in model.held.rows() {
            jobs.held(held);
        }
        for node in model.nodes.values() {
            jobs.node(node);
        }
        for name in model.pending_definitions() {
            if let Some(definition) = model.definitions.get(name) {
                jobs.definition(definition);
            }
        }
        for replica in model.resources.values() {
            jobs.replica(replica);
        }
        jobs.jobs
    }
}

/// The jobs found so far.
struct Jobs<'a> {
    cluster: &'a Cluster,
    model: &'a Model,
    observed: &'a Observed,
    jobs: Vec<Job>,
}

impl Jobs<'_> {
    fn add(
        &mut self,
        kind: &'static str,
        phase: &'static str,
        since: u64,
        about: &[(&str, &str)],
        waits: Vec<WaitingFor>,
    ) -> &mut Job {
        let mut id = kind.to_owned();
        for (_, value) in about {
            id = format!("{id}:{value}");
        }
        let refs = about
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.jobs.push(Job {
            id,
            kind: kind.into(),
            phase: phase.into(),
            obj_refs: refs.collect(),
            waiting_for: waits,
            since: Some(i64::try_from(since).unwrap_or(i64::MAX)),
            ..Job::default()
        });
        self.jobs.last_mut().expect("one was just pushed")
    }

    /// A row that cannot be read: a person has to repair it.
    fn held(&mut self, held: &HeldRow) {
        let (kind, key) = (held.row.kind.as_str(), held.row.key.as_str());
        let about = [("Row", kind), ("Key", key)];
        let waits = vec![WaitingFor {
            node: String::new(),
            reason: format!("{held} {REPAIR}"),
        }];
        self.add("held-row", "waiting-for-repair", 0, &about, waits)
            .since = None;
    }

    fn node(&mut self, node: &Node) {
        let Some(since) = node.deleting else {
            return;
        };
        let replicas = self.model.resources_on(&node.name).count();
        let status = self.connection(&node.name);
        let reason = match status {
            Some(status) => format!("{replicas} resources are left on it, and it is {status}"),
            None => format!("{replicas} resources are left on it"),
        };
        let waits = vec![waiting(&node.name, reason)];
        let about = [("Node", node.name.as_str())];
        self.add("node-delete", "removing-resources", since.at, &about, waits);
    }

    fn definition(&mut self, definition: &ResourceDefinition) {
        let name = &definition.name;
        let about = [("RscDfn", name.as_str())];
        if let Some(since) = definition.deleting {
            let replicas: Vec<_> = self.model.resources_of(name).collect();
            let waits = replicas
                .iter()
                .map(|replica| waiting(&replica.node, self.reason(replica)))
                .collect();
            let next_try = self.next_try(replicas.iter().map(|replica| &***replica));
            let kind = "resource-definition-delete";
            self.add(kind, "removing-resources", since.at, &about, waits)
                .next_try = next_try;
        }
        for (number, volume) in &definition.volumes {
            let number = number.to_string();
            let about = [("RscDfn", name.as_str()), ("VlmNr", number.as_str())];
            if let Some(since) = volume.deleting {
                let waits = self.unreached(name, since);
                let next_try =
                    self.next_try(self.model.resources_of(name).map(|replica| &**replica));
                let kind = "volume-definition-delete";
                self.add(kind, "removing-volumes", since.at, &about, waits)
                    .next_try = next_try;
            }
            if let Some(resize) = &volume.resize {
                let (phase, waits) = match &resize.step {
                    ResizeStep::Storage => ("growing-storage", self.growing(name, resize.since)),
                    ResizeStep::Drbd { on } => {
                        let mut waits = self.unreached(name, resize.since);
                        waits.retain(|wait| on.as_str().eq_ignore_ascii_case(&wait.node));
                        ("growing-drbd", waits)
                    }
                };
                let next_try =
                    self.next_try(self.model.resources_of(name).map(|replica| &**replica));
                let kind = "volume-definition-resize";
                self.add(kind, phase, resize.since.at, &about, waits)
                    .next_try = next_try;
            }
        }
    }

    fn replica(&mut self, replica: &Resource) {
        let (kind, phase, since) = match &replica.phase {
            ResourcePhase::Present => return self.deployment(replica),
            ResourcePhase::TakingDown { since } => ("resource-delete", "taking-down", since),
            ResourcePhase::Destroying { since, .. } => ("resource-delete", "destroying", since),
            ResourcePhase::AddingDisk { since, .. } => ("toggle-disk", "adding-disk", since),
            ResourcePhase::RemovingDisk { since, .. } => ("toggle-disk", "removing-disk", since),
        };
        let mut waits = Vec::new();
        if phase::waits_for_activation(replica) {
            let reason = "it is deactivated; the disk goes once it is activated".to_owned();
            waits.push(waiting(&replica.node, reason));
        } else if !self.reached(replica, *since) {
            waits.push(waiting(&replica.node, self.reason(replica)));
        } else if let ResourcePhase::AddingDisk {
            migrate_from: Some(source),
            ..
        } = &replica.phase
        {
            waits.push(waiting(
                &replica.node,
                "it is not yet up to date".to_owned(),
            ));
            waits.push(waiting(
                source,
                "its replica goes once the new one is up to date and it is not in use".to_owned(),
            ));
        }
        self.add_of_replica(replica, kind, phase, since.at, waits);
    }

    /// A replica that has no phase, but that its node has not brought to what is wanted.
    fn deployment(&mut self, replica: &Resource) {
        let applied = self.applied(replica);
        let definition = RowKey::ResourceDefinition(replica.name.clone());
        let asked = self.cluster.shared.waiters.effective(&definition, u64::MAX);
        let since = match applied {
            Some(applied) => match &applied.outcome {
                Outcome::Done if applied.generation >= asked => return,
                Outcome::Done | Outcome::Waiting { .. } | Outcome::Failed { .. } => applied.at,
            },
            // Not told of any change since this controller started: it is as it was.
            None if asked == 0 => return,
            None => replica.created_at,
        };
        let waits = vec![waiting(&replica.node, self.reason(replica))];
        let phase = "waiting-for-satellite";
        self.add_of_replica(replica, "resource-deploy", phase, since, waits);
    }

    fn add_of_replica(
        &mut self,
        replica: &Resource,
        kind: &'static str,
        phase: &'static str,
        since: u64,
        waits: Vec<WaitingFor>,
    ) {
        let (error, next_try) = (self.last_error(replica), self.next_try([replica]));
        let about = [
            ("RscDfn", replica.name.as_str()),
            ("Node", replica.node.as_str()),
        ];
        let job = self.add(kind, phase, since, &about, waits);
        job.last_error = error;
        job.next_try = next_try;
    }

    /// When the first of the replicas that failed is tried again. A node that is not online tries nothing that is known,
    /// and an attempt whose time has come is under way.
    fn next_try<'r>(&self, replicas: impl IntoIterator<Item = &'r Resource>) -> Option<i64> {
        let now = self.cluster.env().now_ms();
        let of = |replica: &Resource| {
            let next_try = self.applied(replica)?.next_try;
            next_try.filter(|at| *at > now && self.observed.is_online(&replica.node))
        };
        let first = replicas.into_iter().filter_map(of).min()?;
        i64::try_from(first).ok()
    }

    fn reached(&self, replica: &Resource, since: Since) -> bool {
        self.observed
            .applied_since(&replica.name, &replica.node, replica.uuid, since.generation)
            .is_some_and(|applied| applied.outcome == Outcome::Done)
    }

    fn unreached(&self, name: &ResourceName, since: Since) -> Vec<WaitingFor> {
        let replicas = self.model.resources_of(name);
        let missing = replicas.filter(|replica| !self.reached(replica, since));
        missing
            .map(|replica| waiting(&replica.node, self.reason(replica)))
            .collect()
    }

    /// Who has not yet made the room for a larger volume, or keeps DRBD from taking it.
    fn growing(&self, name: &ResourceName, since: Since) -> Vec<WaitingFor> {
        let mut waits = self.unreached(name, since);
        let replicas = self.model.resources_of(name);
        let holding_up = replicas.filter(|replica| phase::holds_up_growth(replica));
        waits.extend(holding_up.map(|replica| {
            let reason = "it is deactivated, and DRBD grows only what it sees".to_owned();
            waiting(&replica.node, reason)
        }));
        waits
    }

    /// How far the replica has got.
    fn applied(&self, replica: &Resource) -> Option<&Applied> {
        let key = RowKey::Resource(replica.name.clone(), replica.node.clone());
        self.observed.applied_of(&key, replica.uuid)
    }

    fn last_error(&self, replica: &Resource) -> Option<String> {
        match &self.applied(replica)?.outcome {
            Outcome::Done | Outcome::Waiting { .. } => None,
            Outcome::Failed { replies } => replies.first().map(|reply| match &reply.cause {
                Some(cause) => format!("{} {cause}", reply.message),
                None => reply.message.clone(),
            }),
        }
    }

    /// How a node that is not online is, and since when.
    fn connection(&self, node: &NodeName) -> Option<String> {
        let Some(status) = self.observed.nodes.get(node) else {
            return Some("OFFLINE".to_owned());
        };
        if self.observed.is_online(node) {
            return None;
        }
        let since = i64::try_from(status.since).ok();
        let since = since.and_then(|since| Timestamp::from_millisecond(since).ok());
        let mut text = status.connection.to_string();
        if let Some(since) = since {
            text = format!("{text} since {since:.0}");
        }
        if let Some(reason) = &status.reason {
            text = format!("{text} ({reason})");
        }
        Some(text)
    }

    /// Why a node has not done its part, for a person.
    fn reason(&self, replica: &Resource) -> String {
        if let Some(status) = self.connection(&replica.node) {
            return format!("it is {status}");
        }
        if let Some(error) = self.last_error(replica) {
            return format!("it failed and tries again: {error}");
        }
        match self.applied(replica).map(|applied| &applied.outcome) {
            Some(Outcome::Waiting {
                on,
                done_percent: Some(percent),
            }) => format!("it waits for {on} ({percent}%)"),
            Some(Outcome::Waiting { on, .. }) => format!("it waits for {on}"),
            Some(Outcome::Done | Outcome::Failed { .. }) | None => "it is at work".to_owned(),
        }
    }
}

fn waiting(node: &NodeName, reason: String) -> WaitingFor {
    WaitingFor {
        node: node.to_string(),
        reason,
    }
}
