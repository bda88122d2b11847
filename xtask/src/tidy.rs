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
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    Ok(())
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
