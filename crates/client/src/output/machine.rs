//! JSON for scripts.
//!
//! An answer is printed as the controller sent it, only indented: order of members and digits of numbers are preserved.

/// Indents valid JSON by two blanks per level, as LINSTOR's command line prints it.
pub fn indent(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut chars = json.chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push('"');
                while let Some(c) = chars.next() {
                    out.push(c);
                    match c {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match chars.next_if(|c| matches!(c, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    /// Only white space is added; order and spelling are preserved.
    #[test]
    fn json_is_only_indented() {
        let json = r#"{"z":[1, 2.50,{}],"a":{"s":"x,{\"y\":1}\\"}, "e" : [ ],"n":null}"#;
        expect![[r#"
            {
              "z": [
                1,
                2.50,
                {}
              ],
              "a": {
                "s": "x,{\"y\":1}\\"
              },
              "e": [],
              "n": null
            }"#]]
        .assert_eq(&indent(json));
    }
}
