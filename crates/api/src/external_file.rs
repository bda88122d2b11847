//! External files: files that LINSTOR writes on the nodes of the resources that need them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::lenient::object;

/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// An absolute path of printable ASCII characters. Unlike names, paths compare with regard to case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(Arc<str>);

impl FilePath {
    /// Checks the rules.
    ///
    /// # Errors
    ///
    /// Which rule the text breaks.
    pub fn parse(given: &str) -> Result<Self, String> {
        if !given.starts_with('/') {
            return Err("the path must be absolute".to_owned());
        }
        if given.len() > PATH_BYTES_MAX {
            return Err(format!(
                "it has {} bytes; at most {PATH_BYTES_MAX} are allowed",
                given.len()
            ));
        }
        if let Some(c) = given.chars().find(|c| !(' '..='~').contains(c)) {
            return Err(format!(
                "the character '{}' is not allowed in it",
                c.escape_debug()
            ));
        }
        Ok(FilePath(Arc::from(given)))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for FilePath {
    type Error = String;
    fn try_from(given: String) -> Result<Self, String> {
        FilePath::parse(&given)
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> String {
        path.0.to_string()
    }
}

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

    /// What a file is on a node.
    pub struct ExternalFileStatus {
        /// Where it is; absent where there is no such file.
        pub actual_path: Option<String>,
        /// Whether it has the content that the controller has.
        pub content_match: bool,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths are absolute, printable and of bounded length; their case counts.
    #[test]
    fn paths_are_checked() {
        for bad in [
            "",
            "relative",
            "/a\nb",
            "/ä",
            &format!("/{}", "x".repeat(1024)),
        ] {
            assert!(FilePath::parse(bad).is_err(), "{bad:?}");
        }
        assert_ne!(FilePath::parse("/a"), FilePath::parse("/A"));
    }
}
