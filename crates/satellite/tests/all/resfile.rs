//! The `.res` file and the real drbdadm: what is written is what it reads. Skipped where drbdadm is not installed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use linstor_api::drbd_option::{self, Domain, DrbdOption, Section};
use linstor_api::kind::DrbdKind;
use linstor_satellite::drbd::layer::{Disk, Disks};
use linstor_satellite::drbd::resfile::{Dialect, generate};
use linstor_satellite::providers::Backing;
use linstor_wire::spec::{LayerSpec, ResourceSpec};

use crate::drbd::{TWO, layer, spec};

fn run(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// Options that the installed tools know, by drbdsetup's own account: an older release has fewer.
fn known() -> BTreeSet<String> {
    let commands = [
        "resource-options",
        "new-peer",
        "disk-options",
        "peer-device-options",
    ];
    let texts = commands
        .iter()
        .filter_map(|command| run("drbdsetup", &["xml-help", command]));
    let mut names = BTreeSet::new();
    for (_, text) in texts {
        let options = text.split("<option name=\"").skip(1);
        names.extend(options.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    names
}

fn a_value(option: &DrbdOption) -> String {
    match option.domain {
        Domain::Boolean => "yes".to_owned(),
        Domain::Text if option.section == Section::Handlers => "/bin/true a; echo {}".to_owned(),
        Domain::Text if option.name == "cpu-mask" => "3".to_owned(),
        Domain::Text if option.name == "transport" => "tcp".to_owned(),
        Domain::Text => "sha1".to_owned(),
        Domain::OneOf(words) => words[0].to_owned(),
        Domain::Number(min, _) | Domain::NumberOr(min, ..) | Domain::Size(min, ..) => {
            min.to_string()
        }
    }
}

/// Where an option stands in a spec.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Resource,
    Volume,
    Connection,
}

/// The file with one option set, which drbdadm has to read; and what it then would do, where that shows the option.
fn check(option: &DrbdOption, place: Place) {
    let mut spec: ResourceSpec = spec("alpha", TWO);
    let value = a_value(option);
    let entry = [(option.name.to_owned(), value.clone())];
    let drbd = layer(&mut spec);
    // drbdadm looks for this machine in the file.
    let host = run("uname", &["-n"]).expect("every machine has a name").1;
    drbd.uname = host.trim().to_owned();
    match (option.section, place) {
        (Section::Resource, _) => drbd.options.extend(entry),
        (Section::Handlers, _) => drbd.handlers.extend(entry),
        (Section::Net, Place::Connection) => drbd.peers[0].net_options.extend(entry),
        (Section::Net, _) => drbd.net_options.extend(entry),
        (_, Place::Volume) => drbd.volumes[0].disk_options.extend(entry),
        (_, Place::Connection) => drbd.peers[0].disk_options.extend(entry),
        (_, Place::Resource) => drbd.disk_options.extend(entry),
    }
    let drbd = match &spec.layers[0] {
        LayerSpec::Drbd(drbd) => drbd.clone(),
        LayerSpec::Luks(_) | LayerSpec::Storage => unreachable!("the first layer is DRBD's"),
    };
    let dialect = Dialect {
        kind: DrbdKind::Drbd9,
        tiebreaker: false,
        unknown: &BTreeSet::new(),
    };
    let file = generate(&spec, &drbd, &Disks::default(), dialect);
    assert_eq!(file.dropped, BTreeSet::new());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("Data.res");
    std::fs::write(&path, &file.text).expect("room for a file");
    let path = path.to_string_lossy();
    let (fine, text) = run("drbdadm", &["-c", &path, "dump", "Data"]).expect("it is installed");
    assert!(fine, "{} at {place:?}: {text}\n{}", option.key(), file.text);
    assert!(
        text.contains(option.name),
        "{} at {place:?}: {text}",
        option.key()
    );
    assert!(
        text.contains(&value),
        "{} at {place:?}: {text}",
        option.key()
    );
}

/// A size that DRBD is told is read as what it is: in KiB, of one volume.
#[test]
fn drbdadm_reads_a_size() {
    if run("drbdadm", &["--version"]).is_none() {
        eprintln!("skipped: drbdadm is not installed");
        return;
    }
    let mut spec: ResourceSpec = spec("alpha", TWO);
    let drbd = layer(&mut spec);
    let host = run("uname", &["-n"]).expect("every machine has a name").1;
    drbd.uname = host.trim().to_owned();
    drbd.volumes[0].disk_options = [("size".to_owned(), "100001k".to_owned())].into();
    let drbd = drbd.clone();
    let dialect = Dialect {
        kind: DrbdKind::Drbd9,
        tiebreaker: false,
        unknown: &BTreeSet::new(),
    };
    let data = Backing {
        path: "/dev/vg0/Data_00000".to_owned(),
        size_kib: 102_400,
        allocated_kib: None,
    };
    let disks = Disks::from([(0, Disk { data, meta: None })]);
    let file = generate(&spec, &drbd, &disks, dialect);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("Data.res");
    std::fs::write(&path, &file.text).expect("room for a file");
    let path = path.to_string_lossy();
    let args = ["-c", &path, "-d", "resize", "Data/0"];
    let (fine, text) = run("drbdadm", &args).expect("it is installed");
    assert!(
        fine && text.contains("resize 1000 --size=100001k"),
        "{text}"
    );
}

/// A file with every option there is: those that drbdsetup does not list are left out, and drbdadm reads the rest.
#[tokio::test]
async fn options_that_the_tools_do_not_have_are_left_out() {
    if run("drbdsetup", &["xml-help", "new-peer"]).is_none_or(|(fine, _)| !fine) {
        eprintln!("skipped: drbdsetup is not installed");
        return;
    }
    let host = std::sync::Arc::new(linstor_host::RealHost);
    let machine = linstor_satellite::machine::Machine::new(host);
    let unknown = linstor_satellite::probe::unknown_options(&machine).await;
    let unknown = unknown.expect("drbdsetup lists its options");
    let mut spec: ResourceSpec = spec("alpha", TWO);
    let drbd = layer(&mut spec);
    drbd.uname = run("uname", &["-n"]).expect("a name").1.trim().to_owned();
    let mut wanted = 0;
    for option in drbd_option::ALL {
        // Two exclude each other, whatever the tools know.
        if ["diskless", "resync-after", "cpu-mask"].contains(&option.name) {
            continue;
        }
        let entry = [(option.name.to_owned(), a_value(option))];
        match option.section {
            Section::Resource => drbd.options.extend(entry),
            Section::Handlers => drbd.handlers.extend(entry),
            Section::Net => drbd.net_options.extend(entry),
            Section::Disk | Section::PeerDevice => drbd.disk_options.extend(entry),
        }
        wanted += 1;
    }
    let LayerSpec::Drbd(drbd) = &spec.layers[0] else {
        unreachable!("the first layer is DRBD's");
    };
    let dialect = Dialect {
        kind: DrbdKind::Drbd9,
        tiebreaker: false,
        unknown: &unknown,
    };
    let file = generate(&spec, drbd, &Disks::default(), dialect);
    assert!(file.dropped.is_subset(&unknown), "{:?}", file.dropped);
    assert!(file.dropped.len() < wanted / 2, "{:?}", file.dropped);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("Data.res");
    std::fs::write(&path, &file.text).expect("room for a file");
    let path = path.to_string_lossy();
    let (fine, text) = run("drbdadm", &["-c", &path, "dump", "Data"]).expect("it is installed");
    assert!(fine, "{text}\n{}", file.text);
    if let Some(name) = unknown.iter().find(|name| name.starts_with("net/")) {
        let option = name.trim_start_matches("net/");
        let broken = file.text.replacen(
            "net\n    {",
            &format!("net\n    {{\n        {option} no;"),
            1,
        );
        std::fs::write(&*path, broken).expect("room for a file");
        let (fine, _) = run("drbdadm", &["-c", &path, "dump", "Data"]).expect("it is installed");
        assert!(
            !fine,
            "drbdadm takes {option} although drbdsetup does not list it"
        );
    }
}

/// A skipped disk: drbdadm sets everything up but the disk.
#[test]
fn drbdadm_leaves_a_skipped_disk_out() {
    if run("drbdadm", &["--version"]).is_none() {
        eprintln!("skipped: drbdadm is not installed");
        return;
    }
    let mut spec: ResourceSpec = spec("alpha", TWO);
    let drbd = layer(&mut spec);
    drbd.uname = run("uname", &["-n"]).expect("a name").1.trim().to_owned();
    drbd.skip_disk = true;
    let LayerSpec::Drbd(drbd) = &spec.layers[0] else {
        unreachable!("the first layer is DRBD's");
    };
    let dialect = Dialect {
        kind: DrbdKind::Drbd9,
        tiebreaker: false,
        unknown: &BTreeSet::new(),
    };
    let file = generate(&spec, drbd, &Disks::default(), dialect);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("Data.res");
    std::fs::write(&path, &file.text).expect("room for a file");
    let path = path.to_string_lossy();
    let args = ["-c", &path, "--dry-run", "adjust", "--skip-disk", "Data"];
    let (fine, text) = run("drbdadm", &args).expect("it is installed");
    assert!(fine, "{text}");
    assert!(text.contains("drbdsetup new-minor Data 1000 0"), "{text}");
    assert!(!text.contains("drbdsetup attach"), "{text}");
}

/// Every option that the installed DRBD has is read where it is written: for the resource, for a volume, for a connection.
#[test]
fn drbdadm_reads_every_option() {
    if run("drbdadm", &["--version"]).is_none() {
        eprintln!("skipped: drbdadm is not installed");
        return;
    }
    let known = known();
    let mut checked: BTreeMap<&str, usize> = BTreeMap::new();
    for option in drbd_option::ALL {
        let handler = option.section == Section::Handlers;
        // Both are in no file: see the projection of disk options.
        let in_no_file = ["diskless", "resync-after"].contains(&option.name);
        if in_no_file || !(handler || known.contains(option.name)) {
            continue;
        }
        check(option, Place::Resource);
        if matches!(option.section, Section::Net | Section::PeerDevice) {
            check(option, Place::Connection);
        }
        if option.section == Section::Disk || option.name == "bitmap" {
            check(option, Place::Volume);
        }
        *checked.entry(option.section.namespace()).or_default() += 1;
    }
    assert!(checked.values().all(|count| *count >= 7), "{checked:?}");
    assert_eq!(checked.len(), 5, "{checked:?}");
}
