//! External files.

use crate::lenient::object;

object! {
    /// An external file. Lists have its content only when that was asked for.
    pub struct ExternalFile {
        /// Where it belongs.
        pub path: Option<String>,
        /// What is in it, in base64.
        pub content: Option<String>,
        /// Suffixes of files that are updated instead where one exists.
        pub alt_suffixes: Vec<String>,
    }

    /// Whether a satellite writes a file.
    pub struct ExternalFileCheck {
        /// Whether its settings allow the path.
        pub allowed: bool,
    }
}
