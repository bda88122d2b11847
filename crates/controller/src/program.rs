//! The controller as a program: settings, log, database, tasks, REST API, and an orderly end.

use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use linstor_store::{MemoryStore, SqliteStore, Store, StoreError, sqlite};
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::Superseded;
use crate::config::{Arguments, Config, Database, Listen};
use crate::env::RealEnv;
use crate::https::{self, HttpsError};
use crate::link::TcpConnector;
use crate::ops::encryption;
use crate::start::StartError;
use crate::{Controller, Options, error_report, rest};

/// Bad command line.
const EXIT_COMMAND_LINE: u8 = 1;
/// Bad settings.
const EXIT_CONFIG: u8 = 2;
/// The network cannot be used.
const EXIT_NETWORK: u8 = 20;
/// Something that a restart may cure.
const EXIT_CRITICAL: u8 = 70;
/// Another controller writes to the database. A code of its own, so that the service is not started again at once,
/// which would take it back.
const EXIT_FENCED: u8 = 75;
/// Satellites obey a newer controller. A code of its own, for the same reason.
const EXIT_SUPERSEDED: u8 = 76;
/// A newer version wrote the database. A code of its own: a restart does not help.
const EXIT_NEWER_DATABASE: u8 = 77;

/// Threads that serve requests and links; the store has one of its own.
const WORKERS: usize = 2;
/// When the database file is checked: the check reads all of it, and the satellites are synchronised first.
const CHECK_AFTER: Duration = Duration::from_secs(10);
/// How long requests that are under way at the end may take.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT, with these arguments; the first one is the program's name.
///
/// `wrap` is what stands between the controller and its database: nothing in the program that people run. Tests put a
/// database there that kills the process at a chosen write.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    wrap: impl FnOnce(Box<dyn Store>) -> Box<dyn Store>,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, and are no failure.
            let code = if error.use_stderr() {
                EXIT_COMMAND_LINE
            } else {
                0
            };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let config = match Config::load(&arguments, &|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("linstor-controller: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    linstor_log::start(&config.log_level);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run(&config, wrap));
            // What still blocks, such as the check of the file, must not delay the end.
            runtime.shutdown_background();
            ExitCode::from(code)
        }
        Err(error) => {
            tracing::error!(%error, "the runtime did not start");
            ExitCode::from(EXIT_CRITICAL)
        }
    }
}

async fn run(config: &Config, wrap: impl FnOnce(Box<dyn Store>) -> Box<dyn Store>) -> u8 {
    // Before the database is touched: a second controller on this machine ends here without any effect.
    let unserved = |error: anyhow::Error, code| {
        tracing::error!(
            error = format!("{error:#}"),
            "the REST API cannot be served"
        );
        code
    };
    let listener = match config.http.map(Listen::open).transpose() {
        Ok(listener) => listener,
        Err(error) => return unserved(error.into(), EXIT_NETWORK),
    };
    let secure = match https::open(config) {
        Ok(secure) => secure,
        Err(error @ HttpsError::Listen(_)) => return unserved(error.into(), EXIT_NETWORK),
        Err(error) => return unserved(error.into(), EXIT_CONFIG),
    };
    let connector = match TcpConnector::new(config.netcom.as_ref()) {
        Ok(connector) => connector,
        Err(reason) => {
            tracing::error!("satellites cannot be connected over TLS: {reason}");
            return EXIT_CONFIG;
        }
    };
    let controller = match start(config, connector, wrap).await {
        Ok(controller) => controller,
        Err(error) => {
            let code = match &error {
                StartError::NewerRows(_) | StartError::Store(StoreError::NewerTables { .. }) => {
                    EXIT_NEWER_DATABASE
                }
                StartError::Store(_) | StartError::Commit(_) => EXIT_CRITICAL,
            };
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "the controller did not start");
            return code;
        }
    };
    let cluster = controller.cluster.clone();
    if let Some(passphrase) = &config.passphrase
        && let Err(reason) = encryption::at_start(&cluster, passphrase).await
    {
        // Everything that needs no secret is served; a person can enter the right one.
        tracing::error!("{reason} Secrets are locked until it is entered.");
    }
    let (end, ended) = tokio::sync::watch::channel(false);
    let router = rest::router(cluster.clone(), &config.limits);
    let secure = match https::Server::start(&cluster, config, secure, router.clone()) {
        Ok(server) => tokio::spawn(server.run(ended.clone())),
        Err(error) => {
            controller.stop().await;
            return unserved(error.into(), EXIT_NETWORK);
        }
    };
    let server = listener.map(|listener| {
        let mut ended = ended.clone();
        let limits = config.limits.clone();
        tokio::spawn(async move {
            let ended = async {
                // An error means that the sender was dropped, which is an end too.
                let _ = ended.wait_for(|ended| *ended).await;
            };
            rest::serve(listener, None, router, &limits, ended).await;
        })
    });
    tell_service_manager("READY=1");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the controller is up");
    check_file(config);
    let code = tokio::select! {
        biased;
        // Cancel-safe: a flag.
        by = cluster.superseded() => match by {
            Superseded::InDatabase => EXIT_FENCED,
            Superseded::AtSatellites => EXIT_SUPERSEDED,
        },
        // Cancel-safe: waits for signals only.
        () = asked_to_end() => 0,
    };
    tell_service_manager("STOPPING=1");
    end.send_replace(true);
    let servers = async {
        // A server that panicked has nothing left to answer.
        let _ = secure.await;
        if let Some(server) = server {
            let _ = server.await;
        }
    };
    if tokio::time::timeout(DRAIN_MAX, servers).await.is_err() {
        tracing::info!("requests that were still under way are cut off");
    }
    controller.stop().await;
    code
}

async fn start(
    config: &Config,
    connector: TcpConnector,
    wrap: impl FnOnce(Box<dyn Store>) -> Box<dyn Store>,
) -> Result<Controller, StartError> {
    let store: Box<dyn Store> = match &config.database {
        Database::File(path) => Box::new(SqliteStore::open(path).await?),
        Database::Memory => {
            tracing::warn!("the database is in memory: all is lost when the controller ends");
            Box::new(MemoryStore::new())
        }
    };
    let env = Arc::new(RealEnv);
    let options = Options {
        error_reports: match &config.database {
            Database::File(path) => Some(path.with_file_name(error_report::FILE_NAME)),
            Database::Memory => None,
        },
        config: Some(config.without_secrets()),
        ..Options::default()
    };
    Controller::start(wrap(store), env, Arc::new(connector), options).await
}

/// Checks the database file, in the background.
fn check_file(config: &Config) {
    let Database::File(path) = &config.database else {
        return;
    };
    let path = path.clone();
    tokio::spawn(async move {
        tokio::time::sleep(CHECK_AFTER).await;
        let checked = path.clone();
        let check = tokio::task::spawn_blocking(move || sqlite::check(&checked));
        match check.await {
            Ok(Ok(problems)) => {
                for problem in problems {
                    tracing::error!(file = %path.display(), problem, "the database is damaged");
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "the database could not be checked"),
            Err(error) => tracing::error!(%error, "the check of the database ended by itself"),
        }
    });
}

async fn asked_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be received; only a kill ends this controller");
        return std::future::pending().await;
    };
    tokio::select! {
        biased;
        // Cancel-safe: a signal that is not taken here is not needed any more.
        _ = terminate.recv() => {}
        // Cancel-safe: likewise.
        _ = interrupt.recv() => {}
    }
}

/// Notifies systemd, if it is there (`Type=notify`).
fn tell_service_manager(state: &str) {
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else {
        return;
    };
    // A name that begins with '@' is abstract; service managers use a path in practice.
    let notified =
        UnixDatagram::unbound().and_then(|socket| socket.send_to(state.as_bytes(), &path));
    if let Err(error) = notified {
        tracing::warn!(%error, "the service manager was not notified of '{state}'");
    }
}
