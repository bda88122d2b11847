//! drbd-reactor: what is asked of `drbd-reactorctl` on nodes, and what it answered.

use crate::lenient::object;

object! {
    /// Body of `status` and `evict`.
    pub struct ReactorExec {
        /// The nodes.
        pub nodes: Vec<String>,
        /// The resource.
        pub resource: Option<String>,
        /// Whether to wait until another node has taken the resource over.
        pub wait: bool,
    }

    /// Body of `disable`, `enable` and `restart`.
    pub struct ReactorPlugin {
        /// The nodes.
        pub nodes: Vec<String>,
        /// The configuration.
        pub config: Option<String>,
        /// With `disable`: whether what it started is stopped too.
        pub now: bool,
    }

    /// What the program did on a node.
    pub struct ReactorResult {
        /// The node.
        pub node: String,
        /// Exit code; -1 where the program could not be run.
        pub exit_code: i32,
        /// Standard output.
        pub stdout_utf8: Option<String>,
        /// Standard error, or why the program could not be run.
        pub stderr_utf8: Option<String>,
        /// Which node has taken the resource over.
        pub active_node: Option<String>,
    }
}
