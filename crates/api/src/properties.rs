//! Property maps and the body that changes one.

use crate::lenient::object;
use crate::sorted_map::SortedMap;

/// The properties of one object, by key (see [`crate::prop`] for the keys).
pub type Properties = SortedMap<String, String>;

/// Properties to set, by key. A value that is `null` is none, which a request is refused for.
pub type Overrides = SortedMap<String, Option<String>>;

object! {
    /// A change of a property map; the whole body of several `PUT` and `POST` calls (controller, node connection,
    /// key-value store, volume, storage pool, ...).
    pub struct PropertiesModify {
        /// Keys to set.
        pub override_props: Overrides,
        /// Keys to remove.
        pub delete_props: Vec<String>,
        /// Namespaces to remove with everything below them.
        pub delete_namespaces: Vec<String>,
    }

    /// A property that is in effect on an object.
    pub struct EffectiveProperty {
        /// Which object it comes from, for example `RG (rg1)`.
        pub r#type: String,
        /// Its value.
        pub value: String,
        /// More about its origin.
        pub descr: Option<String>,
        /// The values it hides.
        pub other: Vec<HiddenProperty>,
    }

    /// What is known of a property key.
    pub struct PropertyInfo {
        /// What it is for.
        pub info: Option<String>,
        /// The kind of its values, for example `range` or `regex`.
        pub prop_type: String,
        /// The pattern or the limits of its values.
        pub value: Option<String>,
        /// What counts while it is not set.
        pub dflt: Option<String>,
        /// The unit of its values.
        pub unit: Option<String>,
    }

    /// A property that is set, but hidden by a nearer one.
    pub struct HiddenProperty {
        /// Which object it comes from.
        pub r#type: String,
        /// Its value.
        pub value: String,
        /// More about its origin.
        pub descr: Option<String>,
    }
}

impl PropertiesModify {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.override_props.is_empty()
            && self.delete_props.is_empty()
            && self.delete_namespaces.is_empty()
    }
}
