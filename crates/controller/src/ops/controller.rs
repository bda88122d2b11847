//! The controller itself: its properties and its version.

use linstor_api::controller::{ControllerVersion, REST_API_VERSION};
use linstor_api::kind::ConnectionStatus;
use linstor_api::properties::{Overrides, Properties, PropertiesModify};
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::{Controller, Epoch};

use super::property;
use super::request::{Context, Wait};
use crate::cluster::Cluster;
use crate::https;
use crate::transaction::{Refusal, Transaction};

/// What this program is.
pub fn version() -> ControllerVersion {
    ControllerVersion {
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        git_hash: Some(
            option_env!("LINSTOR_GIT_HASH")
                .unwrap_or("unknown")
                .to_owned(),
        ),
        build_time: Some(
            option_env!("LINSTOR_BUILD_TIME")
                .unwrap_or("1970-01-01T00:00:00+00:00")
                .to_owned(),
        ),
        rest_api_version: Some(REST_API_VERSION.to_owned()),
    }
}

/// What of the controller does not work, a line for each thing; empty when all does.
pub fn health(cluster: &Cluster) -> String {
    let model = cluster.model();
    let mut text = String::new();
    if let Some(reason) = &*cluster.shared.unwritable.borrow() {
        text.push_str(&format!("read-only: {reason}\n"));
    }
    for row in model.held.rows() {
        text.push_str(&format!("held: {row}\n"));
    }
    text
}

/// All properties.
pub fn properties(cluster: &Cluster) -> Properties {
    cluster.model().controller.props.clone()
}

fn context(mask: i64) -> Context {
    Context::new(code::MASK_CTRL_CONF | mask, "Controller")
}

/// Changes properties.
pub async fn modify(cluster: &Cluster, change: PropertiesModify) -> Vec<Reply> {
    let before = auto_https(cluster);
    let again = change.override_props.contains_key(https::AUTO);
    let plan = context(code::MASK_MOD).change(
        cluster,
        || Ok(change),
        |tx, change| {
            let for_satellites = apply(tx, &change)?;
            let online = tx.nodes.keys().filter(|node| tx.observed.is_online(node));
            Ok(match for_satellites {
                true => Wait::Nodes(
                    online.cloned().collect(),
                    Reply::new(code::MASK_INFO, "Controller properties applied"),
                ),
                false => Wait::Nothing,
            })
        },
    );
    let mut replies = plan.await;
    if again || before != auto_https(cluster) {
        replies.extend(follow_auto_https(cluster).await);
    }
    replies
}

/// Whether HTTPS is wanted with a certificate that the controller makes.
fn auto_https(cluster: &Cluster) -> bool {
    let model = cluster.model();
    let value = model.controller.props.get(https::AUTO);
    value.is_some_and(|value| prop::is_true(value))
}

/// Has HTTPS begin or end; the warning if it is wanted and does not begin.
async fn follow_auto_https(cluster: &Cluster) -> Option<Reply> {
    let followed = cluster.shared.https.follow().await;
    let reason = followed.err().filter(|_| auto_https(cluster))?;
    let message = format!("The property '{}' has no effect now.", https::AUTO);
    let reply = Reply::new(code::MASK_WARN, message)
        .cause(format!("HTTPS is not served: {reason}."))
        .correction("Remove the cause, and set the property again or restart the controller.");
    Some(reply)
}

/// Changes properties in a plan. Returns whether satellites hear of it.
fn apply(tx: &mut Transaction<'_>, change: &PropertiesModify) -> Result<bool, Refusal> {
    let mut row = Controller::clone(&tx.controller);
    let (replies, for_satellites) = property::apply_to_controller(&mut row.props, change)?;
    tx.replies(replies);
    tx.put_controller(row);
    Ok(for_satellites)
}

/// Makes satellites obey this controller that obey a newer one, after its database was restored from an older copy.
///
/// Only a person knows that no other controller of the cluster runs; nothing else raises the epoch that far.
pub async fn take_over(cluster: &Cluster) -> Vec<Reply> {
    let work = async {
        let start = cluster.env().uuid();
        let committed = cluster.commit(move |tx| {
            let Some(newer) = tx.epoch.newer else {
                return Ok(None);
            };
            let number = newer + 1;
            tx.put_epoch(Epoch {
                number,
                start,
                newer: None,
            });
            Ok(Some(number))
        });
        let Some(number) = committed.await?.value else {
            let message = "No satellite obeys a newer controller, nothing was changed.";
            return Ok(vec![Reply::new(code::MODIFIED, message)]);
        };
        for (node, status) in &cluster.observed().nodes {
            if status.connection == ConnectionStatus::OtherController {
                cluster.reconnect(node);
            }
        }
        tracing::warn!(
            epoch = number,
            "this controller takes the cluster over, as asked"
        );
        Ok(vec![Reply::new(
            code::MODIFIED,
            format!("This controller has epoch {number} now and connects to the satellites again."),
        )])
    };
    context(code::MASK_MOD).run(work).await
}

/// Removes one property. Satellites hear of it afterwards.
pub async fn delete_property(cluster: &Cluster, key: String) -> Vec<Reply> {
    let before = auto_https(cluster);
    let parse = || Ok(property::change(Overrides::new(), vec![key], vec![]));
    let plan = context(code::MASK_DEL).change(cluster, parse, |tx, change| {
        apply(tx, &change)?;
        Ok(Wait::Nothing)
    });
    let replies = plan.await;
    if before && !auto_https(cluster) {
        // Nothing is wanted that could be missing.
        follow_auto_https(cluster).await;
    }
    replies
}
