//! `linstor file`: files that the controller holds and satellites write.

use std::io::{IsTerminal, Read, Write, stdin};
use std::process::Command as Process;

use linstor_api::external_file::ExternalFile;
use serde_json::json;

use super::list_options::PASTABLE;
use super::rows::{rows, text};
use crate::action::{Action, Mode, Screen, read};
use crate::base64;
use crate::define::{Arg, Command, Names, group, list, modify, object, own, value};
use crate::failure::{Failure, exit};
use crate::output::table::Cell;
use crate::request::Request;

const FILE: Arg = value("file", "Full path of the file").of(Names::ExternalFile);
const RESOURCE: Arg = value("resource", "Name of the resource definition").of(Names::Resource);

pub const FILE_COMMANDS: Command = group(
    "file f",
    "Files that the controller holds and satellites write",
    &[
        list(
            "List the files",
            "GET files",
            &[PASTABLE],
            |given, answer, screen| {
                let mut table = given.table(screen, &["Path"]).group_by(&[]);
                for row in &rows(answer)? {
                    table.row(vec![Cell::from(text(row, "path"))]);
                }
                screen.table(table)
            },
        ),
        object(
            "show s",
            "Print a file",
            "GET files/{file}",
            &[FILE],
            |_, answer, screen| {
                let content = content(answer)?;
                Ok(screen.out.write_all(&content)?)
            },
        ),
        own(
            "modify m",
            "Create or edit a file, or read it from standard input",
            &[FILE],
            |given| {
                let name = given.need("file").to_owned();
                let run = move |mode: Mode, screen: &mut Screen<'_>| {
                    let new = match stdin().is_terminal() {
                        true => edit(&name, screen)?,
                        false => {
                            let mut all = Vec::new();
                            stdin().lock().read_to_end(&mut all)?;
                            all
                        }
                    };
                    let body = json!({"path": name, "content": base64::encode(&new)});
                    Action::modify(Request::put(&["files", &name], &body))?.run(mode, screen)
                };
                Ok(Action::Program(Box::new(run)))
            },
        ),
        modify(
            "delete d",
            "Delete a file, also on all nodes",
            "DELETE files/{file}",
            &[FILE],
        ),
        modify(
            "deploy dep",
            "Write a file on all nodes of a resource",
            "POST resource-definitions/{resource}/files/{file}",
            &[FILE, RESOURCE],
        ),
        modify(
            "undeploy und",
            "Remove a file from the nodes of a resource",
            "DELETE resource-definitions/{resource}/files/{file}",
            &[FILE, RESOURCE],
        ),
    ],
);

fn content(answer: &str) -> Result<Vec<u8>, Failure> {
    let file: ExternalFile = read(answer)?;
    base64::decode(&file.content.unwrap_or_default())
        .ok_or_else(|| Failure::unexpected("the content of the file is not Base64"))
}

/// The file as the user's editor leaves it.
fn edit(name: &str, screen: &mut Screen<'_>) -> Result<Vec<u8>, Failure> {
    let answer = screen.session.send(&Request::get(&["files", name]))?;
    let before = match answer.status {
        404 => Vec::new(),
        _ if answer.is_error() => {
            screen.replies(&answer.replies()?)?;
            return Err(Failure::with(exit::API_ERROR, ""));
        }
        _ => content(&answer.text)?,
    };
    let path = std::env::temp_dir().join(format!("linstor-file-{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600)
        .open(&path)?
        .write_all(&before)?;
    let editor = std::env::var("EDITOR")
        .ok()
        .filter(|editor| !editor.is_empty());
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let mut words = editor.split_whitespace();
    let ended = Process::new(words.next().unwrap_or("vi"))
        .args(words)
        .arg(&path)
        .status();
    let after = std::fs::read(&path);
    std::fs::remove_file(&path)?;
    match ended {
        Ok(status) if status.success() => Ok(after?),
        Ok(status) => Err(Failure::with(
            exit::UNKNOWN_ERROR,
            format!("{editor}: {status}; the file is not changed"),
        )),
        Err(error) => Err(Failure::with(
            exit::UNKNOWN_ERROR,
            format!("{editor}: {error}; set EDITOR"),
        )),
    }
}
