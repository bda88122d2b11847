//! `drbd-options`: one option `--x` that sets and one `--unset-x` that removes each DRBD option.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use linstor_api::drbd_option::{ALL, DrbdOption, Scope};
use linstor_api::properties::PropertiesModify;

use crate::failure::Failure;

/// Options of controller, resource group and resource definition.
pub const RESOURCE: u8 = 0;
/// Options of volume group and volume definition.
pub const VOLUME: u8 = 1;
/// Options of connections.
pub const CONNECTION: u8 = 2;

/// The options given on the command line, of one of the scopes above.
#[derive(Debug, Clone, Default)]
pub struct DrbdOptions<const SCOPE: u8> {
    set: Vec<(&'static DrbdOption, String)>,
    unset: Vec<&'static DrbdOption>,
}

/// The option's name on the command line: DRBD's `timeout` has a prefix because `--timeout` is the command line's
/// own; handlers have one because some share a name with an option of another section.
fn long_name(option: &DrbdOption) -> String {
    use linstor_api::drbd_option::Section;
    match (option.section, option.name) {
        (Section::Handlers, name) => format!("handler-{name}"),
        (_, "timeout") => "drbd-timeout".to_owned(),
        (_, name) => name.to_owned(),
    }
}

fn in_scope(scope: u8) -> impl Iterator<Item = &'static DrbdOption> {
    let scope = match scope {
        VOLUME => Scope::Volume,
        CONNECTION => Scope::Connection,
        _ => Scope::Resource,
    };
    ALL.iter().filter(move |option| option.is_in(scope))
}

fn help(option: &DrbdOption) -> String {
    use linstor_api::drbd_option::Domain;
    match option.domain {
        Domain::Boolean => "yes or no".to_owned(),
        Domain::Text => "text".to_owned(),
        Domain::OneOf(values) => values.join(", "),
        Domain::Number(min, max) => format!("{min} to {max}"),
        Domain::NumberOr(min, max, names) => format!("{min} to {max}, {}", names.join(", ")),
        Domain::Size(min, max, unit) if unit.bytes() > 1 => {
            format!(
                "{min} to {max} times {} bytes; as 10M, or in bytes",
                unit.bytes()
            )
        }
        Domain::Size(min, max, _) => format!("{min} to {max}; as 10M, or plain"),
    }
}

impl<const SCOPE: u8> Args for DrbdOptions<SCOPE> {
    fn augment_args(command: Command) -> Command {
        in_scope(SCOPE).fold(command, |command, option| {
            let name = long_name(option);
            let unset = format!("unset-{name}");
            command
                .arg(
                    Arg::new(name.clone())
                        .long(name)
                        .value_name("VALUE")
                        .allow_hyphen_values(true)
                        .conflicts_with(unset.clone())
                        .help(help(option)),
                )
                .arg(
                    Arg::new(unset.clone())
                        .long(unset)
                        .action(ArgAction::SetTrue)
                        .hide(true),
                )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const SCOPE: u8> FromArgMatches for DrbdOptions<SCOPE> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for option in in_scope(SCOPE) {
            let name = long_name(option);
            if let Some(value) = matches.get_one::<String>(&name) {
                self.set.push((option, value.clone()));
            }
            if matches.get_flag(&format!("unset-{name}")) {
                self.unset.push(option);
            }
        }
        Ok(())
    }
}

impl<const SCOPE: u8> DrbdOptions<SCOPE> {
    /// The change of properties that sets and removes the options.
    pub fn change(&self) -> Result<PropertiesModify, Failure> {
        let mut change = PropertiesModify::default();
        for (option, given) in &self.set {
            let value = option
                .parse(given)
                .map_err(|error| Failure::usage(format!("--{}: {error}", long_name(option))))?;
            change.override_props.insert(option.key(), Some(value));
        }
        change.delete_props = self.unset.iter().map(|option| option.key()).collect();
        Ok(change)
    }
}
