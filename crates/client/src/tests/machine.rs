//! Machine-readable output for given answers.

use expect_test::{Expect, expect};

use super::output;
use super::tables::ANSWERS;
use crate::action::OutputVersion::{self, V0, V1};

fn machine(line: &str, version: OutputVersion, expected: Expect) {
    expected.assert_eq(&output(line, Some(version), ANSWERS));
}

#[test]
fn lists_are_the_controllers_answers() {
    machine(
        "vg l rg1",
        V1,
        expect![[r#"
        [
          [
            {
              "volume_number": 0
            },
            {
              "volume_number": 1,
              "flags": [
                "GROSS_SIZE"
              ],
              "props": {
                "k": "v"
              }
            }
          ]
        ]
    "#]],
    );
    machine(
        "vg l nope",
        V1,
        expect![[r#"
        [
          {
            "ret_code": -4611686018427387604,
            "message": "not found"
          }
        ]
    "#]],
    );
    machine(
        "c v",
        V1,
        expect![[r#"
        {
          "version": "1.0",
          "git_hash": "abc",
          "rest_api_version": "1.28.0"
        }
    "#]],
    );
    machine(
        "c lp",
        V1,
        expect![[r#"
        [
          [
            {
              "key": "a",
              "value": "1"
            },
            {
              "key": "b",
              "value": "2"
            }
          ]
        ]
    "#]],
    );
}

#[test]
fn replies_are_one_list() {
    machine(
        "n d node9",
        V1,
        expect![[r#"
        [
          {
            "ret_code": -4611686018427386907,
            "message": "In use",
            "correction": "Stop it"
          }
        ]
    "#]],
    );
    machine(
        "n d node9",
        V0,
        expect![[r#"
        [
          {
            "correction": "Stop it",
            "message": "In use",
            "ret_code": -4611686018427386907
          }
        ]
    "#]],
    );
}

#[test]
fn old_scripts_get_storage_pools() {
    machine(
        "sp l",
        V0,
        expect![[r#"
        [
          {
            "stor_pools": [
              {
                "driver": "LvmThinDriver",
                "free_space": {
                  "free_capacity": 1048577,
                  "stor_pool_name": "thin",
                  "total_capacity": 2097152
                },
                "free_space_mgr_name": "node2;thin",
                "node_name": "node2",
                "props": [
                  {
                    "key": "StorDriver/StorPoolName",
                    "value": "vg/thin"
                  }
                ],
                "static_traits": [
                  {
                    "key": "SupportsSnapshots",
                    "value": "true"
                  }
                ],
                "stor_pool_name": "thin",
                "stor_pool_uuid": null
              },
              {
                "driver": "DisklessDriver",
                "free_space": {
                  "free_capacity": 9223372036854775807,
                  "stor_pool_name": "DfltDisklessStorPool",
                  "total_capacity": 9223372036854775807
                },
                "free_space_mgr_name": "node2;DfltDisklessStorPool",
                "node_name": "node2",
                "static_traits": [],
                "stor_pool_name": "DfltDisklessStorPool",
                "stor_pool_uuid": null
              },
              {
                "driver": "LvmThinDriver",
                "free_space_mgr_name": "node1;thin",
                "node_name": "node1",
                "static_traits": [],
                "stor_pool_name": "thin",
                "stor_pool_uuid": null
              }
            ]
          }
        ]
    "#]],
    );
}

#[test]
fn old_scripts_get_definitions() {
    machine(
        "vd l",
        V0,
        expect![[r#"
        [
          {
            "rsc_dfns": [
              {
                "rsc_dfn_port": 7000,
                "rsc_dfn_secret": null,
                "rsc_dfn_uuid": null,
                "rsc_name": "res1",
                "vlm_dfns": [
                  {
                    "vlm_dfn_uuid": null,
                    "vlm_minor": 1000,
                    "vlm_nr": 0,
                    "vlm_props": [
                      {
                        "key": "DrbdCurrentGi",
                        "value": "A"
                      }
                    ],
                    "vlm_size": 1048576
                  },
                  {
                    "vlm_dfn_uuid": null,
                    "vlm_flags": [
                      "GROSS_SIZE",
                      "RESIZE"
                    ],
                    "vlm_nr": 1,
                    "vlm_size": 1500
                  }
                ]
              },
              {
                "rsc_dfn_flags": [
                  "DELETE"
                ],
                "rsc_dfn_uuid": null,
                "rsc_name": "res2",
                "vlm_dfns": []
              },
              {
                "rsc_dfn_flags": [
                  "CLONING"
                ],
                "rsc_dfn_uuid": null,
                "rsc_name": "res3",
                "vlm_dfns": []
              }
            ]
          }
        ]
    "#]],
    );
    machine(
        "spd l",
        V0,
        expect![[r#"
        [
          {
            "stor_pool_dfns": [
              {
                "props": [
                  {
                    "key": "MaxOversubscriptionRatio",
                    "value": "3"
                  }
                ],
                "stor_pool_name": "thin"
              },
              {
                "stor_pool_name": "lvm"
              }
            ]
          }
        ]
    "#]],
    );
}
