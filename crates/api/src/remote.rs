//! Remotes: where backups are shipped to.

use crate::lenient::object;
use crate::secret_text::SecretText;

object! {
    /// All remotes by kind.
    pub struct RemoteList {
        /// Buckets of S3 stores.
        pub s3_remotes: Vec<S3Remote>,
        /// Other clusters.
        pub linstor_remotes: Vec<LinstorRemote>,
        /// Amazon's block storage.
        pub ebs_remotes: Vec<EbsRemote>,
    }

    /// A bucket of an S3 store. Answers have neither keys nor `use_path_style`.
    pub struct S3Remote {
        /// Name of the remote.
        pub remote_name: Option<String>,
        /// URL of the store, or its host and port.
        pub endpoint: Option<String>,
        /// The bucket.
        pub bucket: Option<String>,
        /// The region that requests are signed for.
        pub region: Option<String>,
        /// Access key.
        pub access_key: Option<SecretText>,
        /// Secret key.
        pub secret_key: Option<SecretText>,
        /// Whether the bucket is part of the path instead of the host name.
        pub use_path_style: Option<bool>,
    }

    /// Another LINSTOR cluster. Answers have its name and URL alone.
    pub struct LinstorRemote {
        /// Name of the remote.
        pub remote_name: Option<String>,
        /// URL of its REST API.
        pub url: Option<String>,
        /// Its master passphrase.
        pub passphrase: Option<SecretText>,
        /// Its identity.
        pub cluster_id: Option<String>,
    }

    /// Amazon's block storage. Answers have no keys.
    pub struct EbsRemote {
        /// Name of the remote.
        pub remote_name: Option<String>,
        /// URL of the service.
        pub endpoint: Option<String>,
        /// Region.
        pub region: Option<String>,
        /// Availability zone of the volumes.
        pub availability_zone: Option<String>,
        /// Access key.
        pub access_key: Option<SecretText>,
        /// Secret key.
        pub secret_key: Option<SecretText>,
    }

    /// `POST /v1/nodes/ebs`: the node that serves an EBS remote.
    pub struct NodeCreateEbs {
        /// Its name.
        pub name: Option<String>,
        /// The remote.
        pub ebs_remote_name: String,
    }
}
