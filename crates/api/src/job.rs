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
        /// Its step, for example `growing-storage`.
        pub phase: Word,
        /// The number of its step, from 1.
        pub step: Option<i64>,
        /// How many steps it has.
        pub steps: Option<i64>,
        /// How much of its step is done, in percent, where that is known.
        pub percent: Option<f64>,
        /// How many bytes a node has sent or received in its step, before compression.
        pub moved_bytes: Option<i64>,
        /// How many are left of the volume at which the node is.
        pub rest_bytes: Option<i64>,
        /// How many bytes it moves in a second, on average.
        pub bytes_per_s: Option<i64>,
        /// The objects it works on, named as in a reply's `obj_refs`.
        pub obj_refs: Properties,
        /// Whom it waits for, and why.
        pub waiting_for: Vec<WaitingFor>,
        /// When it began, in milliseconds since 1970.
        pub since: Option<i64>,
        /// When it is cancelled if it is not finished, in milliseconds since 1970.
        pub deadline: Option<i64>,
        /// It was cancelled, and takes back what it did.
        pub cancelled: bool,
        /// Why its last attempt failed.
        pub last_error: Option<String>,
        /// When it will be tried again, in milliseconds since 1970.
        pub next_try: Option<i64>,
    }

    /// Body of `POST /v1/jobs/{id}/cancel`.
    pub struct JobCancel {
        /// Cancel the job only if it is not finished after so many seconds.
        pub after_s: Option<i64>,
    }

    /// Somebody whom a job waits for.
    pub struct WaitingFor {
        /// The node.
        pub node: String,
        /// Why its answer is missing, for a person.
        pub reason: String,
    }
}
