//! A network address of a node.

use crate::lenient::{Word, object};

object! {
    /// A network address of a node.
    pub struct NetInterface {
        /// Its name; by convention `default` for the first one.
        pub name: String,
        /// IPv4 or IPv6 address.
        pub address: String,
        /// Where the satellite listens; only on interfaces that the controller may connect to.
        pub satellite_port: Option<i32>,
        /// `PLAIN` or `SSL` (see [`crate::kind::Encryption`]).
        pub satellite_encryption_type: Option<Word>,
        /// Whether the controller connects here. Always there in answers.
        pub is_active: Option<bool>,
        /// Unique id; only in answers.
        pub uuid: Option<String>,
    }
}
