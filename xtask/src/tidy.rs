//! `cargo xtask tidy`: rules of `ARCHITECTURE.md` that the compiler cannot check.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Crates without I/O.
const PURE: &[&str] = &["api", "wire", "model"];

/// Crates and modules that pure crates must not use.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "axum",
    "rusqlite",
    "std::process",
    "std::fs",
    "std::net::Tcp",
    "SystemTime",
];

/// Where programs may be started: the interface to the machine, and tools that run on a developer's machine.
const STARTERS: &[&str] = &["crates/host/src/real", "crates/bench/src", "xtask/src"];

/// The longest file in lines.
const LINES_MAX: usize = 800;

/// Documents whose tests must exist, and in which folders tests are whose names begin so.
const CLAIMS: &str = "docs/complaints.md";
const TESTS: &[(&str, &str)] = &[
    ("client", "crates/client/src/tests"),
    ("controller", "crates/controller/tests/all"),
    ("host", "crates/host/tests/all"),
    ("model", "crates/model/src"),
    ("rest", "crates/controller/src/rest/tests"),
    ("satellite", "crates/satellite/tests/all"),
    ("sim", "crates/sim/tests/all"),
];

/// Checks everything and lists every violation.
pub fn check() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let mut found = Vec::new();
    for name in PURE {
        let manifest = fs::read_to_string(root.join("crates").join(name).join("Cargo.toml"))?;
        let dependencies = manifest
            .split("[dev-dependencies]")
            .next()
            .unwrap_or_default();
        found.extend(
            IMPURE
                .iter()
                .filter(|dependency| {
                    dependencies
                        .lines()
                        .any(|line| line.starts_with(*dependency))
                })
                .map(|dependency| format!("crates/{name}/Cargo.toml depends on {dependency}")),
        );
    }
    for path in sources(&root)? {
        let shown = path.strip_prefix(&root)?.display().to_string();
        let text = fs::read_to_string(&path)?;
        let lines = text.lines().count();
        if lines > LINES_MAX {
            found.push(format!(
                "{shown} has {lines} lines; split it, the limit is {LINES_MAX}"
            ));
        }
        let is_test = shown.contains("/tests") || shown.contains("/examples/");
        let pure = PURE
            .iter()
            .any(|name| shown.starts_with(&format!("crates/{name}/src")));
        if pure && !is_test {
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let code: String = code.collect::<Vec<_>>().join("\n");
            found.extend(
                IMPURE
                    .iter()
                    .filter(|item| {
                        code.contains(&format!("{item}::")) || code.contains(&format!("use {item}"))
                    })
                    .map(|item| format!("{shown} uses {item}")),
            );
        }
        let starts = text.contains("Command::new(") && !text.contains("clap::Command::new(");
        if starts && !is_test && !STARTERS.iter().any(|place| shown.starts_with(place)) {
            found.push(format!("{shown} starts a program; only crates/host may"));
        }
    }
    found.extend(missing_tests(&root)?);
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    Ok(())
}

/// Tests that a document names and that do not exist: neither a module with tests, nor a test in such a module; nor a fault
/// of the lab.
fn missing_tests(root: &Path) -> Result<Vec<String>> {
    let sources = sources(root)?;
    let text = fs::read_to_string(root.join(CLAIMS))?;
    let mut missing = Vec::new();
    for name in text.split('`').skip(1).step_by(2) {
        let Some((place, rest)) = name.split_once("::").filter(|(_, rest)| !rest.is_empty()) else {
            continue;
        };
        let Some((_, folder)) = TESTS.iter().find(|(first, _)| *first == place) else {
            continue;
        };
        let parts: Vec<&str> = rest.split("::").filter(|part| *part != "tests").collect();
        let mut exists = false;
        for path in &sources {
            let Ok(below) = path.strip_prefix(root.join(folder)) else {
                continue;
            };
            let below = below.with_extension("");
            let is_in = |module: &str| below.iter().any(|part| part == module);
            let known = parts.iter().take_while(|part| is_in(part)).count();
            if known == 0 || known + 1 < parts.len() {
                continue;
            }
            let text = fs::read_to_string(path)?;
            exists |= match parts.get(known) {
                Some(test) => text
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .any(|word| word == *test),
                None => text.contains("#[test]") || text.contains("#[tokio::test"),
            };
        }
        if !exists {
            missing.push(format!(
                "{CLAIMS} names the test {name}, which does not exist"
            ));
        }
    }
    for fault in text
        .split("lab \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        if !crate::faults::names().any(|name| name == fault) {
            missing.push(format!(
                "{CLAIMS} names the lab's fault '{fault}', which does not exist"
            ));
        }
    }
    Ok(missing)
}

/// All Rust files below `crates` and `xtask`.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
