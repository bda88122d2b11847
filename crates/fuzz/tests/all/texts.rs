//! Names, sizes, options, settings, and what tools print.

use linstor_api::drbd_option;
use linstor_api::name::{NodeName, ResourceName, StoragePoolName};
use linstor_api::size::{Rounding, Unit, parse_kib};
use linstor_controller::config::{Arguments, Config};
use linstor_fuzz::fuzz;
use linstor_model::cron::Cron;
use linstor_model::external_file::FilePath;
use linstor_satellite::drbd::{events, status};
use linstor_satellite::tools::option_line;

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn text(target: &str, corpus: &[&str], decode: impl Fn(&str) -> Result<String, String>) {
    fuzz(target, &texts(corpus), |input| {
        decode(&String::from_utf8_lossy(input))
    });
}

/// A name that is taken is taken again, and is a part of a path, not more.
#[test]
fn names() {
    let corpus = [
        "alpha",
        "node-1.example.com",
        "res_00",
        "A",
        "a b",
        "../x",
        "ä",
        "",
    ];
    let safe = |name: &str| {
        assert!(
            !name.is_empty() && !name.contains(['/', '\0', '\n', ' ']) && !name.starts_with('.'),
            "{name:?}"
        );
    };
    text("names", &corpus, |given| {
        let node = NodeName::parse(given).map(|name| name.to_string());
        let resource = ResourceName::parse(given).map(|name| name.to_string());
        let pool = StoragePoolName::parse(given).map(|name| name.to_string());
        for name in [&node, &resource, &pool].into_iter().flatten() {
            safe(name);
        }
        Ok(format!("{node:?} {resource:?} {pool:?}"))
    });
    let paths = ["/etc/a.conf", "/", "//", "/a/../b", "relative"];
    text("paths of external files", &paths, |given| {
        FilePath::parse(given).map(|path| path.to_string())
    });
}

#[test]
fn sizes() {
    let corpus = [
        "10G",
        "1.5TiB",
        "512KiB",
        "8s",
        "1 KB",
        "18446744073709551615",
        "0",
        "1e3",
    ];
    text("sizes", &corpus, |given| {
        let up = parse_kib(given, Unit::KiB, Rounding::Up).map_err(|error| error.to_string())?;
        if let Ok(exact) = parse_kib(given, Unit::KiB, Rounding::Refuse) {
            assert_eq!(exact, up);
        }
        Ok(up.to_string())
    });
}

#[test]
fn times_of_schedules() {
    let corpus = [
        "0 3 * * *",
        "*/5 1-4,7 1 1-12 0",
        "@daily",
        "60 * * * *",
        "0 0 31 2 *",
    ];
    text("times of schedules", &corpus, |given| {
        let cron = Cron::parse(given)?;
        let written = serde_json::to_string(&cron).expect("a text");
        let again: Cron = serde_json::from_str(&written).expect("what was written can be read");
        assert_eq!(cron, again);
        Ok(written)
    });
}

/// A value that is taken is taken as it is written.
#[test]
fn drbd_options() {
    let corpus = [
        "yes", "no", "C", "10M", "1048576", "sha256", "none", "\"a b\"", "-1", "s,r",
    ];
    let options: Vec<_> = drbd_option::ALL.iter().collect();
    text("DRBD options", &corpus, |given| {
        let mut answers = String::new();
        for option in &options {
            let _taken_or_not = option.parse(given);
            if let Ok(value) = option.check(given) {
                assert_eq!(option.check(&value).as_ref(), Ok(&value), "{given:?}");
                answers.push('1');
            } else {
                answers.push('0');
            }
        }
        Ok(answers.replace('0', "n").replace('1', "y"))
    });
}

/// Options of other programs never become another program's argument of their own.
#[test]
fn option_lines() {
    let corpus = [
        "--a b",
        "-o compression=on -o 'x y'",
        "\"a\\\"b\"",
        "--name=x",
        "$(reboot)",
        "a\\",
    ];
    text("lines of options", &corpus, |given| {
        option_line::parse(given, &["--name"]).map(|words| words.join(" "))
    });
}

#[test]
fn what_drbd_prints() {
    let corpus = [
        "exists resource name:r1 role:Primary suspended:no may_promote:no promotion_score:10101",
        "exists connection name:r1 peer-node-id:1 conn-name:n2 connection:Connected role:Secondary",
        "change device name:r1 volume:0 minor:1000 disk:UpToDate size:1024 quorum:yes",
        "exists peer-device name:r1 peer-node-id:1 conn-name:n2 volume:0 replication:SyncSource done:12.34",
        "destroy resource name:r1",
        "exists -",
        "    volume:0 replication:SyncTarget peer-disk:UpToDate done:97.23",
    ];
    text("events of DRBD", &corpus, |given| {
        Ok(format!("{:?}", events::parse(given)))
    });
    text("progress of DRBD", &corpus, |given| {
        Ok(format!("{:?}", status::parse_progress(given)))
    });
}

/// A file that cannot be used is refused.
#[test]
fn settings() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("linstor.toml");
    let arguments = Arguments {
        config_directory: Some(directory.path().to_owned()),
        ..Arguments::default()
    };
    let corpus = [
        "[http]\nenabled = true\nport = 3370\nlisten_addr = \"::\"\nallowed_origins = [\"*\"]\nrequests_max = 1\n",
        "[db]\nconnection_url = \"sqlite:/x\"\n[logging]\nlevel = \"info\"\n[encrypt]\npassphrase = \"x\"\n",
        "[http]\ntoken_authentication = false\nheader_seconds_max = 1\nbody_bytes_max = 4294967296\n",
    ];
    text("linstor.toml", &corpus, |given| {
        std::fs::write(&path, given).expect("a file");
        match Config::load(&arguments, &|_| None) {
            Ok(config) => Ok(format!("{:?}", config.warnings)),
            Err(error) => Err(error.to_string()),
        }
    });
}
