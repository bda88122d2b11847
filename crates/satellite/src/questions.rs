//! Questions of the controller: each is answered in a task of its own, so that neither the conversation nor another
//! question waits for it.

use std::sync::Arc;

use linstor_api::code;
use linstor_wire::question::{Answer, Question};

use crate::failure::{Failure, Result};
use crate::shared::Shared;
use crate::{block_devices, device_pool};

/// How many questions are answered at the same time.
pub const QUESTIONS_MAX: usize = 16;

/// Answers a question that came on a connection. A change that was begun is brought to its end, also when the
/// connection ends: only the answer is lost then.
pub fn answer(shared: &Arc<Shared>, connection: u64, id: u64, question: Question) {
    let shared = Arc::clone(shared);
    let Ok(permit) = Arc::clone(&shared.questions).try_acquire_owned() else {
        let busy = Failure::new(
            code::FAIL_UNKNOWN_ERROR,
            "The satellite is asked too much at the same time.",
        );
        report(&shared, connection, id, Err(busy));
        return;
    };
    tokio::spawn(async move {
        let answered = find_answer(&shared, question).await;
        drop(permit);
        report(&shared, connection, id, answered);
    });
}

async fn find_answer(shared: &Shared, question: Question) -> Result<Answer> {
    match question {
        Question::BlockDevices => block_devices::list(&shared.machine)
            .await
            .map(Answer::BlockDevices),
        Question::CreateDevicePool(pool) => {
            device_pool::create(shared, &pool).await.map(Answer::Done)
        }
    }
}

fn report(shared: &Shared, connection: u64, id: u64, answered: Result<Answer>) {
    let answer = answered.unwrap_or_else(|failure| Answer::Failed(failure.reply()));
    let mut state = shared.state();
    // The numbers of another connection's questions are the same.
    if state.connection == connection {
        state.outbox.answer(id, answer);
        drop(state);
        shared.outgoing.notify_one();
    }
}
