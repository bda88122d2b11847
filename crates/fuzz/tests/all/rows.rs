//! Rows of the database.

use linstor_fuzz::fuzz;
use linstor_model::Model;
use linstor_model::model::{RowKind, StoredRow};
use uuid::Uuid;

use crate::files;

/// A row that nobody can read is held; one that is read is written as it is read again.
#[test]
fn rows() {
    for kind in RowKind::ALL {
        let rows = files("model/tests/rows").into_iter();
        let folder = format!("/rows/{}/", kind.as_str());
        let corpus: Vec<Vec<u8>> = rows
            .filter(|(path, _)| path.to_string_lossy().contains(&folder))
            .map(|(_, content)| content)
            .collect();
        fuzz(&format!("rows of {}", kind.as_str()), &corpus, |input| {
            let json = String::from_utf8_lossy(input).into_owned();
            let key = key_of(&json);
            let row = StoredRow {
                kind: kind.as_str().to_owned(),
                key,
                json,
            };
            let model = Model::load(1, vec![row], Uuid::nil());
            let held: Vec<String> = model.held.rows().iter().map(ToString::to_string).collect();
            held
        });
    }
}

/// The key that the controller would give a row of this name.
fn key_of(json: &str) -> String {
    let row: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let member = |name: &str| {
        row.get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let parts: Vec<String> = [member("name"), member("node"), member("path")]
        .into_iter()
        .flatten()
        .collect();
    parts.join("/").to_ascii_uppercase()
}
