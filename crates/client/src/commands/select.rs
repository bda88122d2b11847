//! Options of the autoplacer.
//!
//! An option without a value, or with an empty one, removes the setting; an absent option does not change it.

use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::kind::{LayerKind, ProviderKind};
use linstor_api::prop;
use linstor_api::sorted_map::SortedMap;

use crate::failure::Failure;

/// Where replicas may be placed; see [`AutoSelectFilter`].
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Select {
    /// Storage pools to use
    #[arg(short = 's', long, num_args = 0.., value_name = "POOL")]
    pub storage_pool: Option<Vec<String>>,
    /// Storage pools to use for diskless replicas
    #[arg(long, num_args = 0.., value_name = "POOL")]
    pub diskless_storage_pool: Option<Vec<String>>,
    /// Not on nodes on which these resources are deployed
    #[arg(long, num_args = 0.., value_name = "RESOURCE")]
    pub do_not_place_with: Option<Vec<String>>,
    /// Not on nodes on which a resource with a matching name is deployed
    #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "REGEX")]
    pub do_not_place_with_regex: Option<String>,
    /// On nodes with the same value of these auxiliary properties
    #[arg(long, num_args = 0.., value_name = "AUX_PROPERTY")]
    pub replicas_on_same: Option<Vec<String>>,
    /// On nodes with different values of these auxiliary properties
    #[arg(long, num_args = 0.., value_name = "AUX_PROPERTY")]
    pub replicas_on_different: Option<Vec<String>>,
    /// Pairs of an auxiliary property and a number: at most so many replicas on nodes with the same value
    #[arg(long, num_args = 0.., value_name = "AUX_PROPERTY NUMBER")]
    pub x_replicas_on_different: Option<Vec<String>>,
    /// Add a diskless replica on every other node; "false" turns it off
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOLEAN")]
    pub diskless_on_remaining: Option<String>,
    /// Layers, top first, separated by commas: drbd, luks, nvme, writecache, cache, bcache, storage
    #[arg(short = 'l', long, value_name = "LAYERS")]
    pub layer_list: Option<String>,
}

/// Storage providers, for commands where `-p` has no other meaning.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Providers {
    /// Only storage pools of these providers, separated by commas
    #[arg(short = 'p', long, value_name = "KINDS")]
    pub providers: Option<String>,
}

/// Storage providers, for commands where `-p` has another meaning.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ProvidersLong {
    /// Only storage pools of these providers, separated by commas
    #[arg(long, visible_alias = "prov", value_name = "KINDS")]
    pub providers: Option<String>,
}

/// The number of replicas, without the forms `+1` and `max`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PlaceCount {
    /// Number of diskful replicas
    #[arg(long, value_name = "NUMBER")]
    pub place_count: Option<i32>,
}

/// The items of a list that are not empty; an empty result removes the setting.
fn rule(list: &Option<Vec<String>>) -> Option<Vec<String>> {
    let list = list.as_ref()?;
    let items = list.iter().filter(|item| !item.is_empty());
    Some(items.cloned().collect())
}

fn aux(key: &str) -> String {
    if key.starts_with(prop::AUX) {
        key.to_owned()
    } else {
        format!("{}{key}", prop::AUX)
    }
}

fn aux_rule(list: &Option<Vec<String>>) -> Option<Vec<String>> {
    rule(list).map(|keys| keys.iter().map(|key| aux(key)).collect())
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// The layers of a comma-separated list, in its order.
pub fn layers(list: Option<&str>) -> Result<Option<Vec<String>>, Failure> {
    let check = |item: &str| match item.parse::<LayerKind>() {
        Ok(kind) => Ok(kind.to_string()),
        Err(error) => Err(Failure::usage(error.to_string())),
    };
    list.map(|list| split(list).map(check).collect())
        .transpose()
}

fn providers(list: Option<&str>) -> Result<Option<Vec<String>>, Failure> {
    let check = |item: &str| match item.parse::<ProviderKind>() {
        Ok(kind) => Ok(kind.to_string()),
        Err(error) => Err(Failure::usage(error.to_string())),
    };
    list.map(|list| split(list).map(check).collect())
        .transpose()
}

impl Select {
    /// The settings, without the number of replicas.
    pub fn filter(&self, kinds: Option<&str>) -> Result<AutoSelectFilter, Failure> {
        Ok(AutoSelectFilter {
            storage_pool_list: rule(&self.storage_pool),
            storage_pool_diskless_list: rule(&self.diskless_storage_pool),
            not_place_with_rsc: rule(&self.do_not_place_with),
            not_place_with_rsc_regex: self.do_not_place_with_regex.clone(),
            replicas_on_same: aux_rule(&self.replicas_on_same),
            replicas_on_different: aux_rule(&self.replicas_on_different),
            x_replicas_on_different_map: pairs(&self.x_replicas_on_different)?,
            layer_stack: layers(self.layer_list.as_deref())?,
            provider_list: providers(kinds)?,
            diskless_on_remaining: self.diskless_on_remaining(),
            ..AutoSelectFilter::default()
        })
    }

    fn diskless_on_remaining(&self) -> Option<bool> {
        let given = self.diskless_on_remaining.as_ref()?;
        Some(!given.eq_ignore_ascii_case("false"))
    }
}

/// Pairs of an auxiliary property and a number.
pub fn pairs(list: &Option<Vec<String>>) -> Result<Option<SortedMap<String, i32>>, Failure> {
    let Some(items) = rule(list) else {
        return Ok(None);
    };
    let pair = |pair: &[String]| match pair {
        [key, number] => match number.parse() {
            Ok(number) => Ok((aux(key), number)),
            Err(_) => Err(Failure::usage(format!(
                "--x-replicas-on-different: '{number}' is not a number; give pairs of a property and a number"
            ))),
        },
        _ => Err(Failure::usage(
            "--x-replicas-on-different: the last property has no number; give pairs of a property and a number",
        )),
    };
    items
        .chunks(2)
        .map(pair)
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Parses a number of replicas as `resource create --auto-place` takes it: `2`, `+1` for one more than exist, or `max`.
pub fn place_count(text: Option<&str>, filter: &mut AutoSelectFilter) -> Result<(), Failure> {
    let number = |text: &str| {
        text.parse::<i32>().map_err(|_| {
            Failure::usage(format!(
                "'{text}' is not a number of replicas; give a number, +<number>, or max"
            ))
        })
    };
    match text {
        None => {}
        // As many as there are nodes; LINSTOR's API represents it as -1.
        Some("max" | "all") => filter.place_count = Some(-1),
        Some(text) => match text.strip_prefix('+') {
            Some(more) => filter.additional_place_count = Some(number(more)?),
            None => filter.place_count = Some(number(text)?),
        },
    }
    Ok(())
}
