//! Shipping snapshots to other clusters.
//!
//! In reading order: [`conversation`] is what the controllers say to each other, [`call`] says it; [`source`] begins a shipment and
//! is told where it is received and how it ended, [`destination`] accepts one. What has to be said while it goes on is said by
//! [`crate::tasks::shipping`].

pub mod call;
pub mod conversation;
pub mod destination;
pub mod source;

pub use source::ship;

use std::path::Path;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::remote::Target;
use linstor_model::{Model, Remote};
use linstor_tls::{Authorities, Identity};
use linstor_wire::Secret;
use uuid::Uuid;

use crate::transaction::Refusal;

/// What the certificates are called in errors.
const CERTIFICATE: &str = "the certificate of the shipment";
/// How a certificate ends in PEM.
const CERTIFICATE_END: &str = "-----END CERTIFICATE-----";
/// The longest certificate that is accepted of another cluster, in bytes.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// A certificate with its key that is made for one shipment.
fn new_identity(shipment: Uuid) -> Result<Secret, Refusal> {
    let made = linstor_tls::self_signed(&format!("linstor shipment {shipment}"), Vec::new());
    let made = made.and_then(|pem| {
        let checked = Identity::of_text(&pem, Path::new(CERTIFICATE));
        checked.map(|_| pem).map_err(|error| error.to_string())
    });
    made.map(Secret::new).map_err(|why| {
        Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            "No certificate for the shipment can be made.",
        )
        .cause(why)
        .correction("Check the clock of the controller's machine.")
        .into()
    })
}

/// The certificate of an identity, without its key.
pub fn certificate(identity: &Secret) -> String {
    let pem = identity.reveal();
    let end = pem.find(CERTIFICATE_END);
    end.map_or_else(String::new, |end| {
        format!("{}\n", &pem[..end + CERTIFICATE_END.len()])
    })
}

/// Refuses a certificate of another cluster that cannot be used.
fn check_certificate(given: &str) -> Result<(), Refusal> {
    let checked = match given.len() <= CERTIFICATE_BYTES_MAX {
        true => Authorities::of_text(given, Path::new(CERTIFICATE))
            .map(drop)
            .map_err(|error| error.to_string()),
        false => Err("It is too long.".to_owned()),
    };
    checked.map_err(|why| {
        Reply::new(
            code::FAIL_INVLD_BACKUP_CONFIG,
            "The certificate of the other cluster's node cannot be used.",
        )
        .cause(why)
        .correction("Check the clocks of both controllers' machines.")
        .into()
    })
}

/// The remote that is a cluster.
fn remote_of(model: &Model, cluster: &str) -> Result<Remote, Refusal> {
    let id = cluster.parse::<Uuid>().ok();
    let found = model.remotes.values().find(|remote| match &remote.target {
        Target::Linstor(linstor) => linstor.cluster_id.is_some() && linstor.cluster_id == id,
        Target::S3(_) | Target::Ebs(_) => false,
    });
    found.map(|row| Remote::clone(row)).ok_or_else(|| {
        let shown = cluster.escape_debug();
        let message = format!("The cluster '{shown}' is not known here.");
        Reply::new(code::FAIL_BACKUP_UNKNOWN_CLUSTER | code::MASK_BACKUP, message)
            .cause("No linstor remote has it as its cluster id.")
            .correction(
                "Create a linstor remote with its URL and '--cluster-id', which is its property 'Cluster/LocalID'.",
            )
            .into()
    })
}

/// Why nothing is shipped from or to a cluster of LINSTOR, or one of another version of what nodes say.
pub fn not_alike(who: &str) -> Reply {
    let message = format!("{who} cannot ship with this one.");
    Reply::new(code::FAIL_BACKUP_INCOMPATIBLE_VERSION | code::MASK_BACKUP, message)
        .cause(
            "It is a cluster of LINSTOR, whose nodes ship plain streams with socat, or of another version of this program. Only nodes of the same \
             version of shipments ship to each other, encrypted.",
        )
        .correction("Use an S3 remote between the two, or bring both clusters to the same version.")
}
