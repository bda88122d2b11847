//! Start: rows become the model, a fresh database gets its defaults, the epoch grows, the tasks begin.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use linstor_api::prop;
use linstor_api::reply::Reply;
use linstor_model::model::{DEFAULT_DISKLESS_POOL, DEFAULT_GROUP, DEFAULT_POOL};
use linstor_model::name::{ResourceGroupName, StoragePoolName};
use linstor_model::{
    Controller as ControllerRow, Epoch, Migrations, NewerRows, Props, ResourceGroup, SelectFilter,
    StoragePoolDefinition,
};
use linstor_model::{Draft, Model};
use linstor_store::{Store, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::config::Config;
use crate::env::Env;
use crate::error_report::{self, ErrorReports};
use crate::link::{self, Connector};
use crate::tasks;
use crate::transaction::Refusal;
use crate::writer::Writer;

/// Kind of rows with copies of unreadable ones that earlier versions overwrote: for people only.
const COPY_KIND: &str = "unreadable";
/// Pause before a start is stored that could not be stored although the database can be written.
const TAKE_OVER_RETRY: Duration = Duration::from_secs(1);
/// How many replicas the default group asks for.
const DEFAULT_PLACE_COUNT: u32 = 2;
/// Verify algorithms that the controller chooses from.
const VERIFY_ALGORITHMS: &str = "crct10dif;crc32c;sha384;sha512;sha256;sha1;md5;windrbd";

/// How a controller runs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Intervals and limits of the links to the satellites.
    pub link: link::Timing,
    /// The versions that rows are written with.
    pub migrations: Migrations,
    /// The file of the error reports; none where they are kept in memory only.
    pub error_reports: Option<PathBuf>,
    /// The program's settings, which are shown.
    pub config: Option<Config>,
}

/// Why a controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    /// A newer controller wrote the database.
    #[error("{0}")]
    NewerRows(NewerRows),
    /// The first commit failed.
    #[error("the start could not be stored: {}", .0.iter().map(|r| r.message.as_str()).collect::<Vec<_>>().join("; "))]
    Commit(Vec<Reply>),
}

/// A running controller: the cluster's handle and the tasks behind it.
pub struct Controller {
    /// The handle.
    pub cluster: Cluster,
    shutdown: CancellationToken,
    writer_shutdown: CancellationToken,
    tasks: JoinSet<()>,
    writer: tokio::task::JoinHandle<()>,
}

impl Controller {
    /// Loads the store and starts everything. Needs no satellite, and starts whatever state single rows are in.
    pub async fn start(
        mut store: Box<dyn Store>,
        env: Arc<dyn Env>,
        connector: Arc<dyn Connector>,
        options: Options,
    ) -> Result<Controller, StartError> {
        let loaded = store.load().await?;
        let fresh = loaded.generation == 0 && loaded.rows.is_empty();
        let rows = loaded.rows.into_iter();
        let rows = rows.filter(|row| row.kind != COPY_KIND).collect();
        let migrations = options.migrations;
        let model = Model::load_with(migrations, loaded.generation, rows, env.uuid());
        if let Some(newer) = model.newer_rows() {
            return Err(StartError::NewerRows(newer));
        }
        for row in model.held.rows() {
            tracing::error!(%row, "a stored row cannot be read; its object is held");
        }
        let file = options.error_reports;
        let reports = file.as_deref().map(ErrorReports::load);
        let reports = reports.unwrap_or_default();
        let (cluster, waiting) = Cluster::new(model, env, store.limits(), reports, options.config);
        let writer_shutdown = CancellationToken::new();
        let writer = Writer::new(cluster.clone(), store, waiting);
        let writer = tokio::spawn(writer.run(writer_shutdown.clone()));
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        if let Err(refusal) = take_over(&cluster, fresh).await {
            if fresh || cluster.shared.superseded.borrow().is_some() {
                return Err(StartError::Commit(refusal.0));
            }
            // Reads are served, with the epoch of the start before, and the rest once the database can be written.
            tracing::error!("the controller starts read-only: the database cannot be written");
            tasks.spawn(take_over_later(cluster.clone(), shutdown.clone()));
        }
        tasks.spawn(tasks::advance::run(cluster.clone(), shutdown.clone()));
        if let Some(file) = file {
            let handle = cluster.clone();
            tasks.spawn(error_report::run(handle, file, shutdown.clone()));
        }
        tasks.spawn(tasks::settle::run(cluster.clone(), shutdown.clone()));
        tasks.spawn(tasks::balance::run(cluster.clone(), shutdown.clone()));
        tasks.spawn(tasks::upkeep::run(cluster.clone(), shutdown.clone()));
        tasks.spawn(tasks::auto_snapshot::run(cluster.clone(), shutdown.clone()));
        tasks.spawn(tasks::backup::run(cluster.clone(), shutdown.clone()));
        let scheduled = tasks::scheduled_backup::run(cluster.clone(), shutdown.clone());
        tasks.spawn(scheduled);
        tasks.spawn(link::run(
            cluster.clone(),
            connector,
            options.link,
            shutdown.clone(),
        ));
        Ok(Controller {
            cluster,
            shutdown,
            writer_shutdown,
            tasks,
            writer,
        })
    }

    /// Ends the links and tasks, then the writer once it has served every commit that waits.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.writer_shutdown.cancel();
        // A writer that panicked has nothing left to serve.
        let _ = self.writer.await;
    }
}

/// The first commit: a fresh database's defaults, and the epoch by which satellites recognise the newest controller.
async fn take_over(cluster: &Cluster, fresh: bool) -> Result<(), Refusal> {
    let env = Arc::clone(cluster.env());
    let committed = cluster.commit(move |draft| {
        if fresh {
            create_defaults(draft, &*env);
        }
        let versions = draft.row_versions_now(env!("CARGO_PKG_VERSION"));
        if *draft.row_versions != versions {
            draft.put_row_versions(versions);
        }
        // A database that satellites refused is not brought past what they obey by being started often enough.
        if draft.epoch.newer.is_none() {
            let number = draft.epoch.number + 1;
            draft.put_epoch(Epoch {
                number,
                start: env.uuid(),
                newer: None,
            });
        }
        Ok(())
    });
    committed.await.map(|_| ())
}

/// Makes the first commit once the database can be written.
async fn take_over_later(cluster: Cluster, shutdown: CancellationToken) {
    let mut unwritable = cluster.shared.unwritable.subscribe();
    loop {
        tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => return,
            // Cancel-safe: a state, which is read again. The sender lives as long as the handle.
            _ = unwritable.wait_for(Option::is_none) => {}
        }
        let superseded = || cluster.shared.superseded.borrow().is_some();
        if take_over(&cluster, false).await.is_ok() || superseded() {
            return;
        }
        tokio::time::sleep(TAKE_OVER_RETRY).await;
    }
}

/// What exists without anybody creating it.
fn create_defaults(draft: &mut Draft, env: &dyn Env) {
    for name in [DEFAULT_POOL, DEFAULT_DISKLESS_POOL] {
        draft.put_storage_pool_definition(StoragePoolDefinition {
            name: StoragePoolName::parse(name).expect("a default's name follows the rules"),
            uuid: env.uuid(),
            props: Props::new(),
        });
    }
    draft.put_resource_group(ResourceGroup {
        name: ResourceGroupName::parse(DEFAULT_GROUP).expect("a default's name follows the rules"),
        uuid: env.uuid(),
        description: None,
        filter: SelectFilter {
            place_count: Some(DEFAULT_PLACE_COUNT),
            ..SelectFilter::default()
        },
        peer_slots: None,
        props: Props::new(),
        volume_groups: Default::default(),
    });
    let mut row = ControllerRow::clone(&draft.controller);
    let local_id = row.cluster_id.to_string();
    for (key, value) in [
        (prop::DRBD_AUTO_ADD_QUORUM_TIEBREAKER, prop::TRUE),
        (prop::DRBD_ON_NO_QUORUM, "io-error"),
        (prop::DRBD_AUTO_DISKFUL_ALLOW_CLEANUP, prop::TRUE),
        (prop::DRBD_AUTO_EVICT_ALLOW_EVICTION, prop::TRUE),
        (prop::DRBD_DISABLE_AUTO_RESYNC_AFTER, "true"),
        (prop::DRBD_AUTO_VERIFY_ALGO_ALLOWED, VERIFY_ALGORITHMS),
        (prop::CLUSTER_LOCAL_ID, &local_id),
    ] {
        row.props.insert(key.to_owned(), value.to_owned());
    }
    row.props.extend(net_com());
    draft.put_controller(row);
}

/// Settings of LINSTOR's former network services, which every cluster has. This controller has none of the services: they
/// are off.
fn net_com() -> impl Iterator<Item = (String, String)> {
    let plain = ["BindAddress", "Enabled", "Port", "Type"];
    let ssl = [
        "KeyPasswd",
        "KeyStore",
        "KeyStorePasswd",
        "SslProtocol",
        "TrustStore",
        "TrustStorePasswd",
    ];
    let connectors = [
        ("PlainConnector", "defaultPlainConSvc", false),
        ("SslConnector", "defaultSslConSvc", true),
        ("DebugSslConnector", "defaultDebugSslConnector", true),
    ];
    connectors
        .into_iter()
        .flat_map(move |(connector, default, secure)| {
            let keys = plain
                .into_iter()
                .chain(ssl.into_iter().filter(move |_| secure));
            let settings = keys.map(move |key| {
                let value = if key == "Enabled" { prop::FALSE } else { "" };
                (format!("NetCom/{connector}/{key}"), value.to_owned())
            });
            settings.chain([(default.to_owned(), connector.to_owned())])
        })
}
