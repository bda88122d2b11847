//! Debian's section contrib, enabled for the duration of one installation.
//!
//! `zfsutils-linux` is in contrib, which many machines do not have among their apt sources. The sources of the machine
//! are not changed: an additional file adds contrib of the same archive, and is removed after the installation.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const SOURCES: &str = "/etc/apt";
const ADDED: &str = "sources.list.d/linstor-rs-contrib";

/// An apt source with contrib; dropping it removes it.
pub struct Contrib {
    files: Vec<PathBuf>,
}

impl Contrib {
    /// Adds contrib to each of the machine's Debian sources that has main.
    pub fn add() -> Result<Contrib> {
        let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
        let codename = debian_codename(&release).context("this is not Debian")?;
        let (mut stanzas, mut lines) = (Vec::new(), Vec::new());
        for file in source_files(Path::new(SOURCES))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("sources") => stanzas.extend(contrib_stanzas(&text, codename)),
                _ => lines.extend(contrib_lines(&text, codename)),
            }
        }
        if stanzas.is_empty() && lines.is_empty() {
            bail!("no apt source in {SOURCES} has Debian's main of {codename}");
        }
        let mut added = Contrib { files: Vec::new() };
        for (extension, entries, separator) in [("sources", stanzas, "\n\n"), ("list", lines, "\n")]
        {
            if entries.is_empty() {
                continue;
            }
            let path = Path::new(SOURCES).join(ADDED).with_extension(extension);
            let text = format!("{}\n", entries.join(separator));
            added.files.push(path.clone());
            fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
            println!("added the apt source {}:\n{text}", path.display());
        }
        Ok(added)
    }
}

impl Drop for Contrib {
    fn drop(&mut self) {
        for file in &self.files {
            match fs::remove_file(file) {
                Ok(()) => println!("removed the apt source {}", file.display()),
                Err(error) => {
                    eprintln!(
                        "the apt source {} could not be removed: {error}; remove it",
                        file.display()
                    )
                }
            }
        }
    }
}

/// The release's codename, if `/etc/os-release` is Debian's.
fn debian_codename(release: &str) -> Option<&str> {
    let value = |key: &str| {
        let line = release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"'))
    };
    (value("ID")? == "debian").then(|| value("VERSION_CODENAME"))?
}

/// apt's source files, without those that an interrupted run of this program left.
fn source_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if directory.join("sources.list").exists() {
        files.push(directory.join("sources.list"));
    }
    if let Ok(entries) = fs::read_dir(directory.join("sources.list.d")) {
        for entry in entries {
            let path = entry?.path();
            let is_source = path
                .extension()
                .is_some_and(|extension| extension == "list" || extension == "sources");
            if is_source && path.with_extension("") != directory.join(ADDED) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether these suites and components are Debian's main of this release, or of its updates.
fn is_main<'a>(
    mut suites: impl Iterator<Item = &'a str>,
    mut components: impl Iterator<Item = &'a str>,
    codename: &str,
) -> bool {
    let of_release = |suite: &str| {
        let suffix = suite
            .strip_prefix(codename)
            .map(|suffix| suffix.trim_end_matches('/'));
        suffix.is_some_and(|suffix| ["", "-updates", "-security", "/updates"].contains(&suffix))
    };
    suites.any(of_release) && components.any(|component| component == "main")
}

/// The deb822 stanzas of a `.sources` file with contrib in the place of their components.
fn contrib_stanzas(text: &str, codename: &str) -> Vec<String> {
    let uncommented: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    uncommented
        .split(|line| line.trim().is_empty())
        .filter_map(|stanza| contrib_stanza(stanza, codename))
        .collect()
}

fn contrib_stanza(stanza: &[&str], codename: &str) -> Option<String> {
    // A field and its continuation lines, such as a key in Signed-By.
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in stanza {
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut()?;
            value.push('\n');
            value.push_str(line);
        } else {
            let (name, value) = line.split_once(':')?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    let values = |name: &str| {
        let field = fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name));
        field
            .map(|(_, value)| value.split_ascii_whitespace())
            .into_iter()
            .flatten()
    };
    let enabled = values("Enabled").next() != Some("no");
    let binary = values("Types").any(|kind| kind == "deb");
    if !enabled || !binary || !is_main(values("Suites"), values("Components"), codename) {
        return None;
    }
    let shown = fields
        .iter()
        .map(|(name, value)| match name.to_ascii_lowercase().as_str() {
            "types" => format!("{name}: deb"),
            "components" => format!("{name}: contrib"),
            _ if value.starts_with('\n') => format!("{name}:{value}"),
            _ => format!("{name}: {value}"),
        });
    Some(shown.collect::<Vec<_>>().join("\n"))
}

/// The lines of a `.list` file with contrib in the place of their components.
fn contrib_lines(text: &str, codename: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| contrib_line(line, codename))
        .collect()
}

fn contrib_line(line: &str, codename: &str) -> Option<String> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (options, rest) = rest.split_once(']')?;
            (format!("[{}] ", options.trim()), rest)
        }
        None => (String::new(), rest),
    };
    let mut fields = rest.split_ascii_whitespace();
    let (uri, suite) = (fields.next()?, fields.next()?);
    is_main([suite].into_iter(), fields, codename)
        .then(|| format!("deb {options}{uri} {suite} contrib"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From a `.sources` file contrib of the same archive, suites and key is derived; other archives are ignored.
    #[test]
    fn stanzas() {
        let text = "\
Types: deb deb-src
# http://snapshot.debian.org/archive/debian/20250520T000000Z
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main non-free-firmware
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 key

Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://example.org/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://deb.nodesource.com/node_20.x
Suites: nodistro
Components: main
";
        let expected = "\
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 key";
        assert_eq!(contrib_stanzas(text, "bookworm"), [expected]);
    }

    /// From a `.list` file contrib of the same archives, options and suites is derived.
    #[test]
    fn lines() {
        let text = "\
# deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm main non-free-firmware
deb-src http://deb.debian.org/debian bookworm main
deb [ arch=amd64 signed-by=/usr/share/keyrings/d.gpg ] http://security.debian.org/debian-security bookworm-security main # updates
deb https://packages.cloud.google.com/apt cloud-sdk-bookworm main
deb http://deb.debian.org/debian bookworm contrib
";
        let expected = [
            "deb http://deb.debian.org/debian bookworm contrib",
            "deb [arch=amd64 signed-by=/usr/share/keyrings/d.gpg] http://security.debian.org/debian-security bookworm-security contrib",
        ];
        assert_eq!(contrib_lines(text, "bookworm"), expected);
    }

    /// Only Debian itself has the section contrib.
    #[test]
    fn releases() {
        assert_eq!(
            debian_codename("ID=debian\nVERSION_CODENAME=bookworm\n"),
            Some("bookworm")
        );
        assert_eq!(
            debian_codename("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n"),
            None
        );
    }
}
