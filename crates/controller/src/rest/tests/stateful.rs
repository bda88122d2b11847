//! Random requests against a small model of what they do: every answer is of the class that the model has, what is refused
//! changes nothing, and the database has the same state.
//!
//! `STATE_SEED=7 STATE_OPERATIONS=100000 cargo test -p linstor-controller stateful` runs another course.

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use linstor_api::code;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::{Answered, World};

const OPERATIONS: u32 = 1000;
/// Operations between two comparisons of all lists when nothing was refused.
const COMPARED_EVERY: u32 = 20;
const NODES: [&str; 4] = ["n1", "n2", "n3", "absent"];
const GROUPS: [&str; 3] = ["g1", "g2", "G3"];
const DEFINITIONS: [&str; 5] = ["r1", "r2", "R3", "r4", "r5"];
const SIZE_KIB: u64 = 8 * 1024;

/// What an answer comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// The change was made.
    Done,
    /// What was to be changed or deleted is not there.
    Absent,
    /// The change is not possible.
    Refused,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Definition {
    group: String,
    /// Sizes in KiB by number.
    volumes: BTreeMap<u64, u64>,
    nodes: BTreeSet<String>,
    aux: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Reference {
    /// Place counts by group.
    groups: BTreeMap<String, u64>,
    definitions: BTreeMap<String, Definition>,
    stores: BTreeMap<String, BTreeMap<String, String>>,
    interfaces: BTreeMap<String, BTreeSet<String>>,
}

fn class(answer: &Answered) -> Class {
    let codes = answer.codes();
    let errors: Vec<i64> = codes
        .iter()
        .copied()
        .filter(|c| c & code::MASK_ERROR == code::MASK_ERROR)
        .collect();
    let text = String::from_utf8_lossy(&answer.body);
    for error in &errors {
        assert_ne!(
            error & code::MASK_BITS_CODE,
            code::FAIL_IMPL_ERROR & code::MASK_BITS_CODE,
            "{text}"
        );
    }
    let warning = code::WARN_NOT_FOUND & code::MASK_BITS_CODE;
    let absent = !codes.is_empty() && codes.iter().all(|c| c & code::MASK_BITS_CODE == warning);
    match (errors.is_empty(), answer.status.as_u16()) {
        (true, 200 | 201) if absent => Class::Absent,
        (true, 200 | 201) => Class::Done,
        (false, 404) => Class::Absent,
        (false, 400..=599) => Class::Refused,
        (_, status) => panic!("status {status}: {text}"),
    }
}

/// The lists of the API, as the reference has them.
async fn listed(world: &World) -> Reference {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let rows = |value: Value| value.as_array().expect("a list").clone();
    let mut state = Reference::default();
    for group in rows(world.get("/v1/resource-groups").await) {
        let count = group["select_filter"]["place_count"].as_u64().unwrap_or(0);
        state.groups.insert(text(&group["name"]), count);
    }
    for row in rows(
        world
            .get("/v1/resource-definitions?with_volume_definitions=true")
            .await,
    ) {
        let volumes = row["volume_definitions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let volumes = volumes.iter().map(|volume| {
            let number = |name: &str| volume[name].as_u64().expect("a number");
            (number("volume_number"), number("size_kib"))
        });
        let definition = Definition {
            group: text(&row["resource_group_name"]),
            volumes: volumes.collect(),
            nodes: BTreeSet::new(),
            aux: row["props"]["Aux/a"].as_str().map(str::to_owned),
        };
        state.definitions.insert(text(&row["name"]), definition);
    }
    for (name, definition) in &mut state.definitions {
        // The view leaves out resources without volumes.
        let path = format!("/v1/resource-definitions/{name}/resources");
        let resources = rows(world.get(&path).await);
        definition.nodes = resources
            .iter()
            .map(|row| text(&row["node_name"]))
            .collect();
    }
    for row in rows(world.get("/v1/key-value-store").await) {
        let props = row["props"].as_object().expect("pairs").iter();
        let props = props.map(|(key, value)| (key.clone(), text(value)));
        state.stores.insert(text(&row["name"]), props.collect());
    }
    for row in rows(world.get("/v1/nodes").await) {
        let names = rows(row["net_interfaces"].clone());
        let names = names.iter().map(|net_if| text(&net_if["name"])).collect();
        state.interfaces.insert(text(&row["name"]), names);
    }
    state
}

/// A request, and what becomes of the reference.
struct Operation {
    method: &'static str,
    path: String,
    body: Value,
    class: Class,
    after: Reference,
}

/// A random operation, and its class.
fn operation(rng: &mut StdRng, state: &Reference) -> Operation {
    let mut after = state.clone();
    let mut pick = |from: &[&str]| (*from.choose(rng).expect("not empty")).to_owned();
    let (node, group, name) = (pick(&NODES), pick(&GROUPS), pick(&DEFINITIONS));
    let key = pick(&["a", "b/c"]);
    let number: u64 = rng.random_range(0..3);
    let count: u64 = rng.random_range(1..=3);
    let definition = state.definitions.get(&name);
    let has_node = state.interfaces.contains_key(&node);
    let (method, path, body, class): (&'static str, String, Value, Class) = match rng
        .random_range(0..17)
    {
        0 => {
            let exists = state.groups.contains_key(&group);
            if !exists {
                after.groups.insert(group.clone(), count);
            }
            let filter = json!({"place_count": count, "layer_stack": ["STORAGE"]});
            let body = json!({"name": group, "select_filter": filter});
            (
                "POST",
                "/v1/resource-groups".into(),
                body,
                done_unless(exists, Class::Refused),
            )
        }
        1 => {
            let used = state
                .definitions
                .values()
                .any(|definition| definition.group == group);
            let class = match state.groups.contains_key(&group) {
                false => Class::Absent,
                true if used => Class::Refused,
                true => Class::Done,
            };
            if class == Class::Done {
                after.groups.remove(&group);
            }
            (
                "DELETE",
                format!("/v1/resource-groups/{group}"),
                Value::Null,
                class,
            )
        }
        2 | 3 => {
            let class = match (definition, state.groups.contains_key(&group)) {
                (Some(_), _) => Class::Refused,
                (None, false) => Class::Absent,
                (None, true) => Class::Done,
            };
            if class == Class::Done {
                let new = Definition {
                    group: group.clone(),
                    ..Definition::default()
                };
                after.definitions.insert(name.clone(), new);
            }
            let new = json!({"name": name, "resource_group_name": group, "layer_data": [{"type": "STORAGE"}]});
            (
                "POST",
                "/v1/resource-definitions".into(),
                json!({"resource_definition": new}),
                class,
            )
        }
        4 => {
            after.definitions.remove(&name);
            let class = done_unless(definition.is_none(), Class::Absent);
            (
                "DELETE",
                format!("/v1/resource-definitions/{}", name.to_lowercase()),
                Value::Null,
                class,
            )
        }
        5 | 6 => {
            let size = SIZE_KIB * rng.random_range(0..3);
            let class = match definition {
                None => Class::Absent,
                Some(known) if size == 0 || known.volumes.contains_key(&number) => Class::Refused,
                Some(_) => Class::Done,
            };
            if class == Class::Done
                && let Some(known) = after.definitions.get_mut(&name)
            {
                known.volumes.insert(number, size);
            }
            let body = json!({"volume_definition": {"volume_number": number, "size_kib": size}});
            (
                "POST",
                format!("/v1/resource-definitions/{name}/volume-definitions"),
                body,
                class,
            )
        }
        7 => {
            let known =
                definition.is_some_and(|definition| definition.volumes.contains_key(&number));
            if let Some(known) = after.definitions.get_mut(&name) {
                known.volumes.remove(&number);
            }
            let path = format!("/v1/resource-definitions/{name}/volume-definitions/{number}");
            (
                "DELETE",
                path,
                Value::Null,
                done_unless(!known, Class::Absent),
            )
        }
        8 => {
            let size = SIZE_KIB * rng.random_range(1..6);
            let volume = definition.and_then(|definition| definition.volumes.get(&number));
            let deployed = definition.is_some_and(|definition| !definition.nodes.is_empty());
            let class = match volume {
                None => Class::Absent,
                Some(before) if deployed && size < *before => Class::Refused,
                Some(_) => Class::Done,
            };
            if class == Class::Done
                && let Some(known) = after.definitions.get_mut(&name)
            {
                known.volumes.insert(number, size);
            }
            let path = format!("/v1/resource-definitions/{name}/volume-definitions/{number}");
            ("PUT", path, json!({"size_kib": size}), class)
        }
        9 | 10 => {
            let class = match definition {
                None => Class::Absent,
                Some(_) if !has_node => Class::Absent,
                // One that is there already is as it was to be.
                Some(_) => Class::Done,
            };
            if class == Class::Done
                && let Some(known) = after.definitions.get_mut(&name)
            {
                known.nodes.insert(node.clone());
            }
            let body = json!({"resource": {"props": {"StorPoolName": "thin"}}});
            (
                "POST",
                format!("/v1/resource-definitions/{name}/resources/{node}"),
                body,
                class,
            )
        }
        11 => {
            let known = definition.is_some_and(|definition| definition.nodes.contains(&node));
            if let Some(known) = after.definitions.get_mut(&name) {
                known.nodes.remove(&node);
            }
            let path = format!("/v1/resource-definitions/{name}/resources/{node}");
            (
                "DELETE",
                path,
                Value::Null,
                done_unless(!known, Class::Absent),
            )
        }
        12 => {
            if let Some(known) = after.definitions.get_mut(&name) {
                known.aux = Some(key.clone());
            }
            let body = json!({"override_props": {"Aux/a": key}});
            let class = done_unless(definition.is_none(), Class::Absent);
            (
                "PUT",
                format!("/v1/resource-definitions/{name}"),
                body,
                class,
            )
        }
        13 => {
            let (store, set) = (pick_one(rng, &["kv1", "kv2"]), rng.random_bool(0.6));
            let pairs = after.stores.entry(store.clone()).or_default();
            let body = match set {
                true => {
                    pairs.insert(key.clone(), name.clone());
                    json!({"override_props": {key: name}})
                }
                false => {
                    pairs.remove(&key);
                    json!({"delete_props": [key]})
                }
            };
            after.stores.retain(|_, pairs| !pairs.is_empty());
            (
                "PUT",
                format!("/v1/key-value-store/{store}"),
                body,
                Class::Done,
            )
        }
        14 => {
            let (create, net_if) = (rng.random_bool(0.6), pick_one(rng, &["neta", "netb"]));
            let known = state
                .interfaces
                .get(&node)
                .is_some_and(|names| names.contains(&net_if));
            let path = format!("/v1/nodes/{node}/net-interfaces");
            match create {
                true => {
                    let class = match (has_node, known) {
                        (false, _) => Class::Absent,
                        (true, known) => done_unless(known, Class::Refused),
                    };
                    if let Some(names) = after.interfaces.get_mut(&node) {
                        names.insert(net_if.clone());
                    }
                    (
                        "POST",
                        path,
                        json!({"name": net_if, "address": "192.0.2.1"}),
                        class,
                    )
                }
                false => {
                    if let Some(names) = after.interfaces.get_mut(&node) {
                        names.remove(&net_if);
                    }
                    (
                        "DELETE",
                        format!("{path}/{net_if}"),
                        Value::Null,
                        done_unless(!known, Class::Absent),
                    )
                }
            }
        }
        15 => nonsense(rng, &name, &node),
        _ => {
            let (body, class) = (
                json!({"resource_definition_name": name, "volume_sizes": [SIZE_KIB]}),
                match state.groups.get(&group) {
                    None => Class::Absent,
                    Some(_) if definition.is_some() => Class::Refused,
                    Some(_) => Class::Done,
                },
            );
            if class == Class::Done {
                let new = Definition {
                    group: group.clone(),
                    volumes: BTreeMap::from([(0, SIZE_KIB)]),
                    // The nodes are chosen; the comparison takes them over.
                    ..Definition::default()
                };
                after.definitions.insert(name.clone(), new);
            }
            (
                "POST",
                format!("/v1/resource-groups/{group}/spawn"),
                body,
                class,
            )
        }
    };
    Operation {
        method,
        path,
        body,
        class,
        after,
    }
}

fn pick_one(rng: &mut StdRng, from: &[&str]) -> String {
    (*from.choose(rng).expect("not empty")).to_owned()
}

fn done_unless(condition: bool, class: Class) -> Class {
    if condition { class } else { Class::Done }
}

/// What no object can take.
fn nonsense(rng: &mut StdRng, name: &str, node: &str) -> (&'static str, String, Value, Class) {
    let bad = pick_one(
        rng,
        &["../x", "", " ", "a b", "-", "ä", "a\u{0}", &"x".repeat(300)],
    );
    let requests = [
        (
            "POST",
            "/v1/resource-definitions".to_owned(),
            json!({"resource_definition": {"name": bad}}),
        ),
        (
            "POST",
            "/v1/resource-groups".to_owned(),
            json!({"name": bad}),
        ),
        (
            "POST",
            "/v1/nodes".to_owned(),
            json!({"name": bad, "type": "SATELLITE"}),
        ),
        (
            "POST",
            "/v1/nodes".to_owned(),
            json!({"name": "n9", "type": bad}),
        ),
        (
            "POST",
            "/v1/resource-groups/DfltRscGrp/spawn".to_owned(),
            json!({"volume_sizes": [-1], "resource_definition_name": "r9"}),
        ),
        (
            "POST",
            "/v1/resource-groups".to_owned(),
            json!({"name": "g9", "select_filter": {"layer_stack": [bad]}}),
        ),
        (
            "POST",
            "/v1/resource-definitions".to_owned(),
            json!({"resource_definition": {"name": "r9", "x": 1}}),
        ),
        ("POST", "/v1/resource-definitions".to_owned(), json!([name])),
        (
            "POST",
            "/v1/controller/properties".to_owned(),
            json!({"override_props": {format!("x{node}"): "y"}}),
        ),
        (
            "PUT",
            "/v1/key-value-store/kv1".to_owned(),
            json!({"override_props": {"a": null}}),
        ),
    ];
    let (method, path, body) = requests.choose(rng).expect("not empty").clone();
    (method, path, body, Class::Refused)
}

/// A spawn's resources are where the group wants them.
fn take_over_spawned(expected: &mut Reference, found: &Reference, path: &str, name: &str) {
    let Some(group) = path
        .strip_prefix("/v1/resource-groups/")
        .and_then(|rest| rest.strip_suffix("/spawn"))
    else {
        return;
    };
    let count = expected.groups.get(group).copied().unwrap_or_default();
    let nodes = found
        .definitions
        .get(name)
        .map(|definition| definition.nodes.clone())
        .unwrap_or_default();
    assert_eq!(nodes.len() as u64, count, "{path}: {nodes:?}");
    if let Some(definition) = expected.definitions.get_mut(name) {
        definition.nodes = nodes;
    }
}

#[tokio::test(start_paused = true)]
async fn random_requests_do_what_the_model_does() {
    let setting = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = setting("STATE_SEED").unwrap_or(1);
    let operations = setting("STATE_OPERATIONS").map_or(OPERATIONS, |n: u64| n as u32);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::with_nodes(3).await;
    let mut state = listed(&world).await;
    let mut counts: BTreeMap<(&str, String), u32> = BTreeMap::new();
    let mut wrong = Vec::new();
    for n in 0..operations {
        let Operation {
            method,
            path,
            body,
            class: expected,
            mut after,
        } = operation(&mut rng, &state);
        let text = match body.is_null() {
            true => String::new(),
            false => body.to_string(),
        };
        let answer = world.call(method, &path, &text).await;
        let answered = String::from_utf8_lossy(&answer.body).into_owned();
        let found = class(&answer);
        *counts.entry((method, format!("{found:?}"))).or_default() += 1;
        if found != Class::Done {
            after = state.clone();
        }
        let compare = found != Class::Done || path.ends_with("/spawn") || n % COMPARED_EVERY == 0;
        if !compare && found == expected {
            state = after;
            continue;
        }
        let listed = listed(&world).await;
        if found == Class::Done {
            let name = body["resource_definition_name"]
                .as_str()
                .unwrap_or_default();
            take_over_spawned(&mut after, &listed, &path, name);
        }
        if found != expected || listed != after {
            let what =
                format!("operation {n}: {method} {path} {text}: {found:?}, not {expected:?}");
            let differing = (listed != after).then(|| format!("\n{after:?}\n{listed:?}"));
            wrong.push(format!(
                "{what}\n{answered}{}",
                differing.unwrap_or_default()
            ));
        }
        state = listed;
    }
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} wrong\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n\n")
    );
    println!("{counts:?}");
    assert_eq!(listed(&world).await, state);
    world.restart().await;
    assert_eq!(listed(&world).await, state, "after a restart");
}
