//! Version 2 of nodes, resource definitions and resources: a change that takes several steps is a process, a row of its own;
//! version 1 had its step in the rows that it changes.

use serde_json::{Value, json};

use super::Members;

type Made = Result<Vec<Members>, String>;

fn of(row: &Members, member: &str) -> Value {
    row.get(member).cloned().unwrap_or_default()
}

/// A process of this kind, in its step since then.
fn process(kind: Value, since: &Value) -> Members {
    let mut row = Members::new();
    row.insert("kind".to_owned(), kind);
    row.insert("began_at".to_owned(), since["at"].clone());
    row.insert("since".to_owned(), since.clone());
    row
}

pub(super) fn of_node(row: &mut Members) -> Made {
    let deleting = row.remove("deleting").into_iter();
    let node = of(row, "name");
    let kind = || json!({ "delete_node": { "node": node, "resources": 0 } });
    Ok(deleting.map(|since| process(kind(), &since)).collect())
}

pub(super) fn of_resource(row: &mut Members) -> Made {
    let Some(Value::Object(phase)) = row.remove("phase") else {
        return Ok(Vec::new());
    };
    let (resource, node) = (of(row, "name"), of(row, "node"));
    let mut made = Vec::new();
    for (phase, details) in phase {
        let kind = match phase.as_str() {
            "taking_down" => json!({ "delete_resource": {
                "resource": resource, "node": node, "step": "take_down",
            }}),
            "destroying" => {
                let data_elsewhere = details["vouched"].as_bool().unwrap_or(false);
                json!({ "delete_resource": {
                    "resource": resource, "node": node,
                    "step": { "destroy": { "data_elsewhere": data_elsewhere } },
                }})
            }
            "adding_disk" if details["migrate_from"].is_string() => json!({ "migrate": {
                "resource": resource, "node": node, "from": details["migrate_from"],
                "was": "diskless", "step": "add_disk",
            }}),
            "adding_disk" => json!({ "add_disk": {
                "resource": resource, "node": node, "was": "diskless",
            }}),
            "removing_disk" => json!({ "remove_disk": {
                "resource": resource, "node": node, "storage": details["storage"],
            }}),
            other => return Err(format!("it is in a phase that is not known: {other}")),
        };
        made.push(process(kind, &details["since"]));
    }
    Ok(made)
}

pub(super) fn of_definition(row: &mut Members) -> Made {
    let (name, mut made) = (of(row, "name"), Vec::new());
    if let Some(since) = row.remove("deleting") {
        let kind = json!({ "delete_resource_definition": { "resource": name, "resources": 0 } });
        made.push(process(kind, &since));
    }
    let volumes = row.get_mut("volumes").and_then(Value::as_object_mut);
    for (number, volume) in volumes.into_iter().flatten() {
        let number: u32 = number
            .parse()
            .map_err(|_| format!("'{number}' is no volume number"))?;
        let Some(volume) = volume.as_object_mut() else {
            continue;
        };
        let resize = volume.remove("resize");
        if let Some(since) = volume.remove("deleting") {
            let kind = json!({ "delete_volume_definition": {
                "resource": name, "volume": number,
            }});
            made.push(process(kind, &since));
        } else if let Some(resize) = resize {
            let kind = json!({ "resize": {
                "resource": name, "volume": number, "step": resize["step"],
            }});
            made.push(process(kind, &resize["since"]));
        }
    }
    Ok(made)
}
