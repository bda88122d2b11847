//! Changes of properties: checked against the catalogue, brought into their canonical form.

mod catalogue;
mod combination;
mod controller;
pub mod info;
#[cfg(test)]
mod readers;
mod shape;

use std::collections::BTreeMap;

use linstor_api::properties::{Overrides, Properties, PropertiesModify};
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::Props;

use crate::transaction::Refusal;
use catalogue::{Rule, Shape};

pub use combination::check as check_combinations;
pub use controller::apply as apply_to_controller;

/// The longest key.
const KEY_BYTES_MAX: usize = 256;
/// The longest value in bytes. LINSTOR has no limit; rows with larger ones would exceed the limits of stores.
const VALUE_BYTES_MAX: usize = 64 * 1024;
/// What may follow any key of a namespace, at any object or at some.
const FREE: &[(&str, u16)] = &[
    (prop::AUX, u16::MAX),
    ("EBS/Tags/", catalogue::C | catalogue::RD | catalogue::VD),
    ("SED/", catalogue::SP),
    ("Paths/", catalogue::CONN),
    ("Cluster/Remote/", catalogue::C),
];
const OTHER_KEY: &str =
    "Use a key that this kind of object has, or one below 'Aux/', which is free.";

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
    /// A connection of two nodes.
    NodeConnection,
    /// A connection of two resources.
    ResourceConnection,
    /// The DRBD Proxy of a resource definition.
    DrbdProxy,
    /// A snapshot: only free keys.
    Snapshot,
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
            Owner::NodeConnection | Owner::ResourceConnection => catalogue::CONN,
            Owner::DrbdProxy => catalogue::PROXY,
            // Only free keys, which are so at every place.
            Owner::Snapshot => 1 << 15,
        }
    }

    /// The object bits of replies about keys: those of groups are rules for what is made of them, and have its bits.
    const fn mask(self) -> i64 {
        match self {
            Owner::Controller => code::MASK_CTRL_CONF,
            Owner::Node => code::MASK_NODE,
            Owner::StoragePoolDefinition => code::MASK_STOR_POOL_DFN,
            Owner::StoragePool => code::MASK_STOR_POOL,
            Owner::ResourceGroup | Owner::ResourceDefinition => code::MASK_RSC_DFN,
            Owner::VolumeGroup | Owner::VolumeDefinition => code::MASK_VLM_DFN,
            Owner::Resource => code::MASK_RSC,
            Owner::Volume => code::MASK_VLM,
            Owner::NodeConnection => code::MASK_NODE_CONN,
            Owner::ResourceConnection => code::MASK_RSC_CONN,
            Owner::DrbdProxy => 0,
            Owner::Snapshot => code::MASK_SNAPSHOT,
        }
    }
}

/// A change that was asked for.
pub fn change(
    set: Overrides,
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
        checked(owner, key, value.as_deref())?;
    }
    for key in &change.delete_props {
        checked_key(owner, key)?;
    }
    Ok(())
}

/// Sets the properties of a new object.
pub fn set(owner: Owner, props: &mut Props, given: Properties) -> Result<Vec<Reply>, Refusal> {
    let given = given.into_iter().map(|(key, value)| (key, Some(value)));
    apply(owner, props, &change(given.collect(), vec![], vec![]))
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
        let value = checked(owner, key, value.as_deref())?;
        if key == prop::DRBD_AUTO_QUORUM {
            replies.push(deprecated(key, prop::DRBD_QUORUM));
        }
        if key == prop::DRBD_QUORUM {
            changed.insert(prop::DRBD_QUORUM_SET_BY.to_owned(), "user".to_owned());
        }
        changed.insert(key.clone(), value);
    }
    if !change.override_props.is_empty() {
        let keys: Vec<&str> = change.override_props.keys().map(String::as_str).collect();
        let mut reply = Reply::new(
            owner.mask() | code::MASK_CRT | code::CREATED,
            format!("Successfully set property key(s): {}", keys.join(",")),
        );
        reply.details = no_effect(owner, keys);
        replies.push(reply);
    }
    for key in &change.delete_props {
        checked_key(owner, key)?;
        changed.remove(key);
        if key == prop::DRBD_QUORUM {
            changed.remove(prop::DRBD_QUORUM_SET_BY);
        }
    }
    remove_namespaces(&mut changed, &change.delete_namespaces, |key| {
        checked_key(owner, key)
    })?;
    if !change.delete_props.is_empty() {
        replies.push(Reply::new(
            owner.mask() | code::MASK_DEL | code::DELETED,
            format!(
                "Successfully deleted property key(s): {}",
                change.delete_props.join(",")
            ),
        ));
    }
    *props = changed.into_iter().collect();
    if owner == Owner::StoragePool {
        name_place_of_pool(props);
    }
    Ok(replies)
}

/// Brings older names of the place a storage pool is in into the one of today: a volume group, a ZFS pool or a directory,
/// and with a thin pool both, with a slash between.
pub fn name_place_of_pool(props: &mut Properties) {
    let today = prop::STOR_DRIVER_STOR_POOL_NAME;
    for older in [
        "StorDriver/LvmVg",
        "StorDriver/ZPool",
        "StorDriver/ZPoolThin",
        "StorDriver/FileDir",
    ] {
        if let Some(place) = props.remove(older) {
            props.insert(today.to_owned(), place);
        }
    }
    if let Some(thin_pool) = props.remove("StorDriver/ThinPool") {
        let place = props.get(today).map_or("", String::as_str);
        let group = place.split('/').next().unwrap_or_default();
        props.insert(today.to_owned(), format!("{group}/{thin_pool}"));
    }
}

/// Removes what is below these namespaces, if all of it can be changed by users.
fn remove_namespaces(
    props: &mut BTreeMap<String, String>,
    namespaces: &[String],
    may_remove: impl Fn(&str) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    for namespace in namespaces {
        let inside = format!("{}/", namespace.trim_matches('/'));
        let removed = |key: &str| inside == "/" || key.starts_with(&inside);
        props
            .keys()
            .filter(|key| removed(key))
            .try_for_each(|key| may_remove(key))?;
        props.retain(|key, _| !removed(key));
    }
    Ok(())
}

fn deprecated(key: &str, instead: &str) -> Reply {
    Reply::new(
        code::WARN_DEPRECATED,
        format!("{key} is deprecated, please use {instead}"),
    )
}

/// What a caller has to know of keys that are stored and that nothing reads yet.
fn no_effect<'a>(owner: Owner, keys: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let unread = |key: &&str| {
        rule(owner, key).map_or(key.starts_with("NetCom/"), |rule| rule.reader.is_none())
    };
    let keys: Vec<&str> = keys.into_iter().filter(unread).collect();
    (!keys.is_empty()).then(|| {
        format!(
            "Stored without effect: nothing in this version acts on {}.",
            keys.join(", ")
        )
    })
}

fn rule(owner: Owner, key: &str) -> Option<Rule> {
    catalogue::rules(key).find(|rule| rule.is_at(owner.place()))
}

/// Why a property cannot be set.
#[derive(Debug, Clone, PartialEq)]
enum Fault {
    /// This kind of object has no such key.
    Key,
    /// The value breaks this rule.
    Value(String),
}

/// The rule of a key; none if any value will do.
fn known(owner: Owner, key: &str) -> Result<Option<Rule>, Fault> {
    let sound = !key.is_empty() && key.len() <= KEY_BYTES_MAX && !key.contains(char::is_control);
    let rule = rule(owner, key);
    let free =
        |(namespace, place): &(&str, u16)| key.starts_with(namespace) && place & owner.place() != 0;
    match sound && (FREE.iter().any(free) || rule.is_some()) {
        true => Ok(rule),
        false => Err(Fault::Key),
    }
}

/// The value as it is stored.
fn canonical(owner: Owner, key: &str, value: Option<&str>) -> Result<String, Fault> {
    let shape = known(owner, key)?.map_or(Shape::Text, |rule| rule.shape);
    let Some(value) = value else {
        return Err(Fault::Value("A property has a value.".to_owned()));
    };
    if value.len() > VALUE_BYTES_MAX {
        let rule = format!("A value has at most {VALUE_BYTES_MAX} bytes.");
        return Err(Fault::Value(rule));
    }
    shape::canonical(shape, value).map_err(Fault::Value)
}

fn checked_key(owner: Owner, key: &str) -> Result<(), Refusal> {
    match known(owner, key) {
        Ok(_) => Ok(()),
        Err(fault) => Err(refused(&fault, key, "")),
    }
}

fn checked(owner: Owner, key: &str, value: Option<&str>) -> Result<String, Refusal> {
    canonical(owner, key, value).map_err(|fault| refused(&fault, key, value.unwrap_or("null")))
}

fn refused(fault: &Fault, key: &str, value: &str) -> Refusal {
    let (key, value) = (shown(key), shown(value));
    let reply = match fault {
        Fault::Key => Reply::new(
            code::FAIL_INVLD_PROP,
            format!("Invalid property key: {key}"),
        )
        .cause(format!("The key '{key}' is not whitelisted."))
        .correction(OTHER_KEY),
        Fault::Value(rule) => Reply::new(
            code::FAIL_INVLD_PROP,
            format!("Invalid property({key}) value: {value}"),
        )
        .cause(format!(
            "The value '{value}' is not valid for the key '{key}'."
        ))
        .details(rule.clone())
        .correction(rule.clone()),
    };
    reply.into()
}

/// A key or value as it may be shown.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str, value: &str) -> PropertiesModify {
        change(
            [(key.to_owned(), Some(value.to_owned()))].into(),
            vec![],
            vec![],
        )
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

    /// Unknown keys and bad values are refused with LINSTOR's messages, and nothing is changed.
    #[test]
    fn what_is_not_in_the_catalogue_is_refused() {
        for (key, value, part) in [
            ("NoSuchKey", "1", "Invalid property key: NoSuchKey"),
            ("/Aux/a", "1", "Invalid property key: /Aux/a"),
            ("Aux", "1", "Invalid property key: Aux"),
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
        assert!(check(Owner::Node, &setting("TcpPortAutoRange", "7000-7999")).is_ok());
    }

    /// A pool's place has one name, whatever it was called when it was set.
    #[test]
    fn older_names_of_a_pools_place_are_converted() {
        for (given, place) in [
            (&[("LvmVg", "vg")][..], "vg"),
            (&[("LvmVg", "vg"), ("ThinPool", "thin")], "vg/thin"),
            (&[("StorPoolName", "vg/old"), ("ThinPool", "new")], "vg/new"),
            (&[("ZPool", "tank/data")], "tank/data"),
            (&[("ZPoolThin", "tank")], "tank"),
            (&[("FileDir", "/srv/pool")], "/srv/pool"),
        ] {
            let named = given
                .iter()
                .map(|(key, value)| (format!("StorDriver/{key}"), (*value).to_owned()));
            let mut props = Props::new();
            set(Owner::StoragePool, &mut props, named.collect()).unwrap();
            let expected = [(
                prop::STOR_DRIVER_STOR_POOL_NAME.to_owned(),
                place.to_owned(),
            )];
            assert_eq!(props, expected.into_iter().collect());
        }
    }

    /// A quorum set by hand is marked as such, and the mark is removed with it; a namespace with all its keys.
    #[test]
    fn quorum_by_hand_is_marked() {
        let mut props = Props::new();
        let quorum = setting(prop::DRBD_QUORUM, "off");
        apply(Owner::ResourceDefinition, &mut props, &quorum).unwrap();
        assert_eq!(props[prop::DRBD_QUORUM_SET_BY], "user");
        let remove = change(Overrides::new(), vec![prop::DRBD_QUORUM.into()], vec![]);
        apply(Owner::ResourceDefinition, &mut props, &remove).unwrap();
        assert_eq!(props, Props::new());
        props.insert("Aux/a/b".into(), "1".into());
        props.insert("Aux/ab".into(), "2".into());
        let remove = change(Overrides::new(), vec![], vec!["Aux/a/".into()]);
        apply(Owner::ResourceDefinition, &mut props, &remove).unwrap();
        assert_eq!(props.into_keys().collect::<Vec<_>>(), ["Aux/ab"]);
    }
}
