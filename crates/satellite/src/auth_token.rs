//! The node's token of the REST API, for LINSTOR's clients on the node.

use linstor_wire::auth_token::{FILE_NAME, hash};
use linstor_wire::secret::{self, Secret};
use serde::{Deserialize, Serialize};

use crate::shared::Shared;

/// Only root reads it.
const MODE: u32 = 0o600;

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(with = "secret::on_link")]
    token: Secret,
}

/// The hash of the token that is on the node; empty when there is none, or it cannot be read.
pub async fn hash_on_node(shared: &Shared) -> String {
    let path = shared.options.res_directory.join(FILE_NAME);
    let content = shared.machine.host().read(&path).await;
    let file = content
        .ok()
        .and_then(|text| serde_json::from_slice::<File>(&text).ok());
    file.map(|file| hash(file.token.reveal()))
        .unwrap_or_default()
}

/// Writes a token down and reports its hash. If that fails, the controller gives the node another one when it connects again.
pub async fn take(shared: &Shared, token: Secret) {
    let path = shared.options.res_directory.join(FILE_NAME);
    let text = serde_json::to_vec(&File { token }).expect("a text");
    if let Err(error) = shared.machine.host().write_atomic(&path, &text, MODE).await {
        tracing::warn!(path = %path.display(), %error, "the node's token of the REST API cannot be written");
        return;
    }
    let on_node = hash_on_node(shared).await;
    shared.state().info.auth_token = Some(on_node);
    shared.report(|outbox| outbox.info());
}
