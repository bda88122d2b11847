//! The JSON of the types as clients see it: member names, what is left out, what is always there.

use expect_test::{Expect, expect};
use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::controller::{ControllerVersion, REST_API_VERSION};
use linstor_api::job::{Job, WaitingFor};
use linstor_api::kind::{ConnectionStatus, Encryption, LayerKind, NodeType, ProviderKind};
use linstor_api::layer::*;
use linstor_api::net_interface::NetInterface;
use linstor_api::node::{Node, NodeEvacuate, NodeModify};
use linstor_api::properties::{Properties, PropertiesModify};
use linstor_api::query_size::*;
use linstor_api::reply::Reply;
use linstor_api::resource::ResourceCreate;
use linstor_api::resource_definition::*;
use linstor_api::resource_group::*;
use linstor_api::sorted_map::SortedMap;
use linstor_api::storage_pool::StoragePool;
use linstor_api::storage_pool_definition::StoragePoolDefinition;
use linstor_api::volume::Volume;
use linstor_api::volume_definition::*;
use linstor_api::volume_group::{VolumeGroup, VolumeGroupModify};
use linstor_api::{flag, request};

mod resource;

const UUID: &str = "e8ef8d6b-17bc-42f0-9367-4aae40c78ecb";

/// JSON up to so many characters is shown on one line.
const ONE_LINE_MAX: usize = 100;

/// Writes the value, compares, and reads it back to the same value.
fn check<T>(value: &T, expected: Expect)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut text = serde_json::to_string(value).unwrap();
    if text.len() > ONE_LINE_MAX {
        text = serde_json::to_string_pretty(value).unwrap();
    }
    expected.assert_eq(&text);
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
}

fn props(pairs: &[(&str, &str)]) -> Properties {
    pairs
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| item.to_string()).collect()
}

#[test]
fn node() {
    let node = Node {
        name: "alpha".into(),
        r#type: NodeType::Satellite.into(),
        props: props(&[("CurStltConnName", "default")]),
        net_interfaces: vec![NetInterface {
            name: "default".into(),
            address: "10.0.0.2".into(),
            satellite_port: Some(3366),
            satellite_encryption_type: Some(Encryption::Plain.into()),
            is_active: Some(true),
            uuid: Some(UUID.into()),
        }],
        connection_status: Some(ConnectionStatus::Online.into()),
        uuid: Some(UUID.into()),
        storage_providers: vec![ProviderKind::Diskless.into(), ProviderKind::LvmThin.into()],
        resource_layers: vec![LayerKind::Drbd.into(), LayerKind::Storage.into()],
        unsupported_providers: SortedMap::from([(
            "ZFS".to_string(),
            strings(&["'zfs' is not installed"]),
        )]),
        platform: Some("LINUX".into()),
        os_variant: Some("Debian 12".into()),
        ..Node::default()
    };
    check(
        &node,
        expect![[r#"
        {
          "name": "alpha",
          "type": "SATELLITE",
          "props": {
            "CurStltConnName": "default"
          },
          "net_interfaces": [
            {
              "name": "default",
              "address": "10.0.0.2",
              "satellite_port": 3366,
              "satellite_encryption_type": "PLAIN",
              "is_active": true,
              "uuid": "e8ef8d6b-17bc-42f0-9367-4aae40c78ecb"
            }
          ],
          "connection_status": "ONLINE",
          "uuid": "e8ef8d6b-17bc-42f0-9367-4aae40c78ecb",
          "storage_providers": [
            "DISKLESS",
            "LVM_THIN"
          ],
          "resource_layers": [
            "DRBD",
            "STORAGE"
          ],
          "unsupported_providers": {
            "ZFS": [
              "'zfs' is not installed"
            ]
          },
          "platform": "LINUX",
          "os_variant": "Debian 12"
        }"#]],
    );
    let modify = NodeModify {
        node_type: Some("COMBINED".into()),
        delete_props: strings(&["Aux/rack"]),
        ..NodeModify::default()
    };
    check(
        &modify,
        expect![[r#"{"node_type":"COMBINED","delete_props":["Aux/rack"]}"#]],
    );
    let evacuate = NodeEvacuate {
        target: strings(&["bravo"]),
        ..NodeEvacuate::default()
    };
    check(&evacuate, expect![[r#"{"target":["bravo"]}"#]]);
}

#[test]
fn storage_pool() {
    let pool = StoragePool {
        storage_pool_name: "thin".into(),
        node_name: Some("alpha".into()),
        provider_kind: ProviderKind::LvmThin.into(),
        props: props(&[("StorDriver/StorPoolName", "vg/thin")]),
        static_traits: props(&[("Provisioning", "Thin"), ("SupportsSnapshots", "true")]),
        free_capacity: Some(100),
        total_capacity: Some(200),
        free_space_mgr_name: Some("alpha;thin".into()),
        uuid: Some(UUID.into()),
        reports: vec![Reply::new(-4611686018427386911, "out of reach")],
        supports_snapshots: Some(true),
        ..StoragePool::default()
    };
    check(
        &pool,
        expect![[r#"
        {
          "storage_pool_name": "thin",
          "node_name": "alpha",
          "provider_kind": "LVM_THIN",
          "props": {
            "StorDriver/StorPoolName": "vg/thin"
          },
          "static_traits": {
            "Provisioning": "Thin",
            "SupportsSnapshots": "true"
          },
          "free_capacity": 100,
          "total_capacity": 200,
          "free_space_mgr_name": "alpha;thin",
          "uuid": "e8ef8d6b-17bc-42f0-9367-4aae40c78ecb",
          "reports": [
            {
              "ret_code": -4611686018427386911,
              "message": "out of reach"
            }
          ],
          "supports_snapshots": true,
          "external_locking": false
        }"#]],
    );
    let definition = StoragePoolDefinition {
        storage_pool_name: Some("thin".into()),
        props: props(&[("MaxOversubscriptionRatio", "3")]),
    };
    check(
        &definition,
        expect![[r#"{"storage_pool_name":"thin","props":{"MaxOversubscriptionRatio":"3"}}"#]],
    );
}

#[test]
fn resource_group() {
    let group = ResourceGroup {
        name: "rg1".into(),
        select_filter: Some(AutoSelectFilter {
            place_count: Some(2),
            storage_pool: Some("thin".into()),
            storage_pool_list: Some(strings(&["thin"])),
            x_replicas_on_different_map: Some(SortedMap::from([("Aux/site".to_string(), 2)])),
            overprovision: Some(1.5),
            ..AutoSelectFilter::default()
        }),
        uuid: Some(UUID.into()),
        peer_slots: Some(7),
        ..ResourceGroup::default()
    };
    check(
        &group,
        expect![[r#"
        {
          "name": "rg1",
          "select_filter": {
            "place_count": 2,
            "storage_pool": "thin",
            "storage_pool_list": [
              "thin"
            ],
            "x_replicas_on_different_map": {
              "Aux/site": 2
            },
            "overprovision": 1.5
          },
          "uuid": "e8ef8d6b-17bc-42f0-9367-4aae40c78ecb",
          "peer_slots": 7
        }"#]],
    );
    let spawn = ResourceGroupSpawn {
        resource_definition_name: Some("res1".into()),
        volume_sizes: vec![1 << 20],
        ..ResourceGroupSpawn::default()
    };
    check(
        &spawn,
        expect![[r#"
        {
          "resource_definition_name": "res1",
          "volume_sizes": [
            1048576
          ],
          "partial": false,
          "definitions_only": false
        }"#]],
    );
    let modify = ResourceGroupModify {
        select_filter: Some(AutoSelectFilter {
            provider_list: Some(vec![]),
            ..AutoSelectFilter::default()
        }),
        ..ResourceGroupModify::default()
    };
    check(
        &modify,
        expect![[r#"{"select_filter":{"provider_list":[]}}"#]],
    );
    let adjust = ResourceGroupAdjust {
        copy_all_snaps: Some(true),
        ..ResourceGroupAdjust::default()
    };
    check(&adjust, expect![[r#"{"copy_all_snaps":true}"#]]);
}

#[test]
fn volume_group() {
    let group = VolumeGroup {
        volume_number: Some(0),
        uuid: Some(UUID.into()),
        flags: flag::volume_group::ALL.names(flag::volume_group::GROSS_SIZE),
        ..VolumeGroup::default()
    };
    check(
        &group,
        expect![[
            r#"{"volume_number":0,"uuid":"e8ef8d6b-17bc-42f0-9367-4aae40c78ecb","flags":["GROSS_SIZE"]}"#
        ]],
    );
    let modify = VolumeGroupModify {
        flags: strings(&["-gross_size"]),
        ..VolumeGroupModify::default()
    };
    check(&modify, expect![[r#"{"flags":["-gross_size"]}"#]]);
}

#[test]
fn resource_definition() {
    let definition = ResourceDefinition {
        name: "res1".into(),
        layer_data: vec![
            ResourceDefinitionLayer {
                r#type: Some(LayerKind::Drbd.into()),
                data: Some(DrbdResourceDefinition {
                    peer_slots: Some(7),
                    al_stripes: Some(1),
                    al_stripe_size_kib: Some(32),
                    port: Some(-1),
                    transport_type: Some("IP".into()),
                    secret: Some("7sqCWjvGmwAiV5kzg3VF".into()),
                    down: Some(false),
                    ..DrbdResourceDefinition::default()
                }),
            },
            ResourceDefinitionLayer {
                r#type: Some(LayerKind::Storage.into()),
                data: None,
            },
        ],
        uuid: Some(UUID.into()),
        resource_group_name: Some("DfltRscGrp".into()),
        volume_definitions: vec![VolumeDefinition {
            volume_number: Some(0),
            size_kib: 1 << 20,
            layer_data: vec![VolumeDefinitionLayer {
                r#type: LayerKind::Drbd.into(),
                data: Some(DrbdVolumeDefinition {
                    volume_number: Some(0),
                    minor_number: Some(1000),
                    ..DrbdVolumeDefinition::default()
                }),
            }],
            ..VolumeDefinition::default()
        }],
        ..ResourceDefinition::default()
    };
    check(
        &definition,
        expect![[r#"
        {
          "name": "res1",
          "layer_data": [
            {
              "type": "DRBD",
              "data": {
                "peer_slots": 7,
                "al_stripes": 1,
                "al_stripe_size_kib": 32,
                "port": -1,
                "transport_type": "IP",
                "secret": "7sqCWjvGmwAiV5kzg3VF",
                "down": false
              }
            },
            {
              "type": "STORAGE"
            }
          ],
          "uuid": "e8ef8d6b-17bc-42f0-9367-4aae40c78ecb",
          "resource_group_name": "DfltRscGrp",
          "volume_definitions": [
            {
              "volume_number": 0,
              "size_kib": 1048576,
              "layer_data": [
                {
                  "type": "DRBD",
                  "data": {
                    "volume_number": 0,
                    "minor_number": 1000
                  }
                }
              ]
            }
          ]
        }"#]],
    );
    let create = ResourceDefinitionCreate {
        drbd_port: Some(7000),
        resource_definition: Some(Some(ResourceDefinition {
            name: "res1".into(),
            ..ResourceDefinition::default()
        })),
        ..ResourceDefinitionCreate::default()
    };
    check(
        &create,
        expect![[r#"{"drbd_port":7000,"resource_definition":{"name":"res1"}}"#]],
    );
    let modify = ResourceDefinitionModify {
        resource_group: Some("rg1".into()),
        layer_stack: strings(&["DRBD", "STORAGE"]),
        ..ResourceDefinitionModify::default()
    };
    check(
        &modify,
        expect![[r#"{"layer_stack":["DRBD","STORAGE"],"resource_group":"rg1"}"#]],
    );
    check(
        &ResourceDefinitionSyncStatus::default(),
        expect![[r#"{"synced_on_all":false}"#]],
    );
}

#[test]
fn volume_definition() {
    let create = VolumeDefinitionCreate {
        volume_definition: VolumeDefinition {
            size_kib: 1024,
            flags: vec!["ENCRYPTED".into()],
            ..VolumeDefinition::default()
        },
        drbd_minor_number: Some(1000),
        ..VolumeDefinitionCreate::default()
    };
    check(
        &create,
        expect![[
            r#"{"volume_definition":{"size_kib":1024,"flags":["ENCRYPTED"]},"drbd_minor_number":1000}"#
        ]],
    );
    let modify = VolumeDefinitionModify {
        size_kib: Some(2048),
        flags: strings(&["-gross_size"]),
        ..VolumeDefinitionModify::default()
    };
    check(
        &modify,
        expect![[r#"{"size_kib":2048,"flags":["-gross_size"]}"#]],
    );
}

#[test]
fn query_size() {
    let sizes = MaxVolumeSizes {
        candidates: vec![Candidate {
            storage_pool: Some("thin".into()),
            max_volume_size_kib: Some(4096),
            node_names: strings(&["alpha", "bravo"]),
            all_thin: Some(true),
        }],
        default_max_oversubscription_ratio: Some(20.0),
    };
    check(
        &sizes,
        expect![[r#"
        {
          "candidates": [
            {
              "storage_pool": "thin",
              "max_volume_size_kib": 4096,
              "node_names": [
                "alpha",
                "bravo"
              ],
              "all_thin": true
            }
          ],
          "default_max_oversubscription_ratio": 20.0
        }"#]],
    );
    let info = QuerySizeInfoResponse {
        space_info: Some(QuerySizeInfoSpaceInfo {
            max_vlm_size_in_kib: 0,
            available_size_in_kib: Some(10),
            capacity_in_kib: Some(20),
            next_spawn_result: vec![QuerySizeInfoSpawnResult {
                node_name: "alpha".into(),
                stor_pool_name: "thin".into(),
                stor_pool_oversubscription_ratio: Some(20.0),
                ..QuerySizeInfoSpawnResult::default()
            }],
            ..QuerySizeInfoSpaceInfo::default()
        }),
        ..QuerySizeInfoResponse::default()
    };
    let all = QueryAllSizeInfoResponse {
        result: SortedMap::from([("rg1".to_string(), info)]),
        ..QueryAllSizeInfoResponse::default()
    };
    check(
        &all,
        expect![[r#"
        {
          "result": {
            "rg1": {
              "space_info": {
                "max_vlm_size_in_kib": 0,
                "available_size_in_kib": 10,
                "capacity_in_kib": 20,
                "next_spawn_result": [
                  {
                    "node_name": "alpha",
                    "stor_pool_name": "thin",
                    "stor_pool_oversubscription_ratio": 20.0
                  }
                ]
              }
            }
          }
        }"#]],
    );
}

#[test]
fn controller_and_jobs() {
    let version = ControllerVersion {
        version: Some("0.1.0".into()),
        git_hash: Some("0123456".into()),
        build_time: Some("2025-01-01T00:00:00+00:00".into()),
        rest_api_version: Some(REST_API_VERSION.into()),
    };
    check(
        &version,
        expect![[r#"
        {
          "version": "0.1.0",
          "git_hash": "0123456",
          "build_time": "2025-01-01T00:00:00+00:00",
          "rest_api_version": "1.28.0"
        }"#]],
    );
    let modify = PropertiesModify {
        override_props: [("Aux/x".to_owned(), Some("1".to_owned()))]
            .into_iter()
            .collect(),
        delete_props: strings(&["Aux/y"]),
        delete_namespaces: strings(&["Aux/z"]),
    };
    check(
        &modify,
        expect![[
            r#"{"override_props":{"Aux/x":"1"},"delete_props":["Aux/y"],"delete_namespaces":["Aux/z"]}"#
        ]],
    );
    let job = Job {
        id: "17".into(),
        kind: "resource-delete".into(),
        phase: "waiting-for-satellites".into(),
        obj_refs: props(&[("RscDfn", "res1")]),
        waiting_for: vec![WaitingFor {
            node: "alpha".into(),
            reason: "the node is offline".into(),
        }],
        since: Some(1_700_000_000_000),
        ..Job::default()
    };
    check(
        &job,
        expect![[r#"
        {
          "id": "17",
          "kind": "resource-delete",
          "phase": "waiting-for-satellites",
          "obj_refs": {
            "RscDfn": "res1"
          },
          "waiting_for": [
            {
              "node": "alpha",
              "reason": "the node is offline"
            }
          ],
          "since": 1700000000000,
          "cancelled": false
        }"#]],
    );
}

/// Bodies that LINSTOR's own command line and its libraries are known to send.
#[test]
fn known_clients_requests_are_understood() {
    let spawn: ResourceGroupSpawn = request::read(
        br#"{"volume_sizes":[1048576],"resource_definition_name":"r","select_filter":{"place_count":"2",
            "diskless_on_remaining":"False","storage_pool_list":null},"partial":false,"definitions_only":"True"}"#,
    )
    .unwrap();
    let filter = spawn.select_filter.unwrap();
    assert_eq!(filter.place_count, Some(2));
    assert_eq!(filter.diskless_on_remaining, Some(false));
    assert_eq!(filter.storage_pool_list, None);
    assert!(spawn.definitions_only);

    let node: Node = request::read(
        br#"{"name":"alpha","type":"satellite","net_interfaces":[{"name":"default","address":"10.0.0.2",
            "satellite_port":"3366","satellite_encryption_type":"plain","is_active":true}]}"#,
    )
    .unwrap();
    assert_eq!(node.r#type.parse(), Ok(NodeType::Satellite));
    assert_eq!(node.net_interfaces[0].satellite_port, Some(3366));

    let resources: Vec<ResourceCreate> =
        request::read(br#"[{"resource":{"node_name":"a"}},{"resource":{"node_name":"b"}}]"#)
            .unwrap();
    assert_eq!(resources.len(), 2);
}

/// An answer of a newer server is read as far as it is understood.
#[test]
fn newer_answers_are_understood() {
    let volume: Volume = serde_json::from_str(
        r#"{"volume_number":0,"colour":"red","layer_data_list":[{"type":"SHINY","data":{"x":1}},
            {"data":{"volume_number":0,"new":true},"type":"STORAGE"}],"provider_kind":"TAPE"}"#,
    )
    .unwrap();
    assert_eq!(volume.layer_data_list[0], VolumeLayer::Unknown);
    assert!(matches!(volume.layer_data_list[1], VolumeLayer::Storage(_)));
    assert_eq!(volume.provider_kind.as_deref(), Some("TAPE"));
}
