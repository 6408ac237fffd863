# SPDX-License-Identifier: GPL-2.0
"""The family `rfou`: requests, flags, refusals, dumps and permissions."""

import errno
import os
import socket
import time

import pytest

from testing.lib import netlink as nl
from testing.lib import ports, ynl
from testing.lib.hosts import libc
from testing.lib.netlink import Fou, NetlinkError
from testing.lib.ports import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Rfou

pytestmark = pytest.mark.rfou_only

PORT = (ports.PORT, nl.be16(5555))
IPIP = (ports.PROTOCOL, nl.u8(4))
GUE = (ports.ENCAP, nl.u8(ports.GUE))
INET6 = (ports.FAMILY, nl.u8(socket.AF_INET6))
NOPARTIAL = (ports.REMCSUM_NOPARTIAL, b"")
NOBODY = 65534
CLONE_NEWUSER = 0x10000000
MANY_PORTS = 10000


@pytest.fixture(name="rfou")
def rfou_fixture(hosts):
    """A netlink socket in the first host."""
    with hosts[0].inside():
        client = Rfou()
    yield client
    client.close()


def u32(number):
    """Returns a 32-bit attribute value."""
    return number.to_bytes(4, "little")


def shown(client):
    """Returns the attributes of each port without its counters."""
    return [port.attributes for port in client.dump()]


def refused(call, *arguments, **options):
    """Returns the error number and the text of a request that must be refused."""
    with pytest.raises(NetlinkError) as info:
        call(*arguments, **options)
    return info.value.errno, info.value.reason


def in_child(work):
    """Runs a function in a child process; fails if the child fails."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0, "the child failed"


def test_both_families_show_and_delete_the_same_ports(hosts, rfou, fou):
    ifindex = hosts[0].link("eth0")["ifindex"]
    rfou.add(PORT, IPIP)
    fou.add(
        (nl.PORT, nl.be16(5556)),
        (nl.AF, nl.u8(socket.AF_INET6)),
        (nl.TYPE, nl.u8(nl.GUE)),
        (nl.REMCSUM_NOPARTIAL, b""),
        (nl.LOCAL_V6, nl.v6("2001:db8::1")),
        (nl.PEER_V6, nl.v6("2001:db8::2")),
        (nl.PEER_PORT, nl.be16(7)),
        (nl.IFINDEX, nl.s32(ifindex)),
    )
    assert shown(rfou) == [
        {
            ports.FAMILY: nl.u8(socket.AF_INET6),
            ports.PORT: nl.be16(5556),
            ports.LOCAL_V6: nl.v6("2001:db8::1"),
            ports.PEER_V6: nl.v6("2001:db8::2"),
            ports.PEER_PORT: nl.be16(7),
            ports.IFINDEX: u32(ifindex),
            ports.ENCAP: nl.u8(ports.GUE),
            ports.REMCSUM_NOPARTIAL: b"",
        },
        {
            ports.FAMILY: nl.u8(socket.AF_INET),
            ports.PORT: nl.be16(5555),
            ports.ENCAP: nl.u8(ports.FOU),
            ports.PROTOCOL: nl.u8(4),
        },
    ]
    assert "port 5555 ipproto 4" in hosts[0].ip("fou", "show").stdout
    fou.delete((nl.PORT, nl.be16(5555)))
    settings = (ports.ENCAP, ports.PROTOCOL, ports.REMCSUM_NOPARTIAL)
    [port] = shown(rfou)
    rfou.delete(*(pair for pair in port.items() if pair[0] not in settings))
    assert shown(rfou) == [] and fou.dump() == []


HAS_IT = "rfou has this port already"
FLAGS = {
    "no flag": (0, errno.EEXIST),
    "create": (NLM_F_CREATE, errno.EEXIST),
    "create and exclusive": (NLM_F_CREATE | NLM_F_EXCL, errno.EEXIST),
    "replace": (NLM_F_REPLACE, None),
    "create and replace": (NLM_F_CREATE | NLM_F_REPLACE, None),
}


@pytest.mark.parametrize("flags", FLAGS)
def test_adding_twice(rfou, flags):
    """Every form of the flags adds a port that is not there."""
    bits, number = FLAGS[flags]
    rfou.add(PORT, GUE, NOPARTIAL, flags=bits)
    before = shown(rfou)
    if number:
        assert refused(rfou.add, PORT, GUE, NOPARTIAL, flags=bits) == (number, HAS_IT)
    else:
        rfou.add(PORT, GUE, NOPARTIAL, flags=bits)
    assert shown(rfou) == before


DIFFERENCES = {
    "protocol": ([IPIP], [(ports.PROTOCOL, nl.u8(41))], "another protocol"),
    "encapsulation": ([IPIP], [GUE], "another encapsulation"),
    "remote checksums": ([GUE], [GUE, NOPARTIAL], "another remcsum-nopartial"),
    "remote checksums, back": ([GUE, NOPARTIAL], [GUE], "another remcsum-nopartial"),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_replacing_what_differs_says_what_does(rfou, what):
    first, second, difference = DIFFERENCES[what]
    rfou.add(PORT, *first)
    before = shown(rfou)
    text = f"rfou has this port with {difference}; delete the port first"
    assert refused(rfou.add, PORT, *second, flags=NLM_F_REPLACE) == (errno.EBUSY, text)
    assert refused(rfou.add, PORT, *second) == (errno.EEXIST, HAS_IT)
    assert shown(rfou) == before


def test_port_with_a_peer_is_found_as_it_was_asked_for(hosts, rfou):
    """Requests need not name the local address that the kernel chose for the peer."""
    peer = [(ports.PEER_V4, nl.v4("192.0.2.2")), (ports.PEER_PORT, nl.be16(7))]
    rfou.add(PORT, *peer, IPIP)
    [port] = shown(rfou)
    assert port[ports.LOCAL_V4] == nl.v4("192.0.2.1")
    rfou.add(PORT, *peer, IPIP, flags=NLM_F_REPLACE)
    assert refused(rfou.add, PORT, *peer, IPIP) == (errno.EEXIST, HAS_IT)
    assert rfou.get(PORT, *peer).attributes == port
    rfou.delete(PORT, *peer)
    assert shown(rfou) == []


def test_error_says_who_has_the_udp_port(hosts, rfou, fou):
    other = HAS_IT + ", with other addresses or another device; delete that port first"
    hosts[0].ip("addr", "add", "192.0.2.11/24", "dev", "eth0")
    first, second = ((ports.LOCAL_V4, nl.v4(f"192.0.2.{last}")) for last in (1, 11))
    with hosts[0].inside():
        program = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    program.bind(("192.0.2.11", 5555))
    theirs = errno.EADDRINUSE, "another program has this UDP port"
    assert refused(rfou.add, PORT, IPIP) == theirs
    rfou.add(PORT, first, IPIP)
    assert refused(rfou.add, PORT, second, IPIP) == theirs
    assert refused(rfou.add, PORT, second, IPIP, flags=NLM_F_REPLACE) == theirs
    program.close()
    assert refused(rfou.add, PORT, IPIP) == (errno.EEXIST, other)
    assert refused(rfou.add, PORT, IPIP, flags=NLM_F_REPLACE) == (errno.EBUSY, other)
    rfou.add(PORT, second, IPIP)
    rfou.add(PORT, INET6, (ports.PROTOCOL, nl.u8(41)))
    assert len(shown(rfou)) == 3
    # A port that the kernel chose for `ip fou`.
    fou.add((nl.TYPE, nl.u8(nl.GUE)))
    table = [line.split() for line in hosts[0].proc_net("udp").splitlines()[1:]]
    [chosen] = {int(line[1].split(":")[1], 16) for line in table} - {5555}
    assert refused(rfou.add, (ports.PORT, nl.be16(chosen)), IPIP) == (errno.EEXIST, other)


LOCAL = (ports.LOCAL_V4, nl.v4("192.0.2.1"))
PEER = (ports.PEER_V4, nl.v4("192.0.2.2"))
ADD, DEL, GET = ports.PORT_ADD, ports.PORT_DEL, ports.PORT_GET
REFUSALS = {
    "no port": (ADD, [IPIP], errno.EINVAL, "port is missing"),
    "port 0": (ADD, [(ports.PORT, nl.be16(0)), IPIP], errno.EINVAL, "port must not be 0"),
    "no protocol": (ADD, [PORT], errno.EINVAL, "FOU port needs an IP protocol, 1 to 255"),
    "protocol 0": (
        ADD,
        [PORT, (ports.PROTOCOL, nl.u8(0))],
        errno.EINVAL,
        "FOU port needs an IP protocol, 1 to 255",
    ),
    "GUE with a protocol": (
        ADD,
        [PORT, GUE, IPIP],
        errno.EINVAL,
        "GUE port has no protocol, because each packet names its own",
    ),
    "FOU with remote checksums": (
        ADD,
        [PORT, IPIP, NOPARTIAL],
        errno.EINVAL,
        "only a GUE port has remote checksums",
    ),
    "an unknown encapsulation": (
        ADD,
        [PORT, (ports.ENCAP, nl.u8(3))],
        errno.EINVAL,
        "encapsulation must be 1 (FOU) or 2 (GUE)",
    ),
    "an unknown family": (
        ADD,
        [PORT, IPIP, (ports.FAMILY, nl.u8(7))],
        errno.EAFNOSUPPORT,
        "address family must be 2 (IPv4) or 10 (IPv6)",
    ),
    "an IPv6 address for IPv4": (
        ADD,
        [PORT, IPIP, (ports.LOCAL_V6, bytes(16))],
        errno.EINVAL,
        "IPv6 address in a request for an IPv4 port",
    ),
    "an IPv4 address for IPv6": (
        ADD,
        [PORT, IPIP, INET6, PEER],
        errno.EINVAL,
        "IPv4 address in a request for an IPv6 port",
    ),
    "a peer without a port": (
        ADD,
        [PORT, IPIP, PEER],
        errno.EINVAL,
        "peer address needs a peer port",
    ),
    "a peer's port alone": (
        ADD,
        [PORT, IPIP, (ports.PEER_PORT, nl.be16(7))],
        errno.EINVAL,
        "peer port needs a peer address",
    ),
    "an interface index of 32 bits": (
        ADD,
        [PORT, IPIP, LOCAL, (ports.IFINDEX, u32(1 << 31))],
        errno.EINVAL,
        "interface index is too large",
    ),
    "a local address of another host": (
        ADD,
        [PORT, IPIP, (ports.LOCAL_V4, nl.v4("192.0.2.77"))],
        errno.EADDRNOTAVAIL,
        "local address is not configured in this network namespace",
    ),
    "deleting what is not there": (DEL, [PORT], errno.ENOENT, "rfou has no such port"),
    "getting what is not there": (GET, [PORT], errno.ENOENT, "rfou has no such port"),
    "deleting no port": (DEL, [], errno.EINVAL, "port is missing"),
    "deleting by the protocol": (DEL, [PORT, IPIP], errno.EINVAL, "attribute does not name a port"),
    "getting by the encapsulation": (
        GET,
        [PORT, GUE],
        errno.EINVAL,
        "attribute does not name a port",
    ),
    "an unknown attribute": (ADD, [PORT, IPIP, (14, b"")], errno.EINVAL, None),
    "counters in a request": (ADD, [PORT, IPIP, (ports.COUNTERS, b"")], errno.EINVAL, None),
    "a port of one byte": (ADD, [(ports.PORT, b"\x15"), IPIP], errno.EINVAL, None),
    "a family of two bytes": (ADD, [PORT, IPIP, (ports.FAMILY, b"\2\0")], errno.EINVAL, None),
    "an IPv6 address of 15 bytes": (
        ADD,
        [PORT, IPIP, INET6, (ports.LOCAL_V6, bytes(15))],
        errno.ERANGE,
        None,
    ),
    "a flag with a value": (ADD, [PORT, GUE, (ports.REMCSUM_NOPARTIAL, b"1")], errno.ERANGE, None),
    "a notification's number": (ports.PORT_ADDED, [PORT], errno.EOPNOTSUPP, None),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refused_with_errno_and_reason_and_nothing_left(hosts, rfou, what):
    command, attributes, number, reason = REFUSALS[what]
    found, text = refused(rfou.do, command, *attributes)
    assert (found, text if reason else None) == (number, reason)
    assert shown(rfou) == []
    for table in ("udp", "udp6"):
        assert len(hosts[0].proc_net(table).splitlines()) == 1, "a socket was left open"


def test_reserved_flags_and_bits_are_refused(rfou):
    payload = nl.attribute(*PORT) + nl.attribute(*IPIP)
    for command, flags in ((ADD, 0x800), (ADD, 0x8000), (GET, 0x100), (DEL, NLM_F_REPLACE)):
        call = rfou.call, rfou.family, command, payload, nl.NLM_F_ACK | flags
        assert refused(*call)[0] == errno.EINVAL, (command, hex(flags))
    # NLM_F_REPLACE and NLM_F_EXCL together are NLM_F_DUMP.
    both = nl.NLM_F_ACK | NLM_F_REPLACE | NLM_F_EXCL
    assert refused(rfou.call, rfou.family, ADD, payload, both)[0] == errno.EOPNOTSUPP
    assert refused(rfou.dump, nl.attribute(*PORT))[0] == errno.EINVAL, "a dump takes no attributes"
    assert shown(rfou) == []


def test_ports_belong_to_one_namespace(hosts, rfou):
    with hosts[1].inside():
        other = Rfou()
    rfou.add(PORT, IPIP)
    assert shown(other) == []
    other.add(PORT, GUE)
    rfou.delete(PORT)
    assert [port[ports.ENCAP] for port in shown(other)] == [nl.u8(ports.GUE)]
    assert refused(rfou.get, PORT)[0] == errno.ENOENT
    other.close()


def test_unprivileged_user_sees_and_cannot_change(hosts, rfou):
    rfou.add(PORT, IPIP)

    def work():
        hosts[0].enter()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        other = Rfou()
        assert len(shown(other)) == 1 and other.get(PORT).number == 5555
        for call in (other.add, other.delete):
            assert refused(call, PORT)[0] == errno.EPERM

    in_child(work)
    assert len(shown(rfou)) == 1


def test_root_of_a_user_namespace_has_its_own_ports(hosts, rfou):
    """The family `fou` asks for rights in the initial user namespace; `rfou` does not."""

    def work():
        os.setresuid(NOBODY, NOBODY, NOBODY)
        # Dumpable, so that this process owns its files in /proc.
        assert libc.prctl(4, 1, 0, 0, 0) == 0
        os.unshare(CLONE_NEWUSER | os.CLONE_NEWNET)
        own = Rfou()
        own.add(PORT, IPIP)
        assert len(shown(own)) == 1
        own.delete(PORT)
        assert refused(Fou().add, (nl.PORT, nl.be16(1)), (nl.TYPE, nl.u8(nl.GUE)))[0] == errno.EPERM

    in_child(work)

    def outside():
        os.setresuid(NOBODY, NOBODY, NOBODY)
        assert libc.prctl(4, 1, 0, 0, 0) == 0
        os.unshare(CLONE_NEWUSER)
        assert refused(Rfou().add, PORT, IPIP)[0] == errno.EPERM, "not in the initial namespace"

    in_child(outside)


@pytest.mark.soak_on_debug
def test_ten_thousand_ports_are_shown_in_a_second(rfou):
    numbers = range(20000, 20000 + MANY_PORTS)
    for number in numbers:
        rfou.add((ports.PORT, nl.be16(number)), GUE)
    took = []
    for _ in range(3):
        start = time.monotonic()
        messages = rfou.call(rfou.family, ports.PORT_GET, b"", nl.NLM_F_DUMP)
        took.append(time.monotonic() - start)
    found = [ports.Port(message).number for message in messages]
    assert found == sorted(numbers, reverse=True), "each port once, newest first"
    print(f"{MANY_PORTS} ports: {min(took):.3f} s")
    assert min(took) < 1


def test_ynl_configures_by_the_spec(hosts):
    """The kernel's ynl knows nothing of rfou but the spec."""
    rfou = ynl.connect(hosts[0], "rfou")
    create, excl, replace = NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE

    def ynl_refuses(method, attributes):
        with pytest.raises(ynl.library().NlError) as info:
            rfou.do(method, attributes)
        return str(info.value)

    assert rfou.dump("port-get", {}) == []
    given = {"port": 5555, "family": "inet6", "encap": "gue", "local-v6": "2001:db8::1"}
    rfou.do("port-add", given, [create, excl])
    rfou.do("port-add", given, [replace])
    assert HAS_IT in ynl_refuses("port-add", given)
    rfou.do("port-add", {"port": 5556, "protocol": 4, "local-v4": "192.0.2.1"})
    counters = {"counters": {"rx-packets": 0, "rx-bytes": 0, "drops": 0}}
    first = {"port": 5556, "family": "inet", "encap": "fou", "protocol": 4, "local-v4": "192.0.2.1"}
    assert rfou.dump("port-get", {}) == [first | counters, given | counters]
    named = given.copy()
    del named["encap"]
    assert rfou.do("port-get", named) == given | counters
    rfou.do("port-del", named)
    rfou.do("port-del", {"port": 5556, "local-v4": "192.0.2.1"})
    text = ynl_refuses("port-del", {"port": 5556})
    assert "rfou has no such port" in text and "'bad-attr': '.port'" in text
