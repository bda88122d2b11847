//! Options that people give for programs of the storage: which ones may be given, and with which values.
//!
//! The programs run as root. What an option may do is decided here, by a list of those that may be given, and checked
//! on the controller, so that the caller is told, and again on the satellite.

/// A program with its options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tool {
    /// As people know it.
    pub name: &'static str,
    options: &'static [Known],
}

/// An option that may be given: all its names, and the form of its value.
type Known = (&'static [&'static str], Value);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    /// None.
    None,
    /// One word.
    Word,
    /// A name of a list, `=` and a word.
    Of(&'static [&'static str]),
    /// A selection of LVM's reports (`lvmreport(7)`).
    Selection,
    /// Columns of LVM's reports, each with `-` for the reverse order.
    Columns,
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

/// `lvcreate` of a volume. Its name, size, thin pool and tags are the satellite's own.
pub const LVCREATE: Tool = Tool {
    name: "lvcreate",
    options: &[
        (&["--type"], Value::Word),
        (&["-i", "--stripes"], Value::Word),
        (&["-I", "--stripesize"], Value::Word),
        (&["-m", "--mirrors"], Value::Word),
        (&["-R", "--regionsize"], Value::Word),
        (&["--nosync"], Value::None),
        (&["--minrecoveryrate"], Value::Word),
        (&["--maxrecoveryrate"], Value::Word),
        (&["--raidintegrity"], Value::Word),
        (&["--raidintegritymode"], Value::Word),
        (&["--raidintegrityblocksize"], Value::Word),
        (&["-C", "--contiguous"], Value::Word),
        (&["--alloc"], Value::Word),
        (&["-r", "--readahead"], Value::Word),
        (&["-W", "--wipesignatures"], Value::Word),
        (&["-Z", "--zero"], Value::Word),
        (&["--setautoactivation"], Value::Word),
        (&["--monitor"], Value::Word),
        (&["--ignoremonitoring"], Value::None),
        (&["--compression"], Value::Word),
        (&["--deduplication"], Value::Word),
        (&["--vdosettings"], Value::Word),
        (&["--metadataprofile"], Value::Word),
        (&["--profile"], Value::Word),
        (&["-q", "--quiet"], Value::None),
        (&["-y", "--yes"], Value::None),
    ],
};

/// `lvcreate --snapshot`.
pub const LVCREATE_SNAPSHOT: Tool = Tool {
    name: "lvcreate --snapshot",
    options: &[
        (&["-c", "--chunksize"], Value::Word),
        (&["-l", "--extents"], Value::Word),
        (&["-L", "--size"], Value::Word),
        (&["--alloc"], Value::Word),
        (&["-r", "--readahead"], Value::Word),
        (&["--monitor"], Value::Word),
        (&["--ignoremonitoring"], Value::None),
        (&["-q", "--quiet"], Value::None),
        (&["-y", "--yes"], Value::None),
    ],
};

/// `pvs`, which lists the physical volumes that a new volume is made on.
pub const PV_SELECTION: Tool = Tool {
    name: "pvs",
    options: &[
        (&["-O", "--sort"], Value::Columns),
        (&["-S", "--select"], Value::Selection),
    ],
};

/// `zfs create` of a volume. Its size and its owner are the satellite's own.
pub const ZFS_CREATE: Tool = Tool {
    name: "zfs create",
    options: &[
        (&["-b"], Value::Word),
        (
            &["-o"],
            Value::Of(&[
                "checksum",
                "compression",
                "copies",
                "dedup",
                "logbias",
                "primarycache",
                "redundant_metadata",
                "refreservation",
                "reservation",
                "secondarycache",
                "snapdev",
                "snapshot_limit",
                "special_small_blocks",
                "sync",
                "volblocksize",
                "volmode",
            ]),
        ),
    ],
};

/// `zfs snapshot`.
pub const ZFS_SNAPSHOT: Tool = Tool {
    name: "zfs snapshot",
    options: &[(&["-o"], Value::Of(&[]))],
};

/// The program whose options a property has.
pub fn of_property(key: &str) -> Option<&'static Tool> {
    Some(match key {
        "StorDriver/LvcreateOptions" => &LVCREATE,
        "StorDriver/LvcreateSnapshotOptions" => &LVCREATE_SNAPSHOT,
        "StorDriver/LvcreatePvSelection" => &PV_SELECTION,
        "StorDriver/ZfscreateOptions" => &ZFS_CREATE,
        "StorDriver/ZfsSnapshotOptions" => &ZFS_SNAPSHOT,
        _ => return None,
    })
}

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

/// Longest line of options, in bytes.
const LINE_BYTES_MAX: usize = 4096;
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
        let fits = match form {
            Value::Selection => is_selection(value),
            Value::Columns => value.split(',').all(is_column),
            Value::None | Value::Word | Value::Of(_) => is_plain(value),
        };
        if !fits {
            let shown = value.escape_debug();
            return Err(format!("'{name}' with the value '{shown}'"));
        }
        if let Value::Of(keys) = form {
            let key = value.split_once('=').map_or("", |(key, _)| key);
            // Users' own properties have a colon; those that begin with our name are ours.
            let is_users = key.contains(':') && !key.starts_with("linstor");
            if !is_users && !keys.contains(&key) {
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

/// Splits a line into words as a shell would, without one: blanks separate, quotes and backslashes keep together. Nothing
/// is expanded. The reason why it cannot be split continues "Its value is '...': ".
pub fn split_line(line: &str) -> Result<Vec<String>, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("it is longer than {LINE_BYTES_MAX} bytes"));
    }
    if let Some(c) = line.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(format!("it contains the control character {c:?}"));
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a single quote is not closed".into()),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("it ends with a backslash".into()),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match chars.next() {
            Some('"') => return Ok(()),
            Some('\\') => match chars.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err("a double quote is not closed".into()),
            },
            Some(c) => word.push(c),
            None => return Err("a double quote is not closed".into()),
        }
    }
}

/// Splits a line of options for a program, and refuses those that may not be given.
pub fn parse_line(tool: &Tool, line: &str) -> Result<Vec<String>, String> {
    let words = split_line(line)?;
    check(tool, &words)?;
    Ok(words)
}

/// Whether a text is the name of a column, and the direction.
fn is_column(text: &str) -> bool {
    let name = text.strip_prefix(['-', '+']).unwrap_or(text);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// Whether a text can select rows of LVM's reports, and nothing else: it is one word of the command.
fn is_selection(value: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.,:+%=@/-<>!~&|(){}[]\"' ".contains(c);
    !value.is_empty()
        && value.len() <= VALUE_BYTES_MAX
        && !value.starts_with('-')
        && value.chars().all(inner)
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

    /// Options of volumes, as properties have them.
    #[test]
    fn lines_of_options() {
        for (tool, line, fine) in [
            (LVCREATE, "-i 4 -I 64k --type raid10", true),
            (LVCREATE, "--type raid1 -m1 --nosync", true),
            (LVCREATE, "", true),
            (LVCREATE, "--name other", false),
            (LVCREATE, "-L 1g", false),
            (LVCREATE, "--addtag x", false),
            (LVCREATE, "-an", false),
            (LVCREATE, "--config 'x'", false),
            (LVCREATE, "--cachedevice /dev/sda", false),
            (LVCREATE, "-- x", false),
            (LVCREATE, "/dev/sda", false),
            (PV_SELECTION, "--sort -pv_free,pv_name", true),
            (PV_SELECTION, "--sort --config", false),
            (PV_SELECTION, "--sort pv_used", true),
            (PV_SELECTION, "-S 'pv_tags=fast && pv_free>10g'", true),
            (PV_SELECTION, "--config x", false),
            (PV_SELECTION, "-S 'a;b'", false),
            (ZFS_CREATE, "-b 64k", true),
            (ZFS_CREATE, "-o volblocksize=64k -o compression=lz4", true),
            (ZFS_CREATE, "-o org.example:tier=fast", true),
            (ZFS_CREATE, "-o linstor-rs:owner=x", false),
            (ZFS_CREATE, "-o keylocation=file:///etc/shadow", false),
            (ZFS_CREATE, "-V 1G", false),
            (ZFS_SNAPSHOT, "-o a:b=c", true),
            (ZFS_SNAPSHOT, "-r", false),
        ] {
            let parsed = parse_line(&tool, line);
            assert_eq!(parsed.is_ok(), fine, "{} {line}: {parsed:?}", tool.name);
        }
    }

    fn words(line: &str) -> Vec<String> {
        split_line(line).unwrap()
    }

    /// The cases in which a shell and this function must agree.
    #[test]
    fn splits_like_a_shell() {
        assert_eq!(words("  -i 2\t-I 64k "), ["-i", "2", "-I", "64k"]);
        assert_eq!(
            words(r#"--x='a b' "c \" d" e\ f"#),
            ["--x=a b", "c \" d", "e f"]
        );
        assert_eq!(words("''"), [""]);
        assert_eq!(words("$(reboot) `id` ; |"), ["$(reboot)", "`id`", ";", "|"]);
        let open = split_line("'open").is_err();
        assert!(open && split_line("a\nb").is_err() && split_line("\\").is_err());
    }

    proptest::proptest! {
        /// No line panics.
        #[test]
        fn no_line_panics(line in ".{0,80}") {
            for tool in [LVCREATE, PV_SELECTION, ZFS_CREATE] {
                let _ = parse_line(&tool, &line);
            }
        }

        /// No words panic.
        #[test]
        fn never_panics(words in proptest::collection::vec(".{0,20}", 0..4)) {
            for tool in [PVCREATE, VGCREATE, LVCREATE_THIN_POOL, ZPOOL_CREATE] {
                let _ = check(&tool, &words);
            }
        }
    }
}
