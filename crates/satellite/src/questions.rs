//! Questions of the controller: each is answered in a task of its own, so that neither the conversation nor another
//! question waits for it.

use std::sync::Arc;
use std::time::Duration;

use linstor_api::code;
use linstor_api::name::FileName;
use linstor_host::{Cmd, Deadline};
use linstor_wire::question::{Answer, ProgramEnd, Question, ReactorOrder, Settings};

use crate::failure::{Failure, Result};
use crate::shared::Shared;
use crate::{block_devices, device_pool, external_file, leftovers, shipment, support};

/// How many questions are answered at the same time.
pub const QUESTIONS_MAX: usize = 16;
/// How long `drbd-reactorctl` may take: an eviction waits for another node.
const REACTOR_LIMIT: Duration = Duration::from_secs(60);

/// Answers a question that came on a connection. A change that was begun is brought to its end, also when the
/// connection ends: only the answer is lost then.
pub fn answer(shared: &Arc<Shared>, connection: u64, id: u64, question: Question) {
    let shared = Arc::clone(shared);
    let Ok(permit) = Arc::clone(&shared.questions).try_acquire_owned() else {
        let busy = Failure::new(
            code::FAIL_UNKNOWN_ERROR,
            "The satellite is asked too much at the same time.",
        );
        report(&shared, connection, id, Err(busy));
        return;
    };
    tokio::spawn(async move {
        let answered = find_answer(&shared, question).await;
        drop(permit);
        report(&shared, connection, id, answered);
    });
}

async fn find_answer(shared: &Arc<Shared>, question: Question) -> Result<Answer> {
    match question {
        Question::Settings => Ok(Answer::Settings(settings(shared))),
        Question::LogLevel { level } => set_level(&level),
        Question::Reactor(order) => Ok(Answer::Program(reactor(shared, order).await)),
        Question::Support { since } => Ok(Answer::Files(support::files(shared, since).await)),
        Question::ExternalFile {
            path,
            alt_suffixes,
            sha256,
        } => external_file::state(shared, &path, &alt_suffixes, sha256.as_deref())
            .await
            .map(Answer::ExternalFile),
        Question::Leftovers => leftovers::list(shared).await.map(Answer::Leftovers),
        Question::VerifyObject(wanted) => shipment::verify(shared, &wanted).await.map(Answer::Done),
        Question::Forget { ids } => leftovers::forget(shared, &ids).await.map(Answer::Done),
        Question::BlockDevices => block_devices::list(&shared.machine)
            .await
            .map(Answer::BlockDevices),
        Question::CreateDevicePool(pool) => {
            device_pool::create(shared, &pool).await.map(Answer::Done)
        }
    }
}

fn report(shared: &Shared, connection: u64, id: u64, answered: Result<Answer>) {
    let answer = answered.unwrap_or_else(|failure| Answer::Failed(failure.reply()));
    let mut state = shared.state();
    // The numbers of another connection's questions are the same.
    if state.connection == connection {
        state.outbox.answer(id, answer);
        drop(state);
        shared.outgoing.notify_one();
    }
}

fn settings(shared: &Shared) -> Settings {
    let options = &shared.options;
    Settings {
        directory: options.config_directory.display().to_string(),
        address: options.address.map(|address| address.to_string()),
        port: options.port,
        log_level: linstor_log::level(),
    }
}

fn set_level(level: &str) -> Result<Answer> {
    if !linstor_log::LEVELS.contains(&level) {
        let message = format!("The log level '{}' is invalid.", level.escape_debug());
        return Err(Failure::new(code::FAIL_INVLD_CONF, message));
    }
    tracing::info!(level, "the level of the log is changed");
    linstor_log::set_level(level);
    Ok(Answer::Done(Vec::new()))
}

async fn reactor(shared: &Arc<Shared>, order: ReactorOrder) -> ProgramEnd {
    let (order_args, name): (&[&str], Option<&FileName>) = match &order {
        ReactorOrder::Status { resource } => (&["status", "--json"], resource.as_ref()),
        ReactorOrder::Evict { resource, .. } => (&["evict"], Some(resource)),
        ReactorOrder::Disable { config, now: true } => (&["disable", "--now"], Some(config)),
        ReactorOrder::Disable { config, now: false } => (&["disable"], Some(config)),
        ReactorOrder::Enable { config } => (&["enable"], Some(config)),
        ReactorOrder::Restart { config } => (&["restart"], Some(config)),
    };
    let cmd = Cmd::new("drbd-reactorctl")
        .args(order_args.iter().copied())
        .args(name.map(FileName::as_str))
        .deadline(Deadline::run(REACTOR_LIMIT));
    if let ReactorOrder::Evict { wait: false, .. } = order {
        // It may evict the controller itself, and with it this connection.
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            let ended = shared.machine.try_run(cmd).await;
            tracing::info!(?ended, "drbd-reactor was asked to evict a resource");
        });
        return ProgramEnd {
            stdout: "The eviction has begun.".to_owned(),
            ..ProgramEnd::default()
        };
    }
    match shared.machine.try_run(cmd).await {
        Ok(output) => ProgramEnd {
            code: output.code,
            stdout: support::end_of(&output.stdout),
            stderr: support::end_of(&output.stderr),
        },
        Err(failure) => ProgramEnd {
            code: -1,
            stdout: String::new(),
            stderr: failure.to_string(),
        },
    }
}
