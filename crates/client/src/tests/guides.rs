//! Command lines as guides for users print them, old ones too: full names and short ones, word orders of older versions, options
//! after names. What each sends is what its guide says that it does.

use expect_test::expect;

use super::requests::check;

/// Nodes, network interfaces and storage pools.
#[test]
fn a_cluster_is_set_up() {
    check(
        &[
            "node create --node-type Combined romulus 192.168.133.11",
            "node create --node-type satellite remus 192.168.133.12",
            "node create alpha 10.0.0.1 --node-type Combined",
            "node create --node-type Controller controller 10.43.7.254",
            "node interface create romulus drbd 192.168.144.11",
            "node list",
            "--controllers=10.43.7.254 node list",
            "storage-pool create lvmthin romulus thinpool drbdpool/thinpool",
            "storage-pool create lvm node1 pool_ssd vg_ssd",
            "storage-pool create drbd-arm swpool lvm sw_ssd",
            "storage-pool create alpha drbdpool lvmthin pve/drbdpool",
            "storage-pool list",
            "storage-pool-definition create drbdpool",
            "spd c drbdpool",
        ],
        expect![[r#"
            $ node create --node-type Combined romulus 192.168.133.11
            POST /v1/nodes {"name":"romulus","type":"Combined","net_interfaces":[{"name":"default","address":"192.168.133.11","satellite_port":3366,"satellite_encryption_type":"Plain","is_active":true}]}
            $ node create --node-type satellite remus 192.168.133.12
            POST /v1/nodes {"name":"remus","type":"Satellite","net_interfaces":[{"name":"default","address":"192.168.133.12","satellite_port":3366,"satellite_encryption_type":"Plain","is_active":true}]}
            $ node create alpha 10.0.0.1 --node-type Combined
            POST /v1/nodes {"name":"alpha","type":"Combined","net_interfaces":[{"name":"default","address":"10.0.0.1","satellite_port":3366,"satellite_encryption_type":"Plain","is_active":true}]}
            $ node create --node-type Controller controller 10.43.7.254
            POST /v1/nodes {"name":"controller","type":"Controller","net_interfaces":[{"name":"default","address":"10.43.7.254","satellite_port":3370,"satellite_encryption_type":"Plain","is_active":true}]}
            $ node interface create romulus drbd 192.168.144.11
            POST /v1/nodes/romulus/net-interfaces {"name":"drbd","address":"192.168.144.11"}
            $ node list
            GET /v1/nodes
            $ --controllers=10.43.7.254 node list
            GET /v1/nodes
            $ storage-pool create lvmthin romulus thinpool drbdpool/thinpool
            POST /v1/nodes/romulus/storage-pools {"storage_pool_name":"thinpool","provider_kind":"LVM_THIN","props":{"StorDriver/StorPoolName":"drbdpool/thinpool"},"external_locking":false}
            $ storage-pool create lvm node1 pool_ssd vg_ssd
            POST /v1/nodes/node1/storage-pools {"storage_pool_name":"pool_ssd","provider_kind":"LVM","props":{"StorDriver/StorPoolName":"vg_ssd"},"external_locking":false}
            $ storage-pool create drbd-arm swpool lvm sw_ssd
            POST /v1/nodes/drbd-arm/storage-pools {"storage_pool_name":"swpool","provider_kind":"LVM","props":{"StorDriver/StorPoolName":"sw_ssd"},"external_locking":false}
            $ storage-pool create alpha drbdpool lvmthin pve/drbdpool
            POST /v1/nodes/alpha/storage-pools {"storage_pool_name":"drbdpool","provider_kind":"LVM_THIN","props":{"StorDriver/StorPoolName":"pve/drbdpool"},"external_locking":false}
            $ storage-pool list
            GET /v1/view/storage-pools
            $ storage-pool-definition create drbdpool
            POST /v1/storage-pool-definitions {"storage_pool_name":"drbdpool"}
            $ spd c drbdpool
            POST /v1/storage-pool-definitions {"storage_pool_name":"drbdpool"}
        "#]],
    );
}

/// Volumes on nodes that are named, or chosen.
#[test]
fn volumes_are_made() {
    check(
        &[
            "resource-definition create --layer-list storage LocalData",
            "volume definition create LocalData 150m",
            "resource create --storage-pool thinpool vulcan kronos LocalData",
            "resource create -s thinpool vulcan SharedData",
            "resource create --storage-pool thinpool -d vulcan SharedData",
            "resource-definition create --layer-list drbd,storage SharedData",
            "resource create --storage-pool thinpool --auto-place 3 SharedData",
            "resource create dummy --auto-place 3 -s open_image",
            "resource create backups --auto-place 2",
            "resource create alpha first",
            "volume-definition create first 10M --storage-pool drbdpool",
            "volume-definition create backups 40G",
            "resource-group create my_ssd_group --storage-pool pool_ssd --place-count 2",
            "volume-group create my_ssd_group",
            "resource-group spawn-resources my_ssd_group my_ssd_res 2G",
            "resource-definition auto-place myrestoredres",
            "resource list",
            "resource list --resources myres --pastable",
            "resource list-volumes",
            "volume list",
        ],
        expect![[r#"
            $ resource-definition create --layer-list storage LocalData
            POST /v1/resource-definitions {"resource_definition":{"name":"LocalData","layer_data":[{"type":"STORAGE"}]}}
            $ volume definition create LocalData 150m
            POST /v1/resource-definitions/LocalData/volume-definitions {"volume_definition":{"size_kib":153600}}
            $ resource create --storage-pool thinpool vulcan kronos LocalData
            POST /v1/resource-definitions/LocalData/resources [{"resource":{"node_name":"vulcan","props":{"StorPoolName":"thinpool"}}},{"resource":{"node_name":"kronos","props":{"StorPoolName":"thinpool"}}}]
            $ resource create -s thinpool vulcan SharedData
            POST /v1/resource-definitions/SharedData/resources [{"resource":{"node_name":"vulcan","props":{"StorPoolName":"thinpool"}}}]
            $ resource create --storage-pool thinpool -d vulcan SharedData
            POST /v1/resource-definitions/SharedData/resources [{"resource":{"node_name":"vulcan","props":{"StorPoolName":"thinpool"},"flags":["DISKLESS"]}}]
            $ resource-definition create --layer-list drbd,storage SharedData
            POST /v1/resource-definitions {"resource_definition":{"name":"SharedData","layer_data":[{"type":"DRBD"},{"type":"STORAGE"}]}}
            $ resource create --storage-pool thinpool --auto-place 3 SharedData
            POST /v1/resource-definitions/SharedData/autoplace {"diskless_on_remaining":false,"select_filter":{"place_count":3,"storage_pool_list":["thinpool"]}}
            $ resource create dummy --auto-place 3 -s open_image
            POST /v1/resource-definitions/dummy/autoplace {"diskless_on_remaining":false,"select_filter":{"place_count":3,"storage_pool_list":["open_image"]}}
            $ resource create backups --auto-place 2
            POST /v1/resource-definitions/backups/autoplace {"diskless_on_remaining":false,"select_filter":{"place_count":2}}
            $ resource create alpha first
            POST /v1/resource-definitions/first/resources [{"resource":{"node_name":"alpha"}}]
            $ volume-definition create first 10M --storage-pool drbdpool
            POST /v1/resource-definitions/first/volume-definitions {"volume_definition":{"size_kib":10240,"props":{"StorPoolName":"drbdpool"}}}
            $ volume-definition create backups 40G
            POST /v1/resource-definitions/backups/volume-definitions {"volume_definition":{"size_kib":41943040}}
            $ resource-group create my_ssd_group --storage-pool pool_ssd --place-count 2
            POST /v1/resource-groups {"name":"my_ssd_group","select_filter":{"place_count":2,"storage_pool_list":["pool_ssd"]}}
            $ volume-group create my_ssd_group
            POST /v1/resource-groups/my_ssd_group/volume-groups {}
            $ resource-group spawn-resources my_ssd_group my_ssd_res 2G
            POST /v1/resource-groups/my_ssd_group/spawn {"resource_definition_name":"my_ssd_res","volume_sizes":[2097152],"select_filter":{},"partial":false,"definitions_only":false}
            $ resource-definition auto-place myrestoredres
            POST /v1/resource-definitions/myrestoredres/autoplace {"diskless_on_remaining":false,"select_filter":{}}
            $ resource list
            GET /v1/view/resources
            $ resource list --resources myres --pastable
            GET /v1/view/resources?resources=myres
            $ resource list-volumes
            GET /v1/view/resources
            $ volume list
            GET /v1/view/resources
        "#]],
    );
}

/// What has no required name at its end is an error, whatever pools are given.
#[test]
fn a_storage_pool_is_not_taken_for_a_name() {
    check(
        &[
            "resource create --storage-pool thinpool",
            "resource create -s thinpool",
            "node evacuate --target b c",
            "resource create --storage-pool a b --auto-place 2",
        ],
        expect![[r#"
            $ resource create --storage-pool thinpool
            error: the following required arguments were not provided:
            $ resource create -s thinpool
            error: the following required arguments were not provided:
            $ node evacuate --target b c
            error: the following required arguments were not provided:
            $ resource create --storage-pool a b --auto-place 2
            POST /v1/resource-definitions/b/autoplace {"diskless_on_remaining":false,"select_filter":{"place_count":2,"storage_pool_list":["a"]}}
        "#]],
    );
}

/// Volumes are moved and removed, snapshots taken and brought back.
#[test]
fn volumes_live() {
    check(
        &[
            "resource delete kronos SharedData",
            "resource delete linstor-sat-0 linstor-sat-1 linstor-sat-2 myres",
            "resource toggle-disk node3 my_ssd_res --storage-pool pool_ssd",
            "resource definition delete LocalData",
            "resource-definition delete -q first",
            "snapshot create romulus remus SharedData Snap1",
            "snapshot volume-definition restore --from-resource SharedData --from-snapshot Snap1 --to-resource Restored",
            "snapshot resource restore --from-resource SharedData --from-snapshot Snap1 --to-resource SharedData_Restore \
             romulus remus",
            "snapshot rollback SharedData Snap1",
            "snapshot list --resources myres --pastable",
        ],
        expect![[r#"
            $ resource delete kronos SharedData
            DELETE /v1/resource-definitions/SharedData/resources/kronos
            $ resource delete linstor-sat-0 linstor-sat-1 linstor-sat-2 myres
            DELETE /v1/resource-definitions/myres/resources/linstor-sat-0
            DELETE /v1/resource-definitions/myres/resources/linstor-sat-1
            DELETE /v1/resource-definitions/myres/resources/linstor-sat-2
            $ resource toggle-disk node3 my_ssd_res --storage-pool pool_ssd
            PUT /v1/resource-definitions/my_ssd_res/resources/node3/toggle-disk {"operation":"INTO_DRBD_DISKFUL","storage_pool":"pool_ssd"}
            $ resource definition delete LocalData
            DELETE /v1/resource-definitions/LocalData
            $ resource-definition delete -q first
            DELETE /v1/resource-definitions/first
            $ snapshot create romulus remus SharedData Snap1
            POST /v1/resource-definitions/SharedData/snapshots {"name":"Snap1","nodes":["romulus","remus"]}
            $ snapshot volume-definition restore --from-resource SharedData --from-snapshot Snap1 --to-resource Restored
            POST /v1/resource-definitions/SharedData/snapshot-restore-volume-definition/Snap1 {"to_resource":"Restored"}
            $ snapshot resource restore --from-resource SharedData --from-snapshot Snap1 --to-resource SharedData_Restore romulus remus
            POST /v1/resource-definitions/SharedData/snapshot-restore-resource/Snap1 {"nodes":["romulus","remus"],"to_resource":"SharedData_Restore"}
            $ snapshot rollback SharedData Snap1
            POST /v1/resource-definitions/SharedData/snapshot-rollback/Snap1 {}
            $ snapshot list --resources myres --pastable
            GET /v1/view/snapshots?resources=myres
        "#]],
    );
}

/// Backups in an S3 store.
#[test]
fn backups_are_made_and_restored() {
    check(
        &[
            "remote create s3 storj-remote gateway.example linstor-storj global access secret",
            "remote list --pastable",
            "backup create storj-remote myres",
            "backup list storj-remote --pastable",
            "backup restore --resource myres storj-remote --target-resource-group myresgroup linstor-sat-0 myrestoredres",
            "backup restore storj-remote linstor-sat-0 myres --target-resource-group myresgroup --resource myres",
        ],
        expect![[r#"
            $ remote create s3 storj-remote gateway.example linstor-storj global access secret
            POST /v1/remotes/s3 {"access_key":"access","bucket":"linstor-storj","endpoint":"gateway.example","region":"global","remote_name":"storj-remote","secret_key":"secret"}
            $ remote list --pastable
            GET /v1/remotes
            $ backup create storj-remote myres
            POST /v1/remotes/storj-remote/backups {"incremental":true,"rsc_name":"myres"}
            $ backup list storj-remote --pastable
            GET /v1/remotes/storj-remote/backups
            $ backup restore --resource myres storj-remote --target-resource-group myresgroup linstor-sat-0 myrestoredres
            POST /v1/remotes/storj-remote/backups/restore {"dst_rsc_grp":"myresgroup","node_name":"linstor-sat-0","src_rsc_name":"myres","target_rsc_name":"myrestoredres"}
            $ backup restore storj-remote linstor-sat-0 myres --target-resource-group myresgroup --resource myres
            POST /v1/remotes/storj-remote/backups/restore {"dst_rsc_grp":"myresgroup","node_name":"linstor-sat-0","src_rsc_name":"myres","target_rsc_name":"myres"}
        "#]],
    );
}
