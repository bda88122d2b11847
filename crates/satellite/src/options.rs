//! Directories and intervals of the satellite.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a satellite.
#[derive(Debug, Clone)]
pub struct Options {
    /// Own state: identity, epoch, specs.
    pub state_directory: PathBuf,
    /// Where `.res` files are written.
    pub res_directory: PathBuf,
    /// drbd-utils' own configuration directory; when it exists, it gets an include of our files, for people.
    pub drbd_directory: PathBuf,
    /// Where `linstor_satellite.toml` is; shown only.
    pub config_directory: PathBuf,
    /// The address that controllers call, none for all; shown only.
    pub address: Option<IpAddr>,
    /// The name that the node reports instead of its host name.
    pub node_name: Option<String>,
    /// The port that controllers call; shown only.
    pub port: u16,
    /// Directories in which controllers may have external files written; not those below them.
    pub file_directories: Vec<PathBuf>,
    /// How often a resource that matches its spec is checked again.
    pub pass_interval: Duration,
    /// How old an observation of a volume group, dataset or loop device may be to be used.
    pub observation_age: Duration,
    /// How often the space of the pools is queried without a reason.
    pub space_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            state_directory: "/var/lib/linstor/satellite".into(),
            res_directory: "/var/lib/linstor.d".into(),
            drbd_directory: "/etc/drbd.d".into(),
            config_directory: "/etc/linstor".into(),
            address: None,
            node_name: None,
            port: 3366,
            file_directories: Vec::new(),
            pass_interval: Duration::from_secs(30),
            observation_age: Duration::from_secs(10),
            space_interval: Duration::from_secs(60),
        }
    }
}
