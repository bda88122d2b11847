//! The requests of the commands that are defined as data. LINSTOR's command line sends the same ones (compared by a
//! program).

use expect_test::expect;

use super::requests::check;

#[test]
fn node_connection() {
    check(
        &[
            "nc l",
            "nc l a b",
            "nc lp a b",
            "nc sp a b Aux/x 1",
            "nc popt a b --max-buffers 9000 --unset-ping-timeout",
            "nc p c a b p1 eth0 eth1",
            "nc p d a b p1",
            "nc p l a b",
        ],
        expect![[r#"
            $ nc l
            GET /v1/node-connections
            $ nc l a b
            GET /v1/node-connections?node_a=a&node_b=b
            $ nc lp a b
            GET /v1/node-connections?node_a=a&node_b=b
            $ nc sp a b Aux/x 1
            PUT /v1/node-connections/a/b {"override_props":{"Aux/x":"1"}}
            $ nc popt a b --max-buffers 9000 --unset-ping-timeout
            PUT /v1/node-connections/a/b {"override_props":{"DrbdOptions/Net/max-buffers":"9000"},"delete_props":["DrbdOptions/Net/ping-timeout"]}
            $ nc p c a b p1 eth0 eth1
            PUT /v1/node-connections/a/b {"override_props":{"Paths/p1/a":"eth0","Paths/p1/b":"eth1"}}
            $ nc p d a b p1
            PUT /v1/node-connections/a/b {"delete_props":["Paths/p1/a","Paths/p1/b"]}
            $ nc p l a b
            GET /v1/node-connections?node_a=a&node_b=b
        "#]],
    );
}

#[test]
fn resource_connection() {
    check(
        &[
            "rc l r",
            "rc lp a b r",
            "rc sp a b r Aux/x 1",
            "rc popt a b r --max-buffers 9000",
            "rc p c a b r p1 eth0 eth1",
            "rc p d a b r p1",
            "rc p l a b r",
        ],
        expect![[r#"
            $ rc l r
            GET /v1/resource-definitions/r/resource-connections
            $ rc lp a b r
            GET /v1/resource-definitions/r/resource-connections/a/b
            $ rc sp a b r Aux/x 1
            PUT /v1/resource-definitions/r/resource-connections/a/b {"override_props":{"Aux/x":"1"}}
            $ rc popt a b r --max-buffers 9000
            PUT /v1/resource-definitions/r/resource-connections/a/b {"override_props":{"DrbdOptions/Net/max-buffers":"9000"}}
            $ rc p c a b r p1 eth0 eth1
            PUT /v1/resource-definitions/r/resource-connections/a/b {"override_props":{"Paths/p1/a":"eth0","Paths/p1/b":"eth1"}}
            $ rc p d a b r p1
            PUT /v1/resource-definitions/r/resource-connections/a/b {"delete_props":["Paths/p1/a","Paths/p1/b"]}
            $ rc p l a b r
            GET /v1/resource-definitions/r/resource-connections
        "#]],
    );
}

#[test]
fn snapshot() {
    check(
        &[
            "s c r s1",
            "s c n1 n2 r s1",
            "s cm s1 -r r1 r2 -n n1 n2",
            "s cm s1 -r r1",
            "s d r s1",
            "s d r s1 -n a b",
            "s rb r s1",
            "s rb r s1 --zfs-rollback-strategy clone",
            "s l -r a b -n x",
            "s lp r s1",
            "s sp r s1 --aux k v",
            "s vd rst --fr a --fs b --tr c",
            "s r rst --fr a --fs b --tr c",
            "s r rst n1 n2 --fr a --fs b --tr c --storpool-rename x=y z=w",
        ],
        expect![[r#"
            $ s c r s1
            POST /v1/resource-definitions/r/snapshots {"name":"s1"}
            $ s c n1 n2 r s1
            POST /v1/resource-definitions/r/snapshots {"name":"s1","nodes":["n1","n2"]}
            $ s cm s1 -r r1 r2 -n n1 n2
            POST /v1/actions/snapshot/multi {"snapshots":[{"name":"s1","nodes":["n1","n2"],"resource_name":"r1"},{"name":"s1","nodes":["n1","n2"],"resource_name":"r2"}]}
            $ s cm s1 -r r1
            POST /v1/actions/snapshot/multi {"snapshots":[{"name":"s1","resource_name":"r1"}]}
            $ s d r s1
            DELETE /v1/resource-definitions/r/snapshots/s1
            $ s d r s1 -n a b
            DELETE /v1/resource-definitions/r/snapshots/s1?nodes=a&nodes=b
            $ s rb r s1
            POST /v1/resource-definitions/r/snapshot-rollback/s1 {}
            $ s rb r s1 --zfs-rollback-strategy clone
            POST /v1/resource-definitions/r/snapshot-rollback/s1 {"zfs_rollback_strategy":"clone"}
            $ s l -r a b -n x
            GET /v1/view/snapshots?resources=a&resources=b&nodes=x
            $ s lp r s1
            GET /v1/view/snapshots?resources=r
            $ s sp r s1 --aux k v
            PUT /v1/resource-definitions/r/snapshots/s1 {"override_props":{"Aux/k":"v"}}
            $ s vd rst --fr a --fs b --tr c
            POST /v1/resource-definitions/a/snapshot-restore-volume-definition/b {"to_resource":"c"}
            $ s r rst --fr a --fs b --tr c
            POST /v1/resource-definitions/a/snapshot-restore-resource/b {"to_resource":"c"}
            $ s r rst n1 n2 --fr a --fs b --tr c --storpool-rename x=y z=w
            POST /v1/resource-definitions/a/snapshot-restore-resource/b {"nodes":["n1","n2"],"stor_pool_rename":{"x":"y","z":"w"},"to_resource":"c"}
        "#]],
    );
}

#[test]
fn drbd_proxy() {
    check(
        &[
            "proxy e a b r",
            "proxy e a b r -p 7777",
            "proxy d a b r",
            "proxy opt r --memlimit 100M --unset-ping-timeout",
            "proxy c none r",
            "proxy c zlib r --level 9",
            "proxy c lzma r --contexts 3 --mode fast",
            "proxy c lz4 r",
            "proxy c zstd r --level 3",
        ],
        expect![[r#"
            $ proxy e a b r
            POST /v1/resource-definitions/r/drbd-proxy/enable/a/b {}
            $ proxy e a b r -p 7777
            POST /v1/resource-definitions/r/drbd-proxy/enable/a/b {"port":7777}
            $ proxy d a b r
            POST /v1/resource-definitions/r/drbd-proxy/disable/a/b
            $ proxy opt r --memlimit 100M --unset-ping-timeout
            PUT /v1/resource-definitions/r/drbd-proxy {"delete_props":["DrbdOptions/Proxy/ping-timeout"],"override_props":{"DrbdOptions/Proxy/memlimit":"104857600"}}
            $ proxy c none r
            PUT /v1/resource-definitions/r/drbd-proxy {"compression_type":"none"}
            $ proxy c zlib r --level 9
            PUT /v1/resource-definitions/r/drbd-proxy {"compression_props":{"DrbdOptions/ProxyCompression/level":"9"},"compression_type":"zlib"}
            $ proxy c lzma r --contexts 3 --mode fast
            PUT /v1/resource-definitions/r/drbd-proxy {"compression_props":{"DrbdOptions/ProxyCompression/contexts":"3","DrbdOptions/ProxyCompression/mode":"fast"},"compression_type":"lzma"}
            $ proxy c lz4 r
            PUT /v1/resource-definitions/r/drbd-proxy {"compression_type":"lz4"}
            $ proxy c zstd r --level 3
            PUT /v1/resource-definitions/r/drbd-proxy {"compression_props":{"DrbdOptions/ProxyCompression/level":"3"},"compression_type":"zstd"}
        "#]],
    );
}

#[test]
fn backup() {
    check(
        &[
            "b l rem",
            "b l rem -r r -s s",
            "b c rem r",
            "b c rem r -f -n n1 -s s1",
            "b d id rem X --cascade --dry-run --keep-snaps",
            "b d id rem X --prefix",
            "b d f rem -t 20260101_000000 -r r -n n",
            "b d a rem",
            "b d a rem -c --dry-run",
            "b d s3 rem key --dry-run",
            "b rst rem n r2 -r r -s s --download-only --target-resource-group g --force-mv-rg",
            "b rst rem n r2 --id X --passphrase pw --storpool-rename a=b --force-restore",
            "b a rem r",
            "b a rem r -r -c -s s",
            "b q l",
            "b q l -n a b -s s --rscs r --remotes x --s2n",
            "b i rem -r r -s s -n n --storpool-rename a=b",
            "b s rem a b --source-node x --target-node y --target-net-if i --target-storage-pool p --storpool-rename a=b --download-only --full --source-snapshot s",
            "b sched en rem sch --node n --target-storage-pool p --target-resource-name t --storpool-rename a=b --rd r --force-restore",
            "b sched en rem sch --rg g",
            "b sched dis rem sch --rd r",
            "b sched d rem sch --rg g",
            "b sched d rem sch --rd g",
        ],
        expect![[r#"
            $ b l rem
            GET /v1/remotes/rem/backups
            $ b l rem -r r -s s
            GET /v1/remotes/rem/backups?rsc_name=r&snap_name=s
            $ b c rem r
            POST /v1/remotes/rem/backups {"incremental":true,"rsc_name":"r"}
            $ b c rem r -f -n n1 -s s1
            POST /v1/remotes/rem/backups {"incremental":false,"node_name":"n1","rsc_name":"r","snap_name":"s1"}
            $ b d id rem X --cascade --dry-run --keep-snaps
            DELETE /v1/remotes/rem/backups?cascading=true&dryrun=true&keep_snaps=true&id=X
            $ b d id rem X --prefix
            DELETE /v1/remotes/rem/backups?id_prefix=X
            $ b d f rem -t 20260101_000000 -r r -n n
            DELETE /v1/remotes/rem/backups?timestamp=20260101_000000&resource_name=r&node_name=n
            $ b d a rem
            DELETE /v1/remotes/rem/backups?all=true
            $ b d a rem -c --dry-run
            DELETE /v1/remotes/rem/backups?dryrun=true&all_local_cluster=true
            $ b d s3 rem key --dry-run
            DELETE /v1/remotes/rem/backups?s3key=key&dryrun=true
            $ b rst rem n r2 -r r -s s --download-only --target-resource-group g --force-mv-rg
            POST /v1/remotes/rem/backups/restore {"download_only":true,"dst_rsc_grp":"g","force_mv_rsc_grp":true,"node_name":"n","src_rsc_name":"r","src_snap_name":"s","target_rsc_name":"r2"}
            $ b rst rem n r2 --id X --passphrase pw --storpool-rename a=b --force-restore
            POST /v1/remotes/rem/backups/restore {"force_restore":true,"last_backup":"X","node_name":"n","passphrase":"pw","stor_pool_map":{"a":"b"},"target_rsc_name":"r2"}
            $ b a rem r
            POST /v1/remotes/rem/backups/abort {"rsc_name":"r"}
            $ b a rem r -r -c -s s
            POST /v1/remotes/rem/backups/abort {"create":true,"restore":true,"rsc_name":"r","snapshot":"s"}
            $ b q l
            GET /v1/view/backup/queue
            $ b q l -n a b -s s --rscs r --remotes x --s2n
            GET /v1/view/backup/queue?nodes=a&nodes=b&snapshots=s&resources=r&remotes=x&snap_to_node=true
            $ b i rem -r r -s s -n n --storpool-rename a=b
            POST /v1/remotes/rem/backups/info {"node_name":"n","src_rsc_name":"r","src_snap_name":"s","stor_pool_map":{"a":"b"}}
            $ b s rem a b --source-node x --target-node y --target-net-if i --target-storage-pool p --storpool-rename a=b --download-only --full --source-snapshot s
            POST /v1/remotes/rem/backups/ship {"allow_incremental":false,"download_only":true,"dst_net_if_name":"i","dst_node_name":"y","dst_rsc_name":"b","dst_stor_pool":"p","src_node_name":"x","src_rsc_name":"a","src_snap_name":"s","stor_pool_rename":{"a":"b"}}
            $ b sched en rem sch --node n --target-storage-pool p --target-resource-name t --storpool-rename a=b --rd r --force-restore
            PUT /v1/remotes/rem/backups/schedule/sch/enable {"dst_rsc_name":"t","dst_stor_pool":"p","force_restore":true,"node_name":"n","rsc_name":"r","stor_pool_rename":{"a":"b"}}
            $ b sched en rem sch --rg g
            PUT /v1/remotes/rem/backups/schedule/sch/enable {"grp_name":"g"}
            $ b sched dis rem sch --rd r
            PUT /v1/remotes/rem/backups/schedule/sch/disable {"rsc_name":"r"}
            $ b sched d rem sch --rg g
            DELETE /v1/remotes/rem/backups/schedule/sch/delete?rsc_grp_name=g
            $ b sched d rem sch --rd g
            DELETE /v1/remotes/rem/backups/schedule/sch/delete?rsc_dfn_name=g
        "#]],
    );
}

#[test]
fn remote() {
    check(
        &[
            "remote l",
            "remote c s3 n http://e buck reg ak sk",
            "remote c s3 n http://e buck reg ak sk --use-path-style",
            "remote c linstor n http://u --cluster-id X --passphrase p",
            "remote c ebs n az ak sk --endpoint e --region r",
            "remote m s3 n --endpoint e --bucket b --region r --access_key a --secret_key s",
            "remote m linstor n --url u --cluster-id X --passphrase p",
            "remote m ebs n --az z --endpoint e --region r --access_key a --secret_key s",
            "remote d n",
        ],
        expect![[r#"
            $ remote l
            GET /v1/remotes
            $ remote c s3 n http://e buck reg ak sk
            POST /v1/remotes/s3 {"access_key":"ak","bucket":"buck","endpoint":"http://e","region":"reg","remote_name":"n","secret_key":"sk"}
            $ remote c s3 n http://e buck reg ak sk --use-path-style
            POST /v1/remotes/s3 {"access_key":"ak","bucket":"buck","endpoint":"http://e","region":"reg","remote_name":"n","secret_key":"sk","use_path_style":true}
            $ remote c linstor n http://u --cluster-id X --passphrase p
            POST /v1/remotes/linstor {"cluster_id":"X","passphrase":"p","remote_name":"n","url":"http://u"}
            $ remote c ebs n az ak sk --endpoint e --region r
            POST /v1/remotes/ebs {"access_key":"ak","availability_zone":"az","endpoint":"e","region":"r","remote_name":"n","secret_key":"sk"}
            $ remote m s3 n --endpoint e --bucket b --region r --access_key a --secret_key s
            PUT /v1/remotes/s3/n {"access_key":"a","bucket":"b","endpoint":"e","region":"r","remote_name":"n","secret_key":"s"}
            $ remote m linstor n --url u --cluster-id X --passphrase p
            PUT /v1/remotes/linstor/n {"cluster_id":"X","passphrase":"p","remote_name":"n","url":"u"}
            $ remote m ebs n --az z --endpoint e --region r --access_key a --secret_key s
            PUT /v1/remotes/ebs/n {"access_key":"a","availability_zone":"z","endpoint":"e","region":"r","remote_name":"n","secret_key":"s"}
            $ remote d n
            DELETE /v1/remotes?remote_name=n
        "#]],
    );
}

#[test]
fn external_file() {
    check(
        &[
            "f l",
            "f s /etc/x",
            "f d /etc/x",
            "f dep /etc/x r",
            "f und /etc/x r",
        ],
        expect![[r#"
            $ f l
            GET /v1/files
            $ f s /etc/x
            GET /v1/files/%2Fetc%2Fx
            $ f d /etc/x
            DELETE /v1/files/%2Fetc%2Fx
            $ f dep /etc/x r
            POST /v1/resource-definitions/r/files/%2Fetc%2Fx
            $ f und /etc/x r
            DELETE /v1/resource-definitions/r/files/%2Fetc%2Fx
        "#]],
    );
}

#[test]
fn support() {
    check(
        &["sos c", "sos c -n a b -r r -e c --no-controller"],
        expect![[r#"
            $ sos c
            GET /v1/sos-report
            $ sos c -n a b -r r -e c --no-controller
            GET /v1/sos-report?nodes=a&nodes=b&rscs=r&exclude=c&include-ctrl=false
        "#]],
    );
}

#[test]
fn schedule() {
    check(
        &[
            "sched l",
            "sched lbr -r a -o b -s c -a",
            "sched lbd r",
            "sched d n",
        ],
        expect![[r#"
            $ sched l
            GET /v1/schedules
            $ sched lbr -r a -o b -s c -a
            GET /v1/view/schedules-by-resource?rsc=a&remote=b&schedule=c&active-only=true
            $ sched lbd r
            GET /v1/view/schedules-by-resource/r
            $ sched d n
            DELETE /v1/schedules/n
        "#]],
    );
}

#[test]
fn key_value_store() {
    check(
        &["kv l", "kv show i", "kv m i k v", "kv m i k"],
        expect![[r#"
            $ kv l
            GET /v1/key-value-store
            $ kv show i
            GET /v1/key-value-store
            $ kv m i k v
            PUT /v1/key-value-store/i {"override_props":{"k":"v"}}
            $ kv m i k
            PUT /v1/key-value-store/i {"delete_props":["k"]}
        "#]],
    );
}

#[test]
fn controller() {
    check(
        &[
            "c setloglevel info --global --lib",
            "c setloglevel debug",
            "c bakdb foo",
        ],
        expect![[r#"
            $ c setloglevel info --global --lib
            PUT /v1/controller/config {"log":{"level_global":"INFO"}}
            $ c setloglevel debug
            PUT /v1/controller/config {"log":{"level_linstor":"DEBUG"}}
            $ c bakdb foo
            POST /v1/controller/backup/db {"backup_name":"foo"}
        "#]],
    );
}

#[test]
fn node() {
    check(
        &[
            "n setloglevel a info",
            "n crspdkt n1 host --api-port 80 --api-user u --api-pw p",
            "n cebst n1 rem",
        ],
        expect![[r#"
            $ n setloglevel a info
            PUT /v1/nodes/a/config {"log":{"level_linstor":"INFO"}}
            $ n crspdkt n1 host --api-port 80 --api-user u --api-pw p
            POST /v1/nodes {"name":"n1","net_interfaces":[{"address":"127.0.0.1","name":"default","satellite_encryption_type":"Plain","satellite_port":3366}],"props":{"StorDriver/RemoteSpdk/ApiHost":"host","StorDriver/RemoteSpdk/ApiPort":"80","StorDriver/RemoteSpdk/UserName":"u","StorDriver/RemoteSpdk/UserPassword":"p"},"type":"Remote_Spdk"}
            $ n cebst n1 rem
            POST /v1/nodes/ebs {"ebs_remote_name":"rem","name":"n1"}
        "#]],
    );
}

#[test]
fn auth_token() {
    check(
        &[
            "c auth init -d x --no-https",
            "c auth c x --ip-filter 10.0.0.1 -e 2027-01-31",
            "c auth l",
            "c auth disable 3",
            "c auth en 3",
            "c auth d 3",
            "c auth m 3 -d y",
        ],
        expect![[r#"
            $ c auth init -d x --no-https
            POST /v1/controller/auth/initialize-token-auth {"description":"x","no_https":true}
            $ c auth c x --ip-filter 10.0.0.1 -e 2027-01-31
            POST /v1/controller/auth/token {"description":"x","expires_at":"2027-01-31","ip_filter":"10.0.0.1"}
            $ c auth l
            GET /v1/controller/auth/token
            $ c auth disable 3
            PUT /v1/controller/auth/token/3 {"is_active":false}
            $ c auth en 3
            PUT /v1/controller/auth/token/3 {"is_active":true}
            $ c auth d 3
            DELETE /v1/controller/auth/token/3
            $ c auth m 3 -d y
            PUT /v1/controller/auth/token/3 {"description":"y"}
        "#]],
    );
}
