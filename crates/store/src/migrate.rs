//! Migrations: pure functions on rows, one per schema number.
//!
//! A step sees one row at a time and returns what becomes of it. Fields that are only added need no step: rows are read
//! with defaults for what is missing.

use linstor_model::model::StoredRow;

/// The schema that this version writes.
pub const SCHEMA: u32 = 1;

/// What becomes of a row of the schema before: itself, changed, or nothing.
pub type Step = fn(StoredRow) -> Option<StoredRow>;

/// Step `n` makes schema `n + 2` of schema `n + 1`.
pub const STEPS: &[Step] = &[];

/// Brings rows of an older schema up to the last step. The caller has checked that `schema` is not newer.
pub fn migrate(schema: u32, rows: Vec<StoredRow>, steps: &[Step]) -> Vec<StoredRow> {
    let done = usize::try_from(schema.saturating_sub(1)).unwrap_or(usize::MAX);
    let todo = steps.get(done..).unwrap_or_default();
    rows.into_iter()
        .filter_map(|row| todo.iter().try_fold(row, |row, step| step(row)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, json: &str) -> StoredRow {
        StoredRow {
            kind: kind.into(),
            key: "K".into(),
            json: json.into(),
        }
    }

    /// Rows pass through the steps after their schema, in order; a step may drop a row.
    #[test]
    fn steps_run_in_order_from_the_rows_schema() {
        let first: Step = |mut row| {
            row.json.push('1');
            Some(row)
        };
        let second: Step = |mut row| {
            row.json.push('2');
            (row.kind != "old").then_some(row)
        };
        let steps = [first, second];
        let rows = vec![row("node", "x"), row("old", "y")];
        assert_eq!(migrate(1, rows.clone(), &steps), [row("node", "x12")]);
        assert_eq!(migrate(2, rows.clone(), &steps), [row("node", "x2")]);
        assert_eq!(migrate(3, rows.clone(), &steps), rows);
    }

    /// The written schema is the one after the last step.
    #[test]
    fn the_schema_counts_the_steps() {
        assert_eq!(SCHEMA as usize, STEPS.len() + 1);
    }
}
