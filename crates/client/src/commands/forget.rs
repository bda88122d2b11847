//! `linstor node forget`: what earlier identities of a node have left on it. An addition to LINSTOR's command line.

use clap::Args;
use linstor_api::leftover::{Leftover, LeftoversForget};
use linstor_api::size::format_kib;

use super::list_options::Pastable;
use crate::action::{Action, Mode, Screen, read};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::machine;
use crate::output::table::Cell;
use crate::request::Request;

/// Arguments of `forget`.
#[derive(Debug, Clone, Args)]
pub struct Forget {
    #[command(flatten)]
    pastable: Pastable,
    /// Remove what is shown; what another cluster made only with --id
    #[arg(long)]
    yes: bool,
    /// Only this one; may be repeated
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Name of the node
    node: String,
}

impl Forget {
    /// The action of the command.
    pub fn action(self) -> Action {
        Action::Own {
            request: Request::get(&["nodes", &self.node, "leftovers"]),
            show: Box::new(move |text, mode, screen| self.show(text, mode, screen)),
        }
    }

    fn show(&self, text: &str, mode: Mode, screen: &mut Screen<'_>) -> Result<(), Failure> {
        let all: Vec<Leftover> = read(text)?;
        let named = |row: &&Leftover| self.id.is_empty() || self.id.contains(&row.id);
        let rows: Vec<&Leftover> = all.iter().filter(named).collect();
        if let Some(unknown) = self
            .id
            .iter()
            .find(|id| all.iter().all(|row| row.id != **id))
        {
            let message = format!("Node '{}' has no leftover '{unknown}'.", self.node);
            return Err(Failure::usage(message));
        }
        match (mode.machine, self.yes) {
            (Some(_), false) => return screen.line(&machine::indent(text)),
            (Some(_), true) => {}
            (None, yes) => {
                screen.table(self.table(&rows, screen))?;
                if !yes {
                    return Ok(());
                }
            }
        }
        let may_be =
            |row: &&&Leftover| row.reason.is_none() && (!row.other_cluster || !self.id.is_empty());
        let ids: Vec<String> = rows
            .iter()
            .filter(may_be)
            .map(|row| row.id.clone())
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        let path = ["nodes", &self.node, "leftovers", "forget"];
        let answer = screen
            .session
            .send(&Request::post(&path, &LeftoversForget { ids }))?;
        match mode.machine {
            Some(_) => screen.line(&machine::indent(&answer.text)),
            None => screen.replies(&answer.replies()?),
        }
    }

    fn table(&self, rows: &[&Leftover], screen: &Screen<'_>) -> crate::output::table::Table {
        let mut table = self
            .pastable
            .table(screen.style)
            .column("Id")
            .column("Device")
            .right("Size")
            .column("Minors")
            .column("Ports")
            .column("Removable");
        for row in rows {
            let removable = match (&row.reason, row.other_cluster) {
                (Some(reason), _) => Cell::colored(reason.as_str(), Color::Red),
                (None, true) => Cell::colored("with --id: another cluster made it", Color::Yellow),
                (None, false) => Cell::colored("yes", Color::DarkGreen),
            };
            table.row(vec![
                row.id.as_str().into(),
                row.device_path.as_str().into(),
                row.size_kib.map(format_kib).unwrap_or_default().into(),
                joined(&row.minor_numbers).into(),
                joined(&row.tcp_ports).into(),
                removable,
            ]);
        }
        table
    }
}

fn joined(numbers: &[impl ToString]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(",")
}
