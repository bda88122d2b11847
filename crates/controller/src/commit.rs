//! A commit on its way: the closure, and who waits for the answer. [`crate::writer`] serves it.

use linstor_api::reply::Reply;
use tokio::sync::oneshot;

use crate::transaction::{Refusal, Transaction};

/// What a commit brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed<T> {
    /// What the closure returned.
    pub value: T,
    /// Replies of the plan, then those about what followed from it.
    pub replies: Vec<Reply>,
    /// Generation of the model that holds the change; waits take it.
    pub generation: u64,
    /// Whether any row differs from before.
    pub changed: bool,
}

/// A commit that waits for the writer, which calls its functions in this order.
pub(crate) trait Change: Send {
    /// Runs the closure.
    fn plan(&mut self, tx: &mut Transaction<'_>) -> Result<(), Refusal>;

    /// Takes the replies of the plan, or why the change is refused; the last call counts.
    fn planned(&mut self, replies: Result<Vec<Reply>, Refusal>);

    /// Answers the caller; `stored` is the generation and whether anything changed, or why nothing was stored.
    fn answer(self: Box<Self>, stored: Result<(u64, bool), &Refusal>);
}

type Answer<T> = oneshot::Sender<Result<Committed<T>, Refusal>>;

/// A commit with its closure and its caller.
pub(crate) struct Typed<T, F> {
    change: Option<F>,
    value: Option<T>,
    replies: Option<Result<Vec<Reply>, Refusal>>,
    answer: Answer<T>,
}

impl<T, F> Typed<T, F> {
    pub(crate) fn new(change: F, answer: Answer<T>) -> Self {
        Typed {
            change: Some(change),
            value: None,
            replies: None,
            answer,
        }
    }
}

impl<T, F> Change for Typed<T, F>
where
    T: Send,
    F: FnOnce(&mut Transaction<'_>) -> Result<T, Refusal> + Send,
{
    fn plan(&mut self, tx: &mut Transaction<'_>) -> Result<(), Refusal> {
        if let Some(change) = self.change.take() {
            self.value = Some(change(tx)?);
        }
        Ok(())
    }

    fn planned(&mut self, replies: Result<Vec<Reply>, Refusal>) {
        self.replies = Some(replies);
    }

    fn answer(self: Box<Self>, stored: Result<(u64, bool), &Refusal>) {
        let result = match (self.replies, self.value, stored) {
            (Some(Err(refusal)), _, _) => Err(refusal),
            (Some(Ok(_)) | None, _, Err(refusal)) => Err(refusal.clone()),
            (Some(Ok(replies)), Some(value), Ok((generation, changed))) => Ok(Committed {
                value,
                replies,
                generation,
                changed,
            }),
            (Some(Ok(_)), None, Ok(_)) | (None, _, Ok(_)) => {
                unreachable!("what was stored was planned before")
            }
        };
        // A caller who went away does not take the change back.
        let _ = self.answer.send(result);
    }
}
