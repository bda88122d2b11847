//! The API against a controller on a memory store, with satellites that do at once what they are told.

mod auth;
mod backup_store;
mod backups;
mod bad_input;
mod balance;
mod changes;
mod clone;
mod complaints;
mod contract;
mod coverage;
mod disks;
mod edge;
mod encryption;
mod entries;
mod events;
mod files;
mod http;
mod https;
mod job;
mod leftover;
mod lists;
mod nodes;
mod physical_storage;
mod property;
mod questions;
mod quorum;
mod restore;
mod rollback;
mod satellite;
mod scheduled_backups;
mod settle;
mod shared;
mod shipping;
mod sizes;
mod snapshots;
mod speed;
mod stateful;
mod story;
mod ui;
mod upkeep;
mod watermark;

use std::cell::Cell;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use linstor_api::code;
use linstor_store::MemoryStore;
use serde_json::Value;

use crate::config::{Arguments, Config};
use crate::env::{Env, SeededEnv};
use crate::{Cluster, Controller, Options};
use contract::Contract;
use http::Server;
use satellite::Satellites;

/// A controller with its API.
struct World {
    app: Router,
    server: Server,
    cluster: Cluster,
    satellites: Satellites,
    /// Whether the next request that is no GET accepts gzip: every other one does.
    accept_gzip: Cell<bool>,
    store: MemoryStore,
    controller: Controller,
    /// Of the random numbers: identities of clusters with different seeds differ.
    seed: u64,
}

/// What came back.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("no JSON: {error}: {}", String::from_utf8_lossy(&self.body))
        })
    }

    /// The codes without operation and object, by name.
    fn names(&self) -> Vec<String> {
        let entries = self.json();
        let entries = entries.as_array().expect("replies are a list").clone();
        let code = |entry: &Value| entry["ret_code"].as_i64().expect("a signed number");
        entries.iter().map(|entry| name(code(entry))).collect()
    }

    fn codes(&self) -> Vec<i64> {
        let entries = self.json();
        let entries = entries.as_array().expect("replies are a list");
        entries
            .iter()
            .map(|entry| entry["ret_code"].as_i64().expect("a number"))
            .collect()
    }
}

fn name(ret_code: i64) -> String {
    let bare = code::MASK_BITS_TYPE | code::MASK_BITS_CODE;
    match ret_code {
        code::API_CALL_PARSE_ERROR => "API_CALL_PARSE_ERROR".to_owned(),
        // It shares its number with another one.
        ret_code if ret_code & bare == code::INFO_NOOP => "INFO_NOOP".to_owned(),
        ret_code => code::name(ret_code).map_or_else(|| format!("{ret_code:#x}"), str::to_owned),
    }
}

impl World {
    /// An empty cluster.
    async fn new() -> Self {
        World::start(MemoryStore::new(), Satellites::default(), None).await
    }

    /// An empty cluster whose controller has a settings file with this text.
    async fn with_settings(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("linstor.toml"), text).expect("a file");
        let arguments = Arguments {
            config_directory: Some(directory.path().to_owned()),
            ..Arguments::default()
        };
        let config = Config::load(&arguments, &|_| None).expect("settings");
        World::start(MemoryStore::new(), Satellites::default(), Some(config)).await
    }

    /// The controller ends, and another one starts on its store.
    async fn restart(&mut self) {
        let (store, satellites) = (self.store.clone(), self.satellites.clone());
        let next = World::seeded(self.seed, store, satellites, None).await;
        std::mem::replace(self, next).controller.stop().await;
    }

    async fn start(store: MemoryStore, satellites: Satellites, config: Option<Config>) -> Self {
        World::seeded(1, store, satellites, config).await
    }

    async fn seeded(
        seed: u64,
        store: MemoryStore,
        satellites: Satellites,
        config: Option<Config>,
    ) -> Self {
        let env = Arc::new(SeededEnv::new(seed));
        let world = World::start_at(env, store, satellites, config).await;
        World { seed, ..world }
    }

    /// One whose time and randomness are given.
    async fn start_at(
        env: Arc<dyn Env>,
        store: MemoryStore,
        satellites: Satellites,
        config: Option<Config>,
    ) -> Self {
        let options = Options {
            config,
            ..Options::default()
        };
        let controller = Controller::start(
            Box::new(store.clone()),
            env,
            Arc::new(satellites.clone()),
            options,
        )
        .await
        .expect("the store is readable");
        let app = super::router(controller.cluster.clone(), &super::Limits::default());
        World {
            server: Server::start(app.clone()),
            app,
            cluster: controller.cluster.clone(),
            satellites,
            accept_gzip: Cell::new(true),
            store,
            controller,
            seed: 1,
        }
    }

    /// A cluster of nodes `n1` to `n<count>` that are online, each with a pool `thin` of 100 GiB.
    async fn with_nodes(count: u8) -> Self {
        let world = World::new().await;
        for number in 1..=count {
            world.add_node(number).await;
        }
        world
    }

    async fn add_node(&self, number: u8) {
        let node = format!(
            r#"{{"name":"n{number}","type":"satellite","net_interfaces":[{{"name":"default","address":"10.0.0.{number}",
            "satellite_port":3366,"satellite_encryption_type":"plain"}}]}}"#
        );
        let answer = self.call("POST", "/v1/nodes", &node).await;
        assert_eq!(answer.status, 201, "{:?}", answer.names());
        assert_eq!(answer.names(), ["CREATED"]);
        let pool = r#"{"storage_pool_name":"thin","provider_kind":"LVM_THIN","props":{"StorDriver/StorPoolName":"vg/thin"}}"#;
        let answer = self
            .call("POST", &format!("/v1/nodes/n{number}/storage-pools"), pool)
            .await;
        assert_eq!(answer.status, 201, "{:?}", answer.names());
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answered {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::from(body.to_owned()))
            .expect("tests write valid paths");
        self.send(request).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.json());
        answer.json()
    }

    /// Sends a request as clients do. What is read is read twice, as it is and compressed, and must be the same.
    async fn send(&self, request: Request<Body>) -> Answered {
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        let answer = self.exchange(request).await;
        if let Some(contract) = Contract::get() {
            let status = answer.status.as_u16();
            let wrong = contract.wrong(&method, &path, status, &answer.body);
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        }
        answer
    }

    async fn exchange(&self, mut request: Request<Body>) -> Answered {
        let gzip = HeaderValue::from_static("gzip");
        if request.method() == Method::GET {
            let mut again = Request::new(Body::empty());
            *again.uri_mut() = request.uri().clone();
            *again.headers_mut() = request.headers().clone();
            again.headers_mut().insert(header::ACCEPT_ENCODING, gzip);
            let plain = self.server.send(request).await;
            let compressed = self.server.send(again).await;
            assert_eq!(plain.status, compressed.status);
            assert!(
                plain.body == compressed.body,
                "{} bytes are {} when compressed",
                plain.body.len(),
                compressed.body.len()
            );
            return plain;
        }
        if self.accept_gzip.replace(!self.accept_gzip.get()) {
            request.headers_mut().insert(header::ACCEPT_ENCODING, gzip);
        }
        self.server.send(request).await
    }

    /// Calls and checks status and codes.
    async fn check(&self, method: &str, path: &str, body: &str, status: u16, names: &[&str]) {
        let answer = self.call(method, path, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.names()),
            (
                status,
                names.iter().map(|name| (*name).to_owned()).collect()
            ),
            "{method} {path} {body}\n{}",
            String::from_utf8_lossy(&answer.body)
        );
    }
}

const NODE: &str = r#"{"name":"alpha","type":"SATELLITE","net_interfaces":[{"name":"default","address":"10.0.0.100",
    "satellite_port":3366,"satellite_encryption_type":"PLAIN"}]}"#;
