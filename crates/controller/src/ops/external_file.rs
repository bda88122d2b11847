//! External files: content that LINSTOR stores and writes on the nodes of the resource definitions that need it.
//!
//! A resource definition needs a file when it has the property `files<path>`. A satellite writes a file only into directories
//! that its own settings allow.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use linstor_api::code;
use linstor_api::external_file::{ExternalFile as Json, ExternalFileCheck, ExternalFileStatus};
use linstor_api::reply::Reply;
use linstor_model::external_file::{FilePath, property};
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::{ExternalFile, ResourceDefinition};
use linstor_wire::digest::sha256;
use linstor_wire::question::{Answer, FileState, Question};
use tokio::time::Instant;

use super::name;
use super::reply::{deleted, marked};
use super::request::{self, Context, Wait};
use crate::cluster::Cluster;
use crate::transaction::Refusal;
use crate::wait::not_answered;

/// How long a node may take to look at a file.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The largest file, and all of them together, in base64: a node gets its files in one message.
const FILE_BYTES_MAX: usize = 512 * 1024;
const FILES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest suffix of an alternative name, in bytes, and how many there may be.
const SUFFIX_BYTES_MAX: usize = 64;
const SUFFIXES_MAX: usize = 16;

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
            let others = tx.external_files.values().filter(|row| row.path != path);
            let others: usize = others.map(|row| row.content.len()).sum();
            if content.len() > FILE_BYTES_MAX || others + content.len() > FILES_BYTES_MAX {
                return Err(too_large(content.len(), others));
            }
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
        let generation = committed.await?.generation;
        Ok(satellites_applied(cluster, generation).await)
    };
    context(&path).run(work).await
}

/// Waits until each satellite has the files that its resources need now.
async fn satellites_applied(cluster: &Cluster, generation: u64) -> Vec<Reply> {
    let model = cluster.model();
    let nodes = model.satellites().map(|node| node.name.clone()).collect();
    let done = Reply::new(code::MODIFIED, "Node changes applied.");
    request::wait(cluster, Wait::Nodes(nodes, done), generation).await
}

fn too_large(bytes: usize, others: usize) -> Refusal {
    let message = "The content of the external file is too large.";
    Reply::new(code::FAIL_INVLD_EXT_FILE, message)
        .cause(format!(
            "It has {bytes} bytes in base64 and all other external files {others}; {FILE_BYTES_MAX} are allowed for one, and \
             {FILES_BYTES_MAX} for all together."
        ))
        .correction("Store less, or delete external files that are not needed.")
        .into()
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
        let committed = committed.await?;
        let row = committed.value;
        let what = format!("External file: {}", row.path);
        let mut replies = vec![marked(&what, row.uuid)];
        replies.extend(satellites_applied(cluster, committed.generation).await);
        replies.push(deleted(&what, row.uuid));
        // LINSTOR's entries about files have no UUID among their references.
        for reply in &mut replies {
            reply.obj_refs.remove("UUID");
        }
        Ok(replies)
    };
    context(&path).run(work).await
}

/// Whether a satellite may write a file. An unknown node, and a path that cannot be one, are answered as not allowed, as
/// LINSTOR does.
///
/// # Errors
///
/// The node is not online, or does not answer.
pub async fn check(
    cluster: &Cluster,
    path: &str,
    node: &str,
) -> Result<ExternalFileCheck, Refusal> {
    let known = |node: &NodeName| cluster.model().node(node).is_some();
    let (Ok(path), Ok(node)) = (name::file(path), name::node(node)) else {
        return Ok(ExternalFileCheck { allowed: false });
    };
    if !known(&node) {
        return Ok(ExternalFileCheck { allowed: false });
    }
    let state = ask(cluster, &node, &path, None).await?;
    Ok(ExternalFileCheck {
        allowed: state.allowed,
    })
}

/// What a file is on a node.
///
/// # Errors
///
/// There is no such file or node, or the node does not answer.
pub async fn status(
    cluster: &Cluster,
    path: &str,
    node: &str,
) -> Result<ExternalFileStatus, Refusal> {
    let model = cluster.model();
    let (path, node) = (name::file(path)?, name::node(node)?);
    let file = name::known_file(&model, &path)?;
    name::known_node(&model, &node)?;
    let state = ask(cluster, &node, &path, Some(file)).await?;
    Ok(ExternalFileStatus {
        actual_path: state.path,
        content_match: state.content_matches,
    })
}

async fn ask(
    cluster: &Cluster,
    node: &NodeName,
    path: &FilePath,
    file: Option<&ExternalFile>,
) -> Result<FileState, Reply> {
    let content = file.and_then(|file| BASE64.decode(&file.content).ok());
    let question = Question::ExternalFile {
        path: path.clone(),
        alt_suffixes: file
            .map(|file| file.alt_suffixes.clone())
            .unwrap_or_default(),
        sha256: content.map(|content| sha256(&content)),
    };
    match cluster
        .ask(node, question, Instant::now() + ANSWER_MAX)
        .await?
    {
        Answer::ExternalFile(state) => Ok(state),
        answer => Err(not_answered(node, answer)),
    }
}

/// Has a file written on the nodes of a resource definition. Nodes that are online must allow it.
pub async fn deploy(cluster: &Cluster, name: String, path: String) -> Vec<Reply> {
    let refused = refused_by(cluster, &name, &path).await;
    change_need(cluster, name, path, true, refused).await
}

/// Has a file removed from the nodes of a resource definition.
pub async fn undeploy(cluster: &Cluster, name: String, path: String) -> Vec<Reply> {
    change_need(cluster, name, path, false, Vec::new()).await
}

/// The nodes with resources of a definition whose satellites do not allow a file.
async fn refused_by(cluster: &Cluster, name: &str, path: &str) -> Vec<NodeName> {
    let (Ok(name), Ok(path)) = (name::resource(name), name::file(path)) else {
        return Vec::new();
    };
    let model = cluster.model();
    let online = |node: &NodeName| cluster.observed().is_online(node);
    let nodes = model.resources_of(&name).map(|row| row.node.clone());
    let asked = nodes.filter(online).map(|node| {
        let path = &path;
        async move {
            let state = ask(cluster, &node, path, None).await;
            state.is_ok_and(|state| !state.allowed).then_some(node)
        }
    });
    let answers = futures::future::join_all(asked).await;
    answers.into_iter().flatten().collect()
}

async fn change_need(
    cluster: &Cluster,
    name: String,
    path: String,
    needed: bool,
    refused_by: Vec<NodeName>,
) -> Vec<Reply> {
    let parse = || Ok((name::resource(&name)?, name::file(&path)?));
    let mask = code::MASK_RSC_DFN | code::MASK_MOD;
    Context::new(mask, format!("Resource definition: {name}"))
        .about("RscDfn", &name)
        .change(cluster, parse, move |tx, (name, path)| {
            let mut row = ResourceDefinition::clone(name::known_definition(tx, &name)?);
            name::known_file(tx, &path)?;
            if let Some(node) = refused_by.first() {
                let message = format!("The external file '{path}' is not allowed on node '{node}'.");
                return Err(Reply::new(code::FAIL_ACC_DENIED_EXT_FILE, message)
                    .cause(
                        "A satellite writes files only into directories that its own settings name, and none whose path \
                         has '..' in it.",
                    )
                    .correction(
                        "Name the directory in 'allowExtFiles' of section [files] in linstor_satellite.toml on the node \
                         and restart the satellite.",
                    )
                    .about("Node", node.as_str())
                    .into());
            }
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
            let nodes = tx.resources_of(&name).map(|row| row.node.clone()).collect();
            tx.put_resource_definition(row);
            let what = if needed { "written" } else { "not needed any more by this resource" };
            let done = Reply::new(code::MODIFIED, format!("External file '{path}' {what}."));
            Ok(Wait::Nodes(nodes, done))
        })
        .await
}
