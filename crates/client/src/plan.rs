//! What a command is going to do, before it does anything.
//!
//! A command turns its arguments into a plan; that step is pure, so tests can compare plans. [`Plan::run`] then talks
//! to the controller and writes what comes back.

use std::io::Write;
use std::time::{Duration, Instant};

use linstor_api::properties::Properties;
use linstor_api::reply::Reply;
use linstor_api::resource_definition::ResourceDefinitionSyncStatus;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::failure::{Failure, exit};
use crate::output::table::Table;
use crate::output::{Look, machine, replies, v0};
use crate::request::Request;
use crate::session::{Answer, Send};

/// Shows an answer.
pub type Show = Box<dyn Fn(&str, &mut Screen<'_>) -> Result<(), Failure>>;
/// Shows an answer, for persons or for scripts.
pub type ShowOwn = Box<dyn Fn(&str, Mode, &mut Screen<'_>) -> Result<(), Failure>>;
/// Finds the properties of the object that was asked for in an answer.
pub type FindProperties = Box<dyn Fn(&str) -> Result<Option<Properties>, Failure>>;

/// What a command is going to do.
pub enum Plan {
    /// Sends requests one after the other and shows all replies.
    Modify(Vec<Request>),
    /// Sends one request and shows the list it returns.
    List {
        /// The request.
        request: Request,
        /// How the list is shown.
        show: Show,
        /// How the older machine-readable format is made, where there is one.
        v0: Option<v0::Convert>,
    },
    /// Sends one request and shows the object it returns.
    Object {
        /// The request.
        request: Request,
        /// How the object is shown.
        show: Show,
    },
    /// Sends one request and shows its answer in a way of its own, for scripts as well.
    Own {
        /// The request.
        request: Request,
        /// How the answer is shown.
        show: ShowOwn,
    },
    /// Sends one request and shows properties of an object in its answer.
    Properties {
        /// The request.
        request: Request,
        /// Finds the properties.
        find: FindProperties,
        /// Without box-drawing characters and colours.
        pastable: bool,
    },
    /// Asks again and again until all replicas of a resource are up to date.
    WaitSync {
        /// The question.
        request: Request,
        /// When to give up.
        timeout_s: Option<u64>,
    },
    /// Shows text, without a controller.
    Print(String),
    /// Shows where the controller is.
    Which,
    /// Reads commands from standard input.
    Interactive,
}

/// Where output goes, and how it looks.
pub struct Screen<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// How it looks.
    pub look: Look,
    /// Treat warnings as errors.
    pub warn_as_error: bool,
    /// What the command will exit with.
    pub exit: u8,
    /// Answers further questions.
    pub session: &'a mut dyn Send,
}

/// The machine-readable formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputVersion {
    /// The first one, kept for old scripts.
    V0,
    /// The controller's answers.
    V1,
}

impl Screen<'_> {
    /// Shows a table.
    pub fn table(&mut self, table: Table) -> Result<(), Failure> {
        Ok(self.out.write_all(table.render().as_bytes())?)
    }

    /// Shows a line.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Shows replies, and lets errors among them decide the exit code.
    pub fn replies(&mut self, list: &[Reply]) -> Result<(), Failure> {
        let text = replies::render(list, self.look.color);
        self.out.write_all(text.as_bytes())?;
        self.exit = self.exit.max(replies::exit_code(list, self.warn_as_error));
        Ok(())
    }

    /// Shows replies without letting them decide the exit code: they tell of a state, not of this command.
    pub fn reports(&mut self, list: &[Reply]) -> Result<(), Failure> {
        let text = replies::render(list, self.look.color);
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// Asks a further question; a refusal is a failure.
    pub fn ask<T: serde::de::DeserializeOwned>(&mut self, request: &Request) -> Result<T, Failure> {
        let answer = self.session.send(request)?;
        if answer.is_refusal() {
            let text = replies::render(&answer.replies()?, self.look.color);
            return Err(Failure::with(exit::API_ERROR, text.trim_end()));
        }
        read(&answer.text)
    }
}

/// Reads an answer.
pub fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::unexpected(format!(
            "the controller's answer cannot be understood: {error}"
        ))
    })
}

/// How a plan is carried out.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// JSON instead of tables, in this format.
    pub machine: Option<OutputVersion>,
    /// Show what would be sent.
    pub curl: bool,
}

impl Plan {
    /// A plan of one request that changes something.
    pub fn modify(request: Request) -> Result<Plan, Failure> {
        Ok(Plan::Modify(vec![request]))
    }

    /// A plan that asks for a list, and shows what was read of the answer.
    pub fn list<T: DeserializeOwned + 'static>(
        request: Request,
        v0: Option<v0::Convert>,
        show: impl Fn(T, &mut Screen<'_>) -> Result<(), Failure> + 'static,
    ) -> Plan {
        Plan::List {
            request,
            show: Box::new(move |text, screen| show(read(text)?, screen)),
            v0,
        }
    }

    /// The requests that are known before anything is sent.
    pub fn requests(&self) -> Vec<&Request> {
        match self {
            Plan::Modify(requests) => requests.iter().collect(),
            Plan::List { request, .. }
            | Plan::Object { request, .. }
            | Plan::Own { request, .. }
            | Plan::WaitSync { request, .. }
            | Plan::Properties { request, .. } => vec![request],
            Plan::Print(_) | Plan::Which | Plan::Interactive => vec![],
        }
    }

    /// Carries the plan out; errors of the controller end up in the screen's exit code.
    pub fn run(self, mode: Mode, screen: &mut Screen<'_>) -> Result<(), Failure> {
        if mode.curl {
            for request in self.requests() {
                let line = request.to_curl(screen.session.base());
                screen.line(&line)?;
            }
            return Ok(());
        }
        match self {
            Plan::Modify(requests) => modify(&requests, mode, screen),
            Plan::List { request, show, v0 } => {
                let Some(answer) = ask(&request, mode, screen)? else {
                    return Ok(());
                };
                match mode.machine {
                    None => show(&answer.text, screen),
                    Some(OutputVersion::V1) => {
                        screen.line(&machine::indent(&format!("[{}]", answer.text)))
                    }
                    Some(OutputVersion::V0) => {
                        let text = v0::list(&answer.text, v0)?;
                        screen.line(&machine::indent(&format!("[{text}]")))
                    }
                }
            }
            Plan::Object { request, show } => match ask(&request, mode, screen)? {
                Some(answer) if mode.machine.is_some() => {
                    screen.line(&machine::indent(&answer.text))
                }
                Some(answer) => show(&answer.text, screen),
                None => Ok(()),
            },
            Plan::Own { request, show } => match ask(&request, mode, screen)? {
                Some(answer) => show(&answer.text, mode, screen),
                None => Ok(()),
            },
            Plan::Properties {
                request,
                find,
                pastable,
            } => match ask(&request, mode, screen)? {
                Some(answer) => properties(find(&answer.text)?, pastable, mode, screen),
                None => Ok(()),
            },
            Plan::WaitSync { request, timeout_s } => wait_sync(&request, timeout_s, mode, screen),
            Plan::Print(text) => Ok(screen.out.write_all(text.as_bytes())?),
            Plan::Which => {
                let uri = crate::config::uri(screen.session.base());
                match mode.machine {
                    Some(_) => screen.line(&serde_json::json!({"controller_uri": uri}).to_string()),
                    None => screen.line(&uri),
                }
            }
            Plan::Interactive => unreachable!("interactive mode is entered before plans are run"),
        }
    }
}

/// Seconds between two questions whether a resource is in sync.
const SYNC_QUESTION_INTERVAL_S: u64 = 1;

fn wait_sync(
    request: &Request,
    timeout_s: Option<u64>,
    mode: Mode,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let begin = Instant::now();
    while let Some(answer) = ask(request, mode, screen)? {
        let status: ResourceDefinitionSyncStatus = read(&answer.text)?;
        if status.synced_on_all {
            break;
        }
        if timeout_s.is_some_and(|timeout| begin.elapsed().as_secs() >= timeout) {
            return Err(Failure::with(
                exit::CONNECTION_TIMEOUT,
                "the replicas are not up to date yet; the resync goes on",
            ));
        }
        std::thread::sleep(Duration::from_secs(SYNC_QUESTION_INTERVAL_S));
    }
    Ok(())
}

fn modify(requests: &[Request], mode: Mode, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut raw = Vec::new();
    for request in requests {
        let answer = screen.session.send(request)?;
        if mode.machine.is_some() {
            raw.push(answer);
        } else {
            // Shown as they come: what was done before a later request fails must not stay untold.
            screen.replies(&answer.replies()?)?;
        }
    }
    match mode.machine {
        Some(version) => machine_replies(&raw, version, screen),
        None => Ok(()),
    }
}

/// Sends a request; a refusal is shown, and there is no answer then.
fn ask(request: &Request, mode: Mode, screen: &mut Screen<'_>) -> Result<Option<Answer>, Failure> {
    let answer = screen.session.send(request)?;
    if !answer.is_refusal() {
        return Ok(Some(answer));
    }
    match mode.machine {
        Some(version) => machine_replies(&[answer], version, screen)?,
        None => screen.replies(&answer.replies()?)?,
    }
    Ok(None)
}

/// Prints replies for scripts, as one list. The exit code stays 0, as in LINSTOR: scripts read `ret_code`.
fn machine_replies(
    answers: &[Answer],
    version: OutputVersion,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    for answer in answers {
        match version {
            OutputVersion::V0 => {
                let converted = answer.replies()?.into_iter().map(|r| v0::reply(&r));
                all.extend(converted.map(|value| value.to_string()));
            }
            OutputVersion::V1 => {
                // Checks that these are replies, but prints them as they came.
                answer.replies()?;
                let list: Vec<Box<RawValue>> = read(&answer.text)?;
                all.extend(list.into_iter().map(|reply| reply.get().to_owned()));
            }
        }
    }
    screen.line(&machine::indent(&format!("[{}]", all.join(","))))
}

fn properties(
    found: Option<Properties>,
    pastable: bool,
    mode: Mode,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    if mode.machine.is_some() {
        let Some(found) = found else {
            return screen.line("");
        };
        let pairs: Vec<_> = found
            .iter()
            .map(|(key, value)| serde_json::json!({"key": key, "value": value}))
            .collect();
        let text = serde_json::json!([pairs]).to_string();
        return screen.line(&machine::indent(&text));
    }
    let Some(found) = found else {
        let text = "No property map found for this entry.";
        let line = crate::output::color::Color::Yellow.paint(text, screen.look.color);
        return screen.line(&line);
    };
    let mut table = Table::new(screen.look.pastable(pastable))
        .column("Key")
        .column("Value");
    for (key, value) in found {
        table.row(vec![key.into(), value.into()]);
    }
    screen.table(table)
}
