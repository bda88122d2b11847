//! From command lines to requests, and from answers to output.

mod data_requests;
mod guides;
mod machine;
mod own_tables;
mod requests;
mod tables;
mod tree;

use std::collections::BTreeMap;

use crate::action::{Action, Mode, OutputVersion, Screen};
use crate::cli::{self, Line};
use crate::failure::Failure;
use crate::output::Style;
use crate::request::Request;
use crate::session::{Answer, Transport};

/// The tree of commands is valid (no two options of one name, ...).
#[test]
fn the_tree_of_commands_is_valid() {
    cli::build(None).debug_assert();
}

/// The action of a command line.
fn action(line: &str) -> Result<Action, String> {
    let words = line.split_whitespace().map(str::to_owned).collect();
    let line = Line::parse(words).map_err(|error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().to_owned()
    })?;
    line.action().map_err(|failure| failure.to_string())
}

/// Answers requests by their path.
struct Fake(BTreeMap<String, (u16, String)>);

impl Transport for Fake {
    fn send(&mut self, request: &Request) -> Result<Answer, Failure> {
        let path = request.path.split('?').next().unwrap_or_default();
        let unknown = (
            404,
            r#"[{"ret_code":-4611686018427387604,"message":"not found"}]"#.to_owned(),
        );
        let (status, text) = self.0.get(path).cloned().unwrap_or(unknown);
        Ok(Answer { status, text })
    }

    fn base(&self) -> &str {
        "http://fake:3370"
    }
}

/// The output of a command, and its exit code if it is not 0.
fn output(line: &str, machine: Option<OutputVersion>, answers: &[(&str, u16, &str)]) -> String {
    let answers = answers
        .iter()
        .map(|(path, status, text)| ((*path).to_owned(), (*status, (*text).to_owned())));
    let mut fake = Fake(answers.collect());
    let mut out = Vec::new();
    let mut screen = Screen {
        out: &mut out,
        style: Style {
            utf8: true,
            color: false,
        },
        columns: Vec::new(),
        warn_as_error: false,
        exit: 0,
        session: &mut fake,
    };
    let mode = Mode {
        machine,
        curl: false,
    };
    let result = action(line).unwrap().run(mode, &mut screen);
    let exit = screen.exit;
    let mut text = String::from_utf8(out).unwrap();
    if let Err(failure) = result {
        text.push_str(&format!("failure {}: {failure}\n", failure.exit));
    } else if exit != 0 {
        text.push_str(&format!("exit {exit}\n"));
    }
    text
}
