//! A satellite as one object: what `main` and the simulation start.

use std::path::Path;
use std::sync::Arc;

use linstor_host::Host;
use linstor_wire::spec::{NodeSpec, ResourceSpec, Spec};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::drbd::resfile;
use crate::drbd::watch;
use crate::failure::Result;
use crate::link::{self, LinkError};
use crate::options::Options;
use crate::shared::{Shared, Tracked};
use crate::suspension::Suspended;
use crate::{copying, facts, probe, reconcile, shipment, space, suspension};

/// The file that makes drbd-utils see our files, for people who type `drbdadm`.
const INCLUDE_FILE: &str = "linstor-resources.res";

/// A satellite.
#[derive(Clone)]
pub struct Satellite {
    shared: Arc<Shared>,
}

impl Satellite {
    /// A satellite on a machine. It does nothing until it runs.
    pub fn new(host: Arc<dyn Host>, options: Options) -> Self {
        Satellite {
            shared: Arc::new(Shared::new(host, options)),
        }
    }

    /// Reads the specs on disk, brings their objects up, and keeps them up. Returns only if it cannot begin.
    ///
    /// Dropping the future is a crash: nothing is cleaned up, and the next start continues from there.
    pub async fn run(&self) -> Result<()> {
        let shared = &self.shared;
        let suspended = self.load().await?;
        facts::refresh(shared).await;
        self.prepare_directories().await?;
        shared.mark_all_due();
        tokio::select! {
            biased;
            // None of these ends by itself. In order, so that a simulation takes the same course each time.
            () = suspension::run(Arc::clone(shared), suspended) => {}
            () = reconcile::run(Arc::clone(shared)) => {}
            () = watch::run(Arc::clone(shared)) => {}
            () = watch::run_progress(Arc::clone(shared)) => {}
            () = watch::run_sizes(Arc::clone(shared)) => {}
            () = space::run(Arc::clone(shared)) => {}
            () = facts::run(Arc::clone(shared)) => {}
            () = shipment::run(Arc::clone(shared)) => {}
            () = copying::run(Arc::clone(shared)) => {}
        }
        Ok(())
    }

    /// Serves one connection of a controller until it ends.
    pub async fn serve_connection<S>(&self, stream: S) -> std::result::Result<(), LinkError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        link::serve(Arc::clone(&self.shared), stream).await
    }

    async fn load(&self) -> Result<Suspended> {
        let shared = &self.shared;
        let mut loaded = shared.store.load(shared.machine.host()).await?;
        for record in loaded.objects.values_mut() {
            if let Spec::Resource(spec) = &mut record.spec {
                self.find_secret(Arc::make_mut(spec)).await;
            }
        }
        tracing::info!(objects = loaded.objects.len(), "specs on disk read");
        let mut state = shared.state();
        // A controller that connects while the first probe hangs gets this much.
        state.info = probe::basics(&shared.machine);
        state.info.uname = shared.uname();
        let cluster = loaded.identity.as_ref().map(|identity| identity.cluster_id);
        state.identity = loaded.identity;
        for (key, record) in loaded.objects {
            // The satellite joined another cluster and has not got its spec there yet.
            let is_foreign = |node: &NodeSpec| Some(node.cluster_id) != cluster;
            if !matches!(&record.spec, Spec::Node(node) if is_foreign(node)) {
                state.objects.insert(key, Tracked::new(record, true));
            }
        }
        if let Some(node) = state.node() {
            shared.machine.set_limits(&node.props);
            shared.machine.turns.set_pools(&node.pools);
        }
        state.loaded = true;
        drop(state);
        shared.changed.send_modify(|()| {});
        Ok(loaded.suspended)
    }

    /// The `.res` file is the one place on this node that has a resource's secret.
    async fn find_secret(&self, spec: &mut ResourceSpec) {
        let file = self
            .shared
            .options
            .res_directory
            .join(format!("{}.res", spec.name));
        let Some(drbd) = spec.drbd_mut().filter(|drbd| drbd.secret.is_empty()) else {
            return;
        };
        if let Ok(text) = self.shared.machine.host().read(&file).await {
            let found = resfile::secret(&String::from_utf8_lossy(&text));
            drbd.secret = found.unwrap_or_default();
        }
    }

    async fn prepare_directories(&self) -> Result<()> {
        let options = &self.shared.options;
        let host = self.shared.machine.host();
        host.create_dir_all(&options.res_directory.join(".backup"))
            .await?;
        // Without drbd-utils no program reads an include.
        if host.list_dir(&options.drbd_directory).await.is_err() {
            return Ok(());
        }
        let file = options.drbd_directory.join(INCLUDE_FILE);
        let text = include(&options.res_directory);
        let is_there = host
            .read(&file)
            .await
            .is_ok_and(|found| found == text.as_bytes());
        if !is_there {
            host.write_atomic(&file, text.as_bytes(), 0o644).await?;
        }
        Ok(())
    }
}

fn include(directory: &Path) -> String {
    format!("include \"{}/*.res\";\n", directory.display())
}
