//! Commands about the command line itself: the overview, completion, manual pages, interactive mode.

use std::path::Path;

use crate::action::Action;
use crate::cli;
use crate::complete;
use crate::define::{Command, flag, own, value};
use crate::failure::{Failure, exit};

pub const LIST_COMMANDS: Command = own(
    "list-commands commands list",
    "Print the commands",
    &[flag("--tree -t", "With the commands of every noun")],
    |given| Ok(Action::Print(list(given.has("tree")))),
);

pub const COMPLETION: Command = own(
    "completion",
    "Print a completion script for a shell",
    &[value("shell", "The shell").one_of(&["bash", "zsh", "fish"])],
    |given| {
        Ok(Action::Print(
            complete::script(given.need("shell")).to_owned(),
        ))
    },
);

pub const ZSH_COMPLETION: Command = own(
    "gen-zsh-completer",
    "Print a completion script for zsh",
    &[],
    |_| Ok(Action::Print(complete::script("zsh").to_owned())),
);

/// What completion scripts call; an empty help hides it.
pub const COMPLETE: Command = own("complete", "", &[value("words", "").any()], |given| {
    let words = given.list("words");
    Ok(Action::Program(Box::new(move |_, screen| {
        let lines = complete::candidates(&words, screen.session);
        lines
            .iter()
            .try_for_each(|(word, help)| screen.line(&format!("{word}\t{help}")))
    })))
});

pub const MANUAL_PAGES: Command = own(
    "manual-pages",
    "Write a manual page for each command",
    &[value("directory", "Where they are written to")],
    |given| {
        let directory = given.need("directory").to_owned();
        Ok(Action::Program(Box::new(move |_, screen| {
            let failed = |error: std::io::Error| {
                Failure::with(exit::UNKNOWN_ERROR, format!("{directory}: {error}"))
            };
            std::fs::create_dir_all(&directory).map_err(failed)?;
            clap_mangen::generate_to(cli::build(None), Path::new(&directory)).map_err(failed)?;
            screen.line(&format!("Manual pages written to {directory}"))
        })))
    },
);

pub const INTERACTIVE: Command = own(
    "interactive",
    "Read commands from standard input",
    &[],
    |_| Ok(Action::Interactive),
);

pub const EXIT: Command = own("exit quit", "Leave interactive mode", &[], |_| {
    Ok(Action::Print(String::new()))
});

/// The commands with their short forms; with all subcommands if `tree`.
pub fn list(tree: bool) -> String {
    let mut out = "Use \"help <command>\" to get help for a specific command.\n\n".to_owned();
    out.push_str("Available commands:\n");
    let root = cli::build(if tree { None } else { Some(&[]) });
    let mut nouns: Vec<_> = root
        .get_subcommands()
        .filter(|noun| !noun.is_hide_set())
        .collect();
    nouns.sort_by(|a, b| a.get_name().cmp(b.get_name()));
    for noun in nouns {
        line(&mut out, noun, 0, tree);
    }
    out
}

fn line(out: &mut String, command: &clap::Command, depth: usize, tree: bool) {
    out.push_str(&"  ".repeat(depth));
    out.push_str("- ");
    out.push_str(command.get_name());
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        out.push_str(&format!(" ({})", aliases.join(", ")));
    }
    out.push('\n');
    if tree {
        for verb in command.get_subcommands() {
            line(out, verb, depth + 1, tree);
        }
    }
}
