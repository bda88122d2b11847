//! Command lines of the faked tools. An unknown option is an error, never ignored.

use std::collections::BTreeMap;

/// A feature of the real tool that the fake does not implement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) String);

impl Missing {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Missing(what.into())
    }
}

/// The options of a command. Each entry has the names of one option: `"-n|--name"`. The value of a valued option is the
/// next argument, or the text after `=`.
pub(crate) struct Options {
    pub(crate) flags: &'static [&'static str],
    pub(crate) valued: &'static [&'static str],
}

/// A parsed command line.
#[derive(Debug, Default)]
pub(crate) struct Args {
    values: BTreeMap<&'static str, Vec<String>>,
    flags: BTreeMap<&'static str, usize>,
    positional: Vec<String>,
}

impl Args {
    pub(crate) fn parse(args: &[String], options: &Options) -> Result<Args, Missing> {
        let mut parsed = Args::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                parsed.positional.extend(rest.cloned());
                break;
            }
            if !arg.starts_with('-') || arg == "-" {
                parsed.positional.push(arg.clone());
                continue;
            }
            if let Some((name, value)) = arg.split_once('=').filter(|_| arg.starts_with("--")) {
                let name = find(options.valued, name)
                    .ok_or_else(|| Missing::new(format!("option {name}=")))?;
                parsed
                    .values
                    .entry(name)
                    .or_default()
                    .push(value.to_owned());
            } else if let Some(name) = find(options.valued, arg) {
                let value = rest
                    .next()
                    .ok_or_else(|| Missing::new(format!("{arg} without value")))?;
                parsed.values.entry(name).or_default().push(value.clone());
            } else if let Some(name) = find(options.flags, arg) {
                *parsed.flags.entry(name).or_default() += 1;
            } else if arg.starts_with("--") {
                return Err(Missing::new(format!("option {arg}")));
            } else {
                parsed.bundle(arg, options, &mut rest)?;
            }
        }
        Ok(parsed)
    }

    /// `-aay`, `-vvv`, `-pr`: short options in one argument; the value of a valued one is the rest of the argument.
    fn bundle<'a>(
        &mut self,
        arg: &str,
        options: &Options,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), Missing> {
        let letters = &arg[1..];
        for (i, letter) in letters.char_indices() {
            let name = format!("-{letter}");
            if let Some(name) = find(options.flags, &name) {
                *self.flags.entry(name).or_default() += 1;
                continue;
            }
            let name = find(options.valued, &name)
                .ok_or_else(|| Missing::new(format!("option {name} in {arg}")))?;
            let glued = &letters[i + letter.len_utf8()..];
            let value = if glued.is_empty() {
                rest.next()
                    .ok_or_else(|| Missing::new(format!("{arg} without value")))?
                    .clone()
            } else {
                glued.to_owned()
            };
            self.values.entry(name).or_default().push(value);
            return Ok(());
        }
        Ok(())
    }

    /// The last value of an option.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .and_then(|values| values.last())
            .map(String::as_str)
    }

    /// All values of an option.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.flags.contains_key(name) || self.values.contains_key(name)
    }

    pub(crate) fn positional(&self) -> &[String] {
        &self.positional
    }

    /// The only positional argument.
    pub(crate) fn only(&self) -> Result<&str, Missing> {
        match self.positional.as_slice() {
            [only] => Ok(only),
            other => Err(Missing::new(format!(
                "exactly one argument instead of {other:?}"
            ))),
        }
    }
}

/// The name by which an option is stored: its long name, if it has one.
fn find(names: &[&'static str], wanted: &str) -> Option<&'static str> {
    let aliases = names
        .iter()
        .find(|aliases| aliases.split('|').any(|name| name == wanted))?;
    let long = aliases.split('|').find(|name| name.starts_with("--"));
    long.or(aliases.split('|').next())
}

/// Parses a size as LVM and other tools accept it, a number with an optional unit, to KiB.
pub(crate) fn size_kib(text: &str, default_unit: char) -> Result<u64, Missing> {
    let bad = || Missing::new(format!("size `{text}`"));
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| bad())?;
    let unit = text[digits..]
        .chars()
        .next()
        .unwrap_or(default_unit)
        .to_ascii_lowercase();
    let tail = text.get(digits + 1..).unwrap_or("");
    if !matches!(tail, "" | "B" | "iB" | "ib" | "b") {
        return Err(bad());
    }
    match unit {
        'b' => Ok(number.div_ceil(1024)),
        's' => Ok(number.div_ceil(2)),
        'k' => Ok(number),
        'm' => Ok(number << 10),
        'g' => Ok(number << 20),
        't' => Ok(number << 30),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options {
        flags: &["-y|--yes", "-v"],
        valued: &["-n|--name", "-a|--activate"],
    };

    fn args(line: &str) -> Result<Args, Missing> {
        Args::parse(
            &line.split(' ').map(str::to_owned).collect::<Vec<_>>(),
            &OPTIONS,
        )
    }

    /// All spellings of an option are stored under its long name.
    #[test]
    fn spellings() {
        for line in ["-n x vg", "--name x vg", "--name=x vg", "vg -nx", "-ynx vg"] {
            let args = args(line).unwrap();
            assert_eq!(args.value("--name"), Some("x"), "{line}");
            assert_eq!(args.only().unwrap(), "vg", "{line}");
        }
        assert!(args("-aay -vvv vg").unwrap().has("-v"));
    }

    /// An option that the fake does not implement is an error that names it.
    #[test]
    fn unknown_is_refused() {
        assert_eq!(
            args("--wipesignatures y").unwrap_err(),
            Missing::new("option --wipesignatures")
        );
        assert!(args("-q").is_err() && args("--yes=1").is_err());
    }
}
