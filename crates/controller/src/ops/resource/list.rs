//! All resources, as `view/resources` shows them.

use std::ops::Bound;
use std::sync::Arc;

use linstor_api::list::Rows;
use linstor_model::Resource;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::{Model, Observed};

use super::super::filter::{Names, PropFilter};
use super::super::name;
use super::view::{Row, Sources};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// Which resources a view shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only on these nodes.
    pub nodes: Names,
    /// Only of these definitions.
    pub resources: Names,
    /// Only volumes in these pools, and resources that have one.
    pub pools: Names,
    /// Only with these properties.
    pub props: PropFilter,
}

impl Filter {
    /// The filters as given. Names have to be valid, and nodes have to exist; other names that do not exist match nothing.
    pub fn parse(
        cluster: &Cluster,
        nodes: Vec<String>,
        resources: Vec<String>,
        pools: Vec<String>,
        props: Vec<String>,
    ) -> Result<Self, Refusal> {
        let model = cluster.model();
        Ok(Filter {
            nodes: Names::parse(nodes, |node| {
                name::known_node(&model, &name::node(node)?).map(|_| ())
            })?,
            resources: Names::parse(resources, name::resource)?,
            pools: Names::parse(pools, name::pool)?,
            props: PropFilter::new(props),
        })
    }

    /// Those that have no volume to show are left out.
    fn wants(&self, row: &Resource) -> bool {
        self.resources.wants(row.name.as_str())
            && self.nodes.wants(row.node.as_str())
            && self.props.meets(&row.props)
            && row
                .volumes
                .values()
                .any(|volume| self.pools.wants(volume.pool.as_str()))
    }
}

/// The resources of all definitions, with volumes, as the text of a list in pieces. All pieces are of one snapshot.
pub fn all(
    cluster: &Cluster,
    filter: Filter,
    (offset, limit): (usize, usize),
) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
    // A name that cannot be one has no resources.
    let names = filter.resources.iter();
    let names = names.filter_map(|name| ResourceName::parse(name).ok());
    let mut names: Vec<ResourceName> = names.collect();
    names.sort();
    let mut walk = Walk {
        model: cluster.model(),
        observed: cluster.observed(),
        filter,
        names,
        passed: None,
        offset,
        limit,
    };
    linstor_api::list::pieces(move |out| walk.write(out))
}

/// Where a list is.
struct Walk {
    model: Arc<Model>,
    observed: Observed,
    filter: Filter,
    /// The definitions that are wanted, in order, when not all are.
    names: Vec<ResourceName>,
    /// The last row that was shown or left out.
    passed: Option<(ResourceName, NodeName)>,
    /// So many rows are still to be left out.
    offset: usize,
    /// So many rows are still to be shown at most.
    limit: usize,
}

/// How many rows are looked up before the first of them is written (see [`Row::fetch`]).
const ROWS_AHEAD: usize = 32;

impl Walk {
    fn write(&mut self, out: &mut Rows) {
        let mut sources = Sources::new(&self.model, &self.observed);
        let (mut offset, mut limit) = (self.offset, self.limit);
        let mut passed = None;
        let mut rows = self.rows();
        while limit > 0 && out.has_room() {
            let next: Vec<&Resource> = rows.by_ref().take(ROWS_AHEAD).collect();
            let Some(last) = next.last() else {
                break;
            };
            passed = Some((last.name.clone(), last.node.clone()));
            let wanted = next.into_iter().filter(|row| self.filter.wants(row));
            let before = |_: &&Resource| {
                let left_out = offset > 0;
                offset -= usize::from(left_out);
                left_out
            };
            let wanted: Vec<&Resource> = wanted.skip_while(before).take(limit).collect();
            limit -= wanted.len();
            let shown = wanted.into_iter();
            let shown = shown.filter_map(|row| sources.row(row, Some(&self.filter.pools)));
            let shown: Vec<Row> = shown.collect();
            Row::fetch(&shown);
            for row in &shown {
                out.push(row);
            }
        }
        drop(rows);
        (self.passed, self.offset, self.limit) = (passed, offset, limit);
    }

    /// The rows after those shown or left out, of all definitions or of those that are wanted.
    fn rows(&self) -> Box<dyn Iterator<Item = &Resource> + '_> {
        let begin = match &self.passed {
            Some(passed) => Bound::Excluded(passed),
            None => Bound::Unbounded,
        };
        if self.filter.resources.is_all() {
            let rows = self.model.resources.range((begin, Bound::Unbounded));
            return Box::new(rows.map(|(_, row)| &**row));
        }
        let passed = |name: &ResourceName, node: &NodeName| {
            let passed = self.passed.as_ref();
            passed.is_some_and(|(last, on)| (name, node) <= (last, on))
        };
        let names = self.names.iter();
        let names = names.filter(|name| self.passed.as_ref().is_none_or(|(last, _)| *name >= last));
        let rows = names.flat_map(|name| self.model.resources_of(name));
        let rows = rows.filter(move |row| !passed(&row.name, &row.node));
        Box::new(rows.map(|row| &**row))
    }
}
