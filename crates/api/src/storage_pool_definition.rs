//! A storage pool definition: what the pools of one name have in common.

use crate::lenient::object;
use crate::properties::Properties;

object! {
    /// A storage pool definition.
    pub struct StoragePoolDefinition {
        /// Its name.
        pub storage_pool_name: Option<String>,
        /// Properties.
        pub props: Properties,
    }
}
