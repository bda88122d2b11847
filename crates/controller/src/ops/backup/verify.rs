//! Verifying backups: a node reads the objects of a chain to their ends, one after the other, and writes nothing. It is a job in
//! memory alone: a controller that ends takes nothing with it but what was found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linstor_api::backup::BackupInfoRequest;
use linstor_api::code;
use linstor_api::job::{Job, WaitingFor};
use linstor_api::kind::ProviderKind;
use linstor_api::reply::Reply;
use linstor_model::layer::luks::Keys;
use linstor_model::name::NodeName;
use linstor_wire::question::{Answer, Question, StreamKind, VerifiedObject};
use linstor_wire::spec::ReceivedObject;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::super::name;
use super::super::request::WAIT;
use super::bucket;
use super::create::is_zfs;
use super::info::{self, Wanted};
use super::restore::{objects, refused, stack};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// How long the reading of one object may take.
const OBJECT_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often an object is tried whose node or store does not answer, and how long is waited between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(30);
/// How long what was found is remembered for who asks next, in milliseconds.
const REMEMBERED_MS: u64 = 3600 * 1000;
/// What the ids of these jobs begin with.
const PREFIX: &str = "verify-";

/// The verifications that go on, or whose result nobody has, by their numbers.
#[derive(Default)]
pub struct Verifications {
    rows: Mutex<(u64, BTreeMap<u64, Verification>)>,
}

struct Verification {
    remote: String,
    backup: String,
    node: NodeName,
    since_ms: u64,
    /// Bytes of all its objects, and of those that were read.
    bytes: (u64, u64),
    /// The object that is being read.
    object: String,
    task: AbortHandle,
    ended_ms: Option<u64>,
    result: watch::Receiver<Option<Vec<Reply>>>,
}

impl Verifications {
    fn rows(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Verification>)> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that go on.
    pub fn jobs(&self) -> Vec<Job> {
        let rows = self.rows();
        let running = rows.1.iter().filter(|(_, row)| row.ended_ms.is_none());
        running.map(|(number, row)| row.job(*number)).collect()
    }

    /// Ends one; false if it is none, or has ended.
    pub fn cancel(&self, id: &str) -> bool {
        let number = id.strip_prefix(PREFIX).and_then(|text| text.parse().ok());
        let mut rows = self.rows();
        let is_running = |number: &u64| {
            let row = rows.1.get(number);
            row.is_some_and(|row| row.ended_ms.is_none())
        };
        let Some(number) = number.filter(is_running) else {
            return false;
        };
        if let Some(row) = rows.1.remove(&number) {
            row.task.abort();
        }
        true
    }
}

impl Verification {
    fn job(&self, number: u64) -> Job {
        let (all, done) = self.bytes;
        Job {
            id: format!("{PREFIX}{number}"),
            kind: "backup-verify".into(),
            phase: "reading".into(),
            step: Some(1),
            steps: Some(1),
            percent: Some(done as f64 * 100.0 / all.max(1) as f64),
            obj_refs: [
                ("Remote".to_owned(), self.remote.clone()),
                ("Backup".to_owned(), self.backup.clone()),
            ]
            .into(),
            waiting_for: vec![WaitingFor {
                node: self.node.to_string(),
                reason: format!("it reads the object '{}'", self.object),
            }],
            since: i64::try_from(self.since_ms).ok(),
            ..Job::default()
        }
    }
}

/// Verifies a backup with all that it is based on. While one goes on, others who ask for it wait for the same; what nobody has
/// waited for is the answer to who asks next.
pub(super) async fn verify(
    cluster: &Cluster,
    on: &str,
    request: BackupInfoRequest,
) -> Result<Vec<Reply>, Refusal> {
    let opened = bucket::open(cluster, on)?;
    let text = |given: Option<String>| given.filter(|text| !text.is_empty());
    let given = text(request.node_name).map(|node| name::node(&node));
    let given = given.transpose()?;
    if let Some(node) = &given {
        name::known_node(&cluster.model(), node)?;
    }
    let wanted = Wanted {
        id: text(request.last_backup),
        resource: text(request.src_rsc_name),
        snapshot: text(request.src_snap_name),
    };
    let (chain, listed) = info::chain(cluster, &opened, &wanted).await?;
    let (id, meta) = (chain.key.id(), &chain.links[0].1);
    let layers = stack(&id, meta)?;
    let mut work = Vec::new();
    for (number, objects) in objects(&chain, &listed.sizes)? {
        let mut volumes = layers.storage.iter();
        let volume = volumes.find(|volume| volume.vlm_nr == number);
        let pool = volume.and_then(|volume| volume.stor_pool_api.as_ref());
        let kind = pool.and_then(|pool| pool.device_provider_kind.as_ref()?.parse().ok());
        let kind = match kind {
            Some(kind) if is_zfs(kind) => StreamKind::Zfs,
            Some(ProviderKind::LvmThin) => StreamKind::Thin,
            _ => {
                let cause = format!("It does not say what the stream of volume {number} is.");
                let correction = "Use another backup.";
                let code = code::FAIL_INVLD_BACKUP_CONFIG;
                return Err(refused(&id, code, cause, correction));
            }
        };
        let kib = volume.and_then(|volume| u64::try_from(volume.usable_size?).ok());
        let kib = kib.unwrap_or_default();
        work.extend(objects.into_iter().map(|object| (object, kind, kib)));
    }
    let observed = cluster.observed();
    let names = [
        given.map(|node| node.to_string()),
        Some(meta.node_name.clone()),
    ];
    let named = names.into_iter().flatten();
    let mut nodes = named.filter_map(|text| NodeName::parse(&text).ok());
    let known = nodes.find(|node| observed.is_online(node));
    let model = cluster.model();
    let node = known.or_else(|| {
        let mut all = model.nodes.keys();
        all.find(|node| observed.is_online(node)).cloned()
    });
    let node = node.ok_or_else(|| {
        let cause = "No node is connected that could read it.".to_owned();
        refused(&id, code::FAIL_NOT_CONNECTED, cause, "Connect a node.")
    })?;
    let (number, mut result) = begin(cluster, (opened.name, id.clone()), node, work);
    let ended = tokio::time::timeout(WAIT, result.wait_for(Option::is_some)).await;
    match ended {
        Ok(Ok(found)) => {
            let found = found.clone().unwrap_or_default();
            // Whoever asks again wants to know how it is then.
            cluster.shared.verifications.rows().1.remove(&number);
            Ok(found)
        }
        Ok(Err(_)) => {
            let message = format!("The backup '{id}' was not verified.");
            let reply = Reply::new(code::FAIL_UNKNOWN_ERROR | code::MASK_BACKUP, message);
            Err(reply
                .cause("It was cancelled.")
                .correction("Verify it again.")
                .into())
        }
        Err(_) => {
            let message =
                format!("The backup '{id}' is being verified by the job {PREFIX}{number}.");
            let reply = Reply::new(code::MASK_INFO | code::MASK_BACKUP, message);
            Ok(vec![reply.correction(
                "Repeat the command: it waits for the job, and has what it found for an hour.",
            )])
        }
    }
}

type Work = Vec<(ReceivedObject, StreamKind, u64)>;

/// Begins a verification, unless there is one already.
fn begin(
    cluster: &Cluster,
    (remote, backup): (String, String),
    node: NodeName,
    work: Work,
) -> (u64, watch::Receiver<Option<Vec<Reply>>>) {
    let now_ms = cluster.env().now_ms();
    let mut rows = cluster.shared.verifications.rows();
    rows.1.retain(|_, row| {
        let ended = row.ended_ms;
        ended.is_none_or(|ended| now_ms.saturating_sub(ended) < REMEMBERED_MS)
    });
    let mut same = rows.1.iter();
    let same = same.find(|(_, row)| row.remote == remote && row.backup == backup);
    if let Some((number, row)) = same {
        return (*number, row.result.clone());
    }
    rows.0 += 1;
    let number = rows.0;
    let (found, result) = watch::channel(None);
    let bytes = work.iter().map(|(object, ..)| object.bytes).sum();
    let names = (remote.clone(), backup.clone());
    let task = run(cluster.clone(), number, names, node.clone(), work, found);
    let row = Verification {
        remote,
        backup,
        node,
        since_ms: now_ms,
        bytes: (bytes, 0),
        object: String::new(),
        task: tokio::spawn(task).abort_handle(),
        ended_ms: None,
        result: result.clone(),
    };
    rows.1.insert(number, row);
    (number, result)
}

async fn run(
    cluster: Cluster,
    number: u64,
    (remote, backup): (String, String),
    node: NodeName,
    work: Work,
    found: watch::Sender<Option<Vec<Reply>>>,
) {
    let note = |change: &dyn Fn(&mut Verification)| {
        if let Some(row) = cluster.shared.verifications.rows().1.get_mut(&number) {
            change(row);
        }
    };
    let (count, mut replies) = (work.len(), Vec::new());
    let bytes: u64 = work.iter().map(|(object, ..)| object.bytes).sum();
    for (object, kind, kib) in work {
        note(&|row| row.object.clone_from(&object.key));
        let read = object.bytes;
        match check(&cluster, &remote, &node, object, (kind, kib)).await {
            Ok(damaged) => replies.extend(damaged),
            Err(reply) => {
                replies.push(reply);
                break;
            }
        }
        note(&|row| row.bytes.1 += read);
    }
    for reply in &replies {
        let cause = reply.cause.as_deref();
        tracing::warn!(backup, remote, cause, "verified: {}", reply.message);
    }
    if replies.is_empty() {
        let message = format!("The backup '{backup}' is whole.");
        let details =
            format!("Node '{node}' has read {count} objects with {bytes} bytes to their ends.");
        tracing::info!(backup, remote, "verified: it is whole");
        replies.push(Reply::new(code::MASK_BACKUP, message).details(details));
    }
    let ended_ms = cluster.env().now_ms();
    note(&|row| row.ended_ms = Some(ended_ms));
    found.send_replace(Some(replies));
}

/// What is wrong with an object.
///
/// # Errors
///
/// Why that is not known.
async fn check(
    cluster: &Cluster,
    remote: &str,
    node: &NodeName,
    object: ReceivedObject,
    (kind, volume_kib): (StreamKind, u64),
) -> Result<Vec<Reply>, Reply> {
    let mut tries = 0;
    loop {
        let model = cluster.model();
        let key: Option<Arc<_>> = cluster.master_key();
        let row =
            super::remote(&model, remote).map_err(|Refusal(mut replies)| replies.remove(0))?;
        let bucket = key.and_then(|key| row.bucket(&model, Keys::Master(&key)));
        let Some(bucket) = bucket.filter(|bucket| bucket.withheld.is_none()) else {
            let message = format!("The keys of the remote {remote} cannot be opened.");
            return Err(Reply::new(code::FAIL_NOT_FOUND_CRYPT_KEY, message));
        };
        let question = Question::VerifyObject(Box::new(VerifiedObject {
            bucket,
            object: object.clone(),
            kind,
            volume_kib,
        }));
        let deadline = Instant::now() + OBJECT_LIMIT;
        tries += 1;
        let why = match cluster.ask(node, question, deadline).await {
            Ok(Answer::Done(damaged)) => {
                let about = damaged
                    .into_iter()
                    .map(|of| of.with_mask(code::MASK_BACKUP));
                return Ok(about.collect());
            }
            Ok(Answer::Failed(reply)) | Err(reply) => reply,
            Ok(_) => Reply::new(code::FAIL_UNKNOWN_ERROR, "The node gave another answer."),
        };
        if tries == TRIES {
            return Err(why);
        }
        tracing::info!(
            key = object.key,
            "verifying is tried again: {}",
            why.message
        );
        tokio::time::sleep(PAUSE).await;
    }
}
