//! Machine-readable format v0, which old scripts parse (`--output-version v0`), converted from the controller's
//! answers.

use linstor_api::kind::ConnectionStatus;
use linstor_api::layer::VolumeLayer;
use linstor_api::node::Node;
use linstor_api::properties::Properties;
use linstor_api::reply::Reply;
use linstor_api::resource::Resource;
use linstor_api::resource_definition::ResourceDefinition;
use linstor_api::snapshot::Snapshot;
use linstor_api::storage_pool::StoragePool;
use linstor_api::storage_pool_definition::StoragePoolDefinition;
use linstor_api::volume::Volume;
use linstor_api::volume_definition::VolumeDefinition;
use serde_json::{Map, Value, json};

use crate::action::read;
use crate::failure::Failure;

/// Converts a list to format v0.
pub type Convert = fn(&str) -> Result<Value, Failure>;

/// The conversion of the list that a request answers with; `None` if both formats are equal.
pub fn conversion(request: &str) -> Option<Convert> {
    match request {
        "GET view/snapshots" => Some(snapshots),
        "GET node-connections" => Some(|text| connections(text, "node_connections")),
        "GET resource-definitions/{resource}/resource-connections" => {
            Some(|text| connections(text, "rsc_connections"))
        }
        _ => None,
    }
}

/// A reply.
pub fn reply(reply: &Reply) -> Value {
    let mut object = json!({"ret_code": reply.ret_code, "message": reply.message});
    let mut add = |key: &str, value: Value| object[key] = value;
    let texts = [
        ("cause", &reply.cause),
        ("correction", &reply.correction),
        ("details", &reply.details),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            add(key, json!(text));
        }
    }
    if !reply.obj_refs.is_empty() {
        add("object_refs", pairs(&reply.obj_refs));
    }
    if !reply.error_report_ids.is_empty() {
        add("error_report_ids", json!(reply.error_report_ids));
    }
    object
}

fn pairs(map: &Properties) -> Value {
    map.iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect()
}

/// The number of a connection status in format v0.
fn status_number(status: Option<&str>) -> u8 {
    use ConnectionStatus::*;
    match status
        .and_then(|status| status.parse().ok())
        .unwrap_or(Unknown)
    {
        Offline => 0,
        Connected => 1,
        Online => 2,
        VersionMismatch => 3,
        FullSyncFailed => 4,
        AuthenticationError => 5,
        Unknown => 6,
        HostnameMismatch => 7,
        OtherController => 8,
        Authenticated => 9,
        NoStltConn => 10,
        MissingExtTools => 11,
        DuplicateUname => 12,
    }
}

/// Nodes.
pub fn nodes(text: &str) -> Result<Value, Failure> {
    let raw: Vec<Map<String, Value>> = read(text)?;
    let nodes: Vec<Node> = read(text)?;
    let converted = raw.into_iter().zip(nodes).map(|(mut object, node)| {
        let interfaces = node.net_interfaces.iter().map(|interface| {
            json!({
                "address": interface.address,
                "name": interface.name,
                "stlt_port": interface.satellite_port,
                "stlt_encryption_type": interface.satellite_encryption_type,
            })
        });
        let status = status_number(node.connection_status.as_deref());
        object.insert("props".into(), pairs(&node.props));
        object.insert("connection_status".into(), json!(status));
        object.insert("net_interfaces".into(), interfaces.collect());
        Value::Object(object)
    });
    Ok(json!({"nodes": converted.collect::<Vec<_>>()}))
}

/// Storage pools.
pub fn storage_pools(text: &str) -> Result<Value, Failure> {
    let pools: Vec<StoragePool> = read(text)?;
    let converted = pools.iter().map(|pool| {
        let driver = match &*pool.provider_kind {
            "DISKLESS" => "DisklessDriver",
            "LVM" => "LvmDriver",
            "LVM_THIN" => "LvmThinDriver",
            "ZFS" => "ZfsDriver",
            "ZFS_THIN" => "ZfsThinDriver",
            "SPDK" => "SpdkDriver",
            _ => "",
        };
        let mut object = json!({
            "stor_pool_uuid": pool.uuid,
            "stor_pool_name": pool.storage_pool_name,
            "node_name": pool.node_name,
            "free_space_mgr_name": pool.free_space_mgr_name,
            "driver": driver,
            "static_traits": pairs(&pool.static_traits),
        });
        if pool.free_capacity.is_some() {
            object["free_space"] = json!({
                "stor_pool_name": pool.storage_pool_name,
                "free_capacity": pool.free_capacity,
                "total_capacity": pool.total_capacity,
            });
        }
        if !pool.props.is_empty() {
            object["props"] = pairs(&pool.props);
        }
        object
    });
    Ok(json!({"stor_pools": converted.collect::<Vec<_>>()}))
}

/// Storage pool definitions.
pub fn storage_pool_definitions(text: &str) -> Result<Value, Failure> {
    let definitions: Vec<StoragePoolDefinition> = read(text)?;
    if definitions.is_empty() {
        return Ok(json!({}));
    }
    let converted = definitions.iter().map(|definition| {
        let mut object = json!({"stor_pool_name": definition.storage_pool_name});
        if !definition.props.is_empty() {
            object["props"] = pairs(&definition.props);
        }
        object
    });
    Ok(json!({"stor_pool_dfns": converted.collect::<Vec<_>>()}))
}

/// Resource definitions, with or without volume definitions.
pub fn resource_definitions(text: &str) -> Result<Value, Failure> {
    let definitions: Vec<ResourceDefinition> = read(text)?;
    let converted = definitions.iter().map(|definition| {
        let volumes = definition.volume_definitions.iter().map(volume_definition);
        let mut object = json!({
            "rsc_name": definition.name,
            "rsc_dfn_uuid": definition.uuid,
            "vlm_dfns": volumes.collect::<Vec<_>>(),
        });
        if !definition.flags.is_empty() {
            object["rsc_dfn_flags"] = json!(definition.flags);
        }
        if !definition.props.is_empty() {
            object["rsc_dfn_props"] = pairs(&definition.props);
        }
        let is_drbd = |kind: Option<&str>| kind == Some("DRBD");
        let mut layers = definition.layer_data.iter();
        let drbd = layers.find(|layer| is_drbd(layer.r#type.as_deref()));
        if let Some(data) = drbd.and_then(|layer| layer.data.as_ref()) {
            object["rsc_dfn_port"] = json!(data.port);
            object["rsc_dfn_secret"] = json!(data.secret);
        }
        object
    });
    Ok(json!({"rsc_dfns": converted.collect::<Vec<_>>()}))
}

fn volume_definition(definition: &VolumeDefinition) -> Value {
    let mut object = json!({
        "vlm_nr": definition.volume_number,
        "vlm_size": definition.size_kib,
        "vlm_dfn_uuid": definition.uuid,
    });
    if !definition.flags.is_empty() {
        object["vlm_flags"] = json!(definition.flags);
    }
    if !definition.props.is_empty() {
        object["vlm_props"] = pairs(&definition.props);
    }
    let mut layers = definition.layer_data.iter();
    let drbd = layers.find(|layer| layer.r#type == "DRBD");
    if let Some(data) = drbd.and_then(|layer| layer.data.as_ref()) {
        object["vlm_minor"] = json!(data.minor_number);
    }
    object
}

fn snapshots(text: &str) -> Result<Value, Failure> {
    let snapshots: Vec<Snapshot> = read(text)?;
    if snapshots.is_empty() {
        return Ok(json!({}));
    }
    let converted = snapshots.iter().map(|snapshot| {
        let nodes = snapshot.nodes.iter().map(|node| json!({"node_name": node}));
        let volumes = snapshot
            .volume_definitions
            .iter()
            .map(|volume| json!({"vlm_nr": volume.volume_number, "vlm_size": volume.size_kib}));
        json!({
            "rsc_name": snapshot.resource_name,
            "snapshot_name": snapshot.name,
            "uuid": snapshot.uuid,
            "snapshot_dfn_flags": snapshot.flags,
            "snapshots": nodes.collect::<Vec<_>>(),
            "snapshot_vlm_dfns": volumes.collect::<Vec<_>>(),
        })
    });
    Ok(json!({"snapshot_dfns": converted.collect::<Vec<_>>()}))
}

fn connections(text: &str, name: &str) -> Result<Value, Failure> {
    let rows: Vec<Map<String, Value>> = read(text)?;
    if rows.is_empty() {
        return Ok(json!({}));
    }
    let converted = rows.iter().map(|row| {
        let mut object =
            json!({"node_name_1": row.get("node_a"), "node_name_2": row.get("node_b")});
        for key in ["flags", "port"] {
            if let Some(value) = row.get(key).filter(|value| **value != json!([])) {
                object[key] = value.clone();
            }
        }
        if let Some(Value::Object(props)) = row.get("props")
            && !props.is_empty()
        {
            let pair = |(key, value)| json!({"key": key, "value": value});
            object["props"] = props.iter().map(pair).collect();
        }
        object
    });
    Ok(json!({name: converted.collect::<Vec<_>>()}))
}

/// Resources with their volumes.
pub fn resources(text: &str) -> Result<Value, Failure> {
    let resources: Vec<Resource> = read(text)?;
    let states = resources.iter().map(|resource| {
        let mut object = json!({"rsc_name": resource.name, "node_name": resource.node_name});
        if let Some(in_use) = resource.state.as_ref().and_then(|state| state.in_use) {
            object["in_use"] = json!(in_use);
        }
        let volumes: Vec<Value> = resource
            .volumes
            .iter()
            .map(|volume| {
                let disk_state = volume.state.as_ref().and_then(|s| s.disk_state.as_ref());
                json!({"vlm_nr": volume.volume_number, "disk_state": disk_state})
            })
            .collect();
        if !volumes.is_empty() {
            object["vlm_states"] = json!(volumes);
        }
        object
    });
    let converted = resources.iter().map(|resource| {
        json!({
            "name": resource.name,
            "uuid": resource.uuid,
            "node_name": resource.node_name,
            "rsc_flags": resource.flags,
            "props": pairs(&resource.props),
            "vlms": resource.volumes.iter().map(volume).collect::<Vec<_>>(),
        })
    });
    Ok(json!({
        "resource_states": states.collect::<Vec<_>>(),
        "resources": converted.collect::<Vec<_>>(),
    }))
}

fn volume(volume: &Volume) -> Value {
    let mut object = json!({
        "stor_pool_name": volume.storage_pool_name,
        "vlm_nr": volume.volume_number,
        "vlm_uuid": volume.uuid,
        "device_path": volume.device_path,
    });
    let drbd = volume.layer_data_list.iter().find_map(|layer| match layer {
        VolumeLayer::Drbd(data) => Some(data),
        _ => None,
    });
    if let Some(data) = drbd {
        let definition = data.drbd_volume_definition.as_ref();
        object["vlm_minor_nr"] = json!(definition.and_then(|d| d.minor_number));
        if let Some(device) = &data.backing_device {
            object["backing_disk"] = json!(device);
        }
        object["meta_disk"] = json!(data.meta_disk);
        if data.allocated_size_kib.is_some() {
            object["allocated"] = json!(volume.allocated_size_kib);
        }
    }
    object
}
