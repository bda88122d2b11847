//! Options that people give for programs of the storage: which ones may be given, and with which values.
//!
//! The programs run as root. What an option may do is decided here, by a list of those that may be given, and checked
//! on the controller, so that the caller is told, and again on the satellite.

/// A program with its options.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// As people know it.
    pub name: &'static str,
    options: &'static [Known],
}

/// An option that may be given: all its names, and the form of its value.
type Known = (&'static [&'static str], Value);

#[derive(Debug, Clone, Copy)]
enum Value {
    /// None.
    None,
    /// One word.
    Word,
    /// A name of a list, `=` and a word.
    Of(&'static [&'static str]),
}

/// `pvcreate`.
pub const PVCREATE: Tool = Tool {
    name: "pvcreate",
    options: &[
        (&["--dataalignment"], Value::Word),
        (&["--dataalignmentoffset"], Value::Word),
        (&["--metadatasize"], Value::Word),
        (&["--pvmetadatacopies", "--metadatacopies"], Value::Word),
        (&["--metadataignore"], Value::Word),
        (&["--labelsector"], Value::Word),
        (&["--bootloaderareasize"], Value::Word),
    ],
};

/// `vgcreate`.
pub const VGCREATE: Tool = Tool {
    name: "vgcreate",
    options: &[
        (&["-s", "--physicalextentsize"], Value::Word),
        (&["-p", "--maxphysicalvolumes"], Value::Word),
        (&["-l", "--maxlogicalvolumes"], Value::Word),
        (&["--alloc"], Value::Word),
        (&["--addtag"], Value::Word),
        (&["--metadatasize"], Value::Word),
        (&["--pvmetadatacopies"], Value::Word),
        (&["--vgmetadatacopies", "--metadatacopies"], Value::Word),
        (&["--dataalignment"], Value::Word),
        (&["--dataalignmentoffset"], Value::Word),
        (&["--setautoactivation"], Value::Word),
        (&["--locktype"], Value::Word),
        (&["--shared"], Value::None),
    ],
};

/// `lvcreate` of a thin pool.
pub const LVCREATE_THIN_POOL: Tool = Tool {
    name: "lvcreate",
    options: &[
        (&["-l", "--extents"], Value::Word),
        (&["-L", "--size"], Value::Word),
        (&["-c", "--chunksize"], Value::Word),
        (&["--poolmetadatasize"], Value::Word),
        (&["--poolmetadataspare"], Value::Word),
        (&["-Z", "--zero"], Value::Word),
        (&["--discards"], Value::Word),
        (&["--errorwhenfull"], Value::Word),
        (&["-i", "--stripes"], Value::Word),
        (&["-I", "--stripesize"], Value::Word),
        (&["--metadataprofile"], Value::Word),
        (&["--addtag"], Value::Word),
        (&["--alloc"], Value::Word),
        (&["-r", "--readahead"], Value::Word),
    ],
};

/// `zpool create`.
pub const ZPOOL_CREATE: Tool = Tool {
    name: "zpool create",
    options: &[
        (&["-d"], Value::None),
        (
            &["-o"],
            Value::Of(&[
                "ashift",
                "autoexpand",
                "autoreplace",
                "autotrim",
                "delegation",
                "failmode",
                "listsnapshots",
            ]),
        ),
        (
            &["-O"],
            Value::Of(&[
                "atime",
                "checksum",
                "compression",
                "copies",
                "dedup",
                "dnodesize",
                "logbias",
                "normalization",
                "primarycache",
                "recordsize",
                "redundant_metadata",
                "relatime",
                "secondarycache",
                "special_small_blocks",
                "sync",
                "xattr",
            ]),
        ),
    ],
};

/// Longest value of an option, in bytes.
const VALUE_BYTES_MAX: usize = 256;

/// Checks words for a program; the reason why they cannot be given continues "... cannot be used: ".
pub fn check(tool: &Tool, words: &[String]) -> Result<(), String> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let shown = word.escape_debug();
        if !word.starts_with('-') {
            return Err(format!("'{shown}' is no option of {}", tool.name));
        }
        let (name, glued) = split(word);
        let known = tool.options.iter().find(|(names, _)| names.contains(&name));
        let Some((_, form)) = known else {
            let why = "it is not among the options that may be given";
            return Err(format!("'{shown}' of {}: {why}", tool.name));
        };
        let value = match (form, glued) {
            (Value::None, None) => continue,
            (Value::None, Some(_)) => return Err(format!("'{name}' has no value")),
            (_, Some(glued)) => glued,
            (_, None) => words.next().map_or("", String::as_str),
        };
        if !is_plain(value) {
            let shown = value.escape_debug();
            return Err(format!("'{name}' with the value '{shown}'"));
        }
        if let Value::Of(keys) = form {
            let key = value.split_once('=').map_or("", |(key, _)| key);
            if !keys.contains(&key) {
                let why = "that property may not be given";
                return Err(format!("'{name} {}': {why}", value.escape_debug()));
            }
        }
    }
    Ok(())
}

/// Whether an option is given under one of these names.
pub fn has(words: &[String], names: &[&str]) -> bool {
    words.iter().any(|word| names.contains(&split(word).0))
}

/// The name of an option, and the value that the same word has.
fn split(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
    }
    match word.char_indices().nth(2) {
        Some((at, _)) => (&word[..at], Some(&word[at..])),
        None => (word, None),
    }
}

/// Whether a word can be the value of an option, and nothing else.
fn is_plain(value: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.,:+%=@/-".contains(c);
    !value.is_empty()
        && value.len() <= VALUE_BYTES_MAX
        && !value.starts_with(['-', '/'])
        && value.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(tool: &Tool, line: &str) -> Result<(), String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        check(tool, &words)
    }

    /// What administrators use is let through, in every way to write it.
    #[test]
    fn useful_options_are_allowed() {
        for (tool, line) in [
            (PVCREATE, "--dataalignment 1m --metadatasize=2m"),
            (VGCREATE, "-s 8m --shared --locktype sanlock"),
            (VGCREATE, "-s8m --addtag site.a"),
            (LVCREATE_THIN_POOL, "-l 95%FREE -c 128k --discards passdown"),
            (ZPOOL_CREATE, "-o ashift=12 -O compression=lz4 -d"),
            (ZPOOL_CREATE, "-oashift=12"),
        ] {
            assert_eq!(checked(&tool, line), Ok(()), "{line}");
        }
        assert!(has(&["-l95%FREE".to_owned()], &["-l", "--extents"]));
    }

    /// What would reach beyond the new pool is refused.
    #[test]
    fn dangerous_options_are_refused() {
        for (tool, line) in [
            (PVCREATE, "-ff"),
            (PVCREATE, "--yes"),
            (PVCREATE, "--restorefile /etc/passwd"),
            (PVCREATE, "/dev/sda"),
            (PVCREATE, "--metadatasize"),
            (PVCREATE, "--metadatasize --uuid"),
            (VGCREATE, "--config devices{}"),
            (VGCREATE, "--shared=1"),
            (LVCREATE_THIN_POOL, "--name other"),
            (LVCREATE_THIN_POOL, "-nother"),
            (LVCREATE_THIN_POOL, "--addtag a;b"),
            (ZPOOL_CREATE, "-f"),
            (ZPOOL_CREATE, "-R /mnt"),
            (ZPOOL_CREATE, "-o cachefile=/etc/passwd"),
            (ZPOOL_CREATE, "-O mountpoint=/etc"),
            (ZPOOL_CREATE, "-o ashift"),
            (ZPOOL_CREATE, "mirror"),
        ] {
            assert!(checked(&tool, line).is_err(), "{line}");
        }
    }

    proptest::proptest! {
        /// No words panic.
        #[test]
        fn never_panics(words in proptest::collection::vec(".{0,20}", 0..4)) {
            for tool in [PVCREATE, VGCREATE, LVCREATE_THIN_POOL, ZPOOL_CREATE] {
                let _ = check(&tool, &words);
            }
        }
    }
}
