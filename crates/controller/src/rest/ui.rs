//! `/ui`: the pages of LINSTOR's web interface, if they are installed (package `linstor-gui`).
//!
//! They are static files below one directory. A path that leaves it, by `..` or by a link, is absent.

use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use linstor_api::code;
use linstor_api::reply::Reply;

use super::answer::Answer;
use crate::cluster::Cluster;

/// The largest file that is sent.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Types by the ends of names; browsers take scripts and style sheets with their type only.
const TYPES: [(&str, &str); 13] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("ico", "image/x-icon"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("wasm", "application/wasm"),
];

/// Where the pages are.
#[derive(Clone)]
struct Directory(Arc<PathBuf>);

/// The routes of the pages in a directory, and of `/`.
pub fn routes(directory: &FilePath) -> Router<Cluster> {
    Router::new()
        .route("/", get(root))
        .route("/ui", get(async || Redirect::permanent("/ui/")))
        .route("/ui/", get(index))
        .route("/ui/{*path}", get(file))
        .layer(Extension(Directory(Arc::new(directory.to_owned()))))
}

/// For people who open the controller's address in a browser.
async fn root(Extension(Directory(directory)): Extension<Directory>) -> Response {
    if read(&directory, "index.html").await.is_some() {
        return Redirect::to("/ui/").into_response();
    }
    Html(
        "<!DOCTYPE html><html><head><title>LINSTOR controller</title></head><body>\
         <p>This is the REST API of a LINSTOR controller; its documentation is at \
         <a href=\"https://app.swaggerhub.com/apis-docs/Linstor/Linstor/\">swaggerhub.com</a>.</p>\
         <p>The web pages are not installed: install the package <code>linstor-gui</code>, or use the command line \
         <code>linstor</code>.</p></body></html>",
    )
    .into_response()
}

async fn index(directory: Extension<Directory>) -> Response {
    file(directory, Path("index.html".to_owned())).await
}

async fn file(
    Extension(Directory(directory)): Extension<Directory>,
    Path(path): Path<String>,
) -> Response {
    let Some(content) = read(&directory, &path).await else {
        let message = format!("Path '/ui/{}' not found on server.", path.escape_debug());
        let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, message)
            .cause("The web pages are not installed, or have no such file.")
            .correction("Install the package 'linstor-gui', or set 'directory' in the section [webUi] of linstor.toml.");
        return Answer::fixed(StatusCode::NOT_FOUND, reply);
    };
    let end = path.rsplit_once('.').map(|(_, end)| end);
    let known = TYPES.iter().find(|(known, _)| Some(*known) == end);
    let kind = known.map_or("application/octet-stream", |(_, kind)| kind);
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
    ];
    (headers, content).into_response()
}

/// A file of the directory; none when there is no such one in it.
async fn read(directory: &FilePath, path: &str) -> Option<Vec<u8>> {
    let path = FilePath::new(path);
    let normal = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !path.components().all(normal) {
        return None;
    }
    let directory = tokio::fs::canonicalize(directory).await.ok()?;
    let path = tokio::fs::canonicalize(directory.join(path)).await.ok()?;
    let about = tokio::fs::metadata(&path).await.ok()?;
    if !path.starts_with(&directory) || !about.is_file() || about.len() > BYTES_MAX {
        return None;
    }
    tokio::fs::read(path).await.ok()
}
