//! `linstor backup`: backups of resources on remotes.

use linstor_api::size::format_kib;
use serde_json::Value as Json;

use super::list_options::PASTABLE;
use super::rows::{below, entries, text, time};
use crate::action::{Action, Screen, read};
use crate::define::{Arg, Command, Given, Names, flag, group, modify, object, option, own, value};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;

const REMOTE: Arg = value("remote", "Name of the remote").of(Names::Remote);
const DELETE: &str = "DELETE remotes/{remote}/backups";
const CASCADE: Arg = flag(
    "--cascade --cascading",
    "Also the backups that are based on them",
)
.query("cascading");
const DRY_RUN: Arg = flag("--dry-run --dryrun", "Only show what would be deleted").query("dryrun");
const KEEP_SNAPSHOTS: Arg = flag(
    "--keep-snaps --keep-snapshots",
    "Do not delete the snapshots of this cluster",
)
.query("keep_snaps");
const DOWNLOAD_ONLY: Arg = flag("--download-only", "Do not make resources of it")
    .conflicts(&["force-restore"])
    .body("download_only");
const FORCE_RESTORE: Arg =
    flag("--force-restore", "Replace a resource that exists").body("force_restore");
const TARGET_GROUP: Arg = option(
    "--target-resource-group",
    "Resource group of the restored resource",
)
.of(Names::ResourceGroup)
.body("dst_rsc_grp");
const FORCE_GROUP: Arg = flag(
    "--force-move-resource-group --force-mv-rg",
    "Use that resource group even if the resource definition exists in another one",
)
.body("force_mv_rsc_grp");
const RENAME_HELP: &str = "Storage pools that replace those of the backup: old=new";
const RENAME: Arg = option("--storpool-rename", RENAME_HELP)
    .any()
    .pairs()
    .body("stor_pool_rename");
const RENAME_MAP: Arg = option("--storpool-rename", RENAME_HELP)
    .any()
    .pairs()
    .body("stor_pool_map");
const SOURCE: Arg = option("--resource -r", "The latest backup of this resource")
    .of(Names::Resource)
    .body("src_rsc_name");
const SOURCE_SNAPSHOT: Arg =
    option("--snapshot -s", "The backup of this snapshot").body("src_snap_name");
const ID: Arg = option("--id", "The backup with this id").body("last_backup");
const SCHEDULE: Arg = value("schedule", "Name of the schedule").of(Names::Schedule);
const OF_RESOURCE: Arg = option(
    "--rd --resource-definition",
    "Only for this resource definition",
)
.of(Names::Resource)
.conflicts(&["rg"]);
const OF_GROUP: Arg =
    option("--rg --resource-group", "Only for this resource group").of(Names::ResourceGroup);

pub const BACKUP_COMMANDS: Command = group(
    "backup b",
    "Backups of resources on remotes",
    &[
        object(
            "list l",
            "List the backups on a remote",
            "GET remotes/{remote}/backups",
            &[
                PASTABLE,
                option("--resource -r", "Only of this resource")
                    .of(Names::Resource)
                    .query("rsc_name"),
                option("--snapshot -s", "Only of snapshots with this name").query("snap_name"),
                flag("--others -o", "Only objects that are no backups of LINSTOR"),
                flag("--show-id -i", "Show the ids of the backups"),
                REMOTE,
            ],
            show,
        ),
        modify(
            "create c",
            "Back a resource up to a remote",
            "POST remotes/{remote}/backups",
            &[
                REMOTE,
                value("resource", "Name of the resource")
                    .of(Names::Resource)
                    .body("rsc_name"),
                flag(
                    "--full -f",
                    "A full backup, not one that is based on the latest",
                )
                .unless("incremental"),
                option("--node -n", "Node that should send it")
                    .of(Names::Node)
                    .body("node_name"),
                option(
                    "--snapshot -s --source-snapshot",
                    "Name of the snapshot that is made",
                )
                .body("snap_name"),
            ],
        ),
        group(
            "delete d",
            "Delete backups on a remote",
            &[
                own(
                    "id",
                    "Delete a backup by its id",
                    &[
                        REMOTE,
                        value("id", "Id of the backup"),
                        flag("--prefix", "All whose id begins so"),
                        CASCADE,
                        DRY_RUN,
                        KEEP_SNAPSHOTS,
                    ],
                    |given| {
                        let key = if given.has("prefix") {
                            "id_prefix"
                        } else {
                            "id"
                        };
                        let request = given.request(DELETE, &[CASCADE, DRY_RUN, KEEP_SNAPSHOTS])?;
                        Action::modify(request.query(key, &[given.need("id")]))
                    },
                ),
                own(
                    "filter f",
                    "Delete backups by time, resource or node",
                    BY_FILTER,
                    |given| {
                        if ["time", "resource", "node"]
                            .iter()
                            .all(|id| given.text(id).is_none())
                        {
                            let text = "no filter is given; give --time, --resource or --node";
                            return Err(Failure::usage(text));
                        }
                        Action::modify(given.request(DELETE, BY_FILTER)?)
                    },
                ),
                own(
                    "all a",
                    "Delete all backups on a remote, not other objects",
                    &[
                        REMOTE,
                        flag("--cluster -c", "Only those that this cluster made"),
                        DRY_RUN,
                        KEEP_SNAPSHOTS,
                    ],
                    |given| {
                        let key = if given.has("cluster") {
                            "all_local_cluster"
                        } else {
                            "all"
                        };
                        let request = given.request(DELETE, &[DRY_RUN, KEEP_SNAPSHOTS])?;
                        Action::modify(request.query(key, &["true"]))
                    },
                ),
                modify(
                    "s3key s3",
                    "Delete one object, also one that is no backup of LINSTOR",
                    DELETE,
                    &[
                        REMOTE,
                        value("s3key", "Key of the object").query("s3key"),
                        DRY_RUN,
                    ],
                ),
            ],
        ),
        modify(
            "restore rst",
            "Restore a backup; --id or --resource names it",
            "POST remotes/{remote}/backups/restore",
            &[
                REMOTE,
                value("target-node", "Node that receives it")
                    .of(Names::Node)
                    .body("node_name"),
                value("target-resource", "Name of the restored resource").body("target_rsc_name"),
                SOURCE,
                SOURCE_SNAPSHOT,
                ID,
                option(
                    "--passphrase",
                    "Master passphrase of the cluster that made it; asked for without a value",
                )
                .maybe()
                .secret("Passphrase of the cluster that made the backup")
                .body("passphrase"),
                RENAME_MAP,
                DOWNLOAD_ONLY,
                FORCE_RESTORE,
                TARGET_GROUP,
                FORCE_GROUP,
            ],
        ),
        modify(
            "abort a",
            "Abort backups and restorations of a resource",
            "POST remotes/{remote}/backups/abort",
            &[
                REMOTE,
                value("resource", "Name of the resource")
                    .of(Names::Resource)
                    .body("rsc_name"),
                flag("--restore -r", "Only restorations").body("restore"),
                flag("--create -c", "Only backups").body("create"),
                option("--snapshot -s", "Only of this snapshot").body("snapshot"),
            ],
        ),
        modify(
            "verify v",
            "Read a backup with all that it is based on, and write nothing; --id or --resource names it",
            "POST remotes/{remote}/backups/verify",
            &[
                REMOTE,
                SOURCE,
                SOURCE_SNAPSHOT,
                ID,
                option("--node -n", "Node that should read it")
                    .of(Names::Node)
                    .body("node_name"),
            ],
        ),
        modify(
            "ship s",
            "Send a backup to another LINSTOR cluster",
            "POST remotes/{remote}/backups/ship",
            &[
                REMOTE,
                value("source-resource", "Name of the resource here")
                    .of(Names::Resource)
                    .body("src_rsc_name"),
                value("target-resource", "Name of the resource there").body("dst_rsc_name"),
                option("--source-node", "Node that should send it")
                    .of(Names::Node)
                    .body("src_node_name"),
                option("--target-node", "Node that should receive it").body("dst_node_name"),
                option("--target-net-if", "Network interface it should use")
                    .body("dst_net_if_name"),
                option("--target-storage-pool", "Storage pool there").body("dst_stor_pool"),
                RENAME,
                DOWNLOAD_ONLY,
                FORCE_RESTORE,
                flag("--force-full --full", "Everything, not only what changed")
                    .unless("allow_incremental"),
                option(
                    "--source-snapshot",
                    "This snapshot; made if it does not exist",
                )
                .body("src_snap_name"),
                TARGET_GROUP,
                FORCE_GROUP,
            ],
        ),
        object(
            "info i",
            "Show what a backup needs; --id or --resource names it",
            "POST remotes/{remote}/backups/info",
            &[
                REMOTE,
                SOURCE,
                SOURCE_SNAPSHOT,
                ID,
                option(
                    "--target-node -n --target_node",
                    "Show what remains on this node",
                )
                .of(Names::Node)
                .body("node_name"),
                RENAME_MAP,
                PASTABLE,
            ],
            show_info,
        ),
        group(
            "schedule sched",
            "Schedules of backups",
            &[
                own(
                    "enable en",
                    "Make backups at the times of a schedule",
                    ENABLE,
                    |given| {
                        if given.text("target-resource-name").is_some()
                            && given.text("rd").is_none()
                        {
                            return Err(Failure::usage("--target-resource-name needs --rd"));
                        }
                        let path = "PUT remotes/{remote}/backups/schedule/{schedule}/enable";
                        Action::modify(given.request(path, ENABLE)?)
                    },
                ),
                modify(
                    "disable dis",
                    "Make no backups at the times of a schedule",
                    "PUT remotes/{remote}/backups/schedule/{schedule}/disable",
                    &[
                        REMOTE,
                        SCHEDULE,
                        OF_RESOURCE.body("rsc_name"),
                        OF_GROUP.body("grp_name"),
                    ],
                ),
                modify(
                    "delete d",
                    "Neither enable nor disable a schedule here: the next level decides",
                    "DELETE remotes/{remote}/backups/schedule/{schedule}/delete",
                    &[
                        REMOTE,
                        SCHEDULE,
                        OF_RESOURCE.query("rsc_dfn_name"),
                        OF_GROUP.query("rsc_grp_name"),
                    ],
                ),
            ],
        ),
        group(
            "queue q",
            "Backups that wait for a node",
            &[object(
                "list l",
                "List the backups that wait",
                "GET view/backup/queue",
                &[
                    PASTABLE,
                    option("--nodes -n", "Only on these nodes")
                        .of(Names::Node)
                        .any()
                        .query("nodes"),
                    option("--snaps -s --snapshots", "Only of these snapshots")
                        .any()
                        .query("snapshots"),
                    option("--rscs --resources", "Only of these resources")
                        .of(Names::Resource)
                        .any()
                        .query("resources"),
                    option("--remotes", "Only to these remotes")
                        .of(Names::Remote)
                        .any()
                        .query("remotes"),
                    flag(
                        "--snap-to-node --stn --s2n",
                        "Backups with their nodes, not nodes with their backups",
                    )
                    .query("snap_to_node"),
                ],
                show_queue,
            )],
        ),
    ],
);

const BY_FILTER: &[Arg] = &[
    REMOTE,
    option("--time -t", "Older than this: YYYYMMDD_HHMMSS").query("timestamp"),
    option("--resource -r", "Of this resource")
        .of(Names::Resource)
        .query("resource_name"),
    option("--node -n", "Sent by this node")
        .of(Names::Node)
        .query("node_name"),
    CASCADE,
    DRY_RUN,
    KEEP_SNAPSHOTS,
];

const ENABLE: &[Arg] = &[
    REMOTE,
    SCHEDULE,
    option("--node --preferred-node", "Node that should send them")
        .of(Names::Node)
        .body("node_name"),
    option("--target-storage-pool", "Storage pool of the other cluster").body("dst_stor_pool"),
    option(
        "--target-resource-name",
        "Name of the resource in the other cluster",
    )
    .body("dst_rsc_name"),
    RENAME,
    OF_RESOURCE.body("rsc_name"),
    OF_GROUP.body("grp_name"),
    FORCE_RESTORE,
    TARGET_GROUP,
    FORCE_GROUP,
];

fn show(given: &Given, answer: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let answer: Json = read(answer)?;
    if given.has("others") {
        let mut table = given.table(screen, &["S3 Key"]).group_by(&[]);
        for key in entries(answer["other"]["files"].clone()) {
            table.row(vec![key.as_str().unwrap_or_default().into()]);
        }
        return screen.table(table);
    }
    let mut table = given.table(
        screen,
        &["Resource", "Snapshot", "Finished at", "Based On", "Status"],
    );
    if given.has("show-id") {
        table = table.column("Backup Name(ID)");
    }
    table = table.group_by(&[]);
    let backups = answer["linstor"].as_object().into_iter().flatten();
    for (_, row) in backups {
        let based_on = text(row, "based_on_id");
        let status = if row["shipping"] == true {
            Cell::colored("Shipping", Color::Yellow)
        } else if row["restorable"] == true {
            Cell::colored("Success", Color::Green)
        } else {
            Cell::colored("Not restorable", Color::Red)
        };
        let mut cells = vec![
            text(row, "origin_rsc").into(),
            text(row, "origin_snap").into(),
            time(row, "finished_timestamp").into(),
            based_on.strip_suffix(".meta").unwrap_or(&based_on).into(),
            status,
        ];
        if given.has("show-id") {
            cells.push(text(row, "id").into());
        }
        table.row(cells);
    }
    screen.table(table)
}

/// A size in a cell; `-` if it is not known.
fn size(row: &Json, key: &str) -> String {
    row[key].as_u64().map_or("-".to_owned(), format_kib)
}

fn show_info(given: &Given, answer: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let info: Json = read(answer)?;
    let columns = [
        "Resource",
        "Snapshot",
        "Full Backup",
        "Latest Backup",
        "Backup Count",
        "Download Size",
        "Allocated Size",
    ];
    let mut table = given.table(screen, &columns);
    let mut cells: Vec<Cell> = ["rsc", "snap", "full", "latest", "count"]
        .map(|key| text(&info, key).into())
        .into();
    cells.extend([
        size(&info, "dl_size_kib").into(),
        size(&info, "alloc_size_kib").into(),
    ]);
    table.row(cells);
    screen.table(table)?;
    let on_node = given.text("target-node").is_some();
    let mut table = given.table(screen, &["Origin StorPool (Type)"]);
    if on_node {
        table = table.column("Target Pool").column("Remaining Free Space");
    }
    for name in [
        "Volume to Download",
        "Type",
        "Download Size",
        "Allocated Size",
        "Usable Size",
    ] {
        table = table.column(name);
    }
    for pool in &below(answer, "storpools")? {
        let kind = text(pool, "provider_kind");
        let mut cells: Vec<Cell> = vec![format!("{} ({kind})", text(pool, "name")).into()];
        if on_node {
            let remaining = pool["remaining_space_kib"].as_i64().unwrap_or_default();
            let shown = format_kib(remaining.unsigned_abs());
            cells.push(text(pool, "target_name").into());
            cells.push(match remaining < 0 {
                true => Cell::colored(format!("-{shown}"), Color::Red),
                false => shown.into(),
            });
        }
        let volumes = entries(pool["vlms"].clone());
        let lines = |one: &dyn Fn(&Json) -> String| {
            volumes
                .iter()
                .map(one)
                .collect::<Vec<_>>()
                .join("\n")
                .into()
        };
        cells.push(lines(&|volume| match text(volume, "name") {
            name if name.is_empty() => "-".to_owned(),
            name => name,
        }));
        cells.push(lines(&|volume| text(volume, "layer_type")));
        for key in ["dl_size_kib", "alloc_size_kib", "usable_size_kib"] {
            cells.push(lines(&|volume| size(volume, key)));
        }
        table.row(cells);
    }
    screen.table(table)
}

fn show_queue(given: &Given, answer: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let columns = [
        "Resource",
        "Snapshot",
        "Remote",
        "Based On",
        "Created at",
        "Preferred Node",
    ];
    let cells = |backup: &Json| {
        let based_on = if backup["incremental"] == true {
            text(backup, "based_on")
        } else {
            String::new()
        };
        [
            text(backup, "resource_name"),
            text(backup, "snapshot_name"),
            text(backup, "remote_name"),
            based_on,
            time(backup, "start_timestamp"),
            text(backup, "pref_node"),
        ]
    };
    if given.has("snap-to-node") {
        let mut table = given.table(screen, &columns).column("Node").group_by(&[]);
        for backup in &below(answer, "snap_queues")? {
            let nodes = entries(backup["queue"].clone());
            let nodes: Vec<String> = nodes.iter().map(|node| text(node, "node_name")).collect();
            let row = cells(backup).into_iter().chain([nodes.join("\n")]);
            table.row(row.map(Cell::from).collect());
        }
        return screen.table(table);
    }
    let table = given.table(screen, &["Node"]);
    let mut table = columns
        .iter()
        .fold(table, |table, name| table.column(name))
        .group_by(&[]);
    for node in &below(answer, "node_queues")? {
        let backups: Vec<[String; 6]> = entries(node["queue"].clone()).iter().map(cells).collect();
        let column = |at: usize| {
            backups
                .iter()
                .map(|row| row[at].as_str())
                .collect::<Vec<_>>()
                .join("\n")
        };
        let row = std::iter::once(text(node, "node_name")).chain((0..columns.len()).map(column));
        table.row(row.map(Cell::from).collect());
    }
    screen.table(table)
}
