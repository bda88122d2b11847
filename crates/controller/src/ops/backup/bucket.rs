//! The bucket of an S3 remote, and what is in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::backup::catalogue::Summary;
use linstor_model::backup::{Catalogue, Meta, MetaKey, VolumeKey, meta};
use linstor_model::master_key::{Key, Sealed};
use linstor_model::remote::{self, S3, Target};
use linstor_model::{Model, Remote};
use linstor_s3::{Bucket, Error, Settings};
use linstor_wire::secret::Secret;
use uuid::Uuid;

use super::super::encryption;
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// How many descriptions are read at a time.
const READ_AT_ONCE: usize = 16;
/// How many descriptions are remembered: some 400 bytes each.
const REMEMBERED_MAX: usize = 50_000;

/// Descriptions that were read, by remote and key, with what tells their content from another one.
pub type Descriptions = BTreeMap<(Uuid, String), (String, Arc<Summary>)>;

/// An opened remote.
pub struct Opened {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// Its bucket.
    pub bucket: Bucket,
}

/// What a listing has found.
pub struct Listed {
    /// Its order.
    pub catalogue: Catalogue,
    /// Sizes of the objects of volumes in bytes.
    pub sizes: BTreeMap<String, u64>,
}

/// The settings of a bucket, with its keys.
///
/// # Errors
///
/// When a key cannot be opened.
pub fn settings(model: &Model, key: &Key, remote: &Remote, s3: &S3) -> Result<Settings, Refusal> {
    let opened = |sealed: &Sealed, member: &str| -> Result<Secret, Refusal> {
        let purpose = Remote::purpose(remote.uuid, member);
        key.open(&purpose, sealed).ok_or_else(|| {
            let message = format!("The keys of the remote {} cannot be opened.", remote.name);
            Reply::new(code::FAIL_UNKNOWN_ERROR, message)
                .cause("Its row in the database is damaged, or was sealed with another master key.")
                .correction("Give the remote its keys again.")
                .into()
        })
    };
    Ok(Settings {
        endpoint: s3.endpoint.clone(),
        bucket: s3.bucket.clone(),
        region: s3.region.clone(),
        use_path_style: s3.use_path_style,
        access_key: opened(&s3.access_key, "access_key")?,
        secret_key: opened(&s3.secret_key, "secret_key")?,
        timeout: remote::timeout(model),
    })
}

/// Why a store did not do what was asked for.
pub fn failed(message: String, error: &Error) -> Refusal {
    let mask = match error {
        Error::Settings(_) => 0,
        _ => code::MASK_BACKUP,
    };
    Reply::new(code::FAIL_UNKNOWN_ERROR | mask, message)
        .cause(error.to_string())
        .correction(error.correction())
        .into()
}

/// Opens an S3 remote; nothing is sent yet.
///
/// # Errors
///
/// When there is none, or the master key is locked.
pub fn open(cluster: &Cluster, given: &str) -> Result<Opened, Refusal> {
    let model = cluster.model();
    let remote = super::remote(&model, given)?;
    let Target::S3(s3) = &remote.target else {
        return Err(super::not_s3(remote));
    };
    let key = encryption::unlocked(cluster)?;
    let settings = settings(&model, &key, remote, s3)?;
    let message = || format!("The remote {} cannot be used.", remote.name);
    Ok(Opened {
        name: remote.name.to_string(),
        uuid: remote.uuid,
        bucket: Bucket::new(&settings).map_err(|error| failed(message(), &error))?,
    })
}

impl Opened {
    fn refusal(&self, error: &Error) -> Refusal {
        let message = format!("The remote {} cannot be read.", self.name);
        failed(message, error)
    }

    /// What is in the bucket under a prefix.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub async fn list(&self, cluster: &Cluster, prefix: &str) -> Result<Listed, Refusal> {
        let (mut found, mut volumes, mut other) = (Vec::new(), Vec::new(), Vec::new());
        let mut sizes = BTreeMap::new();
        let listing = self.bucket.for_each(prefix, |object| {
            if let Some(key) = MetaKey::parse(&object.key) {
                found.push((key, object));
            } else if let Some(key) = VolumeKey::parse(&object.key) {
                sizes.insert(object.key.clone(), object.bytes);
                volumes.push((object.key, key));
            } else {
                other.push(object.key);
            }
        });
        listing.await.map_err(|error| self.refusal(&error))?;
        let reading = found.into_iter().map(|(key, object)| async move {
            let summary = self
                .summary(cluster, &object.key, object.etag.as_deref())
                .await;
            (key, object.key, summary)
        });
        let mut reading = futures::stream::iter(reading).buffer_unordered(READ_AT_ONCE);
        let mut descriptions = Vec::new();
        while let Some((key, object, summary)) = reading.next().await {
            match summary {
                Ok(Some(summary)) => descriptions.push((key, Summary::clone(&summary))),
                Ok(None) => other.push(object),
                // It was deleted since it was listed.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(self.refusal(&error)),
            }
        }
        other.sort_unstable();
        let catalogue = Catalogue::new(volumes, descriptions, other);
        Ok(Listed { catalogue, sizes })
    }

    /// What a description says; none when the object is no description.
    async fn summary(
        &self,
        cluster: &Cluster,
        key: &str,
        etag: Option<&str>,
    ) -> Result<Option<Arc<Summary>>, Error> {
        let place = (self.uuid, key.to_owned());
        let remembered = &cluster.shared.descriptions;
        if let Some((of, summary)) = lock(remembered).get(&place)
            && Some(of.as_str()) == etag
        {
            return Ok(Some(Arc::clone(summary)));
        }
        let Some(meta) = self.read(key).await? else {
            return Ok(None);
        };
        let summary = Arc::new(Summary::from(&meta));
        let Some(etag) = etag else {
            return Ok(Some(summary));
        };
        let mut remembered = lock(remembered);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(place, (etag.to_owned(), Arc::clone(&summary)));
        Ok(Some(summary))
    }

    /// A description; none when the object is no description.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or has no such object.
    pub async fn read(&self, key: &str) -> Result<Option<Meta>, Error> {
        let bytes = match self.bucket.get(key, meta::BYTES_MAX).await {
            Err(Error::TooLarge { .. }) => return Ok(None),
            result => result?,
        };
        match Meta::read(&bytes) {
            Ok(meta) => Ok(Some(meta)),
            Err(reason) => {
                let remote = &self.name;
                tracing::warn!("the object '{key}' of the remote {remote} is left out: {reason}");
                Ok(None)
            }
        }
    }
}

fn lock(descriptions: &std::sync::Mutex<Descriptions>) -> std::sync::MutexGuard<'_, Descriptions> {
    let held = descriptions.lock();
    held.unwrap_or_else(std::sync::PoisonError::into_inner)
}
