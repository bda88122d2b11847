//! The master passphrase: it opens the master key, which seals the secrets in the database.
//!
//! The key is in the memory of the controller alone, from when the passphrase is set or entered until the controller ends.

use std::sync::Arc;
use std::time::Duration;

use linstor_api::code;
use linstor_api::encryption::{PassphraseCreate, PassphraseStatus};
use linstor_api::reply::Reply;
use linstor_api::secret_text::SecretText;
use linstor_model::master_key::linstor::Exported;
use linstor_model::master_key::{Key, NotOpened};
use linstor_model::{MasterKey, Model};
use linstor_wire::secret::Secret;
use tokio::time::timeout;

use super::request::Context;
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// The longest passphrase, in bytes.
const PASSPHRASE_BYTES_MAX: usize = 1024;
/// How long the next check of a passphrase waits after a wrong one.
const PAUSE_AFTER_WRONG: Duration = Duration::from_secs(1);
/// How long a caller waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(30);

fn context(mask: i64) -> Context {
    Context::new(code::MASK_CTRL_CONF | mask, "")
}

/// Whether a passphrase is set, and was entered since the controller started.
pub fn status(cluster: &Cluster) -> PassphraseStatus {
    let status = match (&cluster.model().master_key, cluster.master_key()) {
        (None, _) => "unset",
        (Some(_), None) => "locked",
        (Some(_), Some(_)) => "unlocked",
    };
    PassphraseStatus {
        status: status.to_owned(),
    }
}

/// The key that seals and opens secrets.
///
/// # Errors
///
/// When no passphrase is set, or it was not entered since the controller started.
pub fn unlocked(cluster: &Cluster) -> Result<Arc<Key>, Refusal> {
    cluster.master_key().ok_or_else(|| {
        let cause = match &cluster.model().master_key {
            None => "No master passphrase was set.",
            Some(_) => "The master passphrase was not entered since the controller started.",
        };
        let message = "Secrets cannot be stored or used without the master key.";
        Reply::new(code::FAIL_NOT_FOUND_CRYPT_KEY, message)
            .cause(cause)
            .correction("Create or enter the master passphrase.")
            .into()
    })
}

/// Sets the passphrase: the first one, or, where it was lost or mistyped and the controller started again since, another
/// one with a new master key, as long as nothing is sealed with the one before.
pub async fn create(cluster: &Cluster, request: PassphraseCreate) -> Vec<Reply> {
    let work = async {
        let new = passphrase(request.new_passphrase)?;
        may_create(&cluster.model(), cluster.master_key().is_some())?;
        let key = Arc::new(Key::new(random(cluster)));
        let exported = exported(cluster, new.clone()).await;
        let row = sealed(cluster, Arc::clone(&key), new).await;
        let committed = cluster.commit(move |tx| {
            may_create(tx, tx.is_unlocked())?;
            tx.put_master_key(row);
            Ok(())
        });
        committed.await?;
        cluster.unlock(key, exported);
        let message = "The master passphrase was created.";
        Ok(vec![Reply::new(code::CREATED, message)])
    };
    context(code::MASK_CRT).run(work).await
}

/// Changes the passphrase. What is sealed with the master key is not sealed again.
pub async fn modify(cluster: &Cluster, request: PassphraseCreate) -> Vec<Reply> {
    let Some(old) = request.old_passphrase else {
        return create(cluster, request).await;
    };
    if request.new_passphrase.is_none() {
        return create(cluster, PassphraseCreate::default()).await;
    }
    let work = async {
        let new = passphrase(request.new_passphrase)?;
        let Some(row) = cluster.model().master_key.clone() else {
            let message = "The master passphrase cannot be changed: none is set.";
            return Err(Reply::new(code::FAIL_EXISTS_CRYPT_PASSPHRASE, message)
                .cause("No passphrase was set yet.")
                .correction("Create the master passphrase.")
                .into());
        };
        let key = open(cluster, &row, Secret::new(old.reveal())).await?;
        let exported = exported(cluster, new.clone()).await;
        let changed = sealed(cluster, Arc::clone(&key), new).await;
        let committed = cluster.commit(move |tx| {
            // Another change of it may have been made since.
            if tx.master_key.as_ref() != Some(&row) {
                return Err(wrong().into());
            }
            tx.put_master_key(changed);
            Ok(())
        });
        committed.await?;
        cluster.unlock(key, exported);
        let message = "The master passphrase was changed.";
        Ok(vec![Reply::new(code::MODIFIED, message)])
    };
    context(code::MASK_MOD).run(work).await
}

/// Enters the passphrase.
pub async fn enter(cluster: &Cluster, given: SecretText) -> Vec<Reply> {
    let work = async {
        let Some(row) = cluster.model().master_key.clone() else {
            let message = "No master passphrase is set.";
            return Err(Reply::new(code::FAIL_MISSING_PROPS, message)
                .cause("There is no master key that a passphrase could open.")
                .correction("Create the master passphrase.")
                .into());
        };
        let given = Secret::new(given.reveal());
        let key = open(cluster, &row, given.clone()).await?;
        let exported = exported(cluster, given).await;
        cluster.unlock(key, exported);
        Ok(vec![Reply::new(
            code::PASSPHRASE_ACCEPTED,
            "Passphrase accepted",
        )])
    };
    context(code::MASK_MOD).run(work).await
}

/// Enters the passphrase of the settings when the controller starts, or sets it when none is set.
///
/// # Errors
///
/// Why secrets remain locked.
pub async fn at_start(cluster: &Cluster, passphrase: &Secret) -> Result<(), String> {
    let given = SecretText::new(passphrase.reveal());
    let replies = match &cluster.model().master_key {
        Some(_) => enter(cluster, given).await,
        None => {
            let request = PassphraseCreate {
                new_passphrase: Some(given),
                old_passphrase: None,
            };
            create(cluster, request).await
        }
    };
    match replies.into_iter().find(Reply::is_error) {
        None => Ok(()),
        Some(reply) => Err(format!(
            "the master passphrase of the settings cannot be used: {} {}",
            reply.message,
            reply.cause.unwrap_or_default()
        )),
    }
}

fn passphrase(given: Option<SecretText>) -> Result<Secret, Refusal> {
    let Some(given) = given else {
        let message = "The new passphrase is missing.";
        return Err(Reply::new(code::FAIL_UNKNOWN_ERROR, message)
            .cause("The request has no 'new_passphrase'.")
            .correction("Send the new passphrase as 'new_passphrase'.")
            .into());
    };
    if given.reveal().is_empty() || given.reveal().len() > PASSPHRASE_BYTES_MAX {
        let message = "The new passphrase is not valid.";
        return Err(Reply::new(code::FAIL_INVLD_CRYPT_PASSPHRASE, message)
            .cause("It is empty or too long.")
            .correction(format!("Use 1 to {PASSPHRASE_BYTES_MAX} bytes."))
            .into());
    }
    Ok(Secret::new(given.reveal()))
}

fn random<const N: usize>(cluster: &Cluster) -> [u8; N] {
    let mut bytes = [0; N];
    cluster.env().fill(&mut bytes);
    bytes
}

/// What seals the secrets that leave the cluster under this passphrase.
async fn exported(cluster: &Cluster, passphrase: Secret) -> Exported {
    let env = Arc::clone(cluster.env());
    let work = move || Exported::new(&passphrase, &mut |bytes| env.fill(bytes));
    let exported = tokio::task::spawn_blocking(work).await;
    exported.expect("it does not panic and is not aborted")
}

/// Derives on a thread of its own: it takes longer than other requests may wait.
async fn sealed(cluster: &Cluster, key: Arc<Key>, passphrase: Secret) -> MasterKey {
    let (salt, nonce) = (random(cluster), random(cluster));
    let work = move || MasterKey::seal(&key, &passphrase, salt, nonce);
    let sealed = tokio::task::spawn_blocking(work).await;
    sealed.expect("it does not panic and is not aborted")
}

/// The master key. One passphrase is tried at a time, a second one after a wrong one: each try takes memory and CPU, and
/// nobody guesses faster by asking from many places.
async fn open(
    cluster: &Cluster,
    row: &Arc<MasterKey>,
    passphrase: Secret,
) -> Result<Arc<Key>, Refusal> {
    let turn = timeout(TURN_LIMIT, cluster.shared.passphrase_check.lock());
    let Ok(_turn) = turn.await else {
        let message = "The passphrase was not checked.";
        return Err(Reply::new(code::FAIL_UNKNOWN_ERROR, message)
            .cause("Others are being checked, one at a time.")
            .correction("Try again.")
            .into());
    };
    let row = Arc::clone(row);
    let opened = tokio::task::spawn_blocking(move || row.open(&passphrase)).await;
    match opened.expect("it does not panic and is not aborted") {
        Ok(key) => Ok(Arc::new(key)),
        Err(NotOpened::WrongPassphrase) => {
            tokio::time::sleep(PAUSE_AFTER_WRONG).await;
            Err(wrong().into())
        }
        Err(NotOpened::Damaged(reason)) => Err(Reply::new(
            code::FAIL_CRYPT_INIT,
            "The master key cannot be opened with any passphrase.",
        )
        .cause(format!("Its row in the database is damaged: {reason}."))
        .correction("Restore the row 'master_key' of the database.")
        .into()),
    }
}

fn wrong() -> Reply {
    let message = "The passphrase does not open the master key.";
    Reply::new(code::FAIL_MISSING_PROPS, message)
        .cause("Wrong passphrase")
        .correction("Enter the correct passphrase.")
}

/// Refuses to replace a master key that is there, or with which something is sealed.
fn may_create(model: &Model, unlocked: bool) -> Result<(), Refusal> {
    if model.master_key.is_none() {
        return Ok(());
    }
    let mut definitions = model.definitions.values();
    // What cannot be read may have some, too.
    let in_use = !model.held.is_empty()
        || definitions.any(|row| row.volumes.values().any(|v| v.luks.is_some()))
        || model.remotes.values().any(|remote| remote.has_secrets());
    if !unlocked && !in_use {
        return Ok(());
    }
    let message = "The master passphrase cannot be created: one is set already.";
    let reply = Reply::new(code::FAIL_EXISTS_CRYPT_PASSPHRASE, message);
    Err(match in_use {
        true => reply
            .cause("There is a master key already, and secrets that are sealed with it.")
            .correction("Change the passphrase by sending the old one too."),
        false => reply
            .cause("There is a master key already.")
            .correction(
                "Change the passphrase by sending the old one too. If it is not known: nothing is sealed with the key \
                 yet, so that another passphrase can be created once the controller was started again.",
            ),
    }
    .into())
}
