//! Filters of lists: names, compared without case, and properties.

use std::collections::BTreeSet;

use linstor_model::Props;

use crate::transaction::Refusal;

/// Names that a list is limited to; none means all.
#[derive(Debug, Clone, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// The names as given; empty ones do not count.
    pub fn new(given: Vec<String>) -> Self {
        let names = given.into_iter().filter(|name| !name.is_empty());
        Names(names.map(|name| name.to_ascii_uppercase()).collect())
    }

    /// The names as given, each of which `parse` accepts.
    pub fn parse<T>(
        given: Vec<String>,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Result<Self, Refusal> {
        for name in &given {
            parse(name)?;
        }
        Ok(Names::new(given))
    }

    /// Whether a name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.contains(&name.to_ascii_uppercase())
    }

    /// Whether all are wanted.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, when not all are wanted; upper-case.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Properties that a list is limited to: each `key` or `key=value` must be met.
#[derive(Debug, Clone, Default)]
pub struct PropFilter(Vec<(String, Option<String>)>);

impl PropFilter {
    /// The conditions as given.
    pub fn new(given: Vec<String>) -> Self {
        let conditions = given.into_iter().filter(|condition| !condition.is_empty());
        let split = conditions.map(|condition| match condition.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (condition, None),
        });
        PropFilter(split.collect())
    }

    /// Whether all conditions are met.
    pub fn meets(&self, props: &Props) -> bool {
        self.0
            .iter()
            .all(|(key, value)| match (props.get(key), value) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(found), Some(wanted)) => found == wanted,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names compare without case; no name means all.
    #[test]
    fn names_compare_without_case() {
        assert!(Names::new(vec![]).wants("x") && Names::new(vec![String::new()]).is_all());
        let some = Names::new(vec!["Alpha".into()]);
        assert!(some.wants("aLPHA") && !some.wants("beta"));
    }

    /// All conditions must be met, with and without a value.
    #[test]
    fn properties_must_all_match() {
        let props: Props = [("Aux/site", "a"), ("Aux/disks", "fast")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let meets = |given: &[&str]| {
            PropFilter::new(given.iter().map(|g| (*g).to_owned()).collect()).meets(&props)
        };
        assert!(meets(&[]) && meets(&["Aux/site=a", "Aux/disks"]) && meets(&[""]));
        assert!(!meets(&["Aux/site=b"]) && !meets(&["Aux/none"]));
    }
}
