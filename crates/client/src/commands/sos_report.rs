//! `linstor sos-report` and `linstor space-reporting`: what support asks for.

use serde_json::Value as Json;

use super::error_report::point_in_time;
use crate::action::{Action, Mode, Screen, read};
use crate::define::{Arg, Command, Given, Names, flag, group, object, option, own, path, value};
use crate::failure::{Failure, exit};
use crate::request::Request;

const SINCE: Arg = option(
    "--since -s",
    "Only logs not older than this: 3days, 1d10h or hours",
);
const NODES: Arg = option("--nodes -n", "Only of these nodes")
    .of(Names::Node)
    .many()
    .query("nodes");
const RESOURCES: Arg = option("--resources -r", "Only of the nodes of these resources")
    .of(Names::Resource)
    .many()
    .query("rscs");
const EXCLUDE: Arg = option("--exclude-nodes -e --exclude", "Not of these nodes")
    .of(Names::Node)
    .many()
    .query("exclude");
const NO_CONTROLLER: Arg = flag("--no-controller", "Not of the controller");

pub const SOS_REPORT: Command = group(
    "sos-report sos",
    "Archives with logs and states of all nodes, for support",
    &[
        own(
            "create c",
            "Create an archive on the controller",
            &[SINCE, NODES, RESOURCES, EXCLUDE, NO_CONTROLLER],
            |given| Action::modify(request(given, "GET sos-report")?),
        ),
        own(
            "download dl",
            "Create an archive and download it",
            &[
                SINCE,
                value(
                    "path",
                    "File or directory; the working directory if it is not given",
                )
                .maybe(),
                NODES,
                RESOURCES,
                EXCLUDE,
                NO_CONTROLLER,
            ],
            |given| {
                let request = request(given, "GET sos-report/download")?;
                let to = path(given, "path").unwrap_or_else(|| ".".into());
                let run = move |mode: Mode, screen: &mut Screen<'_>| {
                    if mode.curl {
                        let line = screen.session.curl(&request);
                        return screen.line(&line);
                    }
                    let download = screen.session.download(&request)?;
                    if download.status >= 400 {
                        let text = String::from_utf8_lossy(&download.content).into_owned();
                        let answer = crate::session::Answer {
                            status: download.status,
                            text,
                        };
                        return crate::action::unless_error(answer, mode, screen).map(drop);
                    }
                    let name = download
                        .file_name
                        .unwrap_or_else(|| "sos-report.tar.gz".to_owned());
                    let to = if to.is_dir() { to.join(name) } else { to };
                    std::fs::write(&to, &download.content).map_err(|error| {
                        Failure::with(exit::UNKNOWN_ERROR, format!("{}: {error}", to.display()))
                    })?;
                    screen.line(&format!("File saved to: {}", to.display()))
                };
                Ok(Action::Program(Box::new(run)))
            },
        ),
    ],
);

pub const SPACE_REPORTING: Command = group(
    "space-reporting spr",
    "Reports on the space that the cluster uses",
    &[object(
        "query qry",
        "Print the report",
        "GET space-report",
        &[super::list_options::FROM_FILE],
        |_, answer, screen| {
            let report: Json = read(answer)?;
            screen.line(report["reportText"].as_str().unwrap_or_default())
        },
    )],
);

fn request(given: &Given, template: &str) -> Result<Request, Failure> {
    let mut request = given.request(template, &[NODES, RESOURCES, EXCLUDE])?;
    if let Some(since) = given.text("since") {
        request = request.query(
            "since",
            &[point_in_time("since", since, "00:00:00")?.to_string()],
        );
    }
    if given.has("no-controller") {
        request = request.query("include-ctrl", &["false"]);
    }
    Ok(request)
}
