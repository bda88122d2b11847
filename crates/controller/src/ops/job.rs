//! Jobs: showing one, and cancelling it.

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_api::job::{Job, JobCancel};
use linstor_api::reply::Reply;
use linstor_model::name::ResourceName;
use linstor_model::process::{self, Object, Process, ProcessId, Undone};

use super::request::{Context, Wait};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// The longest time after which a job can be cancelled: a year.
const AFTER_S_MAX: i64 = 365 * 24 * 3600;

fn context(id: &str) -> Context {
    let id = id.escape_debug();
    Context::new(code::MASK_MOD, format!("Job: {id}")).about("Job", id)
}

fn not_found(id: &str) -> Refusal {
    let message = format!("There is no job '{}'.", id.escape_debug());
    Reply::new(code::FAIL_NOT_FOUND_JOB, message)
        .cause("It is finished, or there never was one with this id.")
        .correction("See 'linstor job list' for the jobs that there are.")
        .into()
}

/// One job, while it is not done.
pub fn one(cluster: &Cluster, id: &str) -> Result<Job, Refusal> {
    cluster.job(id).ok_or_else(|| not_found(id))
}

/// Cancels a job: takes back what it did, at once or in further steps; or does so later, if it is not finished by then.
pub async fn cancel(cluster: &Cluster, id: String, request: JobCancel) -> Vec<Reply> {
    if request.after_s.is_none() && cluster.shared.verifications.cancel(&id) {
        let message = "The backup is not verified any more.";
        return vec![Reply::new(code::MODIFIED, message).about("Job", id)];
    }
    let parse = || {
        let Ok(process) = id.parse::<ProcessId>() else {
            return Err(not_a_process(&one(cluster, &id)?));
        };
        let after_s = match request.after_s {
            None => None,
            Some(after_s @ 1..=AFTER_S_MAX) => Some(after_s.unsigned_abs()),
            Some(_) => return Err(out_of_range()),
        };
        Ok((process, after_s))
    };
    let plan = |tx: &mut Transaction<'_>, (id, after_s): (ProcessId, Option<u64>)| {
        let Some(process) = tx.processes.get(&id).cloned() else {
            return Err(not_found(&id.to_string()));
        };
        match after_s {
            None => cancel_now(tx, &process),
            Some(after_s) => cancel_later(tx, &process, after_s),
        }
    };
    context(&id).change(cluster, parse, plan).await
}

fn label(process: &Process) -> String {
    let kind = process.kind.name().as_str();
    format!("Job {} ({kind}, {})", process.id, process.subject())
}

fn undo(tx: &mut Transaction<'_>, process: &Process) -> Result<Undone, Refusal> {
    let undone =
        tx.plan(|draft, observed, seeds| process::cancel(draft, observed, process, seeds.now_ms));
    undone.map_err(|why| {
        let message = format!("{} cannot be cancelled.", label(process));
        Reply::new(code::FAIL_IN_USE, message)
            .cause(why)
            .details("Nothing was changed; the job goes on.")
            .correction(format!(
                "Wait until it is finished; 'linstor job show {}' says what it waits for.",
                process.id
            ))
            .into()
    })
}

fn cancel_now(tx: &mut Transaction<'_>, process: &Process) -> Result<Wait, Refusal> {
    let names = concerned(tx, process);
    let undone = undo(tx, process)?;
    let message = format!("{} was cancelled.", label(process));
    let mut reply = Reply::new(code::MODIFIED, message);
    let goes_on = tx.processes.contains_key(&process.id);
    let details = [
        goes_on.then_some("What it did is taken back in further steps of the same job."),
        undone.remains,
    ];
    let details: Vec<&str> = details.into_iter().flatten().collect();
    if !details.is_empty() {
        reply = reply.details(details.join(" "));
    }
    tx.reply(reply);
    Ok(Wait::Applied(names.into_iter().collect()))
}

/// The definitions whose specs may change when a process is cancelled.
fn concerned(tx: &Transaction<'_>, process: &Process) -> BTreeSet<ResourceName> {
    let mut names = BTreeSet::new();
    for object in process.objects() {
        match &object {
            Object::Node(node) => names.extend(tx.resources_on(node).map(|row| row.name.clone())),
            Object::ResourceDefinition(name)
            | Object::VolumeDefinition(name, _)
            | Object::Resource(name, _)
            | Object::Snapshot(name, _) => drop(names.insert(name.clone())),
        }
    }
    names
}

fn cancel_later(
    tx: &mut Transaction<'_>,
    process: &Process,
    after_s: u64,
) -> Result<Wait, Refusal> {
    // What cannot be cancelled now will not be possible later either.
    let savepoint = tx.savepoint();
    undo(tx, process)?;
    tx.rollback(savepoint);
    let deadline = Some(tx.now_ms.saturating_add(after_s * 1000));
    tx.put_process(Process {
        deadline,
        ..process.clone()
    });
    let message = format!(
        "{} will be cancelled if it is not finished in {after_s} s.",
        label(process)
    );
    tx.reply(Reply::new(code::MODIFIED, message));
    Ok(Wait::Nothing)
}

/// Jobs that are no processes: the state of an object, or a row that cannot be read.
fn not_a_process(job: &Job) -> Refusal {
    let (cause, correction) = match job.kind.as_ref() {
        "held-row" => (
            "It shows a row of the database that cannot be read.",
            "Repair the row; 'linstor job show' says how.",
        ),
        _ => (
            "It shows that a node has not yet brought a resource to what its definition and properties say.",
            "Change those back, or delete the resource.",
        ),
    };
    let message = format!("Job '{}' cannot be cancelled.", job.id.escape_debug());
    Reply::new(code::FAIL_IN_USE, message)
        .cause(cause)
        .correction(correction)
        .into()
}

fn out_of_range() -> Refusal {
    Reply::new(
        code::FAIL_INVLD_REQUEST,
        "The time after which the job is cancelled is out of range.",
    )
    .cause(format!("It has to be from 1 to {AFTER_S_MAX} seconds."))
    .correction("Give another time, or none to cancel the job now.")
    .into()
}
