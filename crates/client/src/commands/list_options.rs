//! Options that all lists share.

use linstor_api::properties::Properties;

use crate::define::{Arg, flag, option};
use crate::output::Style;
use crate::output::table::{Cell, Table};

pub const PASTABLE: Arg = flag(
    "--pastable -p",
    "Draw the table for pasting: ASCII, no colours",
);
pub const GROUP_BY: Arg = option("--groupby -g", "Sort by these columns").many();
pub const SHOW_PROPS: Arg = option(
    "--show-props -s",
    "Show these properties as columns (key or key=heading)",
)
.many();
pub const FROM_FILE: Arg = option(
    "--from-file",
    "Show what this file holds: an answer of the controller",
);

/// Whether a table is drawn for pasting.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Pastable {
    /// Draw the table for pasting: ASCII, no colours
    #[arg(short = 'p', long)]
    pub pastable: bool,
}

impl Pastable {
    /// An empty table in the given style, or in ASCII without colours.
    pub fn table(&self, style: Style) -> Table {
        Table::new(style.pastable(self.pastable))
    }
}

/// The columns that a list is sorted by.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct GroupBy {
    /// Sort by these columns
    #[arg(short = 'g', long, num_args = 1.., value_name = "COLUMN")]
    pub groupby: Vec<String>,
}

/// Filters a list by properties.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FilterByProps {
    /// Only objects with these properties (key or key=value)
    #[arg(long, num_args = 1.., value_name = "PROPERTY")]
    pub props: Vec<String>,
}

/// Properties as additional columns.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ShowProps {
    /// Show these properties as columns (key or key=heading)
    #[arg(short = 's', long, num_args = 1.., value_name = "PROPERTY")]
    pub show_props: Vec<String>,
}

/// Properties as additional columns, for commands where `-s` has another meaning.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ShowPropsLong {
    /// Show these properties as columns (key or key=heading)
    #[arg(long, num_args = 1.., value_name = "PROPERTY")]
    pub show_props: Vec<String>,
}

/// The cells of the additional columns.
pub fn property_cells<'a>(
    show: &'a [String],
    props: &'a Properties,
) -> impl Iterator<Item = Cell> + 'a {
    show.iter().map(|property| {
        let key = property.split_once('=').map_or(&**property, |(key, _)| key);
        props.get(key).map_or("", String::as_str).into()
    })
}
