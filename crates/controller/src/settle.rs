//! What follows from a change without being asked for: tie breakers, quorum, properties that the controller sets by
//! itself, and as many resources as a group's place count asks for.
//!
//! The writer settles each change once, after its plan and before the commit, whoever made it. A resource definition is
//! settled when its resources, its group or its own quorum policy changed. A group's or the controller's policy
//! concerns many definitions: [`DEFINITIONS_MAX`] of them are settled in the same commit, the others in the background.
//! The progress is in the controller's row (see [`Settling`]), so that it continues after a restart.

use std::collections::BTreeSet;

use linstor_api::reply::Reply;
use linstor_api::{code, drbd_option, prop};
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceGroupName, ResourceName};
use linstor_model::process::Kind;
use linstor_model::props::address_of;
use linstor_model::{
    Controller, DiskKind, Model, Props, ResourceGroup, Settling, automatic, connection, quorum,
};

use crate::ops::autoplace;
use crate::transaction::{Refusal, Transaction};

/// How many definitions one commit settles after a change that concerns many.
pub(crate) const DEFINITIONS_MAX: usize = 64;

/// Settles a planned change; `before` is the model it was planned on. A definition that cannot get the resources that its
/// group asks for keeps those it has: the reasons become replies of the change, which is made all the same.
pub(crate) fn settle(before: &Model, tx: &mut Transaction<'_>) {
    let mut names = BTreeSet::new();
    let mut begun = Vec::new();
    // Of nodes that are to be emptied: nothing need have changed in the rows of the definition.
    let mut forced = BTreeSet::new();
    for key in tx.touched() {
        match key {
            RowKey::ResourceDefinition(name) | RowKey::Resource(name, _) => {
                names.insert(name.clone());
            }
            RowKey::Process(id) => {
                let versions = [before.processes.get(id), tx.processes.get(id)];
                let objects = versions.into_iter().flatten().flat_map(|row| row.objects());
                names.extend(objects.filter_map(|object| object.definition().cloned()));
            }
            RowKey::ResourceGroup(name) => {
                let rows = (before.groups.get(name), tx.groups.get(name));
                if let (Some(old), Some(new)) = rows {
                    begun.extend(settling_of_group(name, old, new));
                }
            }
            RowKey::Controller => {
                if policy(&before.controller.props) != policy(&tx.controller.props) {
                    begun.push(settling(None, false));
                }
            }
            RowKey::Node(name) => {
                let leaves = |model: &Model| {
                    let row = model.node(name);
                    row.is_some_and(|row| row.evacuate || row.evicted)
                };
                if leaves(before) != leaves(tx) {
                    let diskless = tx.resources_on(name).filter(|row| row.is_diskless());
                    forced.extend(diskless.map(|row| row.name.clone()));
                }
            }
            RowKey::RowVersions
            | RowKey::Epoch
            | RowKey::StoragePoolDefinition(_)
            | RowKey::StoragePool(..)
            | RowKey::SnapshotDefinition(..)
            | RowKey::KeyValueStore(_)
            | RowKey::MasterKey
            | RowKey::AuthTokens
            | RowKey::Remote(_)
            | RowKey::Schedule(_)
            | RowKey::ExternalFile(_) => {}
        }
    }
    names.extend(forced.iter().cloned());
    for name in names {
        let (old, new) = (Causes::of(before, &name), Causes::of(tx, &name));
        if old == new && !forced.contains(&name) {
            continue;
        }
        let moved = matches!((&old, &new), (Some(old), Some(new)) if old.group != new.group);
        report(settle_definition(tx, &name, moved), tx);
    }
    for settling in begun {
        begin(tx, settling);
    }
    let mut warnings = left_out(before, tx);
    warnings.extend(mixed_families(before, tx));
    tx.replies(warnings);
}

/// Warnings about resources whose nodes have addresses of both IPv4 and IPv6 for DRBD, which connects only within one.
fn mixed_families(before: &Model, tx: &Transaction<'_>) -> Vec<Reply> {
    let mut names = BTreeSet::new();
    for key in tx.touched() {
        match key {
            RowKey::Resource(name, _) | RowKey::ResourceDefinition(name) => {
                names.insert(name);
            }
            RowKey::Node(node) => {
                let rows = (before.node(node), tx.node(node));
                if let (Some(old), Some(new)) = rows
                    && (&old.net_interfaces, &old.props) != (&new.net_interfaces, &new.props)
                {
                    names.extend(tx.resources_on(node).map(|row| &row.name));
                }
            }
            _ => {}
        }
    }
    let is_mixed = |model: &Model, name: &ResourceName| {
        let rows = model.resources_of(name).filter(|row| row.drbd.is_some());
        let rows: Vec<_> = rows.collect();
        let nodes = rows.iter().filter_map(|row| model.node(&row.node));
        let mut addresses = nodes
            .flat_map(|node| &node.net_interfaces)
            .map(|nic| nic.address);
        let first = addresses.next();
        if addresses.all(|address| first.is_some_and(|first| first.is_ipv4() == address.is_ipv4()))
        {
            return false;
        }
        let mut pairs = rows
            .iter()
            .enumerate()
            .flat_map(|(at, row)| rows[at + 1..].iter().map(move |peer| (row, peer)));
        pairs.any(|(row, peer)| {
            let has_paths = model.definitions.get(name).is_some_and(|definition| {
                !connection::paths(model, definition, &row.node, &peer.node).is_empty()
            });
            let ends = (address_of(model, row), address_of(model, peer));
            !has_paths && matches!(ends, (Some(a), Some(b)) if a.is_ipv4() != b.is_ipv4())
        })
    };
    let mixed = names
        .into_iter()
        .filter(|name| is_mixed(tx, name) && !is_mixed(before, name));
    let reply = |name: &ResourceName| {
        let message = format!(
            "Nodes of resource '{name}' cannot connect: some have IPv4, some IPv6 addresses."
        );
        Reply::new(code::MASK_WARN, message)
            .cause("DRBD connects only addresses of one kind.")
            .correction(
                "Give the nodes interfaces of the same kind, and name them with PrefNic or paths.",
            )
            .about("RscDfn", name.as_str())
    };
    mixed.map(reply).collect()
}

/// Warnings about options of DRBD that were set, and that nodes leave out of their files as their drbd-utils do not have
/// them.
fn left_out(before: &Model, tx: &Transaction<'_>) -> Vec<Reply> {
    let all = || tx.nodes.keys().collect::<Vec<_>>();
    let mut warnings = Vec::new();
    for key in tx.touched() {
        let (old, new, nodes) = match key {
            RowKey::Controller => (Some(&before.controller.props), &tx.controller.props, all()),
            RowKey::ResourceGroup(name) => {
                let Some(row) = tx.groups.get(name) else {
                    continue;
                };
                (
                    before.groups.get(name).map(|row| &row.props),
                    &row.props,
                    all(),
                )
            }
            RowKey::ResourceDefinition(name) => {
                let Some(row) = tx.definitions.get(name) else {
                    continue;
                };
                let old = before.definitions.get(name).map(|row| &row.props);
                let nodes = tx.resources_of(name).map(|replica| &replica.node);
                (old, &row.props, nodes.collect())
            }
            _ => continue,
        };
        let is_new = |(key, value): &(&String, &String)| {
            old.and_then(|old| old.get(key.as_str())) != Some(*value)
        };
        for (key, _) in new.iter().filter(is_new) {
            let Some(option) = drbd_option::by_key(key) else {
                continue;
            };
            let name = option.in_file();
            let lacks = |node: &&&NodeName| {
                let status = tx.observed.nodes.get(**node);
                let info = status.and_then(|status| status.info.as_deref());
                info.is_some_and(|info| info.unknown_drbd_options.contains(&name))
            };
            let nodes: Vec<String> = nodes.iter().filter(lacks).map(|n| n.to_string()).collect();
            if !nodes.is_empty() {
                let message = format!(
                    "The property '{key}' has no effect on {}.",
                    nodes.join(", ")
                );
                let reply = Reply::new(code::WARN_UNEFFECTIVE_PROP, message);
                warnings.push(reply.cause("The drbd-utils there do not have this option."));
            }
        }
    }
    warnings
}

fn report(missing: Option<Refusal>, tx: &mut Transaction<'_>) {
    tx.replies(missing.into_iter().flat_map(|Refusal(replies)| replies));
}

/// Settles the next definitions that an earlier change left to the background. Returns those that could not be settled,
/// with the reasons; they are left as they are.
pub(crate) fn resume(tx: &mut Transaction<'_>) -> Vec<(ResourceName, Refusal)> {
    let mut failed = Vec::new();
    let Some(first) = tx.controller.settling.first().cloned() else {
        return failed;
    };
    let others = tx.controller.settling[1..].to_vec();
    let (names, last) = next_definitions(tx, &first);
    let mut settled = 0;
    for name in &names {
        let done = tx.if_fits(|tx| {
            let done = tx.attempt(|tx| {
                let missing = settle_definition(tx, name, first.fill_up);
                tx.check_held()?;
                tx.check_rollbacks()?;
                Ok(missing)
            });
            put_settling(tx, [progress(&first, name)], &others);
            done
        });
        match done {
            Some(Ok(None)) => {}
            Some(Ok(Some(refusal)) | Err(refusal)) => failed.push((name.clone(), refusal)),
            None if settled == 0 => {
                let message = "The change is larger than the database takes at once.";
                let reply = Reply::new(code::FAIL_SQL, message);
                failed.push((name.clone(), reply.into()));
                put_settling(tx, [progress(&first, name)], &others);
            }
            None => break,
        }
        settled += 1;
    }
    if last && settled == names.len() {
        put_settling(tx, [], &others);
    }
    failed
}

/// Settles the first definitions that a change concerns and notes which remain.
fn begin(tx: &mut Transaction<'_>, mut begun: Settling) {
    let (names, last) = next_definitions(tx, &begun);
    let mut others = tx.controller.settling.clone();
    let joined = others.iter().position(|other| other.group == begun.group);
    let fill_up_others = joined.is_some_and(|place| others.remove(place).fill_up);
    let mut settled = 0;
    for name in &names {
        let mut left = progress(&begun, name);
        left.fill_up |= fill_up_others;
        let done = tx.if_fits(|tx| {
            report(settle_definition(tx, name, begun.fill_up), tx);
            put_settling(tx, others.clone(), &[left]);
        });
        if done.is_none() {
            break;
        }
        settled += 1;
    }
    begun.fill_up |= fill_up_others;
    if last && settled == names.len() {
        put_settling(tx, others, &[]);
    } else if settled == 0 {
        put_settling(tx, others, &[begun]);
    }
}

/// What is left once a definition is settled.
fn progress(settling: &Settling, name: &ResourceName) -> Settling {
    Settling {
        after: Some(name.clone()),
        ..settling.clone()
    }
}

fn put_settling(
    tx: &mut Transaction<'_>,
    first: impl IntoIterator<Item = Settling>,
    then: &[Settling],
) {
    let all: Vec<Settling> = first.into_iter().chain(then.iter().cloned()).collect();
    if tx.controller.settling != all {
        let mut row = Controller::clone(&tx.controller);
        row.settling = all;
        tx.put_controller(row);
    }
}

/// The next definitions, and whether they are the last ones.
fn next_definitions(model: &Model, settling: &Settling) -> (Vec<ResourceName>, bool) {
    let left = model.definitions_after(settling.group.as_ref(), settling.after.as_ref());
    let mut names: Vec<ResourceName> = left.take(DEFINITIONS_MAX + 1).cloned().collect();
    let last = names.len() <= DEFINITIONS_MAX;
    names.truncate(DEFINITIONS_MAX);
    (names, last)
}

fn settling(group: Option<ResourceGroupName>, fill_up: bool) -> Settling {
    Settling {
        group,
        after: None,
        fill_up,
    }
}

fn settling_of_group(
    name: &ResourceGroupName,
    old: &ResourceGroup,
    new: &ResourceGroup,
) -> Option<Settling> {
    let fill_up = old.filter.place_count != new.filter.place_count;
    let concerned = fill_up || policy(&old.props) != policy(&new.props);
    concerned.then(|| settling(Some(name.clone()), fill_up))
}

/// Places missing resources if asked for, then settles tie breaker and quorum. Returns why resources are still missing.
fn settle_definition(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    fill_up: bool,
) -> Option<Refusal> {
    let filled = match fill_up {
        true => tx.attempt(|tx| autoplace::fill_up(tx, name)),
        false => Ok(()),
    };
    // Tie breaker and quorum of a definition without resources are left as its creator wrote them.
    if tx.resources_of(name).next().is_some() {
        let settled =
            tx.plan(|draft, observed, seeds| quorum::settle(draft, observed, name, seeds));
        tx.replies(settled);
        tx.plan(|draft, observed, _| automatic::settle(draft, observed, name));
    }
    filled.err()
}

/// The properties that decide on tie breakers and quorum.
fn policy(props: &Props) -> [Option<&String>; 3] {
    [
        prop::DRBD_AUTO_ADD_QUORUM_TIEBREAKER,
        prop::DRBD_QUORUM,
        prop::DRBD_QUORUM_SET_BY,
    ]
    .map(|key| props.get(key))
}

/// What tie breaker and quorum of a definition follow from, as far as that is in its own rows.
#[derive(PartialEq)]
struct Causes<'a> {
    group: &'a ResourceGroupName,
    policy: [Option<&'a String>; 3],
    resources: Vec<Cause<'a>>,
}

#[derive(PartialEq)]
struct Cause<'a> {
    node: &'a NodeName,
    disk: Option<DiskKind>,
    inactive: bool,
    deleting: bool,
    replaces: Option<&'a NodeName>,
}

impl<'a> Causes<'a> {
    fn of(model: &'a Model, name: &'a ResourceName) -> Option<Self> {
        let definition = model.definitions.get(name)?;
        let resources = model.resources_of(name).map(|row| Cause {
            node: &row.node,
            disk: row.drbd.as_ref().map(|drbd| drbd.disk),
            inactive: row.inactive,
            deleting: model.is_deleting(row),
            replaces: match model.process_of(row).map(|process| &process.kind) {
                Some(Kind::Migrate(migrate)) => Some(&migrate.from),
                Some(_) | None => None,
            },
        });
        Some(Causes {
            group: &definition.group,
            policy: policy(&definition.props),
            resources: resources.collect(),
        })
    }
}
