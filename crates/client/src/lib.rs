//! The `linstor` command line: commands, tables, machine-readable output.
//!
//! Reading order: `cli` (options and the tree of commands), `commands` (one module per kind of object; each turns its
//! arguments into an action), `action` (requests to send, and how their answers are shown), `session` (the connection
//! to the controller), `output` (tables, replies, JSON).

mod action;
mod cli;
mod commands;
mod config;
mod failure;
mod output;
mod passphrase;
mod request;
mod session;

#[cfg(test)]
mod tests;

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::action::{Action, Mode, OutputVersion, Screen};
use crate::cli::{Cli, Global};
use crate::failure::{Failure, exit};
use crate::output::Style;
use crate::session::{Options, Session, Transport};

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
    if let Some(program) = texts.first().cloned() {
        let home = env::var_os("HOME").map(PathBuf::from);
        let env: Vec<(String, String)> = env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let configured = config::configured_args(
            &texts[1..],
            Path::new("/etc/linstor"),
            home.as_deref(),
            &env,
        );
        texts.splice(..1, std::iter::once(program).chain(configured));
    }
    let cli = match Cli::try_parse_from(texts) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = session(&cli.global).and_then(|mut session| execute(cli, &mut session));
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

fn session(global: &Global) -> Result<Session, Failure> {
    let login = match (&global.user, &global.password) {
        (Some(user), Some(password)) => Some((user.clone(), password.clone())),
        (Some(_), None) => {
            return Err(Failure::usage(
                "--user is given without --password; give both or neither",
            ));
        }
        _ => None,
    };
    let from_env = env::var(config::ENV_CONTROLLERS).ok();
    Ok(Session::new(Options {
        controllers: config::controllers(global.controllers.as_deref(), from_env.as_deref())?,
        timeout_s: global.timeout,
        login,
        token: config::auth_token(env::var(config::ENV_TOKEN_FILE).ok().as_deref()),
        allow_insecure_auth: global.allow_insecure_auth,
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

/// Runs one command and returns its exit code.
fn execute(cli: Cli, session: &mut dyn Transport) -> Result<u8, Failure> {
    let Cli { global, command } = cli;
    let mode = mode(&global)?;
    let action = command.map_or(Ok(Action::Interactive), cli::Command::action)?;
    if let Action::Interactive = action {
        return interactive(&global, session);
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    if global.verbose {
        writeln!(out, "Connected to {}", config::uri(session.base()))?;
    }
    let mut screen = Screen {
        out: &mut out,
        style: style(&global),
        warn_as_error: global.warn_as_error,
        exit: exit::OK,
        session,
    };
    let result = action.run(mode, &mut screen);
    let code = screen.exit;
    out.flush()?;
    result.map(|()| code)
}

/// Reads commands line by line until the input ends; returns the exit code of the last command.
fn interactive(global: &Global, session: &mut dyn Transport) -> Result<u8, Failure> {
    let prompt = io::stdin().is_terminal();
    let mut screen = io::stdout();
    if prompt {
        write!(screen, "{}", commands::help::list(false))?;
    }
    let mut last = exit::OK;
    let mut lines = io::stdin().lock().lines();
    loop {
        if prompt {
            write!(screen, "LINSTOR ==> ")?;
            screen.flush()?;
        }
        let Some(line) = lines.next().transpose()? else {
            break;
        };
        let mut args: Vec<&str> = line.split_whitespace().collect();
        if args.first() == Some(&"linstor") {
            args.remove(0);
        }
        match args.first() {
            None => continue,
            Some(&("exit" | "quit")) => break,
            Some(&"interactive") => {
                eprintln!("Interactive mode is already active; enter a command, or 'exit'");
                continue;
            }
            _ => {}
        }
        last = match Cli::try_parse_from(std::iter::once("linstor").chain(args)) {
            Ok(mut cli) => {
                inherit(&mut cli.global, global);
                execute(cli, session).unwrap_or_else(|failure| {
                    report(&failure);
                    failure.exit
                })
            }
            Err(error) => usage(&error),
        };
    }
    if prompt {
        writeln!(screen)?;
    }
    Ok(last)
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
