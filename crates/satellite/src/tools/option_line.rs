//! Lines of options for programs whose options are not listed in [`linstor_api::tool_option`].

use linstor_api::tool_option::split_line;

/// Splits a line of options for a program and refuses those that the satellite itself sets: they decide what is
/// created, and where.
pub fn parse(line: &str, reserved: &[&str]) -> Result<Vec<String>, String> {
    let words = split_line(line)?;
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
