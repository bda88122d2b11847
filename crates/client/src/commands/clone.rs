//! `linstor resource-definition clone`: a copy of a resource definition with its data.

use linstor_api::job::Job;
use linstor_api::resource_definition::ResourceDefinitionCloneStarted;
use serde_json::Value as Json;

use super::rows::text;
use super::select;
use crate::action::{Action, Mode, POLL_INTERVAL, Screen, read, send};
use crate::define::{Arg, Command, Names, flag, option, own, value};
use crate::failure::{Failure, exit};
use crate::output::color::Color;
use crate::output::progress::Progress;
use crate::request::Request;

const ARGS: &[Arg] = &[
    option("--external-name -e", "Name of the clone in other systems").body("external_name"),
    flag("--no-wait", "Do not wait until the data are there"),
    option(
        "--wait-timeout",
        "Seconds to wait; no limit if it is not given",
    )
    .number(),
    flag(
        "--use-zfs-clone",
        "A ZFS clone, which depends on the source, is good enough",
    )
    .body("use_zfs_clone"),
    option("--volume-passphrase", "Passphrases of its volumes")
        .any()
        .body("volume_passphrases"),
    option("--layer-list -l", "Layers, top first, separated by commas"),
    option("--resource-group --rsc-grp", "Its resource group")
        .of(Names::ResourceGroup)
        .body("resource_group"),
    value("source", "Name of the resource definition").of(Names::Resource),
    value("name", "Name of the clone").maybe(),
];

pub const CLONE: Command = own(
    "clone cln",
    "Copy a resource definition with its data",
    ARGS,
    |given| {
        let template = "POST resource-definitions/{source}/clone";
        let mut request = given.request(template, ARGS)?;
        let mut body: Json = read(request.body.as_deref().unwrap_or("{}"))?;
        match (given.text("name"), given.text("external-name")) {
            (_, Some(_)) => {}
            (Some(name), None) => body["name"] = name.into(),
            (None, None) => {
                return Err(Failure::usage(
                    "the clone has no name; give NAME or --external-name",
                ));
            }
        }
        if let Some(layers) = select::layers(given.text("layer-list"))? {
            body["layer_list"] = layers.into();
        }
        request = request.body(&body);
        let timeout = given
            .text("wait-timeout")
            .map(str::parse::<u64>)
            .transpose();
        let timeout_s = timeout.map_err(|_| Failure::usage("--wait-timeout: give seconds"))?;
        let wait = !given.has("no-wait");
        let run = move |mode: Mode, screen: &mut Screen<'_>| {
            if mode.curl {
                let line = screen.session.curl(&request);
                return screen.line(&line);
            }
            let Some(answer) = send(&request, mode, screen)? else {
                return Ok(());
            };
            let started: ResourceDefinitionCloneStarted = read(&answer.text)?;
            crate::action::replies_of(&started.messages, mode, screen)?;
            match wait && screen.exit == exit::OK {
                true => wait_for(&started, timeout_s, mode, screen),
                false => Ok(()),
            }
        };
        Ok(Action::Program(Box::new(run)))
    },
);

fn wait_for(
    clone: &ResourceDefinitionCloneStarted,
    timeout_s: Option<u64>,
    mode: Mode,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let (source, name) = (&clone.source_name, &clone.clone_name);
    let request = Request::get(&["resource-definitions", source, "clone", name]);
    let quiet = mode.machine.is_some();
    if !quiet {
        screen.line("Waiting for cloning to complete...")?;
        screen.out.flush()?;
    }
    let mut progress = Progress::begin(
        format!("Cloning {source} to {name}"),
        format!(
            "the controller continues to clone; 'linstor resource-definition list -r {name}' shows its state"
        ),
    );
    loop {
        let status: Json = screen.query(&request)?;
        let (word, color) = match text(&status, "status").as_str() {
            "COMPLETE" => ("Completed", Color::Green),
            "FAILED" => ("Failed", Color::Red),
            _ => {
                if let Some(timeout_s) = timeout_s.filter(|limit| progress.seconds() >= *limit) {
                    return Err(Failure::with(
                        exit::CONNECTION_TIMEOUT,
                        format!(
                            "{name} is not cloned after {timeout_s} s; the controller continues to clone it"
                        ),
                    ));
                }
                let is_its = |job: &Job| job.obj_refs.values().any(|object| object == name);
                let jobs = Request::get(&["jobs"]);
                progress.show_job(is_its, || screen.query(&jobs).unwrap_or_default());
                std::thread::sleep(POLL_INTERVAL);
                continue;
            }
        };
        drop(progress);
        if word == "Failed" {
            screen.exit = exit::API_ERROR;
        }
        let hint = if word == "Failed" {
            "; see 'linstor error-reports list'"
        } else {
            ""
        };
        let word = color.paint(word, screen.style.color);
        return if quiet {
            Ok(())
        } else {
            screen.line(&format!("{word} cloning {name}{hint}."))
        };
    }
}
