//! Passphrases that are not given on the command line, where other users of the machine see them: read from the
//! terminal without showing them, or from standard input, one line each.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

use linstor_api::secret_text::SecretText;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// A passphrase that is in force.
pub fn known(given: Option<String>, prompt: &str) -> Result<SecretText, Failure> {
    match given {
        Some(given) => Ok(SecretText::new(given)),
        None => ask(prompt),
    }
}

/// A new passphrase, at a terminal asked for twice: one that was mistyped would be lost.
pub fn new(given: Option<String>, prompt: &str) -> Result<SecretText, Failure> {
    if given.is_some() || !stdin().is_terminal() {
        return known(given, prompt);
    }
    let first = ask(prompt)?;
    if ask(&format!("{prompt} again"))? == first {
        return Ok(first);
    }
    Err(Failure::usage("the two passphrases differ".to_owned()))
}

fn ask(prompt: &str) -> Result<SecretText, Failure> {
    let hidden = match stdin().is_terminal() {
        true => {
            write!(stderr(), "{prompt}: ")?;
            stderr().flush()?;
            Some(Hidden::begin()?)
        }
        false => None,
    };
    let mut line = String::new();
    let read = stdin().lock().read_line(&mut line);
    if hidden.is_some() {
        drop(hidden);
        writeln!(stderr())?;
    }
    read?;
    if line.ends_with('\n') {
        line.pop();
    }
    if line.is_empty() {
        return Err(Failure::usage("no passphrase was given".to_owned()));
    }
    Ok(SecretText::new(line))
}

/// While it exists the terminal does not show what is typed.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> Result<Hidden, Failure> {
        let before = tcgetattr(stdin()).map_err(std::io::Error::from)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(stdin(), SetArg::TCSAFLUSH, &silent).map_err(std::io::Error::from)?;
        Ok(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nobody left to be shown a failure.
        let _ = tcsetattr(stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}
