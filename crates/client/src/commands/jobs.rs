//! `linstor jobs`: operations in progress, which node each waits for, and why. An addition to LINSTOR's command line.

use clap::{Args, Subcommand};
use linstor_api::job::Job;

use super::list_options::{GroupBy, Pastable};
use crate::action::{Action, Screen};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::output::time;
use crate::request::Request;

/// Subcommands of `jobs`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the operations in progress
    #[command(visible_alias = "l")]
    List(List),
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    group_by: GroupBy,
}

impl Command {
    /// The action of the command.
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            Command::List(args) => Ok(Action::list(
                Request::get(&["jobs"]),
                None,
                move |rows: Vec<_>, screen| show_list(&args, &rows, screen),
            )),
        }
    }
}

fn show_list(args: &List, jobs: &[Job], screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut table = args
        .pastable
        .table(screen.style)
        .column("Id")
        .column("Kind")
        .column("Objects")
        .colored("Phase", Color::DarkGreen)
        .column("WaitingFor")
        .column("Since")
        .column("LastError")
        .column("NextTry")
        .group_by(&args.group_by.groupby);
    let when = |milliseconds: Option<i64>| milliseconds.map_or(String::new(), time::local);
    for job in jobs {
        let objects = job
            .obj_refs
            .iter()
            .map(|(kind, name)| format!("{kind}: {name}"));
        let waiting = job
            .waiting_for
            .iter()
            .map(|on| format!("{}: {}", on.node, on.reason));
        let row: Vec<Cell> = vec![
            job.id.as_str().into(),
            job.kind.as_ref().into(),
            objects.collect::<Vec<_>>().join("\n").into(),
            job.phase.as_ref().into(),
            waiting.collect::<Vec<_>>().join("\n").into(),
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
