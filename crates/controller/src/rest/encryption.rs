//! `/v1/encryption/passphrase`

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use linstor_api::encryption::PassphraseCreate;
use linstor_api::secret_text::SecretText;

use super::answer::{Answer, json};
use super::request::NeededBody;
use crate::cluster::Cluster;
use crate::ops::encryption;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new().route(
        "/v1/encryption/passphrase",
        get(status).post(create).put(modify).patch(enter),
    )
}

async fn status(State(cluster): State<Cluster>) -> Response {
    json(&encryption::status(&cluster))
}

async fn create(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<PassphraseCreate, false>,
) -> Answer {
    Answer::created(encryption::create(&cluster, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<PassphraseCreate, false>,
) -> Answer {
    Answer::ok(encryption::modify(&cluster, request).await)
}

async fn enter(
    State(cluster): State<Cluster>,
    NeededBody(passphrase): NeededBody<SecretText, false>,
) -> Answer {
    Answer::ok(encryption::enter(&cluster, passphrase).await)
}
