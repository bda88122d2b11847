//! Replicas that are asked for one by one (spec core 5.2).

use linstor_api::flag::resource as flag;
use linstor_api::kind::LayerKind;
use linstor_api::reply::Reply;
use linstor_api::resource::ResourceCreate;
use linstor_api::{code, prop};
use linstor_model::name::{NodeName, ResourceName, StoragePoolName};
use linstor_model::resource::{GiveDisk, NewResource};
use linstor_model::{DiskKind, Props, Resource, ResourcePhase};
use linstor_model::{Draft, stack};

use super::super::property::{self, Owner};
use super::super::reply::{Context, Refusal, not_implemented};
use super::super::{Facts, names, resource};
use super::{Made, check_not_deleting, deployed, give_disk, make, named_pool};
use crate::cluster::Cluster;

/// A replica that a request asks for.
#[derive(Debug, Clone)]
struct Wish {
    node: NodeName,
    /// None: nothing was said of the kind of disk.
    diskless: Option<DiskKind>,
    client: Option<bool>,
    inactive: bool,
    pool: Option<StoragePoolName>,
    props: Props,
    layers: Option<Vec<LayerKind>>,
    node_id: Option<i64>,
    ports: Vec<i64>,
    /// Answers of the checks so far.
    said: Vec<Reply>,
}

/// Makes all replicas of a request or none of them.
pub async fn create(cluster: &Cluster, name: String, requests: Vec<ResourceCreate>) -> Vec<Reply> {
    let context = Context::new(code::MASK_RSC | code::MASK_CRT, format!("Resource: {name}"))
        .about("RscDfn", &name);
    let work = async {
        let name = names::resource(&name)?;
        let wishes: Vec<Wish> = requests.iter().map(parse).collect::<Result<_, _>>()?;
        if wishes.is_empty() {
            return Err(
                Reply::new(code::WARN_NO_EFFECT, "The request names no resource.")
                    .correction("Name at least one node.")
                    .into(),
            );
        }
        super::refresh_thin(cluster).await;
        let facts = Facts::gather(cluster);
        let target = name.clone();
        let committed = cluster.commit(move |draft| Ok(make_all(draft, &facts, &target, wishes)?));
        let committed = committed.await?;
        let Made { mut replies, nodes } = committed.value;
        if committed.changed {
            let mut more = deployed(cluster, &name, &nodes, committed.generation).await;
            replies.append(&mut more);
        }
        Ok(replies)
    };
    context.run(work).await
}

fn parse(request: &ResourceCreate) -> Result<Wish, Refusal> {
    let json = &request.resource;
    let bits = flag::ALL.bits_of(&json.flags);
    let has = |bit: u64| bits & bit == bit;
    if has(flag::NVME_INITIATOR) || has(flag::EBS_INITIATOR) {
        return Err(not_implemented("A diskless resource by NVMe or EBS").into());
    }
    if request.drbd_tcp_port_count.is_some_and(|count| count != 1) {
        return Err(not_implemented("A resource with several TCP ports").into());
    }
    let mut props = json.props.clone();
    let pool = named_pool(props.remove(prop::STOR_POOL_NAME).as_ref())?;
    let mut checked = Props::new();
    let mut said = Vec::new();
    let change = property::change(props, vec![], vec![]);
    property::apply(Owner::Resource, &mut checked, &change, &mut said)?;
    let layers = match &request.layer_list[..] {
        [] => None,
        words => {
            let (layers, added) = stack::complete(stack::parse(words)?);
            said.extend(added);
            Some(layers)
        }
    };
    let diskless = match () {
        () if has(flag::TIE_BREAKER) => Some(DiskKind::TieBreaker),
        () if has(flag::DISKLESS) => Some(DiskKind::Diskless),
        // A client needs no disk, unless one is named (spec core 5.2 step 3).
        () if request.drbd_client == Some(true) && pool.is_none() => Some(DiskKind::Client),
        () => None,
    };
    Ok(Wish {
        node: names::node(json.node_name.as_deref().unwrap_or_default())?,
        diskless: match (diskless, request.drbd_client) {
            (Some(DiskKind::Diskless), Some(true)) => Some(DiskKind::Client),
            (diskless, _) => diskless,
        },
        client: request.drbd_client,
        inactive: has(flag::INACTIVE),
        pool,
        props: checked,
        layers,
        node_id: request.drbd_node_id.map(i64::from),
        ports: request
            .drbd_tcp_ports
            .iter()
            .map(|port| i64::from(*port))
            .collect(),
        said,
    })
}

fn make_all(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    wishes: Vec<Wish>,
) -> Result<Made, Refusal> {
    let definition = names::known_definition(draft, name)?.clone();
    check_not_deleting(&definition)?;
    let mut made = Made::default();
    for mut wish in wishes {
        let node = names::known_node(draft, &wish.node)?.name.clone();
        let mut said = std::mem::take(&mut wish.said);
        match draft.resource(name, &node).cloned() {
            Some(row) => change_existing(draft, facts, &row, wish, &mut made)?,
            None => {
                let wish = NewResource {
                    pool: wish.pool,
                    props: wish.props,
                    layer_stack: wish.layers,
                    node_id: wish.node_id,
                    ports: wish.ports,
                    diskful_by: Some("user"),
                    inactive: wish.inactive,
                    ..NewResource::new(
                        definition.name.clone(),
                        node,
                        wish.diskless.unwrap_or(DiskKind::Diskful),
                    )
                };
                make(draft, facts, wish, &mut made)?;
            }
        }
        made.replies.append(&mut said);
    }
    made.replies
        .append(&mut super::super::helpers_after_change(draft, facts, name));
    Ok(made)
}

/// What a request means for a replica that is there already (spec core 5.2 step 3).
fn change_existing(
    draft: &mut Draft,
    facts: &Facts,
    row: &Resource,
    wish: Wish,
    made: &mut Made,
) -> Result<(), Refusal> {
    let (name, node) = (&row.name, &row.node);
    let revived = revive(draft, row)?;
    if revived {
        let message = format!("Deletion of {} withdrawn", resource::describe(name, node));
        made.replies
            .push(Reply::new(code::MODIFIED, message).about("Node", node.as_str()));
        made.nodes.push(node.clone());
    }
    if !row.is_diskless() {
        if !revived {
            let message = format!("Resource '{name}' on node '{node}' already exists.");
            let reply = Reply::new(code::INFO_RSC_ALREADY_EXISTS, message);
            made.replies.push(reply.about("Node", node.as_str()));
        }
        return Ok(());
    }
    if wish.diskless.is_none() {
        let disk = GiveDisk {
            pool: wish.pool,
            migrate_from: None,
            diskful_by: Some("user"),
        };
        return give_disk(draft, facts, name, node, disk, made);
    }
    draft.edit_resource(name, node, |row| {
        if let Some(drbd) = &mut row.drbd {
            drbd.disk = match (wish.client, drbd.disk) {
                (Some(true), _) => DiskKind::Client,
                (Some(false), _) | (None, DiskKind::TieBreaker) => DiskKind::Diskless,
                (None, disk) => disk,
            };
        }
    });
    Ok(())
}

/// Withdraws the deletion of a replica whose storage is still there; says whether there was one.
pub(super) fn revive(draft: &mut Draft, row: &Resource) -> Result<bool, Refusal> {
    match row.phase {
        ResourcePhase::TakingDown { .. } => {
            draft.edit_resource(&row.name, &row.node, |row| {
                row.phase = ResourcePhase::Present
            });
            Ok(true)
        }
        ResourcePhase::Destroying { .. } => Err(Reply::new(
            code::FAIL_RSC_BUSY,
            format!(
                "The {} is being deleted.",
                resource::describe(&row.name, &row.node)
            ),
        )
        .cause("Its storage is being removed, so that the deletion cannot be withdrawn any more.")
        .correction("Wait until it is gone, then create it again.")
        .into()),
        ResourcePhase::Present
        | ResourcePhase::AddingDisk { .. }
        | ResourcePhase::RemovingDisk { .. } => Ok(false),
    }
}
