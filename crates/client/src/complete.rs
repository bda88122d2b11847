//! Completion: the words that can follow, in shells and in interactive mode.
//!
//! The scripts ask this program, which knows its commands and asks the controller for names.

use serde_json::Value as Json;

use crate::cli;
use crate::commands::rows::entries;
use crate::define::Names;
use crate::request::Request;
use crate::session::Transport;

const BASH: &str = r#"_linstor() {
    local IFS=$'\n' word
    COMPREPLY=()
    for word in $(linstor complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do
        COMPREPLY+=("${word%%$'\t'*}")
    done
}
complete -o bashdefault -o default -F _linstor linstor
"#;
const ZSH: &str = r#"#compdef linstor
_linstor() {
    local -a found
    local line
    for line in ${(f)"$(linstor complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
        found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    _describe linstor found || _files
}
compdef _linstor linstor
"#;
const FISH: &str = r#"complete -c linstor -f -a '(linstor complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
"#;

/// The script that makes a shell ask this program.
pub fn script(shell: &str) -> &'static str {
    match shell {
        "zsh" => ZSH,
        "fish" => FISH,
        _ => BASH,
    }
}

/// What the last word can be, with help; it may be empty or begun.
pub fn candidates(words: &[String], session: &mut dyn Transport) -> Vec<(String, String)> {
    let Some((begun, before)) = words.split_last() else {
        return Vec::new();
    };
    let root = cli::build(Some(before));
    let mut command = &root;
    let (mut option, mut positional, mut values) = (None, 0, Vec::new());
    for word in before {
        if let Some(below) = command.find_subcommand(word) {
            (command, option, positional) = (below, None, 0);
        } else if word.starts_with('-') {
            option = command
                .get_arguments()
                .find(|arg| named(arg, word) && arg.get_action().takes_values());
        } else {
            values.push(word.clone());
            match option.take() {
                // An option with many values takes the next word as well, but positionals may follow.
                Some(arg) if takes_many(arg) => option = Some(arg),
                Some(_) => {}
                None => positional += 1,
            }
        }
    }
    let mut found: Vec<(String, String)> = Vec::new();
    if begun.starts_with('-') {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            found.extend(arg.get_long().map(|long| (format!("--{long}"), help)));
        }
    } else {
        if option.is_none_or(takes_many) {
            for below in command
                .get_subcommands()
                .filter(|below| !below.is_hide_set())
            {
                let about = below
                    .get_about()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                found.push((below.get_name().to_owned(), about));
            }
        }
        let positionals: Vec<&clap::Arg> = command.get_positionals().collect();
        let last = positionals.last().filter(|arg| takes_many(arg)).copied();
        let arg = option.or_else(|| positionals.get(positional).copied().or(last));
        if let Some(arg) = arg {
            let possible = arg.get_possible_values();
            found.extend(
                possible
                    .iter()
                    .map(|value| (value.get_name().to_owned(), String::new())),
            );
            for kind in kinds(command.get_name(), arg, &root, before) {
                found.extend(
                    names(kind, &values, session)
                        .into_iter()
                        .map(|name| (name, String::new())),
                );
            }
        }
    }
    found.retain(|(word, _)| word.starts_with(begun.as_str()));
    found.sort();
    found.dedup();
    found
}

fn named(arg: &clap::Arg, word: &str) -> bool {
    let long = word.strip_prefix("--");
    let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
    long.is_some_and(|long| longs.contains(&long))
        || arg
            .get_short()
            .is_some_and(|short| word == format!("-{short}"))
}

fn takes_many(arg: &clap::Arg) -> bool {
    arg.get_num_args()
        .is_some_and(|range| range.max_values() > 1)
}

/// The kinds of names that an argument takes: its help names them, `NODE... RESOURCE`, or the noun does.
fn kinds(verb: &str, arg: &clap::Arg, root: &clap::Command, before: &[String]) -> Vec<Names> {
    let shown = arg.get_value_names().unwrap_or_default().iter();
    let shown = shown
        .map(|name| name.to_uppercase())
        .collect::<Vec<_>>()
        .join(" ");
    let of = |word: &str| {
        Names::ALL
            .iter()
            .find(|(_, name)| *name == word)
            .map(|(kind, _)| *kind)
    };
    let words = shown.split(|c: char| !c.is_ascii_uppercase());
    let found: Vec<Names> = words
        .filter_map(|word| of(word).or_else(|| of(word.strip_suffix('S')?)))
        .collect();
    let named_by_noun = shown.starts_with("NAME") && verb != "create";
    if !found.is_empty() || !named_by_noun {
        return found;
    }
    let noun = before.iter().find_map(|word| root.find_subcommand(word));
    match noun.map(clap::Command::get_name) {
        Some("node") => vec![Names::Node],
        Some("resource-definition" | "resource") => vec![Names::Resource],
        Some("resource-group") => vec![Names::ResourceGroup],
        Some("storage-pool-definition") => vec![Names::StoragePool],
        Some("snapshot") => vec![Names::Node, Names::Resource],
        _ => Vec::new(),
    }
}

/// The names that the controller has; none if it does not answer.
fn names(kind: Names, given: &[String], session: &mut dyn Transport) -> Vec<String> {
    let (path, key): (&[&str], &str) = match kind {
        Names::None => return Vec::new(),
        Names::Node => (&["nodes"], "name"),
        Names::Resource => (&["resource-definitions"], "name"),
        Names::ResourceGroup => (&["resource-groups"], "name"),
        Names::StoragePool => (&["view", "storage-pools"], "storage_pool_name"),
        Names::Snapshot => (&["view", "snapshots"], "name"),
        Names::Remote => (&["remotes"], "remote_name"),
        Names::Schedule => (&["schedules"], "schedule_name"),
        Names::KeyValueStore => (&["key-value-store"], "name"),
        Names::ExternalFile => (&["files"], "path"),
    };
    let answer = session
        .send(&Request::get(path))
        .ok()
        .filter(|answer| !answer.is_error());
    let Some(answer) = answer.and_then(|answer| serde_json::from_str::<Json>(&answer.text).ok())
    else {
        return Vec::new();
    };
    let rows = match answer {
        Json::Object(members) => members
            .into_iter()
            .flat_map(|(_, list)| entries(list))
            .collect(),
        list => entries(list),
    };
    // Snapshots of the resource that the line names, if it names one.
    let of = |row: &Json| row["resource_name"].as_str().map(str::to_owned);
    let named = rows
        .iter()
        .filter_map(of)
        .any(|resource| given.contains(&resource));
    let wanted = |row: &&Json| !named || of(row).is_none_or(|resource| given.contains(&resource));
    let found = rows
        .iter()
        .filter(wanted)
        .filter_map(|row| row[key].as_str());
    found.map(str::to_owned).collect()
}
