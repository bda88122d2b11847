//! The requests of command lines. LINSTOR's command line sends the same ones (compared by hand).

use expect_test::{Expect, expect};

use super::action;

/// Writes the requests of each command line below it, or why it is invalid.
pub fn check(lines: &[&str], expected: Expect) {
    let mut out = String::new();
    for line in lines {
        out.push_str(&format!("$ {line}\n"));
        match action(line) {
            Ok(action) => {
                for request in action.requests() {
                    let body = request.body.as_deref().unwrap_or("");
                    let text = format!("{} {} {body}", request.method.as_str(), request.path);
                    out.push_str(text.trim_end());
                    out.push('\n');
                }
            }
            Err(error) => out.push_str(&format!("{error}\n")),
        }
    }
    expected.assert_eq(&out);
}

#[test]
fn node() {
    check(
        &[
            "n c alpha 10.0.0.1",
            "node create --node-type Combined --communication-type ssl beta 10.0.0.2",
            "n c -p 4000 --interface-name x gamma fe80::1",
            "n l",
            "n l -n a b --props Aux/x=y",
            "n d alpha",
            "n lost alpha",
            "n rc a b",
            "n info -n a",
            "n m -t combined a",
            "n i c a eth1 10.0.0.5",
            "n i c -p 3366 --active a eth1 10.0.0.5",
            "n i m a eth1 --ip 10.0.0.6 -p 3367 --communication-type SSL",
            "n i d a eth1 eth2",
            "n i l a",
            "n sp a --aux site x",
            "n sp a PrefNic",
            "n sp a StorDriver/LvcreateOptions -i2",
            "n lp a",
            "n rst a --delete-resources",
            "n evac a --target b c",
        ],
        expect![[r#"
            $ n c alpha 10.0.0.1
            POST /v1/nodes {"name":"alpha","type":"Satellite","net_interfaces":[{"name":"default","address":"10.0.0.1","satellite_port":3366,"satellite_encryption_type":"Plain","is_active":true}]}
            $ node create --node-type Combined --communication-type ssl beta 10.0.0.2
            POST /v1/nodes {"name":"beta","type":"Combined","net_interfaces":[{"name":"default","address":"10.0.0.2","satellite_port":3367,"satellite_encryption_type":"SSL","is_active":true}]}
            $ n c -p 4000 --interface-name x gamma fe80::1
            POST /v1/nodes {"name":"gamma","type":"Satellite","net_interfaces":[{"name":"x","address":"fe80::1","satellite_port":4000,"satellite_encryption_type":"Plain","is_active":true}]}
            $ n l
            GET /v1/nodes
            $ n l -n a b --props Aux/x=y
            GET /v1/nodes?nodes=a&nodes=b&props=Aux%2Fx%3Dy
            $ n d alpha
            DELETE /v1/nodes/alpha
            $ n lost alpha
            DELETE /v1/nodes/alpha/lost
            $ n rc a b
            PUT /v1/nodes/a/reconnect
            PUT /v1/nodes/b/reconnect
            $ n info -n a
            GET /v1/nodes?nodes=a
            $ n m -t combined a
            PUT /v1/nodes/a {"node_type":"Combined"}
            $ n i c a eth1 10.0.0.5
            POST /v1/nodes/a/net-interfaces {"name":"eth1","address":"10.0.0.5"}
            $ n i c -p 3366 --active a eth1 10.0.0.5
            POST /v1/nodes/a/net-interfaces {"name":"eth1","address":"10.0.0.5","satellite_port":3366,"satellite_encryption_type":"Plain","is_active":true}
            $ n i m a eth1 --ip 10.0.0.6 -p 3367 --communication-type SSL
            PUT /v1/nodes/a/net-interfaces/eth1 {"name":"eth1","address":"10.0.0.6","satellite_port":3367,"satellite_encryption_type":"SSL"}
            $ n i d a eth1 eth2
            DELETE /v1/nodes/a/net-interfaces/eth1
            DELETE /v1/nodes/a/net-interfaces/eth2
            $ n i l a
            GET /v1/nodes?nodes=a
            $ n sp a --aux site x
            PUT /v1/nodes/a {"override_props":{"Aux/site":"x"}}
            $ n sp a PrefNic
            PUT /v1/nodes/a {"delete_props":["PrefNic"]}
            $ n sp a StorDriver/LvcreateOptions -i2
            PUT /v1/nodes/a {"override_props":{"StorDriver/LvcreateOptions":"-i2"}}
            $ n lp a
            GET /v1/nodes?nodes=a
            $ n rst a --delete-resources
            PUT /v1/nodes/a/restore {"delete_resources":true}
            $ n evac a --target b c
            PUT /v1/nodes/a/evacuate {"target":["b","c"]}
        "#]],
    );
}

#[test]
fn physical_storage() {
    check(
        &[
            "ps l",
            "ps l --all",
            "ps cdp lvm a /dev/sdb --pool-name vg",
            "ps cdp zfs a /dev/sdb /dev/sdc --pool-name tank --raid-level RAID1 --storage-pool z --wipe-signatures",
            "ps cdp LVMTHIN a /dev/sdb --pool-name vg/thin --lv-create-arguments -c --lv-create-arguments 128k",
        ],
        expect![[r#"
            $ ps l
            GET /v1/physical-storage
            $ ps l --all
            GET /v1/physical-storage?all=true
            $ ps cdp lvm a /dev/sdb --pool-name vg
            POST /v1/physical-storage/a {"provider_kind":"LVM","device_paths":["/dev/sdb"],"pool_name":"vg","vdo_enable":false,"vdo_slab_size_kib":0,"vdo_logical_size_kib":0,"sed":false}
            $ ps cdp zfs a /dev/sdb /dev/sdc --pool-name tank --raid-level RAID1 --storage-pool z --wipe-signatures
            POST /v1/physical-storage/a {"provider_kind":"ZFS","device_paths":["/dev/sdb","/dev/sdc"],"raid_level":"RAID1","pool_name":"tank","vdo_enable":false,"vdo_slab_size_kib":0,"vdo_logical_size_kib":0,"with_storage_pool":{"name":"z","external_locking":false},"sed":false,"wipe_signatures":true}
            $ ps cdp LVMTHIN a /dev/sdb --pool-name vg/thin --lv-create-arguments -c --lv-create-arguments 128k
            POST /v1/physical-storage/a {"provider_kind":"LVM_THIN","device_paths":["/dev/sdb"],"pool_name":"vg/thin","vdo_enable":false,"vdo_slab_size_kib":0,"vdo_logical_size_kib":0,"sed":false,"lv_create_arguments":["-c","128k"]}
        "#]],
    );
}

#[test]
fn storage_pool() {
    check(
        &[
            "sp c lvm a pool vg",
            "sp c lvmthin a pool vg/thin --shared-space x --external-locking",
            "sp c zfs a pool z",
            "sp c zfsthin a pool z/d",
            "sp c file a pool /srv",
            "sp c filethin a pool /srv",
            "sp c diskless a pool",
            "sp c spdk a pool x",
            "sp c ebs_init a pool rem",
            "sp l",
            "sp l -s pool -n a b",
            "sp d a b pool",
            "sp sp a pool MaxOversubscriptionRatio 3",
            "sp lp a pool",
        ],
        expect![[r#"
            $ sp c lvm a pool vg
            POST /v1/nodes/a/storage-pools {"storage_pool_name":"pool","provider_kind":"LVM","props":{"StorDriver/StorPoolName":"vg"},"external_locking":false}
            $ sp c lvmthin a pool vg/thin --shared-space x --external-locking
            POST /v1/nodes/a/storage-pools {"storage_pool_name":"pool","provider_kind":"LVM_THIN","props":{"StorDriver/StorPoolName":"vg/thin"},"free_space_mgr_name":"x","external_locking":true}
            $ sp c zfs a pool z
            POST /v1/nodes/a/storage-pools {"storage_pool_name":"pool","provider_kind":"ZFS","props":{"StorDriver/StorPoolName":"z"},"external_locking":false}
            $ sp c zfsthin a pool z/d
            POST /v1/nodes/a/storage-pools {"storage_pool_name":"pool","provider_kind":"ZFS_THIN","props":{"StorDriver/StorPoolName":"z/d"},"external_locking":false}
            $ sp c file a pool /srv
            POST /v1/nodes/a/storage-pools {"storage_pool_name":"pool","provider_kind":"FILE","props":{"StorDriver/StorPoolName":"/srv"},"external_locking":false}
            $ sp c filethin a pool /srv
            POST /v1/nodes/a/storage-pools {"storage_pool_name":"pool","provider_kind":"FILE_THIN","props":{"StorDriver/StorPoolName":"/srv"},"external_locking":false}
            $ sp c diskless a pool
            POST /v1/nodes/a/storage-pools {"storage_pool_name":"pool","provider_kind":"DISKLESS","external_locking":false}
            $ sp c spdk a pool x
            POST /v1/nodes/a/storage-pools {"storage_pool_name":"pool","provider_kind":"SPDK","props":{"StorDriver/StorPoolName":"x"},"external_locking":false}
            $ sp c ebs_init a pool rem
            POST /v1/nodes/a/storage-pools {"storage_pool_name":"pool","provider_kind":"EBS_INIT","props":{"StorDriver/EBS/Remote":"rem"},"external_locking":false}
            $ sp l
            GET /v1/view/storage-pools
            $ sp l -s pool -n a b
            GET /v1/view/storage-pools?nodes=a&nodes=b&storage_pools=pool
            $ sp d a b pool
            DELETE /v1/nodes/a/storage-pools/pool
            DELETE /v1/nodes/b/storage-pools/pool
            $ sp sp a pool MaxOversubscriptionRatio 3
            PUT /v1/nodes/a/storage-pools/pool {"override_props":{"MaxOversubscriptionRatio":"3"}}
            $ sp lp a pool
            GET /v1/view/storage-pools?nodes=a&storage_pools=pool
        "#]],
    );
}

#[test]
fn resource_group() {
    check(
        &[
            "rg c rg1",
            "rg c rg1 -d text --place-count 3 -s p1 p2 --replicas-on-same site --replicas-on-different rack --x-replicas-on-different dc 2 --do-not-place-with r1 --do-not-place-with-regex r.* --diskless-on-remaining -l drbd,luks,storage -p lvm,zfs --diskless-storage-pool d --peer-slots 8",
            "rg m rg1 --storage-pool= --replicas-on-same= --do-not-place-with-regex= --providers= --layer-list= --diskless-on-remaining false",
            "rg m rg1 -d new",
            "rg d rg1",
            "rg spawn rg1 r1 1G 200M 5",
            "rg spawn rg1 r1 10KB -d -p --place-count 2 --providers lvm_thin",
            "rg spawn rg1 r1 1G --external-name x",
            "rg adj",
            "rg adj rg1",
            "rg qmvs rg1",
            "rg qsi rg1 -s p1",
            "rg sp rg1 a b",
            "rg lp rg1",
            "rg opt rg1 --protocol C --unset-quorum",
        ],
        expect![[r#"
            $ rg c rg1
            POST /v1/resource-groups {"name":"rg1","select_filter":{}}
            $ rg c rg1 -d text --place-count 3 -s p1 p2 --replicas-on-same site --replicas-on-different rack --x-replicas-on-different dc 2 --do-not-place-with r1 --do-not-place-with-regex r.* --diskless-on-remaining -l drbd,luks,storage -p lvm,zfs --diskless-storage-pool d --peer-slots 8
            POST /v1/resource-groups {"name":"rg1","description":"text","select_filter":{"place_count":3,"storage_pool_list":["p1","p2"],"storage_pool_diskless_list":["d"],"not_place_with_rsc":["r1"],"not_place_with_rsc_regex":"r.*","replicas_on_same":["Aux/site"],"replicas_on_different":["Aux/rack"],"x_replicas_on_different_map":{"Aux/dc":2},"layer_stack":["DRBD","LUKS","STORAGE"],"provider_list":["LVM","ZFS"],"diskless_on_remaining":true},"peer_slots":8}
            $ rg m rg1 --storage-pool= --replicas-on-same= --do-not-place-with-regex= --providers= --layer-list= --diskless-on-remaining false
            PUT /v1/resource-groups/rg1 {"select_filter":{"storage_pool_list":[],"not_place_with_rsc_regex":"","replicas_on_same":[],"layer_stack":[],"provider_list":[],"diskless_on_remaining":false}}
            $ rg m rg1 -d new
            PUT /v1/resource-groups/rg1 {"description":"new","select_filter":{}}
            $ rg d rg1
            DELETE /v1/resource-groups/rg1
            $ rg spawn rg1 r1 1G 200M 5
            POST /v1/resource-groups/rg1/spawn {"resource_definition_name":"r1","volume_sizes":[1048576,204800,5242880],"select_filter":{},"partial":false,"definitions_only":false}
            $ rg spawn rg1 r1 10KB -d -p --place-count 2 --providers lvm_thin
            POST /v1/resource-groups/rg1/spawn {"resource_definition_name":"r1","volume_sizes":[10],"select_filter":{"place_count":2,"provider_list":["LVM_THIN"]},"partial":true,"definitions_only":true}
            $ rg spawn rg1 r1 1G --external-name x
            POST /v1/resource-groups/rg1/spawn {"resource_definition_name":"","resource_definition_external_name":"x","volume_sizes":[1048576],"select_filter":{},"partial":false,"definitions_only":false}
            $ rg adj
            POST /v1/resource-groups/adjustall
            $ rg adj rg1
            POST /v1/resource-groups/rg1/adjust
            $ rg qmvs rg1
            GET /v1/resource-groups/rg1/query-max-volume-size
            $ rg qsi rg1 -s p1
            POST /v1/resource-groups/rg1/query-size-info {"select_filter":{"storage_pool_list":["p1"]}}
            $ rg sp rg1 a b
            PUT /v1/resource-groups/rg1 {"override_props":{"a":"b"}}
            $ rg lp rg1
            GET /v1/resource-groups?resource_groups=rg1
            $ rg opt rg1 --protocol C --unset-quorum
            PUT /v1/resource-groups/rg1 {"override_props":{"DrbdOptions/Net/protocol":"C"},"delete_props":["DrbdOptions/Resource/quorum"]}
        "#]],
    );
}

#[test]
fn volume_group() {
    check(
        &[
            "vg c rg1",
            "vg c rg1 -n 2 --gross",
            "vg l rg1",
            "vg d rg1 0",
            "vg sp rg1 0 a b",
            "vg opt rg1 0 --al-extents 6433",
        ],
        expect![[r#"
            $ vg c rg1
            POST /v1/resource-groups/rg1/volume-groups {}
            $ vg c rg1 -n 2 --gross
            POST /v1/resource-groups/rg1/volume-groups {"volume_number":2,"flags":["GROSS_SIZE"]}
            $ vg l rg1
            GET /v1/resource-groups/rg1/volume-groups
            $ vg d rg1 0
            DELETE /v1/resource-groups/rg1/volume-groups/0
            $ vg sp rg1 0 a b
            PUT /v1/resource-groups/rg1/volume-groups/0 {"override_props":{"a":"b"}}
            $ vg opt rg1 0 --al-extents 6433
            PUT /v1/resource-groups/rg1/volume-groups/0 {"override_props":{"DrbdOptions/Disk/al-extents":"6433"}}
        "#]],
    );
}

#[test]
fn resource_definition() {
    check(
        &[
            "rd c r1",
            "rd c r1 -p 7010 -l drbd,storage --resource-group rg1 --peer-slots 5",
            "rd c -e ext",
            "rd l",
            "rd l -r a b",
            "rd d a b",
            "rd m r1 --resource-group rg2 -p 8000 --peer-slots 3",
            "rd ap r1 --place-count 2",
            "rd ap r1 --place-count +1 --drbd-diskless -s p",
            "rd sp r1 a b",
            "rd lp r1",
            "rd opt r1 --c-max-rate 100M --handler-fence-peer /bin/x --drbd-timeout 60 --unset-after-sb-0pri",
        ],
        expect![[r#"
            $ rd c r1
            POST /v1/resource-definitions {"resource_definition":{"name":"r1"}}
            $ rd c r1 -p 7010 -l drbd,storage --resource-group rg1 --peer-slots 5
            POST /v1/resource-definitions {"drbd_port":7010,"drbd_peer_slots":5,"resource_definition":{"name":"r1","layer_data":[{"type":"DRBD"},{"type":"STORAGE"}],"resource_group_name":"rg1"}}
            $ rd c -e ext
            POST /v1/resource-definitions {"resource_definition":{"external_name":"ext"}}
            $ rd l
            GET /v1/resource-definitions
            $ rd l -r a b
            GET /v1/resource-definitions?resource_definitions=a&resource_definitions=b
            $ rd d a b
            DELETE /v1/resource-definitions/a
            DELETE /v1/resource-definitions/b
            $ rd m r1 --resource-group rg2 -p 8000 --peer-slots 3
            PUT /v1/resource-definitions/r1 {"drbd_port":8000,"drbd_peer_slots":3,"resource_group":"rg2"}
            $ rd ap r1 --place-count 2
            POST /v1/resource-definitions/r1/autoplace {"diskless_on_remaining":false,"select_filter":{"place_count":2}}
            $ rd ap r1 --place-count +1 --drbd-diskless -s p
            POST /v1/resource-definitions/r1/autoplace {"diskless_on_remaining":false,"select_filter":{"additional_place_count":1,"storage_pool_list":["p"],"diskless_type":"DRBD_DISKLESS"}}
            $ rd sp r1 a b
            PUT /v1/resource-definitions/r1 {"override_props":{"a":"b"}}
            $ rd lp r1
            GET /v1/resource-definitions?resource_definitions=r1
            $ rd opt r1 --c-max-rate 100M --handler-fence-peer /bin/x --drbd-timeout 60 --unset-after-sb-0pri
            PUT /v1/resource-definitions/r1 {"override_props":{"DrbdOptions/Handlers/fence-peer":"/bin/x","DrbdOptions/Net/timeout":"60","DrbdOptions/PeerDevice/c-max-rate":"102400"},"delete_props":["DrbdOptions/Net/after-sb-0pri"]}
        "#]],
    );
}

#[test]
fn encryption() {
    check(
        &[
            "encryption create-passphrase -p a",
            "e ep --passphrase a",
            "e mp --old-passphrase a --new-passphrase b",
            "e status",
        ],
        expect![[r#"
            $ encryption create-passphrase -p a
            POST /v1/encryption/passphrase {"new_passphrase":"a"}
            $ e ep --passphrase a
            PATCH /v1/encryption/passphrase "a"
            $ e mp --old-passphrase a --new-passphrase b
            PUT /v1/encryption/passphrase {"new_passphrase":"b","old_passphrase":"a"}
            $ e status
            GET /v1/encryption/passphrase
        "#]],
    );
}

#[test]
fn volume_definition() {
    check(
        &[
            "vd c r1 1G",
            "vd c r1 100MiB -n 3 -m 1003 --encrypt --gross -s pool",
            "vd c r1 10 --passphrase abc",
            "vd l",
            "vd l -r r1",
            "vd d r1 0",
            "vd size r1 0 2G",
            "vd size r1 0 2000MB --gross",
            "vd sp r1 0 a b",
            "vd lp r1 0",
            "vd mp r1 0 secret",
            "vd opt r1 0 --on-io-error detach",
        ],
        expect![[r#"
            $ vd c r1 1G
            POST /v1/resource-definitions/r1/volume-definitions {"volume_definition":{"size_kib":1048576}}
            $ vd c r1 100MiB -n 3 -m 1003 --encrypt --gross -s pool
            POST /v1/resource-definitions/r1/volume-definitions {"volume_definition":{"volume_number":3,"size_kib":102400,"props":{"StorPoolName":"pool"},"flags":["ENCRYPTED","GROSS_SIZE"]},"drbd_minor_number":1003}
            $ vd c r1 10 --passphrase abc
            POST /v1/resource-definitions/r1/volume-definitions {"volume_definition":{"size_kib":10485760},"passphrase":"abc"}
            $ vd l
            GET /v1/resource-definitions?with_volume_definitions=true
            $ vd l -r r1
            GET /v1/resource-definitions?resource_definitions=r1&with_volume_definitions=true
            $ vd d r1 0
            DELETE /v1/resource-definitions/r1/volume-definitions/0
            $ vd size r1 0 2G
            PUT /v1/resource-definitions/r1/volume-definitions/0 {"size_kib":2097152}
            $ vd size r1 0 2000MB --gross
            PUT /v1/resource-definitions/r1/volume-definitions/0 {"size_kib":1953125,"flags":["GROSS_SIZE"]}
            $ vd sp r1 0 a b
            PUT /v1/resource-definitions/r1/volume-definitions/0 {"override_props":{"a":"b"}}
            $ vd lp r1 0
            GET /v1/resource-definitions?resource_definitions=r1&with_volume_definitions=true
            $ vd mp r1 0 secret
            PUT /v1/resource-definitions/r1/volume-definitions/0/encryption-passphrase {"new_passphrase":"secret"}
            $ vd opt r1 0 --on-io-error detach
            PUT /v1/resource-definitions/r1/volume-definitions/0 {"override_props":{"DrbdOptions/Disk/on-io-error":"detach"}}
        "#]],
    );
}

#[test]
fn resource() {
    check(
        &[
            "r c a b r1",
            "r c a r1 -s pool --drbd-diskless --node-id 3 --drbd-tcp-port 7000 -l drbd,storage --inactive",
            "r c a r1 -d",
            "r c r1 --auto-place 2",
            "r c r1 --auto-place +1 -s p1 p2 --replicas-on-same x --diskless-on-remaining",
            "r c r1 --auto-place 2 --drbd-diskless",
            "r mkavail a r1 --diskful",
            "r mkavail a r1 -l drbd,storage --drbd-tcp-port 7000",
            "r l",
            "r l -n a b -r r1 --props x=y",
            "r lv -n a -s p -r r",
            "r inv a",
            "r d a b r1",
            "r d a r1 --keep-tiebreaker",
            "r td a r1 -s pool",
            "r td a r1 --dflt",
            "r td a r1 -d",
            "r td a r1 -s p --migrate-from b",
            "r act a r1",
            "r deact a r1",
            "r sp a r1 k v",
            "r lp a r1",
            "r popt a b r1 --max-buffers 8k",
        ],
        expect![[r#"
            $ r c a b r1
            POST /v1/resource-definitions/r1/resources [{"resource":{"node_name":"a"}},{"resource":{"node_name":"b"}}]
            $ r c a r1 -s pool --drbd-diskless --node-id 3 --drbd-tcp-port 7000 -l drbd,storage --inactive
            POST /v1/resource-definitions/r1/resources [{"resource":{"node_name":"a","props":{"StorPoolName":"pool"},"flags":["DRBD_DISKLESS","INACTIVE"]},"layer_list":["DRBD","STORAGE"],"drbd_node_id":3,"drbd_tcp_ports":[7000]}]
            $ r c a r1 -d
            POST /v1/resource-definitions/r1/resources [{"resource":{"node_name":"a","flags":["DISKLESS"]}}]
            $ r c r1 --auto-place 2
            POST /v1/resource-definitions/r1/autoplace {"diskless_on_remaining":false,"select_filter":{"place_count":2}}
            $ r c r1 --auto-place +1 -s p1 p2 --replicas-on-same x --diskless-on-remaining
            POST /v1/resource-definitions/r1/autoplace {"diskless_on_remaining":true,"select_filter":{"additional_place_count":1,"storage_pool_list":["p1","p2"],"replicas_on_same":["Aux/x"],"diskless_on_remaining":true}}
            $ r c r1 --auto-place 2 --drbd-diskless
            POST /v1/resource-definitions/r1/autoplace {"diskless_on_remaining":false,"select_filter":{"place_count":2,"diskless_type":"DRBD_DISKLESS"}}
            $ r mkavail a r1 --diskful
            POST /v1/resource-definitions/r1/resources/a/make-available {"diskful":true}
            $ r mkavail a r1 -l drbd,storage --drbd-tcp-port 7000
            POST /v1/resource-definitions/r1/resources/a/make-available {"layer_list":["DRBD","STORAGE"],"diskful":false,"drbd_tcp_ports":[7000]}
            $ r l
            GET /v1/view/resources
            $ r l -n a b -r r1 --props x=y
            GET /v1/view/resources?nodes=a&nodes=b&resources=r1&props=x%3Dy
            $ r lv -n a -s p -r r
            GET /v1/view/resources?nodes=a&resources=r&storage_pools=p
            $ r inv a
            GET /v1/view/resources
            $ r d a b r1
            DELETE /v1/resource-definitions/r1/resources/a
            DELETE /v1/resource-definitions/r1/resources/b
            $ r d a r1 --keep-tiebreaker
            DELETE /v1/resource-definitions/r1/resources/a?keep_tiebreaker=True
            $ r td a r1 -s pool
            PUT /v1/resource-definitions/r1/resources/a/toggle-disk {"operation":"INTO_DRBD_DISKFUL","storage_pool":"pool"}
            $ r td a r1 --dflt
            PUT /v1/resource-definitions/r1/resources/a/toggle-disk {"operation":"INTO_DRBD_DISKFUL"}
            $ r td a r1 -d
            PUT /v1/resource-definitions/r1/resources/a/toggle-disk {"operation":"INTO_DRBD_DISKLESS"}
            $ r td a r1 -s p --migrate-from b
            PUT /v1/resource-definitions/r1/resources/a/toggle-disk {"operation":"INTO_DRBD_DISKFUL","storage_pool":"p","migrate_from":"b"}
            $ r act a r1
            POST /v1/resource-definitions/r1/resources/a/activate
            $ r deact a r1
            POST /v1/resource-definitions/r1/resources/a/deactivate
            $ r sp a r1 k v
            PUT /v1/resource-definitions/r1/resources/a {"override_props":{"k":"v"}}
            $ r lp a r1
            GET /v1/view/resources?nodes=a&resources=r1
            $ r popt a b r1 --max-buffers 8k
            PUT /v1/resource-definitions/r1/resource-connections/a/b {"override_props":{"DrbdOptions/Net/max-buffers":"8192"}}
        "#]],
    );
}

#[test]
fn volume() {
    check(
        &["v l -n a", "v sp a r1 0 k v", "v lp a r1 0", "rd ws r1"],
        expect![[r#"
            $ v l -n a
            GET /v1/view/resources?nodes=a
            $ v sp a r1 0 k v
            PUT /v1/resource-definitions/r1/resources/a/volumes/0 {"override_props":{"k":"v"}}
            $ v lp a r1 0
            GET /v1/view/resources?nodes=a&resources=r1
            $ rd ws r1
            GET /v1/resource-definitions/r1/sync-status
        "#]],
    );
}

#[test]
fn controller() {
    check(
        &[
            "c v",
            "c lp",
            "c sp k v",
            "c sp --aux k",
            "c opt --auto-promote no",
            "c qmvs 2 -s pool --replicas-on-same x",
            "job list",
            "jobs l",
            "j s 41-2",
            "job cancel 41",
            "job cancel --after 60 41",
            "job wait 41",
            "n forget alpha",
            "rd quorum res1",
            "c which",
            "c take-over",
        ],
        expect![[r#"
            $ c v
            GET /v1/controller/version
            $ c lp
            GET /v1/controller/properties
            $ c sp k v
            POST /v1/controller/properties {"override_props":{"k":"v"}}
            $ c sp --aux k
            POST /v1/controller/properties {"delete_props":["Aux/k"]}
            $ c opt --auto-promote no
            POST /v1/controller/properties {"override_props":{"DrbdOptions/Resource/auto-promote":"no"}}
            $ c qmvs 2 -s pool --replicas-on-same x
            OPTIONS /v1/query-max-volume-size {"place_count":2,"storage_pool":"pool","replicas_on_same":["Aux/x"]}
            $ job list
            GET /v1/jobs
            $ jobs l
            GET /v1/jobs
            $ j s 41-2
            GET /v1/jobs/41-2
            $ job cancel 41
            POST /v1/jobs/41/cancel {}
            $ job cancel --after 60 41
            POST /v1/jobs/41/cancel {"after_s":60}
            $ job wait 41
            GET /v1/jobs/41
            $ n forget alpha
            GET /v1/nodes/alpha/leftovers
            $ rd quorum res1
            GET /v1/resource-definitions/res1/quorum
            $ c which
            $ c take-over
            POST /v1/controller/take-over
        "#]],
    );
}

#[test]
fn storage_pool_definition() {
    check(
        &["spd c p", "spd l", "spd d a b", "spd sp p k v", "spd lp p"],
        expect![[r#"
            $ spd c p
            POST /v1/storage-pool-definitions {"storage_pool_name":"p"}
            $ spd l
            GET /v1/storage-pool-definitions
            $ spd d a b
            DELETE /v1/storage-pool-definitions/a
            DELETE /v1/storage-pool-definitions/b
            $ spd sp p k v
            PUT /v1/storage-pool-definitions/p {"override_props":{"k":"v"}}
            $ spd lp p
            GET /v1/storage-pool-definitions
        "#]],
    );
}

/// Invalid command lines are refused before anything is sent.
#[test]
fn nonsense_is_refused() {
    check(
        &[
            "n",
            "n c",
            "n c a 1.2.3.4 -p 0",
            "n c a 1.2.3.4 --node-type x",
            "sp d pool",
            "rg spawn rg1 r1 1X",
            "rg spawn rg1 r1 -5",
            "rg spawn rg1 r1 1G 2G --volume-passphrase a",
            "rg c rg1 -l drbd,foo",
            "rg c rg1 -p foo",
            "rg c rg1 --x-replicas-on-different dc",
            "rg c rg1 --x-replicas-on-different dc x",
            "rg c rg1 --place-count two",
            "rd c",
            "r c r1",
            "r c a r1 -s p1 p2",
            "r c a r1 --auto-place 2",
            "r c r1 --auto-place many",
            "r td a r1 -d -s p",
            "r td a r1 -d --migrate-from b",
            "vd c r1",
            "vd size r1 x 1G",
            "rd opt r1 --protocol D",
            "rd opt r1 --protocol C --unset-protocol",
            "c opt",
            "c opt --c-max-rate 1",
            "vd opt r1 0 --protocol C",
            "frobnicate",
        ],
        expect![[r#"
            $ n
            Nodes of the cluster
            $ n c
            error: the following required arguments were not provided:
            $ n c a 1.2.3.4 -p 0
            error: invalid value '0' for '--port <PORT>': 0 is not in 1..=65535
            $ n c a 1.2.3.4 --node-type x
            error: invalid value 'x' for '--node-type <NODE_TYPE>'
            $ sp d pool
            error: 2 values required by '<NODE... POOL> <NODE... POOL>...'; only 1 was provided
            $ rg spawn rg1 r1 1X
            'X' is not a unit of size; known are B, s, K, kB, KiB, M, MB, MiB, G, GB, GiB, T, TB, TiB, P, PB, PiB
            $ rg spawn rg1 r1 -5
            error: unexpected argument '-5' found
            $ rg spawn rg1 r1 1G 2G --volume-passphrase a
            --volume-passphrase has 1 values for 2 volumes; give one passphrase per size
            $ rg c rg1 -l drbd,foo
            'foo' is not a layer kind; known are DRBD, NVME, LUKS, WRITECACHE, CACHE, BCACHE, STORAGE
            $ rg c rg1 -p foo
            'foo' is not a provider kind; known are DISKLESS, LVM, LVM_THIN, ZFS, ZFS_THIN, FILE, FILE_THIN, SPDK, REMOTE_SPDK, EBS_INIT, EBS_TARGET, STORAGE_SPACES, STORAGE_SPACES_THIN
            $ rg c rg1 --x-replicas-on-different dc
            --x-replicas-on-different: the last property has no number; give pairs of a property and a number
            $ rg c rg1 --x-replicas-on-different dc x
            --x-replicas-on-different: 'x' is not a number; give pairs of a property and a number
            $ rg c rg1 --place-count two
            error: invalid value 'two' for '--place-count <NUMBER>': invalid digit found in string
            $ rd c
            error: the following required arguments were not provided:
            $ r c r1
            no node is given; give the nodes before the resource, or --auto-place with a number of replicas
            $ r c a r1 -s p1 p2
            --storage-pool has several values; without --auto-place a resource uses one storage pool
            $ r c a r1 --auto-place 2
            --auto-place lets the controller choose the nodes; give either nodes or --auto-place
            $ r c r1 --auto-place many
            'many' is not a number of replicas; give a number, +<number>, or max
            $ r td a r1 -d -s p
            error: the argument '--diskless' cannot be used with '--storage-pool <STORAGE_POOL>'
            $ r td a r1 -d --migrate-from b
            error: the argument '--diskless' cannot be used with '--migrate-from <NODE>'
            $ vd c r1
            error: the following required arguments were not provided:
            $ vd size r1 x 1G
            error: invalid value 'x' for '<VOLUME>': invalid digit found in string
            $ rd opt r1 --protocol D
            --protocol: 'D' is not one of A, B, C
            $ rd opt r1 --protocol C --unset-protocol
            error: the argument '--protocol <VALUE>' cannot be used with '--unset-protocol'
            $ c opt
            no DRBD option is given; give --<option> <value> or --unset-<option>
            $ c opt --c-max-rate 1
            --c-max-rate: '1' is not a whole number of bytes or of the unit that is needed
            $ vd opt r1 0 --protocol C
            error: unexpected argument '--protocol' found
            $ frobnicate
            error: unrecognized subcommand 'frobnicate'
        "#]],
    );
}
