//! `linstor volume-definition`: the volumes of a resource definition.

use clap::{Args, Subcommand};
use linstor_api::flag;
use linstor_api::prop;
use linstor_api::resource_definition::ResourceDefinition;
use linstor_api::size::{self, Rounding, Unit, format_kib};
use linstor_api::volume_definition::{
    VolumeDefinition, VolumeDefinitionCreate, VolumeDefinitionModify, VolumeDefinitionPassphrase,
};

use super::drbd_options;
use super::list_options::{GroupBy, Pastable, ShowProps, property_cells};
use super::resource_definition::PATH;
use crate::action::{Action, Screen, read};
use crate::define::{
    Arg, Command as Define, Names, Verbs, always, drbd, list_properties, set_property, value,
};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::output::v0;
use crate::passphrase;
use crate::request::{Method, Request};

/// Subcommands of `volume-definition`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a volume to a resource definition
    #[command(visible_alias = "c")]
    Create(Create),
    /// List the volumes of resource definitions
    #[command(visible_alias = "l")]
    List(List),
    /// Delete a volume definition, its volumes and their data
    #[command(visible_alias = "d")]
    Delete {
        /// Accepted for compatibility; has no effect
        #[arg(long, hide = true)]
        r#async: bool,
        #[command(flatten)]
        number: Number,
    },
    /// Change the size of a volume; file systems on it are not resized
    #[command(visible_alias = "size")]
    SetSize {
        #[command(flatten)]
        number: Number,
        /// New size, such as 10G; GiB without a unit
        size: String,
        /// The size includes the metadata of DRBD
        #[arg(long)]
        gross: bool,
    },
    /// Change the LUKS passphrase of an encrypted volume
    #[command(visible_alias = "mp")]
    ModifyPassphrase {
        #[command(flatten)]
        number: Number,
        /// New passphrase; without it, it is read from the terminal or standard input
        new_passphrase: Option<String>,
    },
}

/// A volume of a resource definition.
#[derive(Debug, Args)]
pub struct Number {
    /// Name of the resource definition
    resource: String,
    /// Number of the volume
    volume: i32,
}

impl Number {
    fn request(&self, method: Method, below: Option<&str>) -> Request {
        let number = self.volume.to_string();
        let mut path = vec![PATH, &self.resource, "volume-definitions", &number];
        path.extend(below);
        Request::new(method, &path)
    }
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Storage pool of the volume's data
    #[arg(short = 's', long)]
    storage_pool: Option<String>,
    /// Number of the volume; the lowest free one if not given
    #[arg(short = 'n', long)]
    vlmnr: Option<i32>,
    /// Minor number of the DRBD device; a free one if not given
    #[arg(short = 'm', long)]
    minor: Option<i32>,
    /// Encrypt the volume
    #[arg(long)]
    encrypt: bool,
    /// The size includes the metadata of DRBD
    #[arg(long)]
    gross: bool,
    /// Passphrase of the encrypted volume; without a value it is read from the terminal or standard input
    #[arg(long, num_args = 0..=1, value_name = "PASSPHRASE")]
    passphrase: Option<Option<String>>,
    /// Name of the resource definition
    resource: String,
    /// Size, such as 10G; GiB without a unit
    size: String,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pastable: Pastable,
    #[command(flatten)]
    group_by: GroupBy,
    /// Only of these resource definitions
    #[arg(short = 'r', long, num_args = 1.., value_name = "NAME")]
    resource_definitions: Vec<String>,
    /// Show external names
    #[arg(short = 'e', long)]
    external_name: bool,
    #[command(flatten)]
    show: ShowProps,
}

/// Parses a volume's size to KiB, rounded up; a number without a unit is in GiB.
pub fn parse_size(text: &str) -> Result<i64, Failure> {
    let kib = size::parse_kib(text, Unit::GiB, Rounding::Up)
        .map_err(|error| Failure::usage(error.to_string()))?;
    Ok(kib as i64)
}

const RESOURCE: Arg = value("resource", "Name of the resource definition").of(Names::Resource);
const VOLUME: Arg = value("volume", "Number of the volume").number();
const ONE: &str = "PUT resource-definitions/{resource}/volume-definitions/{volume}";

/// The other commands of `volume-definition`.
pub const MORE: &[Define] = &[
    set_property(ONE, &[RESOURCE, VOLUME]),
    list_properties(
        "GET resource-definitions",
        &[
            RESOURCE.query("resource_definitions"),
            VOLUME,
            always("", "true").query("with_volume_definitions"),
        ],
        |given, answer| {
            let definitions: Vec<ResourceDefinition> = read(answer)?;
            let number = given.need("volume").parse().ok();
            let mut volumes = definitions
                .into_iter()
                .flat_map(|definition| definition.volume_definitions);
            let found = volumes.find(|volume| volume.volume_number == number);
            Ok(found.map(|volume| volume.props))
        },
    ),
    drbd(
        "drbd-options opt",
        ONE,
        drbd_options::VOLUME,
        &[RESOURCE, VOLUME],
    ),
];

impl Verbs for Command {
    fn action(self) -> Result<Action, Failure> {
        match self {
            Command::Create(args) => create(args),
            Command::List(args) => {
                let request = Request::get(&[PATH])
                    .query("resource_definitions", &args.resource_definitions)
                    .query("with_volume_definitions", &["true"]);
                Ok(Action::list(
                    request,
                    Some(v0::resource_definitions),
                    move |rows: Vec<_>, screen| show_list(&args, &rows, screen),
                ))
            }
            Command::Delete { number, .. } => Action::modify(number.request(Method::Delete, None)),
            Command::SetSize {
                number,
                size,
                gross,
            } => {
                let body = VolumeDefinitionModify {
                    size_kib: Some(parse_size(&size)?),
                    flags: gross.then(|| "GROSS_SIZE".to_owned()).into_iter().collect(),
                    ..VolumeDefinitionModify::default()
                };
                Action::modify(number.request(Method::Put, None).body(&body))
            }
            Command::ModifyPassphrase {
                number,
                new_passphrase,
            } => {
                let body = VolumeDefinitionPassphrase {
                    new_passphrase: Some(passphrase::new(new_passphrase, "New passphrase")?),
                };
                let request = number.request(Method::Put, Some("encryption-passphrase"));
                Action::modify(request.body(&body))
            }
        }
    }
}

fn create(args: Create) -> Result<Action, Failure> {
    let flags = [(args.encrypt, "ENCRYPTED"), (args.gross, "GROSS_SIZE")];
    let pool = args
        .storage_pool
        .map(|pool| (prop::STOR_POOL_NAME.to_owned(), pool));
    let passphrase = args
        .passphrase
        .map(|given| passphrase::new(given, "Passphrase of the volume"));
    let body = VolumeDefinitionCreate {
        volume_definition: VolumeDefinition {
            volume_number: args.vlmnr,
            size_kib: parse_size(&args.size)?,
            props: pool.into_iter().collect(),
            flags: flags
                .into_iter()
                .filter(|(on, _)| *on)
                .map(|(_, flag)| flag.into())
                .collect(),
            ..VolumeDefinition::default()
        },
        drbd_minor_number: args.minor,
        passphrase: passphrase.transpose()?,
    };
    Action::modify(Request::post(
        &[PATH, &args.resource, "volume-definitions"],
        &body,
    ))
}

fn state(volume: &VolumeDefinition) -> Cell {
    if flag::has(&volume.flags, "DELETE") {
        Cell::colored("DELETING", Color::Red)
    } else if flag::has(&volume.flags, "RESIZE") {
        Cell::colored("resizing", Color::DarkPink)
    } else {
        Cell::colored("ok", Color::DarkGreen)
    }
}

fn show_list(
    args: &List,
    definitions: &[ResourceDefinition],
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut table = args.pastable.table(screen.style).column("ResourceName");
    if args.external_name {
        table = table.column("External");
    }
    table = table
        .column("VolumeNr")
        .column("VolumeMinor")
        .column("Size")
        .column("Gross")
        .colored("State", Color::DarkGreen)
        .properties(&args.show.show_props)
        .group_by(&args.group_by.groupby);
    for definition in definitions {
        for volume in &definition.volume_definitions {
            let number = |number: Option<i32>| number.map(|n| n.to_string()).unwrap_or_default();
            let mut layers = volume.layer_data.iter();
            let minor = layers.find_map(|layer| layer.data.as_ref()?.minor_number);
            let mut row: Vec<Cell> = vec![definition.name.as_str().into()];
            if args.external_name {
                row.push(definition.external_name.as_deref().unwrap_or("").into());
            }
            row.extend([
                Cell::from(number(volume.volume_number)),
                number(minor).into(),
                format_kib(volume.size_kib.max(0) as u64).into(),
                if flag::has(&volume.flags, "GROSS_SIZE") {
                    "+"
                } else {
                    ""
                }
                .into(),
                state(volume),
            ]);
            row.extend(property_cells(&args.show.show_props, &volume.props));
            table.row(row);
        }
    }
    screen.table(table)
}
