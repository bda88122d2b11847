//! Deleting objects.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use rusty_s3::actions::{DeleteObjectsResponse, ObjectIdentifier};

use crate::bucket::{Bucket, CONTENT_MD5};
use crate::error::Error;
use crate::request::{Sent, Signer};

/// How many objects one request may delete.
const AT_ONCE: usize = 1000;

/// An object that was not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDeleted {
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl Bucket {
    /// Deletes objects. One that does not exist counts as deleted. Returns those that were not deleted.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses all of it; some may be deleted.
    pub async fn delete(&self, keys: &[String]) -> Result<Vec<NotDeleted>, Error> {
        let mut left = Vec::new();
        for some in keys.chunks(AT_ONCE) {
            let singly = some.len() == 1
                || self.0.deletes_singly.load(Ordering::Relaxed)
                // XML has no form for these.
                || some.iter().any(|key| key.chars().any(char::is_control));
            if !singly {
                match self.delete_together(some).await {
                    Ok(not_deleted) => {
                        left.extend(not_deleted);
                        continue;
                    }
                    Err(error) if !is_unknown(&error) => return Err(error),
                    Err(_) => self.0.deletes_singly.store(true, Ordering::Relaxed),
                }
            }
            for key in some {
                match self.delete_one(key).await {
                    Ok(()) => {}
                    Err(Error::Answered(answered)) if !answered_for_all(answered.status) => {
                        left.push(NotDeleted {
                            key: key.clone(),
                            reason: answered.to_string(),
                        });
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(left)
    }

    async fn delete_one(&self, key: &str) -> Result<(), Error> {
        let what = format!("deleting the object '{}'", key.escape_debug());
        let sign = |signer: &Signer<'_>| {
            signer.sign(signer.bucket.delete_object(Some(signer.credentials), key))
        };
        match self.call(&what, Sent::default(), sign).await {
            Ok(response) => self.text(&what, response).await.map(|_| ()),
            Err(error) if error.code() == Some("NoSuchKey") => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn delete_together(&self, keys: &[String]) -> Result<Vec<NotDeleted>, Error> {
        let what = "deleting objects";
        let keys: Vec<ObjectIdentifier> = keys.iter().cloned().map(ObjectIdentifier::new).collect();
        let signing = self.signing();
        let action = signing.delete_objects(Some(&self.0.credentials), keys.iter());
        let (body, md5) = action.body_with_md5();
        let headers = [(CONTENT_MD5, md5)];
        let sent = Sent {
            body: Bytes::from(body).into(),
            headers: &headers,
        };
        let sign = |signer: &Signer<'_>| {
            let action = signer
                .bucket
                .delete_objects(Some(signer.credentials), keys.iter());
            signer.sign(action)
        };
        let response = self.call(what, sent, sign).await?;
        let text = self.text(what, response).await?;
        let read = DeleteObjectsResponse::parse(&text).map_err(|error| Error::Unreadable {
            what: what.to_owned(),
            reason: error.to_string(),
        })?;
        let errors = read.errors.into_iter();
        let errors = errors.filter(|error| error.code != "NoSuchKey");
        let errors = errors.map(|error| NotDeleted {
            key: error.key,
            reason: format!("{}: {}", error.code, error.message),
        });
        Ok(errors.collect())
    }
}

/// Whether a store does not know the request at all.
fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::Answered(answered) if matches!(answered.status, 405 | 501)
        || matches!(answered.code.as_str(), "NotImplemented" | "MethodNotAllowed" | "MalformedXML"))
}

/// Whether a refusal is not about one object.
fn answered_for_all(status: u16) -> bool {
    matches!(status, 401 | 500..)
}
