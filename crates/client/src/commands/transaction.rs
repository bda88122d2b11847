//! `linstor resource create-transactional`: resources of several commands, created with one request.

use serde_json::Value as Json;

use crate::action::{Action, read};
use crate::define::{Command, flag, group, own};
use crate::failure::Failure;
use crate::request::{Method, Request};

pub const CREATE_TRANSACTIONAL: Command = group(
    "create-transactional ct",
    "Create the resources of several commands together",
    &[
        own(
            "begin b",
            "Begin to collect 'resource create' commands, of standard input or interactive mode",
            &[flag(
                "--terminate-on-error",
                "If a command fails, create nothing and exit",
            )],
            |given| {
                let terminate_on_error = given.has("terminate-on-error");
                Ok(Action::Transaction(Step::Begin { terminate_on_error }))
            },
        ),
        own("abort a", "Forget the collected resources", &[], |_| {
            Ok(Action::Transaction(Step::Abort))
        }),
        own(
            "commit c",
            "Create the collected resources",
            &[flag("--async", "Has no effect").hidden()],
            |_| Ok(Action::Transaction(Step::Commit)),
        ),
    ],
);

/// A command that begins or ends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Begin { terminate_on_error: bool },
    Abort,
    Commit,
}

/// The resources that were collected.
#[derive(Debug)]
pub struct Transaction {
    pub terminate_on_error: bool,
    requests: Vec<Request>,
}

impl Transaction {
    pub fn begin(terminate_on_error: bool) -> Transaction {
        Transaction {
            terminate_on_error,
            requests: Vec::new(),
        }
    }

    /// Collects the requests of `resource create`.
    pub fn add(&mut self, action: Action) -> Result<(), Failure> {
        let creates = |request: &&Request| {
            request.method == Method::Post && request.path.ends_with("/resources")
        };
        let requests = action.requests();
        if requests.is_empty() || !requests.iter().all(creates) {
            return Err(Failure::usage(
                "only 'resource create' with the names of nodes can be part of a transaction; end it with \
                 'resource create-transactional commit' or 'abort'",
            ));
        }
        self.requests.extend(requests.into_iter().cloned());
        Ok(())
    }

    /// One request for each resource definition, with all its resources.
    pub fn commit(self) -> Result<Action, Failure> {
        let mut merged: Vec<Request> = Vec::new();
        for request in self.requests {
            match merged.iter_mut().find(|other| other.path == request.path) {
                Some(other) => {
                    let resources =
                        |of: &Request| read::<Vec<Json>>(of.body.as_deref().unwrap_or("[]"));
                    let mut all = resources(other)?;
                    all.extend(resources(&request)?);
                    *other = other.clone().body(&all);
                }
                None => merged.push(request),
            }
        }
        Ok(Action::Modify(merged))
    }
}
