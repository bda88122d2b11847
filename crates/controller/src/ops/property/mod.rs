//! Changes of properties: checked against the catalogue, brought into their canonical form.

pub mod catalogue;
mod shape;

use std::collections::BTreeMap;

use linstor_api::properties::{Properties, PropertiesModify};
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::Props;

use crate::transaction::Refusal;
use catalogue::Shape;

/// The longest key.
const KEY_BYTES_MAX: usize = 256;
/// The longest value; LINSTOR has no limit, but nobody reads a property of a megabyte.
const VALUE_BYTES_MAX: usize = 64 * 1024;
/// What may follow any key of a namespace, at any object or at some.
const FREE: &[(&str, u16)] = &[
    (prop::AUX, u16::MAX),
    ("EBS/Tags/", catalogue::RD | catalogue::VD),
    ("SED/", catalogue::SP),
    ("Paths/", catalogue::NC | catalogue::RC),
    ("Cluster/Remote/", catalogue::C),
    ("DrbdOptions/Handlers/", catalogue::RD | catalogue::C),
];

/// Whose properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The controller.
    Controller,
    /// A node.
    Node,
    /// A storage pool definition.
    StoragePoolDefinition,
    /// A storage pool.
    StoragePool,
    /// A resource group.
    ResourceGroup,
    /// A volume group.
    VolumeGroup,
    /// A resource definition.
    ResourceDefinition,
    /// A volume definition.
    VolumeDefinition,
    /// A resource.
    Resource,
    /// A volume.
    Volume,
    /// A key-value store: no rules.
    KeyValueStore,
}

impl Owner {
    const fn place(self) -> u16 {
        match self {
            Owner::Controller => catalogue::C,
            Owner::Node => catalogue::N,
            Owner::StoragePoolDefinition => catalogue::SPD,
            Owner::StoragePool => catalogue::SP,
            Owner::ResourceGroup | Owner::ResourceDefinition => catalogue::RD,
            Owner::VolumeGroup | Owner::VolumeDefinition => catalogue::VD,
            Owner::Resource => catalogue::R,
            Owner::Volume => catalogue::V,
            Owner::KeyValueStore => 0,
        }
    }

    const fn mask(self) -> i64 {
        match self {
            Owner::Controller => code::MASK_CTRL_CONF,
            Owner::Node => code::MASK_NODE,
            Owner::StoragePoolDefinition => code::MASK_STOR_POOL_DFN,
            Owner::StoragePool => code::MASK_STOR_POOL,
            // Groups are marked as what is made after their pattern.
            Owner::ResourceGroup | Owner::ResourceDefinition => code::MASK_RSC_DFN,
            Owner::VolumeGroup | Owner::VolumeDefinition => code::MASK_VLM_DFN,
            Owner::Resource => code::MASK_RSC,
            Owner::Volume => code::MASK_VLM,
            Owner::KeyValueStore => code::MASK_KVS,
        }
    }
}

/// A change that was asked for.
pub fn change(
    set: Properties,
    delete: Vec<String>,
    delete_namespaces: Vec<String>,
) -> PropertiesModify {
    PropertiesModify {
        override_props: set,
        delete_props: delete,
        delete_namespaces,
    }
}

/// Checks a change without making it, so that a hopeless request is refused before anything else happens.
pub fn check(owner: Owner, change: &PropertiesModify) -> Result<(), Refusal> {
    for (key, value) in &change.override_props {
        canonical(owner, trimmed(key), value)?;
    }
    for key in &change.delete_props {
        known(owner, trimmed(key))?;
    }
    Ok(())
}

/// Sets the properties of a new object.
pub fn set(owner: Owner, props: &mut Props, given: Properties) -> Result<Vec<Reply>, Refusal> {
    apply(owner, props, &change(given, vec![], vec![]))
}

/// Makes a change: sets, removes, removes namespaces, in this order. Returns replies about it.
pub fn apply(
    owner: Owner,
    props: &mut Props,
    change: &PropertiesModify,
) -> Result<Vec<Reply>, Refusal> {
    let mut replies = Vec::new();
    // There may be any number of them: not one by one into the map of the row.
    let mut changed: BTreeMap<String, String> = props.clone().into_iter().collect();
    for (key, value) in &change.override_props {
        set_one(owner, &mut changed, trimmed(key), value, &mut replies)?;
    }
    if !change.override_props.is_empty() && owner != Owner::KeyValueStore {
        let keys: Vec<&str> = change.override_props.keys().map(String::as_str).collect();
        replies.push(Reply::new(
            owner.mask() | code::MASK_CRT | code::CREATED,
            format!("Successfully set property key(s): {}", keys.join(",")),
        ));
    }
    for key in &change.delete_props {
        let key = trimmed(key);
        known(owner, key)?;
        changed.remove(key);
        if key.eq_ignore_ascii_case(prop::DRBD_QUORUM) {
            changed.remove(prop::DRBD_QUORUM_SET_BY);
        }
    }
    for namespace in &change.delete_namespaces {
        let inside = format!("{}/", namespace.trim_matches('/'));
        let all = inside == "/";
        changed.retain(|key, _| !(all || key.starts_with(&inside)));
    }
    if !change.delete_props.is_empty() && owner != Owner::KeyValueStore {
        replies.push(Reply::new(
            owner.mask() | code::MASK_DEL | code::DELETED,
            format!(
                "Successfully deleted property key(s): {}",
                change.delete_props.join(",")
            ),
        ));
    }
    *props = changed.into_iter().collect();
    Ok(replies)
}

fn set_one(
    owner: Owner,
    props: &mut BTreeMap<String, String>,
    key: &str,
    value: &str,
    replies: &mut Vec<Reply>,
) -> Result<(), Refusal> {
    let value = canonical(owner, key, value)?;
    if owner == Owner::KeyValueStore {
        props.insert(key.to_owned(), value);
        return Ok(());
    }
    let mut stored_as = key;
    if key == prop::DRBD_AUTO_QUORUM {
        replies.push(deprecated(key, prop::DRBD_QUORUM));
    }
    if key == prop::EXT_CMD_WAIT_TIMEOUT_OLD {
        replies.push(deprecated(key, prop::EXT_CMD_WAIT_TIMEOUT));
        stored_as = prop::EXT_CMD_WAIT_TIMEOUT;
    }
    if key == prop::DRBD_QUORUM {
        props.insert(prop::DRBD_QUORUM_SET_BY.to_owned(), "user".to_owned());
    }
    props.insert(stored_as.to_owned(), value);
    Ok(())
}

fn deprecated(key: &str, instead: &str) -> Reply {
    Reply::new(
        code::WARN_DEPRECATED,
        format!("{key} is deprecated, please use {instead}"),
    )
}

fn trimmed(key: &str) -> &str {
    key.trim_start_matches('/')
}

fn is_free(owner: Owner, key: &str) -> bool {
    FREE.iter().any(|(namespace, place)| {
        key.len() > namespace.len() && key.starts_with(namespace) && place & owner.place() != 0
    })
}

fn rule(owner: Owner, key: &str) -> Option<Shape> {
    let from = catalogue::RULES.partition_point(|(known, ..)| *known < key);
    catalogue::RULES[from..]
        .iter()
        .take_while(|(known, ..)| *known == key)
        .find(|(_, place, _)| place & owner.place() != 0)
        .map(|(.., shape)| *shape)
}

fn known(owner: Owner, key: &str) -> Result<Option<Shape>, Refusal> {
    let sound = !key.is_empty() && key.len() <= KEY_BYTES_MAX && !key.contains(char::is_control);
    let rule = rule(owner, key);
    let free = owner == Owner::KeyValueStore || is_free(owner, key);
    if sound && (free || rule.is_some()) {
        return Ok(rule);
    }
    let shown: String = key.chars().take(80).flat_map(char::escape_debug).collect();
    Err(Reply::new(
        code::FAIL_INVLD_PROP,
        format!("Invalid property key: {shown}"),
    )
    .cause(format!("The key '{shown}' is not whitelisted."))
    .correction("Use a key that this kind of object has, or one below 'Aux/', which is free.")
    .into())
}

/// The value as it is stored.
fn canonical(owner: Owner, key: &str, value: &str) -> Result<String, Refusal> {
    let shape = known(owner, key)?.unwrap_or(Shape::Text);
    let invalid = |rule: String| {
        let shown: String = value
            .chars()
            .take(80)
            .flat_map(char::escape_debug)
            .collect();
        Reply::new(
            code::FAIL_INVLD_PROP,
            format!("Invalid property({key}) value: {shown}"),
        )
        .cause(format!("The value '{shown}' is not valid."))
        .details(rule.clone())
        .correction(rule)
        .into()
    };
    if value.len() > VALUE_BYTES_MAX {
        return Err(invalid(format!(
            "A value has at most {VALUE_BYTES_MAX} bytes."
        )));
    }
    shape::canonical(shape, value).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str, value: &str) -> PropertiesModify {
        change([(key.to_owned(), value.to_owned())].into(), vec![], vec![])
    }

    /// The catalogue is sorted, which the search relies on, and has the keys that the program itself uses.
    #[test]
    fn the_catalogue_is_sorted_and_complete() {
        assert!(catalogue::RULES.is_sorted_by(|a, b| a.0 <= b.0));
        for key in [
            prop::PREF_NIC,
            prop::STOR_POOL_NAME,
            prop::DRBD_QUORUM,
            prop::TCP_PORT_AUTO_RANGE,
        ] {
            assert!(
                catalogue::RULES.iter().any(|(known, ..)| *known == key),
                "{key}"
            );
        }
    }

    /// Values are normalised, and setting what is set already changes nothing.
    #[test]
    fn a_value_that_is_the_same_is_no_change() {
        let mut props = Props::new();
        let on = setting("DrbdOptions/auto-add-quorum-tiebreaker", "YES");
        let replies = apply(Owner::ResourceGroup, &mut props, &on).unwrap();
        assert_eq!(props["DrbdOptions/auto-add-quorum-tiebreaker"], "true");
        let before = props.clone();
        apply(Owner::ResourceGroup, &mut props, &on).unwrap();
        assert_eq!(props, before);
        assert_eq!(
            replies[0].ret_code,
            code::MASK_RSC_DFN | code::MASK_CRT | code::CREATED
        );
    }

    /// Unknown keys and bad values are refused in the words of the original, and nothing is changed.
    #[test]
    fn what_is_not_in_the_catalogue_is_refused() {
        for (key, value, part) in [
            ("NoSuchKey", "1", "Invalid property key: NoSuchKey"),
            ("Aux/", "1", "Invalid property key: Aux/"),
            (
                "DrbdOptions/Net/protocol",
                "D",
                "Invalid property(DrbdOptions/Net/protocol)",
            ),
            ("PeerSlotsNewResource", "32", "value: 32"),
            ("Aux/a\nb", "1", "Invalid property key"),
        ] {
            let Refusal(replies) =
                check(Owner::ResourceDefinition, &setting(key, value)).unwrap_err();
            assert_eq!(replies[0].ret_code, code::FAIL_INVLD_PROP);
            assert!(replies[0].message.contains(part), "{}", replies[0].message);
        }
        assert!(check(Owner::KeyValueStore, &setting("NoSuchKey", "1")).is_ok());
        assert!(check(Owner::Node, &setting("TcpPortAutoRange", "7000-7999")).is_ok());
    }

    /// A quorum set by hand is marked as such, and the mark goes with it; namespaces go with all that is in them.
    #[test]
    fn quorum_by_hand_is_marked() {
        let mut props = Props::new();
        let quorum = setting(prop::DRBD_QUORUM, "off");
        apply(Owner::ResourceDefinition, &mut props, &quorum).unwrap();
        assert_eq!(props[prop::DRBD_QUORUM_SET_BY], "user");
        let remove = change(Properties::new(), vec![prop::DRBD_QUORUM.into()], vec![]);
        apply(Owner::ResourceDefinition, &mut props, &remove).unwrap();
        assert_eq!(props, Props::new());
        props.insert("Aux/a/b".into(), "1".into());
        props.insert("Aux/ab".into(), "2".into());
        let remove = change(Properties::new(), vec![], vec!["Aux/a/".into()]);
        apply(Owner::ResourceDefinition, &mut props, &remove).unwrap();
        assert_eq!(props.into_keys().collect::<Vec<_>>(), ["Aux/ab"]);
    }
}
