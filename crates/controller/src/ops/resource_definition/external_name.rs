//! Names of resource definitions made of names that other systems gave.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::Model;
use linstor_model::name::ResourceName;
use uuid::Uuid;

use super::super::name;
use crate::transaction::Refusal;

/// The longest external name, in bytes.
const EXTERNAL_BYTES_MAX: usize = 256;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 48;

/// The name of a new definition, from what the request says.
pub fn choose(
    model: &Model,
    name: &str,
    external: Option<&str>,
    random: Uuid,
) -> Result<ResourceName, Refusal> {
    if !name.is_empty() {
        return name::resource(name);
    }
    let Some(external) = external else {
        return Err(Reply::new(
            code::FAIL_MISSING_EXT_NAME,
            "The resource definition has neither a name nor an external name.",
        )
        .cause("A name can only be left out where an external name is given.")
        .correction("Give one of them.")
        .into());
    };
    if external.len() > EXTERNAL_BYTES_MAX {
        return Err(Reply::new(
            code::FAIL_INVLD_RSC_NAME,
            "The external name is too long for a name to be made of it.",
        )
        .cause(format!(
            "It has {} bytes, {EXTERNAL_BYTES_MAX} are allowed.",
            external.len()
        ))
        .correction("Give a resource name in addition to the external name.")
        .into());
    }
    let fallback = || {
        ResourceName::parse(&format!("LS_{}", random.hyphenated()))
            .expect("a prefix and a UUID make a valid name")
    };
    let made = translate(external).filter(|name| !model.definitions.contains_key(name));
    Ok(made.unwrap_or_else(fallback))
}

fn translate(external: &str) -> Option<ResourceName> {
    let bytes = external.as_bytes();
    let cut = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
    let text = std::str::from_utf8(cut).ok();
    if let Some(uuid) = text.and_then(|text| Uuid::try_parse(text).ok()) {
        let upper = uuid.hyphenated().to_string().to_ascii_uppercase();
        return ResourceName::parse(&format!("LS_{upper}")).ok();
    }
    if let Some(name) = text.and_then(|text| ResourceName::parse(text).ok()) {
        return Some(name);
    }
    let translated: String = cut
        .iter()
        .enumerate()
        .map(|(index, byte)| match byte {
            b if b.is_ascii_alphabetic() || *b == b'_' => char::from(*b),
            b if index > 0 && (b.is_ascii_digit() || *b == b'-') => char::from(*b),
            b if b.is_ascii_punctuation() || *b == b' ' => '_',
            b => letter(*b),
        })
        .collect();
    ResourceName::parse(&translated).ok()
}

fn letter(byte: u8) -> char {
    const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // Bytes count as signed numbers here, as in the original.
    let number = i32::from(byte.cast_signed()) % 52;
    char::from(LETTERS[usize::try_from(number.abs()).expect("not negative")])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(external: &str) -> String {
        let model = Model::empty(Uuid::nil());
        choose(&model, "", Some(external), Uuid::nil())
            .unwrap()
            .to_string()
    }

    /// Valid names are unchanged, UUIDs get a prefix, other names are translated or replaced by a random one.
    #[test]
    fn names_are_made_of_anything() {
        assert_eq!(made("pvc_1"), "pvc_1");
        assert_eq!(
            made("9f35c8a5-f7f1-4b0e-a9f7-0e5ad9b9c0e7"),
            "LS_9F35C8A5-F7F1-4B0E-A9F7-0E5AD9B9C0E7"
        );
        assert_eq!(made("a b/c"), "a_b_c");
        assert!(made("größe").starts_with("gr"));
        assert_eq!(made(""), format!("LS_{}", Uuid::nil()));
        assert!(ResourceName::parse(&made(&"ä".repeat(100))).is_ok());
        assert!(ResourceName::parse(&made("1 volume")).is_ok());
    }

    /// Without any name there is no definition, and neither with one that is too long.
    #[test]
    fn some_name_is_needed() {
        let model = Model::empty(Uuid::nil());
        let refused = |external: Option<&str>| {
            choose(&model, "", external, Uuid::nil()).unwrap_err().0[0].ret_code
        };
        assert_eq!(refused(None), code::FAIL_MISSING_EXT_NAME);
        assert_eq!(refused(Some(&"x".repeat(257))), code::FAIL_INVLD_RSC_NAME);
    }
}
