//! JSON for scripts.
//!
//! An answer is printed as the controller sent it, only indented: order of members and digits of numbers are preserved. Long
//! lists are printed while they arrive, so that they need no memory.

use std::io::{self, Write};

/// Indents valid JSON by two blanks per level, as LINSTOR's command line prints it.
pub fn indent(json: &str) -> String {
    let mut out = Vec::with_capacity(json.len() * 2);
    // Memory can always be written to.
    let _ = Indent::default().write(json.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Indents a list or an object that comes in pieces.
#[derive(Debug, Default)]
pub struct Indent {
    /// The closing brackets of those that are open.
    open: Vec<u8>,
    /// How many of them are not the value's own.
    around: usize,
    text: Text,
    /// The last byte was an opening bracket.
    opened: bool,
    ended: bool,
    broken: bool,
}

/// Where the next byte is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// After a backslash.
    Escape,
}

impl Indent {
    /// In a list, in which the value is the only entry. It begins with the value.
    pub fn in_list() -> Indent {
        Indent {
            open: vec![b']'],
            around: 1,
            opened: true,
            ..Indent::default()
        }
    }

    /// Ends the list.
    pub fn end_list(&mut self, out: &mut dyn Write) -> io::Result<()> {
        (self.around, self.ended) = (0, false);
        self.write(b"]", out)?;
        out.write_all(b"\n")
    }

    /// Writes a piece; nothing from where it is no JSON.
    pub fn write(&mut self, json: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let mut from = 0;
        for (at, &byte) in json.iter().enumerate() {
            match (self.text, byte) {
                (Text::Escape, _) => self.text = Text::Inside,
                (Text::Inside, b'\\') => self.text = Text::Escape,
                (Text::Inside, b'"') => self.text = Text::Outside,
                (Text::Inside, _) => {}
                (Text::Outside, _) if self.is_plain(byte) => {}
                (Text::Outside, _) => {
                    out.write_all(&json[from..at])?;
                    from = at + 1;
                    self.mark(byte, out)?;
                }
            }
            if self.broken {
                return Ok(());
            }
        }
        out.write_all(&json[from..])
    }

    /// Whether what came is one whole value.
    pub fn is_whole(&self) -> bool {
        self.ended && !self.is_broken()
    }

    /// Whether what came cannot be the beginning of one.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a byte outside of a text is copied as it is.
    fn is_plain(&self, byte: u8) -> bool {
        let marks = matches!(byte, b'"' | b'{' | b'[' | b'}' | b']' | b',' | b':');
        !self.opened && self.open.len() > self.around && !marks && !byte.is_ascii_whitespace()
    }

    fn mark(&mut self, byte: u8, out: &mut dyn Write) -> io::Result<()> {
        if byte.is_ascii_whitespace() {
            return Ok(());
        }
        let (opens, closes) = (matches!(byte, b'{' | b'['), matches!(byte, b'}' | b']'));
        let within = self.open.len() > self.around;
        self.broken = self.ended || !(within || opens) || closes && self.open.last() != Some(&byte);
        if self.broken {
            return Ok(());
        }
        if !within && self.around > 0 {
            out.write_all(b"[")?;
        }
        if closes {
            self.open.pop();
            self.ended = self.open.len() == self.around;
        }
        if self.opened != closes {
            self.new_line(out)?;
        }
        self.opened = opens;
        match byte {
            b'{' => self.open.push(b'}'),
            b'[' => self.open.push(b']'),
            b'"' => self.text = Text::Inside,
            _ => {}
        }
        out.write_all(&[byte])?;
        match byte {
            b',' => self.new_line(out),
            b':' => out.write_all(b" "),
            _ => Ok(()),
        }
    }

    fn new_line(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"\n")?;
        self.open.iter().try_for_each(|_| out.write_all(b"  "))
    }
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
        // However it is cut.
        for size in 1..9 {
            let (mut cut, mut out) = (Indent::default(), Vec::new());
            for piece in json.as_bytes().chunks(size) {
                assert!(!cut.is_whole());
                cut.write(piece, &mut out).unwrap();
            }
            assert!(cut.is_whole());
            assert_eq!(String::from_utf8(out).unwrap(), indent(json), "{size}");
        }
    }

    /// What is no list or object, or not all of one, is noticed, and not printed from there on.
    #[test]
    fn what_is_no_json_is_noticed() {
        for (text, whole, broken, printed) in [
            ("[]", true, false, "[\n  []\n]\n"),
            (
                " {\"a\":1} \n",
                true,
                false,
                "[\n  {\n    \"a\": 1\n  }\n]\n",
            ),
            ("<html></html>", false, true, ""),
            ("Bad gateway", false, true, ""),
            ("\"text\"", false, true, ""),
            (
                "[{\"a\":1}",
                false,
                false,
                "[\n  [\n    {\n      \"a\": 1\n    }",
            ),
            ("[\"a", false, false, "[\n  [\n    \"a"),
            ("[1}", false, true, "[\n  [\n    1"),
            ("[]]", false, true, "[\n  []"),
            ("[] []", false, true, "[\n  []"),
            ("", false, false, ""),
        ] {
            let mut out = Vec::new();
            let mut indent = Indent::in_list();
            indent.write(text.as_bytes(), &mut out).unwrap();
            assert_eq!(
                (indent.is_whole(), indent.is_broken()),
                (whole, broken),
                "{text}"
            );
            if whole {
                indent.end_list(&mut out).unwrap();
            }
            assert_eq!(String::from_utf8(out).unwrap(), printed, "{text}");
        }
    }
}
