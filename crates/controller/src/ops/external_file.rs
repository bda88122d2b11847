//! External files: content that LINSTOR stores and writes on the nodes of the resource definitions that need it.
//!
//! A resource definition needs a file when it has the property `files<path>`. Satellites of this version write no files:
//! they allow no path, and a deployment is answered with a warning.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use linstor_api::code;
use linstor_api::external_file::{ExternalFile as Json, ExternalFileCheck};
use linstor_api::reply::Reply;
use linstor_model::external_file::FilePath;
use linstor_model::model::RowKey;
use linstor_model::name::ResourceName;
use linstor_model::{ExternalFile, ResourceDefinition};

use super::reply::{deleted, marked, not_found, not_implemented};
use super::request::{Context, Wait};
use super::{name, node};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// Property of a resource definition that needs a file, before the file's path.
const NAMESPACE: &str = "files";
/// The longest suffix of an alternative name, in bytes, and how many there may be.
const SUFFIX_BYTES_MAX: usize = 64;
const SUFFIXES_MAX: usize = 16;
const NOT_NEEDED: &str = "No resource of the node gets the file";

fn context(path: &str) -> Context {
    let mask = code::MASK_EXT_FILES | code::MASK_MOD;
    Context::new(mask, format!("External file: {path}")).about("ExtFile", path)
}

fn show(row: &ExternalFile, content: bool) -> Json {
    Json {
        path: Some(row.path.to_string()),
        content: content.then(|| row.content.clone()),
        alt_suffixes: row.alt_suffixes.clone(),
    }
}

/// All files, with their content or without.
pub fn list(cluster: &Cluster, content: bool) -> Vec<Json> {
    let model = cluster.model();
    let files = model.external_files.values();
    files.map(|row| show(row, content)).collect()
}

/// One file with its content.
pub fn one(cluster: &Cluster, path: &str) -> Option<Json> {
    let path = FilePath::parse(path).ok()?;
    let model = cluster.model();
    model.external_files.get(&path).map(|row| show(row, true))
}

/// Stores a file, in the place of one that is there.
pub async fn put(cluster: &Cluster, path: String, request: Json) -> Vec<Reply> {
    // LINSTOR's refusals of what is no base64 have no operation and object bits.
    let content = match content(&request) {
        Ok(content) => content,
        Err(refusal) => return refusal.0,
    };
    let work = async {
        let path = name::file(&path)?;
        if content.is_empty() {
            let message = "The content must not be empty.";
            return Err(Reply::new(code::FAIL_INVLD_EXT_FILE, message)
                .cause("An external file without content is the same as none.")
                .correction("Delete the external file instead.")
                .into());
        }
        let alt_suffixes = alt_suffixes(request.alt_suffixes)?;
        let committed = cluster.commit(move |tx| {
            let uuid = match tx.external_files.get(&path) {
                Some(known) => known.uuid,
                None => tx.uuid(),
            };
            tx.put_external_file(ExternalFile {
                path,
                uuid,
                content,
                alt_suffixes,
            });
            Ok(())
        });
        committed.await?;
        Ok(node::unaffected(cluster, NOT_NEEDED))
    };
    context(&path).run(work).await
}

fn content(request: &Json) -> Result<String, Refusal> {
    let refuse = |cause: String| -> Refusal {
        let message = "The content of the external file cannot be used.";
        Reply::new(code::FAIL_UNKNOWN_ERROR, message)
            .cause(cause)
            .correction("Send the content in base64 as 'content'.")
            .into()
    };
    let Some(given) = &request.content else {
        return Err(refuse("The request has no content.".to_owned()));
    };
    match BASE64.decode(given) {
        Ok(_) => Ok(given.clone()),
        Err(error) => Err(refuse(format!("It is not base64: {error}."))),
    }
}

fn alt_suffixes(given: Vec<String>) -> Result<Vec<String>, Refusal> {
    let printable = |text: &String| text.chars().all(|c| (' '..='~').contains(&c));
    let sound = |text: &String| {
        !text.is_empty()
            && text.len() <= SUFFIX_BYTES_MAX
            && !text.contains('/')
            && !text.contains("..")
            && printable(text)
    };
    if given.len() <= SUFFIXES_MAX && given.iter().all(sound) {
        return Ok(given);
    }
    let message = "An alternative suffix of the external file is not valid.";
    Err(Reply::new(code::FAIL_INVLD_EXT_FILE, message)
        .cause("Suffixes become part of a file's name.")
        .correction(format!(
            "Use at most {SUFFIXES_MAX} suffixes of 1 to {SUFFIX_BYTES_MAX} printable ASCII characters without '/' \
             and '..'."
        ))
        .into())
}

/// Deletes a file. Resource definitions that need it no longer do.
pub async fn delete(cluster: &Cluster, path: String) -> Vec<Reply> {
    let work = async {
        let path = name::file(&path)?;
        let committed = cluster.commit(move |tx| {
            let key = RowKey::ExternalFile(path.clone());
            let Some(row) = tx.external_files.get(&path).cloned() else {
                let missing = || {
                    let message = format!("External file: {path} not found.");
                    Reply::new(code::WARN_NOT_FOUND, message)
                };
                return Err(tx.held.refuses(&key, true).unwrap_or_else(missing).into());
            };
            let property = property(&path);
            let needing = tx.definitions.values();
            let needing = needing.filter(|row| row.props.contains_key(&property));
            let needing: Vec<ResourceName> = needing.map(|row| row.name.clone()).collect();
            for name in needing {
                tx.edit_resource_definition(&name, |row| drop(row.props.remove(&property)));
            }
            tx.remove(&key);
            Ok(row)
        });
        let row = committed.await?.value;
        let what = format!("External file: {}", row.path);
        let mut replies = vec![marked(&what, row.uuid)];
        replies.extend(node::unaffected(cluster, NOT_NEEDED));
        replies.push(deleted(&what, row.uuid));
        // LINSTOR's entries about files have no UUID among their references.
        for reply in &mut replies {
            reply.obj_refs.remove("UUID");
        }
        Ok(replies)
    };
    context(&path).run(work).await
}

fn property(path: &FilePath) -> String {
    format!("{NAMESPACE}{path}")
}

/// Whether a satellite writes a file. No path is allowed: satellites of this version write none.
pub fn check(_: &Cluster, _: &str, _: &str) -> ExternalFileCheck {
    ExternalFileCheck { allowed: false }
}

/// What a file is on a node.
pub fn status(cluster: &Cluster, path: &str, node: &str) -> Refusal {
    let model = cluster.model();
    let known = || {
        let (path, node) = (name::file(path)?, name::node(node)?);
        if !model.external_files.contains_key(&path) {
            let what = format!("external file '{path}'");
            return Err(not_found(code::FAIL_NOT_FOUND_EXT_FILE, &what).into());
        }
        name::known_node(&model, &node).map(|_| ())
    };
    let not_there = || not_implemented("The state of external files on nodes").into();
    known().map_or_else(|refusal| refusal, |()| not_there())
}

/// Has a file written on the nodes of a resource definition.
pub async fn deploy(cluster: &Cluster, name: String, path: String) -> Vec<Reply> {
    change_need(cluster, name, path, true).await
}

/// Has a file removed from the nodes of a resource definition.
pub async fn undeploy(cluster: &Cluster, name: String, path: String) -> Vec<Reply> {
    change_need(cluster, name, path, false).await
}

async fn change_need(cluster: &Cluster, name: String, path: String, needed: bool) -> Vec<Reply> {
    let parse = || Ok((name::resource(&name)?, name::file(&path)?));
    let mask = code::MASK_RSC_DFN | code::MASK_MOD;
    Context::new(mask, format!("Resource definition: {name}"))
        .about("RscDfn", &name)
        .change(cluster, parse, move |tx, (name, path)| {
            let mut row = ResourceDefinition::clone(name::known_definition(tx, &name)?);
            name::known_file(tx, &path)?;
            if needed && path.as_str().split('/').any(|part| part == "..") {
                let message = format!("The external file '{path}' cannot be deployed.");
                return Err(Reply::new(code::FAIL_INVLD_EXT_FILE_NAME, message)
                    .cause("A satellite writes no file whose path has '..' in it.")
                    .correction("Register the file under the path that it stands for.")
                    .into());
            }
            match needed {
                true => drop(row.props.insert(property(&path), "True".to_owned())),
                false => drop(row.props.remove(&property(&path))),
            }
            let nodes: Vec<_> = tx.resources_of(&name).map(|row| row.node.clone()).collect();
            for node in nodes.into_iter().filter(|_| needed) {
                let message = format!("({node}) The external file '{path}' was not written.");
                tx.reply(
                    Reply::new(code::WARN_UNEFFECTIVE_PROP, message)
                        .cause("Satellites of this version do not write external files.")
                        .about("Node", node.as_str()),
                );
            }
            tx.put_resource_definition(row);
            Ok(Wait::Nothing)
        })
        .await
}
