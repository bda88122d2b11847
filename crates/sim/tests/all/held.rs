//! A row of every kind is damaged while no controller runs.

use linstor_fake_host::DrbdKind;
use linstor_model::model::RowKind;
use linstor_sim::cluster::Shape;
use linstor_sim::held::{DAMAGES, damaged};

/// No changing command runs, changes of held objects are refused with a reason, their numbers remain in use, and all
/// invariants hold once the row is repaired.
#[test]
fn damaged_rows_change_nothing() {
    let mut wrong = Vec::new();
    for drbd in [Some(DrbdKind::V9), None] {
        let shape = Shape {
            drbd,
            nodes: 3,
            thin: true,
        };
        for kind in RowKind::ALL.iter().copied() {
            for damage in DAMAGES {
                let report = damaged(shape, kind, damage);
                let about = format!("{drbd:?} {kind:?} {damage:?}");
                wrong.extend(
                    report
                        .failures
                        .iter()
                        .map(|failure| format!("{about}: {failure}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
