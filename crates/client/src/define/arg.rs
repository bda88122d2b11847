//! An argument of a command: its names and help, and where its value belongs in the request.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, ArgMatches};
use linstor_api::secret_text::SecretText;
use linstor_api::size::{self, Rounding, Unit};
use serde_json::{Map, Value as Json};

use crate::action::Screen;
use crate::failure::Failure;
use crate::output::table::Table;
use crate::passphrase;
use crate::request::{Method, Request};

/// What names an argument takes; completion asks the controller for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Free text.
    None,
    Node,
    Resource,
    ResourceGroup,
    StoragePool,
    Snapshot,
    Remote,
    Schedule,
    KeyValueStore,
    ExternalFile,
}

impl Names {
    /// All kinds of names, with the word that stands for a value in help and the ids that arguments have for it.
    pub const ALL: &[(Names, &str)] = &[
        (Names::Node, "NODE"),
        (Names::Resource, "RESOURCE"),
        (Names::ResourceGroup, "GROUP"),
        (Names::StoragePool, "POOL"),
        (Names::Snapshot, "SNAPSHOT"),
        (Names::Remote, "REMOTE"),
        (Names::Schedule, "SCHEDULE"),
        (Names::KeyValueStore, "STORE"),
        (Names::ExternalFile, "FILE"),
    ];

    fn shown(self) -> &'static str {
        let found = Names::ALL.iter().find(|(names, _)| *names == self);
        found.map_or("NAME", |(_, shown)| shown)
    }
}

/// How many values an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing: it is not given, but always part of the request; a text, or a boolean.
    Always(Option<bool>),
    Flag,
    One,
    /// One value, or none.
    Maybe,
    /// At least one.
    Many,
    Any,
}

/// Where the value belongs in the request.
#[derive(Debug, Clone, Copy)]
enum To {
    /// Nowhere, except where the path names it.
    Path,
    Query(&'static str),
    Body(&'static str),
    /// In the body, true unless the flag is given.
    Unless(&'static str),
    /// A member of this member of the body.
    Member(&'static str, &'static str),
    /// The flag puts this property on the list of those to remove.
    Remove(&'static str),
}

/// What a value is in JSON.
#[derive(Debug, Clone, Copy)]
enum Type {
    Text,
    Number,
    /// A size; bytes, as text, in the request.
    Bytes,
    /// A number that is not negative, or this word, which stands for -1.
    NumberOr(&'static str),
    /// One of these words, in any case; upper case in the request if `true`.
    OneOf(&'static [&'static str], bool),
    /// `old=new`.
    Pairs,
    /// A passphrase or key; read from the terminal, with this prompt, where it is not given.
    Secret(&'static str),
}

/// An argument of a command.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// `node`, or `--nodes -n --other-name`: the first is also its name in paths.
    names: &'static str,
    help: &'static str,
    pub(super) takes: Takes,
    to: To,
    ty: Type,
    of: Names,
    required: bool,
    /// Ids of the arguments it excludes.
    conflicts: &'static [&'static str],
    hidden: bool,
}

const fn arg(names: &'static str, takes: Takes, required: bool, help: &'static str) -> Arg {
    Arg {
        names,
        help,
        takes,
        to: To::Path,
        ty: Type::Text,
        of: Names::None,
        required,
        conflicts: &[],
        hidden: false,
    }
}

/// A value without an option, which must be given.
pub const fn value(name: &'static str, help: &'static str) -> Arg {
    arg(name, Takes::One, true, help)
}

/// An option with a value.
pub const fn option(names: &'static str, help: &'static str) -> Arg {
    arg(names, Takes::One, false, help)
}

/// An option without a value.
pub const fn flag(names: &'static str, help: &'static str) -> Arg {
    arg(names, Takes::Flag, false, help)
}

/// What the body always has.
pub const fn always(key: &'static str, value: &'static str) -> Arg {
    arg(value, Takes::Always(None), false, "").body(key)
}

/// What the body always has.
pub const fn always_bool(key: &'static str, value: bool) -> Arg {
    arg(key, Takes::Always(Some(value)), false, "").body(key)
}

impl Arg {
    /// It may be absent; an option may also be given without its value.
    pub const fn maybe(mut self) -> Arg {
        self.takes = Takes::Maybe;
        self.required = false;
        self
    }

    /// At least one value.
    pub const fn many(mut self) -> Arg {
        self.takes = Takes::Many;
        self
    }

    /// Any number of values.
    pub const fn any(mut self) -> Arg {
        self.takes = Takes::Any;
        self.required = false;
        self
    }

    pub const fn required(mut self) -> Arg {
        self.required = true;
        self
    }

    /// Accepted, because command lines in use have it, but not documented.
    pub const fn hidden(mut self) -> Arg {
        self.hidden = true;
        self
    }

    /// Names of these objects complete it.
    pub const fn of(mut self, of: Names) -> Arg {
        self.of = of;
        self
    }

    /// It is this member of the body.
    pub const fn body(mut self, key: &'static str) -> Arg {
        self.to = To::Body(key);
        self
    }

    /// This member of the body is true unless the flag is given.
    pub const fn unless(mut self, key: &'static str) -> Arg {
        self.to = To::Unless(key);
        self
    }

    /// It is this parameter of the query.
    pub const fn query(mut self, key: &'static str) -> Arg {
        self.to = To::Query(key);
        self
    }

    /// It is this member of a member of the body.
    pub const fn member(mut self, key: &'static str, member: &'static str) -> Arg {
        self.to = To::Member(key, member);
        self
    }

    /// The flag removes this property.
    pub const fn remove(mut self, property: &'static str) -> Arg {
        self.to = To::Remove(property);
        self
    }

    pub const fn bytes(mut self) -> Arg {
        self.ty = Type::Bytes;
        self
    }

    pub const fn number(mut self) -> Arg {
        self.ty = Type::Number;
        self
    }

    pub const fn number_or(mut self, word: &'static str) -> Arg {
        self.ty = Type::NumberOr(word);
        self
    }

    pub const fn one_of(mut self, words: &'static [&'static str]) -> Arg {
        self.ty = Type::OneOf(words, false);
        self
    }

    /// One of these words, which the request has in upper case.
    pub const fn one_of_upper(mut self, words: &'static [&'static str]) -> Arg {
        self.ty = Type::OneOf(words, true);
        self
    }

    pub const fn pairs(mut self) -> Arg {
        self.ty = Type::Pairs;
        self
    }

    /// A passphrase or key.
    pub const fn secret(mut self, prompt: &'static str) -> Arg {
        self.ty = Type::Secret(prompt);
        self
    }

    pub const fn conflicts(mut self, ids: &'static [&'static str]) -> Arg {
        self.conflicts = ids;
        self
    }

    fn is_option(&self) -> bool {
        self.names.starts_with('-')
    }

    /// The first name.
    fn id(&self) -> &'static str {
        let first = self.names.split(' ').next().unwrap_or(self.names);
        first.trim_start_matches('-')
    }

    pub(super) fn build(&self) -> clap::Arg {
        let mut arg = clap::Arg::new(self.id())
            .help(self.help)
            .required(self.required)
            .hide(self.hidden)
            .conflicts_with_all(self.conflicts);
        if self.is_option() {
            for name in self.names.split(' ') {
                arg = match name.strip_prefix("--") {
                    Some(long) if long == self.id() => arg.long(long),
                    Some(long) => arg.visible_alias(long),
                    None => arg.short(name.chars().nth(1)),
                };
            }
        }
        arg = match self.takes {
            Takes::Flag | Takes::Always(_) => return arg.action(ArgAction::SetTrue),
            Takes::One => arg.action(ArgAction::Set),
            Takes::Maybe if self.is_option() => arg.num_args(0..=1).default_missing_value(""),
            Takes::Maybe => arg.action(ArgAction::Set),
            Takes::Many => arg.num_args(1..).action(ArgAction::Set),
            Takes::Any => arg.num_args(0..).action(ArgAction::Set),
        };
        let value = match self.of {
            Names::None => self.id().to_uppercase().replace('-', "_"),
            of => of.shown().to_owned(),
        };
        arg = arg.value_name(value);
        match self.ty {
            Type::OneOf(words, _) => arg
                .value_parser(PossibleValuesParser::new(words))
                .ignore_case(true),
            _ => arg,
        }
    }

    /// The value in JSON; none if the argument is not given.
    fn json(&self, given: &Given) -> Result<Option<Json>, Failure> {
        let invalid = |text: &str, what: &str| {
            Failure::usage(format!("{}: '{text}' is not {what}", self.shown()))
        };
        if let Takes::Always(boolean) = self.takes {
            return Ok(Some(boolean.map_or(self.names.into(), Json::from)));
        }
        if self.takes == Takes::Flag {
            return Ok(given.has(self.id()).then_some(Json::Bool(true)));
        }
        if let Type::Secret(prompt) = self.ty {
            let text = given.text(self.id());
            let ask = match text {
                Some(text) => text.is_empty(),
                None => !self.is_option(),
            };
            return match (ask, text) {
                (true, _) => {
                    passphrase::known(None, prompt).map(|secret| Some(secret_json(&secret)))
                }
                (false, text) => Ok(text.map(Json::from)),
            };
        }
        let one = |text: &str| match self.ty {
            Type::Number => match text.parse::<i64>() {
                Ok(number) => Ok(number.into()),
                Err(_) => Err(invalid(text, "a number")),
            },
            Type::Bytes => match size::parse_bytes(text, Unit::Byte, Rounding::Up) {
                Ok(bytes) => Ok(bytes.to_string().into()),
                Err(error) => Err(Failure::usage(format!("{}: {error}", self.shown()))),
            },
            Type::NumberOr(word) if text == word => Ok((-1).into()),
            Type::NumberOr(word) => match text.parse::<u32>() {
                Ok(number) => Ok(number.into()),
                Err(_) => Err(invalid(
                    text,
                    &format!("a number of at least 0 or '{word}'"),
                )),
            },
            Type::OneOf(words, upper) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(text));
                let word = word.copied().unwrap_or(text);
                Ok(match upper {
                    true => word.to_uppercase().into(),
                    false => word.into(),
                })
            }
            _ => Ok(Json::from(text)),
        };
        if let Type::Pairs = self.ty {
            let mut pairs = Map::new();
            for text in given.list(self.id()) {
                let (old, new) = text
                    .split_once('=')
                    .ok_or_else(|| invalid(&text, "of the form old=new"))?;
                pairs.insert(old.to_owned(), new.into());
            }
            return Ok((!pairs.is_empty()).then_some(Json::Object(pairs)));
        }
        match self.takes {
            Takes::Many | Takes::Any => {
                let list: Vec<Json> = given
                    .list(self.id())
                    .iter()
                    .map(|text| one(text))
                    .collect::<Result<_, _>>()?;
                Ok((!list.is_empty()).then_some(Json::Array(list)))
            }
            _ => given.text(self.id()).map(one).transpose(),
        }
    }

    /// Its name in messages.
    fn shown(&self) -> String {
        match self.is_option() {
            true => format!("--{}", self.id()),
            false => self.id().to_owned(),
        }
    }
}

/// The request is the only place that the secret goes to.
fn secret_json(secret: &SecretText) -> Json {
    Json::from(secret.reveal())
}

/// The values on a command line.
#[derive(Debug, Clone)]
pub struct Given(pub ArgMatches);

impl Given {
    pub fn has(&self, id: &str) -> bool {
        self.0.get_flag(id)
    }

    pub fn text(&self, id: &str) -> Option<&str> {
        self.0.get_one::<String>(id).map(String::as_str)
    }

    /// A value that the parser demands.
    pub fn need(&self, id: &str) -> &str {
        self.text(id).unwrap_or_default()
    }

    /// All values; empty if there are none or the command has no such argument.
    pub fn list(&self, id: &str) -> Vec<String> {
        let values = self.0.try_get_many::<String>(id).ok().flatten();
        values.into_iter().flatten().cloned().collect()
    }

    /// The table of a list, drawn as its options say.
    pub fn table(&self, screen: &Screen<'_>, columns: &[&str]) -> Table {
        let pastable = self.has("pastable");
        let table = Table::new(screen.style.pastable(pastable));
        columns.iter().fold(table, |table, name| table.column(name))
    }

    /// Splits `NODE... RESOURCE`-like values: the last ones are those of `names`, which must be there.
    pub fn split_last<const N: usize>(
        &self,
        id: &str,
        names: [&str; N],
    ) -> Result<(Vec<String>, [String; N]), Failure> {
        let mut first = self.list(id);
        let at = first.len().checked_sub(N).ok_or_else(|| {
            Failure::usage(format!(
                "too few arguments; needed are {}",
                names.join(" and ")
            ))
        })?;
        let last = first.split_off(at);
        let mut last = last.into_iter();
        Ok((first, names.map(|_| last.next().unwrap_or_default())))
    }

    /// The request of a template such as `PUT nodes/{node}`, with the values of the arguments in it.
    pub fn request(&self, template: &str, args: &[Arg]) -> Result<Request, Failure> {
        self.request_with(template, args, |id| self.need(id).to_owned())
    }

    pub(super) fn request_with(
        &self,
        template: &str,
        args: &[Arg],
        value: impl Fn(&str) -> String,
    ) -> Result<Request, Failure> {
        let (method, path) = template.split_once(' ').unwrap_or(("GET", template));
        let segments = path.split('/').map(|segment| {
            let id = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
            id.map_or_else(|| segment.to_owned(), &value)
        });
        let segments: Vec<String> = segments.collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let mut request = Request::new(Method::parse(method), &segments);
        let mut body = Map::new();
        let mut has_body = false;
        for arg in args {
            match arg.to {
                // A number in a path is validated as well.
                To::Path => {
                    if let Type::Number = arg.ty {
                        arg.json(self)?;
                    }
                }
                To::Unless(key) => {
                    has_body = true;
                    body.insert(key.to_owned(), Json::Bool(!self.has(arg.id())));
                }
                To::Body(key) => {
                    has_body = true;
                    if let Some(json) = arg.json(self)? {
                        body.insert(key.to_owned(), json);
                    }
                }
                To::Member(key, member) => {
                    if let Some(json) = arg.json(self)? {
                        has_body = true;
                        let object = body.entry(key).or_insert_with(|| Json::Object(Map::new()));
                        object[member] = json;
                    }
                }
                To::Remove(property) if self.has(arg.id()) => {
                    has_body = true;
                    let list = body
                        .entry("delete_props")
                        .or_insert_with(|| Json::Array(Vec::new()));
                    if let Json::Array(list) = list {
                        list.push(property.into());
                    }
                }
                To::Remove(_) => {}
                To::Query(key) => {
                    let texts = match arg.takes {
                        Takes::Flag if self.has(arg.id()) => vec!["true".to_owned()],
                        Takes::Flag => Vec::new(),
                        Takes::Always(_) => vec![arg.names.to_owned()],
                        _ => self.list(arg.id()),
                    };
                    request = request.query(key, &texts);
                }
            }
        }
        Ok(match has_body {
            true => request.body(&body),
            false => request,
        })
    }
}

/// A path that an option names.
pub fn path(given: &Given, id: &str) -> Option<PathBuf> {
    given.text(id).map(PathBuf::from)
}
