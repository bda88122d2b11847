//! `cargo xtask test`: everything that CI runs, the quickest parts first.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::cluster::{Binaries, Cluster};
use crate::demo::Times;
use crate::lab::{Lab, LabConfig, selftest};
use crate::report::Report;
use crate::story::Drbd;
use crate::{
    copied, fake_vs_lab, faults, metadata, packages, providers, python, python_calls, python_https,
    s3_stores, shared_pool, sizes, speed, story, tidy,
};

/// Names a folder with a kernel (`linux`) and its modules (`modules`) that include DRBD 9.
const DRBD9_VARIABLE: &str = "LINSTOR_LAB_DRBD9";

/// Runs all tests; those that cannot run on this machine are skipped with the reason and counted.
#[derive(clap::Args)]
pub struct Args {
    /// Install missing Debian packages without asking.
    #[arg(long)]
    yes: bool,
    /// Only the parts whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Write the output in the lab into the transcripts of the fake host, instead of comparing.
    #[arg(long)]
    record: bool,
}

/// A kernel of the lab other than Debian's.
struct Kernel {
    kernel: PathBuf,
    modules: Vec<PathBuf>,
}

/// Runs them.
pub fn run(args: Args) -> Result<ExitCode> {
    packages::ensure(&crate::lab::packages(), args.yes)?;
    packages::ensure(packages::PYTHON, args.yes)?;
    let mut report = Report::default();
    let wanted = |name: &str| {
        args.only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    };
    let cargo_steps: [(&str, &[&str]); 4] = [
        ("format", &["fmt", "--all", "--check"]),
        ("tests", &["test", "--workspace", "--quiet"]),
        (
            "lints",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ],
        ),
        (
            "build",
            &[
                "build",
                "--quiet",
                "-p",
                "linstor-controller",
                "-p",
                "linstor-satellite",
                "-p",
                "linstor-client",
            ],
        ),
    ];
    for (name, cargo_args) in cargo_steps {
        // The lab must run programs built from the current sources.
        if wanted(name) || name == "build" {
            report.check(name, || cargo(cargo_args));
        }
    }
    if wanted("tidy") {
        report.check("tidy: purity of crates, size of files", tidy::check);
    }
    let debug = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug");
    let binaries = Binaries::get(Some(&debug))?;
    if wanted("python calls") {
        report.check("python calls: each call of the Python client", || {
            python_calls::run(&binaries)
        });
    }
    if wanted("python https") {
        report.check(
            "python https: the Python client and the command line with certificates",
            || {
                packages::ensure(packages::OPENSSL, args.yes)?;
                python_https::run(&binaries)
            },
        );
    }
    if wanted("s3 stores") {
        s3_stores(&args, &binaries, &mut report);
    }
    if wanted("lab itself") {
        selftest::run("selftest", None, Vec::new(), &mut report)?;
    }
    if wanted("debian story") {
        on_kernel("debian kernel, DRBD 8.4", None, &binaries, &mut report);
    } else if faults::names().any(&wanted) || wanted("debian faults") {
        let some = |name: &str| wanted(name) || wanted("debian faults");
        faults_alone("debian", None, &binaries, &some, &mut report);
    }
    if wanted("debian fake-vs-lab") {
        fake_vs_lab("debian", None, args.record, &mut report);
    }
    if let Some(checks) = PoolChecks::on_linux("debian", &wanted) {
        let what = "debian kernel, DRBD 8.4";
        pools(what, None, &binaries, &checks, &mut report);
    }
    second_kernel(&args, &wanted, &binaries, &mut report);
    drbd9(&args, &wanted, &binaries, &mut report);
    Ok(report.finish())
}

/// The S3 client and the commands for backups, against real stores.
fn s3_stores(args: &Args, binaries: &Binaries, report: &mut Report) {
    let mut stores = None;
    let up = report.check("s3 stores: moto and S3Proxy are installed and run", || {
        packages::ensure(s3_stores::PACKAGES, args.yes)?;
        stores = Some(s3_stores::Stores::start()?);
        Ok(())
    });
    let Some(mut stores) = stores.filter(|_| up) else {
        return;
    };
    report.check("s3 stores: the client", || stores.test_client());
    report.check(
        "s3 stores: remotes and backups from the command line",
        || stores.test_commands(binaries),
    );
}

fn cargo(args: &[&str]) -> Result<()> {
    println!("running cargo {}", args.join(" "));
    let status = Command::new(env!("CARGO"))
        .args(args)
        .status()
        .context("start cargo")?;
    ensure!(
        status.success(),
        "cargo {} ended with {status}",
        args.join(" ")
    );
    Ok(())
}

fn lab(name: &str, kernel: Option<&Kernel>) -> Result<Lab> {
    lab_of(name, kernel, 3, false)
}

fn lab_of(name: &str, kernel: Option<&Kernel>, disks: u8, shared_disk: bool) -> Result<Lab> {
    Lab::up(LabConfig {
        name: name.to_owned(),
        disks,
        shared_disk,
        kernel: kernel.map(|kernel| kernel.kernel.clone()),
        modules: kernel
            .map(|kernel| kernel.modules.clone())
            .unwrap_or_default(),
        replace: true,
        owned: true,
        ..LabConfig::default()
    })
}

/// Compares the fake host's transcripts with the real tools on one kernel.
fn fake_vs_lab(which: &str, kernel: Option<&Kernel>, record: bool, report: &mut Report) {
    report.check(&format!("{which}: the fake host's transcripts"), || {
        fake_vs_lab::check(&lab_of("test", kernel, 6, false)?, which, record)
    });
}

/// The demo's scenario, the faults and the Python client on one kernel.
fn on_kernel(what: &str, kernel: Option<&Kernel>, binaries: &Binaries, report: &mut Report) {
    let mut cluster = None;
    report.check(&format!("{what}: the scenario of the demo"), || {
        let cluster = cluster.insert(Cluster::start(lab("test", kernel)?, binaries.clone())?);
        let mut times = Times::default();
        let result = story::run(cluster, &mut times);
        times.print();
        result.inspect_err(|_| eprintln!("{}", cluster.logs()))
    });
    if let Some(cluster) = &mut cluster {
        faults::check(cluster, &|_| true, report);
        report.check(
            &format!("{what}: the Python client's high-level demo"),
            || python::high_level(cluster).inspect_err(|_| eprintln!("{}", cluster.logs())),
        );
    }
}

/// The faults without the scenario before them, for work on the faults.
fn faults_alone(
    which: &str,
    kernel: Option<&Kernel>,
    binaries: &Binaries,
    wanted: &dyn Fn(&str) -> bool,
    report: &mut Report,
) {
    let mut cluster = None;
    let up = report.check(&format!("{which} faults: a new cluster"), || {
        let cluster = cluster.insert(Cluster::start(lab("test", kernel)?, binaries.clone())?);
        story::set_up(cluster)
    });
    if let Some(mut cluster) = cluster.filter(|_| up) {
        faults::check(&mut cluster, wanted, report);
    }
}

/// What is checked of storage pools. External metadata and sizes can be checked alone.
#[derive(Default)]
struct PoolChecks {
    kinds: &'static [providers::Kind],
    external_metadata: bool,
    speed: bool,
    shared: bool,
    copied: bool,
    sizes: &'static [sizes::Pair],
}

impl PoolChecks {
    /// On a kernel without ZFS, if any of it is wanted.
    fn on_linux(which: &str, wanted: &dyn Fn(&str) -> bool) -> Option<PoolChecks> {
        let all = wanted(&format!("{which} pools"));
        let some = |what: &str| all || wanted(&format!("{which} {what}"));
        let checks = PoolChecks {
            kinds: if all { providers::LINUX } else { &[] },
            external_metadata: some("external metadata"),
            speed: some("speed"),
            shared: some("shared pool"),
            copied: some("thick clone"),
            sizes: if some("sizes") { sizes::LINUX } else { &[] },
        };
        let any = checks.external_metadata
            || checks.speed
            || checks.shared
            || checks.copied
            || !checks.sizes.is_empty();
        any.then_some(checks)
    }
}

/// Storage pools, on a new cluster.
fn pools(
    what: &str,
    kernel: Option<&Kernel>,
    binaries: &Binaries,
    checks: &PoolChecks,
    report: &mut Report,
) {
    let mut cluster = None;
    let up = report.check(&format!("{what}: a new cluster"), || {
        let lab = lab_of("test", kernel, 3, checks.shared)?;
        let cluster = cluster.insert(Cluster::start(lab, binaries.clone())?);
        providers::register_nodes(cluster)
    });
    if let Some(cluster) = cluster.filter(|_| up) {
        if checks.shared {
            report.check(&format!("{what}: a shared pool"), || {
                shared_pool::check(&cluster).inspect_err(|_| eprintln!("{}", cluster.logs()))
            });
        }
        for kind in checks.kinds {
            report.check(
                &format!("{what}: pools of provider {}", kind.subcommand),
                || {
                    providers::check(&cluster, kind)
                        .inspect_err(|_| eprintln!("{}", cluster.logs()))
                },
            );
        }
        if checks.copied {
            report.check(&format!("{what}: a clone of thick volumes"), || {
                copied::check(&cluster).inspect_err(|_| eprintln!("{}", cluster.logs()))
            });
        }
        if checks.external_metadata {
            report.check(&format!("{what}: external DRBD metadata"), || {
                metadata::check(&cluster).inspect_err(|_| eprintln!("{}", cluster.logs()))
            });
        }
        if checks.speed {
            report.check(&format!("{what}: ten volumes at once"), || {
                speed::check(&cluster, &providers::LINUX[0])
                    .inspect_err(|_| eprintln!("{}", cluster.logs()))
            });
        }
        for pair in checks.sizes {
            let name = format!("{what}: sizes in {}", pair.name());
            if pair.mixed && matches!(story::drbd_kind(&cluster), Ok(Drbd::V84)) {
                report.skip(&name, "DRBD 8.4 does not mix providers");
                continue;
            }
            report.check(&name, || {
                sizes::check(&cluster, pair).inspect_err(|_| eprintln!("{}", cluster.logs()))
            });
        }
    }
}

/// ZFS, on the kernel in the folder `shared/lab` next to the checkout.
fn second_kernel(
    args: &Args,
    wanted: &dyn Fn(&str) -> bool,
    binaries: &Binaries,
    report: &mut Report,
) {
    let (name, transcripts) = ("second kernel: zfs pools", "second kernel: fake-vs-lab");
    let all_sizes = "second kernel: sizes";
    if !wanted(name) && !wanted(transcripts) && !wanted(all_sizes) {
        return;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/lab");
    if !source.exists() {
        report.skip(name, "no kernel with ZFS is available");
        return;
    }
    if let Err(error) = packages::ensure(packages::ZFS, args.yes) {
        report.skip(
            name,
            &format!("zfsutils-linux cannot be installed: {error:#}"),
        );
        return;
    }
    let mut kernel = None;
    if report.check("second kernel: unpack", || {
        kernel = Some(unpack(&source)?);
        Ok(())
    }) {
        if wanted(transcripts) {
            fake_vs_lab("zfs", kernel.as_ref(), args.record, report);
        }
        if !wanted(name) && !wanted(all_sizes) {
            return;
        }
        let mut checks = PoolChecks {
            sizes: sizes::ZFS,
            ..PoolChecks::default()
        };
        if wanted(name) {
            checks.kinds = providers::ZFS;
            report.check("second kernel: a zpool's data survives a power cut", || {
                selftest::zfs_pool(&lab("test", kernel.as_ref())?)
            });
        }
        pools("second kernel", kernel.as_ref(), binaries, &checks, report);
    }
}

/// The kernel and its modules from their archives.
fn unpack(source: &Path) -> Result<Kernel> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/second-kernel");
    std::fs::create_dir_all(&target)?;
    let target = target.canonicalize()?;
    let (mut image, mut modules) = (None, None);
    for entry in std::fs::read_dir(source)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.starts_with("linux-") && name.ends_with("-um.xz") {
            image = Some(path);
        } else if name.starts_with("modules-") {
            modules = Some(path);
        }
    }
    let (Some(image), Some(modules)) = (image, modules) else {
        bail!("{} has no kernel", source.display())
    };
    let kernel = target.join("linux");
    let output = Command::new("xz")
        .arg("-dc")
        .arg(&image)
        .output()
        .context("start xz")?;
    ensure!(
        output.status.success(),
        "{} cannot be unpacked",
        image.display()
    );
    std::fs::write(&kernel, output.stdout)?;
    std::fs::set_permissions(&kernel, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let status = Command::new("tar")
        .arg("-xf")
        .arg(&modules)
        .arg("-C")
        .arg(&target)
        .status()?;
    ensure!(status.success(), "{} cannot be unpacked", modules.display());
    let releases = std::fs::read_dir(target.join("lib/modules"))?;
    let modules = releases
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    Ok(Kernel { kernel, modules })
}

/// All tests on DRBD 9 with three nodes, if a kernel and module are provided.
fn drbd9(args: &Args, wanted: &dyn Fn(&str) -> bool, binaries: &Binaries, report: &mut Report) {
    let (story, transcripts) = ("drbd9 story", "drbd9 fake-vs-lab");
    let checks = PoolChecks::on_linux("drbd9", wanted);
    // A single one by its name, as in `--only "drbd9 encrypted"`.
    let fault = |name: &str| wanted("drbd9 faults") || wanted(&format!("drbd9 {name}"));
    let faults = !wanted(story) && faults::names().any(&fault);
    if !wanted(story) && !faults && checks.is_none() && !wanted(transcripts) {
        return;
    }
    let Some(directory) = std::env::var_os(DRBD9_VARIABLE).map(PathBuf::from) else {
        let why = format!("{DRBD9_VARIABLE} names no folder with `linux` and `modules`");
        report.skip("DRBD 9: the scenario, the faults, the Python client", &why);
        report.skip("DRBD 9: all storage providers", &why);
        report.skip("DRBD 9: the fake host's transcripts", &why);
        return;
    };
    let releases = std::fs::read_dir(directory.join("modules/lib/modules"));
    let modules = releases
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    let kernel = Kernel {
        kernel: directory.join("linux"),
        modules: modules.collect(),
    };
    if wanted(transcripts) {
        fake_vs_lab("drbd9", Some(&kernel), args.record, report);
    }
    if wanted(story) {
        on_kernel("DRBD 9", Some(&kernel), binaries, report);
    }
    if faults {
        faults_alone("drbd9", Some(&kernel), binaries, &fault, report);
    }
    if let Some(checks) = checks {
        pools("DRBD 9", Some(&kernel), binaries, &checks, report);
    }
}
