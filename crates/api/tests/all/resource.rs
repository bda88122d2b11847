//! Resources: the largest answer there is, and the requests that make and change them.

use expect_test::expect;
use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::flag;
use linstor_api::kind::{LayerKind, ProviderKind};
use linstor_api::layer::*;
use linstor_api::properties::EffectiveProperty;
use linstor_api::resource::*;
use linstor_api::sorted_map::SortedMap;
use linstor_api::volume::{ReplicationState, Volume, VolumeState};

use super::{UUID, check, props, strings};

fn diskful_resource() -> Resource {
    let storage = StorageVolume {
        volume_number: Some(0),
        device_path: Some("/dev/vg/res1_00000".into()),
        allocated_size_kib: Some(1_052_672),
        usable_size_kib: Some(1_052_672),
        disk_state: Some("[]".into()),
    };
    let drbd = DrbdVolume {
        drbd_volume_definition: Some(DrbdVolumeDefinition {
            volume_number: Some(0),
            minor_number: Some(1000),
            ..DrbdVolumeDefinition::default()
        }),
        device_path: Some("/dev/drbd1000".into()),
        backing_device: Some("/dev/vg/res1_00000".into()),
        allocated_size_kib: Some(1_048_840),
        usable_size_kib: Some(1_048_576),
        ..DrbdVolume::default()
    };
    let layers = ResourceLayer {
        children: vec![ResourceLayer {
            r#type: Some(LayerKind::Storage.into()),
            storage: Some(StorageResource {
                storage_volumes: vec![storage.clone()],
            }),
            ..ResourceLayer::default()
        }],
        r#type: Some(LayerKind::Drbd.into()),
        drbd: Some(DrbdResource {
            node_id: Some(0),
            tcp_ports: vec![7000],
            peer_slots: Some(7),
            al_stripes: Some(1),
            al_size: Some(32),
            flags: flag::drbd_resource::ALL.names(flag::drbd_resource::INITIALIZED),
            drbd_volumes: vec![drbd.clone()],
            connections: SortedMap::from([(
                "bravo".to_string(),
                DrbdConnection {
                    connected: Some(true),
                    message: Some("Connected".into()),
                },
            )]),
            promotion_score: Some(10102),
            may_promote: Some(false),
            ..DrbdResource::default()
        }),
        ..ResourceLayer::default()
    };
    Resource {
        name: Some("res1".into()),
        node_name: Some("alpha".into()),
        props: props(&[("StorPoolName", "thin")]),
        effective_props: SortedMap::from([(
            "DrbdOptions/SkipDisk".to_string(),
            EffectiveProperty {
                r#type: "R (alpha, res1)".into(),
                value: "True".into(),
                ..EffectiveProperty::default()
            },
        )]),
        layer_object: Some(layers),
        state: Some(ResourceState {
            in_use: Some(false),
        }),
        uuid: Some(UUID.into()),
        create_timestamp: Some(1_700_000_000_000),
        volumes: vec![Volume {
            volume_number: Some(0),
            storage_pool_name: Some("thin".into()),
            provider_kind: Some(ProviderKind::LvmThin.into()),
            device_path: Some("/dev/drbd1000".into()),
            allocated_size_kib: Some(1_052_672),
            state: Some(VolumeState {
                disk_state: Some("SyncTarget(37.50%)".into()),
                replication_states: SortedMap::from([(
                    "bravo".to_string(),
                    ReplicationState {
                        replication_state: Some("SyncTarget".into()),
                        done_percentage: Some(37.5),
                    },
                )]),
            }),
            layer_data_list: vec![VolumeLayer::Drbd(drbd), VolumeLayer::Storage(storage)],
            uuid: Some(UUID.into()),
            ..Volume::default()
        }],
        ..Resource::default()
    }
}

#[test]
fn resource() {
    check(
        &diskful_resource(),
        expect![[r#"
        {
          "name": "res1",
          "node_name": "alpha",
          "props": {
            "StorPoolName": "thin"
          },
          "effective_props": {
            "DrbdOptions/SkipDisk": {
              "type": "R (alpha, res1)",
              "value": "True"
            }
          },
          "layer_object": {
            "children": [
              {
                "type": "STORAGE",
                "storage": {
                  "storage_volumes": [
                    {
                      "volume_number": 0,
                      "device_path": "/dev/vg/res1_00000",
                      "allocated_size_kib": 1052672,
                      "usable_size_kib": 1052672,
                      "disk_state": "[]"
                    }
                  ]
                }
              }
            ],
            "type": "DRBD",
            "drbd": {
              "node_id": 0,
              "tcp_ports": [
                7000
              ],
              "peer_slots": 7,
              "al_stripes": 1,
              "al_size": 32,
              "flags": [
                "INITIALIZED"
              ],
              "drbd_volumes": [
                {
                  "drbd_volume_definition": {
                    "volume_number": 0,
                    "minor_number": 1000
                  },
                  "device_path": "/dev/drbd1000",
                  "backing_device": "/dev/vg/res1_00000",
                  "allocated_size_kib": 1048840,
                  "usable_size_kib": 1048576
                }
              ],
              "connections": {
                "bravo": {
                  "connected": true,
                  "message": "Connected"
                }
              },
              "promotion_score": 10102,
              "may_promote": false
            }
          },
          "state": {
            "in_use": false
          },
          "uuid": "e8ef8d6b-17bc-42f0-9367-4aae40c78ecb",
          "create_timestamp": 1700000000000,
          "volumes": [
            {
              "volume_number": 0,
              "storage_pool_name": "thin",
              "provider_kind": "LVM_THIN",
              "device_path": "/dev/drbd1000",
              "allocated_size_kib": 1052672,
              "state": {
                "disk_state": "SyncTarget(37.50%)",
                "replication_states": {
                  "bravo": {
                    "replication_state": "SyncTarget",
                    "done_percentage": 37.5
                  }
                }
              },
              "layer_data_list": [
                {
                  "type": "DRBD",
                  "data": {
                    "drbd_volume_definition": {
                      "volume_number": 0,
                      "minor_number": 1000
                    },
                    "device_path": "/dev/drbd1000",
                    "backing_device": "/dev/vg/res1_00000",
                    "allocated_size_kib": 1048840,
                    "usable_size_kib": 1048576
                  }
                },
                {
                  "type": "STORAGE",
                  "data": {
                    "volume_number": 0,
                    "device_path": "/dev/vg/res1_00000",
                    "allocated_size_kib": 1052672,
                    "usable_size_kib": 1052672,
                    "disk_state": "[]"
                  }
                }
              ],
              "uuid": "e8ef8d6b-17bc-42f0-9367-4aae40c78ecb"
            }
          ]
        }"#]],
    );
    let tie_breaker = Resource {
        name: Some("res1".into()),
        node_name: Some("charlie".into()),
        flags: flag::resource::ALL.names(flag::resource::TIE_BREAKER),
        state: Some(ResourceState::default()),
        ..Resource::default()
    };
    check(
        &tie_breaker,
        expect![[
            r#"{"name":"res1","node_name":"charlie","flags":["DISKLESS","DRBD_DISKLESS","TIE_BREAKER"],"state":{}}"#
        ]],
    );
}

#[test]
fn resource_requests() {
    let create = ResourceCreate {
        resource: Resource {
            node_name: Some("alpha".into()),
            flags: vec!["DRBD_DISKLESS".into()],
            ..Resource::default()
        },
        layer_list: strings(&["DRBD", "STORAGE"]),
        ..ResourceCreate::default()
    };
    check(
        &create,
        expect![[
            r#"{"resource":{"node_name":"alpha","flags":["DRBD_DISKLESS"]},"layer_list":["DRBD","STORAGE"]}"#
        ]],
    );
    let place = AutoPlaceRequest {
        select_filter: AutoSelectFilter {
            additional_place_count: Some(1),
            ..AutoSelectFilter::default()
        },
        ..AutoPlaceRequest::default()
    };
    check(
        &place,
        expect![[
            r#"{"diskless_on_remaining":false,"select_filter":{"additional_place_count":1}}"#
        ]],
    );
    check(
        &ResourceMakeAvailable::default(),
        expect![[r#"{"diskful":false}"#]],
    );
    let toggle = ToggleDiskRequest {
        operation: Some(ToggleDiskOperation::IntoDiskful.as_str().into()),
        storage_pool: Some("thin".into()),
        ..ToggleDiskRequest::default()
    };
    check(
        &toggle,
        expect![[r#"{"operation":"INTO_DRBD_DISKFUL","storage_pool":"thin"}"#]],
    );
    let modify = ResourceModify {
        drbd_client: Some(true),
        ..ResourceModify::default()
    };
    check(&modify, expect![[r#"{"drbd_client":true}"#]]);
}

/// A view of ten thousand resources is written row by row: quickly, and without a second copy.
#[test]
fn ten_thousand_rows_are_quick() {
    let row = diskful_resource();
    let begin = std::time::Instant::now();
    let text = linstor_api::list::to_vec((0..10_000).map(|_| row.clone()));
    let took = begin.elapsed();
    assert!(text.len() > 10_000_000);
    // Generous: an unoptimised build on a busy machine.
    assert!(took.as_secs() < 20, "{took:?}");
}
