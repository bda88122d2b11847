//! Transcripts: command lines with the output of the real tools. The lab records them, the fake host must reproduce
//! them.
//!
//! ```text
//! # A comment.
//! mkdir node1 /var/lib/pool
//! write node1 /etc/drbd.d/r.res
//! | resource r { ... }
//! until node1 UpToDate/UpToDate drbdadm dstate r
//! $ node1 lvcreate -y --size 5000k vg --name t
//! = 5
//! > a line of standard output
//! ! a line of standard error
//! ```
//!
//! [`play`] runs the commands on some machines and returns the same text with their output. Exit codes and standard
//! output are always compared, standard error only of commands that failed: the satellite does not read the standard
//! error of a command that succeeded.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The machines on which a transcript is played.
pub trait Machines {
    /// Runs a command to its end.
    fn run(&mut self, node: &str, argv: &[String]) -> Result<Answer, String>;
    /// Creates a directory that can hold volumes.
    fn mkdir(&mut self, node: &str, path: &str) -> Result<(), String>;
    /// Writes a file.
    fn write(&mut self, node: &str, path: &str, text: &str) -> Result<(), String>;
    /// Waits between two runs of the command of an `until`.
    fn pause(&mut self);
}

/// The result of a command.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs of a command after which `until` fails.
const TRIES_MAX: u32 = 100;

/// Plays a transcript and returns it with the output of these machines.
pub fn play(transcript: &str, machines: &mut dyn Machines) -> Result<String, String> {
    let mut played = String::new();
    let mut names = Names::default();
    let mut lines = transcript.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with(['=', '>', '!']) {
            continue;
        }
        played.push_str(line);
        played.push('\n');
        let failed = |why: String| format!("`{line}`: {why}");
        let Some((verb, rest)) = line.split_once(' ').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let mut args = split(rest).map_err(failed)?.into_iter();
        let node = args.next().unwrap_or_default();
        let argv: Vec<String> = args.collect();
        match verb {
            "$" => {
                let answer = machines.run(&node, &argv).map_err(failed)?;
                names.write(&mut played, &answer);
            }
            "until" => until(machines, &node, &argv).map_err(failed)?,
            "mkdir" => machines.mkdir(&node, &argv.concat()).map_err(failed)?,
            "write" => {
                let mut text = String::new();
                while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
                    played.push_str(line);
                    played.push('\n');
                    text.push_str(line[1..].trim_start());
                    text.push('\n');
                }
                machines
                    .write(&node, &argv.concat(), &text)
                    .map_err(failed)?;
            }
            _ => {
                return Err(failed(
                    "unknown verb; the verbs are $, until, mkdir and write".to_owned(),
                ));
            }
        }
    }
    Ok(played)
}

fn until(machines: &mut dyn Machines, node: &str, argv: &[String]) -> Result<(), String> {
    let (text, argv) = argv
        .split_first()
        .ok_or("`until` needs the text to wait for and a command")?;
    let mut last = Answer::default();
    for _ in 0..TRIES_MAX {
        last = machines.run(node, argv)?;
        if last.stdout.contains(text.as_str()) {
            return Ok(());
        }
        machines.pause();
    }
    Err(format!(
        "the expected text was not printed; the last run ended with exit code {} and printed {}{}",
        last.code, last.stdout, last.stderr
    ))
}

/// Splits a command line at spaces outside single quotes.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut args = Vec::new();
    let mut arg: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                arg.get_or_insert_default();
            }
            ' ' if !quoted => args.extend(arg.take()),
            other => arg.get_or_insert_default().push(other),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    args.extend(arg);
    Ok(args)
}

/// Names for random identifiers: the same identifier has the same name wherever it appears in a transcript.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn write(&mut self, played: &mut String, answer: &Answer) {
        if answer.code != 0 {
            let _infallible = writeln!(played, "= {}", answer.code);
        }
        let stderr = if answer.code == 0 { "" } else { &answer.stderr };
        for (mark, text) in [('>', answer.stdout.as_str()), ('!', stderr)] {
            for line in text
                .lines()
                .filter(|line| !line.trim_start().starts_with("WARNING:"))
            {
                let line = self.name(line.trim_end());
                let _infallible = writeln!(played, "{}", format!("{mark} {line}").trim_end());
            }
        }
    }

    /// Replaces identifiers, and device numbers that the kernel assigns in the order of use.
    fn name(&mut self, line: &str) -> String {
        let mut named = String::new();
        let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| !part_of_word(c)).unwrap_or(rest.len());
            if end == 0 {
                named.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let token = &rest[..end];
            match is_identifier(token) {
                true => named.push_str(&self.of(token)),
                false => named.push_str(token),
            }
            rest = &rest[end..];
        }
        device_numbers(&named)
    }

    fn of(&mut self, identifier: &str) -> String {
        let next = format!("<id{}>", self.0.len() + 1);
        self.0.entry(identifier.to_owned()).or_insert(next).clone()
    }
}

/// Whether a token is a UUID, an LVM identifier or a DRBD generation identifier other than DRBD's constants.
fn is_identifier(token: &str) -> bool {
    const JUST_CREATED: &str = "0000000000000004";
    let groups: Vec<usize> = token.split('-').map(str::len).collect();
    let hex = token.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    match groups.as_slice() {
        [8, 4, 4, 4, 12] => hex,
        [6, 4, 4, 4, 4, 4, 6] => true,
        [16] => hex && token != JUST_CREATED && token.bytes().any(|byte| byte != b'0'),
        _ => false,
    }
}

/// Replaces device numbers of the device mapper, `(254:3)` and `(254, 3)`.
fn device_numbers(line: &str) -> String {
    for (start, _) in line.match_indices('(') {
        let Some(end) = line[start..].find(')') else {
            break;
        };
        let inside = &line[start + 1..start + end];
        let numbers: Vec<&str> = inside.split([':', ',']).map(str::trim).collect();
        if numbers.len() == 2
            && numbers
                .iter()
                .all(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return format!(
                "{}(MAJOR, MINOR){}",
                &line[..start],
                device_numbers(&line[start + end + 1..])
            );
        }
    }
    line.to_owned()
}

/// The commands whose output differs, with both outputs; none if the transcripts are equal.
pub fn differences(expected: &str, found: &str) -> Vec<String> {
    let pairs = blocks(expected).into_iter().zip(blocks(found));
    pairs
        .filter(|(expected, found)| expected != found)
        .map(|(expected, found)| format!("{expected}  differs from\n{found}"))
        .collect()
}

/// Groups the lines: each command with its output; every other line alone.
fn blocks(transcript: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in transcript.lines() {
        match blocks.last_mut() {
            Some(block) if line.starts_with(['=', '>', '!']) => {
                block.push_str(&format!("{line}\n"))
            }
            _ => blocks.push(format!("{line}\n")),
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints the command line as the output.
    struct Echo;

    impl Machines for Echo {
        fn run(&mut self, node: &str, argv: &[String]) -> Result<Answer, String> {
            let code = if argv[0] == "false" { 1 } else { 0 };
            Ok(Answer {
                code,
                stdout: argv.join("\n"),
                stderr: format!("on {node}\n"),
            })
        }
        fn mkdir(&mut self, _: &str, _: &str) -> Result<(), String> {
            Ok(())
        }
        fn write(&mut self, _: &str, _: &str, text: &str) -> Result<(), String> {
            if text == "a b\n" {
                Ok(())
            } else {
                Err(format!("{text:?}"))
            }
        }
        fn pause(&mut self) {}
    }

    /// Recorded output is replaced; equal identifiers get the same name.
    #[test]
    fn answers_are_written() {
        let transcript = "\
# A comment.
write n1 /a
| a b
until n1 b echo 'a b'
$ n1 false 'x y' (254:3)
> old
$ n1 echo 0000000000000004 A:2B49AD2C4BB4E7F4 2B49AD2C4BB4E7F4

";
        let expected = "\
# A comment.
write n1 /a
| a b
until n1 b echo 'a b'
$ n1 false 'x y' (254:3)
= 1
> false
> x y
> (MAJOR, MINOR)
! on n1
$ n1 echo 0000000000000004 A:2B49AD2C4BB4E7F4 2B49AD2C4BB4E7F4
> echo
> 0000000000000004
> A:<id1>
> <id1>

";
        let played = play(transcript, &mut Echo).unwrap();
        assert_eq!(played, expected);
        assert!(differences(&played, expected).is_empty());
        assert_eq!(differences(transcript, &played).len(), 2);
        assert!(play("until n1 x echo", &mut Echo).is_err());
        assert!(play("nonsense n1", &mut Echo).is_err());
    }
}
