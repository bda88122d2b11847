//! Compares the real tools in the lab with the transcripts that the fake host is tested against.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use linstor_transcript::{Answer, Machines, differences, play};

use crate::lab::{Exec, Lab, Node};

const TRANSCRIPTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/fake-host/transcripts"
);

/// Longest run of one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

struct Guests<'a>(&'a Lab);

impl Guests<'_> {
    fn exec(&self, node: &str, exec: Exec) -> Result<Answer> {
        let output = self
            .0
            .run(self.node(node)?, exec.timeout(COMMAND_TIMEOUT))?;
        Ok(Answer {
            code: output.status.code().context("ended by a signal")?,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn node(&self, name: &str) -> Result<Node> {
        self.0
            .nodes()
            .into_iter()
            .find(|node| node.to_string() == name)
            .with_context(|| format!("no {name}"))
    }
}

impl Machines for Guests<'_> {
    fn run(&mut self, node: &str, argv: &[String]) -> Result<Answer, String> {
        self.exec(node, Exec::new(argv))
            .map_err(|error| format!("{error:#}"))
    }

    fn mkdir(&mut self, node: &str, path: &str) -> Result<(), String> {
        match self.exec(node, Exec::new(&["mkdir", "-p", path])) {
            Ok(answer) if answer.code == 0 => Ok(()),
            Ok(answer) => Err(answer.stderr),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    fn write(&mut self, node: &str, path: &str, text: &str) -> Result<(), String> {
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        self.mkdir(node, folder)?;
        let node = self.node(node).map_err(|error| error.to_string())?;
        self.0
            .write_file(node, path, text)
            .map_err(|error| format!("{error:#}"))
    }

    fn pause(&mut self) {
        thread::sleep(Duration::from_millis(300));
    }
}

/// Plays all transcripts of a kernel in a lab with at least two nodes and six disks each. A difference is an error,
/// or is written into the transcript if `record`.
pub fn check(lab: &Lab, kernel: &str, record: bool) -> Result<()> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(Path::new(TRANSCRIPTS).join(kernel))? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut wrong = Vec::new();
    for path in paths {
        let recorded = fs::read_to_string(&path)?;
        let shown = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let played = match play(&recorded, &mut Guests(lab)) {
            Ok(played) => played,
            Err(why) => {
                wrong.push(format!("{shown}: {why}"));
                continue;
            }
        };
        if record {
            fs::write(&path, played)?;
            continue;
        }
        wrong.extend(
            differences(&recorded, &played)
                .iter()
                .map(|difference| format!("{shown}:\n{difference}")),
        );
    }
    if !wrong.is_empty() {
        bail!(
            "the output in the lab differs from the recorded one:\n{}",
            wrong.join("\n")
        );
    }
    Ok(())
}
