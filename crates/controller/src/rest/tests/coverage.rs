//! Every operation of the contract: whether it is there, and which test proves it. `docs/rest-coverage.md` is made of this
//! table and of what the router answers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt as _;

use super::World;
use super::contract::Contract;

/// Operations that do less than LINSTOR's: the beginning of their paths, perhaps after their method, and what is lacking. The
/// first one counts.
#[rustfmt::skip]
const LIMITED: &[(&str, &str)] = &[
    ("/v1/remotes/{}/backups/schedule", "S3 remotes; stored only for others"),
    ("/v1/remotes/{}/backups/ship", "between clusters of this program; LVM_THIN without encryption; resources that are there are not replaced"),
    ("/v1/internal/backups", "between clusters of this program: others are refused"),
    ("/v1/remotes/ebs", "stored only: nothing uses volumes of EBS"),
    ("/v1/nodes/ebs", "checked and refused: nodes of type EBS_TARGET are not implemented"),
];

/// Path with `{}` for each parameter, method, and the test that proves what the operation does: file and function.
#[rustfmt::skip]
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("/", "GET", "edge::the_page_of_the_root"),
    ("/health", "GET", "nodes::controller_properties"),
    ("/metrics", "GET", "events::figures"),
    ("/metrics/scrape-target", "GET", "events::figures"),
    ("/v1/actions/snapshot/multi", "POST", "snapshots::several_at_one_moment"),
    ("/v1/controller/auth/initialize-token-auth", "POST", "auth::callers_authenticate"),
    ("/v1/controller/auth/token", "GET", "auth::a_tokens_life"),
    ("/v1/controller/auth/token", "POST", "auth::a_tokens_life"),
    ("/v1/controller/auth/token/{}", "DELETE", "auth::a_tokens_life"),
    ("/v1/controller/auth/token/{}", "PUT", "auth::a_tokens_life"),
    ("/v1/controller/backup/db", "POST", "questions::copies_of_the_database"),
    ("/v1/controller/config", "GET", "nodes::the_configuration"),
    ("/v1/controller/config", "PUT", "nodes::the_configuration"),
    ("/v1/controller/database/export", "POST", "questions::copies_of_the_database"),
    ("/v1/controller/properties", "GET", "nodes::controller_properties"),
    ("/v1/controller/properties", "POST", "disks::the_cluster_says_whether_ties_are_broken"),
    ("/v1/controller/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/controller/properties/info/all", "GET", "property::keys_are_explained"),
    ("/v1/controller/properties/{}", "DELETE", "nodes::controller_properties"),
    ("/v1/controller/take-over", "POST", "changes::take_over_without_need"),
    ("/v1/controller/version", "GET", "nodes::controller_properties"),
    ("/v1/encryption/passphrase", "GET", "encryption::the_passphrase_locks_and_unlocks"),
    ("/v1/encryption/passphrase", "PATCH", "encryption::the_passphrase_locks_and_unlocks"),
    ("/v1/encryption/passphrase", "POST", "backups::s3_remotes"),
    ("/v1/encryption/passphrase", "PUT", "encryption::the_passphrase_locks_and_unlocks"),
    ("/v1/error-reports", "GET", "nodes::error_reports"),
    ("/v1/error-reports", "PATCH", "nodes::error_reports"),
    ("/v1/error-reports/{}", "DELETE", "nodes::error_reports"),
    ("/v1/error-reports/{}", "GET", "nodes::error_reports"),
    ("/v1/events/drbd/promotion", "GET", "events::events_of_promotion"),
    ("/v1/events/nodes", "GET", "events::events_of_nodes"),
    ("/v1/files", "GET", "files::files_are_kept"),
    ("/v1/files/{}", "DELETE", "files::files_are_kept"),
    ("/v1/files/{}", "GET", "files::files_are_kept"),
    ("/v1/files/{}", "PUT", "files::files_are_kept"),
    ("/v1/files/{}/check/{}", "GET", "files::files_are_kept"),
    ("/v1/files/{}/status/{}", "GET", "files::files_are_kept"),
    ("/v1/internal/backups/requestPrepareAbort", "POST", "shipping::the_conversation_is_guarded"),
    ("/v1/internal/backups/requestPrevSnap", "POST", "shipping::the_conversation_is_guarded"),
    ("/v1/internal/backups/requestReceive", "POST", "shipping::the_conversation_is_guarded"),
    ("/v1/internal/backups/requestReceiveDone", "POST", "shipping::the_conversation_is_guarded"),
    ("/v1/internal/backups/requestShip", "POST", "shipping::the_conversation_is_guarded"),
    ("/v1/jobs", "GET", "job::what_cannot_be_cancelled_goes_on"),
    ("/v1/jobs/{}", "GET", "job::a_job_is_cancelled_later"),
    ("/v1/jobs/{}/cancel", "POST", "job::a_job_is_cancelled"),
    ("/v1/key-value-store", "GET", "nodes::key_value_stores"),
    ("/v1/key-value-store/{}", "DELETE", "nodes::key_value_stores"),
    ("/v1/key-value-store/{}", "GET", "nodes::key_value_stores"),
    ("/v1/key-value-store/{}", "PUT", "nodes::key_value_stores"),
    ("/v1/node-connections", "GET", "changes::older_forms_of_toggle_disk"),
    ("/v1/node-connections/{}/{}", "PUT", "nodes::connections"),
    ("/v1/nodes", "GET", "nodes::a_nodes_life"),
    ("/v1/nodes", "POST", "settle::a_deleted_resource_is_settled"),
    ("/v1/nodes/ebs", "POST", "backups::absent_backups"),
    ("/v1/nodes/exec/drbd-reactorctl/disable", "POST", "questions::drbd_reactor"),
    ("/v1/nodes/exec/drbd-reactorctl/enable", "POST", "questions::drbd_reactor"),
    ("/v1/nodes/exec/drbd-reactorctl/evict", "POST", "questions::drbd_reactor"),
    ("/v1/nodes/exec/drbd-reactorctl/restart", "POST", "questions::drbd_reactor"),
    ("/v1/nodes/exec/drbd-reactorctl/status", "POST", "questions::drbd_reactor"),
    ("/v1/nodes/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/nodes/{}", "DELETE", "nodes::a_nodes_life"),
    ("/v1/nodes/{}", "PUT", "events::events_of_nodes"),
    ("/v1/nodes/{}/config", "GET", "questions::settings_of_satellites"),
    ("/v1/nodes/{}/config", "PUT", "questions::settings_of_satellites"),
    ("/v1/nodes/{}/evacuate", "PUT", "nodes::nodes_are_emptied_and_restored"),
    ("/v1/nodes/{}/evict", "PUT", "nodes::nodes_are_emptied_and_restored"),
    ("/v1/nodes/{}/lost", "DELETE", "nodes::a_node_that_is_away"),
    ("/v1/nodes/{}/net-interfaces", "GET", "nodes::interfaces"),
    ("/v1/nodes/{}/net-interfaces", "POST", "nodes::interfaces"),
    ("/v1/nodes/{}/net-interfaces/{}", "DELETE", "nodes::interfaces"),
    ("/v1/nodes/{}/net-interfaces/{}", "PUT", "nodes::interfaces"),
    ("/v1/nodes/{}/reconnect", "PUT", "nodes::a_nodes_life"),
    ("/v1/nodes/{}/restore", "PUT", "nodes::nodes_are_emptied_and_restored"),
    ("/v1/nodes/{}/storage-pools", "GET", "nodes::a_nodes_life"),
    ("/v1/nodes/{}/storage-pools", "POST", "settle::a_deleted_resource_is_settled"),
    ("/v1/nodes/{}/storage-pools/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/nodes/{}/storage-pools/{}", "DELETE", "nodes::pools_come_and_go"),
    ("/v1/nodes/{}/storage-pools/{}", "PUT", "changes::pools_and_groups"),
    ("/v1/physical-storage", "GET", "physical_storage::free_devices_are_listed"),
    ("/v1/physical-storage/{}", "GET", "physical_storage::free_devices_are_listed"),
    ("/v1/physical-storage/{}", "POST", "physical_storage::pools_are_made_of_devices"),
    ("/v1/queries/resource-groups/query-all-size-info", "POST", "story::sizes"),
    ("/v1/query-max-volume-size", "OPTIONS", "story::sizes"),
    ("/v1/remotes", "DELETE", "backups::linstor_remotes"),
    ("/v1/remotes", "GET", "encryption::secrets_of_remotes_are_sealed"),
    ("/v1/remotes/ebs", "GET", "encryption::secrets_of_remotes_are_sealed"),
    ("/v1/remotes/ebs", "POST", "encryption::secrets_of_remotes_are_sealed"),
    ("/v1/remotes/ebs/{}", "PUT", "backups::ebs_remotes"),
    ("/v1/remotes/linstor", "GET", "backups::linstor_remotes"),
    ("/v1/remotes/linstor", "POST", "backups::linstor_remotes"),
    ("/v1/remotes/linstor/{}", "PUT", "backups::linstor_remotes"),
    ("/v1/remotes/s3", "GET", "backups::s3_remotes"),
    ("/v1/remotes/s3", "POST", "backups::s3_remotes"),
    ("/v1/remotes/s3/{}", "PUT", "backups::s3_remotes"),
    ("/v1/remotes/{}/backups", "DELETE", "backup_store::backups_are_deleted"),
    ("/v1/remotes/{}/backups", "GET", "backup_store::backups_are_listed"),
    ("/v1/remotes/{}/backups", "POST", "backup_store::backups_are_made"),
    ("/v1/remotes/{}/backups/abort", "POST", "backup_store::backups_are_made"),
    ("/v1/remotes/{}/backups/info", "POST", "backup_store::backups_are_described"),
    ("/v1/remotes/{}/backups/restore", "POST", "backups::absent_backups"),
    ("/v1/remotes/{}/backups/schedule/{}/delete", "DELETE", "backups::schedules_are_inherited"),
    ("/v1/remotes/{}/backups/schedule/{}/disable", "PUT", "backups::schedules_are_inherited"),
    ("/v1/remotes/{}/backups/schedule/{}/enable", "PUT", "backups::schedules_are_inherited"),
    ("/v1/remotes/{}/backups/ship", "POST", "shipping::a_snapshot_is_shipped"),
    ("/v1/remotes/{}/backups/verify", "POST", "backup_store::backups_are_verified"),
    ("/v1/resource-definitions", "GET", "lists::long_lists_are_whole"),
    ("/v1/resource-definitions", "POST", "settle::a_deleted_resource_is_settled"),
    ("/v1/resource-definitions/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/resource-definitions/{}", "DELETE", "story::deleting"),
    ("/v1/resource-definitions/{}", "PUT", "disks::data_is_kept"),
    ("/v1/resource-definitions/{}/autoplace", "POST", "story::autoplace_and_adjust"),
    ("/v1/resource-definitions/{}/clone", "POST", "clone::a_definition_is_cloned"),
    ("/v1/resource-definitions/{}/clone/{}", "GET", "clone::a_definition_is_cloned"),
    ("/v1/resource-definitions/{}/drbd-proxy", "PUT", "nodes::connections"),
    ("/v1/resource-definitions/{}/drbd-proxy/disable/{}/{}", "POST", "nodes::connections"),
    ("/v1/resource-definitions/{}/drbd-proxy/enable/{}/{}", "POST", "nodes::connections"),
    ("/v1/resource-definitions/{}/drbd-proxy/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/resource-definitions/{}/files/{}", "DELETE", "files::files_are_undeployed"),
    ("/v1/resource-definitions/{}/files/{}", "POST", "files::resource_definitions_need_files"),
    ("/v1/resource-definitions/{}/resource-connections", "GET", "changes::older_forms_of_toggle_disk"),
    ("/v1/resource-definitions/{}/resource-connections/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/resource-definitions/{}/resource-connections/{}/{}", "GET", "nodes::connections"),
    ("/v1/resource-definitions/{}/resource-connections/{}/{}", "PUT", "nodes::connections"),
    ("/v1/resource-definitions/{}/resources", "GET", "disks::the_cluster_says_whether_ties_are_broken"),
    ("/v1/resource-definitions/{}/resources", "POST", "files::resource_definitions_need_files"),
    ("/v1/resource-definitions/{}/resources/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/resource-definitions/{}/resources/{}", "DELETE", "disks::tie_breakers"),
    ("/v1/resource-definitions/{}/resources/{}", "POST", "story::resources_by_hand"),
    ("/v1/resource-definitions/{}/resources/{}", "PUT", "story::properties"),
    ("/v1/resource-definitions/{}/resources/{}/activate", "POST", "disks::activate"),
    ("/v1/resource-definitions/{}/resources/{}/deactivate", "POST", "disks::activate"),
    ("/v1/resource-definitions/{}/resources/{}/make-available", "POST", "disks::make_available"),
    ("/v1/resource-definitions/{}/resources/{}/migrate-disk/{}", "PUT", "changes::older_forms_of_toggle_disk"),
    ("/v1/resource-definitions/{}/resources/{}/migrate-disk/{}/{}", "PUT", "disks::toggle_disk"),
    ("/v1/resource-definitions/{}/resources/{}/toggle-disk", "PUT", "disks::toggle_disk"),
    ("/v1/resource-definitions/{}/resources/{}/toggle-disk/diskful", "PUT", "changes::older_forms_of_toggle_disk"),
    ("/v1/resource-definitions/{}/resources/{}/toggle-disk/diskful/{}", "PUT", "changes::older_forms_of_toggle_disk"),
    ("/v1/resource-definitions/{}/resources/{}/toggle-disk/diskless", "PUT", "changes::older_forms_of_toggle_disk"),
    ("/v1/resource-definitions/{}/resources/{}/toggle-disk/diskless/{}", "PUT", "changes::older_forms_of_toggle_disk"),
    ("/v1/resource-definitions/{}/resources/{}/volumes", "GET", "changes::older_forms_of_toggle_disk"),
    ("/v1/resource-definitions/{}/resources/{}/volumes/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/resource-definitions/{}/resources/{}/volumes/{}", "PUT", "story::properties"),
    ("/v1/resource-definitions/{}/snapshot-restore-resource/{}", "POST", "restore::a_resource_is_restored"),
    ("/v1/resource-definitions/{}/snapshot-restore-volume-definition/{}", "POST", "restore::a_resource_is_restored"),
    ("/v1/resource-definitions/{}/snapshot-rollback/{}", "POST", "rollback::a_rollback"),
    ("/v1/resource-definitions/{}/snapshots", "GET", "snapshots::a_snapshots_life"),
    ("/v1/resource-definitions/{}/snapshots", "POST", "snapshots::a_snapshots_life"),
    ("/v1/resource-definitions/{}/snapshots/{}", "DELETE", "snapshots::some_nodes"),
    ("/v1/resource-definitions/{}/snapshots/{}", "GET", "snapshots::a_snapshots_life"),
    ("/v1/resource-definitions/{}/snapshots/{}", "PUT", "snapshots::properties_of_a_snapshot"),
    ("/v1/resource-definitions/{}/sync-status", "GET", "story::spawning"),
    ("/v1/resource-definitions/{}/volume-definitions", "GET", "story::spawn_is_all_or_nothing"),
    ("/v1/resource-definitions/{}/volume-definitions", "POST", "settle::a_deleted_resource_is_settled"),
    ("/v1/resource-definitions/{}/volume-definitions/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/resource-definitions/{}/volume-definitions/{}", "DELETE", "story::resize"),
    ("/v1/resource-definitions/{}/volume-definitions/{}", "PUT", "story::resize"),
    ("/v1/resource-definitions/{}/volume-definitions/{}/encryption-passphrase", "PUT", "bad_input::bodies"),
    ("/v1/resource-groups", "GET", "lists::filters_and_pages"),
    ("/v1/resource-groups", "POST", "story::failing_and_absent_nodes"),
    ("/v1/resource-groups/adjustall", "POST", "story::autoplace_and_adjust"),
    ("/v1/resource-groups/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/resource-groups/{}", "DELETE", "story::deleting"),
    ("/v1/resource-groups/{}", "PUT", "changes::pools_and_groups"),
    ("/v1/resource-groups/{}/adjust", "POST", "story::autoplace_and_adjust"),
    ("/v1/resource-groups/{}/query-max-volume-size", "GET", "story::sizes"),
    ("/v1/resource-groups/{}/query-size-info", "POST", "story::sizes"),
    ("/v1/resource-groups/{}/spawn", "POST", "lists::rows_are_what_the_types_say"),
    ("/v1/resource-groups/{}/volume-groups", "GET", "changes::pools_and_groups"),
    ("/v1/resource-groups/{}/volume-groups", "POST", "settle::a_definition_without_drbd_is_not_pending"),
    ("/v1/resource-groups/{}/volume-groups/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/resource-groups/{}/volume-groups/{}", "DELETE", "bad_input::absent_deletes"),
    ("/v1/resource-groups/{}/volume-groups/{}", "PUT", "changes::pools_and_groups"),
    ("/v1/schedules", "GET", "backups::schedules"),
    ("/v1/schedules", "POST", "backups::schedules"),
    ("/v1/schedules/{}", "DELETE", "backups::schedules"),
    ("/v1/schedules/{}", "PUT", "backups::schedules"),
    ("/v1/sos-report", "GET", "questions::reports_for_support"),
    ("/v1/sos-report/download", "GET", "questions::reports_for_support"),
    ("/v1/space-report", "GET", "changes::statistics"),
    ("/v1/stats/error-reports", "GET", "nodes::error_reports"),
    ("/v1/stats/nodes", "GET", "changes::statistics"),
    ("/v1/stats/resource-definitions", "GET", "changes::statistics"),
    ("/v1/stats/resource-groups", "GET", "changes::statistics"),
    ("/v1/stats/resources", "GET", "changes::statistics"),
    ("/v1/stats/storage-pools", "GET", "changes::statistics"),
    ("/v1/storage-pool-definitions", "GET", "changes::pools_and_groups"),
    ("/v1/storage-pool-definitions", "POST", "changes::pools_and_groups"),
    ("/v1/storage-pool-definitions/properties/info", "GET", "property::keys_are_explained"),
    ("/v1/storage-pool-definitions/{}", "DELETE", "nodes::pools_come_and_go"),
    ("/v1/storage-pool-definitions/{}", "GET", "nodes::pools_come_and_go"),
    ("/v1/storage-pool-definitions/{}", "PUT", "changes::pools_and_groups"),
    ("/v1/view/backup/queue", "GET", "scheduled_backups::what_waits_is_listed"),
    ("/v1/view/resources", "GET", "lists::long_lists_are_whole"),
    ("/v1/view/schedules-by-resource", "GET", "scheduled_backups::backups_are_made_at_their_times"),
    ("/v1/view/schedules-by-resource/{}", "GET", "backups::schedules_are_inherited"),
    ("/v1/view/snapshots", "GET", "snapshots::a_snapshots_life"),
    ("/v1/view/storage-pools", "GET", "nodes::pools_come_and_go"),
];

/// What a probe of an operation shows.
enum State {
    Works,
    NotImplemented,
    /// The router has no such route.
    Missing,
}

/// Asks for an operation of something that is not there.
async fn probe(world: &World, method: &str, path: &str) -> State {
    let numbered = path
        .replace("volume-definitions/{}", "volume-definitions/0")
        .replace("volume-groups/{}", "volume-groups/0")
        .replace("volumes/{}", "volumes/0")
        .replace("files/{}", "files/%2Fxx");
    let path = numbered.replace("{}", "xxx");
    let request = || Request::builder().method(method).uri(&path);
    if path.starts_with("/v1/events/") {
        // They do not end.
        let request = request().body(Body::empty()).expect("a request");
        let answer = world.app.clone().oneshot(request).await.expect("an answer");
        return match answer.headers()["content-type"].as_bytes() {
            b"text/event-stream" => State::Works,
            _ => State::Missing,
        };
    }
    let request = request().body(Body::from("{}")).expect("a request");
    let answer = world.app.clone().oneshot(request).await.expect("an answer");
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
    let body = String::from_utf8_lossy(&body.expect("a body")).into_owned();
    if status == 405 || body.contains("not found on server") {
        return State::Missing;
    }
    // The list of error reports has the refusals of earlier probes.
    match status == 500 && body.contains("is not implemented yet by this controller") {
        true => State::NotImplemented,
        false => State::Works,
    }
}

/// The names of all tests of the API: file and function.
fn tests() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rest/tests");
    let files = std::fs::read_dir(directory).expect("the tests have a directory");
    let mut names = Vec::new();
    for file in files {
        let path = file.expect("it is listed").path();
        let text = std::fs::read_to_string(&path).expect("it is listed");
        let file = path
            .file_stem()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let functions = text
            .lines()
            .filter_map(|line| line.strip_prefix("async fn "));
        let functions = functions.filter_map(|line| line.strip_suffix("() {"));
        names.extend(functions.map(|name| format!("{file}::{name}")));
    }
    names
}

/// The document is as the router and the tests are. `UPDATE_COVERAGE=1` writes it anew.
#[tokio::test(start_paused = true)]
async fn the_coverage_document_is_up_to_date() {
    let world = World::new().await;
    let tests = tests();
    let mut wrong = Vec::new();
    let mut rows = String::new();
    let (mut works, mut limits, mut missing) = (0, 0, 0);
    for (path, method, proof) in OPERATIONS {
        let state = match probe(&world, method, path).await {
            State::Missing => {
                missing += 1;
                "not implemented: no such route".to_owned()
            }
            State::NotImplemented => {
                missing += 1;
                "not implemented".to_owned()
            }
            State::Works => {
                if !tests.iter().any(|test| test == proof) {
                    wrong.push(format!(
                        "{method} {path}: '{proof}' is no test; name one that proves it"
                    ));
                }
                let (line, path) = (format!("{method} {path}$"), format!("{path}$"));
                let begins = |of: &str| line.starts_with(of) || path.starts_with(of);
                let mut limited = LIMITED.iter().filter(|(of, _)| begins(of));
                match limited.next() {
                    Some((_, lacks)) => {
                        limits += 1;
                        (*lacks).to_owned()
                    }
                    None => {
                        works += 1;
                        "works".to_owned()
                    }
                }
            }
        };
        let proof = if state.starts_with("not implemented") {
            ""
        } else {
            proof
        };
        writeln!(rows, "| {method} | `{path}` | {state} | {proof} |").expect("a string takes all");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let text = format!(
        "# Operations of the REST API\n\n\
         Made by the test `rest::tests::coverage` from the answers of the router; `UPDATE_COVERAGE=1 cargo test -p \
         linstor-controller coverage` writes it.\n\
         {} operations: {works} work, {limits} do less than LINSTOR's, {missing} are not implemented.\n\n\
         | method | path | state | test |\n|---|---|---|---|\n{rows}",
        OPERATIONS.len()
    );
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rest-coverage.md");
    if std::env::var_os("UPDATE_COVERAGE").is_some() {
        std::fs::write(&file, &text).expect("the document can be written");
    }
    let found = std::fs::read_to_string(&file).expect("the document is there");
    let differs = text
        .lines()
        .zip(found.lines())
        .find(|(new, old)| new != old);
    assert!(
        text == found,
        "docs/rest-coverage.md is out of date, write it with UPDATE_COVERAGE=1: {differs:?}"
    );
}

/// Tests of the API that the document on complaints names are there.
#[test]
fn the_complaints_name_tests() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/complaints.md");
    let text = std::fs::read_to_string(file).expect("the document is there");
    let tests = tests();
    let named = text
        .split('`')
        .filter_map(|word| word.strip_prefix("rest::"));
    let named: Vec<&str> = named.filter(|word| word.contains("::")).collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        assert!(tests.iter().any(|test| test == name), "{name} is no test");
    }
}

/// The table has every operation of the contract, while the contract is there.
#[test]
fn every_operation_of_the_contract_is_listed() {
    let Some(contract) = Contract::get() else {
        return;
    };
    let listed = |method: &str, path: &str| {
        OPERATIONS
            .iter()
            .any(|(of, by, _)| (*of, *by) == (path, method))
    };
    for (method, path) in contract.operations() {
        assert!(listed(&method, &path), "{method} {path}");
    }
}
