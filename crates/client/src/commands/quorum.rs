//! `linstor resource-definition quorum`: which nodes vote, and why. An addition to LINSTOR's command line.

use clap::Args;
use linstor_api::quorum::{QuorumReport, Vote};

use super::list_options::Pastable;
use crate::action::{Action, Screen, read};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::request::Request;

/// Arguments of `quorum`.
#[derive(Debug, Clone, Args)]
pub struct Quorum {
    #[command(flatten)]
    pastable: Pastable,
    /// Name of the resource definition
    name: String,
}

impl Quorum {
    /// The action of the command.
    pub fn action(self) -> Action {
        let request = Request::get(&[super::resource_definition::PATH, &self.name, "quorum"]);
        Action::Object {
            request,
            show: Box::new(move |text, screen| show(&self, &read(text)?, screen)),
        }
    }
}

fn show(args: &Quorum, report: &QuorumReport, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut table = args
        .pastable
        .table(screen.style)
        .column("Node")
        .column("Kind")
        .column("Vote")
        .column("State")
        .column("Reason");
    for vote in &report.votes {
        table.row(vec![
            vote.node_name.as_str().into(),
            vote.kind.as_str().into(),
            vote.vote.as_str().into(),
            state(vote),
            vote.reason.as_deref().unwrap_or_default().into(),
        ]);
    }
    screen.table(table)?;
    let majority = match (report.disks_needed, report.failures_allowed) {
        (Some(disks), Some(failures)) => {
            format!("; disks needed: {disks}, nodes that may fail: {failures}")
        }
        _ => String::new(),
    };
    screen.line(&format!(
        "Quorum: {} ({}{majority})\nTie breaker: {}",
        report.quorum, report.reason, report.tie_breaker
    ))
}

fn state(vote: &Vote) -> Cell {
    match (vote.online, vote.quorum_lost) {
        (false, _) => Cell::colored("OFFLINE", Color::Red),
        (true, true) => Cell::colored("quorum lost", Color::Red),
        (true, false) => Cell::colored("Online", Color::DarkGreen),
    }
}
