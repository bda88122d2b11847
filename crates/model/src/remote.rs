//! Remotes: where backups are shipped to.

use std::time::Duration;

use linstor_api::prop;
use linstor_wire::Secret;
use linstor_wire::spec::{BucketSpec, Withheld};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::layer::luks::Keys;
use crate::master_key::Sealed;
use crate::model::Model;
use crate::name::RemoteName;

/// A remote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    /// Its name.
    pub name: RemoteName,
    /// Identity; secrets are sealed for it (see [`Remote::purpose`]).
    pub uuid: Uuid,
    /// Where it is.
    pub target: Target,
}

/// Where a remote is, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A bucket of an S3 store.
    S3(S3),
    /// Another LINSTOR cluster.
    Linstor(Linstor),
    /// Amazon's block storage.
    Ebs(Ebs),
}

/// A bucket of an S3 store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct S3 {
    /// URL of the store, or its host and port.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Access key.
    pub access_key: Sealed,
    /// Secret key.
    pub secret_key: Sealed,
    /// Whether the bucket is part of the path instead of the host name.
    #[serde(default)]
    pub use_path_style: bool,
}

/// Another LINSTOR cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Linstor {
    /// URL of its REST API.
    pub url: String,
    /// Its master passphrase, with which this cluster opens encrypted volumes that come from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<Sealed>,
    /// Its identity; this cluster accepts shipments of no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<Uuid>,
}

/// Amazon's block storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ebs {
    /// URL of the service.
    pub endpoint: String,
    /// Region.
    pub region: String,
    /// Availability zone of the volumes.
    pub availability_zone: String,
    /// Access key.
    pub access_key: Sealed,
    /// Secret key.
    pub secret_key: Sealed,
}

/// How long a store may take for an answer, unless `BackupShipping/BackupTimeout` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a store may take for an answer.
pub fn timeout(model: &Model) -> Duration {
    let given = model.controller.props.get(prop::BACKUP_TIMEOUT);
    let seconds = given.and_then(|text| text.parse::<u64>().ok());
    let seconds = seconds.filter(|seconds| *seconds > 0);
    seconds.map_or(TIMEOUT, Duration::from_secs)
}

impl Remote {
    /// Its bucket, with its keys if they may be sent; none if it is no bucket.
    pub fn bucket(&self, model: &Model, keys: Keys<'_>) -> Option<BucketSpec> {
        let Target::S3(s3) = &self.target else {
            return None;
        };
        let opened = self.keys(s3, keys);
        let withheld = opened.as_ref().err().copied();
        let (access_key, secret_key) = opened.unwrap_or_default();
        Some(BucketSpec {
            endpoint: s3.endpoint.clone(),
            name: s3.bucket.clone(),
            region: s3.region.clone(),
            use_path_style: s3.use_path_style,
            timeout_ms: u64::try_from(timeout(model).as_millis()).unwrap_or(u64::MAX),
            access_key,
            secret_key,
            withheld,
        })
    }

    /// The access key and the secret key of its bucket.
    fn keys(&self, s3: &S3, keys: Keys<'_>) -> Result<(Secret, Secret), Withheld> {
        let master_key = match keys {
            Keys::Master(master_key) => master_key,
            Keys::Withheld(why) => return Err(why),
        };
        let open = |sealed, member| {
            let purpose = Remote::purpose(self.uuid, member);
            master_key.open(&purpose, sealed).ok_or(Withheld::Corrupt)
        };
        let access_key = open(&s3.access_key, "access_key")?;
        Ok((access_key, open(&s3.secret_key, "secret_key")?))
    }

    /// Whether it has a secret that is sealed with the master key.
    pub fn has_secrets(&self) -> bool {
        match &self.target {
            Target::S3(_) | Target::Ebs(_) => true,
            Target::Linstor(linstor) => linstor.passphrase.is_some(),
        }
    }

    /// What a secret of a remote is sealed for: another row or member cannot be opened with it.
    pub fn purpose(uuid: Uuid, member: &str) -> String {
        format!("remote {uuid} {member}")
    }
}
