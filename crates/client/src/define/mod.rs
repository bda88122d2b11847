//! The definition of a command: its names, help, arguments, request and output, in one place.
//!
//! A command is data. [`Command::build`] makes the parser of it, [`Command::action`] the requests: an argument says
//! where its value belongs, in the path, the query or the body. Completion and manual pages are made of the same data.

mod arg;

use clap::ArgMatches;
use linstor_api::properties::Properties;

use self::arg::Takes;
pub use self::arg::{Arg, Given, Names, always, always_bool, flag, option, path, value};
use crate::action::{Action, Screen};
use crate::commands::drbd_options;
use crate::commands::property::SetProperty;
use crate::failure::Failure;
use crate::output::v0;

/// Writes an answer for people.
pub type Show = fn(&Given, &str, &mut Screen<'_>) -> Result<(), Failure>;
/// Finds the properties of the object in an answer.
pub type Find = fn(&Given, &str) -> Result<Option<Properties>, Failure>;

/// What a command does with its arguments. Requests are templates, see [`Given::request`].
#[derive(Clone, Copy)]
enum What {
    /// Prints the replies.
    Replies(&'static str),
    /// One request for each value of the argument.
    Each(&'static str, &'static str),
    /// Shows a list, or another answer for which `-m` prints a list with the answer in it.
    List(&'static str, Show),
    /// Shows an answer; `-m` prints it as it is.
    Object(&'static str, Show),
    SetProperty(&'static str),
    ListProperties(&'static str, Find),
    /// Options of DRBD of a scope of [`drbd_options`].
    DrbdOptions(&'static str, u8),
    Own(fn(&Given) -> Result<Action, Failure>),
}

/// Commands that clap's derive macros define.
pub trait Verbs: clap::Subcommand {
    /// The action of the command.
    fn action(self) -> Result<Action, Failure>;
}

#[derive(Clone, Copy)]
struct Derived {
    augment: fn(clap::Command) -> clap::Command,
    action: fn(&ArgMatches) -> Result<Action, Failure>,
}

fn derived_action<T: Verbs>(matches: &ArgMatches) -> Result<Action, Failure> {
    let verbs = T::from_arg_matches(matches).map_err(|error| Failure::usage(error.to_string()))?;
    verbs.action()
}

#[derive(Clone, Copy)]
enum Kind {
    Group {
        derived: Option<Derived>,
        commands: &'static [Command],
    },
    Leaf {
        args: &'static [Arg],
        what: What,
    },
}

/// A command, or a noun with the commands below it.
#[derive(Clone, Copy)]
pub struct Command {
    /// Its full name, then others, separated by blanks.
    names: &'static str,
    about: &'static str,
    kind: Kind,
}

const fn leaf(
    names: &'static str,
    about: &'static str,
    args: &'static [Arg],
    what: What,
) -> Command {
    Command {
        names,
        about,
        kind: Kind::Leaf { args, what },
    }
}

/// A noun, or a verb with commands below it.
pub const fn group(
    names: &'static str,
    about: &'static str,
    commands: &'static [Command],
) -> Command {
    Command {
        names,
        about,
        kind: Kind::Group {
            derived: None,
            commands,
        },
    }
}

/// A noun with commands that are derived, and others.
pub const fn derived<T: Verbs>(
    names: &'static str,
    about: &'static str,
    commands: &'static [Command],
) -> Command {
    let derived = Some(Derived {
        augment: T::augment_subcommands,
        action: derived_action::<T>,
    });
    Command {
        names,
        about,
        kind: Kind::Group { derived, commands },
    }
}

/// A command that changes something.
pub const fn modify(
    names: &'static str,
    about: &'static str,
    request: &'static str,
    args: &'static [Arg],
) -> Command {
    leaf(names, about, args, What::Replies(request))
}

/// A command that sends one request for each value of an argument.
pub const fn each(
    names: &'static str,
    about: &'static str,
    request: &'static str,
    args: &'static [Arg],
    id: &'static str,
) -> Command {
    leaf(names, about, args, What::Each(request, id))
}

/// A command that shows a list.
pub const fn list(
    about: &'static str,
    request: &'static str,
    args: &'static [Arg],
    show: Show,
) -> Command {
    leaf("list l", about, args, What::List(request, show))
}

/// A command that shows an answer; `-m` prints it as it is.
pub const fn object(
    names: &'static str,
    about: &'static str,
    request: &'static str,
    args: &'static [Arg],
    show: Show,
) -> Command {
    leaf(names, about, args, What::Object(request, show))
}

/// `set-property`; the arguments are those that name the object.
pub const fn set_property(request: &'static str, args: &'static [Arg]) -> Command {
    let about = "Set or remove a property";
    leaf("set-property sp", about, args, What::SetProperty(request))
}

/// `list-properties`; the arguments are those that name the object.
pub const fn list_properties(request: &'static str, args: &'static [Arg], find: Find) -> Command {
    let what = What::ListProperties(request, find);
    leaf("list-properties lp", "List the properties", args, what)
}

/// `drbd-options`, for connections `drbd-peer-options`; the arguments are those that name the object.
pub const fn drbd(
    names: &'static str,
    request: &'static str,
    scope: u8,
    args: &'static [Arg],
) -> Command {
    let about = "Set options of DRBD; --unset-<option> removes one";
    leaf(names, about, args, What::DrbdOptions(request, scope))
}

/// A command whose action is not one request with its arguments in it.
pub const fn own(
    names: &'static str,
    about: &'static str,
    args: &'static [Arg],
    action: fn(&Given) -> Result<Action, Failure>,
) -> Command {
    leaf(names, about, args, What::Own(action))
}

impl Command {
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.split(' ')
    }

    /// The full name.
    pub fn name(&self) -> &'static str {
        self.names().next().unwrap_or(self.names)
    }

    pub fn about(&self) -> &'static str {
        self.about
    }

    /// The parser. Commands that the words of a command line cannot mean have no arguments in it: to build all of them
    /// takes longer than everything else that most commands do.
    pub fn build(&self, words: Option<&[String]>) -> clap::Command {
        let mut aliases = self.names();
        let mut command = clap::Command::new(aliases.next().unwrap_or_default())
            .about(self.about)
            .visible_aliases(aliases);
        let is_meant = words.is_none_or(|words| {
            words
                .iter()
                .any(|word| self.names().any(|name| name == word))
        });
        match self.kind {
            Kind::Group { .. } if !is_meant => command,
            Kind::Leaf { .. } if !is_meant => command,
            Kind::Group { derived, commands } => {
                command = command
                    .subcommand_required(true)
                    .arg_required_else_help(true);
                if let Some(derived) = derived {
                    command = (derived.augment)(command).about(self.about);
                }
                command.subcommands(commands.iter().map(|below| below.build(words)))
            }
            Kind::Leaf { args, what } => {
                let args = args
                    .iter()
                    .filter(|arg| !matches!(arg.takes, Takes::Always(_)));
                command = command.args(args.map(Arg::build));
                match what {
                    What::SetProperty(_) => <SetProperty as clap::Args>::augment_args(command),
                    What::ListProperties(..) => {
                        command.arg(crate::commands::list_options::PASTABLE.build())
                    }
                    What::DrbdOptions(_, scope) => drbd_options::augment(scope, command),
                    _ => command,
                }
            }
        }
    }

    /// What the command line asks for.
    pub fn action(&self, matches: &ArgMatches) -> Result<Action, Failure> {
        let (args, what) = match self.kind {
            Kind::Leaf { args, what } => (args, what),
            Kind::Group { derived, commands } => {
                let Some((name, below)) = matches.subcommand() else {
                    return Ok(Action::Interactive);
                };
                return match (commands.iter().find(|c| c.name() == name), derived) {
                    (Some(command), _) => command.action(below),
                    (None, Some(derived)) => (derived.action)(matches),
                    (None, None) => Err(Failure::usage(format!("'{name}' is not a command"))),
                };
            }
        };
        let given = Given(matches.clone());
        match what {
            What::Own(action) => action(&given),
            What::Replies(template) => Action::modify(given.request(template, args)?),
            What::Each(template, id) => {
                let values = given.list(id);
                let requests = values.iter().map(|one| {
                    let value = |name: &str| {
                        if name == id {
                            one.clone()
                        } else {
                            given.need(name).to_owned()
                        }
                    };
                    given.request_with(template, args, value)
                });
                Ok(Action::Modify(requests.collect::<Result<_, _>>()?))
            }
            What::List(template, show) => Ok(Action::List {
                request: given.request(template, args)?,
                show: Box::new(move |text, screen| show(&given, text, screen)),
                v0: v0::conversion(template),
            }),
            What::Object(template, show) => Ok(Action::Object {
                request: given.request(template, args)?,
                show: Box::new(move |text, screen| show(&given, text, screen)),
            }),
            What::SetProperty(template) => {
                let request = given.request(template, args)?;
                let property = <SetProperty as clap::FromArgMatches>::from_arg_matches(matches);
                property
                    .map_err(|error| Failure::usage(error.to_string()))?
                    .modify(request)
            }
            What::ListProperties(template, find) => Ok(Action::Properties {
                request: given.request(template, args)?,
                pastable: given.has("pastable"),
                find: Box::new(move |text| find(&given, text)),
            }),
            What::DrbdOptions(template, scope) => {
                let change = drbd_options::change(scope, matches)?;
                Action::modify(given.request(template, args)?.body(&change))
            }
        }
    }
}
