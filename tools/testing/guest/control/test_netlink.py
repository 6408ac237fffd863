# SPDX-License-Identifier: GPL-2.0
"""The netlink interface: accepted and refused requests, reasons, answers."""

import errno
import os
import socket
import struct

import pytest

from testing.lib import netlink as nl
from testing.lib.netlink import Fou, NetlinkError

# On the debug kernel test_netlink_fuzz and test_memory run the same code.
pytestmark = pytest.mark.soak_on_debug

IPIP = (nl.IPPROTO, nl.u8(4))
DIRECT = (nl.TYPE, nl.u8(nl.DIRECT))
GUE = (nl.TYPE, nl.u8(nl.GUE))
PORT = (nl.PORT, nl.be16(5555))


def udp_ports(host, version=""):
    """Returns the local ports of a host's UDP sockets."""
    table = host.proc_net(f"udp{version}").splitlines()[1:]
    return [int(line.split()[1].rsplit(":", 1)[1], 16) for line in table]


def shown(host):
    """Returns the lines of `ip fou show`."""
    lines = host.ip("fou", "show").stdout.splitlines()
    return [" ".join(line.split()) for line in lines]


def refused(call, *arguments):
    """Returns the error of a request that must be refused."""
    with pytest.raises(NetlinkError) as info:
        call(*arguments)
    return info.value


def test_port_is_shown_with_all_attributes_in_order(fou):
    fou.add(PORT, IPIP, DIRECT)
    expected = [
        (nl.AF, nl.u8(2)),
        (nl.PORT, nl.be16(5555)),
        (nl.PEER_PORT, nl.be16(0)),
        (nl.IPPROTO, nl.u8(4)),
        (nl.TYPE, nl.u8(nl.DIRECT)),
        (nl.IFINDEX, nl.s32(0)),
        (nl.LOCAL_V4, nl.v4("0.0.0.0")),
        (nl.PEER_V4, nl.v4("0.0.0.0")),
    ]
    assert fou.get(PORT) == expected, "GET shows every attribute, in order"
    assert fou.dump() == [expected], "the dump shows the same"


def test_ipv6_port_with_every_attribute_is_shown(hosts, fou):
    ifindex = hosts[0].link("eth0")["ifindex"]
    given = [
        PORT,
        (nl.AF, nl.u8(10)),
        (nl.IPPROTO, nl.u8(41)),
        DIRECT,
        (nl.REMCSUM_NOPARTIAL, b""),
        (nl.LOCAL_V6, nl.v6("2001:db8::1")),
        (nl.PEER_V6, nl.v6("2001:db8::2")),
        (nl.PEER_PORT, nl.be16(7777)),
        (nl.IFINDEX, nl.s32(ifindex)),
    ]
    fou.add(*given)
    [port] = fou.dump()
    assert sorted(port) == sorted(given)
    assert [number for number, _ in port] == [2, 1, 10, 3, 4, 11, 5, 7, 9]
    assert fou.get(*given) == port
    fou.delete(*given)
    assert fou.dump() == []


def test_iproute2_adds_shows_and_deletes(hosts):
    h1, _ = hosts
    h1.ip("fou", "add", "port", "5555", "ipproto", "4")
    h1.ip("fou", "add", "port", "5556", "ipproto", "47", "local", "192.0.2.1")
    h1.ip("-6", "fou", "add", "port", "5557", "ipproto", "41")
    assert shown(h1) == [
        "port 5557 ipproto 41 -6",
        "port 5556 ipproto 47 local 192.0.2.1",
        "port 5555 ipproto 4",
    ]
    assert sorted(udp_ports(h1)) == [5555, 5556]
    assert udp_ports(h1, 6) == [5557]
    h1.ip("fou", "del", "port", "5556", "local", "192.0.2.1")
    h1.ip("-6", "fou", "del", "port", "5557")
    assert shown(h1) == ["port 5555 ipproto 4"]
    assert udp_ports(h1) == [5555] and udp_ports(h1, 6) == []


@pytest.mark.shows_both
def test_dump_of_many_ports_shows_each_once(fou, module):
    wanted = range(10000, 12000)
    for number in wanted:
        fou.add((nl.PORT, nl.be16(number)), IPIP, DIRECT)
    numbers = [struct.unpack("!H", dict(port)[nl.PORT])[0] for port in fou.dump()]
    if module == "fou":
        assert len(numbers) < len(wanted), "Linux's fou loses a port at each buffer boundary"
    else:
        assert numbers == sorted(wanted, reverse=True), "each port once, newest first"


def test_same_port_on_two_addresses_are_two_ports(hosts, fou):
    hosts[0].ip("addr", "add", "192.0.2.11/24", "dev", "eth0")
    first = [PORT, (nl.LOCAL_V4, nl.v4("192.0.2.1"))]
    second = [PORT, (nl.LOCAL_V4, nl.v4("192.0.2.11"))]
    fou.add(*first, IPIP, DIRECT)
    fou.add(*second, (nl.IPPROTO, nl.u8(47)), DIRECT)
    assert dict(fou.get(*first))[nl.IPPROTO] == nl.u8(4)
    assert dict(fou.get(*second))[nl.IPPROTO] == nl.u8(47)
    fou.delete(*second)
    assert dict(fou.get(*first))[nl.IPPROTO] == nl.u8(4), "DEL deletes only the port that it names"


REFUSALS = {
    "an unknown address family": (
        nl.ADD,
        [PORT, (nl.AF, nl.u8(7)), IPIP, DIRECT],
        errno.EAFNOSUPPORT,
        "address family must be 2 (IPv4) or 10 (IPv6)",
    ),
    "a type that is missing": (
        nl.ADD,
        [PORT, IPIP],
        errno.EINVAL,
        "encapsulation type is missing",
    ),
    "an unknown type": (
        nl.ADD,
        [PORT, IPIP, (nl.TYPE, nl.u8(3))],
        errno.EINVAL,
        "encapsulation type must be 1 (direct) or 2 (GUE)",
    ),
    "direct without a protocol": (
        nl.ADD,
        [PORT, DIRECT],
        errno.EINVAL,
        "direct encapsulation needs an IP protocol",
    ),
    "protocol 0": (
        nl.ADD,
        [PORT, (nl.IPPROTO, nl.u8(0)), DIRECT],
        errno.ERANGE,
        "IP protocol must be 1 to 255 unless the type is GUE",
    ),
    "protocol 0 without a type": (
        nl.ADD,
        [PORT, (nl.IPPROTO, nl.u8(0))],
        errno.ERANGE,
        "IP protocol must be 1 to 255 unless the type is GUE",
    ),
    "protocol 0 to delete a port": (
        nl.DEL,
        [PORT, (nl.IPPROTO, nl.u8(0))],
        errno.ERANGE,
        "IP protocol must be 1 to 255 unless the type is GUE",
    ),
    "a peer without its port": (
        nl.ADD,
        [PORT, IPIP, DIRECT, (nl.PEER_V4, nl.v4("192.0.2.2"))],
        errno.EINVAL,
        "peer address needs a peer port",
    ),
    "a device without a local address": (
        nl.ADD,
        [PORT, IPIP, DIRECT, (nl.IFINDEX, nl.s32(1))],
        errno.EINVAL,
        "device needs a local address",
    ),
    "a local address of somebody else": (
        nl.ADD,
        [PORT, IPIP, DIRECT, (nl.LOCAL_V4, nl.v4("192.0.2.77"))],
        errno.EADDRNOTAVAIL,
        "local address is not configured in this network namespace",
    ),
    "a device with a negative index": (
        nl.ADD,
        [PORT, IPIP, DIRECT, (nl.LOCAL_V4, nl.v4("192.0.2.1")), (nl.IFINDEX, nl.s32(-1))],
        errno.EINVAL,
        "UDP socket could not be bound",
    ),
    "an IPv6 device that is not there": (
        nl.ADD,
        [
            PORT,
            IPIP,
            DIRECT,
            (nl.AF, nl.u8(10)),
            (nl.LOCAL_V6, nl.v6("fe80::1")),
            (nl.IFINDEX, nl.s32(12345)),
        ],
        errno.ENODEV,
        "device does not exist",
    ),
    "deleting what is not there": (nl.DEL, [PORT], errno.EINVAL, "port does not exist"),
    "getting what is not there": (nl.GET, [PORT], errno.ESRCH, "port does not exist"),
    "getting no port": (nl.GET, [], errno.EINVAL, "port is missing"),
    "getting port 0": (nl.GET, [(nl.PORT, nl.be16(0))], errno.EINVAL, "port is missing"),
    "a port of one byte": (nl.ADD, [(nl.PORT, b"\x15"), IPIP, DIRECT], errno.ERANGE, None),
    "a type of no bytes": (nl.ADD, [PORT, IPIP, (nl.TYPE, b"")], errno.ERANGE, None),
    "an IPv6 address of 15 bytes": (
        nl.ADD,
        [PORT, IPIP, DIRECT, (nl.AF, nl.u8(10)), (nl.LOCAL_V6, bytes(15))],
        errno.ERANGE,
        None,
    ),
    "an IPv6 address of 17 bytes": (
        nl.ADD,
        [PORT, IPIP, DIRECT, (nl.AF, nl.u8(10)), (nl.LOCAL_V6, bytes(17))],
        errno.ERANGE,
        None,
    ),
    "an IPv4 address of 3 bytes": (
        nl.ADD,
        [PORT, IPIP, DIRECT, (nl.LOCAL_V4, bytes(3))],
        errno.ERANGE,
        None,
    ),
    "an unknown command": (4, [PORT], errno.EOPNOTSUPP, None),
}


@pytest.mark.shows_both
@pytest.mark.parametrize("protocol", [0, 4, 255])
def test_gue_port_ignores_the_protocol(fou, module, protocol):
    """systemd-networkd and common netlink libraries send 0 with every GUE port."""
    asked = [PORT, GUE, (nl.IPPROTO, nl.u8(protocol))]
    if module == "fou" and protocol == 0:
        assert refused(fou.add, *asked).errno == errno.ERANGE
        return
    fou.add(*asked)
    [port] = fou.dump()
    assert dict(port)[nl.TYPE] == nl.u8(nl.GUE)
    assert dict(port)[nl.IPPROTO] == nl.u8(0), "a GUE port has no protocol"
    assert fou.get(*asked) == port
    fou.delete(*asked)
    assert fou.dump() == []


@pytest.mark.rfou_only
def test_gue_port_is_deleted_by_the_attributes_that_a_dump_shows(fou):
    fou.add(PORT, GUE)
    [port] = fou.dump()
    fou.delete(*port)
    assert fou.dump() == []


@pytest.mark.parametrize("what", REFUSALS)
def test_refused_with_errno_and_reason_and_nothing_left(hosts, fou, module, what):
    command, attributes, number, reason = REFUSALS[what]
    error = refused(fou.do, command, *attributes)
    assert error.errno == number, str(error)
    if module == "rfou" and reason:
        assert error.reason == reason
    assert fou.dump() == []
    assert udp_ports(hosts[0]) == [] and udp_ports(hosts[0], 6) == [], "a socket was left open"


def test_message_cut_inside_an_attribute_adds_nothing(hosts, fou):
    payload = b"".join(nl.attribute(*pair) for pair in (PORT, IPIP, DIRECT))
    for cut in range(len(payload)):
        try:
            fou.do_raw(nl.ADD, payload[:cut])
        except NetlinkError:
            pass
        else:
            # A message that lacks only the padding of its last attribute is complete.
            assert cut > len(payload) - 4, f"accepted after {cut} of {len(payload)} bytes"
            fou.delete(PORT)
    assert fou.dump() == [] and udp_ports(hosts[0]) == []


def test_unknown_and_overlong_attributes_are_ignored(fou):
    # Old iproute2 sends AF as 16 bits.
    fou.add(PORT, IPIP, DIRECT, (nl.AF, struct.pack("=H", 2)), (99, b"whatever"))
    assert dict(fou.get(PORT))[nl.AF] == nl.u8(2)


def test_port_in_use_by_a_program_is_refused(hosts, fou, module):
    with hosts[0].inside():
        program = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    program.bind(("0.0.0.0", 5555))
    error = refused(fou.add, PORT, IPIP, DIRECT)
    assert error.errno == errno.EADDRINUSE
    if module == "rfou":
        assert error.reason == "UDP port is in use"
    program.close()
    fou.add(PORT, IPIP, DIRECT)


def test_port_added_twice_is_refused_and_the_first_stays(hosts, fou):
    fou.add(PORT, IPIP, DIRECT)
    assert refused(fou.add, PORT, IPIP, DIRECT).errno == errno.EADDRINUSE
    assert len(fou.dump()) == 1 and udp_ports(hosts[0]) == [5555]


def test_port_zero_is_one_ephemeral_port_and_a_second_is_refused(hosts, fou, module):
    fou.add(IPIP, DIRECT)
    assert dict(fou.dump()[0])[nl.PORT] == nl.be16(0)
    error = refused(fou.add, IPIP, DIRECT)
    assert error.errno == errno.EALREADY
    if module == "rfou":
        assert error.reason == "port exists already"
    assert len(udp_ports(hosts[0])) == 1, "the refused port's socket is closed"
    fou.delete()
    assert udp_ports(hosts[0]) == []


def test_port_in_use_is_reported_before_a_missing_type(hosts, fou):
    fou.add(PORT, IPIP, DIRECT)
    assert refused(fou.add, PORT).errno == errno.EADDRINUSE


def test_peer_fixes_the_local_address(fou):
    fou.add(PORT, IPIP, DIRECT, (nl.PEER_V4, nl.v4("192.0.2.2")), (nl.PEER_PORT, nl.be16(7)))
    [port] = fou.dump()
    assert dict(port)[nl.LOCAL_V4] == nl.v4("192.0.2.1"), "chosen by routing"
    assert dict(port)[nl.PEER_PORT] == nl.be16(7)
    assert refused(fou.delete, PORT).errno == errno.EINVAL
    fou.delete(
        PORT,
        (nl.LOCAL_V4, nl.v4("192.0.2.1")),
        (nl.PEER_V4, nl.v4("192.0.2.2")),
        (nl.PEER_PORT, nl.be16(7)),
    )


def test_only_root_may_change_ports(hosts, fou):
    fou.add(PORT, IPIP, DIRECT)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = b"child failed"
        try:
            hosts[0].enter()
            os.setresuid(65534, 65534, 65534)
            other = Fou()
            errors = []
            for command in (nl.ADD, nl.DEL):
                try:
                    other.do(command, PORT)
                    errors.append(0)
                except NetlinkError as error:
                    errors.append(error.errno)
            outcome = repr((errors, len(other.dump()), len(other.get(PORT)))).encode()
        finally:
            os.write(write, outcome)
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 4096).decode() == repr(([errno.EPERM] * 2, 1, 8)), (
        "GET is allowed, ADD and DEL are not"
    )
    # The family asks for rights in the initial user namespace; root of another one lacks them.
    done = hosts[0].run(
        "unshare", "-Urn", "ip", "fou", "add", "port", "5556", "ipproto", "4", check=False
    )
    assert done.returncode != 0 and "not permitted" in done.stderr
