//! Key-value stores of client programs.

use crate::lenient::object;
use crate::properties::Properties;
use crate::sorted_map::SortedMap;

object! {
    /// A store.
    pub struct KeyValueStore {
        /// Its name.
        pub name: String,
        /// Its keys and values.
        pub props: Properties,
    }

    /// A change of a store.
    pub struct KeyValueStoreModify {
        /// Keys to set. Unlike properties of other objects, `null` is not the empty text.
        pub override_props: SortedMap<String, Option<String>>,
        /// Keys to remove.
        pub delete_props: Vec<String>,
        /// Namespaces to remove with everything below them.
        pub delete_namespaces: Vec<String>,
    }
}
