//! The keys of a backup's objects.

use std::sync::LazyLock;

use regex_lite::{Captures, Regex};

/// How the key of a description ends.
pub const META: &str = ".meta";
/// What each key of a backup has in it: a quick test.
const MARK: &str = "_back_";

static META_KEY: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"^([a-zA-Z0-9_-]{2,48})_(back_[0-9]{8}_[0-9]{6})(?:|(:?.+?))(\^.*)?\.meta$";
    Regex::new(pattern).expect("it is a valid expression")
});

static VOLUME_KEY: LazyLock<Regex> = LazyLock::new(|| {
    let pattern =
        r"^([a-zA-Z0-9_-]{2,48})(\..+)?_([0-9]{5})_(back_[0-9]{8}_[0-9]{6})(?:|(:?.+?))(\^.*)?$";
    Regex::new(pattern).expect("it is a valid expression")
});

/// The key of the description of a backup: `<resource>_back_<time><suffix>[^<snapshot>].meta`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetaKey {
    /// The resource that it is of.
    pub resource: String,
    /// `back_` and its time, local time of the cluster that made it: `back_yyyyMMdd_HHmmss`.
    pub backup: String,
    /// What that cluster was told to append.
    pub suffix: String,
    /// The name of the snapshot where it is another one than `backup`.
    pub snapshot: Option<String>,
}

/// The key of a volume: `<resource><layer suffix>_<number>_back_<time><suffix>[^<snapshot>]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeKey {
    /// Suffix of the backing volume, empty for data.
    pub layer_suffix: String,
    /// Number of the volume.
    pub number: u32,
    /// The key of its description.
    pub meta: MetaKey,
}

fn text(found: &Captures<'_>, group: usize) -> String {
    let found = found.get(group);
    found.map_or(String::new(), |found| found.as_str().to_owned())
}

fn snapshot(found: &Captures<'_>, group: usize) -> Option<String> {
    let found = found.get(group)?.as_str();
    Some(found.strip_prefix('^').unwrap_or(found).to_owned())
}

impl MetaKey {
    /// Reads a key; none when it is that of something else.
    pub fn parse(key: &str) -> Option<MetaKey> {
        if !key.contains(MARK) {
            return None;
        }
        let found = META_KEY.captures(key)?;
        Some(MetaKey {
            resource: text(&found, 1),
            backup: text(&found, 2),
            suffix: text(&found, 3),
            snapshot: snapshot(&found, 4),
        })
    }

    /// The id of the backup.
    pub fn id(&self) -> String {
        let (resource, rest) = (&self.resource, self.rest());
        format!("{resource}_{rest}")
    }

    /// The key.
    pub fn key(&self) -> String {
        format!("{}{META}", self.id())
    }

    /// The key of one of its volumes.
    pub fn volume(&self, number: u32) -> String {
        let (resource, rest) = (&self.resource, self.rest());
        format!("{resource}_{number:05}_{rest}")
    }

    /// The name of the snapshot.
    pub fn snapshot_name(&self) -> &str {
        self.snapshot.as_deref().unwrap_or(&self.backup)
    }

    /// When the backup began, local time of the cluster that made it: `yyyyMMdd_HHmmss`.
    pub fn time(&self) -> &str {
        self.backup.strip_prefix("back_").unwrap_or(&self.backup)
    }

    fn rest(&self) -> String {
        let snapshot = self.snapshot.as_deref();
        let snapshot = snapshot.map_or(String::new(), |name| format!("^{name}"));
        format!("{}{}{snapshot}", self.backup, self.suffix)
    }
}

impl VolumeKey {
    /// Reads a key; none when it is that of something else.
    pub fn parse(key: &str) -> Option<VolumeKey> {
        if !key.contains(MARK) {
            return None;
        }
        let found = VOLUME_KEY.captures(key)?;
        Some(VolumeKey {
            layer_suffix: text(&found, 2),
            number: text(&found, 3).parse().ok()?,
            meta: MetaKey {
                resource: text(&found, 1),
                backup: text(&found, 4),
                suffix: text(&found, 5),
                snapshot: snapshot(&found, 6),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(resource: &str, backup: &str, suffix: &str, snapshot: Option<&str>) -> MetaKey {
        MetaKey {
            resource: resource.to_owned(),
            backup: backup.to_owned(),
            suffix: suffix.to_owned(),
            snapshot: snapshot.map(str::to_owned),
        }
    }

    const AT: &str = "back_20250328_150859";

    /// The forms that LINSTOR has: parsed, and written again to the letter.
    #[test]
    fn keys_are_read_and_written_alike() {
        for (resource, suffix, snapshot) in [
            ("myres", "", None),
            ("myres", "", Some("s1")),
            ("my_res-2", ":a/b", None),
            ("my_res-2", "-site.meta", Some("s^1")),
            ("a_back_20250101_000000", "", None),
            ("a_00000", "", None),
        ] {
            let wanted = meta(resource, AT, suffix, snapshot);
            assert_eq!(MetaKey::parse(&wanted.key()), Some(wanted.clone()));
            let volume = VolumeKey::parse(&wanted.volume(7)).unwrap();
            assert_eq!((volume.number, &volume.meta), (7, &wanted), "{resource}");
        }
        let plain = meta("myres", AT, "", None);
        assert_eq!(plain.key(), "myres_back_20250328_150859.meta");
        assert_eq!(plain.volume(0), "myres_00000_back_20250328_150859");
        let named = meta("myres", AT, "", Some("s1"));
        assert_eq!(named.key(), "myres_back_20250328_150859^s1.meta");
        assert_eq!(named.volume(0), "myres_00000_back_20250328_150859^s1");
        assert_eq!(
            (named.snapshot_name(), plain.snapshot_name(), plain.time()),
            ("s1", AT, "20250328_150859")
        );
        let external = VolumeKey::parse("myres.meta_00001_back_20250328_150859").unwrap();
        assert_eq!(
            (external.layer_suffix.as_str(), external.number),
            (".meta", 1)
        );
    }

    /// Everything else is no key of a backup.
    #[test]
    fn other_keys_are_not_read() {
        for key in [
            "",
            "myres",
            "_back_20250328_150859.meta",
            "a_back_20250328_150859.meta",
            "myres_back_2025032_150859.meta",
            "myres_back_20250328_150859",
            "my res_back_20250328_150859.meta",
            "dir/myres_back_20250328_150859.meta",
            "ü_ü_back_20250328_150859.meta",
        ] {
            assert_eq!(MetaKey::parse(key), None, "{key}");
        }
        for key in [
            "myres_0000_back_20250328_150859",
            "myres_00000_back_20250328",
            "x/myres_00000_back_20250328_150859",
        ] {
            assert_eq!(VolumeKey::parse(key), None, "{key}");
        }
    }
}
