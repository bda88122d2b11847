//! Names as callers give them: parsed, or refused with the rule that they break.

use linstor_api::code;
use linstor_api::flag::FlagSet;
use linstor_api::reply::Reply;
use linstor_model::Model;
use linstor_model::external_file::FilePath;
use linstor_model::model::RowKey;
use linstor_model::name::{
    KeyValueStoreName, NameError, NetInterfaceName, NodeName, RemoteName, ResourceGroupName,
    ResourceName, ScheduleName, SnapshotName, StoragePoolName,
};
use linstor_model::{
    ExternalFile, Node, Remote, Resource, ResourceDefinition, ResourceGroup, Schedule,
    SnapshotDefinition, StoragePool, VolumeDefinition,
};
use std::sync::Arc;

use super::reply::not_found;
use crate::transaction::Refusal;

const GENERIC: &str = "Use letters, digits, '-' and '_', beginning with a letter or '_'";

fn invalid(ret_code: i64, error: NameError, rule: &str) -> Refusal {
    let cause = capital_sentence(&error.reason);
    Reply::new(ret_code, format!("{error}.").replace("..", "."))
        .cause(cause)
        .correction(rule)
        .into()
}

fn capital_sentence(text: &str) -> String {
    format!("{}.", super::reply::capital(text.trim_end_matches('.')))
}

const HOST_NAME: &str =
    "Use a host name as in RFC 1123: letters, digits, '-' and '.', 2 to 255 characters.";

/// A node's name.
pub fn node(given: &str) -> Result<NodeName, Refusal> {
    NodeName::parse(given).map_err(|error| invalid(code::FAIL_INVLD_NODE_NAME, error, HOST_NAME))
}

/// A remote's name.
pub fn remote(given: &str) -> Result<RemoteName, Refusal> {
    let ret_code = code::FAIL_INVLD_REMOTE_NAME;
    RemoteName::parse(given).map_err(|error| invalid(ret_code, error, HOST_NAME))
}

/// A schedule's name.
pub fn schedule(given: &str) -> Result<ScheduleName, Refusal> {
    let ret_code = code::FAIL_INVLD_SCHEDULE_NAME;
    ScheduleName::parse(given).map_err(|error| invalid(ret_code, error, HOST_NAME))
}

/// An external file's path.
pub fn file(given: &str) -> Result<FilePath, Refusal> {
    FilePath::parse(given).map_err(|reason| {
        let shown = given.escape_debug();
        let message = format!("'{shown}' is not a valid path of an external file: {reason}.");
        Reply::new(code::FAIL_INVLD_EXT_FILE_NAME, message)
            .cause(capital_sentence(&reason))
            .correction("Use an absolute path of at most 1024 printable ASCII characters.")
            .into()
    })
}

/// A resource definition's name.
pub fn resource(given: &str) -> Result<ResourceName, Refusal> {
    let rule = format!("{GENERIC}, 2 to 48 characters; 'all' and 'proxy' are reserved.");
    ResourceName::parse(given).map_err(|error| invalid(code::FAIL_INVLD_RSC_NAME, error, &rule))
}

/// A resource group's name.
pub fn group(given: &str) -> Result<ResourceGroupName, Refusal> {
    let rule = format!("{GENERIC}, 2 to 48 characters.");
    ResourceGroupName::parse(given)
        .map_err(|error| invalid(code::FAIL_INVLD_RSC_GRP_NAME, error, &rule))
}

/// A storage pool's name.
pub fn pool(given: &str) -> Result<StoragePoolName, Refusal> {
    let rule = format!("{GENERIC}, 3 to 48 characters.");
    StoragePoolName::parse(given)
        .map_err(|error| invalid(code::FAIL_INVLD_STOR_POOL_NAME, error, &rule))
}

/// A network interface's name.
pub fn net_interface(given: &str) -> Result<NetInterfaceName, Refusal> {
    let rule = format!("{GENERIC}, 3 to 32 characters.");
    NetInterfaceName::parse(given).map_err(|error| invalid(code::FAIL_INVLD_NET_NAME, error, &rule))
}

/// A snapshot's name.
pub fn snapshot(given: &str) -> Result<SnapshotName, Refusal> {
    let rule = format!("{GENERIC}, 2 to 48 characters.");
    SnapshotName::parse(given)
        .map_err(|error| invalid(code::FAIL_INVLD_SNAPSHOT_NAME, error, &rule))
}

/// A key-value store's name.
pub fn key_value_store(given: &str) -> Result<KeyValueStoreName, Refusal> {
    let rule = format!("{GENERIC}, 2 to 48 characters.");
    KeyValueStoreName::parse(given)
        .map_err(|error| invalid(code::FAIL_INVLD_KVS_NAME, error, &rule))
}

/// The largest volume number.
pub const VOLUME_NUMBER_MAX: u32 = 65_534;

/// A volume number.
pub fn volume_number(given: i64) -> Result<u32, Refusal> {
    match u32::try_from(given) {
        Ok(number) if number <= VOLUME_NUMBER_MAX => Ok(number),
        _ => Err(Reply::new(
            code::FAIL_INVLD_VLM_NR,
            format!("The volume number {given} is not valid."),
        )
        .cause("Volume numbers are whole numbers within limits.")
        .correction(format!("Use a number from 0 to {VOLUME_NUMBER_MAX}."))
        .into()),
    }
}

/// A volume number from a path. Other text there is a path that LINSTOR does not have.
pub fn volume_number_text(given: &str) -> Result<u32, Refusal> {
    match given.parse::<i32>() {
        Ok(number) => volume_number(number.into()),
        Err(_) => Err(Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            format!("'{}' is not a volume number.", given.escape_debug()),
        )
        .cause("Volume numbers are whole numbers within limits.")
        .correction(format!("Use a number from 0 to {VOLUME_NUMBER_MAX}."))
        .plain()
        .into()),
    }
}

/// Refuses flags that do not exist; a modification unsets those with a leading `-`.
pub fn known_flags<S: AsRef<str>>(set: &FlagSet, given: &[S]) -> Result<(), Refusal> {
    let name = |word: &S| {
        word.as_ref()
            .strip_prefix('-')
            .unwrap_or(word.as_ref())
            .to_owned()
    };
    let unknown = given.iter().map(name).find(|name| set.bits(name).is_none());
    unknown.map_or(Ok(()), |unknown| {
        let known: Vec<&str> = set.flags.iter().map(|(name, _)| *name).collect();
        let message = format!("'{}' is no {}.", unknown.escape_debug(), set.what);
        Err(Reply::new(code::FAIL_UNKNOWN_ERROR, message)
            .cause("The request names a flag that does not exist.")
            .correction(format!("Use {}, or leave it out.", known.join(", ")))
            .into())
    })
}

/// An object that is not there, or that is held because its row cannot be read.
fn missing(model: &Model, key: &RowKey, ret_code: i64, what: &str) -> Refusal {
    let held = model.held.refuses(key, false);
    held.unwrap_or_else(|| not_found(ret_code, what)).into()
}

/// A node that has to be there.
pub fn known_node<'a>(model: &'a Model, name: &NodeName) -> Result<&'a Arc<Node>, Refusal> {
    model.node(name).ok_or_else(|| {
        let (key, what) = (RowKey::Node(name.clone()), format!("node '{name}'"));
        missing(model, &key, code::FAIL_NOT_FOUND_NODE, &what)
    })
}

/// A resource definition that has to be there.
pub fn known_definition<'a>(
    model: &'a Model,
    name: &ResourceName,
) -> Result<&'a Arc<ResourceDefinition>, Refusal> {
    model.definitions.get(name).ok_or_else(|| {
        let what = format!("resource definition '{name}'");
        let key = RowKey::ResourceDefinition(name.clone());
        missing(model, &key, code::FAIL_NOT_FOUND_RSC_DFN, &what)
    })
}

/// A volume definition that has to be there.
pub fn known_volume_definition<'a>(
    model: &'a Model,
    name: &ResourceName,
    number: u32,
) -> Result<&'a VolumeDefinition, Refusal> {
    let definition = known_definition(model, name)?;
    definition.volumes.get(&number).ok_or_else(|| {
        let what =
            format!("volume definition with number '{number}' of resource definition '{name}'");
        not_found(code::FAIL_NOT_FOUND_VLM_DFN, &what).into()
    })
}

/// A remote that has to be there.
pub fn known_remote<'a>(model: &'a Model, name: &RemoteName) -> Result<&'a Arc<Remote>, Refusal> {
    model.remotes.get(name).ok_or_else(|| {
        let (key, what) = (RowKey::Remote(name.clone()), format!("remote '{name}'"));
        missing(model, &key, code::FAIL_NOT_FOUND_REMOTE, &what)
    })
}

/// A schedule that has to be there.
pub fn known_schedule<'a>(
    model: &'a Model,
    name: &ScheduleName,
) -> Result<&'a Arc<Schedule>, Refusal> {
    model.schedules.get(name).ok_or_else(|| {
        let (key, what) = (RowKey::Schedule(name.clone()), format!("schedule '{name}'"));
        missing(model, &key, code::FAIL_NOT_FOUND_SCHEDULE, &what)
    })
}

/// An external file that has to be there.
pub fn known_file<'a>(model: &'a Model, path: &FilePath) -> Result<&'a Arc<ExternalFile>, Refusal> {
    model.external_files.get(path).ok_or_else(|| {
        let key = RowKey::ExternalFile(path.clone());
        let what = format!("external file '{path}'");
        missing(model, &key, code::FAIL_NOT_FOUND_EXT_FILE, &what)
    })
}

/// A resource group that has to be there.
pub fn known_group<'a>(
    model: &'a Model,
    name: &ResourceGroupName,
) -> Result<&'a Arc<ResourceGroup>, Refusal> {
    model.groups.get(name).ok_or_else(|| {
        let what = format!("resource group '{name}'");
        let key = RowKey::ResourceGroup(name.clone());
        missing(model, &key, code::FAIL_NOT_FOUND_RSC_GRP, &what)
    })
}

/// A storage pool that has to be there.
pub fn known_pool<'a>(
    model: &'a Model,
    node: &NodeName,
    pool: &StoragePoolName,
) -> Result<&'a Arc<StoragePool>, Refusal> {
    known_node(model, node)?;
    model.pool(node, pool).ok_or_else(|| {
        let what = format!("storage pool '{pool}' on node '{node}'");
        let key = RowKey::StoragePool(node.clone(), pool.clone());
        missing(model, &key, code::FAIL_NOT_FOUND_STOR_POOL, &what)
    })
}

/// A snapshot that has to be there.
pub fn known_snapshot<'a>(
    model: &'a Model,
    name: &ResourceName,
    snapshot: &SnapshotName,
) -> Result<&'a Arc<SnapshotDefinition>, Refusal> {
    model.snapshot(name, snapshot).ok_or_else(|| {
        let what = format!("snapshot definition '{name}/{snapshot}'");
        let key = RowKey::SnapshotDefinition(name.clone(), snapshot.clone());
        missing(model, &key, code::FAIL_NOT_FOUND_SNAPSHOT_DFN, &what)
    })
}

/// A resource that has to be there, with its node and its definition.
pub fn known_resource<'a>(
    model: &'a Model,
    name: &ResourceName,
    node: &NodeName,
) -> Result<&'a Arc<Resource>, Refusal> {
    known_node(model, node)?;
    known_definition(model, name)?;
    model.resource(name, node).ok_or_else(|| {
        let what = format!("resource '{name}' on node '{node}'");
        let key = RowKey::Resource(name.clone(), node.clone());
        missing(model, &key, code::FAIL_NOT_FOUND_RSC, &what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A refusal has a code of its own kind, says why, and how to do better.
    #[test]
    fn hostile_names_are_refused_with_a_rule() {
        for bad in [
            "",
            "a",
            "-rf",
            "../../etc",
            "a b",
            "a\nb",
            "ä",
            "all",
            &"x".repeat(100),
        ] {
            let Refusal(replies) = resource(bad).unwrap_err();
            assert_eq!(replies[0].ret_code, code::FAIL_INVLD_RSC_NAME, "{bad:?}");
            assert!(replies[0].cause.is_some() && replies[0].correction.is_some());
            assert!(!replies[0].message.contains('\n'));
        }
        assert!(volume_number(-1).is_err() && volume_number(65_535).is_err());
        assert!(volume_number_text("x").is_err() && volume_number_text("65534").is_ok());
    }
}
