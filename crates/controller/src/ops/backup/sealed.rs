//! The keys of encrypted volumes in the description of a backup, which the master passphrase of the cluster that made it opens.

use std::collections::BTreeMap;
use std::time::Duration;

use linstor_api::code;
use linstor_api::secret_text::SecretText;
use linstor_model::backup::Meta;
use linstor_model::backup::meta::Layer;
use linstor_model::layer::luks;
use linstor_model::master_key::NotOpened;
use linstor_wire::Secret;

use super::restore::refused;
use crate::transaction::Refusal;

/// How long a caller waits after a wrong passphrase.
const PAUSE_AFTER_WRONG: Duration = Duration::from_secs(1);

/// The keys by the numbers of the volumes; none of a backup without encrypted volumes.
///
/// # Errors
///
/// When the passphrase is missing or wrong, or the description does not have the keys.
pub async fn keys(
    id: &str,
    meta: &Meta,
    layer: Option<&Layer>,
    passphrase: Option<&SecretText>,
) -> Result<BTreeMap<u32, Secret>, Refusal> {
    let Some(layer) = layer else {
        return Ok(BTreeMap::new());
    };
    let damaged = |cause: String| {
        let correction = "Use another backup.";
        refused(id, code::FAIL_INVLD_BACKUP_CONFIG, cause, correction)
    };
    let without = |cause: &str| {
        let correction =
            "Give the master passphrase that the cluster which made it had then: '--passphrase'.";
        refused(id, code::FAIL_NOT_FOUND_CRYPT_KEY, cause, correction)
    };
    let Some(master_key) = meta.luks_info.clone() else {
        return Err(damaged(
            "Its description has no key of its encrypted volumes.".to_owned(),
        ));
    };
    let given = passphrase.filter(|text| !text.reveal().is_empty());
    let Some(given) = given.map(|text| Secret::new(text.reveal())) else {
        return Err(without(
            "Its volumes are encrypted, and no passphrase was given.",
        ));
    };
    let opened = tokio::task::spawn_blocking(move || master_key.open(&given)).await;
    let master_key = match opened.expect("it does not panic and is not aborted") {
        Ok(key) => key,
        Err(NotOpened::WrongPassphrase) => {
            tokio::time::sleep(PAUSE_AFTER_WRONG).await;
            return Err(without(
                "Its volumes are encrypted, and another passphrase opens them.",
            ));
        }
        Err(NotOpened::Damaged(why)) => {
            return Err(damaged(format!("Its description is damaged: {why}.")));
        }
    };
    let volumes = layer.volume_list.iter().map(|volume| {
        let number = volume.vlm_nr;
        let sealed = volume.encrypted_password.as_ref();
        let key = sealed.and_then(|sealed| master_key.decrypt(&sealed.0));
        let is_line = |key: &Secret| {
            let text = key.reveal();
            (1..=luks::PASSPHRASE_BYTES_MAX).contains(&text.len())
                && !text.contains(|c: char| c.is_control())
        };
        let key = key.filter(is_line);
        key.map(|key| (number, key))
            .ok_or_else(|| damaged(format!("Its description has no key of volume {number}.")))
    });
    let keys = volumes.collect::<Result<BTreeMap<_, _>, _>>()?;
    match meta.rsc_dfn.vlm_dfns.keys().eq(keys.keys()) {
        true => Ok(keys),
        false => Err(damaged(
            "Its description does not have the keys of all volumes.".to_owned(),
        )),
    }
}
