//! Remotes: where backups are shipped to.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::master_key::Sealed;
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

impl Remote {
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
