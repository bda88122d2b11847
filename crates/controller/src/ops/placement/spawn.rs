//! Definitions made after the pattern of a group, with their replicas (spec core 5.1).

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::resource_group::ResourceGroupSpawn;
use linstor_model::Draft;
use linstor_model::ResourceGroup;
use linstor_model::name::{ResourceGroupName, ResourceName};

use super::super::reply::{Refusal, created};
use super::super::{
    Facts, names, resource_definition, resource_group, select_filter, volume_definition,
};
use super::{Made, deployed, place_replicas};
use crate::cluster::Cluster;

/// Makes a definition, its volume definitions and its replicas: all of it, or nothing.
pub async fn spawn(cluster: &Cluster, group: String, request: ResourceGroupSpawn) -> Vec<Reply> {
    let context = resource_group::context(code::MASK_CRT, &group);
    let work = async {
        let group = names::group(&group)?;
        let sizes: Vec<u64> = request
            .volume_sizes
            .iter()
            .map(|size| volume_definition::size(*size))
            .collect::<Result<_, _>>()?;
        check_passphrases(&request)?;
        let slots = resource_group::peer_slots(request.peer_slots)?;
        if !request.definitions_only {
            super::refresh_thin(cluster).await;
        }
        let facts = Facts::gather(cluster);
        let committed = cluster.commit(move |draft| {
            let plan = Plan {
                facts: &facts,
                request: &request,
                sizes,
                slots,
            };
            Ok(plan.make(draft, &group)?)
        });
        let committed = committed.await?;
        let (name, Made { mut replies, nodes }) = committed.value;
        if !nodes.is_empty() {
            let mut more = deployed(cluster, &name, &nodes, committed.generation).await;
            replies.append(&mut more);
        }
        Ok(replies)
    };
    context.run(work).await
}

fn check_passphrases(request: &ResourceGroupSpawn) -> Result<(), Refusal> {
    let given = request.volume_passphrases.len();
    if given == 0 {
        return Ok(());
    }
    if given != request.volume_sizes.len() {
        return Err(Reply::new(
            code::FAIL_INVLD_VLM_SIZES,
            format!(
                "{given} passphrases were given for {} volumes.",
                request.volume_sizes.len()
            ),
        )
        .cause("Each volume needs a passphrase, or none.")
        .correction("Give one passphrase per size.")
        .into());
    }
    Err(volume_definition::encrypted_refused())
}

struct Plan<'a> {
    facts: &'a Facts,
    request: &'a ResourceGroupSpawn,
    sizes: Vec<u64>,
    slots: Option<u32>,
}

impl Plan<'_> {
    fn make(
        &self,
        draft: &mut Draft,
        group: &ResourceGroupName,
    ) -> Result<(ResourceName, Made), Refusal> {
        let group = names::known_group(draft, group)?.clone();
        let filter = select_filter::effective(&group.filter, self.request.select_filter.as_ref())?;
        let mut replies = self.check_count(&group)?;
        let wish = resource_definition::Wish {
            name: self
                .request
                .resource_definition_name
                .clone()
                .unwrap_or_default(),
            external_name: self
                .request
                .resource_definition_external_name
                .clone()
                .filter(|name| !name.is_empty()),
            group: Some(group.name.to_string()),
            layers: filter.layer_stack.clone().unwrap_or_default(),
            props: self.request.resource_definition_props.clone(),
            peer_slots: self.slots.or(group.peer_slots),
            ..resource_definition::Wish::default()
        };
        let mut said = Vec::new();
        let name = resource_definition::add(draft, self.facts, wish, &mut said)?;
        let uuid = names::known_definition(draft, &name)?.uuid;
        let mut reply = created(&resource_definition::describe(&name), uuid);
        reply.ret_code |= code::MASK_RSC_DFN | code::MASK_CRT;
        replies.push(reply.about("RscDfn", name.as_str()));
        replies.append(&mut said);
        self.add_volumes(draft, &group, &name, &mut replies)?;
        if self.request.definitions_only {
            let message = format!("No resources of '{name}' were created, as asked for.");
            replies.push(Reply::new(code::INFO_NO_RSC_SPAWNED, message));
            return Ok((
                name,
                Made {
                    replies,
                    nodes: vec![],
                },
            ));
        }
        let mut made = place_replicas(draft, self.facts, &name, &filter)?;
        replies.append(&mut made.replies);
        for reply in &mut replies {
            let named = reply.obj_refs.entry("RscDfn".to_owned());
            named.or_insert_with(|| name.to_string());
        }
        Ok((
            name,
            Made {
                replies,
                nodes: made.nodes,
            },
        ))
    }

    /// There is one size for each volume group, unless the caller knows better.
    fn check_count(&self, group: &ResourceGroup) -> Result<Vec<Reply>, Refusal> {
        let (sizes, groups) = (self.sizes.len(), group.volume_groups.len());
        if groups == 0 && sizes > 0 && !self.request.partial {
            let message = format!(
                "Resource group '{}' has no volume groups, assume partial.",
                group.name
            );
            return Ok(vec![Reply::new(
                code::MASK_INFO | code::MASK_RSC_GRP,
                message,
            )]);
        }
        if sizes == groups || self.request.partial {
            return Ok(Vec::new());
        }
        Err(Reply::new(
            code::FAIL_INVLD_VLM_SIZES,
            format!("Invalid count of volume sizes to spawn a resource definition from resource group '{}'.", group.name),
        )
        .cause(format!("Volume sizes given: {sizes}, volume groups: {groups}."))
        .correction("Give one size per volume group, or ask for a partial spawn.")
        .into())
    }

    fn add_volumes(
        &self,
        draft: &mut Draft,
        group: &ResourceGroup,
        name: &ResourceName,
        replies: &mut Vec<Reply>,
    ) -> Result<(), Refusal> {
        let mut patterns = group.volume_groups.iter();
        for size_kib in &self.sizes {
            let pattern = patterns.next();
            let wish = volume_definition::Wish {
                number: pattern.map(|(number, _)| *number),
                size_kib: *size_kib,
                gross_size: pattern.is_some_and(|(_, pattern)| pattern.gross_size),
                ..volume_definition::Wish::default()
            };
            volume_definition::add(draft, self.facts, name, wish, replies)?;
        }
        Ok(())
    }
}
