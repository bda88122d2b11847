//! Buckets of S3 stores: listing, reading, writing and deleting objects, whole or in parts.
//!
//! Requests are signed, and answers read, by `rusty-s3`; this crate sends them: with TLS that trusts the machine's
//! certificates, through the proxy of the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`), again after a pause where
//! that helps, and never without a limit of time or size. Certificates of an own authority belong into the machine's
//! store, or into the file that `SSL_CERT_FILE` names.
//!
//! Signatures are part of the URLs: no URL is in an error, a log or debug output.
//!
//! [`Http`] is also how other clusters are called.

mod bucket;
mod content;
mod delete;
mod download;
mod error;
mod http;
mod multipart;
mod request;
mod upload;

pub use bucket::{Bucket, Object, Page, Position, Settings};
pub use content::{Body, body};
pub use delete::NotDeleted;
pub use download::DownloadError;
pub use error::{Answered, Error};
pub use http::Http;
pub use multipart::{PARTS_MAX, Part};
pub use upload::{Parts, UploadError};
