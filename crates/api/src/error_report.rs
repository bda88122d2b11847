//! An error report: an error that is worth a look later.

use crate::lenient::object;

object! {
    /// An error report.
    pub struct ErrorReport {
        /// Whose it is: a node, or `Controller`.
        pub node_name: Option<String>,
        /// When the error occurred last, in milliseconds since the Unix epoch.
        pub error_time: i64,
        /// `ErrorReport-<id>.log`.
        pub filename: Option<String>,
        /// All of it, for a person; only if wanted.
        pub text: Option<String>,
        /// `CONTROLLER` or `SATELLITE`.
        pub module: Option<String>,
        /// The program's version.
        pub version: Option<String>,
        /// The request that failed.
        pub peer: Option<String>,
        /// The name of the error's code.
        pub exception: Option<String>,
        /// What happened.
        pub exception_message: Option<String>,
    }

    /// Which reports are wanted: the body of `PATCH /v1/error-reports` (which ones to delete), and the parameters of a list.
    /// What is not given is no condition.
    pub struct ErrorReportFilter {
        /// Not older, in milliseconds since the Unix epoch.
        pub since: Option<i64>,
        /// Not newer, likewise.
        pub to: Option<i64>,
        /// Of these nodes.
        pub nodes: Vec<String>,
        /// With this exception.
        pub exception: Option<String>,
        /// Of this version.
        pub version: Option<String>,
        /// With these ids.
        pub ids: Vec<String>,
    }
}
