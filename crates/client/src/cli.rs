//! The command line: options of all commands, the tree of commands, and what is meant by a line that has mistakes.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};
use serde_json::Value;

use crate::action::{Action, OutputVersion};
use crate::commands::COMMANDS;
use crate::config::{self, Sections};
use crate::define::{Command, group};
use crate::failure::Failure;

/// The command without a noun: reads commands from standard input.
const ROOT: Command = group(
    "linstor",
    "Manage a cluster of replicated block storage",
    COMMANDS,
);

/// Options that every command has. They are given before the command.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Print the version of this program
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
    /// Print no colours
    #[arg(long)]
    pub no_color: bool,
    /// Draw tables with ASCII characters only
    #[arg(long)]
    pub no_utf8: bool,
    /// Exit with an error code when there are warnings
    #[arg(long)]
    pub warn_as_error: bool,
    /// Print the curl command for each request instead of sending it
    #[arg(long)]
    pub curl: bool,
    /// Controllers to try, separated by commas: host, host:port, linstor+ssl://host, https://host; those of LS_CONTROLLERS
    /// come after them
    #[arg(long, value_name = "LIST")]
    pub controllers: Option<String>,
    /// Print JSON
    #[arg(short = 'm', long)]
    pub machine_readable: bool,
    /// Format of the JSON; without this option LS_OUTPUT_VERSION, or v1
    #[arg(long, value_enum, value_name = "VERSION")]
    pub output_version: Option<OutputVersion>,
    /// Print which controller is used
    #[arg(short = 'V', long)]
    pub verbose: bool,
    /// Seconds to wait for an answer of the controller
    #[arg(short = 't', long, default_value_t = 300, value_name = "SECONDS")]
    pub timeout: u64,
    /// Ignore configuration files
    #[arg(long)]
    pub disable_config: bool,
    /// User for HTTP basic authentication
    #[arg(short = 'u', long)]
    pub user: Option<String>,
    /// Password of the user; without it it is asked for
    #[arg(short = 'P', long, requires = "user")]
    pub password: Option<String>,
    /// File with the certificate of this client and, unless --keyfile is given, its key (PEM)
    #[arg(long, value_name = "FILE")]
    pub certfile: Option<String>,
    /// File with the key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "certfile")]
    pub keyfile: Option<String>,
    /// File with the certificates that controllers must be signed by (PEM); without it any controller is accepted
    #[arg(long, value_name = "FILE")]
    pub cafile: Option<String>,
    /// Send the password even over plain HTTP
    #[arg(long)]
    pub allow_insecure_auth: bool,
}

/// A command line.
pub struct Line {
    pub global: Global,
    matches: ArgMatches,
    words: Vec<String>,
}

impl Line {
    /// Parses the words after the program's name.
    pub fn parse(words: Vec<String>) -> Result<Line, clap::Error> {
        let mut words = normal(words);
        let mut matches = matches(&words);
        if let Err(error) = &matches
            && error.kind() == ErrorKind::MissingRequiredArgument
            && let Some(limited) = one_storage_pool(&words)
            && let Ok(found) = self::matches(&limited)
        {
            (words, matches) = (limited, Ok(found));
        }
        let matches = matches.map_err(|error| suggest(error, &words))?;
        let global = Global::from_arg_matches(&matches)?;
        Ok(Line {
            global,
            matches,
            words,
        })
    }

    /// The line of a list with the options that configuration files have for it: lists are added to those of the line, what else
    /// they have replaces it, as with LINSTOR.
    pub fn configured(self, sections: &Sections) -> Result<Line, Failure> {
        let (mut matches, mut path) = (&self.matches, Vec::new());
        let parser = build(Some(&self.words));
        let mut command = &parser;
        while let Some((name, below)) = matches.subcommand() {
            path.push(name);
            matches = below;
            command = command.find_subcommand(name).unwrap_or(command);
        }
        let section = path.join(".");
        if path.last() != Some(&"list") || !sections.contains_key(&section) {
            return Ok(self);
        }
        let mut words = self.words.clone();
        for (key, value) in config::command_options(sections, &section)? {
            let known = command
                .get_arguments()
                .find(|arg| arg.get_long() == Some(key.as_str()));
            let Some(option) = known else {
                eprintln!(
                    "Warning: '{}' has no option --{key}, which section [{section}] of the configuration has",
                    path.join(" ")
                );
                continue;
            };
            words.extend(self.option_words(option, &key, value));
        }
        Line::parse(words).map_err(|error| {
            Failure::usage(format!("section [{section}] of the configuration: {error}"))
        })
    }

    /// An option of a configuration file as words.
    fn option_words(&self, option: &Arg, key: &str, value: Value) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match value {
            Value::Null | Value::Bool(false) => Vec::new(),
            Value::Bool(true) => vec![format!("--{key}")],
            Value::Array(values) => {
                let mut all = self.list(option.get_id().as_str());
                all.extend(values.iter().map(text));
                if !all.is_empty() {
                    all.insert(0, format!("--{key}"));
                }
                all
            }
            value => vec![format!("--{key}={}", text(&value))],
        }
    }

    /// What the line asks for.
    pub fn action(&self) -> Result<Action, Failure> {
        ROOT.action(&self.matches)
    }

    /// Whether a word is completed.
    pub fn is_completion(&self) -> bool {
        self.matches.subcommand_name() == Some("complete")
    }

    /// The arguments of the command itself.
    fn last(&self) -> &ArgMatches {
        let mut matches = &self.matches;
        while let Some((_, below)) = matches.subcommand() {
            matches = below;
        }
        matches
    }

    fn list(&self, id: &str) -> Vec<String> {
        let values = self.last().try_get_many::<String>(id).ok().flatten();
        values.into_iter().flatten().cloned().collect()
    }

    /// The columns that tables are limited to; all if empty.
    pub fn columns(&self) -> Vec<String> {
        let words = self.list("columns");
        let words = words.iter().flat_map(|word| word.split(','));
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The file that is shown instead of the controller's answer.
    pub fn file(&self) -> Option<String> {
        self.list("from-file").into_iter().next()
    }

    /// The seconds after which the list is drawn again.
    pub fn watch(&self) -> Option<u64> {
        self.last()
            .try_get_one::<u64>("watch")
            .ok()
            .flatten()
            .copied()
    }
}

/// The parser. If words are given, only what they can mean has all its arguments.
pub fn build(words: Option<&[String]>) -> clap::Command {
    let root = clap::Command::new("linstor")
        .version(concat!(env!("CARGO_PKG_VERSION"), " (linstor-rs)"))
        .infer_long_args(true)
        .args_override_self(true)
        .disable_version_flag(true)
        .override_usage("linstor [OPTIONS] <COMMAND> ...")
        .max_term_width(110);
    let root = Global::augment_args(root).about(ROOT.about());
    let nouns = COMMANDS.iter().map(|command| command.build(words));
    with_table_options(root.subcommands(nouns))
}

/// Adds what all lists have to each command that draws a table. A list option that is given twice has the values of the
/// second one, as every other option.
fn with_table_options(command: clap::Command) -> clap::Command {
    let last_wins = |arg: Arg| {
        let is_list = arg
            .get_num_args()
            .is_some_and(|range| range.max_values() > 1);
        match arg.get_action() {
            ArgAction::Append if is_list => arg.action(ArgAction::Set),
            _ => arg,
        }
    };
    let mut command = command
        .mut_args(last_wins)
        .mut_subcommands(with_table_options);
    if !command
        .get_arguments()
        .any(|arg| arg.get_id() == "pastable")
    {
        return command;
    }
    let has =
        |command: &clap::Command, id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
    let mut columns = Arg::new("columns")
        .long("output")
        .value_name("COLUMNS")
        .help("Only these columns, in this order, separated by commas")
        .action(ArgAction::Append);
    if !command
        .get_arguments()
        .any(|arg| arg.get_short() == Some('o'))
    {
        columns = columns.short('o');
    }
    command = command.arg(columns).arg(
        Arg::new("watch")
            .long("watch")
            .value_name("SECONDS")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("2")
            .value_parser(clap::value_parser!(u64).range(1..))
            .help("Draw the list again every 2 seconds, or after these (--watch=10)"),
    );
    match has(&command, "from-file") {
        true => command,
        false => command.arg(
            Arg::new("from-file")
                .long("from-file")
                .value_name("FILE")
                .help("Show what this file holds: an answer of the controller, or what -m printed"),
        ),
    }
}

/// Where the noun is: behind the options of all commands and their values.
fn noun_at(words: &[String]) -> usize {
    let globals = Global::augment_args(clap::Command::new(""));
    let takes_value = |word: &str| {
        globals.get_arguments().any(|arg| {
            let long = arg
                .get_long()
                .is_some_and(|long| word.strip_prefix("--") == Some(long));
            let short = arg
                .get_short()
                .is_some_and(|short| word == format!("-{short}"));
            (long || short) && arg.get_action().takes_values()
        })
    };
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
        at += if takes_value(word) { 2 } else { 1 };
    }
    at.min(words.len())
}

/// The words as the parser knows them: nouns of two words are joined, the driver of a new storage pool comes first, and
/// a value that begins with a dash and has a blank belongs to the option before it.
fn normal(mut words: Vec<String>) -> Vec<String> {
    let at = noun_at(&words);
    if let [first, second, ..] = &words[at..] {
        let joined = format!("{first}-{second}");
        let is_verb = |noun: &Command| {
            noun.build(Some(std::slice::from_ref(first)))
                .find_subcommand(second)
                .is_some()
        };
        let first_noun = COMMANDS
            .iter()
            .find(|noun| noun.names().any(|name| name == first));
        let is_noun = COMMANDS.iter().any(|noun| noun.name() == joined);
        if is_noun && !first_noun.is_some_and(is_verb) {
            words.splice(at..at + 2, [joined]);
        }
    }
    if let [noun, verb, node, pool, driver, ..] = &words[at..]
        && ["storage-pool", "sp"].contains(&noun.as_str())
        && ["create", "c"].contains(&verb.as_str())
        && is_driver(driver)
        && !is_driver(node)
    {
        let moved = [driver.clone(), node.clone(), pool.clone()];
        words.splice(at + 2..at + 5, moved);
    }
    let mut joined: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(option)
                if word.starts_with('-')
                    && word.contains(' ')
                    && !word.split(' ').next().unwrap_or_default().contains('=')
                    && option.starts_with("--")
                    && !option.contains('=')
                    && option.len() > 2 =>
            {
                option.push('=');
                option.push_str(&word);
            }
            _ => joined.push(word),
        }
    }
    joined
}

fn matches(words: &[String]) -> Result<ArgMatches, clap::Error> {
    let program = std::iter::once("linstor".to_owned());
    build(Some(words)).try_get_matches_from(program.chain(words.iter().cloned()))
}

/// The words with only one value for `--storage-pool`. It is a list, which takes what follows it; older versions of LINSTOR's
/// command line, and guides written with them, name one pool there and then the nodes and the resource.
fn one_storage_pool(words: &[String]) -> Option<Vec<String>> {
    let at = words
        .iter()
        .rposition(|word| word == "--storage-pool" || word == "-s")?;
    let pool = words.get(at + 1).filter(|pool| !pool.starts_with('-'))?;
    let option = match words[at].as_str() {
        "-s" => format!("-s{pool}"),
        long => format!("{long}={pool}"),
    };
    let mut limited = words.to_vec();
    limited.splice(at..at + 2, [option]);
    Some(limited)
}

/// Whether it is the driver of a storage pool.
fn is_driver(word: &str) -> bool {
    let words = ["storage-pool", "create"].map(str::to_owned);
    let pool = COMMANDS.iter().find(|noun| noun.name() == "storage-pool");
    let command = pool.map(|pool| pool.build(Some(&words)));
    let create = command
        .as_ref()
        .and_then(|pool| pool.find_subcommand("create"));
    create.is_some_and(|create| create.find_subcommand(word).is_some())
}

/// The error with the full name of the one command that was probably meant.
fn suggest(mut error: clap::Error, words: &[String]) -> clap::Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidSubcommand).cloned()
    else {
        return error;
    };
    let root = build(None);
    let mut level = &root;
    let mut path = Vec::new();
    for word in words.iter().take_while(|word| **word != wrong) {
        if let Some(below) = level.find_subcommand(word) {
            path.push(below.get_name());
            level = below;
        }
    }
    let found = nearest(&wrong, level.get_subcommands().map(clap::Command::get_name));
    let found = found.map(|name| name.to_owned()).or_else(|| {
        // The word may be a verb without its noun, or the noun of another command line.
        let nouns = COMMANDS
            .iter()
            .filter(|noun| noun.names().any(|name| name == wrong));
        nouns.map(Command::name).next().map(str::to_owned)
    });
    error.remove(ContextKind::SuggestedSubcommand);
    error.remove(ContextKind::Suggested);
    if let Some(name) = found {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::String(name));
    }
    error
}

/// The name that is nearest to a word, if it is near enough to be meant.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    let near = names.filter_map(|name| {
        // Who writes the beginning of a long name means it.
        let begins = word.len() >= 3 && name.starts_with(&word);
        let distance = if begins { 0 } else { distance(&word, name) };
        (distance <= limit).then_some((distance, name))
    });
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be added, removed, replaced or exchanged with the next one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Command lines of older versions and articles are the same commands.
    #[test]
    fn old_word_orders() {
        for (line, expected) in [
            (
                "volume definition create a 1G",
                "volume-definition create a 1G",
            ),
            ("volume list", "volume list"),
            ("-m resource definition list", "-m resource-definition list"),
            (
                "--controllers a storage pool list",
                "--controllers a storage-pool list",
            ),
            ("sp c n p lvmthin vg/x", "sp c lvmthin n p vg/x"),
            ("sp c lvm n p vg", "sp c lvm n p vg"),
            (
                "snapshot resource restore --fr a",
                "snapshot resource restore --fr a",
            ),
        ] {
            assert_eq!(normal(words(line)).join(" "), expected);
        }
        let options =
            ["ps", "cdp", "--lv-create-arguments", "-o volblocksize=64k"].map(str::to_owned);
        assert_eq!(
            normal(options.into())[2],
            "--lv-create-arguments=-o volblocksize=64k"
        );
    }

    /// Sections of configuration files add to lists and replace what else a line has.
    #[test]
    fn lists_are_configured() {
        let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let sections = Sections::from([(
            "node.list".to_owned(),
            vec![
                entry("groupby", r#"["Node"]"#),
                entry("show_props", r#"["Aux/b", "Aux/c=C"]"#),
                entry("pastable", "true"),
                entry("nosuch", "1"),
            ],
        )]);
        let line = |text: &str| {
            let line = Line::parse(words(text)).ok().unwrap();
            line.configured(&sections).unwrap().words.join(" ")
        };
        assert_eq!(
            line("n l --show-props Aux/a -n x"),
            "n l --show-props Aux/a -n x --groupby Node --show-props Aux/a Aux/b Aux/c=C --pastable"
        );
        assert_eq!(line("r l"), "r l");
        assert_eq!(line("n d list"), "n d list");
        let wrong = Sections::from([("node.list".to_owned(), vec![entry("groupby", "Node")])]);
        let error = Line::parse(words("n l")).ok().unwrap().configured(&wrong);
        assert!(error.err().unwrap().message.contains("is not JSON"));
    }

    /// One suggestion, a full name; none where nothing is near.
    #[test]
    fn one_suggestion() {
        for (line, expected) in [
            ("nodee list", Some("node")),
            ("snapshto list", Some("snapshot")),
            ("advice", Some("advise")),
            ("node lsit", Some("list")),
            ("resource-def list", Some("resource-definition")),
            ("zzzzzz", None),
        ] {
            let error = Line::parse(words(line)).err().unwrap();
            let text = error.to_string();
            match expected {
                Some(name) => assert!(text.contains(&format!("'{name}'")), "{line}: {text}"),
                None => assert!(!text.contains("similar"), "{line}: {text}"),
            }
            assert!(
                !text.contains("'n', ") && !text.contains("some similar"),
                "{line}: {text}"
            );
        }
    }
}
