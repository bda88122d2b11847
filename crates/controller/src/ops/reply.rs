//! Replies that many requests give in the same way.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::Model;
use linstor_model::model::RowKey;
use uuid::Uuid;

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

/// An object was deleted.
pub fn deleted(what: &str, uuid: Uuid) -> Reply {
    let message = format!("{} deleted.", capital(what));
    done(code::DELETED, message, what, "was", uuid)
}

/// An object is deleted as soon as the satellites have removed its parts.
pub fn marked(what: &str, uuid: Uuid) -> Reply {
    let message = format!("{} marked for deletion.", capital(what));
    done(code::DELETED, message, what, "is", uuid)
}

/// Something that a call needs is not there.
pub fn not_found(ret_code: i64, what: &str) -> Reply {
    let what = capital(what);
    let named = lower(&what);
    Reply::new(ret_code, format!("{what} not found."))
        .cause(format!("The specified {named} could not be found."))
        .correction(format!("Create the {named} first."))
}

/// What ends the answer of a change that is stored, but that satellites could not carry out.
pub fn not_carried_out(what: &str) -> Reply {
    let message = format!("The change of {what} is stored, but was not carried out.");
    Reply::new(code::FAIL_UNKNOWN_ERROR, message)
        .cause("The entries before this one say which satellite it failed on, and why.")
        .correction("Correct the reason; the satellite then carries it out by itself. Or delete the object.")
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
