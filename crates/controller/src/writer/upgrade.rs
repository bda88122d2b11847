//! Rows that are of an older version in the database are written before the first change.
//!
//! First the database is copied. Then the versions of the rows are stored, with the place of the copy, for older
//! controllers to read; then the rows, in batches. A controller that ends in between continues when it starts again:
//! rows have their version themselves, and the copy of before is made no second time. Until all is done every change is
//! refused with the reason.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::reply::Reply;
use linstor_model::model::RowKey;
use linstor_model::{DatabaseCopy, Draft, Model};
use linstor_store::Write;

use super::{Writer, not_stored, too_large};
use crate::transaction::Refusal;

/// How many rows a batch has at most, so that it does not take much memory.
const ROWS_MAX: usize = 4096;

impl Writer {
    /// Writes what is of an older version, if there is any.
    pub(super) async fn upgrade(&mut self) -> Result<(), Refusal> {
        let model = self.cluster.model();
        if model.older_rows.is_empty() {
            return Ok(());
        }
        let rows = model.older_rows.len();
        if model.row_versions.versions != model.row_versions_now("").versions {
            self.copy_and_say_versions(&model).await?;
        }
        while !self.cluster.model().older_rows.is_empty() {
            self.upgrade_some().await?;
        }
        tracing::info!(rows, "rows of older versions were migrated");
        Ok(())
    }

    async fn copy_and_say_versions(&mut self, model: &Model) -> Result<(), Refusal> {
        let mut now = model.row_versions_now(env!("CARGO_PKG_VERSION"));
        let before = &model.row_versions.versions;
        let name = format!(
            "rows-{}-to-{}-generation-{}",
            total(before),
            total(&now.versions),
            model.generation
        );
        let place = self.store.copy(&name).await.map_err(|error| {
            self.set_unwritable(&error);
            let reply: Reply = not_stored(&error);
            Refusal::from(reply.details(
                "Rows of an older version are to be migrated, and the database is copied before that.",
            ))
        })?;
        tracing::info!(
            copy = place,
            "the database was copied before its rows are migrated"
        );
        now.copies.push(DatabaseCopy {
            versions: before.clone(),
            place,
        });
        let mut draft = Draft::new(Model::clone(model));
        draft.put_row_versions(now);
        let mut model = draft.into_model();
        model.generation += 1;
        let key = RowKey::RowVersions;
        let write = Write::new(&key, model.row_json(&key));
        let writes = BTreeMap::from([(key, write)]);
        self.write(model, writes, BTreeSet::new()).await.map(drop)
    }

    async fn upgrade_some(&mut self) -> Result<(), Refusal> {
        let mut model = Model::clone(&self.cluster.model());
        model.generation += 1;
        let limits = self.cluster.shared.limits;
        let mut writes: BTreeMap<RowKey, Write> = BTreeMap::new();
        // Processes come last in the order of kinds and are written first: one that was made of a row of an older
        // version is made no second time once it is stored, and is made again as long as it is not.
        while let Some(key) = model.older_rows.get_max().cloned()
            && writes.len() < ROWS_MAX
        {
            let write = Write::new(&key, model.row_json(&key));
            if !limits.allow(writes.values().chain([&write])) {
                if writes.is_empty() {
                    let refusal = too_large([&write].into_iter(), limits);
                    let reason = refusal.cause.clone().unwrap_or_default();
                    self.note_unwritable(format!("row {key} cannot be migrated: {reason}"));
                    return Err(refusal.into());
                }
                break;
            }
            model.older_rows.remove(&key);
            writes.insert(key, write);
        }
        // Specs were made of the migrated rows already.
        self.write(model, writes, BTreeSet::new()).await.map(drop)
    }
}

/// One number for the versions of all kinds: it grows with each migration.
fn total(versions: &BTreeMap<String, u64>) -> u64 {
    1 + versions
        .values()
        .map(|version| version.saturating_sub(1))
        .sum::<u64>()
}
