//! The words of answers: what every operation says in the same way (spec core 9.1).

use std::fmt::Display;
use std::future::Future;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::Model;
use linstor_model::model::RowKey;
use uuid::Uuid;

/// Why an operation did nothing: at least one error, or a warning that says that nothing was to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal(pub Vec<Reply>);

/// What an operation says: all that happened, or why nothing did.
pub type Outcome = Result<Vec<Reply>, Refusal>;

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        Refusal(vec![reply])
    }
}

impl From<Vec<Reply>> for Refusal {
    fn from(replies: Vec<Reply>) -> Self {
        Refusal(replies)
    }
}

impl From<Refusal> for Vec<Reply> {
    fn from(refusal: Refusal) -> Self {
        refusal.0
    }
}

/// What a call is about: fills in what its entries leave open.
#[derive(Debug, Clone)]
pub struct Context {
    mask: i64,
    object: String,
    refs: Vec<(&'static str, String)>,
}

impl Context {
    /// A call's operation and object bits, and its object in words.
    pub fn new(mask: i64, object: impl Into<String>) -> Self {
        Context {
            mask,
            object: object.into(),
            refs: Vec::new(),
        }
    }

    /// With a reference that every entry carries.
    pub fn about(mut self, key: &'static str, value: impl Display) -> Self {
        self.refs.push((key, value.to_string()));
        self
    }

    /// Runs the call and fills its entries.
    pub async fn run(self, work: impl Future<Output = Outcome>) -> Vec<Reply> {
        let outcome = work.await;
        self.fill(outcome)
    }

    /// Fills the entries of a call.
    pub fn fill(&self, outcome: Outcome) -> Vec<Reply> {
        let replies = outcome.unwrap_or_else(|Refusal(replies)| replies);
        replies.into_iter().map(|reply| self.entry(reply)).collect()
    }

    fn entry(&self, reply: Reply) -> Reply {
        // These numbers use the bits that otherwise tell operation and object.
        let whole = [
            code::API_CALL_PARSE_ERROR,
            code::UNKNOWN_API_CALL,
            code::API_CALL_AUTH_REQ,
        ];
        if whole.contains(&reply.ret_code) {
            return reply;
        }
        let mut reply = reply.with_mask(self.mask);
        for (key, value) in &self.refs {
            let entry = reply.obj_refs.entry((*key).to_owned());
            entry.or_insert_with(|| value.clone());
        }
        if reply.is_error() && !self.object.is_empty() {
            reply.details = Some(match reply.details.take() {
                Some(details) => format!("{details}\n{}", self.object),
                None => self.object.clone(),
            });
        }
        reply
    }
}

/// The text with its first letter in upper case.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

fn done(ret_code: i64, message: String, what: &str, verb: &str, uuid: Uuid) -> Reply {
    Reply::new(ret_code, message)
        .details(format!("{} UUID {verb}: {uuid}", capital(what)))
        .about("UUID", uuid.to_string())
}

/// Something exists now.
pub fn created(what: &str, uuid: Uuid) -> Reply {
    done(
        code::CREATED,
        format!("New {what} created."),
        what,
        "is",
        uuid,
    )
}

/// Something is known now, and its counterpart outside exists already or will be made.
pub fn registered(what: &str, uuid: Uuid) -> Reply {
    let message = format!("New {what} registered.");
    done(code::CREATED, message, what, "is", uuid)
}

/// Something was changed.
pub fn modified(what: &str, uuid: Uuid) -> Reply {
    let message = format!("{} modified.", capital(what));
    done(code::MODIFIED, message, what, "is", uuid)
}

/// Something is gone.
pub fn deleted(what: &str, uuid: Uuid) -> Reply {
    let message = format!("{} deleted.", capital(what));
    done(code::DELETED, message, what, "was", uuid)
}

/// Something will be gone when the satellites have done their part.
pub fn marked(what: &str, uuid: Uuid) -> Reply {
    let message = format!("{} marked for deletion.", capital(what));
    done(code::DELETED, message, what, "is", uuid)
}

/// Something that a call needs is not there.
pub fn not_found(ret_code: i64, what: &str) -> Reply {
    let what = capital(what);
    Reply::new(ret_code, format!("{what} not found.")).cause(format!(
        "The specified {} could not be found.",
        lower(&what)
    ))
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// Something that was to be deleted is not there: a warning, because that is what was asked for. An error when `row`, its
/// row or its parent's, is held.
pub fn nothing_to_delete(model: &Model, row: &RowKey, what: &str) -> Reply {
    if let Some(held) = model.held.refuses(row, true) {
        return held;
    }
    let message = format!("Deletion of {what} had no effect.");
    Reply::new(code::WARN_NOT_FOUND, message).cause(format!("{} does not exist.", capital(what)))
}

/// Something that was to be made is there already.
pub fn exists(ret_code: i64, what: &str) -> Reply {
    Reply::new(ret_code, format!("{} already exists.", capital(what)))
        .cause(format!(
            "There is a {what} already; names compare without regard to case."
        ))
        .correction("Choose another name, or delete what is there first.")
}

/// An ability of the API that this program does not have yet.
pub fn not_implemented(what: &str) -> Reply {
    let message = format!("{what} is not implemented yet by this controller");
    Reply::new(code::FAIL_UNKNOWN_ERROR, message)
        .cause("The request is part of the API, but this version cannot do it.")
        .correction("Nothing was changed. Use another way, or a later version.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits, references and the object are filled in, and only where the entry has none.
    #[test]
    fn the_context_fills_gaps() {
        let context =
            Context::new(code::MASK_NODE | code::MASK_DEL, "Node: alpha").about("Node", "alpha");
        let replies = context.fill(Ok(vec![
            Reply::new(code::MASK_RSC | code::FAIL_IN_USE, "x").about("Node", "other"),
            Reply::new(code::DELETED, "y"),
            Reply::new(code::API_CALL_PARSE_ERROR, "z"),
        ]));
        assert_eq!(
            replies[0].ret_code,
            code::FAIL_IN_USE | code::MASK_RSC | code::MASK_DEL
        );
        assert_eq!(replies[0].obj_refs["Node"], "other");
        assert_eq!(replies[0].details.as_deref(), Some("Node: alpha"));
        assert_eq!(
            replies[1].ret_code,
            code::DELETED | code::MASK_NODE | code::MASK_DEL
        );
        assert_eq!(replies[1].details, None);
        assert_eq!(replies[2].ret_code, code::API_CALL_PARSE_ERROR);
    }

    /// Texts begin with a capital letter where they stand at the start of a sentence.
    #[test]
    fn texts_are_sentences() {
        assert_eq!(
            not_found(code::FAIL_NOT_FOUND_NODE, "node 'a'").message,
            "Node 'a' not found."
        );
        assert_eq!(
            deleted("node 'a'", Uuid::nil()).message,
            "Node 'a' deleted."
        );
    }
}
