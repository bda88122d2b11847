//! Placement rules as requests give them and answers show them.

use linstor_api::auto_select_filter::AutoSelectFilter as Json;
use linstor_api::code;
use linstor_api::kind::{LayerKind, ProviderKind};
use linstor_api::reply::Reply;
use linstor_model::SelectFilter;
use linstor_model::stack;

use super::name;
use crate::transaction::Refusal;

/// Replica counts up to DRBD's limit of nodes are possible at all.
const PLACE_COUNT_MAX: i32 = 32;

fn count(given: Option<i32>, what: &str) -> Result<Option<u32>, Refusal> {
    match given {
        None => Ok(None),
        Some(count) if (1..=PLACE_COUNT_MAX).contains(&count) => Ok(u32::try_from(count).ok()),
        Some(count) => Err(Reply::new(
            code::FAIL_INVLD_PLACE_COUNT,
            format!("The {what} {count} is not valid: it must be positive."),
        )
        .cause("It is the number of replicas to place.")
        .correction(format!("Use a number from 1 to {PLACE_COUNT_MAX}."))
        .into()),
    }
}

/// Changes a filter: members that are given replace those of the filter, and an empty list removes the member.
pub fn merge(filter: &mut SelectFilter, given: &Json) -> Result<(), Refusal> {
    if let Some(place_count) = count(given.place_count, "place count")? {
        filter.place_count = Some(place_count);
    }
    // Zero means "none", which is what nothing means too.
    let additional = given.additional_place_count.filter(|count| *count != 0);
    if let Some(additional) = count(additional, "additional place count")? {
        filter.additional_place_count = Some(additional);
    }
    list(&mut filter.nodes, given.node_name_list.as_deref(), |name| {
        name::node(name)
    })?;
    list(&mut filter.pools, given.pools().as_deref(), |name| {
        name::pool(name)
    })?;
    let diskless = given.storage_pool_diskless_list.as_deref();
    list(&mut filter.diskless_pools, diskless, |name| {
        name::pool(name)
    })?;
    let text = |text: &str| Ok(text.to_owned());
    list(
        &mut filter.not_place_with,
        given.not_place_with_rsc.as_deref(),
        text,
    )?;
    rules(&mut filter.same, given.replicas_on_same.as_ref());
    rules(&mut filter.different, given.replicas_on_different.as_ref());
    list(
        &mut filter.providers,
        given.provider_list.as_deref(),
        provider,
    )?;
    if let Some(regex) = &given.not_place_with_rsc_regex {
        filter.not_place_with_regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
    }
    if let Some(map) = &given.x_replicas_on_different_map {
        let mut rules = std::collections::BTreeMap::new();
        for (key, value) in map.iter().filter(|(_, value)| **value > 0) {
            if let Some(value) = count(Some(*value), "number of replicas with one value")? {
                rules.insert(key.clone(), value);
            }
        }
        filter.x_different = Some(rules).filter(|rules| !rules.is_empty());
    }
    if let Some(words) = &given.layer_stack {
        // The order is checked where resources are created, as a definition may name other layers.
        let mut layers = stack::parse(words).map_err(|replies| Refusal(replies).plain())?;
        if !layers.contains(&LayerKind::Storage) {
            layers = stack::complete(layers).0;
        }
        filter.layer_stack = Some(layers).filter(|layers| !layers.is_empty());
    }
    filter.diskless_on_remaining = given.diskless_on_remaining.or(filter.diskless_on_remaining);
    if let Some(kind) = &given.diskless_type {
        filter.diskless_type = Some(kind.clone()).filter(|kind| !kind.is_empty());
    }
    Ok(())
}

fn list<T>(
    rule: &mut Option<Vec<T>>,
    given: Option<&[String]>,
    parse: impl Fn(&str) -> Result<T, Refusal>,
) -> Result<(), Refusal> {
    if let Some(given) = given {
        let words = given.iter().filter(|word| !word.is_empty());
        let parsed: Vec<T> = words.map(|word| parse(word)).collect::<Result<_, _>>()?;
        *rule = Some(parsed).filter(|parsed| !parsed.is_empty());
    }
    Ok(())
}

/// Rules about properties. An empty key is stored and shown, as LINSTOR does, and has no effect.
fn rules(rules: &mut Option<Vec<String>>, given: Option<&Vec<String>>) {
    if let Some(given) = given {
        *rules = Some(given.clone()).filter(|given| !given.is_empty());
    }
}

fn provider(word: &str) -> Result<ProviderKind, Refusal> {
    word.parse()
        .map_err(|error: linstor_api::kind::UnknownKind| {
            // LINSTOR uses the code of layers for both.
            Reply::new(code::FAIL_INVLD_LAYER_KIND, format!("{error}."))
                .cause("The provider kind is not known.")
                .correction(format!("Use one of {}.", ProviderKind::WORDS.join(", ")))
                .plain()
                .into()
        })
}

/// A filter as answers show it.
pub fn show(filter: &SelectFilter) -> Json {
    let strings = |names: &[String]| Some(names.to_vec());
    let pools: Option<Vec<String>> = filter
        .pools
        .as_ref()
        .map(|pools| pools.iter().map(ToString::to_string).collect());
    let single = pools
        .as_ref()
        .filter(|pools| pools.len() == 1)
        .map(|pools| pools[0].clone());
    let number = |count: Option<u32>| count.and_then(|count| i32::try_from(count).ok());
    Json {
        place_count: number(filter.place_count),
        additional_place_count: number(filter.additional_place_count),
        node_name_list: filter
            .nodes
            .as_ref()
            .map(|nodes| nodes.iter().map(ToString::to_string).collect()),
        storage_pool: single,
        storage_pool_list: pools,
        storage_pool_diskless_list: filter
            .diskless_pools
            .as_ref()
            .map(|pools| pools.iter().map(ToString::to_string).collect()),
        not_place_with_rsc: filter.not_place_with.as_deref().and_then(strings),
        not_place_with_rsc_regex: filter.not_place_with_regex.clone(),
        replicas_on_same: filter.same.as_deref().and_then(strings),
        replicas_on_different: filter.different.as_deref().and_then(strings),
        x_replicas_on_different_map: filter.x_different.as_ref().map(|map| {
            map.iter()
                .map(|(key, value)| (key.clone(), i32::try_from(*value).unwrap_or(i32::MAX)))
                .collect()
        }),
        layer_stack: filter
            .layer_stack
            .as_ref()
            .map(|layers| layers.iter().map(ToString::to_string).collect()),
        provider_list: filter
            .providers
            .as_ref()
            .map(|kinds| kinds.iter().map(ToString::to_string).collect()),
        diskless_on_remaining: filter.diskless_on_remaining,
        diskless_type: filter.diskless_type.clone(),
        overprovision: None,
        port_count: None,
    }
}

/// A request's rules before a group's: per field the first that says something. Unlike a group, a request may ask for no
/// replicas at all.
pub fn effective(group: &SelectFilter, request: Option<&Json>) -> Result<SelectFilter, Refusal> {
    let mut filter = group.clone();
    if let Some(request) = request {
        let positive = |count: Option<i32>| count.filter(|count| *count > 0);
        let counts = Json {
            place_count: positive(request.place_count),
            additional_place_count: positive(request.additional_place_count),
            ..request.clone()
        };
        merge(&mut filter, &counts)?;
        if request.place_count.is_some() && counts.place_count.is_none() {
            filter.place_count = Some(0);
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(filter: &mut SelectFilter, text: &str) -> Json {
        let given: Json = serde_json::from_str(text).unwrap();
        merge(filter, &given).unwrap();
        show(filter)
    }

    /// Members that are not given are unchanged, an empty list removes one; one pool is shown twice, several once.
    #[test]
    fn empty_lists_remove_and_silence_keeps() {
        let mut filter = SelectFilter::default();
        let shown = changed(
            &mut filter,
            r#"{"place_count":"2","storage_pool_list":["xxx"],"replicas_on_same":["Aux/x"],"layer_stack":["drbd"]}"#,
        );
        assert_eq!(shown.place_count, Some(2));
        assert_eq!(shown.storage_pool.as_deref(), Some("xxx"));
        assert_eq!(
            shown.layer_stack,
            Some(vec!["DRBD".into(), "STORAGE".into()])
        );
        let shown = changed(&mut filter, "{}");
        assert_eq!(shown.replicas_on_same, Some(vec!["Aux/x".into()]));
        let shown = changed(
            &mut filter,
            r#"{"storage_pool_list":["xxx","yyy"],"replicas_on_same":[],"layer_stack":[]}"#,
        );
        assert_eq!(
            (
                shown.storage_pool,
                shown.replicas_on_same,
                shown.layer_stack
            ),
            (None, None, None)
        );
        let shown = changed(&mut filter, r#"{"storage_pool_list":[]}"#);
        assert_eq!((shown.storage_pool, shown.storage_pool_list), (None, None));
    }

    /// Counts are positive, names and kinds are checked.
    #[test]
    fn nonsense_is_refused() {
        for (text, ret_code) in [
            (r#"{"place_count":0}"#, code::FAIL_INVLD_PLACE_COUNT),
            (r#"{"place_count":-3}"#, code::FAIL_INVLD_PLACE_COUNT),
            (
                r#"{"place_count":2147483647}"#,
                code::FAIL_INVLD_PLACE_COUNT,
            ),
            (r#"{"node_name_list":["-rf"]}"#, code::FAIL_INVLD_NODE_NAME),
            (
                r#"{"storage_pool_list":["a b"]}"#,
                code::FAIL_INVLD_STOR_POOL_NAME,
            ),
            (
                r#"{"provider_list":["floppy"]}"#,
                code::FAIL_INVLD_LAYER_KIND,
            ),
            (r#"{"layer_stack":["x"]}"#, code::FAIL_INVLD_LAYER_KIND),
        ] {
            let given: Json = serde_json::from_str(text).unwrap();
            let Refusal(replies) = merge(&mut SelectFilter::default(), &given).unwrap_err();
            assert_eq!(replies[0].ret_code, ret_code, "{text}");
        }
    }
}
