//! External files: files that LINSTOR writes on the nodes of the resources that need them.

use std::sync::Arc;

pub use linstor_api::external_file::FilePath;
use linstor_api::name::NodeName;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::Model;
use crate::resource_definition::ResourceDefinition;

/// Namespace of the properties of resource definitions that need files: it is followed by the file's path.
const NAMESPACE: &str = "files";

/// An external file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExternalFile {
    /// Where it belongs.
    pub path: FilePath,
    /// Identity.
    pub uuid: Uuid,
    /// What is in it, in base64.
    pub content: String,
    /// Suffixes of files that are updated instead where one exists under the path with it, for example `.disabled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alt_suffixes: Vec<String>,
}

/// The property of a resource definition that needs a file.
pub fn property(path: &FilePath) -> String {
    format!("{NAMESPACE}{path}")
}

/// Whether a resource definition needs any file.
pub fn needs_any(definition: &ResourceDefinition) -> bool {
    let mut keys = definition.props.keys();
    keys.any(|key| {
        key.strip_prefix(NAMESPACE)
            .is_some_and(|rest| rest.starts_with('/'))
    })
}

/// The files that the resources of a node need, in the order of their paths.
pub fn needed_on<'a>(
    model: &'a Model,
    node: &'a NodeName,
) -> impl Iterator<Item = &'a Arc<ExternalFile>> {
    let needed = |path: &FilePath| {
        let property = property(path);
        let mut rows = model.resources_on(node);
        rows.any(|row| {
            let definition = model.definitions.get(&row.name);
            definition.is_some_and(|definition| definition.props.contains_key(&property))
        })
    };
    model
        .external_files
        .values()
        .filter(move |file| needed(&file.path))
}
