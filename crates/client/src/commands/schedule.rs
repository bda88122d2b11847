//! `linstor schedule`: when backups are made.

use serde_json::Value as Json;

use super::list_options::PASTABLE;
use super::rows::{below, positive, text, time};
use crate::action::Screen;
use crate::define::{Arg, Command, Given, Names, flag, group, modify, object, option, value};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;

const NAME: Arg = value("schedule", "Name of the schedule").of(Names::Schedule);
const INCREMENTAL: Arg =
    option("--incremental-cron -i", "When incremental backups are made").body("inc_cron");
const KEEP_LOCAL: Arg = option(
    "--keep-local -l",
    "How many snapshots of full backups remain here, or all",
)
.number_or("all")
.body("keep_local");
const KEEP_REMOTE: Arg = option(
    "--keep-remote -r",
    "How many full backups remain on the remote, or all",
)
.number_or("all")
.body("keep_remote");
const ON_FAILURE: Arg = option("--on-failure", "What follows a failure")
    .one_of_upper(&["RETRY", "SKIP"])
    .body("on_failure");
const RETRIES: Arg = option(
    "--max-retries",
    "How many times a backup is repeated, or forever",
)
.number_or("forever")
.body("max_retries");
/// The form of a time.
const CRON: &str = "minute, hour, day of the month, month and day of the week, as '0 3 * * SAT'";

pub const SCHEDULE_COMMANDS: Command = group(
    "schedule sched",
    "Schedules: when backups are made",
    &[
        object(
            "list l",
            "List the schedules",
            "GET schedules",
            &[PASTABLE],
            show,
        ),
        object(
            "list-by-resource lbr",
            "List the resources with their next backups",
            "GET view/schedules-by-resource",
            &[
                PASTABLE,
                option("--resource -r", "Only this resource")
                    .of(Names::Resource)
                    .query("rsc"),
                option("--remote -o", "Only this remote")
                    .of(Names::Remote)
                    .query("remote"),
                option("--schedule -s", "Only this schedule")
                    .of(Names::Schedule)
                    .query("schedule"),
                flag("--active-only -a", "Only those that are enabled").query("active-only"),
            ],
            show_by_resource,
        ),
        object(
            "list-by-resource-details lbd",
            "Show on which level the schedules of a resource are enabled or disabled",
            "GET view/schedules-by-resource/{resource}",
            &[
                PASTABLE,
                value("resource", "Name of the resource").of(Names::Resource),
            ],
            show_details,
        ),
        modify(
            "create c",
            "Create a schedule",
            "POST schedules",
            &[
                value("schedule", "Name of the schedule").body("schedule_name"),
                value("full-cron", CRON).body("full_cron"),
                INCREMENTAL,
                KEEP_LOCAL,
                KEEP_REMOTE,
                ON_FAILURE,
                RETRIES,
            ],
        ),
        modify(
            "modify m",
            "Change a schedule",
            "PUT schedules/{schedule}",
            &[
                NAME,
                option("--full-cron -f", CRON).body("full_cron"),
                INCREMENTAL,
                KEEP_LOCAL,
                KEEP_REMOTE,
                ON_FAILURE,
                RETRIES,
            ],
        ),
        modify(
            "delete d",
            "Delete a schedule",
            "DELETE schedules/{schedule}",
            &[NAME],
        ),
    ],
);

fn show(given: &Given, answer: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let columns = [
        "Name",
        "Full",
        "Incremental",
        "KeepLocal",
        "KeepRemote",
        "OnFailure",
    ];
    let mut table = given.table(screen, &columns).group_by(&[]);
    for row in &below(answer, "data")? {
        let or = |key, absent: &str| match text(row, key) {
            text if text.is_empty() => absent.to_owned(),
            text => text,
        };
        let on_failure = match text(row, "on_failure") {
            retry if retry == "RETRY" => format!("RETRY({})", or("max_retries", "forever")),
            other => other,
        };
        table.row(vec![
            text(row, "schedule_name").into(),
            text(row, "full_cron").into(),
            text(row, "inc_cron").into(),
            or("keep_local", "all").into(),
            or("keep_remote", "all").into(),
            on_failure.into(),
        ]);
    }
    screen.table(table)
}

fn show_by_resource(given: &Given, answer: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let columns = [
        "Resource",
        "Remote",
        "Schedule",
        "Last",
        "Next",
        "Planned Inc",
        "Planned Full",
        "Reason",
    ];
    let mut table = given.table(screen, &columns).group_by(&[]);
    for row in &below(answer, "data")? {
        let with_kind = |at: &str, incremental: &str| match positive(row, at) {
            Some(_) if row[incremental] == true => format!("{} (Inc)", time(row, at)),
            Some(_) => format!("{} (Full)", time(row, at)),
            None => String::new(),
        };
        table.row(vec![
            text(row, "rsc_name").into(),
            text(row, "remote_name").into(),
            text(row, "schedule_name").into(),
            with_kind("last_snap_time", "last_snap_inc").into(),
            with_kind("next_exec_time", "next_exec_inc").into(),
            time(row, "next_planned_inc").into(),
            time(row, "next_planned_full").into(),
            text(row, "reason").into(),
        ]);
    }
    screen.table(table)
}

fn show_details(given: &Given, answer: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let columns = [
        "Remote",
        "Schedule",
        "Resource-Definition",
        "Resource-Group",
        "Controller",
    ];
    let mut table = given.table(screen, &columns).group_by(&[]);
    for row in &below(answer, "data")? {
        let mut cells: Vec<Cell> = vec![
            text(row, "remote_name").into(),
            text(row, "schedule_name").into(),
        ];
        // The first level that is set decides; it alone has a colour.
        let mut decided = false;
        for level in ["rsc_dfn", "rsc_grp", "ctrl"] {
            cells.push(match row[level] {
                Json::Bool(enabled) => {
                    let (text, color) = if enabled {
                        ("Enabled", Color::Green)
                    } else {
                        ("Disabled", Color::Red)
                    };
                    Cell::colored(
                        text,
                        (!std::mem::replace(&mut decided, true)).then_some(color),
                    )
                }
                _ => "".into(),
            });
        }
        table.row(cells);
    }
    screen.table(table)
}
