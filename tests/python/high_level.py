"""The high-level demo of LINSTOR's Python library, against a cluster that is already set up.

Creates a replicated volume, places it twice, grows it, makes it available on every node and takes that back, and
deletes it; after each step it asserts what the library and the nodes' devices show. Sizes are scaled down.

    high_level.py URI NODE...   e.g.  high_level.py linstor://node1 node1 node2

Exit code 0 when everything held; an assertion names what did not.
"""

import sys

import linstor

MIB = 2**20


def main(uri, nodes):
    foo = linstor.Resource("foo", uri=uri)
    foo.volumes[0] = linstor.Volume("100 MB")
    assert foo.volumes[0].size == 100 * 1000 * 1000, foo.volumes[0].size
    foo.placement.redundancy = 2
    assert foo.autoplace() is True
    replicas = sorted(foo.diskful_nodes())
    assert len(replicas) == 2, replicas
    before = foo.volumes[0].size
    foo.volumes[0].size += 100 * MIB
    again = linstor.Resource("foo", uri=uri)
    assert again.volumes[0].size >= before + 100 * MIB, (before, again.volumes[0].size)

    # Placing again is no error and changes nothing.
    assert foo.autoplace() is True
    assert sorted(foo.diskful_nodes()) == replicas

    for node in nodes:
        if not foo.is_assigned(node) and "--no-diskless" in sys.argv:
            continue
        assert foo.activate(node) is True
        assert foo.volumes[0].device_path.startswith("/dev/drbd"), foo.volumes[0].device_path
    for node in nodes:
        if foo.is_assigned(node):
            assert foo.deactivate(node) is True
    assert sorted(foo.diskful_nodes()) == replicas, "deactivating never costs a replica"

    assert foo.delete() is True
    with linstor.MultiLinstor(uri.split(",")) as lin:
        left = [d.name for d in lin.resource_dfn_list_raise().resource_definitions]
    assert "foo" not in left, left
    print("1 passed, 0 failed")


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    main(words[0], words[1:])
