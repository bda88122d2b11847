//! The overview of commands, and completion scripts made from it.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

/// The commands with their short forms; with all subcommands if `tree`.
pub fn list(tree: bool) -> String {
    let mut out = "Use \"help <command>\" to get help for a specific command.\n\n".to_owned();
    out.push_str("Available commands:\n");
    let mut nouns: Vec<_> = Cli::command().get_subcommands().cloned().collect();
    nouns.sort_by(|a, b| a.get_name().cmp(b.get_name()));
    for noun in &nouns {
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

/// A completion script.
pub fn completion(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "linstor", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
