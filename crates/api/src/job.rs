//! A job: work that takes longer than one round trip. `GET /v1/jobs` is not part of LINSTOR's API.

use crate::lenient::{Word, object};
use crate::properties::Properties;

object! {
    /// Work that has begun and is not done: what it is, how far it is and what it waits for.
    pub struct Job {
        /// Its id.
        pub id: String,
        /// What it does, for example `resource-delete`.
        pub kind: Word,
        /// How far it is, for example `waiting-for-satellites`.
        pub phase: Word,
        /// The objects it works on, named as in a reply's `obj_refs`.
        pub obj_refs: Properties,
        /// Whom it waits for, and why.
        pub waiting_for: Vec<WaitingFor>,
        /// When it began, in milliseconds since 1970.
        pub since: Option<i64>,
        /// Why its last attempt failed.
        pub last_error: Option<String>,
        /// When it will be tried again, in milliseconds since 1970.
        pub next_try: Option<i64>,
    }

    /// Somebody whom a job waits for.
    pub struct WaitingFor {
        /// The node.
        pub node: String,
        /// Why its answer is missing, for a person.
        pub reason: String,
    }
}
