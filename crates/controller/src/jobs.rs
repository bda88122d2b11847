//! Jobs: everything that has begun and is not done: processes, and resources that their nodes have not brought to what
//! is wanted. Derived from the state: nothing is stored for them, so none can be left over.

use std::sync::Arc;

use jiff::Timestamp;
use linstor_api::job::{Job, WaitingFor};
use linstor_api::prop;
use linstor_api::properties::Properties;
use linstor_model::held::REPAIR;
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceName, SnapshotName};
use linstor_model::observed::Applied;
use linstor_model::process::{Object, Process, ProcessId, Reason, Wait};
use linstor_model::{HeldRow, Model, Node, Observed, Resource};
use linstor_wire::status::{Moved, Outcome};

use crate::cluster::Cluster;

impl Cluster {
    /// What has begun and is not done: rows that cannot be read, processes in the order they began, then deployments in
    /// the order of names.
    pub fn jobs(&self) -> Vec<Job> {
        let (model, observed) = (self.model(), self.observed());
        let jobs = Jobs {
            cluster: self,
            model: &model,
            observed: &observed,
        };
        let held = model.held.rows().iter().map(held_row);
        let processes = model.processes.values();
        let processes = processes.map(|process| jobs.process(process));
        let resources = model.resources.values();
        let of_resource = |replica: &Arc<Resource>| {
            let all = [jobs.deployment(replica), jobs.skipped_disk(replica)];
            all.into_iter().flatten()
        };
        let evacuations = model
            .nodes
            .values()
            .filter_map(|node| jobs.evacuation(node));
        let verified = self.shared.verifications.jobs();
        let jobs = held.chain(processes).chain(evacuations).chain(verified);
        jobs.chain(resources.flat_map(of_resource)).collect()
    }

    /// The job with this id, while it is not done.
    pub fn job(&self, id: &str) -> Option<Job> {
        let Ok(id) = id.parse::<ProcessId>() else {
            return self.jobs().into_iter().find(|job| job.id == id);
        };
        let (model, observed) = (self.model(), self.observed());
        let jobs = Jobs {
            cluster: self,
            model: &model,
            observed: &observed,
        };
        model
            .processes
            .get(&id)
            .map(|process| jobs.process(process))
    }
}

/// What jobs are derived from.
struct Jobs<'a> {
    cluster: &'a Cluster,
    model: &'a Model,
    observed: &'a Observed,
}

impl Jobs<'_> {
    fn process(&self, process: &Process) -> Job {
        let waits = process.waits(self.model, self.observed);
        let busy = waits.iter().filter_map(|wait| match &wait.reason {
            Reason::Apply(name) => self.model.resource(name, &wait.node),
            Reason::Snapshot(..) | Reason::Activate(..) | Reason::State(_) => None,
        });
        let busy: Vec<&Resource> = busy.map(|replica| &**replica).collect();
        let progress = process.progress(self.model, self.observed);
        let moved = |of: fn(&Moved) -> u64| {
            let number = progress.moved.as_ref().map(of);
            number.and_then(|number| i64::try_from(number).ok())
        };
        Job {
            id: process.id.to_string(),
            kind: process.kind.name().as_str().into(),
            phase: progress.step.into(),
            step: Some(progress.number.into()),
            steps: Some(progress.of.into()),
            percent: progress.percent,
            moved_bytes: moved(|moved| moved.bytes),
            rest_bytes: moved(|moved| moved.rest_bytes),
            bytes_per_s: moved(|moved| moved.bytes_per_s),
            obj_refs: references(&process.subject()),
            waiting_for: waits.iter().map(|wait| self.waiting_for(wait)).collect(),
            since: time(process.began_at),
            deadline: process.deadline.and_then(time),
            cancelled: process.cancelled,
            last_error: busy.iter().find_map(|replica| self.last_error(replica)),
            next_try: self.next_try(busy.iter().copied()),
        }
    }

    fn waiting_for(&self, wait: &Wait) -> WaitingFor {
        let node = &wait.node;
        let reason = match &wait.reason {
            Reason::Apply(name) => match self.model.resource(name, node) {
                Some(replica) => self.reason(replica),
                None => "it applies the change".to_owned(),
            },
            Reason::Snapshot(name, snapshot) => self.snapshot_reason(name, snapshot, node),
            Reason::Activate(_, why) => (*why).to_owned(),
            Reason::State(text) => match self.connection(node) {
                Some(status) => format!("{text}, and it is {status}"),
                None => text.clone(),
            },
        };
        WaitingFor {
            node: node.to_string(),
            reason,
        }
    }

    /// A resource without a process that its node has not brought to what is wanted.
    fn deployment(&self, replica: &Resource) -> Option<Job> {
        if self.model.process_of(replica).is_some() {
            return None;
        }
        let applied = self.applied(replica);
        let definition = RowKey::ResourceDefinition(replica.name.clone());
        let asked = self.cluster.shared.waiters.effective(&definition, u64::MAX);
        let since = match applied {
            Some(applied) => match &applied.outcome {
                Outcome::Done if applied.generation >= asked => return None,
                Outcome::Done | Outcome::Waiting { .. } | Outcome::Failed { .. } => applied.at,
            },
            // No change was sent since this controller started.
            None if asked == 0 => return None,
            None => replica.created_at,
        };
        Some(Job {
            id: format!("resource-deploy:{}:{}", replica.name, replica.node),
            kind: "resource-deploy".into(),
            phase: "waiting-for-satellite".into(),
            obj_refs: references(&Object::Resource(
                replica.name.clone(),
                replica.node.clone(),
            )),
            waiting_for: vec![self.waiting_for(&Wait {
                node: replica.node.clone(),
                reason: Reason::Apply(replica.name.clone()),
            })],
            since: time(since),
            last_error: self.last_error(replica),
            next_try: self.next_try([replica]),
            ..Job::default()
        })
    }

    /// The disk of a resource that is not used: it failed each time it was attached, or somebody has set that.
    fn skipped_disk(&self, replica: &Resource) -> Option<Job> {
        let value = replica.props.get(prop::DRBD_SKIP_DISK)?;
        if !prop::is_true(value) || replica.is_diskless() || self.model.is_deleting(replica) {
            return None;
        }
        let reason = format!(
            "its disk is not used, after it failed several times for example; replace it, then remove the property '{}' \
             of the resource",
            prop::DRBD_SKIP_DISK
        );
        Some(Job {
            id: format!("disk-skipped:{}:{}", replica.name, replica.node),
            kind: "disk-skipped".into(),
            phase: "waiting-for-repair".into(),
            obj_refs: references(&Object::Resource(
                replica.name.clone(),
                replica.node.clone(),
            )),
            waiting_for: vec![WaitingFor {
                node: replica.node.to_string(),
                reason,
            }],
            ..Job::default()
        })
    }

    /// The evacuation of a node that still has replicas which can be moved.
    fn evacuation(&self, node: &Node) -> Option<Job> {
        let left = self.model.resources_on(&node.name);
        let left = left.filter(|replica| replica.drbd.is_some()).count();
        (node.evacuate && left > 0).then(|| Job {
            id: format!("node-evacuate:{}", node.name),
            kind: "node-evacuate".into(),
            phase: "moving-resources".into(),
            obj_refs: references(&Object::Node(node.name.clone())),
            waiting_for: vec![WaitingFor {
                node: node.name.to_string(),
                reason: format!("{left} resources are left on it"),
            }],
            ..Job::default()
        })
    }

    /// When the first of the replicas that failed is tried again. A node that is not online tries nothing that is
    /// known, and an attempt whose time has come is under way.
    fn next_try<'r>(&self, replicas: impl IntoIterator<Item = &'r Resource>) -> Option<i64> {
        let now = self.cluster.env().now_ms();
        let of = |replica: &Resource| {
            let next_try = self.applied(replica)?.next_try;
            next_try.filter(|at| *at > now && self.observed.is_online(&replica.node))
        };
        let first = replicas.into_iter().filter_map(of).min()?;
        time(first)
    }

    /// Why a node has not done what is asked about a snapshot, for a person.
    fn snapshot_reason(
        &self,
        name: &ResourceName,
        snapshot: &SnapshotName,
        node: &NodeName,
    ) -> String {
        if let Some(status) = self.connection(node) {
            return format!("it is {status}");
        }
        let part = self
            .model
            .snapshot(name, snapshot)
            .and_then(|row| row.on(node));
        let applied = part.and_then(|part| {
            self.observed
                .snapshot_applied((name, snapshot, node), part.uuid)
        });
        match applied.and_then(|applied| error_of(&applied.outcome)) {
            Some(error) => format!("it failed and tries again: {error}"),
            None => "it applies the change".to_owned(),
        }
    }

    /// How far the replica has got.
    fn applied(&self, replica: &Resource) -> Option<&Applied> {
        let key = RowKey::Resource(replica.name.clone(), replica.node.clone());
        self.observed.applied_of(&key, replica.uuid)
    }

    fn last_error(&self, replica: &Resource) -> Option<String> {
        error_of(&self.applied(replica)?.outcome)
    }

    /// How a node that is not online is, and since when.
    fn connection(&self, node: &NodeName) -> Option<String> {
        let Some(status) = self.observed.nodes.get(node) else {
            return Some("OFFLINE".to_owned());
        };
        if self.observed.is_online(node) {
            return None;
        }
        let since = time(status.since).and_then(|since| Timestamp::from_millisecond(since).ok());
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
                ..
            }) => format!("it waits for {on} ({percent}%)"),
            Some(Outcome::Waiting { on, .. }) => format!("it waits for {on}"),
            Some(Outcome::Done | Outcome::Failed { .. }) | None => {
                "it applies the change".to_owned()
            }
        }
    }
}

/// The error that an attempt ended with.
fn error_of(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Done | Outcome::Waiting { .. } => None,
        Outcome::Failed { replies } => replies.first().map(|reply| match &reply.cause {
            Some(cause) => format!("{} {cause}", reply.message),
            None => reply.message.clone(),
        }),
    }
}

/// A row that cannot be read: a person has to repair it.
fn held_row(held: &HeldRow) -> Job {
    let (kind, key) = (held.row.kind.as_str(), held.row.key.as_str());
    Job {
        id: format!("held-row:{kind}:{key}"),
        kind: "held-row".into(),
        phase: "waiting-for-repair".into(),
        obj_refs: named(vec![("Row", kind.to_owned()), ("Key", key.to_owned())]),
        waiting_for: vec![WaitingFor {
            node: String::new(),
            reason: format!("{held} {REPAIR}"),
        }],
        ..Job::default()
    }
}

/// An object as replies name it.
fn references(object: &Object) -> Properties {
    named(match object {
        Object::Node(node) => vec![("Node", node.to_string())],
        Object::ResourceDefinition(name) => vec![("RscDfn", name.to_string())],
        Object::VolumeDefinition(name, number) => {
            vec![("RscDfn", name.to_string()), ("VlmNr", number.to_string())]
        }
        Object::Resource(name, node) => {
            vec![("RscDfn", name.to_string()), ("Node", node.to_string())]
        }
        Object::Snapshot(name, snapshot) => vec![
            ("RscDfn", name.to_string()),
            ("Snapshot", snapshot.to_string()),
        ],
    })
}

fn named(references: Vec<(&str, String)>) -> Properties {
    let references = references.into_iter();
    references
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn time(milliseconds: u64) -> Option<i64> {
    i64::try_from(milliseconds).ok()
}
