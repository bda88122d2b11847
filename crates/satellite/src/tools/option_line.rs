//! Options of programs as properties have them, on one line: split as a shell would, without a shell.

/// Longest accepted line of options, in bytes.
const LINE_BYTES_MAX: usize = 4096;

/// Splits a line into words: blanks separate, quotes and backslashes keep together. Nothing is expanded.
fn split(line: &str) -> Result<Vec<String>, String> {
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

/// Splits a line of options for a program and refuses those that the satellite itself sets: they decide what is
/// created, and where.
pub fn parse(line: &str, reserved: &[&str]) -> Result<Vec<String>, String> {
    let words = split(line)?;
    for word in &words {
        let name = word.split('=').next().unwrap_or_default();
        let short = |option: &&&str| option.len() == 2 && !word.starts_with("--");
        let taken = reserved
            .iter()
            .find(|option| **option == name || (short(option) && word.starts_with(**option)));
        if let Some(option) = taken {
            return Err(format!("option {option} is set by the satellite"));
        }
        if word == "--" {
            return Err("it contains '--'".into());
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line).unwrap()
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
        assert!(split("'open").is_err() && split("a\nb").is_err() && split("\\").is_err());
    }

    /// Options that would name another volume or size are refused.
    #[test]
    fn reserved_options_are_refused() {
        let reserved = ["-n", "--name"];
        assert!(parse("--name other", &reserved).is_err());
        assert!(parse("--name=other", &reserved).is_err());
        assert!(parse("-nother", &reserved).is_err());
        assert!(parse("--type raid1 -m1 --nosync", &reserved).is_ok());
    }

    proptest::proptest! {
        /// No line panics.
        #[test]
        fn never_panics(line in ".{0,80}") {
            let _ = parse(&line, &["-n", "--name"]);
        }
    }
}
