//! LUKS: the size of its header, and the keys of volumes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::prop;
use linstor_api::reply::Reply;
use linstor_api::tool_option::split_line;
use linstor_wire::Secret;
use linstor_wire::spec::{LuksSpec, LuksVolumeSpec, Withheld};

use super::{Backing, align_up};
use crate::draft::Draft;
use crate::master_key::{KEY_BYTES, Key, NONCE_BYTES};
use crate::model::Model;
use crate::name::NodeName;
use crate::props::{Purpose, Scope, effective, is_true};
use crate::resource::Seeds;
use crate::{LuksKey, Resource, ResourceDefinition, VolumeDefinition};

/// The layers that may be directly below it.
pub const BELOW: &[LayerKind] = &[LayerKind::Storage];

/// The longest passphrase, in bytes: what cryptsetup reads as a line of its standard input.
pub const PASSPHRASE_BYTES_MAX: usize = 512;

/// Size of the header with default options, in KiB: LUKS2 with two areas for metadata and one for keys.
const HEADER_KIB: u64 = 16 * 1024;
/// Size of one of the two metadata areas of LUKS2 by default, in bytes.
const METADATA_BYTES: u64 = 16 * 1024;
/// The data begins at a multiple of this many KiB.
const ALIGNMENT_KIB: u64 = 1024;
/// The largest header that is computed with, in KiB: 1 GiB.
const HEADER_KIB_MAX: u64 = 1 << 20;

/// Where the data of a volume begins behind the header, in KiB.
pub fn header_kib(volume: &VolumeDefinition) -> u64 {
    let options = volume.luks.as_ref().map(|luks| &luks.format_options);
    options.map_or(HEADER_KIB, |options| header_kib_of(options))
}

/// The size of the header that `cryptsetup luksFormat` makes with these options, in KiB.
fn header_kib_of(options: &str) -> u64 {
    let words = split_line(options).unwrap_or_default();
    let mut words = words.iter().flat_map(|word| word.splitn(2, '='));
    let (mut offset, mut metadata, mut keyslots) = (None, None, None);
    while let Some(word) = words.next() {
        let value = match word {
            "--offset" | "-o" => &mut offset,
            "--luks2-metadata-size" => &mut metadata,
            "--luks2-keyslots-size" => &mut keyslots,
            _ => continue,
        };
        *value = words.next();
    }
    if let Some(sectors) = offset.and_then(|text| text.parse::<u64>().ok()) {
        return align_up(sectors.div_ceil(2), 4).min(HEADER_KIB_MAX);
    }
    let bytes = |text: &str| {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let number = digits.parse::<u64>().ok()?;
        let shift = match text[digits.len()..]
            .chars()
            .next()
            .map(|c| c.to_ascii_lowercase())
        {
            None => 0,
            Some('k') => 10,
            Some('m') => 20,
            Some('g') => 30,
            Some(_) => return None,
        };
        number.checked_mul(1 << shift)
    };
    let (metadata, keyslots) = (metadata.and_then(bytes), keyslots.and_then(bytes));
    if metadata.is_none() && keyslots.is_none() {
        return HEADER_KIB;
    }
    let metadata = metadata.unwrap_or(METADATA_BYTES).saturating_mul(2);
    let default_keyslots = (HEADER_KIB * 1024).saturating_sub(metadata);
    let bytes = metadata.saturating_add(keyslots.unwrap_or(default_keyslots));
    align_up(bytes.div_ceil(1024), ALIGNMENT_KIB).min(HEADER_KIB_MAX)
}

/// Usable size, for the layer above, of a device of `kib`.
pub(super) fn net_kib(volume: &VolumeDefinition, kib: u64) -> u64 {
    kib.saturating_sub(header_kib(volume))
}

/// Adds a header to each backing volume.
pub(super) fn add_headers(volume: &VolumeDefinition, backing: &mut Backing) {
    for (_, kib) in backing {
        *kib = kib.saturating_add(header_kib(volume));
    }
}

/// Whether a resource has volumes with LUKS headers on its node.
pub fn has_headers(resource: &Resource) -> bool {
    resource.layer_stack.contains(&LayerKind::Luks) && !resource.is_diskless()
}

/// Generates the keys of a new resource's volumes that have none.
///
/// # Errors
///
/// When the master key is not there: its devices could not be opened.
pub(crate) fn generate_keys(
    draft: &mut Draft,
    seeds: &mut Seeds<'_>,
    row: &Resource,
) -> Result<(), Vec<Reply>> {
    let Some(definition) = draft.definitions.get(&row.name).cloned() else {
        return Ok(());
    };
    if !has_headers(row) || row.volumes.is_empty() {
        return Ok(());
    }
    if seeds.master_key.is_none() {
        return Err(vec![locked()]);
    }
    let mut noted = ResourceDefinition::clone(&definition);
    for (number, volume) in &mut noted.volumes {
        if volume.luks.is_some() || !row.volumes.contains_key(number) {
            continue;
        }
        let mut random = [0; KEY_BYTES];
        (seeds.fill)(&mut random);
        let options = format_options(draft, &definition, *number);
        let key = Secret::new(BASE64.encode(random));
        volume.luks = Some(seal(seeds, volume, &key, false, options)?);
    }
    if noted != *definition {
        draft.put_resource_definition(noted);
    }
    Ok(())
}

/// A key of a volume, sealed.
///
/// # Errors
///
/// When the master key is not there to seal it with.
pub fn seal(
    seeds: &mut Seeds<'_>,
    volume: &VolumeDefinition,
    key: &Secret,
    supplied: bool,
    format_options: String,
) -> Result<LuksKey, Vec<Reply>> {
    let Some(master_key) = seeds.master_key else {
        return Err(vec![locked()]);
    };
    let mut nonce = [0; NONCE_BYTES];
    (seeds.fill)(&mut nonce);
    Ok(LuksKey {
        key: master_key.seal(nonce, &LuksKey::purpose(volume.uuid), key),
        supplied,
        format_options,
        change: None,
    })
}

/// The refusal of what needs the master key while it is not there.
pub fn locked() -> Reply {
    Reply::new(
        code::FAIL_NOT_FOUND_CRYPT_KEY,
        "Keys of encrypted volumes cannot be stored or used without the master key.",
    )
    .cause("No master passphrase was set, or it was not entered since the controller started.")
    .correction("Create or enter the master passphrase: 'linstor encryption status' shows which.")
}

/// Options of `cryptsetup luksFormat` for the headers of a volume, on all nodes alike.
pub fn format_options(model: &Model, definition: &ResourceDefinition, number: u32) -> String {
    let scope = Scope {
        volume: Some(number),
        ..Scope::definition(definition)
    };
    let found = effective(
        model,
        Purpose::StorageDriver,
        &scope,
        prop::LUKS_FORMAT_OPTIONS,
    );
    found.unwrap_or_default().to_owned()
}

/// Whether keys are part of specs.
#[derive(Debug, Clone, Copy)]
pub enum Keys<'a> {
    /// They are, and this key opens them.
    Master(&'a Key),
    /// They are not.
    Withheld(Withheld),
}

impl Keys<'_> {
    /// The key of the header that a node has of a volume.
    ///
    /// # Errors
    ///
    /// Why it is not known.
    pub(crate) fn on(self, node: &NodeName, volume: &VolumeDefinition) -> Result<Secret, Withheld> {
        let (key, former) = self.of(volume)?;
        let change = volume.luks.as_ref().and_then(|luks| luks.change.as_ref());
        let has_former = change.is_some_and(|change| change.on.contains(node));
        Ok(if has_former { former } else { key })
    }

    /// The keys of a volume: the one that its headers shall have, and the one before while it is being replaced.
    pub(crate) fn of(self, volume: &VolumeDefinition) -> Result<(Secret, Secret), Withheld> {
        let Some(luks) = &volume.luks else {
            return Err(Withheld::Corrupt);
        };
        let master_key = match self {
            Keys::Master(master_key) => master_key,
            Keys::Withheld(why) => return Err(why),
        };
        let purpose = LuksKey::purpose(volume.uuid);
        let open = |sealed| master_key.open(&purpose, sealed).ok_or(Withheld::Corrupt);
        let former = luks.change.as_ref().map(|change| open(&change.former));
        Ok((open(&luks.key)?, former.transpose()?.unwrap_or_default()))
    }
}

/// The LUKS layer of a resource on its node.
pub(crate) fn spec(
    model: &Model,
    definition: &ResourceDefinition,
    replica: &Resource,
    keys: Keys<'_>,
) -> LuksSpec {
    let mut spec = LuksSpec {
        withheld: None,
        volumes: Vec::new(),
    };
    if replica.is_diskless() {
        return spec;
    }
    for number in replica.volumes.keys() {
        let Some(volume) = definition.volumes.get(number) else {
            continue;
        };
        let key = match keys.of(volume) {
            Ok((key, _)) => key,
            Err(why) => {
                spec.withheld = Some(why);
                Secret::default()
            }
        };
        let scope = Scope::volume(model, definition, replica, *number);
        let option = |key| effective(model, Purpose::StorageDriver, &scope, key);
        let luks = volume.luks.as_ref();
        spec.volumes.push(LuksVolumeSpec {
            number: *number,
            key,
            generated: luks.is_some_and(|luks| !luks.supplied),
            header_kib: header_kib(volume),
            allow_discards: option(prop::LUKS_ALLOW_DISCARDS).is_some_and(is_true),
            format_options: luks.map_or_else(String::new, |luks| luks.format_options.clone()),
            open_options: option(prop::LUKS_OPEN_OPTIONS)
                .unwrap_or_default()
                .to_owned(),
        });
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes of headers that cryptsetup 2.6 makes.
    #[test]
    fn headers_are_as_large_as_cryptsetup_makes_them() {
        for (options, mib) in [
            ("", 16),
            ("--pbkdf pbkdf2 --iter-time 100", 16),
            ("--offset 65536", 32),
            ("-o 65536", 32),
            ("--offset=65536", 32),
            ("--luks2-keyslots-size 128m", 129),
            ("--luks2-keyslots-size=128M --luks2-metadata-size 4m", 136),
            ("--luks2-metadata-size=64k", 16),
        ] {
            assert_eq!(header_kib_of(options), mib * 1024, "{options}");
        }
        assert_eq!(header_kib_of("--offset 99999999999999"), HEADER_KIB_MAX);
    }
}
