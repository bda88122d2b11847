//! Every operation of the contract has a route, and what is implemented is listed.

use super::super::not_implemented::{EMPTY, OPERATIONS};
use super::World;

/// The operations that this program has: method and path, a number or name standing for each parameter.
#[rustfmt::skip]
const IMPLEMENTED: &[(&str, &str)] = &[
    ("GET", "/health"),
    ("POST", "/v1/resource-definitions/xx/clone"),
    ("GET", "/v1/resource-definitions/xx/clone/xx"),
    ("POST", "/v1/resource-definitions/xx/snapshot-restore-resource/xx"),
    ("POST", "/v1/resource-definitions/xx/snapshot-restore-volume-definition/xx"),
    ("POST", "/v1/resource-definitions/xx/snapshot-rollback/xx"),
    ("GET", "/v1/resource-definitions/xx/snapshots"),
    ("POST", "/v1/resource-definitions/xx/snapshots"),
    ("GET", "/v1/resource-definitions/xx/snapshots/xx"),
    ("PUT", "/v1/resource-definitions/xx/snapshots/xx"),
    ("DELETE", "/v1/resource-definitions/xx/snapshots/xx"),
    ("POST", "/v1/actions/snapshot/multi"),
    ("GET", "/v1/view/snapshots"),
    ("PUT", "/v1/resource-definitions/xx/volume-definitions/0/encryption-passphrase"),
    ("GET", "/metrics/scrape-target"),
    ("GET", "/v1/controller/properties"),
    ("POST", "/v1/controller/properties"),
    ("DELETE", "/v1/controller/properties/x/y"),
    ("POST", "/v1/controller/take-over"),
    ("GET", "/v1/controller/config"),
    ("PUT", "/v1/controller/config"),
    ("GET", "/v1/controller/version"),
    ("GET", "/v1/encryption/passphrase"),
    ("POST", "/v1/encryption/passphrase"),
    ("PUT", "/v1/encryption/passphrase"),
    ("PATCH", "/v1/encryption/passphrase"),
    ("GET", "/v1/files"),
    ("GET", "/v1/files/%2Fxx"),
    ("PUT", "/v1/files/%2Fxx"),
    ("DELETE", "/v1/files/%2Fxx"),
    ("GET", "/v1/files/%2Fxx/check/xx"),
    ("GET", "/v1/error-reports"),
    ("PATCH", "/v1/error-reports"),
    ("GET", "/v1/error-reports/xx"),
    ("DELETE", "/v1/error-reports/xx"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/xx"),
    ("POST", "/v1/jobs/xx/cancel"),
    ("GET", "/v1/key-value-store"),
    ("GET", "/v1/key-value-store/xx"),
    ("PUT", "/v1/key-value-store/xx"),
    ("DELETE", "/v1/key-value-store/xx"),
    ("GET", "/v1/node-connections"),
    ("PUT", "/v1/node-connections/xx/yy"),
    ("GET", "/v1/nodes"),
    ("POST", "/v1/nodes"),
    ("GET", "/v1/nodes/xx"),
    ("PUT", "/v1/nodes/xx"),
    ("DELETE", "/v1/nodes/xx"),
    ("DELETE", "/v1/nodes/xx/lost"),
    ("PUT", "/v1/nodes/xx/evacuate"),
    ("PUT", "/v1/nodes/xx/evict"),
    ("PUT", "/v1/nodes/xx/reconnect"),
    ("PUT", "/v1/nodes/xx/restore"),
    ("GET", "/v1/nodes/xx/net-interfaces"),
    ("POST", "/v1/nodes/xx/net-interfaces"),
    ("GET", "/v1/nodes/xx/net-interfaces/xxx"),
    ("PUT", "/v1/nodes/xx/net-interfaces/xxx"),
    ("DELETE", "/v1/nodes/xx/net-interfaces/xxx"),
    ("GET", "/v1/nodes/xx/storage-pools"),
    ("POST", "/v1/nodes/xx/storage-pools"),
    ("GET", "/v1/nodes/xx/storage-pools/xxx"),
    ("PUT", "/v1/nodes/xx/storage-pools/xxx"),
    ("DELETE", "/v1/nodes/xx/storage-pools/xxx"),
    ("POST", "/v1/queries/resource-groups/query-all-size-info"),
    ("OPTIONS", "/v1/query-max-volume-size"),
    ("GET", "/v1/remotes"),
    ("DELETE", "/v1/remotes"),
    ("GET", "/v1/remotes/ebs"),
    ("POST", "/v1/remotes/ebs"),
    ("PUT", "/v1/remotes/ebs/xx"),
    ("GET", "/v1/remotes/linstor"),
    ("POST", "/v1/remotes/linstor"),
    ("PUT", "/v1/remotes/linstor/xx"),
    ("GET", "/v1/remotes/s3"),
    ("POST", "/v1/remotes/s3"),
    ("PUT", "/v1/remotes/s3/xx"),
    ("PUT", "/v1/remotes/xx/backups/schedule/xx/enable"),
    ("PUT", "/v1/remotes/xx/backups/schedule/xx/disable"),
    ("DELETE", "/v1/remotes/xx/backups/schedule/xx/delete"),
    ("GET", "/v1/resource-definitions"),
    ("POST", "/v1/resource-definitions"),
    ("GET", "/v1/resource-definitions/xx"),
    ("PUT", "/v1/resource-definitions/xx"),
    ("DELETE", "/v1/resource-definitions/xx"),
    ("POST", "/v1/resource-definitions/xx/autoplace"),
    ("POST", "/v1/resource-definitions/xx/files/%2Fxx"),
    ("DELETE", "/v1/resource-definitions/xx/files/%2Fxx"),
    ("PUT", "/v1/resource-definitions/xx/drbd-proxy"),
    ("POST", "/v1/resource-definitions/xx/drbd-proxy/disable/xx/yy"),
    ("POST", "/v1/resource-definitions/xx/drbd-proxy/enable/xx/yy"),
    ("GET", "/v1/resource-definitions/xx/resource-connections"),
    ("GET", "/v1/resource-definitions/xx/resource-connections/xx/yy"),
    ("PUT", "/v1/resource-definitions/xx/resource-connections/xx/yy"),
    ("GET", "/v1/resource-definitions/xx/resources"),
    ("POST", "/v1/resource-definitions/xx/resources"),
    ("DELETE", "/v1/resource-definitions/xx/resources"),
    ("GET", "/v1/resource-definitions/xx/resources/xx"),
    ("POST", "/v1/resource-definitions/xx/resources/xx"),
    ("PUT", "/v1/resource-definitions/xx/resources/xx"),
    ("DELETE", "/v1/resource-definitions/xx/resources/xx"),
    ("POST", "/v1/resource-definitions/xx/resources/xx/activate"),
    ("POST", "/v1/resource-definitions/xx/resources/xx/deactivate"),
    ("POST", "/v1/resource-definitions/xx/resources/xx/make-available"),
    ("POST", "/v1/resource-definitions/xx/resources/xx/unmake-available"),
    ("PUT", "/v1/resource-definitions/xx/resources/xx/migrate-disk/xx"),
    ("PUT", "/v1/resource-definitions/xx/resources/xx/migrate-disk/xx/xxx"),
    ("PUT", "/v1/resource-definitions/xx/resources/xx/toggle-disk"),
    ("PUT", "/v1/resource-definitions/xx/resources/xx/toggle-disk/diskful"),
    ("PUT", "/v1/resource-definitions/xx/resources/xx/toggle-disk/diskful/xxx"),
    ("PUT", "/v1/resource-definitions/xx/resources/xx/toggle-disk/diskless"),
    ("PUT", "/v1/resource-definitions/xx/resources/xx/toggle-disk/diskless/xxx"),
    ("GET", "/v1/resource-definitions/xx/resources/xx/volumes"),
    ("GET", "/v1/resource-definitions/xx/resources/xx/volumes/0"),
    ("PUT", "/v1/resource-definitions/xx/resources/xx/volumes/0"),
    ("GET", "/v1/resource-definitions/xx/sync-status"),
    ("GET", "/v1/resource-definitions/xx/volume-definitions"),
    ("POST", "/v1/resource-definitions/xx/volume-definitions"),
    ("GET", "/v1/resource-definitions/xx/volume-definitions/0"),
    ("PUT", "/v1/resource-definitions/xx/volume-definitions/0"),
    ("DELETE", "/v1/resource-definitions/xx/volume-definitions/0"),
    ("GET", "/v1/resource-groups"),
    ("POST", "/v1/resource-groups"),
    ("POST", "/v1/resource-groups/adjustall"),
    ("GET", "/v1/resource-groups/xx"),
    ("PUT", "/v1/resource-groups/xx"),
    ("DELETE", "/v1/resource-groups/xx"),
    ("POST", "/v1/resource-groups/xx/adjust"),
    ("GET", "/v1/resource-groups/xx/query-max-volume-size"),
    ("POST", "/v1/resource-groups/xx/query-size-info"),
    ("POST", "/v1/resource-groups/xx/spawn"),
    ("GET", "/v1/resource-groups/xx/volume-groups"),
    ("POST", "/v1/resource-groups/xx/volume-groups"),
    ("GET", "/v1/resource-groups/xx/volume-groups/0"),
    ("PUT", "/v1/resource-groups/xx/volume-groups/0"),
    ("DELETE", "/v1/resource-groups/xx/volume-groups/0"),
    ("GET", "/v1/schedules"),
    ("POST", "/v1/schedules"),
    ("PUT", "/v1/schedules/xx"),
    ("DELETE", "/v1/schedules/xx"),
    ("GET", "/v1/space-report"),
    ("GET", "/v1/stats/error-reports"),
    ("GET", "/v1/stats/nodes"),
    ("GET", "/v1/stats/resource-definitions"),
    ("GET", "/v1/stats/resource-groups"),
    ("GET", "/v1/stats/resources"),
    ("GET", "/v1/stats/storage-pools"),
    ("GET", "/v1/storage-pool-definitions"),
    ("POST", "/v1/storage-pool-definitions"),
    ("GET", "/v1/storage-pool-definitions/xxx"),
    ("PUT", "/v1/storage-pool-definitions/xxx"),
    ("DELETE", "/v1/storage-pool-definitions/xxx"),
    ("GET", "/v1/view/backup/queue"),
    ("GET", "/v1/view/resources"),
    ("GET", "/v1/view/schedules-by-resource"),
    ("GET", "/v1/view/schedules-by-resource/xx"),
    ("GET", "/v1/view/storage-pools"),
    ("GET", "/v1/controller/properties/info"),
    ("GET", "/v1/controller/properties/info/all"),
    ("GET", "/v1/nodes/properties/info"),
    ("GET", "/v1/nodes/xx/storage-pools/properties/info"),
    ("GET", "/v1/storage-pool-definitions/properties/info"),
    ("GET", "/v1/resource-groups/properties/info"),
    ("GET", "/v1/resource-groups/xx/volume-groups/properties/info"),
    ("GET", "/v1/resource-definitions/properties/info"),
    ("GET", "/v1/resource-definitions/xx/resources/properties/info"),
    ("GET", "/v1/resource-definitions/xx/volume-definitions/properties/info"),
    ("GET", "/v1/resource-definitions/xx/resources/xx/volumes/properties/info"),
    ("GET", "/v1/resource-definitions/xx/resource-connections/properties/info"),
    ("GET", "/v1/resource-definitions/xx/drbd-proxy/properties/info"),
];

/// What is listed is routed to code of its own: it never says that the path, the method or the ability is missing.
#[tokio::test(start_paused = true)]
async fn what_is_listed_is_there() {
    let world = World::new().await;
    for (method, path) in IMPLEMENTED {
        let answer = world.call(method, path, "{}").await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        for missing in [
            "not found on server",
            "not allowed on path",
            "not implemented",
        ] {
            assert!(!said.contains(missing), "{method} {path}: {said}");
        }
        assert_ne!(answer.status, 405, "{method} {path}");
        if path.starts_with("/v1/") {
            answer.json();
        }
    }
}

/// What is not there says so, and nothing of it looks like success.
#[tokio::test(start_paused = true)]
async fn what_is_missing_says_so() {
    let world = World::new().await;
    for (method, path, what) in OPERATIONS {
        let path = path.replace(['{', '}'], "");
        let answer = world.call(method, &path, "{}").await;
        assert_eq!(answer.status, 500, "{method} {path}");
        assert_eq!(answer.names(), ["FAIL_UNKNOWN_ERROR"]);
        let message = format!("{what} is not implemented yet by this controller");
        assert_eq!(answer.json()[0]["message"], message);
    }
    for (path, _) in EMPTY {
        world.get(&path.replace(['{', '}'], "")).await;
    }
}
