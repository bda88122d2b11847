//! Answers whose members only become cells of a table.

use serde_json::Value as Json;

use crate::failure::Failure;

/// The entries of a list.
pub fn rows(text: &str) -> Result<Vec<Json>, Failure> {
    crate::action::read(text)
}

/// The entries of the list that is a member of an answer; empty if it has none.
pub fn below(text: &str, key: &str) -> Result<Vec<Json>, Failure> {
    let mut answer: Json = crate::action::read(text)?;
    Ok(entries(answer[key].take()))
}

/// The entries of a list; empty if there is none.
pub fn entries(list: Json) -> Vec<Json> {
    match list {
        Json::Array(entries) => entries,
        _ => Vec::new(),
    }
}

/// The member as text; empty if it is absent.
pub fn text(row: &Json, key: &str) -> String {
    match &row[key] {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The member as a number; none if it is absent, 0 or negative, as times and counts are that are not known.
pub fn positive(row: &Json, key: &str) -> Option<i64> {
    row[key].as_i64().filter(|number| *number > 0)
}

/// The point in time as tables show it; empty if it is not known.
pub fn time(row: &Json, key: &str) -> String {
    positive(row, key).map_or(String::new(), crate::output::time::local)
}

/// Whether the flag is among those of the row.
pub fn has_flag(row: &Json, flag: &str) -> bool {
    let flags = row["flags"].as_array();
    flags.is_some_and(|flags| flags.iter().any(|one| one.as_str() == Some(flag)))
}

/// The texts of the list that is a member of the row.
pub fn texts(row: &Json, key: &str) -> Vec<String> {
    let list = row[key].as_array().into_iter().flatten();
    list.filter_map(|one| one.as_str().map(str::to_owned))
        .collect()
}
