//! The controller's settings: from the command line, then `linstor.toml`, then the environment, then defaults.
//!
//! The file is LINSTOR's. Keys that this version does not use are ignored with a warning: a file that serves LINSTOR
//! must not keep this controller from starting.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use linstor_net::{NetError, tcp};
use linstor_wire::secret::Secret;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::rest::Limits;

mod certificates;
mod https;
mod netcom;

pub use certificates::{Certificate, KeyStore};
pub use https::Https;
pub use netcom::Netcom;

/// Port of the REST API.
const HTTP_PORT: u16 = 3370;
/// Name of the settings file in its directory.
const FILE_NAME: &str = "linstor.toml";
/// Name of the database file in its directory.
const DATABASE_NAME: &str = "linstor.db";
/// Name of the master passphrase among systemd's credentials.
const CREDENTIAL: &str = "linstor-masterpassphrase";
/// How LINSTOR's default database URL begins.
const H2_PREFIX: &str = "jdbc:h2:";

/// The controller of a LINSTOR cluster.
#[derive(Debug, Clone, Default, Parser)]
#[command(
    name = "linstor-controller",
    version,
    about,
    disable_version_flag = true
)]
pub struct Arguments {
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,
    /// Directory of linstor.toml
    #[arg(short, long, value_name = "DIR")]
    pub config_directory: Option<PathBuf>,
    /// Directory of the database
    #[arg(long, value_name = "DIR")]
    pub controller_directory: Option<PathBuf>,
    /// Keep the database in memory only; everything is lost when the controller ends
    #[arg(short = 'd', long, short_alias = 'm', num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "URL")]
    pub memory_database: Option<String>,
    /// Address of the REST API, for example 127.0.0.1:3370
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub rest_bind: Option<SocketAddr>,
    /// How much to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// As --log-level, which it overrides
    #[arg(long, value_name = "LEVEL")]
    pub log_level_linstor: Option<String>,
    /// Accepted for compatibility: logs go to standard error, for the journal
    #[arg(short, long, value_name = "DIR")]
    pub logs: Option<PathBuf>,
    /// Accepted for compatibility
    #[arg(short = 'p', long, hide = true)]
    pub stack_traces: bool,
    /// Accepted for compatibility
    #[arg(long, hide = true)]
    pub disable_db_version_check: bool,
    /// Address of the REST API over HTTPS, for example 127.0.0.1:3371
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub rest_bind_secure: Option<SocketAddr>,
    /// Accepted for compatibility
    #[arg(long, hide = true, value_name = "DIR")]
    pub webui_directory: Option<PathBuf>,
}

impl Arguments {
    /// A warning for each option that has no effect here.
    fn without_effect(&self) -> impl Iterator<Item = String> {
        [
            (
                self.logs.is_some(),
                "--logs: logs go to standard error, for the journal",
            ),
            (self.stack_traces, "--stack-traces has no effect"),
            (
                self.disable_db_version_check,
                "--disable-db-version-check has no effect",
            ),
            (
                self.webui_directory.is_some(),
                "--webui-directory has no effect yet",
            ),
        ]
        .into_iter()
        .filter(|(given, _)| *given)
        .map(|(_, text)| text.to_owned())
    }
}

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// In a SQLite file.
    File(PathBuf),
    /// In memory.
    Memory,
}

/// Where the REST API listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address; none means every address of the machine, IPv6 and IPv4.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// Settings, from wherever they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the REST API listens; none when it is turned off.
    pub http: Option<Listen>,
    /// How the REST API is served over TLS; none when it is turned off.
    pub https: Option<Https>,
    /// Certificates for links to satellites over TLS.
    pub netcom: Option<Netcom>,
    /// Where the database is.
    pub database: Database,
    /// What callers of the REST API may take.
    pub limits: Limits,
    /// The master passphrase, which is entered at the start, and set when none is set.
    pub passphrase: Option<Secret>,
    /// Whether callers of the REST API have to authenticate where that is switched on in the cluster.
    pub token_authentication: bool,
    /// Whether keys of encrypted volumes are sent to satellites over links without TLS, as LINSTOR does.
    pub keys_on_plain_links: bool,
    /// The directory of the settings file.
    pub directory: PathBuf,
    /// How much to log.
    pub log_level: String,
    /// Warnings about the settings, for the log.
    pub warnings: Vec<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there, but cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or a value is not of its type.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The database is one that this version does not know.
    #[error("the database '{url}' cannot be used: {reason}")]
    Database {
        /// The URL as given.
        url: String,
        /// Why.
        reason: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    http: Http,
    https: https::Section,
    netcom: netcom::Section,
    db: Db,
    logging: Logging,
    encrypt: Encrypt,
    #[serde(rename = "webUi")]
    web_ui: WebUi,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Encrypt {
    #[serde(with = "linstor_wire::secret::on_link")]
    passphrase: Secret,
    // Not LINSTOR's.
    keys_on_plain_links: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Http {
    enabled: Option<bool>,
    listen_addr: Option<IpAddr>,
    port: Option<u16>,
    // What follows is not LINSTOR's.
    connections_max: Option<NonZeroUsize>,
    requests_max: Option<NonZeroUsize>,
    body_bytes_max: Option<NonZeroUsize>,
    header_bytes_max: Option<NonZeroUsize>,
    header_seconds_max: Option<NonZeroU32>,
    body_seconds_max: Option<NonZeroU32>,
    request_seconds_max: Option<NonZeroU32>,
    write_seconds_max: Option<NonZeroU32>,
    allowed_origins: Vec<String>,
    token_authentication: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WebUi {
    directory: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Db {
    connection_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Logging {
    level: Option<String>,
    linstor_level: Option<String>,
}

/// The environment, as a function so that tests bring their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Brings the sources together.
    pub fn load(arguments: &Arguments, environment: Environment) -> Result<Config, ConfigError> {
        let directory = arguments
            .config_directory
            .clone()
            .or_else(|| environment("LS_CONFIG_DIRECTORY").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("/etc/linstor"));
        let mut warnings: Vec<String> = arguments.without_effect().collect();
        let path = directory.join(FILE_NAME);
        let file = read(&path, &mut warnings)?;
        let log_level = arguments
            .log_level_linstor
            .clone()
            .or_else(|| arguments.log_level.clone())
            .or(file.logging.linstor_level)
            .or(file.logging.level)
            .or_else(|| environment("LS_LOG_LEVEL_LINSTOR"))
            .or_else(|| environment("LS_LOG_LEVEL"))
            .unwrap_or_else(|| "info".to_owned());
        let token_authentication = file.http.token_authentication != Some(false);
        if !token_authentication {
            warnings
                .push("[http] token_authentication = false: nobody has to authenticate".to_owned());
        }
        let secure = secure_address(arguments, &file.https, environment, &mut warnings);
        Ok(Config {
            token_authentication,
            netcom: file.netcom.settings(&path)?,
            https: file.https.settings(&path, secure, &mut warnings)?,
            http: http(arguments, &file.http, environment, &mut warnings),
            limits: limits(&file.http, file.web_ui.directory),
            keys_on_plain_links: file.encrypt.keys_on_plain_links.unwrap_or(true),
            passphrase: passphrase(file.encrypt.passphrase, environment)?,
            database: database(arguments, file.db.connection_url)?,
            directory,
            log_level: log_level.to_ascii_lowercase(),
            warnings,
        })
    }

    /// The settings that are shown: what is secret is for the start alone.
    pub fn without_secrets(&self) -> Config {
        Config {
            passphrase: None,
            https: self.https.clone().map(Https::without_secrets),
            netcom: self.netcom.clone().map(Netcom::without_secrets),
            ..self.clone()
        }
    }
}

/// Where HTTPS listens by the command line, else by the environment unless the file says it.
fn secure_address(
    arguments: &Arguments,
    file: &https::Section,
    environment: Environment,
    warnings: &mut Vec<String>,
) -> Option<SocketAddr> {
    if arguments.rest_bind_secure.is_some() || file.has_address() {
        return arguments.rest_bind_secure;
    }
    address_of(environment, "LS_REST_BIND_ADDRESS_SECURE", warnings)
}

/// The address and port that the environment names.
fn address_of(
    environment: Environment,
    name: &str,
    warnings: &mut Vec<String>,
) -> Option<SocketAddr> {
    let text = environment(name)?;
    let address = text.parse().ok();
    if address.is_none() {
        warnings.push(format!("{name}: '{text}' is not an address with a port"));
    }
    address
}

fn read(path: &Path, warnings: &mut Vec<String>) -> Result<File, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(source) => {
            return Err(ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            });
        }
    };
    let invalid = |error: &dyn std::fmt::Display| ConfigError::Invalid {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let deserializer = toml::Deserializer::parse(&text).map_err(|error| invalid(&error))?;
    let unused = |key: serde_ignored::Path<'_>| {
        warnings.push(format!("{}: '{key}' has no effect", path.display()));
    };
    serde_ignored::deserialize(deserializer, unused).map_err(|error| invalid(&error))
}

/// The buffer of a connection has at least so many bytes.
const HEADER_BYTES_MIN: usize = 8 * 1024;

fn limits(file: &Http, ui_directory: Option<PathBuf>) -> Limits {
    let default = Limits::default();
    let count = |given: Option<NonZeroUsize>, default| given.map_or(default, NonZeroUsize::get);
    let time = |given: Option<NonZeroU32>, default| {
        given.map_or(default, |seconds| Duration::from_secs(seconds.get().into()))
    };
    Limits {
        connections_max: count(file.connections_max, default.connections_max),
        requests_max: count(file.requests_max, default.requests_max),
        body_bytes_max: count(file.body_bytes_max, default.body_bytes_max),
        header_bytes_max: count(file.header_bytes_max, default.header_bytes_max)
            .max(HEADER_BYTES_MIN),
        header_time_max: time(file.header_seconds_max, default.header_time_max),
        body_time_max: time(file.body_seconds_max, default.body_time_max),
        request_time_max: time(file.request_seconds_max, default.request_time_max),
        write_time_max: time(file.write_seconds_max, default.write_time_max),
        allowed_origins: file.allowed_origins.clone(),
        ui_directory: ui_directory.unwrap_or(default.ui_directory),
    }
}

/// The master passphrase of the file, else of the environment, else of systemd's credentials.
fn passphrase(file: Secret, environment: Environment) -> Result<Option<Secret>, ConfigError> {
    if !file.is_empty() {
        return Ok(Some(file));
    }
    if let Some(given) = environment("MASTER_PASSPHRASE").filter(|text| !text.is_empty()) {
        return Ok(Some(Secret::new(given)));
    }
    let Some(directory) = environment("CREDENTIALS_DIRECTORY") else {
        return Ok(None);
    };
    let path = Path::new(&directory).join(CREDENTIAL);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let text = text.trim_end_matches('\n');
            Ok((!text.is_empty()).then(|| Secret::new(text)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Unreadable { path, source }),
    }
}

fn http(
    arguments: &Arguments,
    file: &Http,
    environment: Environment,
    warnings: &mut Vec<String>,
) -> Option<Listen> {
    if let Some(bind) = arguments.rest_bind {
        return Some(Listen::at(bind));
    }
    if file.enabled == Some(false) {
        return None;
    }
    if file.listen_addr.is_none()
        && file.port.is_none()
        && let Some(bind) = address_of(environment, "LS_REST_BIND_ADDRESS", warnings)
    {
        return Some(Listen::at(bind));
    }
    Some(Listen {
        address: file.listen_addr.filter(|address| *address != EVERY_IPV6),
        port: file.port.unwrap_or(HTTP_PORT),
    })
}

/// Stands for IPv4 as well, and works on a kernel without IPv6.
const EVERY_IPV6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

impl Listen {
    /// Listens there.
    pub(crate) fn open(self) -> Result<TcpListener, NetError> {
        match self.address {
            Some(address) => tcp::listen(SocketAddr::new(address, self.port)),
            None => tcp::listen_everywhere(self.port),
        }
    }

    fn at(bind: SocketAddr) -> Listen {
        Listen {
            address: Some(bind.ip()).filter(|address| *address != EVERY_IPV6),
            port: bind.port(),
        }
    }
}

fn database(arguments: &Arguments, url: Option<String>) -> Result<Database, ConfigError> {
    if arguments.memory_database.is_some() {
        return Ok(Database::Memory);
    }
    if let Some(directory) = &arguments.controller_directory {
        return Ok(Database::File(directory.join(DATABASE_NAME)));
    }
    let Some(url) = url else {
        let directory = Path::new("/var/lib/linstor");
        return Ok(Database::File(directory.join(DATABASE_NAME)));
    };
    let sqlite = ["sqlite://", "sqlite:", "jdbc:sqlite:"]
        .iter()
        .find_map(|prefix| url.strip_prefix(prefix));
    if let Some(path) = sqlite {
        return Ok(Database::File(PathBuf::from(path)));
    }
    if let Some(h2) = url.strip_prefix(H2_PREFIX) {
        return instead_of_h2(&url, Path::new(h2));
    }
    Err(ConfigError::Database {
        reason: "this version keeps its data in a SQLite file, for example \
                 sqlite:/var/lib/linstor/linstor.db"
            .to_owned(),
        url,
    })
}

/// LINSTOR's own default names an H2 database. A file in its directory is used, unless that would hide a cluster that
/// is in it.
fn instead_of_h2(url: &str, h2: &Path) -> Result<Database, ConfigError> {
    let file = h2.with_file_name(DATABASE_NAME);
    let mut data = h2.as_os_str().to_owned();
    data.push(".mv.db");
    if Path::new(&data).exists() && !file.exists() {
        return Err(ConfigError::Database {
            url: url.to_owned(),
            reason: format!(
                "{} holds a cluster that this version cannot read; starting would show an empty \
                 one. Set connection_url to sqlite:{} to start a new cluster",
                Path::new(&data).display(),
                file.display()
            ),
        });
    }
    Ok(Database::File(file))
}

#[cfg(test)]
mod tests;
