//! Messages as they were written with every protocol that is still spoken.
//!
//! `tests/protocol-<n>/<direction>/<message>[-<what>].json` holds them. A file is never changed: members that are added have
//! files of their own, and a new protocol has a directory of its own.

use std::collections::BTreeSet;
use std::path::Path;

use linstor_wire::message::{PROTOCOL, PROTOCOL_MIN};
use linstor_wire::{ToController, ToSatellite, Wanted};
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Asks an enum for the names of its variants, which is all that it gives.
struct Names<'a>(&'a mut BTreeSet<&'static str>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Error::custom("not an enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(variants);
        Err(Error::custom("only asked for its variants"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// What was written and is not read, or is read as something else. Members that are written today and were not then are no
/// loss.
fn lost(path: &str, written: &Value, read: &Value) -> Vec<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            let lost = written
                .iter()
                .flat_map(|(name, value)| match read.get(name) {
                    Some(found) => lost(&format!("{path}/{name}"), value, found),
                    // A member that says nothing need not be written.
                    None if value.is_null() => Vec::new(),
                    None => vec![format!("{path}/{name}")],
                });
            lost.collect()
        }
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            let pairs = written.iter().zip(read).enumerate();
            let lost =
                pairs.flat_map(|(n, (written, read))| lost(&format!("{path}/{n}"), written, read));
            lost.collect()
        }
        (written, read) if written == read => Vec::new(),
        (written, read) => vec![format!("{path}: {written} is read as {read}")],
    }
}

/// A message as today's code writes it after it has read it.
fn reread<T: DeserializeOwned + Serialize>(written: &Value) -> Result<Value, String> {
    let message: T =
        serde_json::from_str(&written.to_string()).map_err(|error| error.to_string())?;
    let mut read = serde_json::to_value(&message).map_err(|error| error.to_string())?;
    // Specs travel as they are; a satellite reads them one by one.
    if let Some(specs) = read
        .pointer_mut("/apply/specs")
        .and_then(Value::as_array_mut)
    {
        for spec in specs {
            let wanted: Wanted =
                serde_json::from_str(&spec.to_string()).map_err(|error| error.to_string())?;
            let wanted = Wanted::new(&wanted.read()?);
            *spec = serde_json::to_value(&wanted).map_err(|error| error.to_string())?;
        }
    }
    Ok(read)
}

/// What is wrong with the messages of a direction.
fn wrong<T: DeserializeOwned + Serialize>(direction: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    T::deserialize(Names(&mut names))
        .err()
        .expect("it was only asked for its variants");
    assert!(!names.is_empty());
    let mut wrong = Vec::new();
    let mut missing = names;
    for protocol in PROTOCOL_MIN..=PROTOCOL {
        let directory = format!("tests/protocol-{protocol}/{direction}");
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        let mut count = 0;
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            count += 1;
            let path = entry.expect("it is listed").path();
            let text = std::fs::read_to_string(&path).expect("it is listed");
            let written: Value = serde_json::from_str(&text).expect("it is JSON");
            let name = written
                .as_object()
                .and_then(|message| message.keys().next());
            missing.remove(name.expect("a message").as_str());
            let lost = match reread::<T>(&written) {
                Ok(read) => lost("", &written, &read),
                Err(reason) => vec![reason],
            };
            wrong.extend(
                lost.into_iter()
                    .map(|lost| format!("{}: {lost}", path.display())),
            );
        }
        if count == 0 {
            wrong.push(format!("protocol {protocol} has no files"));
        }
    }
    // A later protocol has files of what came or changed with it.
    wrong.extend(missing.iter().map(|name| format!("no file of '{name}'")));
    wrong
}

/// Every message of every protocol that is spoken is read, and nothing of it is lost.
#[test]
fn messages_of_all_protocols_are_read() {
    let mut wrong = wrong::<ToSatellite>("to_satellite");
    wrong.extend(self::wrong::<ToController>("to_controller"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A message without a file, a member that is not read and a value that is read as another one are found.
#[test]
fn what_is_lost_is_found() {
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum More {
        Ping {},
        Dance {},
    }
    let wrong = wrong::<More>("to_satellite").join("\n");
    assert!(wrong.contains("no file of 'dance'"), "{wrong}");
    assert!(wrong.contains("ping.json: /ping/id"), "{wrong}");
    assert!(wrong.contains("unknown variant `hello`"), "{wrong}");
    let other = lost(
        "",
        &json!({"a": [1, {"b": 2}]}),
        &json!({"a": [1, {"b": 3}], "c": 4}),
    );
    assert_eq!(other, ["/a/1/b: 2 is read as 3"]);
}

/// Kinds of layers, providers, suffixes and DRBD that are not known are left out of a report, and the rest of it is read.
#[test]
fn reports_of_newer_satellites_are_read() {
    let info = json!({
        "uname": "alpha", "drbd": {"kind": "DRBD10", "version": "10.0.0", "utils": "10"},
        "layers": ["TELEPORT", "STORAGE"], "providers": ["TAPE", "LVM"],
        "unsupported_layers": {"TELEPORT": ["no"], "DRBD": ["too new"]}, "unsupported_providers": {"TAPE": ["no"]},
    });
    let read = reread::<ToController>(&json!({"info": {"info": info}})).unwrap();
    let info = &read["info"]["info"];
    assert_eq!(info["layers"], json!(["STORAGE"]));
    assert_eq!(info["providers"], json!(["LVM"]));
    assert_eq!(info["unsupported_layers"], json!({"DRBD": ["too new"]}));
    assert_eq!(info["drbd"], Value::Null);
    let volume =
        json!({"number": 0, "extra_storage": {".time": {"size_kib": 1}, ".meta": {"size_kib": 2}}});
    let status = json!({"name": "web", "uuid": uuid::Uuid::nil(), "volumes": [volume]});
    let read = reread::<ToController>(&json!({"status": {"resources": [status]}})).unwrap();
    let extra = read
        .pointer("/status/resources/0/volumes/0/extra_storage")
        .unwrap();
    assert_eq!(
        extra.as_object().map(|extra| extra.len()),
        Some(1),
        "{extra}"
    );
}
