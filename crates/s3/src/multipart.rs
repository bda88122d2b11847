//! Objects that are written in parts.

use bytes::Bytes;
use rusty_s3::actions::{CreateMultipartUpload, ListParts};

use crate::bucket::{Bucket, CONTENT_MD5, md5_of};
use crate::content::Content;
use crate::error::Error;
use crate::request::{Sent, Signer};

/// How many parts an object may have.
pub const PARTS_MAX: u16 = 10_000;

/// A part that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1.
    pub number: u16,
    /// What the store calls its content.
    pub etag: String,
    /// Its size.
    pub bytes: u64,
}

impl Bucket {
    /// Begins an object of several parts. Returns the store's name of the upload, which needs completing or aborting.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub async fn begin(&self, key: &str) -> Result<String, Error> {
        let what = format!("beginning the object '{}'", key.escape_debug());
        let sign = |signer: &Signer<'_>| {
            let credentials = Some(signer.credentials);
            signer.sign(signer.bucket.create_multipart_upload(credentials, key))
        };
        let response = self.call(&what, Sent::default(), sign).await?;
        let text = self.text(&what, response).await?;
        match CreateMultipartUpload::parse_response(&text) {
            Ok(read) => Ok(read.upload_id().to_owned()),
            Err(error) => Err(Error::Unreadable {
                what,
                reason: error.to_string(),
            }),
        }
    }

    /// Writes a part. The store compares its MD5. The same part may be written again.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<Part, Error> {
        let md5 = md5_of(&body);
        self.put_content(key, upload, number, body.into(), md5)
            .await
    }

    /// Writes a part whose MD5 is known, in base64.
    pub(crate) async fn put_content(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Content,
        md5: String,
    ) -> Result<Part, Error> {
        let what = format!(
            "writing part {number} of the object '{}'",
            key.escape_debug()
        );
        let headers = [(CONTENT_MD5, md5)];
        let bytes = body.len();
        let sent = Sent {
            body,
            headers: &headers,
        };
        let sign = |signer: &Signer<'_>| {
            let credentials = Some(signer.credentials);
            signer.sign(signer.bucket.upload_part(credentials, key, number, upload))
        };
        let response = self.call(&what, sent, sign).await?;
        let etag = response.headers().get(hyper::header::ETAG);
        let etag = etag.and_then(|etag| Some(etag.to_str().ok()?.to_owned()));
        let Some(etag) = etag else {
            let reason = "it has no ETag".to_owned();
            return Err(Error::Unreadable { what, reason });
        };
        // What is left of the answer keeps the connection busy.
        self.text(&what, response).await?;
        Ok(Part {
            number,
            etag,
            bytes,
        })
    }

    /// The parts that were written.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or has no such upload.
    pub async fn parts(&self, key: &str, upload: &str) -> Result<Vec<Part>, Error> {
        let what = format!("listing the parts of the object '{}'", key.escape_debug());
        let mut parts: Vec<Part> = Vec::new();
        loop {
            let after = parts.last().map(|part| part.number);
            let sign = |signer: &Signer<'_>| {
                let credentials = Some(signer.credentials);
                let mut action = signer.bucket.list_parts(credentials, key, upload);
                if let Some(after) = after {
                    action.set_part_number_marker(after);
                }
                signer.sign(action)
            };
            let response = self.call(&what, Sent::default(), sign).await?;
            let text = self.text(&what, response).await?;
            // Moto has a name of its own for the answer.
            let text = text.replace("ListPartsResponse", "ListPartsResult");
            let read = ListParts::parse_response(&text).map_err(|error| Error::Unreadable {
                what: what.clone(),
                reason: error.to_string(),
            })?;
            let some = read.parts.into_iter().map(|part| Part {
                number: part.number,
                etag: part.etag,
                bytes: part.size,
            });
            // Only what comes next: a store that ignores where to begin would never end.
            let some: Vec<Part> = some.filter(|part| Some(part.number) > after).collect();
            let more =
                crate::error::member(&text, "IsTruncated").is_some_and(|text| text == "true");
            let ends = some.is_empty() || !more;
            parts.extend(some);
            if ends {
                return Ok(parts);
            }
        }
    }

    /// Makes the object of its parts, which are all of them, in the order of their numbers from 1.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub async fn complete(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), Error> {
        let what = format!("completing the object '{}'", key.escape_debug());
        let signing = self.signing();
        let etags = parts.iter().map(|part| part.etag.as_str());
        let credentials = Some(&self.0.credentials);
        let action = signing.complete_multipart_upload(credentials, key, upload, etags);
        let sent = Sent {
            body: Bytes::from(action.body()).into(),
            headers: &[],
        };
        let sign = |signer: &Signer<'_>| {
            let credentials = Some(signer.credentials);
            let bucket = signer.bucket;
            let etags = parts.iter().map(|part| part.etag.as_str());
            signer.sign(bucket.complete_multipart_upload(credentials, key, upload, etags))
        };
        let response = self.call(&what, sent, sign).await?;
        let text = self.text(&what, response).await?;
        self.late_refusal(&what, &text).map_or(Ok(()), Err)
    }

    /// Removes the parts of an object that is not completed. One that does not exist any more is no error.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        let what = format!("removing the parts of the object '{}'", key.escape_debug());
        let sign = |signer: &Signer<'_>| {
            let credentials = Some(signer.credentials);
            signer.sign(
                signer
                    .bucket
                    .abort_multipart_upload(credentials, key, upload),
            )
        };
        match self.call(&what, Sent::default(), sign).await {
            Ok(response) => self.text(&what, response).await.map(|_| ()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
