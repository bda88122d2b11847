//! Tables of what LINSTOR's client does not have, for the same answers as the others.

use expect_test::expect;

use super::tables::check;

/// Leftovers are shown first, and removed with --yes.
#[test]
fn leftovers() {
    check(
        "n forget node1",
        expect![[r#"
        ╭────────────────────────────────────────────────────────────────────────────────────────────────────────────────╮
        ┊ Id                        ┊ Device            ┊  Size ┊ Minors    ┊ Ports ┊ Removable                          ┊
        ╞════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
        ┊ drbd/old/c/r              ┊                   ┊       ┊ 1000,1001 ┊ 7000  ┊ yes                                ┊
        ┊ drbd/stranger             ┊                   ┊       ┊ 5         ┊       ┊ no mark on its disks               ┊
        ┊ volume/thin/old_00000/c/r ┊ /dev/vg/old_00000 ┊ 1 GiB ┊           ┊       ┊ yes                                ┊
        ┊ volume/thin/x_00000/d/s   ┊ /dev/vg/x_00000   ┊ 1 MiB ┊           ┊       ┊ with --id: another cluster made it ┊
        ╰────────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
    "#]],
    );
    check(
        "n forget --yes --id drbd/old/c/r node1",
        expect![[r#"
        ╭──────────────────────────────────────────────────────────────╮
        ┊ Id           ┊ Device ┊ Size ┊ Minors    ┊ Ports ┊ Removable ┊
        ╞══════════════════════════════════════════════════════════════╡
        ┊ drbd/old/c/r ┊        ┊      ┊ 1000,1001 ┊ 7000  ┊ yes       ┊
        ╰──────────────────────────────────────────────────────────────╯
        INFO:
            Resource 'old' in DRBD removed.
    "#]],
    );
    check(
        "n forget --id drbd/nosuch node1",
        expect![[r#"
        failure 2: Node 'node1' has no leftover 'drbd/nosuch'.
    "#]],
    );
}

/// Who votes, and why not.
#[test]
fn quorum() {
    check(
        "rd quorum res1",
        expect![[r#"
        ╭────────────────────────────────────────────────────────────────╮
        ┊ Node  ┊ Kind        ┊ Vote ┊ State       ┊ Reason              ┊
        ╞════════════════════════════════════════════════════════════════╡
        ┊ node1 ┊ DISKFUL     ┊ disk ┊ Online      ┊                     ┊
        ┊ node2 ┊ DISKFUL     ┊ disk ┊ OFFLINE     ┊                     ┊
        ┊ node3 ┊ TIE_BREAKER ┊ tie  ┊ quorum lost ┊                     ┊
        ┊ node4 ┊ DRBD_CLIENT ┊ none ┊ Online      ┊ it is a DRBD client ┊
        ╰────────────────────────────────────────────────────────────────╯
        Quorum: majority (linstor sets it: there are enough resources for a majority; disks needed: 1, nodes that may fail: 1)
        Tie breaker: there is one: 2 diskful resources can be two halves
    "#]],
    );
}
