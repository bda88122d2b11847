//! The stores from outside.

mod contract;
mod killed;
mod sqlite;

use linstor_model::model::StoredRow;
use linstor_store::Write;

fn put(key: &str, json: &str) -> Write {
    Write {
        kind: "node".into(),
        key: key.into(),
        json: Some(json.into()),
    }
}

fn remove(key: &str) -> Write {
    Write {
        json: None,
        ..put(key, "")
    }
}

fn row(key: &str, json: &str) -> StoredRow {
    StoredRow {
        kind: "node".into(),
        key: key.into(),
        json: json.into(),
    }
}
