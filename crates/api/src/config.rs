//! Settings of the programs, as far as they are shown and can be changed while a program runs.

use crate::lenient::object;

object! {
    /// `/v1/controller/config`.
    pub struct ControllerConfig {
        /// Where the settings come from.
        pub config: Option<Directory>,
        /// The debug console.
        pub debug: Option<Debug>,
        /// The log.
        pub log: Option<Log>,
        /// The database.
        pub db: Option<Db>,
        /// The REST API.
        pub http: Option<Http>,
        /// The REST API over TLS.
        pub https: Option<Http>,
        /// Authentication by LDAP.
        pub ldap: Option<Ldap>,
    }

    /// Where the settings come from.
    pub struct Directory {
        /// The directory of the file.
        pub dir: Option<String>,
    }

    /// The debug console.
    pub struct Debug {
        /// Whether there is one.
        pub console_enabled: Option<bool>,
    }

    /// The log.
    pub struct Log {
        /// Whether errors come with where they occurred.
        pub print_stack_trace: Option<bool>,
        /// The directory of log files.
        pub directory: Option<String>,
        /// How much is logged.
        pub level: Option<String>,
        /// How much is logged, on all nodes.
        pub level_global: Option<String>,
        /// How much LINSTOR itself logs.
        pub level_linstor: Option<String>,
        /// How much LINSTOR itself logs, on all nodes.
        pub level_linstor_global: Option<String>,
        /// The file of REST requests.
        pub rest_access_log_path: Option<String>,
        /// How that file is kept.
        pub rest_access_mode: Option<String>,
    }

    /// `/v1/nodes/{node}/config`.
    pub struct SatelliteConfig {
        /// Where the settings come from.
        pub config: Option<Directory>,
        /// The debug console.
        pub debug: Option<Debug>,
        /// The log.
        pub log: Option<Log>,
        /// The node name that is used instead of the host's.
        pub stlt_override_node_name: Option<String>,
        /// Whether it is for a remote SPDK.
        pub remote_spdk: Option<bool>,
        /// Whether it is for EBS.
        pub ebs: Option<bool>,
        /// Whether it runs on the controller's machine for another one.
        pub special_satellite: Option<bool>,
        /// Which resource files are left alone.
        pub drbd_keep_res_pattern: Option<String>,
        /// Where it listens.
        pub net: Option<Net>,
    }

    /// Where a satellite listens.
    pub struct Net {
        /// Address.
        pub bind_address: Option<String>,
        /// Port.
        pub port: Option<i32>,
        /// Kind of the connection.
        pub com_type: Option<String>,
    }

    /// The database.
    pub struct Db {
        /// Where it is.
        pub connection_url: Option<String>,
        /// Certificate of its authority.
        pub ca_certificate: Option<String>,
        /// The client's certificate.
        pub client_certificate: Option<String>,
        /// Whether it is in memory only.
        pub in_memory: Option<String>,
        /// Whether its version does not matter.
        pub version_check_disabled: Option<bool>,
    }

    /// A server.
    pub struct Http {
        /// Whether there is one.
        pub enabled: Option<bool>,
        /// Its address.
        pub listen_address: Option<String>,
        /// Its port.
        pub port: Option<i32>,
    }

    /// Authentication by LDAP.
    pub struct Ldap {
        /// Whether there is any.
        pub enabled: Option<bool>,
        /// Whether callers without a name may read.
        pub public_access_allowed: Option<bool>,
        /// The server.
        pub uri: Option<String>,
        /// The distinguished name of a user.
        pub dn: Option<String>,
        /// Where users are searched.
        pub search_base: Option<String>,
        /// Which users are found.
        pub search_filter: Option<String>,
    }
}
