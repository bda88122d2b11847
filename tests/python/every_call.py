"""Every call of the Python library once, against a controller with at least two satellites.

    every_call.py http://127.0.0.1:3370 alpha=127.0.0.11:3366:/var/tmp/alpha bravo=127.0.0.12:3366:/var/tmp/bravo

Each NODE=ADDRESS:PORT:DIRECTORY is a satellite that the controller does not know yet, with a directory for a pool. The satellites
allow external files in the first of these directories. Resources are of the layer STORAGE, in files, so that no node needs DRBD. A
call passes when the library takes the answer and the answer is the expected one; a method of the library that is not called here is a
failure too.
"""

import contextlib
import inspect
import os
import subprocess
import sys
import tempfile

import linstor

# What this controller does not do yet: the call is answered by an error that says so. One that is answered otherwise is named in
# the output, and is no failure.
NOT_YET = {
    "drbd_proxy_disable", "drbd_proxy_enable",
    "node_create_ebs",
}
# Answered by an error that has nothing to do with what is missing.
REFUSED = {
    "backup_create", "backup_delete", "backup_info", "backup_list", "backup_restore",  # of a remote that is another cluster
    "backup_ship",  # no other cluster is there
    "node_lost",  # the node is online
    "physical_storage_create_device_pool",  # no node has the device
    "resource_create_and_auto_place",  # with DRBD, which no node here has
    "resource_dfn_truncate", "resource_unmake_available",  # the library wants a controller that announces API 1.29
    "drbd_proxy_modify",
    "remote_create_s3", "remote_modify_s3",  # no S3 store listens
    "resource_toggle_disk",  # the only layer that can be without a disk is DRBD
    "snapshot_rollback",
    "volume_dfn_modify_passphrase",  # the volume is not encrypted
}
# Done where the file system of the pools has reflinks, refused otherwise.
WITH_REFLINKS = {
    "snapshot_create", "snapshot_create_multi", "snapshot_dfn_modify", "snapshot_resource_restore",
    "snapshot_volume_definition_restore", "resource_dfn_clone", "resource_dfn_clone_status",
    "resource_dfn_clone_wait_complete",
}
LOCAL = {"controller_host", "api_version_smaller", "node_types", "stats", "connect", "disconnect"}


def replies(answer):
    """The replies of an answer, however the library wraps it. Rows of some lists are replies without a code to it."""
    entries = getattr(answer, "messages", None) or (answer if isinstance(answer, list) else [answer])
    entries = [entry for entry in entries if isinstance(entry, linstor.ApiCallResponse)]
    return [entry for entry in entries if "ret_code" in entry.data_v1]


def has_reflinks(directory):
    """Whether files can share their content there, which snapshots of files need."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        file.write(b"content")
        file.flush()
        copy = subprocess.run(["cp", "--reflink=always", file.name, file.name + ".copy"], stderr=subprocess.DEVNULL)
        with contextlib.suppress(FileNotFoundError):
            os.remove(file.name + ".copy")
        return copy.returncode == 0


class Calls:
    """The library, and what became of each call."""

    def __init__(self, lin, reflinks):
        self.lin = lin
        self.refused = REFUSED if reflinks else REFUSED | WITH_REFLINKS
        self.outcomes = {}

    def __getattr__(self, name):
        method = getattr(self.lin, name)

        def call(*args, **kwargs):
            try:
                answer = method(*args, **kwargs)
                errors = [reply.message for reply in replies(answer) if reply.is_error()]
            except linstor.LinstorApiCallError as error:
                answer, errors = None, [error.all_errors()[0].message]
            except Exception as error:  # whatever the library makes of an answer that it did not expect
                answer, errors = None, [f"{type(error).__name__}: {error}"]
            self.note(name, errors)
            return answer

        return call

    def note(self, name, errors):
        """A call made several times counts once, with its worst outcome."""
        missing = [text for text in errors if "not implemented" in text]
        expected = "not yet" if name in NOT_YET else "refused" if name in self.refused else "done"
        outcome = "not yet" if missing else "refused" if errors else "done"
        wrong = None if outcome == expected else f"{outcome}, not {expected}: {errors}"
        before = self.outcomes.get(name, (outcome, None))
        self.outcomes[name] = (before[0] if before[1] else outcome, before[1] or wrong)


def run(calls, nodes):
    """Makes the calls, in an order in which each finds what it needs."""
    c = calls
    first, second = list(nodes)[:2]
    c.controller_version(), c.controller_info(), c.controller_host(), c.api_version_smaller("1.0.0"), c.stats()
    c.controller_props(), c.controller_set_prop("Aux/a", "b"), c.controller_del_prop("Aux/a")
    c.controller_set_log_level("INFO"), c.node_types()
    for name, (address, port, directory) in nodes.items():
        os.makedirs(f"{directory}/pool", exist_ok=True)
        c.node_create(name, "SATELLITE", address, port=port)
        c.storage_pool_create(name, "pool", "FILE_THIN", f"{directory}/pool")
    c.node_list(), c.node_list([first]), c.node_list_raise(filter_by_props=["NodeUname"])
    c.node_modify(first, property_dict={"Aux/rack": "1"}), c.node_reconnect([first])
    c.node_set_log_level(first, linstor.LogLevelEnum.INFO)
    c.netinterface_create(first, "data", "192.0.2.7"), c.netinterface_modify(first, "data", ip="192.0.2.8")
    c.net_interface_list(first), c.netinterface_delete(first, "data")
    c.node_conn_modify(first, second, {"Aux/a": "b"}, []), c.node_conn_list(first, second)
    c.node_conn_list_raise(), c.node_conn_list_specific_pair(first, second)
    c.storage_pool_list(), c.storage_pool_list_raise([first]), c.storage_pool_modify(first, "pool", {"Aux/a": "b"})
    c.storage_pool_dfn_create("other"), c.storage_pool_dfn_list(), c.storage_pool_dfn_modify("other", {"Aux/a": "b"})
    c.storage_pool_dfn_max_vlm_sizes(1, "pool"), c.storage_pool_dfn_delete("other")
    c.physical_storage_list(), c.physical_storage_create_device_pool(first, "LVM", ["/dev/none"], "p")

    layers = ["storage"]
    c.resource_group_create("group", place_count=1, storage_pool=["pool"], layer_list=layers)
    c.resource_group_modify("group", description="text"), c.resource_group_list_raise(["group"])
    c.volume_group_create("group", property_dict={"Aux/a": "b"}), c.volume_group_list_raise("group")
    c.volume_group_modify("group", 0, {"Aux/a": "c"})
    c.resource_group_qmvs("group"), c.resource_group_query_size_info("group")
    c.resource_group_spawn("group", "spawned", ["8MiB"]), c.resource_group_adjust("group")
    c.resource_dfn_create("data", layer_list=layers, resource_group="group"), c.volume_dfn_create("data", 8192)
    c.resource_create([linstor.ResourceData(first, "data", storage_pool="pool")])
    c.resource_auto_place("data", 2), c.resource_list(), c.resource_list_raise([first], ["data"])
    c.resource_create_and_auto_place("placed", 8192, 1, "pool")
    c.resource_dfn_list(), c.resource_dfn_list_raise(), c.resource_dfn_modify("data", {"Aux/a": "b"})
    c.resource_dfn_props_list("data"), c.resource_dfn_sync_status("data"), c.resource_dfn_wait_synced("data", 0.1, 10)
    c.resource_modify(first, "data", {"Aux/a": "b"}), c.resource_deactivate(first, "data"), c.resource_activate(first, "data")
    c.resource_make_available(first, "data"), c.resource_unmake_available(first, "data")
    c.resource_toggle_disk(first, "data", diskless=True), c.resource_delete_if_diskless(first, "data")
    c.resource_conn_list("data"), c.resource_conn_list_raise("data")
    c.resource_conn_modify("data", first, second, {"Aux/a": "b"}, []), c.resource_conn_node_list_raise("data", first, second)
    c.volume_list(), c.volume_list_raise([first]), c.volume_modify(first, "data", 0, {"Aux/a": "b"})
    c.volume_dfn_modify("data", 0, {"Aux/a": "b"}), c.volume_dfn_modify_passphrase("data", 0, "secret")
    c.drbd_proxy_enable("data", first, second), c.drbd_proxy_modify("data", {"memlimit": "20000000"})
    c.drbd_proxy_disable("data", first, second)

    c.snapshot_create([first], "data", "snap"), c.snapshot_create_multi([first], ["data"], "snap2")
    c.snapshot_dfn_list(), c.snapshot_dfn_list_raise(), c.snapshot_dfn_modify("data", "snap", {"Aux/a": "b"})
    c.resource_dfn_create("restored"), c.snapshot_volume_definition_restore("data", "snap", "restored")
    c.snapshot_resource_restore([first], "data", "snap", "restored"), c.snapshot_rollback("data", "snap")
    c.snapshot_delete("data", "snap"), c.snapshot_delete("data", "snap2")
    c.resource_dfn_clone("data", "cloned"), c.resource_dfn_clone_status("data", "cloned")
    c.resource_dfn_clone_wait_complete("data", "cloned", 0.1, 60)

    c.crypt_status(), c.crypt_create_passphrase("one"), c.crypt_modify_passphrase("one", "two"), c.crypt_enter_passphrase("two")
    c.remote_create_linstor("peer", "http://127.0.0.1:3999"), c.remote_modify_linstor("peer", "http://127.0.0.1:3998")
    c.remote_create_s3("s3", "127.0.0.1:1", "here", "bucket", "access", "secret"), c.remote_modify_s3("s3", region="there")
    c.remote_create_ebs("ebs", "zone", "access", "secret", region="eu-central-1"), c.remote_modify_ebs("ebs", region="eu-west-1")
    c.remote_list(), c.node_create_ebs("ebsnode", "ebs")
    c.schedule_create("daily", "0 3 * * *"), c.schedule_modify("daily", keep_local=3), c.schedule_list()
    c.backup_schedule_enable("peer", "daily", "data"), c.schedule_list_by_resource(), c.schedule_list_by_resource_details("data")
    c.backup_schedule_disable("peer", "daily", "data"), c.backup_schedule_delete("peer", "daily", "data")
    c.backup_create("peer", "data"), c.backup_list("peer"), c.backup_info("peer", "data"), c.backup_queue_list()
    c.backup_delete("peer", resource_name="data"), c.backup_abort("peer", "data"), c.backup_ship("peer", "data", "there")
    c.backup_restore("peer", first, "back", "data"), c.schedule_delete("daily")
    c.remote_delete("peer"), c.remote_delete("ebs")

    file = f"{nodes[first][2]}/a.conf"
    c.file_modify(file, b"text"), c.file_list(), c.file_show(file)
    c.file_deploy(file, "data"), c.file_undeploy(file, "data"), c.file_delete(file)
    c.keyvaluestore_modify("store", {"a": "b"}), c.keyvaluestore_list("store"), c.keyvaluestores()
    c.keyvaluestore_modify("store", delete_props=["a"])
    c.error_report_list(with_content=True), c.error_report_delete(), c.space_reporting_query()
    c.controller_backupdb("copy"), c.controller_exportdb("copy"), c.sos_report_create()
    with tempfile.TemporaryDirectory() as directory:
        c.sos_report_download(to_file=f"{directory}/sos.tar.gz")
    c.controller_create_auth_token("jobs"), c.controller_list_auth_tokens(), c.controller_modify_auth_token(1, "other")
    c.controller_delete_auth_token(1)

    c.volume_dfn_create("data", 8192), c.volume_dfn_delete("data", 1)
    c.resource_delete(first, "data"), c.resource_dfn_truncate("placed")
    for name in ("cloned", "data", "placed", "restored", "spawned"):
        c.resource_dfn_delete(name)
    c.volume_group_delete("group", 0), c.resource_group_delete("group")
    c.node_evacuate(second), c.node_restore(second)
    try:
        high_level(calls, first)
    except Exception as error:
        calls.note("high level", [f"{type(error).__name__}: {error}"])
    for name in nodes:
        c.storage_pool_delete(name, "pool")
    c.node_lost(second)
    for name in nodes:
        c.node_delete(name)
    c.disconnect(), c.connect()
    authenticated(calls)


def authenticated(calls):
    """Authentication with tokens brings HTTPS, which the library finds by a redirect of HTTP."""
    answer = calls.controller_init_auth_token("admin")
    token = answer[0].object_refs["token"] if answer else None
    uri = calls.lin.controller_host()
    without = linstor.Linstor(uri)
    try:
        without.connect()
        calls.note("authentication", ["a caller without a token is served"])
    except linstor.LinstorApiCallError as error:
        calls.note("authentication", [] if "Unauthorized" in str(error.all_errors()[0].message) else [str(error)])
    with linstor.Linstor(uri, auth_token=token) as lin:
        calls.note("redirect to HTTPS", [] if lin.is_secure_connection else ["the connection is not encrypted"])
        lin.node_list_raise()


def high_level(calls, node):
    """The library's objects: groups, resources, volumes, key-value stores."""
    uri = calls.lin.controller_host()

    def check(name, passed):
        calls.note(name, [] if passed else ["wrong result"])

    group = linstor.ResourceGroup("high", uri=uri)
    group.redundancy, group.storage_pool, group.layer_list = 1, ["pool"], ["storage"]
    sizes = group.query_max_volume_size()
    calls.note("ResourceGroup.query_max_volume_size", [reply.message for reply in replies(sizes)])
    resource = group.create_resource("high1", ["8MiB"])
    check("ResourceGroup.create_resource", resource.linstor_name == "high1")
    resource = linstor.Resource("high1", uri=uri)
    holder = resource.diskful_nodes()[0]
    check("Resource.is_assigned", resource.is_assigned(holder) and resource.is_diskful(holder))
    check("Volume.size", resource.volumes[0].size == 8 * 1024 * 1024)
    check("Resource.is_thin", resource.is_thin())
    resource.deactivate(holder)
    resource.activate(holder)
    check("Resource.activate", linstor.Resource("high1", uri=uri).is_diskful(holder))
    resource.volumes[0].size = 16 * 1024 * 1024
    check("Volume.grow", linstor.Resource("high1", uri=uri).volumes[0].size == 16 * 1024 * 1024)
    resource.delete()
    check("Resource.delete", not linstor.Resource("high1", uri=uri).diskful_nodes())
    group.delete()
    store = linstor.KV("high", uri=uri, namespace="/a/")
    store["b"] = "c"
    check("KV", list(linstor.KV("high", uri=uri, namespace="/a/").values()) == ["c"])
    del store["b"]
    check("KV.delete", not linstor.KV("high", uri=uri, namespace="/a/"))


def main():
    uri = sys.argv[1].replace("http://", "linstor://")
    nodes = {}
    for argument in sys.argv[2:]:
        name, place = argument.split("=")
        address, port, directory = place.split(":")
        nodes[name] = (address, int(port), directory)
    lin = linstor.Linstor(uri)
    lin.connect()
    calls = Calls(lin, all(has_reflinks(directory) for _, _, directory in nodes.values()))
    run(calls, nodes)
    public = {
        name for name, _ in inspect.getmembers(linstor.Linstor, inspect.isfunction) if not name.startswith("_")
    }
    wrong = {name: why for name, (_, why) in sorted(calls.outcomes.items()) if why}
    wrong.update({name: "not called" for name in sorted(public - set(calls.outcomes))})
    for name, why in wrong.items():
        print(f"{name}: {why}")
    counts = {}
    for outcome, _ in calls.outcomes.values():
        counts[outcome] = counts.get(outcome, 0) + 1
    print(f"python-linstor: {len(calls.outcomes)} calls: {counts}, {len(wrong)} not as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
