//! What a command does: the requests it sends, and how it shows the answers.
//!
//! A command turns its arguments into an [`Action`]; that step is pure, so tests can compare actions. [`Action::run`]
//! then sends the requests and writes the answers.

use std::io::Write;
use std::time::Duration;

use linstor_api::code;
use linstor_api::job::Job;
use linstor_api::properties::Properties;
use linstor_api::reply::Reply;
use linstor_api::resource_definition::ResourceDefinitionSyncStatus;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::commands::transaction::Step;
use crate::failure::{Failure, exit};
use crate::interrupt;
use crate::output::progress::Progress;
use crate::output::table::Table;
use crate::output::{Style, machine, replies, v0};
use crate::request::{Method, Request};
use crate::session::{Answer, Transport};

/// Writes the text of an answer for people.
pub type Show = Box<dyn Fn(&str, &mut Screen<'_>) -> Result<(), Failure>>;
/// Writes the text of an answer for people or, as the mode requests, for scripts.
pub type ShowOwn = Box<dyn Fn(&str, Mode, &mut Screen<'_>) -> Result<(), Failure>>;
/// Finds the properties of the requested object in an answer; `None` if the answer has no such object.
pub type FindProperties = Box<dyn Fn(&str) -> Result<Option<Properties>, Failure>>;

/// What a command does that is more than one request; see [`Action::Program`].
pub type Program = Box<dyn FnOnce(Mode, &mut Screen<'_>) -> Result<(), Failure>>;

/// What a command does.
pub enum Action {
    /// Whatever needs more than one request, or requests that depend on answers. It honours the mode itself.
    Program(Program),
    /// Begins or ends the collection of resources that are created together.
    Transaction(Step),
    /// Sends requests that change something, one after the other, and shows all replies.
    Modify(Vec<Request>),
    /// Sends one request and shows the list it returns.
    List {
        request: Request,
        show: Show,
        /// Converts the list to machine-readable format v0; `None` if both formats are equal.
        v0: Option<v0::Convert>,
    },
    /// Sends one request and shows the object it returns.
    Object { request: Request, show: Show },
    /// Sends one request and shows its answer with a function that handles both people and scripts.
    Own { request: Request, show: ShowOwn },
    /// Sends one request and shows properties of an object in its answer.
    Properties {
        request: Request,
        find: FindProperties,
        /// ASCII borders, no colours.
        pastable: bool,
    },
    /// Polls the sync status until all replicas of a resource are UpToDate.
    WaitSync {
        request: Request,
        resource: String,
        /// Seconds after which to fail; no limit if `None`.
        timeout_s: Option<u64>,
    },
    /// Polls a job until it is finished; shows its steps.
    WaitJob {
        request: Request,
        /// Seconds after which to fail; no limit if `None`.
        timeout_s: Option<u64>,
    },
    /// Prints text; needs no controller.
    Print(String),
    /// Prints the address of the controller.
    Which,
    /// Reads commands from standard input.
    Interactive,
}

/// Where a command writes to, and what it needs while it writes.
pub struct Screen<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    pub style: Style,
    /// The columns of tables to draw; all if empty.
    pub columns: Vec<String>,
    pub warn_as_error: bool,
    /// The exit code so far; the highest code of all replies.
    pub exit: u8,
    /// Sends requests whose answers the output needs in addition.
    pub session: &'a mut dyn Transport,
}

/// The machine-readable formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputVersion {
    /// The original format, which old scripts parse.
    V0,
    /// The controller's JSON as it is.
    V1,
}

impl Screen<'_> {
    pub fn table(&mut self, table: Table) -> Result<(), Failure> {
        let table = table.select(&self.columns)?;
        Ok(self.out.write_all(table.render().as_bytes())?)
    }

    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Shows replies; an error among them sets the exit code.
    pub fn replies(&mut self, list: &[Reply]) -> Result<(), Failure> {
        let text = replies::render(list, self.style.color);
        self.out.write_all(text.as_bytes())?;
        self.exit = self.exit.max(replies::exit_code(list, self.warn_as_error));
        Ok(())
    }

    /// Shows replies that report the state of an object, not the result of this command: the exit code is not changed.
    pub fn reports(&mut self, list: &[Reply]) -> Result<(), Failure> {
        let text = replies::render(list, self.style.color);
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// Sends a request whose answer the output needs in addition; an error of the controller is a failure.
    pub fn query<T: serde::de::DeserializeOwned>(
        &mut self,
        request: &Request,
    ) -> Result<T, Failure> {
        let answer = self.session.send(request)?;
        if answer.is_error() {
            let text = replies::render(&answer.replies()?, self.style.color);
            return Err(Failure::with(exit::API_ERROR, text.trim_end()));
        }
        read(&answer.text)
    }
}

/// Parses an answer.
pub fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::unexpected(format!(
            "the controller's answer cannot be parsed ({error}); check that --controllers names a LINSTOR controller of \
             a version that this client supports"
        ))
    })
}

/// The global options that change what an action does.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// JSON instead of tables, in this format.
    pub machine: Option<OutputVersion>,
    /// Print the request as a `curl` command instead of sending it.
    pub curl: bool,
}

impl Action {
    /// One request that changes something.
    pub fn modify(request: Request) -> Result<Action, Failure> {
        Ok(Action::Modify(vec![request]))
    }

    /// One request for a list, which `show` receives parsed.
    pub fn list<T: DeserializeOwned + 'static>(
        request: Request,
        v0: Option<v0::Convert>,
        show: impl Fn(T, &mut Screen<'_>) -> Result<(), Failure> + 'static,
    ) -> Action {
        Action::List {
            request,
            show: Box::new(move |text, screen| show(read(text)?, screen)),
            v0,
        }
    }

    /// The requests that are known before the first answer.
    pub fn requests(&self) -> Vec<&Request> {
        match self {
            Action::Modify(requests) => requests.iter().collect(),
            Action::List { request, .. }
            | Action::Object { request, .. }
            | Action::Own { request, .. }
            | Action::WaitSync { request, .. }
            | Action::WaitJob { request, .. }
            | Action::Properties { request, .. } => vec![request],
            Action::Print(_)
            | Action::Which
            | Action::Interactive
            | Action::Program(_)
            | Action::Transaction(_) => vec![],
        }
    }

    /// Carries the action out; errors that the controller reports set the screen's exit code.
    pub fn run(self, mode: Mode, screen: &mut Screen<'_>) -> Result<(), Failure> {
        if let Action::Program(program) = self {
            return program(mode, screen);
        }
        if mode.curl {
            for request in self.requests() {
                let line = screen.session.curl(request);
                screen.line(&line)?;
            }
            return Ok(());
        }
        match self {
            Action::Modify(requests) => modify(&requests, mode, screen),
            Action::List { request, show, v0 } => {
                let convert = match (mode.machine, v0) {
                    (None, _) => None,
                    (Some(OutputVersion::V0), Some(convert)) => Some(convert),
                    (Some(_), _) => return machine_list(&request, mode, screen),
                };
                let Some(answer) = send(&request, mode, screen)? else {
                    return Ok(());
                };
                match convert {
                    None => show(&answer.text, screen),
                    Some(convert) => {
                        let list = convert(&answer.text)?;
                        screen.line(&machine::indent(&format!("[{list}]")))
                    }
                }
            }
            Action::Object { request, show } => match send(&request, mode, screen)? {
                Some(answer) if mode.machine.is_some() => {
                    screen.line(&machine::indent(&answer.text))
                }
                Some(answer) => show(&answer.text, screen),
                None => Ok(()),
            },
            Action::Own { request, show } => match send(&request, mode, screen)? {
                Some(answer) => show(&answer.text, mode, screen),
                None => Ok(()),
            },
            Action::Properties {
                request,
                find,
                pastable,
            } => match send(&request, mode, screen)? {
                Some(answer) => properties(find(&answer.text)?, pastable, mode, screen),
                None => Ok(()),
            },
            Action::WaitSync {
                request,
                resource,
                timeout_s,
            } => wait_sync(&request, &resource, timeout_s, mode, screen),
            Action::WaitJob { request, timeout_s } => wait_job(&request, timeout_s, mode, screen),
            Action::Print(text) => Ok(screen.out.write_all(text.as_bytes())?),
            Action::Which => {
                let uri = crate::config::uri(screen.session.base());
                match mode.machine {
                    Some(_) => screen.line(&serde_json::json!({"controller_uri": uri}).to_string()),
                    None => screen.line(&uri),
                }
            }
            Action::Program(_) | Action::Interactive | Action::Transaction(_) => {
                unreachable!("these are handled before")
            }
        }
    }
}

/// Pause between two queries of a resource's sync status, or of a job.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

fn wait_sync(
    request: &Request,
    resource: &str,
    timeout_s: Option<u64>,
    mode: Mode,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut progress = Progress::begin(
        "Waiting for UpToDate".to_owned(),
        "DRBD continues the resync; 'linstor resource list' shows its state".to_owned(),
    );
    while let Some(answer) = send(request, mode, screen)? {
        let status: ResourceDefinitionSyncStatus = read(&answer.text)?;
        if status.synced_on_all {
            break;
        }
        if let Some(timeout_s) = timeout_s.filter(|timeout| progress.seconds() >= *timeout) {
            return Err(Failure::with(
                exit::CONNECTION_TIMEOUT,
                format!(
                    "not all replicas are UpToDate after {timeout_s} s; DRBD continues the resync. Run the command \
                     again to wait longer"
                ),
            ));
        }
        let done = crate::commands::resource_list::percent_synced(resource, screen);
        progress.show(done);
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

fn wait_job(
    request: &Request,
    timeout_s: Option<u64>,
    mode: Mode,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut shown = String::new();
    let mut progress = Progress::begin(
        "Waiting for the job".to_owned(),
        "the job continues; 'linstor job list' shows it".to_owned(),
    );
    let mut show = |text: String, screen: &mut Screen<'_>| {
        if mode.machine.is_some() || text == shown {
            return Ok(());
        }
        screen.line(&text)?;
        shown = text;
        Ok::<(), Failure>(())
    };
    loop {
        let answer = screen.session.send(request)?;
        let is_not_found = |reply: &Reply| {
            reply.ret_code & code::MASK_BITS_CODE == code::FAIL_NOT_FOUND_JOB & code::MASK_BITS_CODE
        };
        if answer.is_error() && answer.replies()?.iter().any(is_not_found) {
            return show("The job is finished.".to_owned(), screen);
        }
        let Some(answer) = unless_error(answer, mode, screen)? else {
            return Ok(());
        };
        let job: Job = read(&answer.text)?;
        let step = crate::commands::job::step(&job);
        show(format!("Job {}, {}: {step}", job.id, job.kind), screen)?;
        if let Some(timeout_s) = timeout_s.filter(|timeout| progress.seconds() >= *timeout) {
            return Err(Failure::with(
                exit::CONNECTION_TIMEOUT,
                format!(
                    "job {} is not finished after {timeout_s} s and continues. Run the command again to wait longer, \
                     or 'linstor job show {}' to see which nodes it waits for",
                    job.id, job.id
                ),
            ));
        }
        progress.show(job.percent);
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn modify(requests: &[Request], mode: Mode, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut raw = Vec::new();
    let _waiting = interrupt::waiting(interrupt::GOES_ON.to_owned());
    // Deletions of several objects do not depend on each other; for two a second connection is not worth it.
    let independent = requests.len() > 2 && requests.iter().all(|r| r.method == Method::Delete);
    let mut answers = match independent {
        true => screen.session.send_all(requests).into_iter(),
        false => Vec::new().into_iter(),
    };
    for request in requests {
        let answer = match answers.next() {
            Some(answer) => answer?,
            None => screen.session.send(request)?,
        };
        if mode.machine.is_some() {
            raw.push(answer);
        } else {
            // Shown after each request: if a later request fails, the user must know what the earlier ones changed.
            screen.replies(&answer.replies()?)?;
        }
    }
    match mode.machine {
        Some(version) => machine_replies(&raw, version, screen),
        None => Ok(()),
    }
}

/// Sends a request. An error that the controller reports is shown; the result is `None` then.
pub fn send(
    request: &Request,
    mode: Mode,
    screen: &mut Screen<'_>,
) -> Result<Option<Answer>, Failure> {
    let answer = screen.session.send(request)?;
    unless_error(answer, mode, screen)
}

/// The answer. An error that the controller reports is shown; the result is `None` then.
pub fn unless_error(
    answer: Answer,
    mode: Mode,
    screen: &mut Screen<'_>,
) -> Result<Option<Answer>, Failure> {
    if !answer.is_error() {
        return Ok(Some(answer));
    }
    match mode.machine {
        Some(version) => machine_replies(&[answer], version, screen)?,
        None => screen.replies(&answer.replies()?)?,
    }
    Ok(None)
}

/// Shows replies, for people or for scripts.
pub fn replies_of(replies: &[Reply], mode: Mode, screen: &mut Screen<'_>) -> Result<(), Failure> {
    match mode.machine {
        None => screen.replies(replies),
        Some(version) => {
            let text = serde_json::to_string(replies)
                .map_err(|error| Failure::unexpected(error.to_string()))?;
            machine_replies(&[Answer { status: 200, text }], version, screen)
        }
    }
}

/// Prints a list for scripts while it comes.
fn machine_list(request: &Request, mode: Mode, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut indent = machine::Indent::in_list();
    let out = &mut *screen.out;
    let unexpected = |what: &str| {
        Failure::unexpected(format!(
            "the controller's answer {what}; check that --controllers names a LINSTOR controller"
        ))
    };
    let error = screen.session.stream(request, &mut |piece| {
        indent.write(piece, out)?;
        match indent.is_broken() {
            true => Err(unexpected("is not JSON")),
            false => Ok(()),
        }
    })?;
    match error {
        Some(answer) => unless_error(answer, mode, screen).map(drop),
        None if !indent.is_whole() => Err(unexpected("is not a whole list")),
        None => Ok(indent.end_list(screen.out)?),
    }
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
                // Checks that these are replies, but prints the controller's JSON unchanged.
                answer.replies()?;
                match serde_json::from_str::<Vec<Box<RawValue>>>(&answer.text) {
                    Ok(list) => all.extend(list.into_iter().map(|reply| reply.get().to_owned())),
                    Err(_) => all.push(answer.text.clone()),
                }
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
        let line = crate::output::color::Color::Yellow.paint(text, screen.style.color);
        return screen.line(&line);
    };
    let mut table = Table::new(screen.style.pastable(pastable))
        .column("Key")
        .column("Value");
    for (key, value) in found {
        table.row(vec![key.into(), value.into()]);
    }
    screen.table(table)
}
