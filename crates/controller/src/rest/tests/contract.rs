//! The contract's schemas: each answer of the tests has to follow them, while LINSTOR's contract file is next to the
//! repository (`../shared/linstor/rest_v1_openapi.yaml`). Without it nothing is checked here.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// What answers have otherwise than the contract, because LINSTOR itself has it so: operation or `*`, place in the answer
/// without indexes (with a slash at the end: anything in it), reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "*",
        "/obj_refs/",
        "a reference to what the request did not name is null",
    ),
    ("GET /v1/remotes", "", "one object, not a list of them"),
    (
        "GET /v1/encryption/passphrase",
        "",
        "one object, not a list of them",
    ),
    (
        "GET /v1/resource-definitions/{}/resource-connections/{}/{}",
        "",
        "one object, not a list of them",
    ),
    (
        "GET /v1/nodes",
        "/storage_providers",
        "REMOTE_SPDK, as LINSTOR has it",
    ),
    (
        "GET /v1/nodes/{}",
        "/storage_providers",
        "REMOTE_SPDK, as LINSTOR has it",
    ),
    ("*", "/type", "types of nodes are in upper case"),
    (
        "POST /v1/resource-definitions/{}/clone",
        "/ret_code",
        "the place of a refused clone is among its replies",
    ),
    (
        "POST /v1/resource-definitions/{}/clone",
        "/message",
        "the place of a refused clone is among its replies",
    ),
];

pub(super) struct Contract {
    document: Value,
    operations: Vec<Operation>,
}

struct Operation {
    method: String,
    path: String,
}

impl Contract {
    /// The contract, if it is there.
    pub(super) fn get() -> Option<&'static Contract> {
        static CONTRACT: OnceLock<Option<Contract>> = OnceLock::new();
        CONTRACT.get_or_init(Contract::read).as_ref()
    }

    fn read() -> Option<Contract> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let file = root.join("../shared/linstor/rest_v1_openapi.yaml");
        let text = std::fs::read_to_string(file).ok()?;
        let mut documents = YamlLoader::load_from_str(&text).expect("the contract is YAML");
        let document = json(documents.remove(0));
        let paths = document["paths"].as_object().expect("it has paths");
        let operations = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods by name");
            methods.keys().map(|method| Operation {
                method: method.to_uppercase(),
                path: path.clone(),
            })
        });
        let operations = operations.filter(|operation| operation.method != "PARAMETERS");
        Some(Contract {
            operations: operations.collect(),
            document,
        })
    }

    /// Every operation: method and path, `{}` standing for each parameter.
    pub(super) fn operations(&self) -> Vec<(String, String)> {
        let all = self.operations.iter();
        all.map(|operation| (operation.method.clone(), without_names(&operation.path)))
            .collect()
    }

    /// What is wrong with an answer; nothing when the contract does not know the operation.
    pub(super) fn wrong(&self, method: &str, path: &str, status: u16, body: &[u8]) -> Vec<String> {
        let Some(operation) = self.operation(method, path) else {
            return Vec::new();
        };
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Vec::new();
        };
        let is_replies = |value: &Value| value.get("ret_code").is_some();
        let replies = body
            .as_array()
            .is_some_and(|all| all.iter().any(is_replies));
        let responses =
            &self.document["paths"][&operation.path][operation.method.to_lowercase()]["responses"];
        let listed = responses.as_object().expect("an operation has responses");
        // Some list a success as 200 that is a 201.
        let response = listed.get(&status.to_string()).or_else(|| {
            let mut successes = listed.iter().filter(|(key, _)| key.starts_with('2'));
            (200..300)
                .contains(&status)
                .then(|| successes.next())?
                .map(|(_, value)| value)
        });
        let schema = response.and_then(|response| {
            self.resolved(response)
                .get("content")?
                .get("application/json")?
                .get("schema")
        });
        let mut wrong = Vec::new();
        match schema {
            Some(schema) if !replies => self.check(schema, &body, "", &mut wrong),
            _ if replies => {
                let list = serde_json::json!({"$ref": "#/components/schemas/ApiCallRcList"});
                self.check(&list, &body, "", &mut wrong);
            }
            _ => {}
        }
        let name = format!("{method} {}", without_names(&operation.path));
        wrong.retain(|(place, _)| {
            !EXCEPTIONS.iter().any(|(of, known, _)| {
                let there = place == known || known.ends_with('/') && place.contains(known);
                there && (*of == "*" || *of == name)
            })
        });
        let text = |(place, text): (String, String)| format!("{name} {status} {place}: {text}");
        wrong.into_iter().map(text).collect()
    }

    /// The operation of a path; literal parts go before parameters.
    fn operation(&self, method: &str, path: &str) -> Option<&Operation> {
        let path = path
            .split('?')
            .next()
            .unwrap_or_default()
            .trim_end_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        let literals = |operation: &Operation| -> Option<usize> {
            let own: Vec<&str> = operation.path.split('/').collect();
            let fits = own.len() == parts.len()
                && own
                    .iter()
                    .zip(&parts)
                    .all(|(own, part)| own == part || own.starts_with('{'));
            fits.then(|| own.iter().filter(|own| !own.starts_with('{')).count())
        };
        let of_method = self
            .operations
            .iter()
            .filter(|operation| operation.method == method);
        let fitting = of_method.filter_map(|operation| Some((literals(operation)?, operation)));
        fitting
            .max_by_key(|(count, _)| *count)
            .map(|(_, operation)| operation)
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let pointer = reference.trim_start_matches('#');
                let target = self.document.pointer(pointer);
                self.resolved(target.expect("references of the contract have a target"))
            }
            None => schema,
        }
    }

    fn check(&self, schema: &Value, value: &Value, place: &str, wrong: &mut Vec<(String, String)>) {
        let schema = self.resolved(schema);
        if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
            all.iter()
                .for_each(|one| self.check(one, value, place, wrong));
        }
        for choice in ["oneOf", "anyOf"] {
            if let Some(all) = schema.get(choice).and_then(Value::as_array) {
                let fits = |one: &Value| {
                    let mut found = Vec::new();
                    self.check(one, value, place, &mut found);
                    found.is_empty()
                };
                if !all.iter().any(fits) {
                    wrong.push((
                        place.to_owned(),
                        format!("{value} fits none of its schemas"),
                    ));
                }
            }
        }
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        let of_type = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            _ => true,
        };
        if !of_type {
            wrong.push((
                place.to_owned(),
                format!("{value} is not of type {}", schema["type"]),
            ));
            return;
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array)
            && !words.contains(value)
        {
            wrong.push((
                place.to_owned(),
                format!("{value} is not one of {}", schema["enum"]),
            ));
        }
        if let Some(members) = value.as_object() {
            let required = schema.get("required").and_then(Value::as_array);
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                if !members.contains_key(name) {
                    wrong.push((format!("{place}/{name}"), "it is required".to_owned()));
                }
            }
            let properties = schema.get("properties");
            for (name, member) in members {
                let own = properties.and_then(|properties| properties.get(name));
                let other = schema
                    .get("additionalProperties")
                    .filter(|other| other.is_object());
                if let Some(schema) = own.or(other) {
                    self.check(schema, member, &format!("{place}/{name}"), wrong);
                }
            }
        }
        if let (Some(items), Some(all)) = (schema.get("items"), value.as_array()) {
            all.iter()
                .for_each(|item| self.check(items, item, place, wrong));
        }
    }
}

/// A path with `{}` for each parameter.
pub(super) fn without_names(path: &str) -> String {
    let mut text = String::new();
    for part in path.trim_start_matches('/').split('/') {
        let part = if part.starts_with('{') { "{}" } else { part };
        let _ = write!(text, "/{part}");
    }
    text
}

fn json(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Real(text) => text.parse::<f64>().map_or(Value::Null, Value::from),
        Yaml::Integer(number) => number.into(),
        Yaml::String(text) => text.into(),
        Yaml::Boolean(on) => on.into(),
        Yaml::Array(all) => all.into_iter().map(json).collect(),
        Yaml::Hash(members) => {
            let members = members.into_iter().map(|(key, value)| {
                let key = match key {
                    Yaml::String(text) => text,
                    Yaml::Integer(number) => number.to_string(),
                    other => panic!("{other:?} is no name of a member"),
                };
                (key, json(value))
            });
            members.collect::<Map<_, _>>().into()
        }
        Yaml::Alias(_) | Yaml::Null | Yaml::BadValue => Value::Null,
    }
}

/// The layer finds what it is there to find.
#[test]
fn a_wrong_answer_is_found() {
    let Some(contract) = Contract::get() else {
        return;
    };
    let wrong = |body: &str| contract.wrong("GET", "/v1/nodes?x=y", 200, body.as_bytes());
    assert_eq!(
        wrong(r#"[{"name":"a","type":"SATELLITE"}]"#),
        Vec::<String>::new()
    );
    for (body, part) in [
        (
            r#"[{"name":7,"type":"SATELLITE"}]"#,
            "/name: 7 is not of type",
        ),
        (r#"[{"type":"SATELLITE"}]"#, "/name: it is required"),
        (
            r#"[{"name":"a","connection_status":"ASLEEP"}]"#,
            "is not one of",
        ),
        ("{}", "is not of type"),
        (r#"[{"ret_code":"x"}]"#, "/message: it is required"),
    ] {
        let found = wrong(body).join("\n");
        assert!(found.contains(part), "{body}: {found}");
    }
}
