//! The controller itself.

use crate::lenient::object;

/// The version of the REST API that this crate's types belong to. Clients choose routes by it.
pub const REST_API_VERSION: &str = "1.28.0";

/// The TCP port of the REST API.
pub const HTTP_PORT: u16 = 3370;
/// The TCP port of the REST API over TLS.
pub const HTTPS_PORT: u16 = 3371;
/// The TCP port of a satellite.
pub const SATELLITE_PORT: u16 = 3366;
/// The TCP port of a satellite over TLS.
pub const SATELLITE_TLS_PORT: u16 = 3367;

object! {
    /// Body of `POST /v1/controller/backup/db` and `.../database/export`.
    pub struct DatabaseBackupRequest {
        /// Name of the copy; made of the time when it is not given.
        pub backup_name: Option<String>,
    }

    /// `GET /v1/controller/version`.
    pub struct ControllerVersion {
        /// The program's version.
        pub version: Option<String>,
        /// The commit it was built from.
        pub git_hash: Option<String>,
        /// When it was built, ISO 8601.
        pub build_time: Option<String>,
        /// The version of the REST API (see [`REST_API_VERSION`]).
        pub rest_api_version: Option<String>,
    }
}
