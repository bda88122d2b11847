//! The log of a program, whose level can be changed while it runs.

use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Levels that LINSTOR knows.
pub const LEVELS: [&str; 5] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts the log with a level, or with what `RUST_LOG` says.
pub fn start(level: &str) {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    // Only the first log of a process is one.
    let _ = FILTER.set(handle);
}

/// The level, or the filter of `RUST_LOG`; none where no log was started.
pub fn level() -> Option<String> {
    FILTER.get()?.with_current(ToString::to_string).ok()
}

/// Changes the level until the program ends.
pub fn set_level(level: &str) {
    if let Some(filter) = FILTER.get()
        && let Err(error) = filter.reload(EnvFilter::new(level.to_ascii_lowercase()))
    {
        tracing::warn!(%error, "the level of the log cannot be changed");
    }
}
