//! `linstor error-reports`: what went wrong in controller and satellites.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value as Json, json};

use super::list_options::PASTABLE;
use super::rows::{rows, text, time};
use crate::action::{Action, Mode, Screen};
use crate::define::{Arg, Command, Given, Names, flag, group, option, own, value};
use crate::failure::Failure;
use crate::output::machine;
use crate::output::table::Cell;
use crate::request::{Method, Request};

const SINCE: Arg = option(
    "--since -s",
    "Not older than this: 3days, 1d10h, 5 hours, or 2026-08-30 13:40",
);
const NODES: Arg = option("--nodes -n", "Only of these nodes")
    .of(Names::Node)
    .many();

pub const ERROR_REPORTS: Command = group(
    "error-reports err",
    "Error reports of controller and satellites",
    &[
        own(
            "list l",
            "List the error reports",
            &[
                SINCE,
                option("--to -t", "Not newer than this day: 2026-08-30"),
                NODES,
                PASTABLE,
                option("--report-id", "Only those whose ids begin so").many(),
                flag("--full -f", "Whole messages, with location and version"),
            ],
            |given| fetch(given, "report-id", false, show),
        ),
        own(
            "show s",
            "Print error reports",
            &[value("id", "Ids of the reports").many()],
            |given| {
                fetch(given, "id", true, |_, reports, screen| {
                    reports
                        .iter()
                        .try_for_each(|report| screen.line(&text(report, "text")))
                })
            },
        ),
        own(
            "delete d",
            "Delete error reports",
            &[
                option("--nodes", "Only of these nodes")
                    .of(Names::Node)
                    .many(),
                option("--since", "Not older than this: 5d6h, or 2026-08-30 13:40"),
                option("--to", "Not newer than this: 5d6h, or 2026-08-30 13:40"),
                option("--exception", "Only those with this exception"),
                value("id", "Ids of the reports").any(),
            ],
            |given| {
                let mut body = json!({});
                for (key, list) in [("nodes", given.list("nodes")), ("ids", given.list("id"))] {
                    if !list.is_empty() {
                        body[key] = list.into();
                    }
                }
                for id in ["since", "to"] {
                    if let Some(text) = given.text(id) {
                        body[id] = point_in_time(id, text, "23:59:59")?.into();
                    }
                }
                if let Some(exception) = given.text("exception") {
                    body["exception"] = exception.into();
                }
                Action::modify(Request::new(Method::Patch, &["error-reports"]).body(&body))
            },
        ),
    ],
);

/// Asks for reports by their ids, by node or for all, and shows them.
fn fetch(
    given: &Given,
    ids: &str,
    with_content: bool,
    show: fn(&Given, &[Json], &mut Screen<'_>) -> Result<(), Failure>,
) -> Result<Action, Failure> {
    let mut request = Request::get(&["error-reports"]);
    for (id, end) in [("since", "00:00:00"), ("to", "23:59:59")] {
        if let Ok(Some(text)) = given.0.try_get_one::<String>(id) {
            request = request.query(id, &[point_in_time(id, text, end)?.to_string()]);
        }
    }
    request = request.query("withContent", &[with_content.to_string()]);
    let (_, query) = request.path.split_once('?').unwrap_or_default();
    let (ids, nodes) = (given.list(ids), given.list("nodes"));
    let requests: Vec<Request> = if !ids.is_empty() {
        let one = |id: &String| Request::get(&["error-reports", id]).with_query(query);
        ids.iter().map(one).collect()
    } else if !nodes.is_empty() {
        nodes
            .iter()
            .map(|node| request.clone().query("node", &[node]))
            .collect()
    } else {
        vec![request]
    };
    let given = given.clone();
    let run = move |mode: Mode, screen: &mut Screen<'_>| {
        let mut reports = Vec::new();
        for request in &requests {
            if mode.curl {
                let line = screen.session.curl(request);
                screen.line(&line)?;
                continue;
            }
            match crate::action::send(request, mode, screen)? {
                Some(answer) => reports.extend(rows(&answer.text)?),
                None => return Ok(()),
            }
        }
        match mode {
            Mode { curl: true, .. } => Ok(()),
            Mode { machine: None, .. } => show(&given, &reports, screen),
            _ => screen.line(&machine::indent(&Json::Array(reports).to_string())),
        }
    };
    Ok(Action::Program(Box::new(run)))
}

/// Longest message that a list shows without `--full`.
const MESSAGE_CHARS: usize = 60;

fn show(given: &Given, reports: &[Json], screen: &mut Screen<'_>) -> Result<(), Failure> {
    let full = given.has("full");
    let mut table = given.table(screen, &["Id", "Datetime", "Node", "Exception"]);
    if full {
        table = table.column("Location").column("Version");
    }
    for report in reports {
        let of = |key| text(report, key);
        let id = of("filename");
        let id = id.strip_prefix("ErrorReport-").unwrap_or(&id);
        let mut message = of("exception_message");
        if !full && message.chars().count() >= MESSAGE_CHARS {
            message = message
                .chars()
                .take(MESSAGE_CHARS - 3)
                .chain("...".chars())
                .collect();
        }
        let module: String = of("module").chars().take(1).chain("|".chars()).collect();
        let module = if module == "|" { String::new() } else { module };
        let separator = if message.is_empty() { "" } else { ": " };
        let mut cells: Vec<Cell> = vec![
            id.strip_suffix(".log").unwrap_or(id).into(),
            time(report, "error_time").into(),
            format!("{module}{}", of("node_name")).into(),
            format!("{}{separator}{message}", of("exception")).into(),
        ];
        if full {
            let location = match of("origin_file") {
                file if file.is_empty() => file,
                file => format!("{file}:{}", of("origin_line")),
            };
            cells.extend([location.into(), of("version").into()]);
        }
        table.row(cells);
    }
    screen.table(table)
}

/// Milliseconds since 1970 of `1d10h` ago, `5` hours ago, a day, or the beginning of a date and time; the rest of a day
/// is taken from `end`.
pub fn point_in_time(option: &str, given: &str, end: &str) -> Result<i64, Failure> {
    if let Some(hours) = hours(given) {
        let now = Timestamp::now();
        let past = now.checked_sub(hours.hours());
        return past
            .map(Timestamp::as_millisecond)
            .map_err(|_| Failure::usage(format!("--{option}: '{given}' is too long ago")));
    }
    let pattern = format!("0000-00-00 {end}");
    let whole = format!("{given}{}", pattern.get(given.len()..).unwrap_or_default());
    let local = whole.parse::<DateTime>().ok();
    let zoned = local.and_then(|local| local.to_zoned(TimeZone::system()).ok());
    zoned.map(|time| time.timestamp().as_millisecond()).ok_or_else(|| {
        Failure::usage(format!(
            "--{option}: '{given}' is no time; give 1d10h, a number of hours, or 2026-08-30 13:40"
        ))
    })
}

/// The hours of `3days`, `1d10h`, `10 hours`; a number alone is hours.
fn hours(given: &str) -> Option<i64> {
    let compact: String = given.chars().filter(|c| !c.is_whitespace()).collect();
    let mut rest = compact.as_str();
    let mut sum: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..]
            .bytes()
            .take_while(u8::is_ascii_alphabetic)
            .count();
        let unit = match &rest[digits..digits + letters] {
            "" | "h" | "hour" | "hours" => 1,
            "d" | "day" | "days" => 24,
            _ => return None,
        };
        if letters == 0 && digits < rest.len() {
            return None;
        }
        sum = sum.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + letters..];
    }
    (!compact.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days and hours, in the forms that command lines in use have.
    #[test]
    fn past_times() {
        for (text, expected) in [
            ("3days", Some(72)),
            ("1d10h", Some(34)),
            ("5", Some(5)),
            ("2 hours", Some(2)),
            ("2026-08-30", None),
            ("h", None),
            ("", None),
            ("1w", None),
        ] {
            assert_eq!(hours(text), expected, "{text}");
        }
        let first = point_in_time("since", "2026-08-30", "00:00:00").unwrap();
        let last = point_in_time("to", "2026-13-30", "23:59:59").unwrap_err();
        assert_eq!(last.exit, crate::failure::exit::USAGE);
        let last = point_in_time("to", "2026-08-30", "23:59:59").unwrap();
        assert_eq!(last - first, 86_399_000);
    }
}
