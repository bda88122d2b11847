//! The kernel that guests boot, and its modules.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::tool::Tool;

/// Debian's and Ubuntu's package `user-mode-linux`.
pub const DEFAULT_IMAGE: &str = "/usr/bin/linux.uml";
const DEFAULT_MODULES: &str = "/usr/lib/uml/modules";

/// The release (`uname -r`) of a User Mode Linux kernel, which prints it with `--version`.
pub fn release(image: &Path) -> Result<String> {
    let output = Tool::new(image)
        .args(["--version"])
        .output()
        .with_context(|| format!("{} is no User Mode Linux kernel", image.display()))?;
    let release = output.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    if release.is_empty() || !release.chars().all(plain) {
        bail!(
            "{} is no User Mode Linux kernel: `--version` prints {release:?}",
            image.display()
        );
    }
    Ok(release.to_owned())
}

/// Collects the modules for `release` under `stage`/lib/modules and indexes them.
///
/// The package's modules come first if it has any for this release, then the caller's folders.
/// Later ones take precedence, so that a folder with nothing but a newer `drbd.ko` is enough. They are
/// copied: guests do not see every folder of the host.
pub fn stage_modules(release: &str, folders: &[PathBuf], stage: &Path) -> Result<()> {
    let tree = stage.join("lib/modules").join(release);
    fs::create_dir_all(&tree)?;
    let package = Path::new(DEFAULT_MODULES).join(release);
    let mut sources = Vec::new();
    if package.is_dir() {
        sources.push(package);
    }
    for folder in folders {
        sources.push(find_tree(folder, release)?);
    }
    let mut search = "updates extra built-in".to_owned();
    for (index, source) in sources.iter().enumerate() {
        if index == 0 {
            copy_tree(source, &tree)?;
        } else {
            let place = format!("lab{index}");
            copy_tree(source, &tree.join(&place))?;
            search = format!("{place} {search}");
        }
    }
    let config = stage.join("depmod.conf");
    fs::write(&config, format!("search {search}\n"))?;
    let (config, stage) = (config.as_os_str(), stage.as_os_str());
    Tool::new("depmod")
        .args([
            "-C".as_ref(),
            config,
            "-b".as_ref(),
            stage,
            release.as_ref(),
        ])
        .run()
}

/// Accepts a root (`DIR/lib/modules/RELEASE`), a folder of releases, and a folder of modules.
fn find_tree(folder: &Path, release: &str) -> Result<PathBuf> {
    let releases = folder.join("lib/modules");
    let candidates = [releases.join(release), folder.join(release)];
    if let Some(tree) = candidates.into_iter().find(|tree| tree.is_dir()) {
        return Ok(tree);
    }
    if releases.is_dir() {
        let mut found = Vec::new();
        for entry in fs::read_dir(&releases)? {
            found.push(entry?.file_name().to_string_lossy().into_owned());
        }
        bail!(
            "{} has modules for {found:?}, not for {release}",
            folder.display()
        );
    }
    if !folder.is_dir() {
        bail!("{} is no folder", folder.display());
    }
    Ok(folder.to_owned())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if source.is_file() {
            fs::copy(&source, &target).with_context(|| format!("copy {}", source.display()))?;
        }
        // Links to folders are `build` and `source`, which contain no modules.
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_folders_are_found_in_every_shape_people_have_them() {
        // A root as for `modprobe -d`, a folder of releases, a folder of modules; and a wrong release.
        let base = std::env::temp_dir().join(format!("lab-modules-{}", std::process::id()));
        let root = base.join("root/lib/modules/6.1");
        fs::create_dir_all(&root).unwrap();
        assert_eq!(find_tree(&base.join("root"), "6.1").unwrap(), root);
        assert_eq!(
            find_tree(&base.join("root/lib/modules"), "6.1").unwrap(),
            root
        );
        assert_eq!(find_tree(&root, "6.1").unwrap(), root);
        let error = find_tree(&base.join("root"), "6.9")
            .unwrap_err()
            .to_string();
        assert!(error.contains(r#"["6.1"], not for 6.9"#), "{error}");
        fs::remove_dir_all(&base).unwrap();
    }
}
