//! Who reads a property: the catalogue names it, and the sources prove it.

use std::fs;
use std::path::{Path, PathBuf};

use linstor_api::{drbd_option, prop};

use super::catalogue;

/// Files with product code that may use a key: not those that only list keys.
fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    let listing = [
        "catalogue.rs",
        "prop.rs",
        "info.rs",
        "tests.rs",
        "readers.rs",
        "tool_option.rs",
    ];
    let Ok(entries) = fs::read_dir(path) else {
        found.push(path.to_owned());
        return;
    };
    for entry in entries {
        let path = entry.expect("a folder of sources").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if name != "tests" && !listing.contains(&name.as_str()) {
            sources(&path, found);
        }
    }
}

/// The code of a file without its tests and comments.
fn code_of(path: &Path) -> String {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// How a key appears in code: as its constant, or as a text, whole or without the namespace that is read at once.
fn uses(code: &str, key: &str) -> bool {
    let constant = prop::NAMES.iter().find(|(_, known)| *known == key);
    let by_constant = constant.is_some_and(|(name, _)| {
        let mut parts = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        parts.any(|part| part == *name)
    });
    by_constant || code.contains(&format!("\"{key}\""))
}

/// Keys whose constants appear where they are given their first value or are left out, which is no use.
const MENTIONED: &[&str] = &[
    "controller/src/start.rs",
    // It warns that the key has no effect there.
    "controller/src/ops/node/modify.rs",
    // It shows the sealed key of a volume under it.
    "controller/src/ops/volume_definition/mod.rs",
    "model/src/props/storage.rs",
    "controller/src/ops/property",
];

/// A key with a reader is used there; a key without one is used nowhere, so that its answer says rightly that it has no
/// effect. Whoever makes something read a key names the place in the catalogue.
#[test]
fn the_catalogue_names_the_reader_of_each_key() {
    let mut product = Vec::new();
    for name in ["model", "controller", "satellite"] {
        sources(&crates().join(name).join("src"), &mut product);
    }
    let product: Vec<(PathBuf, String)> = product
        .into_iter()
        .map(|path| (path.clone(), code_of(&path)))
        .collect();
    let below = |path: &Path, place: &str| path.starts_with(crates().join(place));
    for (key, rule) in catalogue::all() {
        if drbd_option::by_key(&key).is_some() {
            continue;
        }
        let used_in = |path: &Path, code: &str| {
            uses(code, &key)
                || ["StorDriver/", "FileSystem/"].iter().any(|namespace| {
                    // Read as a namespace: the rest of the key stands for itself.
                    let rest = key.strip_prefix(namespace);
                    rest.is_some_and(|rest| {
                        uses(code, rest) && !below(path, "model/src/props/storage.rs")
                    })
                })
        };
        match rule.reader {
            Some(place) => {
                let there = product.iter().filter(|(path, _)| below(path, place));
                assert!(
                    there.clone().any(|(path, code)| used_in(path, code)),
                    "nothing in {place} uses {key}"
                );
            }
            None => {
                let user = product.iter().find(|(path, code)| {
                    !MENTIONED.iter().any(|place| below(path, place)) && used_in(path, code)
                });
                if let Some((path, _)) = user {
                    panic!(
                        "{} uses {key}: name it in the catalogue as its reader",
                        path.display()
                    );
                }
            }
        }
    }
}

/// The catalogue is sorted, which the search relies on, and a key has one rule at each kind of object.
#[test]
fn the_catalogue_is_sorted_and_unambiguous() {
    let own: Vec<String> = catalogue::all()
        .map(|(key, _)| key)
        .filter(|key| drbd_option::by_key(key).is_none())
        .collect();
    assert!(own.is_sorted());
    for (key, _) in catalogue::all() {
        let mut places = 0;
        for rule in catalogue::rules(&key) {
            assert_eq!(places & rule.at, 0, "{key}");
            places |= rule.at;
        }
        assert_ne!(places, 0, "{key}");
    }
}
