//! What is known of property keys: lists of them for each kind of object.

use std::collections::BTreeMap;

use linstor_api::properties::PropertyInfo;

use super::catalogue::{self, C, CONN, LZMA, N, PROXY, R, RD, SP, SPD, V, VD, ZLIB, ZSTD};
use super::{Owner, shape};

/// Keys of one kind of object, and what is known of them.
pub type Keys = BTreeMap<String, PropertyInfo>;

/// LINSTOR's kinds of objects with properties, and where their keys stand in the catalogue; nowhere when only free keys
/// can be set.
const KINDS: &[(&str, u16)] = &[
    ("CTRL", C),
    ("DRBD_PROXY", PROXY),
    ("DRBD_PROXY_LZ4", 0),
    ("DRBD_PROXY_LZMA", LZMA),
    ("DRBD_PROXY_ZLIB", ZLIB),
    ("DRBD_PROXY_ZSTD", ZSTD),
    ("EMPTY_RO_PROPS", 0),
    ("KVS", 0),
    ("NET_IF", 0),
    ("NODE", N),
    ("NODE_CONN", CONN),
    ("RSC", R),
    ("RSC_CONN", CONN),
    ("RSC_DFN", RD),
    ("RSC_GRP", RD),
    ("SNAP", 0),
    ("SNAP_DFN", 0),
    ("SNAP_DFN_RSC_DFN", 0),
    ("SNAP_RSC", 0),
    ("SNAP_VLM", 0),
    ("SNAP_VLM_DFN", 0),
    ("SNAP_VLM_DFN_VLM_DFN", 0),
    ("SNAP_VLM_VLM", 0),
    ("STLT", 0),
    ("STOR_POOL", SP),
    ("STOR_POOL_DFN", SPD),
    ("VLM", V),
    ("VLM_CONN", 0),
    ("VLM_DFN", VD),
    ("VLM_GRP", VD),
];

/// Keys of an owner.
pub fn of(owner: Owner) -> Keys {
    at(owner.place())
}

/// Keys of every kind of object.
pub fn all() -> BTreeMap<&'static str, Keys> {
    KINDS
        .iter()
        .map(|(kind, place)| (*kind, at(*place)))
        .collect()
}

/// Keys of DRBD Proxy and of its ways to compress.
pub fn of_proxy() -> BTreeMap<&'static str, Keys> {
    let proxy = |kind: &&(&str, u16)| kind.0.starts_with("DRBD_PROXY");
    let kinds = KINDS.iter().filter(proxy);
    kinds.map(|(kind, place)| (*kind, at(*place))).collect()
}

fn at(place: u16) -> Keys {
    let listed = catalogue::all().filter(|(_, rule)| rule.is_listed(place));
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let entry = |(key, rule): (String, catalogue::Rule)| {
        let (prop_type, value) = shape::info(rule.shape);
        let info = PropertyInfo {
            info: some(rule.info),
            prop_type: prop_type.to_owned(),
            value,
            dflt: some(rule.default),
            unit: some(rule.unit),
        };
        (key, info)
    };
    listed.map(entry).collect()
}
