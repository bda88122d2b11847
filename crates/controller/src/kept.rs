//! Stored rows that could not be read are not lost when a new row takes their key: their text is kept beside it.

use std::collections::{BTreeMap, BTreeSet};

use linstor_model::model::{Quarantined, RowKey, StoredRow};
use linstor_store::Write;

/// Kind of the rows that keep the text of unreadable ones.
pub(crate) const KEPT_KIND: &str = "unreadable";

/// The text of rows that are in the store but could not be taken over, by kind and key.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    rows: BTreeMap<(String, String), String>,
}

impl Kept {
    /// Picks the quarantined ones out of all stored rows.
    pub(crate) fn new(quarantined: &[Quarantined], rows: Vec<StoredRow>) -> Self {
        let wanted: BTreeSet<(&str, &str)> = quarantined
            .iter()
            .map(|row| (row.kind.as_str(), row.key.as_str()))
            .collect();
        let rows = rows
            .into_iter()
            .filter(|row| row.kind != KEPT_KIND)
            .filter(|row| wanted.contains(&(row.kind.as_str(), row.key.as_str())))
            .map(|row| ((row.kind, row.key), row.json))
            .collect();
        Kept { rows }
    }

    /// The text of a row, when it is one of those.
    pub(crate) fn text(&self, kind: &str, key: &str) -> Option<&str> {
        let place = (kind.to_owned(), key.to_owned());
        self.rows.get(&place).map(String::as_str)
    }

    /// Rows to write along with a batch that would overwrite unreadable ones.
    pub(crate) fn copies(&self, touched: &BTreeSet<RowKey>, generation: u64) -> Vec<Write> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let copies = touched.iter().filter_map(|key| {
            let text = self.text(key.kind(), &key.key())?;
            Some(Write {
                kind: KEPT_KIND.to_owned(),
                key: format!("{}/{}/{generation}", key.kind(), key.key()),
                json: Some(text.to_owned()),
            })
        });
        copies.collect()
    }

    /// The rows under these keys are readable from now on.
    pub(crate) fn forget(&mut self, touched: &BTreeSet<RowKey>) {
        if self.rows.is_empty() {
            return;
        }
        for key in touched {
            self.rows.remove(&(key.kind().to_owned(), key.key()));
        }
    }
}
