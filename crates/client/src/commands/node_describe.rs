//! `linstor node describe`: nodes, their storage pools, and the resources and volumes in them, as a tree.

use std::collections::BTreeMap;

use linstor_api::layer::VolumeLayer;
use linstor_api::node::Node;
use linstor_api::resource::Resource;
use linstor_api::size::format_kib;
use linstor_api::storage_pool::StoragePool;
use linstor_api::volume::Volume;

use super::resource_list::{name, node, view};
use crate::action::{Action, Screen, read};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::machine;
use crate::output::tree::Tree;
use crate::request::Request;

/// The storage pool of diskless resources, which every node has.
const DISKLESS_POOL: &str = "DfltDisklessStorPool";

/// Describes one node, or all of them.
pub fn action(node: Option<String>) -> Action {
    Action::Own {
        request: Request::get(&["nodes"]),
        show: Box::new(move |text, mode, screen| {
            let mut trees = trees(&read::<Vec<_>>(text)?, screen)?;
            if let Some(wanted) = &node {
                trees.retain(|tree| tree.name.eq_ignore_ascii_case(wanted));
                if trees.is_empty() {
                    return Err(Failure::not_found(format!("{wanted}: no such node")));
                }
            }
            if mode.machine.is_some() {
                let trees: Vec<_> = trees.iter().map(Tree::to_json).collect();
                return screen.line(&machine::indent(&serde_json::json!(trees).to_string()));
            }
            let texts: Vec<String> = trees.iter().map(|tree| tree.render(screen.style)).collect();
            Ok(screen.out.write_all(texts.join("\n").as_bytes())?)
        }),
    }
}

fn trees(nodes: &[Node], screen: &mut Screen<'_>) -> Result<Vec<Tree>, Failure> {
    let pools: Vec<StoragePool> = screen.query(&Request::get(&["view", "storage-pools"]))?;
    let resources: Vec<Resource> = screen.query(&view::<&str>(&[], &[]))?;
    let mut trees: BTreeMap<&str, Tree> = BTreeMap::new();
    for node in nodes {
        trees.insert(&node.name, Tree::new(&node.name, "node", Color::Red));
    }
    for pool in &pools {
        let node = pool.node_name.as_deref().unwrap_or("");
        if let Some(tree) = trees.get_mut(node) {
            tree.child(&pool.storage_pool_name, "storage pool", Color::Pink);
        }
    }
    for resource in &resources {
        let Some(tree) = trees.get_mut(node(resource)) else {
            continue;
        };
        for volume in &resource.volumes {
            let pool = match volume.storage_pool_name.as_deref().unwrap_or("") {
                DISKLESS_POOL => {
                    let text = "resources may reside on other nodes";
                    tree.child("diskless resource", text, Color::Pink)
                }
                pool => tree.child(pool, "storage pool", Color::Pink),
            };
            let branch = pool.child(name(resource), "resource", Color::Blue);
            branch.children.push(volume_tree(volume));
        }
    }
    Ok(trees.into_values().collect())
}

fn volume_tree(volume: &Volume) -> Tree {
    let minor = volume.layer_data_list.iter().find_map(|layer| match layer {
        VolumeLayer::Drbd(drbd) => drbd.drbd_volume_definition.as_ref()?.minor_number,
        _ => None,
    });
    let size = volume.allocated_size_kib.unwrap_or_default().max(0) as u64;
    let mut parts = Vec::new();
    parts.extend(minor.map(|minor| format!("minor number: {minor}")));
    parts.push(format!("size: {}", format_kib(size)));
    let name = format!("volume{}", volume.volume_number.unwrap_or_default());
    Tree::new(&name, &parts.join(", "), Color::DarkGreen)
}
