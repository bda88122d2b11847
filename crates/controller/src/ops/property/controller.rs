//! Changes of the controller's own properties. The answer has an entry for each key, and one for each satellite that
//! it was sent to.

use std::collections::BTreeMap;

use linstor_api::properties::PropertiesModify;
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::Props;
use uuid::Uuid;

use super::catalogue::Shape;
use super::{Fault, Owner, canonical, deprecated, known, no_effect, remove_namespaces, shown};
use crate::transaction::Refusal;

/// The longest name of a remote cluster.
const REMOTE_NAME_CHARS_MAX: usize = 48;

/// Prefixes of keys for which the answer has no entries of satellites when they are set, as with LINSTOR. Which values
/// satellites get is decided by `props::storage`.
const QUIET: &[&str] = &[
    "AllowMixingStoragePoolDriver",
    "AutoplaceTarget",
    "BackupShipping/AllowForceRestore",
    "BackupShipping/MaxConcurrentBackups",
    "BalanceResources",
    "Clone/BalanceAfterClone",
    "Cluster/Remote/",
    "DrbdOptions/AutoEvict",
    "DrbdProxy/AutoEnable",
    "Linstor/Drbd/auto-block-size",
    "MaxFreeCapacityOversubscriptionRatio",
    "MaxOversubscriptionRatio",
    "MaxTotalCapacityOversubscriptionRatio",
    "MinorNrAutoRange",
    "NetCom/",
    "SearchDomain",
    "Snapshot/BalanceAfterRestore",
    "StorDriver/Zfs/",
    "TcpPortAutoRange",
    "UpdateCacheInterval",
];

/// Makes a change: sets, removes, removes namespaces, in this order. Returns replies about it, and whether satellites
/// hear of it.
pub fn apply(props: &mut Props, change: &PropertiesModify) -> Result<(Vec<Reply>, bool), Refusal> {
    let mut replies = Vec::new();
    let mut for_satellites = false;
    let mut changed: BTreeMap<String, String> = props.clone().into_iter().collect();
    for (key, value) in &change.override_props {
        let value = checked(&changed, key, value.as_deref())?;
        if key == prop::DRBD_AUTO_QUORUM {
            // Nothing would ever read it.
            replies.push(deprecated(key, prop::DRBD_QUORUM));
        } else {
            let stored_as = current_name(key);
            if stored_as != key {
                replies.push(deprecated(key, stored_as));
            }
            if key == prop::DRBD_QUORUM {
                changed.insert(prop::DRBD_QUORUM_SET_BY.to_owned(), "user".to_owned());
            }
            let before = changed.insert(stored_as.to_owned(), value.clone());
            let quiet = QUIET.iter().any(|prefix| key.starts_with(prefix));
            for_satellites |= !quiet && before.as_ref() != Some(&value);
        }
        replies.extend(range_updated(key, &value));
        let mut reply = Reply::new(
            code::MASK_CRT | code::CREATED,
            format!("Successfully set property '{key}' to value '{value}'"),
        );
        reply.details = no_effect(Owner::Controller, [key.as_str()]);
        replies.push(reply);
    }
    for key in &change.delete_props {
        if !is_net_com(key) {
            known(Owner::Controller, key)
                .map_err(|fault| refused(&fault, code::MASK_DEL, key, ""))?;
        }
        for_satellites |= changed.remove(current_name(key)).is_some();
        replies.push(Reply::new(
            code::MASK_DEL | code::DELETED,
            format!("Successfully deleted property '{key}'"),
        ));
    }
    // As with LINSTOR, a namespace has no entry of its own, nor have the nodes that follow.
    remove_namespaces(&mut changed, &change.delete_namespaces, |key| {
        if is_net_com(key) {
            return Ok(());
        }
        match known(Owner::Controller, key) {
            Ok(_) => Ok(()),
            Err(fault) => Err(refused(&fault, code::MASK_DEL, key, "").into()),
        }
    })?;
    if !changed.contains_key(prop::DRBD_QUORUM) {
        changed.remove(prop::DRBD_QUORUM_SET_BY);
    }
    *props = changed.into_iter().collect();
    Ok((replies, for_satellites))
}

/// The name under which a property with an older name is stored.
fn current_name(key: &str) -> &str {
    match key {
        prop::EXT_CMD_WAIT_TIMEOUT_OLD => prop::EXT_CMD_WAIT_TIMEOUT,
        key => key,
    }
}

/// Settings of LINSTOR's former network services. They are in every cluster, and this controller has none of the services.
fn is_net_com(key: &str) -> bool {
    key.starts_with("NetCom/") && key.split('/').count() == 3
}

/// The value as it is stored.
fn checked(
    set: &BTreeMap<String, String>,
    key: &str,
    value: Option<&str>,
) -> Result<String, Refusal> {
    let given = value.unwrap_or_default();
    let fault = match canonical(Owner::Controller, key, value) {
        Err(Fault::Key) if is_net_com(key) && value.is_some() => return Ok(given.to_owned()),
        Ok(value) => match key.strip_prefix("Cluster/Remote/") {
            Some(cluster) => Fault::Value(match Uuid::parse_str(cluster) {
                Err(_) => format!("The key '{}' must be a valid UUID.", shown(cluster)),
                Ok(_) if value.chars().count() > REMOTE_NAME_CHARS_MAX => {
                    format!("A name of a cluster has at most {REMOTE_NAME_CHARS_MAX} characters.")
                }
                Ok(_) if set.iter().any(|(k, v)| k != key && *v == value) => {
                    "The name is used for another remote cluster.".to_owned()
                }
                Ok(_) => return Ok(value),
            }),
            None => return Ok(value),
        },
        Err(fault) => fault,
    };
    // Numbers outside of the permitted range have another code than text that is no range.
    let range = given.split([',', '-']);
    let numbers = range.into_iter().all(|part| {
        let part = part.trim();
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
    });
    let ranges = known(Owner::Controller, key).ok().flatten();
    let code = match ranges.map(|rule| rule.shape) {
        Some(Shape::NumberRange(..)) if numbers && key == prop::MINOR_NR_AUTO_RANGE => {
            Some(code::FAIL_INVLD_MINOR_NR)
        }
        Some(Shape::NumberRange(..)) if numbers => Some(code::FAIL_INVLD_TCP_PORT),
        _ => None,
    };
    let mut reply = refused(&fault, code::MASK_CRT, key, given);
    if let Some(code) = code {
        reply.ret_code = code | code::MASK_MOD;
    }
    Err(reply.into())
}

fn refused(fault: &Fault, operation: i64, key: &str, value: &str) -> Reply {
    let (key, value) = (shown(key), shown(value));
    match fault {
        Fault::Key => Reply::new(
            operation | code::FAIL_INVLD_PROP,
            format!("The key '{key}' is not whitelisted"),
        )
        .cause("The controller has no property with this key that can be changed.")
        .correction(super::OTHER_KEY),
        Fault::Value(rule) => Reply::new(
            operation | code::FAIL_INVLD_PROP,
            format!("The value '{value}' is not valid."),
        )
        .cause(format!(
            "The value '{value}' is not valid for the key '{key}'."
        ))
        .details(rule.clone())
        .correction(rule.clone()),
    }
}

fn range_updated(key: &str, value: &str) -> Option<Reply> {
    let numbers = match key {
        prop::TCP_PORT_AUTO_RANGE => "TCP port",
        prop::MINOR_NR_AUTO_RANGE => "Minor",
        _ => return None,
    };
    let message = format!("The {numbers} range was successfully updated to: {value}");
    Some(Reply::new(code::MASK_MOD | code::MODIFIED, message))
}
