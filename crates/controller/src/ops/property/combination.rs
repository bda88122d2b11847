//! Options of DRBD that are fine by themselves and that DRBD refuses together, wherever each of them comes from.

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_api::prop::DRBD_NET_OPTIONS;
use linstor_api::reply::Reply;
use linstor_model::model::RowKey;
use linstor_model::name::{ResourceGroupName, ResourceName};
use linstor_model::props::conflict::{self, Conflict};
use linstor_model::props::inherit::below;
use linstor_model::props::{Level, Purpose, Scope, chain};
use linstor_model::{Model, Props};

use crate::transaction::Refusal;

/// Refuses a change after which connections would have options that DRBD refuses together, and had not before.
pub fn check(before: &Model, after: &Model, touched: &BTreeSet<RowKey>) -> Result<(), Refusal> {
    let differ = |a: Option<&Props>, b: Option<&Props>| {
        let net = |props: Option<&Props>| {
            let of = props
                .into_iter()
                .flat_map(|props| below(props, DRBD_NET_OPTIONS));
            of.map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect::<Vec<_>>()
        };
        net(a) != net(b)
    };
    let mut groups: BTreeSet<&ResourceGroupName> = BTreeSet::new();
    let mut definitions: BTreeSet<&ResourceName> = BTreeSet::new();
    for key in touched {
        match key {
            RowKey::Controller
                if differ(
                    Some(&before.controller.props),
                    Some(&after.controller.props),
                ) =>
            {
                groups.extend(after.groups.keys());
            }
            RowKey::ResourceGroup(name) => {
                let props = |model: &'_ Model| model.groups.get(name).map(|row| row.props.clone());
                if differ(props(before).as_ref(), props(after).as_ref()) {
                    groups.insert(name);
                }
            }
            RowKey::ResourceDefinition(name) => {
                let rows = (before.definitions.get(name), after.definitions.get(name));
                let moved = rows.0.map(|row| &row.group) != rows.1.map(|row| &row.group);
                let own = differ(rows.0.map(|row| &row.props), rows.1.map(|row| &row.props));
                if own || (moved && rows.0.is_some()) {
                    definitions.insert(name);
                }
            }
            _ => {}
        }
    }
    for name in groups {
        if let Some(conflict) = of_group(after, name)
            && of_group(before, name).is_none()
        {
            return Err(refused(
                &conflict,
                &format!("resource group '{name}'"),
                None,
            ));
        }
        // The others have what their group has.
        let with_own = after.definitions_of(name).filter(|name| {
            let row = after.definitions.get(*name);
            row.is_some_and(|row| below(&row.props, DRBD_NET_OPTIONS).next().is_some())
        });
        definitions.extend(with_own);
    }
    for name in definitions {
        if let Some(conflict) = of_definition(after, name)
            && of_definition(before, name).is_none()
        {
            let group = after.definitions.get(name).map(|row| &row.group);
            let what = format!("resource definition '{name}'");
            return Err(refused(&conflict, &what, group));
        }
    }
    Ok(())
}

fn of_group<'a>(model: &'a Model, name: &ResourceGroupName) -> Option<Conflict<'a>> {
    let scope = Scope {
        group: Some(&**model.groups.get(name)?),
        ..Scope::default()
    };
    conflict::conflict(&chain(model, Purpose::DrbdConnection, &scope))
}

fn of_definition<'a>(model: &'a Model, name: &ResourceName) -> Option<Conflict<'a>> {
    let scope = Scope::definition(&**model.definitions.get(name)?);
    conflict::conflict(&chain(model, Purpose::DrbdConnection, &scope))
}

fn refused(conflict: &Conflict<'_>, what: &str, group: Option<&ResourceGroupName>) -> Refusal {
    let Conflict {
        key,
        value,
        protocol,
        needs,
        reason,
        ..
    } = conflict;
    let place = |level: Option<Level>| match level {
        None => "by default".to_owned(),
        Some(Level::Controller) => "at the controller".to_owned(),
        Some(Level::ResourceGroup) => match group {
            Some(group) => format!("at the resource group '{group}'"),
            None => format!("at the {what}"),
        },
        Some(_) => format!("at the {what}"),
    };
    Reply::new(
        code::FAIL_INVLD_PROP,
        format!(
            "DRBD refuses {key}={value} with protocol {protocol}, which the {what} would have."
        ),
    )
    .cause(format!("{reason} It needs protocol {needs}."))
    .details(format!(
        "{key} is set {}, protocol {protocol} {}.",
        place(Some(conflict.level)),
        place(conflict.protocol_level)
    ))
    .correction(format!(
        "Set {} to {needs}, or delete {key}, or set both in one request.",
        conflict::PROTOCOL
    ))
    .into()
}
