"""HTTPS with the Python library: found by redirect, controllers and clients checked by their certificates.

    https.py OPEN CLOSED DIRECTORY

OPEN is the address and port of HTTP of a controller that serves HTTPS to everybody, CLOSED that of one that wants certificates of
its callers. DIRECTORY has the certificates: of the authority (ca.pem), of another one (other.pem), and of a person (person.pem,
person.key), which the authority has signed.
"""

import sys

import linstor


def connect(address, ca=None, person=None):
    """A connection that has found HTTPS."""
    lin = linstor.Linstor(f"linstor://{address}")
    lin.cafile = ca
    if person:
        lin.certfile, lin.keyfile = f"{person}.pem", f"{person}.key"
    lin.connect()
    assert lin.is_secure_connection, f"{address} does not send to HTTPS"
    return lin


def refused(what, *args):
    try:
        lin = connect(*args)
        # TLS 1.3: a client hears of its refusal after it has connected.
        lin.node_list_raise()
    except linstor.LinstorNetworkError as error:
        print(f"{what}: {error.message}")
        return
    sys.exit(f"{what}: not refused")


def main():
    free, closed, directory = sys.argv[1:]
    ca, other, person = f"{directory}/ca.pem", f"{directory}/other.pem", f"{directory}/person"
    for lin in (connect(free), connect(free, ca), connect(closed, ca, person)):
        assert lin.node_list_raise().nodes == []
        reply = lin.controller_set_prop("Aux/a", "b")[0]
        assert reply.is_success(), reply
        lin.disconnect()
    host, _ = free.split(":")
    named = connect(free, ca).controller_version()
    direct = linstor.Linstor(f"linstor+ssl://{host}")
    direct.cafile = ca
    direct.connect()
    assert direct.controller_version().version == named.version
    refused("another authority", free, other)
    refused("no certificate", closed, ca)
    print("python-linstor over HTTPS: 6 connections as expected")


if __name__ == "__main__":
    main()
