//! What follows from the epochs that satellites obey (see [`linstor_model::Epoch`]).

use linstor_model::Epoch;
use linstor_model::epoch::EPOCH_MAX;
use linstor_model::name::NodeName;
use linstor_wire::message::NewerController;

use crate::cluster::{Cluster, Superseded};

impl Cluster {
    /// A satellite refuses this controller because it obeys a newer one. `obeyed` is the epoch that the satellite had
    /// obeyed on its last connection to this controller.
    pub(crate) async fn refused(
        &self,
        node: &NodeName,
        newer: NewerController,
        obeyed: Option<u64>,
    ) {
        if newer.epoch > EPOCH_MAX {
            tracing::error!(%node, epoch = newer.epoch, "a satellite obeys an epoch that no controller can have");
            return;
        }
        let (present, obeys) = (self.model().epoch.number, newer.epoch);
        if obeys < present {
            // This controller has taken over meanwhile.
            return;
        }
        let superseded = newer.connected || obeyed == Some(present);
        let stored = self.commit(move |draft| {
            if obeys >= draft.epoch.number && draft.epoch.newer.is_none_or(|known| known < obeys) {
                let epoch = Epoch::clone(&draft.epoch);
                draft.put_epoch(Epoch {
                    newer: Some(obeys),
                    ..epoch
                });
            }
            Ok(())
        });
        // The writer has logged why not; the next refusal stores it.
        let changed = stored.await.is_ok_and(|stored| stored.changed);
        if superseded {
            tracing::error!(%node, epoch = obeys, "a newer controller has taken over the cluster, this one ends");
            self.shared.superseded.send_if_modified(|by| {
                let first = by.is_none();
                by.get_or_insert(Superseded::AtSatellites);
                first
            });
        } else if changed {
            tracing::error!(
                %node, epoch = obeys, present,
                "satellites obey a newer epoch than this database has: it is an older copy"
            );
        }
    }
}
