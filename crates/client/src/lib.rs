//! The `linstor` command line: commands, tables, machine-readable output.
//!
//! Reading order: `define` (what a command is), `commands` (all of them, one module per kind of object), `cli` (the
//! parser that is made of them), `action` (requests to send, and how their answers are shown), `session` (the connection
//! to the controller), `output` (tables, replies, JSON).

mod action;
mod base64;
mod cli;
mod commands;
mod complete;
mod config;
mod define;
mod failure;
mod interactive;
mod interrupt;
mod output;
mod passphrase;
mod request;
mod session;
mod tls;

#[cfg(test)]
mod tests;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::action::{Action, Mode, OutputVersion, Screen};
use crate::cli::{Global, Line};
use crate::commands::transaction::{Step, Transaction};
use crate::config::Sections;
use crate::failure::{Failure, exit};
use crate::output::Style;
use crate::session::{FromFile, Login, Options, Session, Transport};
use crate::tls::Files;

/// Runs the command line and returns its exit code.
pub fn run(args: Vec<OsString>) -> u8 {
    let mut texts = Vec::with_capacity(args.len());
    for arg in args {
        match arg.into_string() {
            Ok(text) => texts.push(text),
            Err(arg) => {
                eprintln!("Error: the argument {arg:?} is not valid UTF-8");
                return exit::USAGE;
            }
        }
    }
    let home = env::var_os("HOME").map(PathBuf::from);
    let sections = config::sections(&texts, Path::new("/etc/linstor"), home.as_deref());
    if !texts.is_empty() {
        let env: Vec<(String, String)> = env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        texts.splice(..1, config::configured_args(&sections, &env));
    }
    let line = match Line::parse(texts) {
        Ok(line) => line,
        Err(error) => return usage(&error),
    };
    let result = line.configured(&sections).and_then(|line| {
        let mut session = session(&line)?;
        execute(&line, None, &sections, &mut session)
    });
    match result {
        Ok(code) => code,
        Err(failure) => {
            report(&failure);
            failure.exit
        }
    }
}

/// Prints what clap reports. Help and version are printed on standard output and are not failures.
fn usage(error: &clap::Error) -> u8 {
    // If the terminal is closed, there is no other place for the message.
    let _ = error.print();
    if error.use_stderr() {
        exit::USAGE
    } else {
        exit::OK
    }
}

fn report(failure: &Failure) {
    // A failure without a message is a closed pipe: standard error may be closed as well.
    if !failure.message.is_empty() {
        eprintln!("Error: {}", failure.message);
    }
}

fn session(line: &Line) -> Result<Session, Failure> {
    let global = &line.global;
    let user = global.user.clone();
    // Who completes a word is not asked for a password.
    let user = user.filter(|_| global.password.is_some() || !line.is_completion());
    let files = Files {
        authorities: global.cafile.clone(),
        certificate: global.certfile.clone(),
        key: global.keyfile.clone(),
    };
    let from_env = env::var(config::ENV_CONTROLLERS).ok();
    Ok(Session::new(Options {
        controllers: config::controllers(global.controllers.as_deref(), from_env.as_deref())?,
        timeout_s: global.timeout,
        login: user.map(|user| Login::new(user, global.password.clone())),
        token: config::auth_token(env::var(config::ENV_TOKEN_FILE).ok().as_deref()),
        allow_insecure_auth: global.allow_insecure_auth,
        tls: files.config()?,
        files,
    }))
}

fn style(global: &Global) -> Style {
    let terminal = io::stdout().is_terminal();
    let utf8_locale = || {
        let set = |key| env::var(key).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL")
            .or_else(|| set("LC_CTYPE"))
            .or_else(|| set("LANG"));
        locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
    };
    Style {
        utf8: terminal && !global.no_utf8 && utf8_locale(),
        color: terminal && !global.no_color && env::var_os("NO_COLOR").is_none(),
    }
}

fn mode(global: &Global) -> Result<Mode, Failure> {
    let from_env = match env::var(config::ENV_OUTPUT_VERSION).as_deref() {
        Ok("v0") => OutputVersion::V0,
        Ok("v1") | Err(_) => OutputVersion::V1,
        Ok(other) => {
            return Err(Failure::usage(format!(
                "{} is '{other}'; set it to v0 or v1",
                config::ENV_OUTPUT_VERSION
            )));
        }
    };
    let version = global.output_version.unwrap_or(from_env);
    Ok(Mode {
        machine: global.machine_readable.then_some(version),
        curl: global.curl,
    })
}

/// Runs the command of a line, or the action that was made of it, and returns its exit code.
fn execute(
    line: &Line,
    action: Option<Action>,
    sections: &Sections,
    session: &mut dyn Transport,
) -> Result<u8, Failure> {
    let global = &line.global;
    let mode = mode(global)?;
    let action = match action {
        Some(action) => action,
        None => line.action()?,
    };
    let transaction = match action {
        Action::Interactive => return interactive::run(global, sections, session, None),
        Action::Transaction(Step::Begin { terminate_on_error }) => {
            Transaction::begin(terminate_on_error)
        }
        Action::Transaction(_) => {
            return Err(Failure::usage(
                "only interactive mode and standard input can hold a transaction",
            ));
        }
        action => return draw(line, action, mode, session),
    };
    interactive::run(global, sections, session, Some(transaction))
}

/// Runs an action, again and again if its list is watched.
fn draw(
    line: &Line,
    action: Action,
    mode: Mode,
    session: &mut dyn Transport,
) -> Result<u8, Failure> {
    let mut file = line.file().map(|name| FromFile::read(&name)).transpose()?;
    let session: &mut dyn Transport = match &mut file {
        Some(file) => file,
        None => session,
    };
    let terminal = io::stdout().is_terminal();
    let mut next = Some(action);
    loop {
        let action = match next.take() {
            Some(action) => action,
            None => line.action()?,
        };
        let mut out = io::BufWriter::new(io::stdout().lock());
        if line.global.verbose {
            writeln!(out, "Connected to {}", config::uri(session.base()))?;
        }
        if terminal && line.watch().is_some() {
            // From the upper left corner; what remains of a longer list is erased.
            out.write_all(b"\x1b[H\x1b[2J")?;
        }
        let mut screen = Screen {
            out: &mut out,
            style: style(&line.global),
            columns: line.columns(),
            warn_as_error: line.global.warn_as_error,
            exit: exit::OK,
            session,
        };
        let result = action.run(mode, &mut screen);
        let code = screen.exit;
        out.flush()?;
        drop(out);
        match (line.watch(), result) {
            (None, result) => return result.map(|()| code),
            (Some(_), Err(failure)) if failure.message.is_empty() => return Err(failure),
            // A controller that is started again is back soon.
            (Some(_), Err(failure)) => report(&failure),
            (Some(_), Ok(())) => {}
        }
        std::thread::sleep(Duration::from_secs(line.watch().unwrap_or(1)));
    }
}
