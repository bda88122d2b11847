//! `linstor-satellite`: reads its configuration, listens for controllers, and runs until SIGTERM or SIGINT.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use linstor_host::RealHost;
use linstor_net::tcp;
use linstor_satellite::{Options, Satellite};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use netcom::Netcom;

mod netcom;

/// How long a controller may take until the connection is encrypted.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Connections that are served at the same time: one that counts, and some that are still being judged.
const CONNECTIONS_MAX: usize = 16;

/// Exit codes as LINSTOR has them.
mod exit {
    /// The command line is wrong.
    pub(crate) const COMMAND_LINE: u8 = 1;
    /// The configuration file is wrong.
    pub(crate) const CONFIGURATION: u8 = 2;
    /// The port cannot be listened on.
    pub(crate) const NETWORK: u8 = 20;
    /// Something that should not happen.
    pub(crate) const CRITICAL: u8 = 70;
}

/// The node's side of a storage cluster.
#[derive(Debug, Parser)]
#[command(name = "linstor-satellite", version, disable_version_flag = true)]
struct Arguments {
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// Directory of linstor_satellite.toml
    #[arg(long, short, default_value = "/etc/linstor")]
    config_directory: PathBuf,
    /// Accepted for compatibility: logs go to standard error, for the journal
    #[arg(long, short, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// How much to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// As --log-level, which it overrides
    #[arg(long, value_name = "LEVEL")]
    log_level_linstor: Option<String>,
    /// Name that this node reports instead of its host name
    #[arg(long, value_name = "NAME")]
    override_node_name: Option<String>,
    /// Directories in which controllers may have external files written, separated by commas
    #[arg(long, value_name = "PATHS")]
    allow_ext_files: Option<String>,
    /// Accepted for compatibility
    #[arg(long, short = 'p', hide = true)]
    stack_traces: bool,
    /// Accepted for compatibility
    #[arg(long, hide = true)]
    skip_hostname_check: bool,
    /// Accepted for compatibility
    #[arg(long, hide = true)]
    skip_drbd_check: bool,
    /// Accepted for compatibility
    #[arg(long, hide = true)]
    keep_res: Option<String>,
    /// Directory of the satellite's own state
    #[arg(long, default_value = "/var/lib/linstor/satellite")]
    state_directory: PathBuf,
    /// Directory of DRBD's resource files
    #[arg(long, default_value = "/var/lib/linstor.d")]
    res_directory: PathBuf,
    /// Address to listen on, instead of the configured one
    #[arg(long)]
    bind_address: Option<IpAddr>,
    /// Port to listen on, instead of the configured one
    #[arg(long)]
    port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Configuration {
    netcom: Netcom,
    logging: Logging,
    files: Files,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Files {
    #[serde(rename = "allowExtFiles")]
    allow_ext_files: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Logging {
    level: Option<String>,
    linstor_level: Option<String>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let wrong = error.use_stderr();
            // Nothing can be done about a closed terminal.
            error.print().ok();
            return ExitCode::from(if wrong { exit::COMMAND_LINE } else { 0 });
        }
    };
    let configuration = match configuration(&arguments.config_directory) {
        Ok(configuration) => configuration,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(exit::CONFIGURATION);
        }
    };
    let of_environment = |name: &str| std::env::var(name).ok();
    let logging = &configuration.logging;
    let level = [
        &arguments.log_level_linstor,
        &arguments.log_level,
        &logging.linstor_level,
        &logging.level,
    ];
    let level = level.into_iter().flatten().next().cloned();
    let level = level.or_else(|| of_environment("LS_LOG_LEVEL_LINSTOR"));
    let level = level.or_else(|| of_environment("LS_LOG_LEVEL"));
    linstor_log::start(
        &level
            .unwrap_or_else(|| "info".to_owned())
            .to_ascii_lowercase(),
    );
    if let Some(logs) = &arguments.logs {
        tracing::info!(directory = %logs.display(), "--logs has no effect: logs go to standard error, for the journal");
    }
    // One thread is enough: programs do the work, and a small satellite leaves the node to others.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::from(exit::CRITICAL);
        }
    };
    runtime.block_on(run(arguments, configuration))
}

fn configuration(directory: &Path) -> Result<Configuration, String> {
    let path = directory.join("linstor_satellite.toml");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Configuration::default()),
        Err(e) => return Err(format!("{}: {e}", path.display())),
    };
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

fn listen(address: Option<IpAddr>, port: u16) -> Result<TcpListener, linstor_net::NetError> {
    match address {
        Some(address) => tcp::listen(SocketAddr::new(address, port)),
        None => tcp::listen_everywhere(port),
    }
}

async fn run(arguments: Arguments, configuration: Configuration) -> ExitCode {
    let netcom = &configuration.netcom;
    let tls = match netcom.acceptor(&arguments.config_directory) {
        Ok(tls) => tls,
        Err(reason) => {
            tracing::error!("section [netcom] of linstor_satellite.toml: {reason}");
            return ExitCode::from(exit::CONFIGURATION);
        }
    };
    let port = arguments.port.unwrap_or_else(|| netcom.port());
    let address = arguments.bind_address.or(netcom.bind_address);
    let listener = match listen(address, port) {
        Ok(listener) => listener,
        Err(error) => {
            let reason = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, reason, "cannot listen");
            return ExitCode::from(exit::NETWORK);
        }
    };
    let (mut terminate, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "SIGTERM and SIGINT cannot be received");
            return ExitCode::from(exit::CRITICAL);
        }
    };
    let options = Options {
        state_directory: arguments.state_directory,
        res_directory: arguments.res_directory,
        config_directory: arguments.config_directory,
        node_name: arguments
            .override_node_name
            .or_else(|| std::env::var("LS_OVERRIDE_NODE_NAME").ok())
            .filter(|name| !name.is_empty()),
        address,
        port,
        file_directories: arguments
            .allow_ext_files
            .or_else(|| std::env::var("LS_ALLOW_EXT_FILES").ok())
            .map_or(configuration.files.allow_ext_files, |paths| {
                paths
                    .split(',')
                    .map(|path| PathBuf::from(path.trim()))
                    .collect()
            }),
        ..Options::default()
    };
    let satellite = Satellite::new(Arc::new(RealHost), options);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the satellite is up");
    tokio::select! {
        biased;
        // The satellite ends; DRBD and all devices remain as they are.
        _ = terminate.recv() => ExitCode::SUCCESS,
        _ = interrupt.recv() => ExitCode::SUCCESS,
        ended = satellite.run() => {
            if let Err(failure) = ended {
                tracing::error!(%failure, "the satellite cannot run");
            }
            ExitCode::from(exit::CRITICAL)
        }
        () = serve(&satellite, &listener, tls.as_ref()) => ExitCode::from(exit::CRITICAL),
    }
}

async fn serve(satellite: &Satellite, listener: &TcpListener, tls: Option<&TlsAcceptor>) {
    let mut connections: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            // A connection ended. Cancel-safe.
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            // A controller connects. Cancel-safe.
            accepted = tcp::accept(listener), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, peer)) => {
                    let (satellite, tls) = (satellite.clone(), tls.cloned());
                    connections.spawn(async move {
                        let ended = match tls {
                            None => satellite.serve_connection(stream).await,
                            Some(tls) => match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
                                Ok(Ok(stream)) => satellite.serve_connection(stream).await,
                                Ok(Err(error)) => {
                                    tracing::warn!(%peer, %error, "a connection over TLS was refused");
                                    return;
                                }
                                Err(_) => {
                                    tracing::warn!(%peer, "a connection was not encrypted in time");
                                    return;
                                }
                            },
                        };
                        if let Err(error) = ended {
                            tracing::info!(%peer, %error, "connection of a controller ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units and containers that were written for the original start the satellite unchanged.
    #[test]
    fn command_lines_in_use() {
        for line in [
            "--logs=/var/log/linstor-satellite --config-directory=/etc/linstor",
            "--logs /var/log/linstor-satellite --config-directory /etc/linstor --override-node-name alpha",
            "-l /var/log -c /etc/linstor --port 3366 --bind-address ::0 --log-level DEBUG --log-level-linstor TRACE",
            "--skip-hostname-check --skip-drbd-check --keep-res=x -p --allow-ext-files /etc/a,/etc/b",
        ] {
            let words = std::iter::once("linstor-satellite").chain(line.split_whitespace());
            let arguments = Arguments::try_parse_from(words);
            assert!(arguments.is_ok(), "{line}: {:?}", arguments.err());
        }
    }
}
