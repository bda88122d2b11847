//! The tree of commands has every command of LINSTOR's own command line, by all its names.

use crate::cli;

/// Nouns, and the verbs of each; names of the same command are separated by slashes. The first line has the commands
/// without a noun.
const NAMES: &[(&str, &str)] = &[
    (
        "",
        "interactive help list-commands/commands/list exit/quit dm-migrate gen-zsh-completer",
    ),
    (
        "controller/c",
        "list-properties/lp set-property/sp drbd-options/opt set-log-level/setloglevel version/v query-max-volume-size/qmvs which backupdb/bakdb",
    ),
    (
        "node/n",
        "create/c create-remote-spdk-target/crspdkt create-ebs-target/cebst modify/m describe/dsc delete/d lost/lo reconnect/rc list/l info list-properties/lp set-property/sp restore/rst evacuate/evac set-log-level/setloglevel",
    ),
    ("node/n interface/i", "create/c modify/m delete/d list/l"),
    (
        "node-connection/nc",
        "list/l list-properties/lp set-property/sp drbd-peer-options/popt",
    ),
    ("node-connection/nc path/p", "create/c delete/d list/l"),
    (
        "resource-definition/rd",
        "create/c auto-place/ap modify/m delete/d clone/cln wait-sync/ws list/l list-properties/lp set-property/sp drbd-options/opt",
    ),
    (
        "resource-group/rg",
        "create/c modify/m delete/d list/l list-properties/lp set-property/sp drbd-options/opt spawn-resources/spawn query-max-volume-size/qmvs query-size-info/qsi adjust/adj",
    ),
    (
        "volume-group/vg",
        "create/c delete/d list/l list-properties/lp set-property/sp drbd-options/opt",
    ),
    (
        "resource/r",
        "create/c make-available/mkavail delete/d list/l involved/inv list-volumes/lv list-properties/lp set-property/sp drbd-peer-options/popt toggle-disk/td activate/act deactivate/deact",
    ),
    (
        "resource/r create-transactional/ct",
        "begin/b abort/a commit/c",
    ),
    (
        "resource-connection/rc",
        "list/l list-properties/lp set-property/sp drbd-peer-options/popt",
    ),
    ("resource-connection/rc path/p", "create/c delete/d list/l"),
    ("volume/v", "list/l list-properties/lp set-property/sp"),
    (
        "snapshot/s",
        "create/c create-multiple/cm delete/d rollback/rb list/l list-properties/lp set-property/sp",
    ),
    ("snapshot/s volume-definition/vd", "restore/rst"),
    ("snapshot/s resource/r", "restore/rst"),
    ("drbd-proxy/proxy", "enable/e disable/d options/opt"),
    ("drbd-proxy/proxy compression/c", "none zlib lzma lz4 zstd"),
    (
        "storage-pool/sp create/c",
        "lvm spdk remotespdk storagespaces storagespacesthin lvmthin zfs zfsthin diskless file filethin ebs_initiator/ebs_init",
    ),
    (
        "storage-pool/sp",
        "delete/d list/l list-properties/lp set-property/sp",
    ),
    (
        "volume-definition/vd",
        "create/c delete/d list/l list-properties/lp set-property/sp drbd-options/opt set-size/size modify-passphrase/mp",
    ),
    ("physical-storage/ps", "list/l create-device-pool/cdp"),
    ("error-reports/err", "list/l show/s delete/d"),
    ("advise/adv", "resource/r maintenance/m"),
    (
        "backup/b",
        "list/l create/c restore/rst abort/a ship/s info/i",
    ),
    ("backup/b delete/d", "id filter/f all/a s3key/s3"),
    ("backup/b queue/q", "list/l"),
    ("backup/b schedule/sched", "enable/en disable/dis delete/d"),
    ("remote", "list/l delete/d"),
    ("remote create/c", "s3 linstor/l ebs"),
    ("remote modify/m", "s3 linstor/l ebs"),
    (
        "file/f",
        "list/l show/s modify/m delete/d deploy/dep undeploy/und",
    ),
    (
        "encryption/e",
        "enter-passphrase/ep create-passphrase/cp modify-passphrase/mp",
    ),
    ("sos-report/sos", "create/c download/dl"),
    ("space-reporting/spr", "query/qry"),
    (
        "schedule/sched",
        "list/l list-by-resource/lbr list-by-resource-details/lbd create/c modify/m delete/d",
    ),
    ("key-value-store/kv", "list/l show/s modify/m"),
];

fn spellings(names: &str) -> Vec<&str> {
    names.split('/').collect()
}

/// Every command is there, by all its names.
#[test]
fn no_command_is_missing() {
    let mut root = cli::build(None);
    root.build();
    let (mut missing, mut leaves) = (Vec::new(), 0);
    for (nouns, verbs) in NAMES {
        let mut level = Some(&root);
        for noun in nouns.split_whitespace() {
            let above = level.expect("a noun is found before those below it");
            for name in spellings(noun) {
                level = above.find_subcommand(name);
                if level.is_none() {
                    missing.push(format!("{nouns}: {name}"));
                }
            }
        }
        for verb in verbs.split_whitespace() {
            leaves += 1;
            for name in spellings(verb) {
                let found = level.and_then(|level| level.find_subcommand(name));
                if found.is_none_or(|found| found.has_subcommands() && name != "help") {
                    missing.push(format!("{nouns} {name}"));
                }
            }
        }
    }
    assert_eq!((leaves, missing), (183, Vec::<String>::new()));
}
