//! `linstor job`: operations in progress, which node each waits for, and why. An addition to LINSTOR's command line.

use clap::{Args, Subcommand};
use linstor_api::job::{Job, JobCancel};

use super::list_options::{GroupBy, Pastable};
use crate::action::{Action, Screen, read};
use crate::define::Verbs;
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::output::time;
use crate::request::Request;

/// Subcommands of `job`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the operations in progress
    #[command(visible_alias = "l")]
    List(List),
    /// Show one job
    #[command(visible_alias = "s")]
    Show(Show),
    /// Cancel a job and undo what it did, as far as that is possible
    #[command(visible_alias = "c")]
    Cancel(Cancel),
    /// Wait until a job is finished
    #[command(visible_alias = "w")]
    Wait(Wait),
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    group_by: GroupBy,
}

/// Arguments of `show`.
#[derive(Debug, Clone, Args)]
pub struct Show {
    #[command(flatten)]
    pastable: Pastable,
    /// Id of the job, as 'job list' shows it
    id: String,
}

/// Arguments of `cancel`.
#[derive(Debug, Clone, Args)]
pub struct Cancel {
    /// Cancel it only if it is not finished after so many seconds
    #[arg(long, value_name = "SECONDS")]
    after: Option<i64>,
    /// Id of the job, as 'job list' shows it
    id: String,
}

/// Arguments of `wait`.
#[derive(Debug, Clone, Args)]
pub struct Wait {
    /// Fail when the job is not finished after so many seconds
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Id of the job, as 'job list' shows it
    id: String,
}

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::List(args) => Ok(Action::list(
                Request::get(&["jobs"]),
                None,
                move |rows: Vec<_>, screen| show_list(&args, &rows, screen),
            )),
            Command::Show(args) => Ok(Action::Object {
                request: Request::get(&["jobs", &args.id]),
                show: Box::new(move |text, screen| show(&args, &read(text)?, screen)),
            }),
            Command::Cancel(args) => {
                let body = JobCancel {
                    after_s: args.after,
                };
                Action::modify(Request::post(&["jobs", &args.id, "cancel"], &body))
            }
            Command::Wait(args) => Ok(Action::WaitJob {
                request: Request::get(&["jobs", &args.id]),
                timeout_s: args.timeout,
            }),
        }
    }
}

fn show_list(args: &List, jobs: &[Job], screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut table = args
        .pastable
        .table(screen.style)
        .column("Id")
        .column("Kind")
        .column("Object")
        .colored("Step", Color::DarkGreen)
        .column("WaitingFor")
        .column("Since")
        .column("LastError")
        .column("NextTry")
        .group_by(&args.group_by.groupby);
    for job in jobs {
        let row: Vec<Cell> = vec![
            job.id.as_str().into(),
            job.kind.as_ref().into(),
            object(job).into(),
            step(job).into(),
            waiting_for(job).into(),
            when(job.since).into(),
            match job.last_error.as_deref() {
                Some(error) => Cell::colored(error, Color::Red),
                None => "".into(),
            },
            when(job.next_try).into(),
        ];
        table.row(row);
    }
    screen.table(table)
}

fn show(args: &Show, job: &Job, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut table = args
        .pastable
        .table(screen.style)
        .column("Job")
        .column(&job.id);
    for (key, value) in [
        ("Kind", job.kind.to_string()),
        ("Object", object(job)),
        ("Step", step(job)),
        ("Moved", moved(job)),
        ("WaitingFor", waiting_for(job)),
        ("Since", when(job.since)),
        ("CancelledAt", when(job.deadline)),
        ("LastError", job.last_error.clone().unwrap_or_default()),
        ("NextTry", when(job.next_try)),
    ] {
        if !value.is_empty() {
            table.row(vec![key.into(), value.into()]);
        }
    }
    screen.table(table)
}

/// What a node has sent or received, how fast, and what is left of the volume at which it is.
fn moved(job: &Job) -> String {
    let mib = |bytes: i64| format!("{} MiB", bytes >> 20);
    let (Some(bytes), Some(rest), Some(rate)) = (job.moved_bytes, job.rest_bytes, job.bytes_per_s)
    else {
        return String::new();
    };
    let text = format!("{}, {}/s", mib(bytes), mib(rate));
    match rest.checked_div(rate) {
        Some(seconds) => format!("{text}, {} left of this volume ({seconds} s)", mib(rest)),
        None => format!("{text}, {} left of this volume", mib(rest)),
    }
}

fn when(milliseconds: Option<i64>) -> String {
    milliseconds.map_or(String::new(), time::local)
}

/// What a job works on, as people write it: `node`, `resource`, `resource/volume` or `resource on node`.
fn object(job: &Job) -> String {
    let of = |key| job.obj_refs.get(key).map(String::as_str);
    let other = || {
        let references = job.obj_refs.iter();
        let references = references.map(|(kind, name)| format!("{kind}: {name}"));
        references.collect::<Vec<_>>().join("\n")
    };
    match (job.obj_refs.len(), of("RscDfn"), of("Node"), of("VlmNr")) {
        (1, Some(name), _, _) | (1, _, Some(name), _) => name.to_owned(),
        (2, Some(resource), Some(node), _) => format!("{resource} on {node}"),
        (2, Some(resource), _, Some(volume)) => format!("{resource}/{volume}"),
        _ => other(),
    }
}

fn waiting_for(job: &Job) -> String {
    let waiting = job.waiting_for.iter().map(|on| match on.node.as_str() {
        "" => on.reason.clone(),
        node => format!("{node}: {}", on.reason),
    });
    waiting.collect::<Vec<_>>().join("\n")
}

/// A job's step, its number, and how much of it is done.
pub fn step(job: &Job) -> String {
    let mut text = job.phase.to_string();
    if let (Some(step), Some(steps @ 2..)) = (job.step, job.steps) {
        text = format!("{text} ({step} of {steps})");
    }
    if let Some(percent) = job.percent {
        text = format!("{text} {percent:.0}%");
    }
    if job.cancelled {
        text = format!("{text}, cancelled");
    }
    text
}
