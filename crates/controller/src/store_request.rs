//! What is asked of the store apart from commits. [`crate::writer`], which owns the store, answers between two batches.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use linstor_store::{Loaded, StoreError};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::cluster::Cluster;

/// How long a caller waits: a copy takes as long as reading and writing the whole file.
const ANSWER_MAX: Duration = Duration::from_secs(100);

/// A request with its caller.
#[derive(Debug)]
pub(crate) enum StoreRequest {
    /// Make a copy of this name; the answer is its place.
    Copy(String, oneshot::Sender<Result<String, StoreError>>),
    /// Read all rows.
    Rows(oneshot::Sender<Result<Loaded, StoreError>>),
}

/// Requests that wait.
#[derive(Debug, Default)]
pub(crate) struct StoreRequests {
    waiting: Mutex<Vec<StoreRequest>>,
    pub(crate) arrived: Notify,
}

impl StoreRequests {
    /// Takes what waits.
    pub(crate) fn take(&self) -> Vec<StoreRequest> {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, request: StoreRequest) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(request);
        self.arrived.notify_one();
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> StoreRequest,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.put(request(answer));
        match timeout(ANSWER_MAX, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(StoreError::Failed {
                doing: "answering a request",
                reason: "it did not answer in time".to_owned(),
            }),
        }
    }
}

impl Cluster {
    /// Has a copy of the store made, and returns its place.
    pub async fn copy_store(&self, name: String) -> Result<String, StoreError> {
        let requests = &self.shared.store_requests;
        requests
            .ask(|answer| StoreRequest::Copy(name, answer))
            .await
    }

    /// All rows as the store has them, also those that cannot be read.
    pub async fn stored_rows(&self) -> Result<Loaded, StoreError> {
        self.shared.store_requests.ask(StoreRequest::Rows).await
    }
}
