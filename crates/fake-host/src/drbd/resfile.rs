//! The grammar of DRBD's configuration files, and the configuration of one host in a `.res` file.

use std::collections::BTreeMap;

use super::{DrbdKind, Options};

/// Exit code of drbdadm for a file that it cannot parse.
pub(super) const PARSE_ERROR: i32 = 10;

/// A statement: tokens up to `;`, or a section with statements of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    line: usize,
    pub(super) tokens: Vec<String>,
    pub(super) body: Option<Vec<Statement>>,
}

/// A resource as the file of one host defines it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Config {
    pub(super) name: String,
    pub(super) options: Options,
    pub(super) net: Options,
    pub(super) disk: Options,
    pub(super) hosts: BTreeMap<String, HostConfig>,
    pub(super) connections: Vec<ConnectionConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct HostConfig {
    pub(super) node_id: u32,
    pub(super) volumes: BTreeMap<u32, VolumeConfig>,
    /// Only in the syntax of 8.4.
    pub(super) address: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct VolumeConfig {
    /// `None` for `disk none`.
    pub(super) disk: Option<String>,
    pub(super) meta_disk: String,
    pub(super) minor: u32,
    pub(super) options: Options,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ConnectionConfig {
    /// Each path: host to address.
    pub(super) paths: Vec<BTreeMap<String, String>>,
    pub(super) net: Options,
    pub(super) disk: Options,
}

const RESOURCE_OPTIONS_9: &[&str] = &[
    "cpu-mask",
    "on-no-data-accessible",
    "auto-promote",
    "peer-ack-window",
    "peer-ack-delay",
    "twopc-timeout",
    "twopc-retry-timeout",
    "auto-promote-timeout",
    "max-io-depth",
    "quorum",
    "on-no-quorum",
    "quorum-minimum-redundancy",
    "on-suspended-primary-outdated",
];
const RESOURCE_OPTIONS_84: &[&str] = &["cpu-mask", "on-no-data-accessible"];
const NET_OPTIONS: &[&str] = &[
    "protocol",
    "timeout",
    "max-epoch-size",
    "connect-int",
    "ping-int",
    "sndbuf-size",
    "rcvbuf-size",
    "ko-count",
    "allow-two-primaries",
    "cram-hmac-alg",
    "shared-secret",
    "after-sb-0pri",
    "after-sb-1pri",
    "after-sb-2pri",
    "always-asbp",
    "rr-conflict",
    "ping-timeout",
    "data-integrity-alg",
    "tcp-cork",
    "on-congestion",
    "congestion-fill",
    "congestion-extents",
    "csums-alg",
    "csums-after-crash-only",
    "verify-alg",
    "use-rle",
    "socket-check-timeout",
    "max-buffers",
];
const NET_OPTIONS_ONLY_9: &[&str] = &["transport", "fencing", "allow-remote-read", "_name"];
const DISK_OPTIONS: &[&str] = &[
    "size",
    "on-io-error",
    "disk-barrier",
    "disk-flushes",
    "disk-drain",
    "md-flushes",
    "resync-after",
    "al-extents",
    "al-updates",
    "discard-zeroes-if-aligned",
    "disable-write-same",
    "disk-timeout",
    "read-balancing",
    "rs-discard-granularity",
    "resync-rate",
    "c-plan-ahead",
    "c-delay-target",
    "c-fill-target",
    "c-max-rate",
    "c-min-rate",
];
const DISK_OPTIONS_ONLY_9: &[&str] = &["bitmap"];
const DISK_OPTIONS_ONLY_84: &[&str] = &["fencing"];

/// What `drbdsetup xml-help` prints of a command, as far as anybody reads it; none for other commands.
pub(super) fn xml_help(kind: DrbdKind, command: &str) -> Option<String> {
    let lists: &[&[&str]] = match (command, kind) {
        ("resource-options", DrbdKind::V9) => &[RESOURCE_OPTIONS_9],
        ("resource-options", DrbdKind::V84) => &[RESOURCE_OPTIONS_84],
        ("new-peer", DrbdKind::V9) => &[NET_OPTIONS, NET_OPTIONS_ONLY_9],
        ("disk-options" | "peer-device-options", DrbdKind::V9) => {
            &[DISK_OPTIONS, DISK_OPTIONS_ONLY_9]
        }
        _ => return None,
    };
    let options = lists.iter().copied().flatten();
    let options =
        options.map(|name| format!("\t<option name=\"{name}\" type=\"string\">\n\t</option>\n"));
    let options: String = options.collect();
    Some(format!(
        "<command name=\"{command}\">\n{options}</command>\n"
    ))
}

/// A syntax error in a file: its line and its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParseError {
    pub(super) line: usize,
    pub(super) what: String,
}

type Parsed<T> = Result<T, ParseError>;

fn bad<T>(line: usize, what: impl Into<String>) -> Parsed<T> {
    Err(ParseError {
        line,
        what: what.into(),
    })
}

/// All resources of a file.
pub(super) fn parse(text: &str, kind: DrbdKind) -> Parsed<Vec<Config>> {
    let mut found = Vec::new();
    for statement in statements(text)? {
        match (
            statement.tokens.first().map(String::as_str),
            &statement.body,
        ) {
            (Some("resource"), Some(body)) => {
                let Some(name) = statement.tokens.get(1) else {
                    return bad(statement.line, "resource without name");
                };
                found.push(resource(name, body, kind)?);
            }
            (Some("global" | "common"), Some(_)) | (Some("include"), None) => {}
            (other, _) => {
                let expected = "'global | common | resource | skip | include' expected,";
                return bad(
                    statement.line,
                    format!("{expected}\n\tbut got '{}'", other.unwrap_or("")),
                );
            }
        }
    }
    Ok(found)
}

/// The statements of a text in this grammar, which the dumps of metadata share.
pub(super) fn statements(text: &str) -> Parsed<Vec<Statement>> {
    let tokens = tokens(text)?;
    block(&tokens, &mut 0, false)
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    End,
}

fn tokens(text: &str) -> Parsed<Vec<(usize, Token)>> {
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let number = i + 1;
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with('#') {
            let mark = match rest.as_bytes()[0] {
                b'{' => Some(Token::Open),
                b'}' => Some(Token::Close),
                b';' => Some(Token::End),
                _ => None,
            };
            if let Some(token) = mark {
                found.push((number, token));
                rest = rest[1..].trim_start();
            } else if let Some(quoted) = rest.strip_prefix('"') {
                let Some((word, after)) = quoted.split_once('"') else {
                    return bad(number, "a string without end");
                };
                found.push((number, Token::Word(word.to_owned())));
                rest = after.trim_start();
            } else {
                let end = rest
                    .find(|c: char| c.is_whitespace() || "{};\"#".contains(c))
                    .unwrap_or(rest.len());
                found.push((number, Token::Word(rest[..end].to_owned())));
                rest = rest[end..].trim_start();
            }
        }
    }
    Ok(found)
}

fn block(input: &[(usize, Token)], at: &mut usize, inner: bool) -> Parsed<Vec<Statement>> {
    let mut statements = Vec::new();
    let mut tokens = Vec::new();
    let mut first_line = 0;
    while let Some((line, token)) = input.get(*at) {
        *at += 1;
        match token {
            Token::Word(word) => {
                if tokens.is_empty() {
                    first_line = *line;
                }
                tokens.push(word.clone());
            }
            Token::End if tokens.is_empty() => {}
            Token::End => {
                let tokens = std::mem::take(&mut tokens);
                statements.push(Statement {
                    line: first_line,
                    tokens,
                    body: None,
                });
            }
            Token::Open => {
                let body = Some(block(input, at, true)?);
                let tokens = std::mem::take(&mut tokens);
                statements.push(Statement {
                    line: first_line,
                    tokens,
                    body,
                });
            }
            Token::Close if inner && tokens.is_empty() => return Ok(statements),
            Token::Close => return bad(*line, "';' expected,\n\tbut got '}'"),
        }
    }
    if inner || !tokens.is_empty() {
        bad(first_line, "unexpected end of file")
    } else {
        Ok(statements)
    }
}

fn resource(name: &str, body: &[Statement], kind: DrbdKind) -> Parsed<Config> {
    let mut config = Config {
        name: name.to_owned(),
        ..Config::default()
    };
    for statement in body {
        let keyword = statement.tokens.first().map_or("", String::as_str);
        match (keyword, &statement.body) {
            ("options", Some(body)) => {
                let known = match kind {
                    DrbdKind::V9 => RESOURCE_OPTIONS_9,
                    DrbdKind::V84 => RESOURCE_OPTIONS_84,
                };
                config.options.extend(options(body, &[known])?);
            }
            ("net", Some(body)) => config.net.extend(net(body, kind)?),
            ("disk", Some(body)) => config.disk.extend(disk(body, kind)?),
            ("handlers" | "startup", Some(_)) => {}
            ("on", Some(body)) => {
                let Some(host) = statement.tokens.get(1) else {
                    return bad(statement.line, "'on' without host");
                };
                config.hosts.insert(host.clone(), host_config(body, kind)?);
            }
            ("connection", Some(body)) if kind == DrbdKind::V9 => {
                config.connections.push(connection(body, kind)?);
            }
            _ => {
                return unexpected(
                    statement,
                    "'protocol | on | disk | net | syncer | startup | handlers | ignore-on | \
                     stacked-on-top-of'",
                );
            }
        }
    }
    Ok(config)
}

fn unexpected<T>(statement: &Statement, expected: &str) -> Parsed<T> {
    let got = statement.tokens.first().map_or("", String::as_str);
    bad(
        statement.line,
        format!("{expected} expected,\n\tbut got '{got}'"),
    )
}

fn net(body: &[Statement], kind: DrbdKind) -> Parsed<Options> {
    match kind {
        DrbdKind::V9 => options(body, &[NET_OPTIONS, NET_OPTIONS_ONLY_9]),
        DrbdKind::V84 => options(body, &[NET_OPTIONS]),
    }
}

fn disk(body: &[Statement], kind: DrbdKind) -> Parsed<Options> {
    match kind {
        DrbdKind::V9 => options(body, &[DISK_OPTIONS, DISK_OPTIONS_ONLY_9]),
        DrbdKind::V84 => options(body, &[DISK_OPTIONS, DISK_OPTIONS_ONLY_84]),
    }
}

fn options(body: &[Statement], known: &[&[&str]]) -> Parsed<Options> {
    let mut found = Options::new();
    for statement in body {
        let (name, value) = match statement.tokens.as_slice() {
            // A boolean option without value is enabled.
            [name] => (name, "yes"),
            [name, value] => (name, value.as_str()),
            _ => return unexpected(statement, "an option and its value"),
        };
        if statement.body.is_some() || !known.iter().any(|list| list.contains(&name.as_str())) {
            return unexpected(statement, "a known option");
        }
        found.insert(name.clone(), value.to_owned());
    }
    Ok(found)
}

fn host_config(body: &[Statement], kind: DrbdKind) -> Parsed<HostConfig> {
    let mut host = HostConfig::default();
    for statement in body {
        match (statement.tokens.as_slice(), &statement.body) {
            ([keyword, number], Some(body)) if keyword == "volume" => {
                host.volumes
                    .insert(self::number(statement, number)?, volume(body, kind)?);
            }
            ([keyword, id], None) if keyword == "node-id" && kind == DrbdKind::V9 => {
                host.node_id = number(statement, id)?;
            }
            ([keyword, rest @ ..], None) if keyword == "address" => {
                host.address = Some(address(statement, rest)?);
            }
            _ => {
                return unexpected(
                    statement,
                    "'disk | device | address | meta-disk | flexible-meta-disk'",
                );
            }
        }
    }
    Ok(host)
}

fn number(statement: &Statement, text: &str) -> Parsed<u32> {
    text.parse().or_else(|_| {
        bad(
            statement.line,
            format!("number expected,\n\tbut got '{text}'"),
        )
    })
}

fn volume(body: &[Statement], kind: DrbdKind) -> Parsed<VolumeConfig> {
    let mut volume = VolumeConfig {
        meta_disk: "internal".to_owned(),
        ..VolumeConfig::default()
    };
    for statement in body {
        match (statement.tokens.as_slice(), &statement.body) {
            ([keyword], Some(body)) if keyword == "disk" => {
                volume.options.extend(disk(body, kind)?)
            }
            ([keyword, path], None) if keyword == "disk" => {
                volume.disk = (path != "none").then(|| path.clone());
            }
            ([keyword, path], None)
                if keyword == "meta-disk" || keyword == "flexible-meta-disk" =>
            {
                volume.meta_disk.clone_from(path);
            }
            ([keyword, minor_keyword, minor], None)
                if keyword == "device" && minor_keyword == "minor" =>
            {
                volume.minor = number(statement, minor)?;
            }
            _ => {
                return unexpected(
                    statement,
                    "'disk | device | meta-disk | flexible-meta-disk'",
                );
            }
        }
    }
    if volume.disk.is_none() && kind == DrbdKind::V84 {
        return bad(
            body.first().map_or(0, |s| s.line),
            "disk none is not known to DRBD 8.4",
        );
    }
    Ok(volume)
}

/// `ipv4 1.2.3.4:7000`, `1.2.3.4:7000` or `ipv6 [::1]:7000`, as `drbdsetup` takes it.
fn address(statement: &Statement, tokens: &[String]) -> Parsed<String> {
    match tokens {
        [family, address] if family == "ipv4" || family == "ipv6" => {
            Ok(format!("{family}:{address}"))
        }
        [address] => Ok(format!("ipv4:{address}")),
        _ => unexpected(statement, "an address"),
    }
}

fn connection(body: &[Statement], kind: DrbdKind) -> Parsed<ConnectionConfig> {
    let mut connection = ConnectionConfig::default();
    let mut plain = BTreeMap::new();
    for statement in body {
        match (statement.tokens.as_slice(), &statement.body) {
            ([keyword], Some(body)) if keyword == "net" => connection.net.extend(net(body, kind)?),
            ([keyword], Some(body)) if keyword == "disk" => {
                connection.disk.extend(disk(body, kind)?)
            }
            ([keyword], Some(body)) if keyword == "path" => {
                let mut path = BTreeMap::new();
                for statement in body {
                    let (host, address) = host_address(statement)?;
                    path.insert(host, address);
                }
                connection.paths.push(path);
            }
            (_, None) => {
                let (host, address) = host_address(statement)?;
                plain.insert(host, address);
            }
            _ => return unexpected(statement, "'host | net | disk | path | volume'"),
        }
    }
    if !plain.is_empty() {
        connection.paths.insert(0, plain);
    }
    if connection.paths.iter().any(|path| path.len() != 2) || connection.paths.is_empty() {
        return bad(
            body.first().map_or(0, |s| s.line),
            "a connection needs two hosts",
        );
    }
    Ok(connection)
}

fn host_address(statement: &Statement) -> Parsed<(String, String)> {
    match statement.tokens.as_slice() {
        [keyword, host, address_keyword, rest @ ..]
            if keyword == "host" && address_keyword == "address" =>
        {
            Ok((host.clone(), address(statement, rest)?))
        }
        _ => unexpected(statement, "'host'"),
    }
}
