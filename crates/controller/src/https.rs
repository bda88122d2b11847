//! HTTPS: with the certificate of the settings; without one, where the property `REST/AutoHTTPS` is true, with one that the
//! controller makes.
//!
//! [`Https`] is what requests know of it: on which port it is served, and how to have it begin or end. [`open`] reads the
//! certificate and listens before anything else is begun, [`Server`] serves.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use linstor_api::prop;
use linstor_tls::{Authorities, Identity, Problem, TlsError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::cluster::Cluster;
use crate::config::{self, Config, Database, Listen};
use crate::rest::{self, Limits};

/// The controller's property that has HTTPS served with a certificate that the controller makes.
pub(crate) const AUTO: &str = "REST/AutoHTTPS";
/// The file of that certificate and its key, beside the database.
const FILE_NAME: &str = "https.pem";
/// How long it may take until HTTPS is served.
const START_MAX: Duration = Duration::from_secs(10);
/// What HTTPS speaks.
const ALPN: &[u8] = b"http/1.1";

/// HTTPS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// A file cannot be used.
    #[error("HTTPS cannot be served: {0}")]
    File(#[from] TlsError),
    /// The certificate is not taken.
    #[error("HTTPS cannot be served with the certificate: {0}")]
    Certificate(String),
    /// The settings do not want it.
    #[error("it is turned off in section [https] of linstor.toml")]
    Off,
    /// The certificate that the controller made cannot be stored.
    #[error("the certificate of HTTPS cannot be written to {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address is taken, or not there.
    #[error(transparent)]
    Listen(#[from] linstor_net::NetError),
}

/// What is asked of who serves.
struct Order {
    /// Serve, whatever the property says: it is about to be set.
    regardless: bool,
    done: oneshot::Sender<Result<(), String>>,
}

/// Whether HTTPS is served, and how to have it begin or end.
pub(crate) struct Https {
    port: watch::Sender<Option<u16>>,
    orders: mpsc::Sender<Order>,
    waiting: Mutex<Option<mpsc::Receiver<Order>>>,
}

impl Default for Https {
    fn default() -> Self {
        let (orders, waiting) = mpsc::channel(16);
        Https {
            port: watch::Sender::new(None),
            orders,
            waiting: Mutex::new(Some(waiting)),
        }
    }
}

impl Https {
    /// The port on which it is served now.
    pub(crate) fn port(&self) -> Option<u16> {
        *self.port.borrow()
    }

    pub(crate) fn serves(&self, port: Option<u16>) {
        self.port.send_replace(port);
    }

    /// Has it served now, for who is about to set the property.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub(crate) async fn ensure(&self) -> Result<(), String> {
        match self.port() {
            Some(_) => Ok(()),
            None => self.order(true).await,
        }
    }

    /// Has it served or not, as the property says.
    ///
    /// # Errors
    ///
    /// Why it is not served.
    pub(crate) async fn follow(&self) -> Result<(), String> {
        self.order(false).await
    }

    async fn order(&self, regardless: bool) -> Result<(), String> {
        let absent = || "this controller serves HTTP only".to_owned();
        if self.lock().is_some() {
            // Nobody has taken the orders: there is no server.
            return Err(absent());
        }
        let (done, answer) = oneshot::channel();
        let order = async {
            let sent = self.orders.send(Order { regardless, done }).await;
            sent.map_err(|_| absent())?;
            answer.await.map_err(|_| absent())?
        };
        let late = || format!("it is not served after {} s", START_MAX.as_secs());
        let ordered = tokio::time::timeout(START_MAX, order).await;
        ordered.unwrap_or_else(|_| Err(late()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Receiver<Order>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener with its certificate.
pub struct Open {
    listener: TcpListener,
    tls: TlsAcceptor,
}

/// Reads the certificate of the settings and listens; nothing where they have none.
///
/// # Errors
///
/// What keeps HTTPS from being served. The controller must not start then: what it would be sent over HTTP instead is not meant to
/// be seen.
pub fn open(config: &Config) -> Result<Option<Open>, HttpsError> {
    let Some(https) = &config.https else {
        return Ok(None);
    };
    let Some(certificate) = &https.certificate else {
        return Ok(None);
    };
    let identity = certificate.read()?;
    let clients = https.clients.as_ref().map(config::KeyStore::read);
    open_with(&identity, clients.transpose()?, https.listen).map(Some)
}

fn open_with(
    identity: &Identity,
    clients: Option<Authorities>,
    listen: Listen,
) -> Result<Open, HttpsError> {
    let mut tls = linstor_tls::server(identity, clients).map_err(HttpsError::Certificate)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Open {
        listener: listen.open()?,
        tls: TlsAcceptor::from(Arc::new(tls)),
    })
}

/// Opens HTTPS with a certificate that the controller makes, or has made.
fn open_auto(https: &config::Https, file: Option<&Path>) -> Result<Open, HttpsError> {
    let identity = match file {
        Some(file) => kept(file, https.listen)?,
        None => Identity::of_text(&made(https.listen)?, Path::new(FILE_NAME))?,
    };
    open_with(&identity, None, https.listen)
}

/// The certificate in a file; a new one where there is none, or where it has expired.
fn kept(file: &Path, listen: Listen) -> Result<Identity, HttpsError> {
    match Identity::of_pem(file, file) {
        Err(TlsError {
            problem: Problem::Unreadable(error),
            ..
        }) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(
            expired @ TlsError {
                problem: Problem::Expired { .. },
                ..
            },
        ) => tracing::warn!("HTTPS gets a new certificate: {expired}"),
        found => return Ok(found?),
    }
    let pem = made(listen)?;
    write(file, &pem).map_err(|source| HttpsError::Write {
        path: file.to_owned(),
        source,
    })?;
    tracing::info!(
        file = %file.display(),
        "a certificate was made for HTTPS; clients that check certificates have to be given it"
    );
    Ok(Identity::of_pem(file, file)?)
}

/// A new certificate for the names that this machine is called by, with its key.
fn made(listen: Listen) -> Result<String, HttpsError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.map(|name| name.trim().to_owned());
    let host = host.filter(|name| !name.is_empty());
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    names.extend(host.clone());
    names.extend(listen.address.map(|address| address.to_string()));
    names.sort();
    names.dedup();
    let common_name = host.as_deref().unwrap_or("linstor-controller");
    linstor_tls::self_signed(common_name, names).map_err(HttpsError::Certificate)
}

/// Writes a file that only its owner reads; it is there whole or not at all.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut writing = options.open(&new)?;
    writing.write_all(text.as_bytes())?;
    writing.sync_all()?;
    std::fs::rename(&new, file)
}

/// A server that runs.
struct Running {
    server: JoinHandle<()>,
    end: watch::Sender<bool>,
}

/// Serves HTTPS as the settings and the property say it.
pub(crate) struct Server {
    cluster: Cluster,
    router: Router,
    limits: Limits,
    settings: Option<config::Https>,
    /// Where the certificate is that the controller makes; none where nothing is stored.
    file: Option<PathBuf>,
    running: Option<Running>,
    orders: mpsc::Receiver<Order>,
}

impl Server {
    /// Serves what is open already; else as the property says.
    ///
    /// # Errors
    ///
    /// What keeps HTTPS from being served although the property asks for it.
    pub(crate) fn start(
        cluster: &Cluster,
        config: &Config,
        open: Option<Open>,
        router: Router,
    ) -> Result<Server, HttpsError> {
        let orders = cluster.shared.https.lock().take();
        let mut server = Server {
            cluster: cluster.clone(),
            router,
            limits: config.limits.clone(),
            settings: config.https.clone(),
            file: match &config.database {
                Database::File(path) => Some(path.with_file_name(FILE_NAME)),
                Database::Memory => None,
            },
            running: None,
            // It is taken once; without it there is nothing to obey.
            orders: orders.unwrap_or_else(|| mpsc::channel(1).1),
        };
        match open {
            Some(open) => server.begin(open),
            None => match server.obey(false) {
                Err(HttpsError::Off) => {
                    tracing::warn!(
                        "the property {AUTO} has no effect: HTTPS is turned off in section [https] of linstor.toml"
                    );
                }
                obeyed => obeyed?,
            },
        }
        Ok(server)
    }

    /// Serves until the end, and returns when all requests are answered.
    pub(crate) async fn run(mut self, mut ended: watch::Receiver<bool>) {
        loop {
            let order = tokio::select! {
                biased;
                // Cancel-safe: it is true from then on. An error means that the sender was dropped, which is an end too.
                _ = ended.wait_for(|ended| *ended) => break,
                // Cancel-safe: an order that is not taken stays.
                order = self.orders.recv() => order,
            };
            let Some(Order { regardless, done }) = order else {
                break;
            };
            let obeyed = self.obey(regardless).map_err(|error| error.to_string());
            if let Err(error) = &obeyed {
                tracing::error!("{error}");
            }
            // Who has asked may not be waiting any more.
            let _ = done.send(obeyed);
        }
        // Until the end of all.
        let _ = ended.wait_for(|ended| *ended).await;
        if let Some(running) = self.running.take() {
            running.end.send_replace(true);
            // A server that panicked has nothing left to answer.
            let _ = running.server.await;
        }
    }

    /// Begins or ends what is served with the controller's own certificate.
    fn obey(&mut self, regardless: bool) -> Result<(), HttpsError> {
        let model = self.cluster.model();
        let property = model.controller.props.get(AUTO);
        let wanted = regardless || property.is_some_and(|value| prop::is_true(value));
        let Some(settings) = self.settings.clone() else {
            return match wanted {
                true => Err(HttpsError::Off),
                false => Ok(()),
            };
        };
        if settings.certificate.is_some() {
            return Ok(());
        }
        match (&self.running, wanted) {
            (None, true) => {
                let open = open_auto(&settings, self.file.as_deref())?;
                self.begin(open);
            }
            (Some(running), false) => {
                tracing::info!("HTTPS ends: the property {AUTO} is not true any more");
                // Requests that are under way are answered, the one that asks for this among them.
                running.end.send_replace(true);
                self.running = None;
                self.cluster.shared.https.serves(None);
            }
            (None, false) | (Some(_), true) => {}
        }
        Ok(())
    }

    fn begin(&mut self, open: Open) {
        let port = open.listener.local_addr().map(|address| address.port());
        let (router, limits) = (self.router.clone(), self.limits.clone());
        let (end, mut ended) = watch::channel(false);
        let server = tokio::spawn(async move {
            let ended = async {
                let _ = ended.wait_for(|ended| *ended).await;
            };
            rest::serve(open.listener, Some(open.tls), router, &limits, ended).await;
        });
        let settings = self.settings.as_ref().map(|settings| settings.listen.port);
        let port = port.ok().or(settings);
        tracing::info!(port, "HTTPS is served; requests over HTTP are sent there");
        self.cluster.shared.https.serves(port);
        self.running = Some(Running { server, end });
    }
}
