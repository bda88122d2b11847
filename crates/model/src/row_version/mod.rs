//! Versions of rows, and how rows of an older version become rows of today's.
//!
//! Each kind of row has a version of its own. It is in the row's member `version`; without it, the row is of version 1.
//! Members may be added without a new version: a version that does not know them leaves them in the row
//! ([`crate::unknown`]). What changes the meaning of a member, or moves it, needs a new version with a [`Migration`],
//! and golden files of both versions in `tests/rows`.
//!
//! What a row of an older version had and what is in a row of its own today, a process, is made by the migration too.
//!
//! Rows of an older version are migrated in memory when they are read, so that a start needs no write. They are written
//! before the first change, after the database was copied. The row [`RowVersions`] is written before the first of them:
//! an older controller reads there which version wrote the rows that it does not read, and where the copy is that it
//! does.

mod processes;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{Model, RowKind};

/// The members of a row.
pub type Members = Map<String, Value>;

/// What makes rows of the next version of a kind. Pure; an error leaves the row unread and has the reason.
pub struct Migration {
    /// The kind.
    pub kind: RowKind,
    /// The version of the rows that it takes.
    pub from: u64,
    /// Changes a row. Returns the processes that are made of what it had, without ids; a process is made again each
    /// time until the row is written, and is dropped when one with the same subject is stored.
    pub step: fn(&mut Members) -> Result<Vec<Members>, String>,
}

/// Every migration there is, those of a kind in the order of their versions.
const MIGRATIONS: &[Migration] = &[
    Migration {
        kind: RowKind::Node,
        from: 1,
        step: processes::of_node,
    },
    Migration {
        kind: RowKind::ResourceDefinition,
        from: 1,
        step: processes::of_definition,
    },
    Migration {
        kind: RowKind::Resource,
        from: 1,
        step: processes::of_resource,
    },
];

/// The migrations that a build knows, and with them the versions that it writes.
#[derive(Clone, Copy)]
pub struct Migrations(&'static [Migration]);

impl Default for Migrations {
    fn default() -> Self {
        Migrations::new(&[])
    }
}

impl fmt::Debug for Migrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.versions()).finish()
    }
}

impl Migrations {
    /// Those of this build, and after them those of a table.
    ///
    /// # Panics
    ///
    /// When those of a kind do not begin with version 1 and go on without a gap.
    pub fn new(table: &'static [Migration]) -> Self {
        let migrations = Migrations(table);
        for kind in RowKind::ALL {
            let from: Vec<u64> = migrations
                .of(*kind)
                .map(|migration| migration.from)
                .collect();
            assert!((1..).zip(&from).all(|(n, from)| n == *from), "{kind:?}");
        }
        migrations
    }

    /// The version of a kind that is written.
    pub fn version(self, kind: RowKind) -> u64 {
        1 + self.of(kind).count() as u64
    }

    /// The versions of all kinds that are written.
    pub fn versions(self) -> BTreeMap<String, u64> {
        let kinds = RowKind::ALL.iter();
        kinds
            .map(|kind| (kind.as_str().to_owned(), self.version(*kind)))
            .collect()
    }

    fn of(self, kind: RowKind) -> impl Iterator<Item = &'static Migration> {
        let all = MIGRATIONS.iter().chain(self.0);
        all.filter(move |migration| migration.kind == kind)
    }

    /// Brings a row up to the version that is written. Returns the processes that are made of it.
    pub(crate) fn migrate(
        self,
        kind: RowKind,
        from: u64,
        row: &mut Members,
    ) -> Result<Vec<Members>, String> {
        let mut processes = Vec::new();
        for migration in self.of(kind).filter(|migration| migration.from >= from) {
            let made = (migration.step)(row).map_err(|reason| {
                let version = migration.from;
                format!("it is of version {version} and cannot be migrated: {reason}")
            })?;
            processes.extend(made);
        }
        Ok(processes)
    }
}

/// The version of a row; the largest number if its member `version` is not one.
pub(crate) fn version_of(row: &Value) -> u64 {
    let version = row.get("version");
    version.map_or(1, |version| version.as_u64().unwrap_or(u64::MAX))
}

/// The versions of the rows of a database. A row of its own, whose own version does not change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowVersions {
    /// Version of each kind. Rows may still be of an older one, if the controller ended while it wrote them.
    pub versions: BTreeMap<String, u64>,
    /// Version of the controller that was the first to write rows of these versions.
    pub written_by: String,
    /// Copies of the database that were made before rows were migrated, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<DatabaseCopy>,
}

/// A copy of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseCopy {
    /// Version of each kind in it; kinds that are not named have version 1.
    pub versions: BTreeMap<String, u64>,
    /// Where it is, as the store reports it.
    pub place: String,
}

/// Rows that only a newer controller reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerRows {
    /// Kind, version in the database, and version that this controller reads.
    pub kinds: Vec<(String, u64, u64)>,
    /// Version of the controller that wrote them.
    pub written_by: Option<String>,
    /// Where the newest copy of the database is that this controller reads.
    pub copy: Option<String>,
}

impl fmt::Display for NewerRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.kinds.iter().map(kind_text).collect();
        let by = self.written_by.as_deref().unwrap_or("a newer version");
        write!(
            f,
            "linstor-controller {by} wrote rows that this version does not read: {}. Start that version or a newer one",
            kinds.join(", ")
        )?;
        match &self.copy {
            Some(copy) => write!(
                f,
                ", or put the copy of the database that was made before, {copy}, in the place of the database; what was \
                 changed since then is not in it"
            ),
            None => write!(
                f,
                "; no copy of the database is known that this version reads"
            ),
        }
    }
}

fn kind_text((kind, found, known): &(String, u64, u64)) -> String {
    format!("'{kind}' is of version {found}, this controller reads {known}")
}

impl Model {
    /// What in the database only a newer controller reads: this one must not serve it.
    pub fn newer_rows(&self) -> Option<NewerRows> {
        let known = self.migrations.versions();
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        // A kind that is not known is held: nothing that this version reads depends on it.
        let stored = self.row_versions.versions.iter();
        let stored = stored.map(|(kind, version)| (kind.clone(), *version));
        let rows = self.held.rows().iter();
        let rows = rows.filter_map(|held| Some((held.row.kind.clone(), held.newer?)));
        for (kind, version) in stored.chain(rows) {
            if known.get(&kind).is_some_and(|known| *known < version) {
                let newest = found.entry(kind).or_default();
                *newest = version.max(*newest);
            }
        }
        if found.is_empty() {
            return None;
        }
        let stored = &self.row_versions;
        let readable = |copy: &&DatabaseCopy| {
            let mut versions = copy.versions.iter();
            versions.all(|(kind, version)| known.get(kind).is_none_or(|known| version <= known))
        };
        let copy = stored.copies.iter().rev().find(readable);
        let kinds = found.into_iter();
        Some(NewerRows {
            kinds: kinds
                .map(|(kind, version)| (kind.clone(), version, known[&kind]))
                .collect(),
            written_by: Some(stored.written_by.clone()).filter(|by| !by.is_empty()),
            copy: copy.map(|copy| copy.place.clone()),
        })
    }

    /// The versions of rows to be stored once all rows are of the versions that this build writes. Those of kinds
    /// that it does not know are as they were.
    pub fn row_versions_now(&self, controller: &str) -> RowVersions {
        let mut now = RowVersions::clone(&self.row_versions);
        now.versions.extend(self.migrations.versions());
        if now.versions != self.row_versions.versions {
            now.written_by = controller.to_owned();
        }
        now
    }
}

#[cfg(test)]
mod tests;
