//! Interactive mode: commands line by line, from a terminal with history and completion, or from standard input.

use std::cell::RefCell;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter, Validator};

use crate::action::Action;
use crate::cli::{Global, Line};
use crate::commands::help;
use crate::commands::transaction::{Step, Transaction};
use crate::config::Sections;
use crate::failure::{Failure, exit};
use crate::session::Transport;
use crate::{complete, execute, report, usage};

const PROMPT: &str = "LINSTOR ==> ";
const TRANSACTION_PROMPT: &str = "LINSTOR transaction ==> ";
/// How many lines the history has.
const HISTORY_LINES: usize = 1000;

/// Reads commands until the input ends; returns the exit code of the last command.
pub fn run(
    global: &Global,
    sections: &Sections,
    session: &mut dyn Transport,
    mut transaction: Option<Transaction>,
) -> Result<u8, Failure> {
    let session = RefCell::new(session);
    let mut lines = Lines::begin(&session)?;
    let mut last = exit::OK;
    while let Some(line) = lines.next(if transaction.is_some() {
        TRANSACTION_PROMPT
    } else {
        PROMPT
    })? {
        let mut words = match split(&line) {
            Ok(words) => words,
            Err(failure) => {
                report(&failure);
                last = failure.exit;
                continue;
            }
        };
        if words.first().is_some_and(|word| word == "linstor") {
            words.remove(0);
        }
        match words.first().map(String::as_str) {
            None => continue,
            Some("exit" | "quit") => break,
            Some("interactive") => {
                eprintln!("Interactive mode is already active; enter a command, or 'exit'");
                continue;
            }
            Some(_) => {}
        }
        let ends = transaction
            .as_ref()
            .is_some_and(|transaction| transaction.terminate_on_error);
        last = match Line::parse(words) {
            Ok(mut line) => {
                inherit(&mut line.global, global);
                let done = line.configured(sections).and_then(|line| {
                    let mut session = session.borrow_mut();
                    line_in(line, sections, &mut **session, &mut transaction)
                });
                done.unwrap_or_else(|failure| {
                    report(&failure);
                    failure.exit
                })
            }
            Err(error) => usage(&error),
        };
        if ends && last != exit::OK {
            break;
        }
    }
    lines.end();
    Ok(last)
}

fn line_in(
    line: Line,
    sections: &Sections,
    session: &mut dyn Transport,
    transaction: &mut Option<Transaction>,
) -> Result<u8, Failure> {
    let action = line.action()?;
    let none = || {
        Failure::usage("no transaction was begun; 'resource create-transactional begin' begins one")
    };
    match (action, transaction.as_mut()) {
        (Action::Transaction(Step::Begin { .. }), Some(_)) => Err(Failure::usage(
            "a transaction was begun before; end it with 'commit' or 'abort'",
        )),
        (Action::Transaction(Step::Begin { terminate_on_error }), None) => {
            *transaction = Some(Transaction::begin(terminate_on_error));
            Ok(exit::OK)
        }
        (Action::Transaction(Step::Abort), _) => {
            transaction.take().ok_or_else(none)?;
            Ok(exit::OK)
        }
        (Action::Transaction(Step::Commit), _) => {
            let action = transaction.take().ok_or_else(none)?.commit()?;
            execute(&line, Some(action), sections, session)
        }
        (action, Some(transaction)) => {
            transaction.add(action)?;
            Ok(exit::OK)
        }
        (action, None) => execute(&line, Some(action), sections, session),
    }
}

/// Options of the command line that entered interactive mode apply to every command in it.
fn inherit(inner: &mut Global, outer: &Global) {
    inner.no_color |= outer.no_color;
    inner.no_utf8 |= outer.no_utf8;
    inner.warn_as_error |= outer.warn_as_error;
    inner.curl |= outer.curl;
    inner.machine_readable |= outer.machine_readable;
    inner.output_version = inner.output_version.or(outer.output_version);
    inner.verbose |= outer.verbose;
}

/// The words of a line: quotes hold blanks together, `#` begins a comment.
fn split(line: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => break,
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => {
                            return Err(Failure::usage(format!(
                                "the quotation mark {c} is not closed"
                            )));
                        }
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => word.extend(chars.next()),
                        Some(other) => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Where lines come from.
enum Lines<'s, 'a> {
    Terminal(
        Box<Editor<Words<'s, 'a>, rustyline::history::MemHistory>>,
        Option<PathBuf>,
    ),
    Input(io::Lines<io::StdinLock<'static>>),
}

impl<'s, 'a> Lines<'s, 'a> {
    fn begin(session: &'s RefCell<&'a mut (dyn Transport + 'a)>) -> Result<Self, Failure> {
        if !io::stdin().is_terminal() {
            return Ok(Lines::Input(io::stdin().lock().lines()));
        }
        write!(io::stdout(), "{}", help::list(false))?;
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY_LINES)
            .and_then(|builder| builder.history_ignore_dups(true));
        let config = config.map_err(failed)?.auto_add_history(true).build();
        let history = rustyline::history::MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).map_err(failed)?;
        editor.set_helper(Some(Words(session)));
        let file = std::env::var_os("HOME")
            .map(|home| PathBuf::from(home).join(".config/linstor/client.history"));
        let text = file
            .as_ref()
            .and_then(|file| std::fs::read_to_string(file).ok());
        for line in text.unwrap_or_default().lines() {
            let _ = editor.add_history_entry(line);
        }
        Ok(Lines::Terminal(Box::new(editor), file))
    }

    fn next(&mut self, prompt: &str) -> Result<Option<String>, Failure> {
        match self {
            Lines::Input(lines) => Ok(lines.next().transpose()?),
            Lines::Terminal(editor, _) => match editor.readline(prompt) {
                Ok(line) => Ok(Some(line)),
                Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
                Err(ReadlineError::Eof) => {
                    println!();
                    Ok(None)
                }
                Err(error) => Err(failed(error)),
            },
        }
    }

    /// Writes the history. Passphrases can be part of lines, so only the user may read it.
    fn end(self) {
        if let Lines::Terminal(editor, Some(file)) = self {
            use std::os::unix::fs::OpenOptionsExt;
            let lines: Vec<String> = editor.history().into_iter().cloned().collect();
            let _ = file.parent().map(std::fs::create_dir_all);
            let mut options = std::fs::OpenOptions::new();
            let opened = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(file);
            // A history that cannot be written is no reason to fail.
            let _ =
                opened.and_then(|mut file| file.write_all((lines.join("\n") + "\n").as_bytes()));
        }
    }
}

fn failed(error: ReadlineError) -> Failure {
    Failure::with(exit::UNKNOWN_ERROR, format!("the terminal: {error}"))
}

/// Completes words, with names of the controller.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Words<'s, 'a>(&'s RefCell<&'a mut (dyn Transport + 'a)>);

impl Completer for Words<'_, '_> {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..at).unwrap_or(line);
        let mut words = split(before).unwrap_or_default();
        if before.is_empty() || before.ends_with(char::is_whitespace) {
            words.push(String::new());
        }
        let start = before.len() - words.last().map_or(0, String::len);
        let found = complete::candidates(&words, &mut **self.0.borrow_mut());
        let pair = |(word, help): (String, String)| Pair {
            display: if help.is_empty() {
                word.clone()
            } else {
                format!("{word}  ({help})")
            },
            replacement: format!("{word} "),
        };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    /// Lines are split as a shell splits them, without its expansions.
    #[test]
    fn words_of_lines() {
        let words = |line| split(line).ok();
        let is = |list: &[&str]| {
            Some(
                list.iter()
                    .map(|word| (*word).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(words("  n  l # all"), is(&["n", "l"]));
        assert_eq!(
            words(r#"n sp a k "-o x" 'it''s' a\ b"#),
            is(&["n", "sp", "a", "k", "-o x", "its", "a b"])
        );
        assert_eq!(words("x ''"), is(&["x", ""]));
        assert_eq!(words("'open"), None);
        assert_eq!(words("# only a comment"), is(&[]));
    }
}
