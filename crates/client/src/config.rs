//! Options from outside the command line: `linstor-client.conf`, `LS_CONTROLLERS` and `LS_CLIENT_*`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use linstor_api::controller::{HTTP_PORT, HTTPS_PORT};
use linstor_api::secret_text::SecretText;
use serde_json::Value;

use crate::failure::Failure;

/// Names a list of controllers, appended to those of the command line.
pub const ENV_CONTROLLERS: &str = "LS_CONTROLLERS";
/// Names the machine-readable format, used unless the command line has `--output-version`.
pub const ENV_OUTPUT_VERSION: &str = "LS_OUTPUT_VERSION";
/// Names a file with the token of the REST API.
pub const ENV_TOKEN_FILE: &str = "LS_BEARER_TOKEN_FILE";
/// Where a satellite writes the token of its node.
const TOKEN_FILE: &str = "/var/lib/linstor.d/auth.json";
/// `LS_CLIENT_NO_COLOR=` stands for `--no-color`, `LS_CLIENT_TIMEOUT=5` for `--timeout 5`.
const ENV_OPTION_PREFIX: &str = "LS_CLIENT_";
/// The option that disables configuration files.
const DISABLE: &str = "--disable-config";

/// The controller that is used if neither the command line nor the environment names one.
pub const DEFAULT_CONTROLLER: &str = "localhost:3370";

/// The token of the REST API: of a file that has it or `{"token": "..."}`; that of the node unless another file is named.
/// None where the file cannot be read.
pub fn auth_token(file: Option<&str>) -> Option<SecretText> {
    #[derive(serde::Deserialize)]
    struct File {
        token: SecretText,
    }
    let text = fs::read_to_string(file.unwrap_or(TOKEN_FILE)).ok()?;
    match serde_json::from_str::<File>(&text) {
        Ok(file) => Some(file.token),
        Err(_) => Some(SecretText::new(text.trim())),
    }
}

/// Sections of a configuration file and their entries, in file order.
pub type Sections = BTreeMap<String, Vec<(String, String)>>;

/// Parses an INI file: sections, `key = value`, comments after `#` or `;`.
fn parse_ini(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut section = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.trim().to_owned();
        } else {
            let (key, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
            let entry = (key.trim().to_ascii_lowercase(), value.trim().to_owned());
            sections.entry(section.clone()).or_default().push(entry);
        }
    }
    sections
}

/// The configuration files in the order they are read; a section of a later file replaces that of an earlier one: the
/// drop-in directory, then the user's file or, if it does not exist, the system's.
fn config_files(etc: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(etc.join("linstor-client.d"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .collect();
    files.sort();
    let user = home.map(|home| home.join(".config/linstor/linstor-client.conf"));
    match user {
        Some(user) if user.exists() => files.push(user),
        _ => files.push(etc.join("linstor-client.conf")),
    }
    files
}

/// What the configuration files say, unless the arguments disable them.
pub fn sections(args: &[String], etc: &Path, home: Option<&Path>) -> Sections {
    if args.iter().any(|arg| arg == DISABLE) {
        return Sections::new();
    }
    let texts = config_files(etc, home).into_iter();
    let texts = texts.filter_map(|path| fs::read_to_string(path).ok());
    texts.fold(Sections::new(), |mut all, text| {
        all.extend(parse_ini(&text));
        all
    })
}

/// The options of configuration files and environment, as arguments to be put before those of the command line.
pub fn configured_args(sections: &Sections, env: &[(String, String)]) -> Vec<String> {
    let mut configured = Vec::new();
    let mut add = |key: &str, value: &str| {
        configured.push(format!("--{key}"));
        if !value.is_empty() {
            configured.push(value.to_owned());
        }
    };
    for (key, value) in sections.get("global").into_iter().flatten() {
        add(key, value);
    }
    for (key, value) in env {
        if let Some(option) = key.strip_prefix(ENV_OPTION_PREFIX) {
            add(&option.to_ascii_lowercase().replace('_', "-"), value);
        }
    }
    configured
}

/// The options of one command, such as `groupby = ["Node"]` in section `[node.list]`, whose values are JSON.
pub fn command_options(
    sections: &Sections,
    command: &str,
) -> Result<Vec<(String, Value)>, Failure> {
    let entries = sections.get(command).into_iter().flatten();
    let parsed = entries.map(|(key, text)| {
        let value = serde_json::from_str(text).map_err(|error| {
            Failure::usage(format!(
                "{key} in section [{command}] of the configuration is not JSON: {error}; write text as \"text\", lists as \
                 [\"a\", \"b\"]"
            ))
        })?;
        Ok((key.replace('_', "-"), value))
    });
    parsed.collect()
}

/// The controllers to try, in order, as base URLs.
pub fn controllers(option: Option<&str>, env: Option<&str>) -> Result<Vec<String>, Failure> {
    let mut bases = Vec::new();
    for list in [option, env].into_iter().flatten() {
        for controller in list.split(',').map(str::trim).filter(|c| !c.is_empty()) {
            bases.push(base_url(controller)?);
        }
    }
    if bases.is_empty() {
        bases.push(base_url(DEFAULT_CONTROLLER)?);
    }
    Ok(bases)
}

/// A base URL in LINSTOR's notation: `linstor://` and `linstor+ssl://`.
pub fn uri(base: &str) -> String {
    match base.split_once("://") {
        Some(("http", rest)) => format!("linstor://{rest}"),
        Some(("https", rest)) => format!("linstor+ssl://{rest}"),
        _ => base.to_owned(),
    }
}

/// The base URL of a controller given as `host`, `host:port`, `[v6]:port`, `linstor://host`, `https://host:port`.
fn base_url(controller: &str) -> Result<String, Failure> {
    let (scheme, rest) = controller
        .split_once("://")
        .unwrap_or(("linstor", controller));
    let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
        // LINSTOR's client takes every scheme that is not of HTTPS for HTTP.
        "linstor" | "linstorstatic" | "http" => ("http", HTTP_PORT),
        "linstor+ssl" | "https" => ("https", HTTPS_PORT),
        _ => {
            return Err(Failure::usage(format!(
                "'{controller}' is not the address of a controller; give host, host:port, linstor://host, \
                 linstor+ssl://host, http://host or https://host"
            )));
        }
    };
    let rest = rest.trim_end_matches('/');
    let bad_port = || {
        Failure::usage(format!(
            "'{controller}': the port is not a number up to 65535"
        ))
    };
    let port_of = |text: &str| text.parse::<u16>().map_err(|_| bad_port());
    let (host, port) = if let Some(v6) = rest.strip_prefix('[') {
        let (address, after) = v6
            .split_once(']')
            .ok_or_else(|| Failure::usage(format!(
                    "'{controller}': the IPv6 address does not end with ']'; give [address] or [address]:port"
                )))?;
        let port = after.strip_prefix(':').map(port_of).transpose()?;
        (format!("[{address}]"), port)
    } else if rest.matches(':').count() > 1 {
        (format!("[{rest}]"), None)
    } else if let Some((host, port)) = rest.split_once(':') {
        (host.to_owned(), Some(port_of(port)?))
    } else {
        (rest.to_owned(), None)
    };
    if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
        return Err(Failure::usage(format!(
            "'{controller}' has no valid host name; give host or host:port"
        )));
    }
    Ok(format!(
        "{scheme}://{host}:{}",
        port.unwrap_or(default_port)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A controller can be given in every form that the documentation shows.
    #[test]
    fn controllers_are_named_in_many_ways() {
        let bases = controllers(
            Some("alpha, beta:8080,linstorstatic://c ,https://d,linstor+ssl://e:1,[fe80::1]:2,::1"),
            Some("f"),
        );
        assert_eq!(
            bases.unwrap(),
            [
                "http://alpha:3370",
                "http://beta:8080",
                "http://c:3370",
                "https://d:3371",
                "https://e:1",
                "http://[fe80::1]:2",
                "http://[::1]:3370",
                "http://f:3370",
            ]
        );
        assert_eq!(controllers(None, None).unwrap(), ["http://localhost:3370"]);
        for bad in ["ftp://x", "a:b", "a:70000", "[::1", "http://", "a b"] {
            assert!(controllers(Some(bad), None).is_err(), "{bad}");
        }
    }

    /// Options of files come before those of the environment, so that the environment takes precedence.
    #[test]
    fn configuration_becomes_arguments() {
        let etc = tempfile::tempdir().unwrap();
        let path = etc.path().join("linstor-client.conf");
        fs::write(
            &path,
            "# x\n[global]\ncontrollers = a,b\nno-color=\n[other]\nx=1\n",
        )
        .unwrap();
        let env = [
            ("LS_CLIENT_TIMEOUT".to_owned(), "5".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ];
        let args = configured_args(&sections(&[], etc.path(), None), &env);
        assert_eq!(
            args,
            ["--controllers", "a,b", "--no-color", "--timeout", "5"]
        );
        assert!(sections(&[DISABLE.to_owned()], etc.path(), None).is_empty());
    }

    /// The user's file replaces the system's, the drop-in directory adds to both.
    #[test]
    fn the_nearer_file_wins() {
        let dir = tempfile::tempdir().unwrap();
        let user = dir.path().join("home/.config/linstor");
        fs::create_dir_all(&user).unwrap();
        fs::create_dir_all(dir.path().join("etc/linstor-client.d")).unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("etc/linstor-client.conf", "[global]\ncontrollers=system\n");
        write(
            "etc/linstor-client.d/1.conf",
            "[global]\ncontrollers=drop\n",
        );
        let etc = dir.path().join("etc");
        let args = |home: Option<&Path>| configured_args(&sections(&[], &etc, home), &[]);
        assert_eq!(args(None), ["--controllers", "system"]);
        fs::write(
            user.join("linstor-client.conf"),
            "[global]\ncontrollers=user\n",
        )
        .unwrap();
        let home = dir.path().join("home");
        assert_eq!(args(Some(&home)), ["--controllers", "user"]);
    }
}
