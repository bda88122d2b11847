//! Why a request was not carried out.

use thiserror::Error;

/// The longest text of a store that is shown.
const SHOWN_MAX: usize = 300;

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The settings are not usable, whatever the store says.
    #[error("{0}")]
    Settings(String),
    /// No connection, or it broke.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port of the store.
        host: String,
        /// What failed.
        reason: String,
    },
    /// No answer, or not all of it.
    #[error("{host} did not answer within {seconds} s")]
    Late {
        /// Host and port of the store.
        host: String,
        /// How long it had.
        seconds: u64,
    },
    /// The store refuses.
    #[error("{0}")]
    Answered(Answered),
    /// The store's answer is none that S3 has.
    #[error("the answer to {what} cannot be read: {reason}")]
    Unreadable {
        /// What was asked for.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// An object is larger than the reader takes.
    #[error("{what} has more than {bytes_max} bytes")]
    TooLarge {
        /// The object.
        what: String,
        /// The limit.
        bytes_max: usize,
    },
}

/// A refusal of a store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} was refused with {status} {code}: {message}")]
pub struct Answered {
    /// What was asked for.
    pub what: String,
    /// HTTP's status.
    pub status: u16,
    /// S3's code, such as `NoSuchBucket`; HTTP's words where the answer has none.
    pub code: String,
    /// S3's text.
    pub message: String,
    /// The region that the bucket is in, where the store names it.
    pub region: Option<String>,
}

impl Error {
    /// S3's code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Answered(answered) => Some(&answered.code),
            _ => None,
        }
    }

    /// Whether the object, the upload or the bucket does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Answered(answered) if answered.status == 404)
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Late { .. } => true,
            Error::Answered(answered) => {
                matches!(answered.status, 429 | 500 | 502 | 503 | 504)
                    || matches!(answered.code.as_str(), "SlowDown" | "RequestTimeout")
            }
            Error::Settings(_) | Error::Unreadable { .. } | Error::TooLarge { .. } => false,
        }
    }

    /// How to correct it, for a person.
    pub fn correction(&self) -> &'static str {
        match self {
            Error::Settings(_) => "Correct the endpoint, the bucket or the region of the remote.",
            Error::Unreachable { .. } | Error::Late { .. } => {
                "Check the endpoint, the network and the proxy, and that the store runs."
            }
            Error::Unreadable { .. } => "Check that the endpoint is that of an S3 store.",
            Error::TooLarge { .. } => "Delete the object if it is none of LINSTOR's.",
            Error::Answered(answered) => match answered.code.as_str() {
                "NoSuchBucket" => "Create the bucket, or use another one.",
                "InvalidAccessKeyId" | "SignatureDoesNotMatch" => {
                    "Use the access key and the secret key of the bucket."
                }
                "RequestTimeTooSkewed" | "RequestExpired" => {
                    "Set the clock of this machine, or that of the store."
                }
                "AuthorizationHeaderMalformed" | "PermanentRedirect" => {
                    "Use the region and the endpoint of the bucket."
                }
                "AccessDenied" => {
                    "Allow the owner of the access key to list, read, write and delete objects of the bucket, and check \
                     that its keys are right."
                }
                "SlowDown" | "ServiceUnavailable" => "Try again later.",
                _ => "See the documentation of the store about this code.",
            },
        }
    }
}

impl Answered {
    /// Reads a refusal; `secrets` are replaced in what is shown.
    pub(crate) fn read(
        what: &str,
        status: hyper::StatusCode,
        text: &str,
        secrets: &[&str],
    ) -> Answered {
        let shown = |text: &str| {
            let hidden = secrets.iter().filter(|secret| !secret.is_empty());
            let text = hidden.fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
            text.escape_debug().take(SHOWN_MAX).collect::<String>()
        };
        let words = status.canonical_reason().unwrap_or("unknown status");
        let code = member(text, "Code").unwrap_or_else(|| words.replace(' ', ""));
        let message = member(text, "Message").unwrap_or_else(|| words.to_owned());
        Answered {
            what: what.to_owned(),
            status: status.as_u16(),
            code: shown(&code),
            message: shown(&message),
            region: member(text, "Region"),
        }
    }
}

/// The text of an element of an answer. The elements of refusals are short and have nothing in them.
pub(crate) fn member(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    let value = value
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&");
    Some(value)
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    /// Code and text are taken from the answer, without secrets and control characters; without one HTTP's words are there.
    #[test]
    fn refusals_are_read() {
        let text = "<?xml?><Error><Code>SignatureDoesNotMatch</Code><Message>of 'key' &amp; s3cr\net</Message></Error>";
        let read = Answered::read("listing", StatusCode::FORBIDDEN, text, &["key", ""]);
        assert_eq!(
            read.to_string(),
            "listing was refused with 403 SignatureDoesNotMatch: of '***' & s3cr\\net"
                .replace("'", "\\'")
        );
        let read = Answered::read("listing", StatusCode::SERVICE_UNAVAILABLE, "<html>", &[]);
        assert_eq!(
            (
                read.code.as_str(),
                Error::Answered(read.clone()).is_transient()
            ),
            ("ServiceUnavailable", true)
        );
    }
}
