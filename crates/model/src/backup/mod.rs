//! Backups in the buckets of S3 stores, as LINSTOR has them: an object for each volume, and one that describes them.
//!
//! What is read and written here has to be understood by LINSTOR, and the other way round.

pub mod catalogue;
pub mod describe;
pub mod history;
pub mod key;
pub mod meta;
pub mod retention;

pub use catalogue::{Backup, Catalogue, Loose};
pub use key::{MetaKey, VolumeKey};
pub use meta::Meta;
