//! `linstor remote`: where backups are stored.

use super::list_options::PASTABLE;
use super::rows::{below, text};
use crate::action::Screen;
use crate::define::{Arg, Command, Given, Names, flag, group, modify, object, option, value};
use crate::failure::Failure;

const NEW: Arg = value("name", "Name of the remote").body("remote_name");
const REMOTE: Arg = value("name", "Name of the remote")
    .of(Names::Remote)
    .body("remote_name");
const PASSPHRASE: Arg = option(
    "--passphrase",
    "Master passphrase of that cluster; asked for without a value",
)
.maybe()
.secret("Passphrase of the remote controller")
.body("passphrase");
const CLUSTER: Arg = option(
    "--cluster-id",
    "Id of that cluster: its property Cluster/LocalID",
)
.body("cluster_id");
const ENDPOINT: Arg = option("--endpoint", "Endpoint").body("endpoint");
const REGION: Arg = option("--region", "Region").body("region");
const ACCESS_KEY: Arg = option("--access-key --access_key", "Access key").body("access_key");
const SECRET_KEY: Arg = option(
    "--secret-key --secret_key",
    "Secret key; asked for without a value",
)
.maybe()
.secret("Secret key")
.body("secret_key");
const NEW_ACCESS_KEY: Arg = value("access-key", "Access key").body("access_key");
const NEW_SECRET_KEY: Arg = value("secret-key", "Secret key; asked for if it is not given")
    .maybe()
    .secret("Secret key")
    .body("secret_key");

pub const REMOTE_COMMANDS: Command = group(
    "remote",
    "Remotes: where backups are stored",
    &[
        object(
            "list l",
            "List the remotes",
            "GET remotes",
            &[PASTABLE],
            show,
        ),
        group(
            "create c",
            "Create a remote",
            &[
                modify(
                    "s3",
                    "A bucket of S3",
                    "POST remotes/s3",
                    &[
                        NEW,
                        value("endpoint", "URL of the service").body("endpoint"),
                        value("bucket", "Name of the bucket").body("bucket"),
                        value("region", "Region of the bucket").body("region"),
                        NEW_ACCESS_KEY,
                        NEW_SECRET_KEY,
                        flag(
                            "--use-path-style",
                            "The bucket is part of the path, not of the host name",
                        )
                        .body("use_path_style"),
                    ],
                ),
                modify(
                    "linstor l",
                    "Another LINSTOR cluster",
                    "POST remotes/linstor",
                    &[
                        NEW,
                        value("url", "URL of its controller").body("url"),
                        CLUSTER,
                        PASSPHRASE,
                    ],
                ),
                modify(
                    "ebs",
                    "Elastic Block Store",
                    "POST remotes/ebs",
                    &[
                        NEW,
                        value("availability-zone", "Availability zone, as eu-central-1b")
                            .body("availability_zone"),
                        NEW_ACCESS_KEY,
                        NEW_SECRET_KEY,
                        ENDPOINT,
                        REGION,
                    ],
                ),
            ],
        ),
        group(
            "modify m",
            "Change a remote",
            &[
                modify(
                    "s3",
                    "A bucket of S3",
                    "PUT remotes/s3/{name}",
                    &[
                        REMOTE,
                        ENDPOINT,
                        option("--bucket", "Name of the bucket").body("bucket"),
                        REGION,
                        ACCESS_KEY,
                        SECRET_KEY,
                    ],
                ),
                modify(
                    "linstor l",
                    "Another LINSTOR cluster",
                    "PUT remotes/linstor/{name}",
                    &[
                        REMOTE,
                        option("--url", "URL of its controller").body("url"),
                        CLUSTER,
                        PASSPHRASE,
                    ],
                ),
                modify(
                    "ebs",
                    "Elastic Block Store",
                    "PUT remotes/ebs/{name}",
                    &[
                        REMOTE,
                        option("--availability-zone --az", "Availability zone")
                            .body("availability_zone"),
                        ENDPOINT,
                        REGION,
                        ACCESS_KEY,
                        SECRET_KEY,
                    ],
                ),
            ],
        ),
        modify(
            "delete d",
            "Delete a remote; its backups are not deleted",
            "DELETE remotes",
            &[value("name", "Name of the remote")
                .of(Names::Remote)
                .query("remote_name")],
        ),
    ],
);

fn show(given: &Given, answer: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut table = given.table(screen, &["Name", "Type", "Info"]).group_by(&[]);
    for (key, kind) in [
        ("s3_remotes", "S3"),
        ("linstor_remotes", "Linstor"),
        ("ebs_remotes", "EBS"),
    ] {
        for row in &below(answer, key)? {
            let of = |key| text(row, key);
            let info = match kind {
                "S3" => format!("{}.{}/{}", of("region"), of("endpoint"), of("bucket")),
                "Linstor" => of("url"),
                _ => format!("{}, AZ: {}", of("endpoint"), of("availability_zone")),
            };
            table.row(vec![of("remote_name").into(), kind.into(), info.into()]);
        }
    }
    screen.table(table)
}
