//! `drbd-options`: one option `--x` that sets and one `--unset-x` that removes each DRBD option.

use clap::{Arg, ArgAction, ArgMatches, Command};
use linstor_api::drbd_option::{ALL, DrbdOption, Scope};
use linstor_api::properties::PropertiesModify;

use crate::failure::Failure;

/// Options of controller, resource group and resource definition.
pub const RESOURCE: u8 = 0;
/// Options of volume group and volume definition.
pub const VOLUME: u8 = 1;
/// Options of connections.
pub const CONNECTION: u8 = 2;

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

/// Adds the options of a scope to a command.
pub fn augment(scope: u8, command: Command) -> Command {
    in_scope(scope).fold(command, |command, option| {
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

/// The change of properties that the options of a command line ask for.
pub fn change(scope: u8, matches: &ArgMatches) -> Result<PropertiesModify, Failure> {
    let mut change = PropertiesModify::default();
    for option in in_scope(scope) {
        let name = long_name(option);
        if let Some(given) = matches.get_one::<String>(&name) {
            let value = option
                .parse(given)
                .map_err(|error| Failure::usage(format!("--{name}: {error}")))?;
            change.override_props.insert(option.key(), Some(value));
        }
        if matches.get_flag(&format!("unset-{name}")) {
            change.delete_props.push(option.key());
        }
    }
    match change.is_empty() {
        true => Err(Failure::usage(
            "no DRBD option is given; give --<option> <value> or --unset-<option>",
        )),
        false => Ok(change),
    }
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
