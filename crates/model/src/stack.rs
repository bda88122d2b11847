//! Layer stacks: which orders are valid, which this version can build, and what is used when nothing is given.

use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::reply::Reply;

use crate::ResourceDefinition;
use crate::layer::{BUILDABLE, below};
use crate::model::Model;

/// Reads the layers of a request, in any case.
pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Vec<LayerKind>, Vec<Reply>> {
    words
        .iter()
        .map(|word| {
            let word = word.as_ref().trim();
            word.parse::<LayerKind>().map_err(|unknown| {
                let text = format!("Given layer kind '{}' is invalid", word.escape_debug());
                vec![Reply::new(code::FAIL_INVLD_LAYER_KIND, text).cause(unknown.to_string())]
            })
        })
        .collect()
}

/// Puts the storage layer below a stack that lacks it, as LINSTOR does, with a warning.
pub fn complete(mut stack: Vec<LayerKind>) -> (Vec<LayerKind>, Option<Reply>) {
    if stack.is_empty() || stack.last() == Some(&LayerKind::Storage) {
        return (stack, None);
    }
    stack.push(LayerKind::Storage);
    let warning = Reply::new(
        code::WARN_STORAGE_KIND_ADDED,
        "The layer list was extended with the STORAGE layer, which every stack stands on.",
    )
    .details(format!("Resulting layers: {}", list(&stack)));
    (stack, Some(warning))
}

/// Checks the order of a stack.
pub fn check(stack: &[LayerKind]) -> Result<(), Vec<Reply>> {
    let refuse = |cause: String| {
        let text = format!("The layer stack {} is invalid", list(stack));
        vec![Reply::new(code::FAIL_INVLD_LAYER_STACK, text).cause(cause)]
    };
    for (index, layer) in stack.iter().enumerate() {
        if stack[..index].contains(layer) {
            return Err(refuse(format!("The layer {layer} stands in it twice.")));
        }
    }
    for pair in stack.windows(2) {
        if !below(pair[0]).contains(&pair[1]) {
            return Err(refuse(match below(pair[0]) {
                [] => format!("Nothing can stand below {}.", pair[0]),
                possible => format!(
                    "{} cannot stand directly below {}; {} can.",
                    pair[1],
                    pair[0],
                    list(possible)
                ),
            }));
        }
    }
    match stack.last() {
        Some(LayerKind::Storage) => Ok(()),
        _ => Err(refuse("The lowest layer is not STORAGE.".into())),
    }
}

/// Why resources with a stack cannot be created by this version, if they cannot.
pub fn not_buildable(stack: &[LayerKind]) -> Option<String> {
    let unknown = stack.iter().copied();
    let unknown: Vec<LayerKind> = unknown.filter(|layer| !BUILDABLE.contains(layer)).collect();
    (!unknown.is_empty()).then(|| {
        let layers = list(&unknown);
        format!(
            "Resources with the layers {layers} cannot be created: they are not implemented yet."
        )
    })
}

/// Checks that this version can build every layer of a stack.
pub fn check_buildable(stack: &[LayerKind]) -> Result<(), Vec<Reply>> {
    let Some(cause) = not_buildable(stack) else {
        return Ok(());
    };
    let text = format!(
        "The layer stack {} cannot be built by this version",
        list(stack)
    );
    Err(vec![
        Reply::new(code::FAIL_INVLD_LAYER_STACK, text)
            .cause(cause)
            .correction(format!("Use only {}.", list(BUILDABLE))),
    ])
}

/// The stack of a new resource: that of the request, else of the definition, else what its replicas agree on, else
/// DRBD on storage, with encryption between them when a volume requires it.
pub fn of_new_resource(
    model: &Model,
    definition: &ResourceDefinition,
    requested: Option<&[LayerKind]>,
) -> Vec<LayerKind> {
    if let Some(stack) = requested.filter(|stack| !stack.is_empty()) {
        return stack.to_vec();
    }
    if !definition.layer_stack.is_empty() {
        return definition.layer_stack.clone();
    }
    let mut replicas = model.resources_of(&definition.name);
    if let Some(first) = replicas.next()
        && replicas.all(|other| other.layer_stack == first.layer_stack)
    {
        return first.layer_stack.clone();
    }
    let encrypted = definition.volumes.values().any(|volume| volume.encrypted);
    default_stack(encrypted)
}

/// The stack that is used when none is given.
pub fn default_stack(encrypted: bool) -> Vec<LayerKind> {
    match encrypted {
        true => vec![LayerKind::Drbd, LayerKind::Luks, LayerKind::Storage],
        false => vec![LayerKind::Drbd, LayerKind::Storage],
    }
}

fn list(stack: &[LayerKind]) -> String {
    let words: Vec<&str> = stack.iter().map(|layer| layer.as_str()).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use LayerKind::*;

    /// The nesting table, by examples of each row.
    #[test]
    fn nesting_follows_the_table() {
        for good in [
            &[Storage][..],
            &[Drbd, Storage],
            &[Drbd, Luks, Storage],
            &[Drbd, Nvme, Luks, Storage],
            &[Drbd, Writecache, Cache, Bcache, Luks, Storage],
            &[Cache, Writecache, Storage],
            &[Bcache, Writecache, Cache, Storage],
        ] {
            assert!(check(good).is_ok(), "{good:?}");
        }
        for bad in [
            &[][..],
            &[Drbd],
            &[Luks, Drbd, Storage],
            &[Storage, Drbd],
            &[Nvme, Drbd, Storage],
            &[Bcache, Cache, Storage],
            &[Luks, Writecache, Storage],
            &[Drbd, Drbd, Storage],
        ] {
            let reply = check(bad).unwrap_err().remove(0);
            assert_eq!(reply.ret_code, code::FAIL_INVLD_LAYER_STACK, "{bad:?}");
            assert!(reply.cause.is_some());
        }
    }

    /// Kinds are read in any case; an unknown one is refused with the known ones.
    #[test]
    fn words_are_read_in_any_case() {
        assert_eq!(parse(&["drbd", "Storage"]).unwrap(), [Drbd, Storage]);
        let reply = parse(&["lvm"]).unwrap_err().remove(0);
        assert_eq!(reply.ret_code, code::FAIL_INVLD_LAYER_KIND);
        assert!(reply.cause.unwrap().contains("BCACHE"));
    }

    /// A stack without storage gets it, with a warning; an empty one remains empty.
    #[test]
    fn storage_is_added() {
        let (stack, warning) = complete(vec![Drbd]);
        assert_eq!(stack, [Drbd, Storage]);
        assert_eq!(warning.unwrap().ret_code, code::WARN_STORAGE_KIND_ADDED);
        assert_eq!(complete(vec![]), (vec![], None));
        assert_eq!(complete(vec![Storage]), (vec![Storage], None));
    }

    /// What cannot be built yet is refused by name.
    #[test]
    fn unbuildable_layers_are_named() {
        let reply = check_buildable(&[Drbd, Nvme, Storage])
            .unwrap_err()
            .remove(0);
        assert!(reply.cause.unwrap().contains("NVME"));
        assert!(check_buildable(&[Drbd, Luks, Storage]).is_ok());
    }
}
