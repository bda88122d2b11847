//! Tables for given answers.

use expect_test::{Expect, expect};

use super::output;

const NODES: &str = r#"[
    {"name":"node10","type":"SATELLITE","connection_status":"ONLINE","props":{"Aux/site":"a"},
     "net_interfaces":[{"name":"default","address":"10.0.0.10","satellite_port":3366,
        "satellite_encryption_type":"PLAIN","is_active":true},{"name":"eth1","address":"10.1.0.10","is_active":false}],
     "storage_providers":["DISKLESS","LVM","ZFS_THIN"],"resource_layers":["DRBD","STORAGE"],
     "unsupported_layers":{"LUKS":["'cryptsetup' is not installed"]}},
    {"name":"node2","type":"COMBINED","connection_status":"OFFLINE"},
    {"name":"node3","type":"SATELLITE","connection_status":"OFFLINE","flags":["DELETE","EVICTED"]},
    {"name":"node4","type":"SATELLITE","connection_status":"ONLINE","flags":["EVACUATE"]}]"#;

const POOLS: &str = r#"[
    {"storage_pool_name":"thin","node_name":"node2","provider_kind":"LVM_THIN",
     "props":{"StorDriver/StorPoolName":"vg/thin"},"static_traits":{"SupportsSnapshots":"true"},"free_capacity":1048577,
     "total_capacity":2097152,"free_space_mgr_name":"node2;thin","supports_snapshots":true,"external_locking":false},
    {"storage_pool_name":"DfltDisklessStorPool","node_name":"node2","provider_kind":"DISKLESS",
     "free_capacity":9223372036854775807,"total_capacity":9223372036854775807,
     "free_space_mgr_name":"node2;DfltDisklessStorPool","supports_snapshots":false,"external_locking":false},
    {"storage_pool_name":"thin","node_name":"node1","provider_kind":"LVM_THIN","free_space_mgr_name":"node1;thin",
     "reports":[{"ret_code":-4611686018427386914,"message":"The volume group is gone","details":"vg"}]}]"#;

const DEFINITIONS: &str = r#"[
    {"name":"res1","external_name":"Of the outside","layer_data":[{"type":"DRBD","data":{"port":7000}},{"type":"STORAGE"}],
     "resource_group_name":"rg1","volume_definitions":[
        {"volume_number":0,"size_kib":1048576,"props":{"DrbdCurrentGi":"A"},
         "layer_data":[{"type":"DRBD","data":{"volume_number":0,"minor_number":1000}}]},
        {"volume_number":1,"size_kib":1500,"flags":["GROSS_SIZE","RESIZE"]}]},
    {"name":"res2","flags":["DELETE"],"layer_data":[{"type":"STORAGE"}],"resource_group_name":"DfltRscGrp"},
    {"name":"res3","flags":["CLONING"],"resource_group_name":"DfltRscGrp"}]"#;

const RESOURCES: &str = r#"[
    {"name":"res1","node_name":"node2","props":{"StorPoolName":"thin"},"state":{"in_use":true},"layer_object":
      {"type":"DRBD","children":[{"type":"STORAGE"}],"drbd":{"tcp_ports":[7000],"connections":
        {"node10":{"connected":true,"message":"Connected"}}}},
     "volumes":[{"volume_number":0,"storage_pool_name":"thin","device_path":"/dev/drbd1000","allocated_size_kib":1052672,
        "state":{"disk_state":"UpToDate","replication_states":{"node10":{"replication_state":"Established"}}},
        "layer_data_list":[{"type":"DRBD","data":{"drbd_volume_definition":{"minor_number":1000}}},{"type":"STORAGE"}]}]},
    {"name":"res1","node_name":"node10","state":{"in_use":false},"layer_object":
      {"type":"DRBD","children":[{"type":"STORAGE"}],"drbd":{"connections":
        {"node2":{"connected":true,"message":"Connected"},"node3":{"connected":false,"message":"StandAlone"}}}},
     "volumes":[{"volume_number":0,"state":{"disk_state":"SyncTarget(37.50%)","replication_states":
        {"node2":{"replication_state":"SyncTarget","done_percentage":37.5},"node3":{"replication_state":"Off"}}},
        "layer_data_list":[{"type":"DRBD"}]}]},
    {"name":"res1","node_name":"node3","flags":["DISKLESS","DRBD_DISKLESS","TIE_BREAKER"],"layer_object":{"type":"DRBD"},
     "volumes":[{"volume_number":0,"state":{"disk_state":"Diskless"},"layer_data_list":[{"type":"DRBD"}]}]},
    {"name":"res2","node_name":"node2","flags":["DELETE","DRBD_DELETE"],"layer_object":{"type":"STORAGE"}},
    {"name":"res3","node_name":"node2","state":{},"layer_object":{"type":"STORAGE"},
     "volumes":[{"volume_number":0,"flags":["RESIZE"],"layer_data_list":[{"type":"STORAGE"}]}]},
    {"name":"res3","node_name":"node3","flags":["INACTIVE"],"layer_object":{"type":"STORAGE"}},
    {"name":"res4","node_name":"node2","layer_object":{"type":"DRBD"},"effective_props":{"DrbdOptions/SkipDisk":
        {"type":"RESOURCE","value":"True","other":[{"type":"NODE","value":"True"}]}},
     "volumes":[{"volume_number":0,"state":{"disk_state":"Failed"},"layer_data_list":[{"type":"DRBD"}],
        "reports":[{"ret_code":-4611686018427387904,"message":"The disk is broken"}]}]},
    {"name":"res5","node_name":"node2","layer_object":{"type":"DRBD"},
     "volumes":[{"volume_number":0,"layer_data_list":[{"type":"DRBD"}]}]}]"#;

const GROUPS: &str = r#"[{"name":"DfltRscGrp","select_filter":{"place_count":2}},
    {"name":"rg1","description":"Fast and safe","props":{"a":"b"},"select_filter":{"place_count":3,"storage_pool":"thin",
     "storage_pool_list":["thin"],"diskless_on_remaining":true,"not_place_with_rsc_regex":"db.*",
     "replicas_on_same":["Aux/site"],"x_replicas_on_different_map":{"Aux/dc":2},"layer_stack":["DRBD","STORAGE"]}}]"#;

const DEVICES: &str = r#"[
    {"size":10737418240,"rotational":true,"nodes":{"node1":[{"device":"/dev/sdb","serial":"S1","wwn":"0x5000"},
        {"device":"/dev/sdc"}],"node2":[{"device":"/dev/sdb","links":["/dev/disk/by-id/ata-1"],"reason":"It has partitions."}]}},
    {"size":1099511627776,"rotational":false,"nodes":{"node2":[{"device":"/dev/nvme0n1"}]}}]"#;

const LEFTOVERS: &str = r#"[
    {"id":"drbd/old/c/r","kind":"DRBD","name":"old","minor_numbers":[1000,1001],"tcp_ports":[7000]},
    {"id":"drbd/stranger","kind":"DRBD","name":"stranger","minor_numbers":[5],"reason":"no mark on its disks"},
    {"id":"volume/thin/old_00000/c/r","kind":"VOLUME","name":"old_00000","storage_pool":"thin",
     "device_path":"/dev/vg/old_00000","size_kib":1048576,"cluster_id":"c","resource_uuid":"r"},
    {"id":"volume/thin/x_00000/d/s","kind":"VOLUME","name":"x_00000","storage_pool":"thin","device_path":"/dev/vg/x_00000",
     "size_kib":1024,"cluster_id":"d","resource_uuid":"s","other_cluster":true}]"#;

const QUORUM: &str = r#"{"resource_definition":"res1","quorum":"majority","set_by":"linstor",
    "reason":"linstor sets it: there are enough resources for a majority",
    "tie_breaker":"there is one: 2 diskful resources can be two halves","disks_needed":1,"failures_allowed":1,"votes":[
    {"node_name":"node1","kind":"DISKFUL","vote":"disk","online":true},
    {"node_name":"node2","kind":"DISKFUL","vote":"disk","online":false},
    {"node_name":"node3","kind":"TIE_BREAKER","vote":"tie","online":true,"quorum_lost":true},
    {"node_name":"node4","kind":"DRBD_CLIENT","vote":"none","online":true,"reason":"it is a DRBD client"}]}"#;

pub const ANSWERS: &[(&str, u16, &str)] = &[
    ("/v1/nodes/node1/leftovers", 200, LEFTOVERS),
    (
        "/v1/nodes/node1/leftovers/forget",
        200,
        r#"[{"ret_code":4611686018427387904,"message":"Resource 'old' in DRBD removed."}]"#,
    ),
    ("/v1/resource-definitions/res1/quorum", 200, QUORUM),
    ("/v1/physical-storage", 200, DEVICES),
    ("/v1/nodes", 200, NODES),
    ("/v1/view/storage-pools", 200, POOLS),
    ("/v1/resource-definitions", 200, DEFINITIONS),
    ("/v1/view/resources", 200, RESOURCES),
    ("/v1/resource-groups", 200, GROUPS),
    ("/v1/resource-groups/DfltRscGrp/volume-groups", 200, "[]"),
    (
        "/v1/resource-groups/rg1/volume-groups",
        200,
        r#"[{"volume_number":0},{"volume_number":1,"flags":["GROSS_SIZE"],"props":{"k":"v"}}]"#,
    ),
    ("/v1/controller/properties", 200, r#"{"b":"2","a":"1"}"#),
    (
        "/v1/controller/version",
        200,
        r#"{"version":"1.0","git_hash":"abc","rest_api_version":"1.28.0"}"#,
    ),
    (
        "/v1/storage-pool-definitions",
        200,
        r#"[{"storage_pool_name":"thin","props":{"MaxOversubscriptionRatio":"3"}},{"storage_pool_name":"lvm"}]"#,
    ),
    (
        "/v1/resource-groups/rg1/query-max-volume-size",
        200,
        r#"{"candidates":[{"storage_pool":"thin","max_volume_size_kib":3194880,"node_names":["a-long-node-name-1",
            "a-long-node-name-2","a-long-node-name-3"],"all_thin":true},{"storage_pool":"lvm","max_volume_size_kib":1024,
            "node_names":["a"],"all_thin":false}],"default_max_oversubscription_ratio":20.0}"#,
    ),
    (
        "/v1/resource-groups/rg1/query-size-info",
        200,
        r#"{"space_info":{"max_vlm_size_in_kib":100,"available_size_in_kib":2048,"capacity_in_kib":5000,
            "next_spawn_result":[{"node_name":"a","stor_pool_name":"p"},{"node_name":"b","stor_pool_name":"p"}]}}"#,
    ),
    (
        "/v1/jobs",
        200,
        r#"[{"id":"7","kind":"resource-delete","phase":"waiting","obj_refs":{"RscDfn":"res2"},
            "waiting_for":[{"node":"node2","reason":"the node is offline"}],"last_error":"timeout","next_try":1700000000000}]"#,
    ),
    (
        "/v1/jobs/7",
        200,
        r#"{"id":"7","kind":"disk-migrate","phase":"synchronising","step":2,"steps":2,"percent":41.6,"cancelled":true,
            "obj_refs":{"RscDfn":"res2","Node":"node1"},"since":1700000000000,"deadline":1700000600000,
            "waiting_for":[{"node":"node1","reason":"it is not yet UpToDate"},{"node":"node2","reason":"its resource is in use"}]}"#,
    ),
    (
        "/v1/jobs/8",
        404,
        r#"[{"ret_code":-4611686018427387505,"message":"There is no job '8'."}]"#,
    ),
    (
        "/v1/nodes/node9",
        500,
        r#"[{"ret_code":-4611686018427386907,"message":"In use","correction":"Stop it"}]"#,
    ),
    (
        "/v1/nodes/node8",
        200,
        r#"[{"ret_code":62914563,"message":"Node deleted","obj_refs":{"Node":"node8"}}]"#,
    ),
    ("/v1/nodes/node7", 200, "<html>"),
];

/// What a command prints for the given answers.
pub(super) fn check(line: &str, expected: Expect) {
    expected.assert_eq(&output(line, None, ANSWERS));
}

#[test]
fn nodes() {
    check(
        "n l",
        expect![[r#"
        ╭────────────────────────────────────────────────────────╮
        ┊ Node   ┊ NodeType  ┊ Addresses              ┊ State    ┊
        ╞════════════════════════════════════════════════════════╡
        ┊ node2  ┊ COMBINED  ┊                        ┊ OFFLINE  ┊
        ┊ node3  ┊ SATELLITE ┊                        ┊ EVICTED  ┊
        ┊ node4  ┊ SATELLITE ┊                        ┊ EVACUATE ┊
        ┊ node10 ┊ SATELLITE ┊ 10.0.0.10:3366 (PLAIN) ┊ Online   ┊
        ╰────────────────────────────────────────────────────────╯
    "#]],
    );
    check(
        "n l -g state -s Aux/site=Site Aux/x --show-aux-props -p",
        expect![[r#"
        +------------------------------------------------------------------------------------+
        | Node   | NodeType  | Addresses              | AuxProps   | State    | Site | Aux/x |
        |====================================================================================|
        | node4  | SATELLITE |                        |            | EVACUATE |      |       |
        | node3  | SATELLITE |                        |            | EVICTED  |      |       |
        | node2  | COMBINED  |                        |            | OFFLINE  |      |       |
        | node10 | SATELLITE | 10.0.0.10:3366 (PLAIN) | Aux/site=a | Online   | a    |       |
        +------------------------------------------------------------------------------------+
    "#]],
    );
    check(
        "n info -f",
        expect![[r#"
        ╭──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╮
        ┊ Node   ┊ Diskless ┊ LVM ┊ LVMThin ┊ ZFS/Thin ┊ File/Thin ┊ SPDK ┊ Remote SPDK ┊ Storage Spaces ┊ Storage Spaces/Thin ┊
        ╞══════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
        ┊ node10 ┊ +        ┊ +   ┊ -       ┊ +        ┊ -         ┊ -    ┊ -           ┊ -              ┊ -                   ┊
        ┊ node2  ┊ -        ┊ -   ┊ -       ┊ -        ┊ -         ┊ -    ┊ -           ┊ -              ┊ -                   ┊
        ┊ node3  ┊ -        ┊ -   ┊ -       ┊ -        ┊ -         ┊ -    ┊ -           ┊ -              ┊ -                   ┊
        ┊ node4  ┊ -        ┊ -   ┊ -       ┊ -        ┊ -         ┊ -    ┊ -           ┊ -              ┊ -                   ┊
        ╰──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
        Unsupported storage providers:
         node2: NODE IS OFFLINE!
         node3: NODE IS OFFLINE!

        ╭─────────────────────────────────────────────────────────────────────╮
        ┊ Node   ┊ DRBD ┊ LUKS ┊ NVMe ┊ Cache ┊ BCache ┊ WriteCache ┊ Storage ┊
        ╞═════════════════════════════════════════════════════════════════════╡
        ┊ node10 ┊ +    ┊ -    ┊ -    ┊ -     ┊ -      ┊ -          ┊ +       ┊
        ┊ node2  ┊ -    ┊ -    ┊ -    ┊ -     ┊ -      ┊ -          ┊ -       ┊
        ┊ node3  ┊ -    ┊ -    ┊ -    ┊ -     ┊ -      ┊ -          ┊ -       ┊
        ┊ node4  ┊ -    ┊ -    ┊ -    ┊ -     ┊ -      ┊ -          ┊ -       ┊
        ╰─────────────────────────────────────────────────────────────────────╯
        Unsupported resource layers:
         node10: 
          LUKS: 'cryptsetup' is not installed
         node2: NODE IS OFFLINE!
         node3: NODE IS OFFLINE!
    "#]],
    );
}

#[test]
fn net_interfaces_and_properties() {
    check(
        "n i l NODE10",
        expect![[r#"
        ╭──────────────────────────────────────────────────────────────╮
        ┊ node10    ┊ NetInterface ┊ IP        ┊ Port ┊ EncryptionType ┊
        ╞══════════════════════════════════════════════════════════════╡
        ┊ + StltCon ┊ default      ┊ 10.0.0.10 ┊ 3366 ┊ PLAIN          ┊
        ┊ +         ┊ eth1         ┊ 10.1.0.10 ┊      ┊                ┊
        ╰──────────────────────────────────────────────────────────────╯
    "#]],
    );
    check(
        "n i l nope",
        expect![[r#"
        failure 3: Node 'nope' not found on controller.
    "#]],
    );
    check(
        "n lp node10",
        expect![[r#"
        ╭──────────────────╮
        ┊ Key      ┊ Value ┊
        ╞══════════════════╡
        ┊ Aux/site ┊ a     ┊
        ╰──────────────────╯
    "#]],
    );
    check(
        "n lp nope",
        expect![[r#"
        failure 3: Node 'nope' not found on controller.
    "#]],
    );
}

#[test]
fn trees() {
    check(
        "n dsc",
        expect![[r#"
        node10 (node)
           │
           └─── (storage pool)
               │
               └───res1 (resource)
                   │
                   └───volume0 (size: 0 KiB)

        node2 (node)
           │
           ├───thin (storage pool)
           │   │
           │   └───res1 (resource)
           │       │
           │       └───volume0 (minor number: 1000, size: 1.00 GiB)
           │
           ├───DfltDisklessStorPool (storage pool)
           │
           └─── (storage pool)
               │
               ├───res3 (resource)
               │   │
               │   └───volume0 (size: 0 KiB)
               │
               ├───res4 (resource)
               │   │
               │   └───volume0 (size: 0 KiB)
               │
               └───res5 (resource)
                   │
                   └───volume0 (size: 0 KiB)

        node3 (node)
           │
           └─── (storage pool)
               │
               └───res1 (resource)
                   │
                   └───volume0 (size: 0 KiB)

        node4 (node)
    "#]],
    );
    check(
        "n dsc NODE10",
        expect![[r#"
        node10 (node)
           │
           └─── (storage pool)
               │
               └───res1 (resource)
                   │
                   └───volume0 (size: 0 KiB)
    "#]],
    );
    check(
        "n dsc nope",
        expect![[r#"
        failure 3: nope: no such node
    "#]],
    );
}

#[test]
fn physical_storage() {
    check(
        "ps l",
        expect![[r#"
        ╭───────────────────────────────────────────────────────────╮
        ┊   Size ┊ Rotational ┊ Nodes                               ┊
        ╞═══════════════════════════════════════════════════════════╡
        ┊ 10 GiB ┊ True       ┊ node1[/dev/sdb(S1,0x5000),/dev/sdc] ┊
        ┊        ┊            ┊ node2[/dev/sdb: It has partitions.] ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊  1 TiB ┊ False      ┊ node2[/dev/nvme0n1]                 ┊
        ╰───────────────────────────────────────────────────────────╯
    "#]],
    );
    check(
        "ps l --all --links -p",
        expect![[r#"
        +---------------------------------------------------------------------------------+
        |   Size | Rotational | Nodes                                                     |
        |=================================================================================|
        | 10 GiB | True       | node1[/dev/sdb(S1,0x5000),/dev/sdc]                       |
        |        |            | node2[/dev/sdb /dev/disk/by-id/ata-1: It has partitions.] |
        |---------------------------------------------------------------------------------|
        |  1 TiB | False      | node2[/dev/nvme0n1]                                       |
        +---------------------------------------------------------------------------------+
    "#]],
    );
}

#[test]
fn storage_pools() {
    check(
        "sp l",
        expect![[r#"
            ╭───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╮
            ┊ StoragePool          ┊ Node  ┊ Driver   ┊ PoolName ┊ FreeCapacity ┊ TotalCapacity ┊ CanSnapshots ┊ State ┊ SharedName                 ┊
            ╞═══════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
            ┊ DfltDisklessStorPool ┊ node2 ┊ DISKLESS ┊          ┊              ┊               ┊ False        ┊ Ok    ┊ node2;DfltDisklessStorPool ┊
            ┊ thin                 ┊ node2 ┊ LVM_THIN ┊ vg/thin  ┊     1.00 GiB ┊         2 GiB ┊ True         ┊ Ok    ┊ node2;thin                 ┊
            ┊ thin                 ┊ node1 ┊ LVM_THIN ┊          ┊              ┊               ┊ False        ┊ Error ┊ node1;thin                 ┊
            ╰───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
            ERROR:
            Description:
                The volume group is gone
            Details:
                vg
        "#]],
    );
    check(
        "spd l -s MaxOversubscriptionRatio",
        expect![[r#"
        ╭────────────────────────────────────────╮
        ┊ StoragePool ┊ MaxOversubscriptionRatio ┊
        ╞════════════════════════════════════════╡
        ┊ lvm         ┊                          ┊
        ┊ thin        ┊ 3                        ┊
        ╰────────────────────────────────────────╯
    "#]],
    );
    check(
        "sp lp node2 thin",
        expect![[r#"
        ╭───────────────────────────────────╮
        ┊ Key                     ┊ Value   ┊
        ╞═══════════════════════════════════╡
        ┊ StorDriver/StorPoolName ┊ vg/thin ┊
        ╰───────────────────────────────────╯
    "#]],
    );
}

#[test]
fn definitions() {
    check(
        "rd l",
        expect![[r#"
        ╭───────────────────────────────────────────────────────╮
        ┊ ResourceName ┊ ResourceGroup ┊ Layers       ┊ State   ┊
        ╞═══════════════════════════════════════════════════════╡
        ┊ res1         ┊ rg1           ┊ DRBD,STORAGE ┊ ok      ┊
        ┊ res2         ┊ DfltRscGrp    ┊ STORAGE      ┊ DELETE  ┊
        ┊ res3         ┊ DfltRscGrp    ┊              ┊ CLONING ┊
        ╰───────────────────────────────────────────────────────╯
    "#]],
    );
    check(
        "rd l -e --ports",
        expect![[r#"
        ╭───────────────────────────────────────────────────────────────────────────────╮
        ┊ ResourceName ┊ External       ┊ Port ┊ ResourceGroup ┊ Layers       ┊ State   ┊
        ╞═══════════════════════════════════════════════════════════════════════════════╡
        ┊ res1         ┊ Of the outside ┊ 7000 ┊ rg1           ┊ DRBD,STORAGE ┊ ok      ┊
        ┊ res2         ┊                ┊ -    ┊ DfltRscGrp    ┊ STORAGE      ┊ DELETE  ┊
        ┊ res3         ┊                ┊ -    ┊ DfltRscGrp    ┊              ┊ CLONING ┊
        ╰───────────────────────────────────────────────────────────────────────────────╯
    "#]],
    );
    check(
        "vd l",
        expect![[r#"
        ╭─────────────────────────────────────────────────────────────────────╮
        ┊ ResourceName ┊ VolumeNr ┊ VolumeMinor ┊ Size     ┊ Gross ┊ State    ┊
        ╞═════════════════════════════════════════════════════════════════════╡
        ┊ res1         ┊ 0        ┊ 1000        ┊ 1 GiB    ┊       ┊ ok       ┊
        ┊ res1         ┊ 1        ┊             ┊ 1.46 MiB ┊ +     ┊ resizing ┊
        ╰─────────────────────────────────────────────────────────────────────╯
    "#]],
    );
    check(
        "vd lp res1 0",
        expect![[r#"
        ╭───────────────────────╮
        ┊ Key           ┊ Value ┊
        ╞═══════════════════════╡
        ┊ DrbdCurrentGi ┊ A     ┊
        ╰───────────────────────╯
    "#]],
    );
    check(
        "vd lp res1 9",
        expect![[r#"
        No property map found for this entry.
    "#]],
    );
}

#[test]
fn groups() {
    check(
        "rg l",
        expect![[r#"
        ╭──────────────────────────────────────────────────────────────────────────────╮
        ┊ ResourceGroup ┊ SelectFilter                        ┊ VlmNrs ┊ Description   ┊
        ╞══════════════════════════════════════════════════════════════════════════════╡
        ┊ DfltRscGrp    ┊ PlaceCount: 2                       ┊        ┊               ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ rg1           ┊ PlaceCount: 3                       ┊ 0,1    ┊ Fast and safe ┊
        ┊               ┊ StoragePool(s): thin                ┊        ┊               ┊
        ┊               ┊ DisklessOnRemaining: True           ┊        ┊               ┊
        ┊               ┊ NotPlaceWithRscRegex: db.*          ┊        ┊               ┊
        ┊               ┊ ReplicasOnSame: ['Aux/site']        ┊        ┊               ┊
        ┊               ┊ XReplicasOnDifferent: {'Aux/dc': 2} ┊        ┊               ┊
        ┊               ┊ LayerStack: ['DRBD', 'STORAGE']     ┊        ┊               ┊
        ╰──────────────────────────────────────────────────────────────────────────────╯
    "#]],
    );
    check(
        "vg l rg1",
        expect![[r#"
        ╭───────────────────────╮
        ┊ VolumeNr ┊ Flags      ┊
        ╞═══════════════════════╡
        ┊ 0        ┊            ┊
        ┊ 1        ┊ GROSS_SIZE ┊
        ╰───────────────────────╯
    "#]],
    );
    check(
        "vg l nope",
        expect![[r#"
        ERROR:
            not found
        exit 10
    "#]],
    );
    check(
        "rg qmvs rg1",
        expect![[r#"
        ╭───────────────────────────────────────────────────────────────────────────────────────────────────────────╮
        ┊ StoragePool ┊ MaxVolumeSize ┊ Provisioning                     ┊ Nodes                                    ┊
        ╞═══════════════════════════════════════════════════════════════════════════════════════════════════════════╡
        ┊ thin        ┊      3.05 GiB ┊ Thin, oversubscription ratio 3.0 ┊ a-long-node-name-1, a-long-node-name-... ┊
        ┊ lvm         ┊         1 MiB ┊ Thick                            ┊ a                                        ┊
        ╰───────────────────────────────────────────────────────────────────────────────────────────────────────────╯
    "#]],
    );
    check(
        "rg qsi rg1",
        expect![[r#"
        ╭──────────────────────────────────────────────────────────────╮
        ┊ MaxVolumeSize ┊ AvailableSize ┊ Capacity ┊ Next Spawn Result ┊
        ╞══════════════════════════════════════════════════════════════╡
        ┊       100 KiB ┊         2 MiB ┊ 4.88 MiB ┊ p on a            ┊
        ┊               ┊               ┊          ┊ p on b            ┊
        ╰──────────────────────────────────────────────────────────────╯
    "#]],
    );
}

#[test]
fn resources() {
    check(
        "r l",
        expect![[r#"
        ╭─────────────────────────────────────────────────────────────────────────────────────────────────────────╮
        ┊ ResourceName ┊ Node   ┊ Layers       ┊ Usage  ┊ Conns             ┊                   State ┊ CreatedOn ┊
        ╞═════════════════════════════════════════════════════════════════════════════════════════════════════════╡
        ┊ res1         ┊ node2  ┊ DRBD,STORAGE ┊ InUse  ┊ Ok                ┊                UpToDate ┊           ┊
        ┊ res1         ┊ node10 ┊ DRBD,STORAGE ┊ Unused ┊ StandAlone(node3) ┊      SyncTarget(37.50%) ┊           ┊
        ┊ res1         ┊ node3  ┊ DRBD         ┊        ┊ Ok                ┊              TieBreaker ┊           ┊
        ┊ res2         ┊ node2  ┊ STORAGE      ┊        ┊ Ok                ┊                DELETING ┊           ┊
        ┊ res3         ┊ node2  ┊ STORAGE      ┊        ┊ Ok                ┊       Resizing, Created ┊           ┊
        ┊ res3         ┊ node3  ┊ STORAGE      ┊        ┊ Ok                ┊                INACTIVE ┊           ┊
        ┊ res4         ┊ node2  ┊ DRBD         ┊        ┊ Ok                ┊ Failed, SkipDisk (R, N) ┊           ┊
        ┊ res5         ┊ node2  ┊ DRBD         ┊        ┊                   ┊                 Unknown ┊           ┊
        ╰─────────────────────────────────────────────────────────────────────────────────────────────────────────╯
        SkipDisk:
          The disk of at least one resource is not used, because 'DrbdOptions/SkipDisk' is set; usually after an
          IO error. Once the disk is good again, remove the property:
          linstor resource set-property <node> <resource> DrbdOptions/SkipDisk
    "#]],
    );
    check(
        "r l --faulty --show-drbd-ports -s StorPoolName",
        expect![[r#"
        ╭─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╮
        ┊ ResourceName ┊ Node   ┊ DRBD Ports ┊ Layers       ┊ Usage  ┊ Conns             ┊                   State ┊ CreatedOn ┊ StorPoolName ┊
        ╞═════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
        ┊ res1         ┊ node10 ┊            ┊ DRBD,STORAGE ┊ Unused ┊ StandAlone(node3) ┊      SyncTarget(37.50%) ┊           ┊              ┊
        ┊ res2         ┊ node2  ┊            ┊ STORAGE      ┊        ┊ Ok                ┊                DELETING ┊           ┊              ┊
        ┊ res3         ┊ node3  ┊            ┊ STORAGE      ┊        ┊ Ok                ┊                INACTIVE ┊           ┊              ┊
        ┊ res4         ┊ node2  ┊            ┊ DRBD         ┊        ┊ Ok                ┊ Failed, SkipDisk (R, N) ┊           ┊              ┊
        ┊ res5         ┊ node2  ┊            ┊ DRBD         ┊        ┊                   ┊                 Unknown ┊           ┊              ┊
        ╰─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
        SkipDisk:
          The disk of at least one resource is not used, because 'DrbdOptions/SkipDisk' is set; usually after an
          IO error. Once the disk is good again, remove the property:
          linstor resource set-property <node> <resource> DrbdOptions/SkipDisk
    "#]],
    );
    check(
        "r inv node3 -i",
        expect![[r#"
        ╭────────────────────────────────────────────────────────────────────────────────────────────────────╮
        ┊ ResourceName ┊ Node   ┊ Layers       ┊ Usage  ┊ Conns             ┊              State ┊ CreatedOn ┊
        ╞════════════════════════════════════════════════════════════════════════════════════════════════════╡
        ┊ res1         ┊ node2  ┊ DRBD,STORAGE ┊ InUse  ┊ Ok                ┊           UpToDate ┊           ┊
        ┊ res1         ┊ node10 ┊ DRBD,STORAGE ┊ Unused ┊ StandAlone(node3) ┊ SyncTarget(37.50%) ┊           ┊
        ┊ res1         ┊ node3  ┊ DRBD         ┊        ┊ Ok                ┊         TieBreaker ┊           ┊
        ╰────────────────────────────────────────────────────────────────────────────────────────────────────╯
    "#]],
    );
}

#[test]
fn volumes() {
    check(
        "v l",
        expect![[r#"
        ╭─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╮
        ┊ Resource ┊ Node   ┊ StoragePool ┊ VolNr ┊ MinorNr ┊ DeviceName    ┊ Allocated ┊ InUse  ┊              State ┊ Repl                      ┊
        ╞═════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
        ┊ res1     ┊ node2  ┊ thin        ┊     0 ┊    1000 ┊ /dev/drbd1000 ┊  1.00 GiB ┊ InUse  ┊           UpToDate ┊ Established(1)            ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ res1     ┊ node10 ┊             ┊     0 ┊         ┊               ┊           ┊ Unused ┊ SyncTarget(37.50%) ┊ node2: SyncTarget(37.50%) ┊
        ┊          ┊        ┊             ┊       ┊         ┊               ┊           ┊        ┊                    ┊ node3: Off                ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ res1     ┊ node3  ┊             ┊     0 ┊         ┊               ┊           ┊        ┊         TieBreaker ┊                           ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ res3     ┊ node2  ┊             ┊     0 ┊         ┊               ┊           ┊        ┊  Resizing, Created ┊                           ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ res4     ┊ node2  ┊             ┊     0 ┊         ┊               ┊           ┊        ┊              Error ┊                           ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ res5     ┊ node2  ┊             ┊     0 ┊         ┊               ┊           ┊        ┊            Unknown ┊                           ┊
        ╰─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
        SkipDisk:
          The disk of at least one resource is not used, because 'DrbdOptions/SkipDisk' is set; usually after an
          IO error. Once the disk is good again, remove the property:
          linstor resource set-property <node> <resource> DrbdOptions/SkipDisk
        ERROR:
            The disk is broken
    "#]],
    );
    check(
        "r lv --hrep",
        expect![[r#"
        ╭─────────────────────────────────────────────────────────────────────────────────────────────────────────────╮
        ┊ Resource ┊ Node   ┊ StoragePool ┊ VolNr ┊ MinorNr ┊ DeviceName    ┊ Allocated ┊ InUse  ┊              State ┊
        ╞═════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
        ┊ res1     ┊ node2  ┊ thin        ┊     0 ┊    1000 ┊ /dev/drbd1000 ┊  1.00 GiB ┊ InUse  ┊           UpToDate ┊
        ┊ res1     ┊ node10 ┊             ┊     0 ┊         ┊               ┊           ┊ Unused ┊ SyncTarget(37.50%) ┊
        ┊ res1     ┊ node3  ┊             ┊     0 ┊         ┊               ┊           ┊        ┊         TieBreaker ┊
        ┊ res3     ┊ node2  ┊             ┊     0 ┊         ┊               ┊           ┊        ┊  Resizing, Created ┊
        ┊ res4     ┊ node2  ┊             ┊     0 ┊         ┊               ┊           ┊        ┊              Error ┊
        ┊ res5     ┊ node2  ┊             ┊     0 ┊         ┊               ┊           ┊        ┊            Unknown ┊
        ╰─────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
        SkipDisk:
          The disk of at least one resource is not used, because 'DrbdOptions/SkipDisk' is set; usually after an
          IO error. Once the disk is good again, remove the property:
          linstor resource set-property <node> <resource> DrbdOptions/SkipDisk
        ERROR:
            The disk is broken
    "#]],
    );
}

#[test]
fn controller_and_jobs() {
    check(
        "c v",
        expect![[r#"
        linstor controller 1.0; GIT-hash: abc
    "#]],
    );
    check(
        "c lp",
        expect![[r#"
        ╭─────────────╮
        ┊ Key ┊ Value ┊
        ╞═════════════╡
        ┊ a   ┊ 1     ┊
        ┊ b   ┊ 2     ┊
        ╰─────────────╯
    "#]],
    );
    check(
        "c which",
        expect![[r#"
        linstor://fake:3370
    "#]],
    );
    check(
        "j l",
        expect![[r#"
            ╭────────────────────────────────────────────────────────────────────────────────────────────────────────────────╮
            ┊ Id ┊ Kind            ┊ Object ┊ Step    ┊ WaitingFor                 ┊ Since ┊ LastError ┊ NextTry             ┊
            ╞════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
            ┊ 7  ┊ resource-delete ┊ res2   ┊ waiting ┊ node2: the node is offline ┊       ┊ timeout   ┊ 2023-11-14 22:13:20 ┊
            ╰────────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
        "#]],
    );
    check(
        "job show 7",
        expect![[r#"
        ╭─────────────────────────────────────────────────────╮
        ┊ Job         ┊ 7                                     ┊
        ╞═════════════════════════════════════════════════════╡
        ┊ Kind        ┊ disk-migrate                          ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ Object      ┊ res2 on node1                         ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ Step        ┊ synchronising (2 of 2) 42%, cancelled ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ WaitingFor  ┊ node1: it is not yet UpToDate         ┊
        ┊             ┊ node2: its resource is in use         ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ Since       ┊ 2023-11-14 22:13:20                   ┊
        ╞┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╡
        ┊ CancelledAt ┊ 2023-11-14 22:23:20                   ┊
        ╰─────────────────────────────────────────────────────╯
    "#]],
    );
    check(
        "job wait 8",
        expect![[r#"
        The job is finished.
    "#]],
    );
    check(
        "job wait --timeout 0 7",
        expect![[r#"
        Job 7, disk-migrate: synchronising (2 of 2) 42%, cancelled
        failure 21: job 7 is not finished after 0 s and continues. Run the command again to wait longer, or 'linstor job show 7' to see which nodes it waits for
    "#]],
    );
    check(
        "job wait 9",
        expect![[r#"
        ERROR:
            not found
        exit 10
    "#]],
    );
}

/// Replies set the exit code; an answer that cannot be parsed has another code than an error of the controller.
#[test]
fn replies() {
    check(
        "n d node8",
        expect![[r#"
        SUCCESS:
            Node deleted
    "#]],
    );
    check(
        "n d node9",
        expect![[r#"
        ERROR:
        Description:
            In use
        Correction:
            Stop it
        exit 10
    "#]],
    );
    check(
        "n d node6",
        expect![[r#"
        ERROR:
            not found
        exit 10
    "#]],
    );
    check(
        "n d node7",
        expect![[r#"
        failure 22: the controller's answer (HTTP status 200) is not a list of API replies: expected value at line 1 column 1; check that --controllers names a LINSTOR controller
    "#]],
    );
    check(
        "n rc node9 node8",
        expect![[r#"
        ERROR:
            not found
        ERROR:
            not found
        exit 10
    "#]],
    );
}
