//! Controllers and satellites of two versions.

use linstor_fake_host::DrbdKind;
use linstor_sim::cluster::Shape;
use linstor_sim::newer::{Newer, mixed};

/// This and the next version of the controller, with this and the next version of satellites: everything works but what
/// the older one does not know, which fails by itself with the reason, until both are of one version.
#[test]
fn two_versions_of_each_work_together() {
    let mut wrong = Vec::new();
    for drbd in [Some(DrbdKind::V9), Some(DrbdKind::V84), None] {
        for (controller, satellites) in [(false, false), (true, false), (false, true), (true, true)]
        {
            let newer = Newer {
                controller,
                satellites,
            };
            let shape = Shape {
                drbd,
                nodes: 3,
                thin: true,
            };
            let failures = mixed(shape, newer).failures;
            wrong.extend(
                failures
                    .iter()
                    .map(|failure| format!("{drbd:?} {newer:?}: {failure}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
