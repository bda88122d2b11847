//! Creating a resource definition.

use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::properties::Properties;
use linstor_api::reply::Reply;
use linstor_api::resource_definition::{ResourceDefinition as Json, ResourceDefinitionCreate};
use linstor_model::model::DEFAULT_GROUP;
use linstor_model::name::{ResourceGroupName, ResourceName};
use linstor_model::{DrbdDefinition, Props, ResourceDefinition, numbers, stack};
use linstor_wire::Secret;

use super::super::property::{self, Owner};
use super::super::reply::{created, exists};
use super::super::request::Wait;
use super::super::{name, resource_group};
use super::{context, external_name, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// A resource definition that is to be created.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct NewDefinition {
    pub(in super::super) name: String,
    pub(in super::super) external_name: Option<String>,
    pub(in super::super) group: Option<String>,
    pub(in super::super) layers: Vec<LayerKind>,
    pub(in super::super) props: Properties,
    pub(in super::super) peer_slots: Option<u32>,
    pub(in super::super) port: Option<u16>,
    pub(in super::super) secret: Option<String>,
    pub(in super::super) transport: Option<String>,
}

/// Creates a definition.
pub async fn create(cluster: &Cluster, request: ResourceDefinitionCreate) -> Vec<Reply> {
    let given = request.resource_definition.as_ref();
    let name = given.and_then(|given| Some(given.as_ref()?.name.clone()));
    context(code::MASK_CRT, &name.unwrap_or_default())
        .change(
            cluster,
            || parse(request),
            |tx, (new, added)| {
                tx.replies(added.map(Reply::plain));
                if new.layers.contains(&LayerKind::Luks) && !tx.is_unlocked() {
                    tx.reply(no_master_key().plain());
                }
                add(tx, new)?;
                Ok(Wait::Nothing)
            },
        )
        .await
}

fn parse(request: ResourceDefinitionCreate) -> Result<(NewDefinition, Option<Reply>), Refusal> {
    let json = match request.resource_definition {
        None => Json::default(),
        Some(Some(json)) => json,
        Some(None) => {
            let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, "The resource definition is null.")
                .cause("The member 'resource_definition' has to be an object.")
                .correction("Give at least a name in it.");
            return Err(reply.plain().into());
        }
    };
    let given: Vec<_> = json
        .layer_data
        .iter()
        .filter_map(|layer| layer.r#type.clone())
        .collect();
    let (layers, added) = stack::complete(stack::parse(&given)?);
    if !layers.is_empty() {
        stack::check(&layers)?;
    }
    let new = NewDefinition {
        name: json.name,
        external_name: json.external_name,
        group: json.resource_group_name.filter(|name| !name.is_empty()),
        layers,
        props: json.props,
        peer_slots: resource_group::peer_slots(request.drbd_peer_slots)?,
        port: port(request.drbd_port)?,
        secret: request.drbd_secret.filter(|secret| !secret.is_empty()),
        transport: transport(request.drbd_transport_type)?,
    };
    Ok((new, added))
}

/// The warning about a definition whose volumes are to be encrypted.
fn no_master_key() -> Reply {
    let message = "There is no master key: encrypted volumes cannot be created.";
    Reply::new(code::WARN_NOT_FOUND_CRYPT_KEY, message)
}

pub(super) fn port(given: Option<i32>) -> Result<Option<u16>, Refusal> {
    match given.map(u16::try_from) {
        None => Ok(None),
        Some(Ok(port)) if port > 0 => Ok(Some(port)),
        Some(_) => Err(Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            format!("The TCP port {} is not valid.", given.unwrap_or_default()),
        )
        .cause("Ports are numbers within limits.")
        .correction("Use a port from 1 to 65535, or leave it out.")
        .into()),
    }
}

fn transport(given: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(given) = given.filter(|given| !given.trim().is_empty()) else {
        return Ok(None);
    };
    const KNOWN: [&str; 3] = ["IP", "RDMA", "RoCE"];
    let known = KNOWN
        .iter()
        .find(|known| known.eq_ignore_ascii_case(given.trim()));
    match known {
        Some(known) => Ok(Some((*known).to_owned())),
        None => Err(Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            format!(
                "The given transport type '{}' is invalid.",
                given.escape_debug()
            ),
        )
        .cause("The transport type is not known.")
        .correction(format!("Use one of {}.", KNOWN.join(", ")))
        .plain()
        .into()),
    }
}

/// Adds a definition to a draft and returns its name.
pub(in super::super) fn add(
    tx: &mut Transaction<'_>,
    new: NewDefinition,
) -> Result<ResourceName, Refusal> {
    let external = new.external_name.as_deref();
    let name = external_name::choose(tx, &new.name, external, tx.uuid())?;
    if tx.definitions.contains_key(&name) {
        return Err(exists(code::FAIL_EXISTS_RSC_DFN, &label(&name)).into());
    }
    if let Some(external) = external.filter(|name| !name.is_empty())
        && tx
            .definitions
            .values()
            .any(|row| row.external_name.as_deref() == Some(external))
    {
        let what = format!("resource definition with the external name '{external}'");
        return Err(exists(code::FAIL_EXISTS_EXT_NAME, &what).into());
    }
    let group = group(tx, new.group.as_deref())?;
    let mut props = Props::new();
    let replies = property::set(Owner::ResourceDefinition, &mut props, new.props)?;
    let mut definition = ResourceDefinition {
        snapshots: Default::default(),
        backups: Default::default(),
        connections: Vec::new(),
        clone_failure: None,
        name: name.clone(),
        external_name: new.external_name.filter(|name| !name.is_empty()),
        uuid: tx.uuid(),
        group,
        layer_stack: new.layers,
        props,
        drbd: None,
        volumes: Default::default(),
    };
    let replicated =
        definition.layer_stack.is_empty() || definition.layer_stack.contains(&LayerKind::Drbd);
    if replicated {
        let slots = new.peer_slots;
        let asked = slots.is_some() || new.port.is_some();
        let asked = asked || new.secret.is_some() || new.transport.is_some();
        definition.drbd = Some(DrbdDefinition {
            peer_slots: slots.unwrap_or_else(|| numbers::peer_slots(tx, &definition)),
            wished_port: new.port,
            implied: !asked && definition.layer_stack.is_empty(),
            ..drbd(tx, new.secret, new.transport)
        });
    }
    tx.replies(replies);
    let mut reply = created(&label(&name), definition.uuid).about("RscDfn", name.to_string());
    if let Some(missing) = stack::not_buildable(&definition.layer_stack) {
        let details = reply.details.take().unwrap_or_default();
        reply = reply.details(format!("{details}\n{missing}"));
    }
    tx.reply(reply.with_mask(code::MASK_RSC_DFN | code::MASK_CRT));
    tx.put_resource_definition(definition);
    Ok(name)
}

/// DRBD's part of a new definition, with as many peer slots as there are by default.
pub(super) fn drbd(
    tx: &Transaction<'_>,
    secret: Option<String>,
    transport: Option<String>,
) -> DrbdDefinition {
    DrbdDefinition {
        secret: Secret::new(secret.unwrap_or_else(|| random_secret(tx))),
        peer_slots: numbers::DEFAULT_PEER_SLOTS,
        al_stripes: 1,
        al_stripe_kib: 32,
        transport: transport.unwrap_or_else(|| "IP".to_owned()),
        wished_port: None,
        implied: false,
    }
}

/// 15 random bytes as 20 characters, as LINSTOR makes them.
fn random_secret(tx: &Transaction<'_>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(tx.random::<15>())
}

/// The group that a request names, or the default group.
pub(super) fn group(
    tx: &mut Transaction<'_>,
    given: Option<&str>,
) -> Result<ResourceGroupName, Refusal> {
    let name = match given {
        None => return Ok(resource_group::default_group(tx)),
        Some(given) => name::group(given)?,
    };
    if name.as_str().eq_ignore_ascii_case(DEFAULT_GROUP) {
        return Ok(resource_group::default_group(tx));
    }
    Ok(name::known_group(tx, &name)?.name.clone())
}
