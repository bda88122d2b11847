//! Options that lists share.

use linstor_api::properties::Properties;

use crate::output::Look;
use crate::output::table::{Cell, Table};

/// How a list is shown.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Pastable {
    /// Draw the table for pasting: ASCII, no colours
    #[arg(short = 'p', long)]
    pub pastable: bool,
}

impl Pastable {
    /// An empty table.
    pub fn table(&self, look: Look) -> Table {
        Table::new(look.pastable(self.pastable))
    }
}

/// By what a list is sorted.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct GroupBy {
    /// Sort by these columns
    #[arg(short = 'g', long, num_args = 1.., value_name = "COLUMN")]
    pub groupby: Vec<String>,
}

/// Which objects a list has, by their properties.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FilterByProps {
    /// Only objects with these properties (key or key=value)
    #[arg(long, num_args = 1.., value_name = "PROPERTY")]
    pub props: Vec<String>,
}

/// Properties as further columns.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ShowProps {
    /// Show these properties as columns (key or key=heading)
    #[arg(short = 's', long, num_args = 1.., value_name = "PROPERTY")]
    pub show_props: Vec<String>,
}

/// Properties as further columns, where `-s` means something else.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ShowPropsLong {
    /// Show these properties as columns (key or key=heading)
    #[arg(long, num_args = 1.., value_name = "PROPERTY")]
    pub show_props: Vec<String>,
}

/// The cells of the properties that are shown.
pub fn property_cells<'a>(
    show: &'a [String],
    props: &'a Properties,
) -> impl Iterator<Item = Cell> + 'a {
    show.iter().map(|property| {
        let key = property.split_once('=').map_or(&**property, |(key, _)| key);
        props.get(key).map_or("", String::as_str).into()
    })
}
