# SPDX-License-Identifier: GPL-2.0
"""Random requests for links of the kind gue: by root, nobody, and root of a user namespace."""

import errno
import os
import random
import struct

import pytest

from testing.guest.robustness.test_netlink_fuzz import CLONE_NEWUSER, NOBODY, in_child, one_in
from testing.lib import netlink as nl
from testing.lib import progress
from testing.lib.gue_link import (
    ATTRIBUTES,
    IFF_UP,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINK_NETNSID,
    IFLA_LINKINFO,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    NLM_F_CREATE,
    NLM_F_EXCL,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWLINK,
    GueLinks,
    RouteNetlink,
    encode,
)
from testing.lib.hosts import Host, libc
from testing.lib.netlink import NetlinkError

pytestmark = pytest.mark.skipif(
    "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
)

SEED = int(os.environ.get("RFOU_SEED", "1"))
MESSAGES = int(os.environ.get("RFOU_LINK_MESSAGES", "500"))
REPEAT = (
    f"to repeat: scripts/vm --kernel {os.environ['RFOU_KERNEL']}"
    f" --module {os.environ['RFOU_MODULE']} --env RFOU_SEED={SEED}"
    f" --env RFOU_LINK_MESSAGES={MESSAGES}"
    " -- python3 -B -m pytest tools/testing/guest/robustness/test_link_fuzz.py"
)
NAMES = [f"gue{number}" for number in range(6)]
NEW = NLM_F_CREATE | NLM_F_EXCL
KNOWN = {errno.EINVAL, errno.ERANGE, errno.EPERM, errno.EOPNOTSUPP, errno.ENODEV} | {
    errno.EEXIST,
    errno.EADDRINUSE,
    errno.EADDRNOTAVAIL,
    errno.EBUSY,
}

# Values of the right length, most of which are valid.
VALUES = {
    "id": (0, 1, 2, 0xFFFFFFFF),
    "remote": ("0.0.0.0", "192.0.2.2", "127.0.0.1", "224.0.0.1"),
    "remote6": ("::", "2001:db8::2", "::1", "ff02::1"),
    "local": ("0.0.0.0", "192.0.2.1", "127.0.0.1", "10.9.9.9"),
    "local6": ("::", "2001:db8::1", "::1", "ff02::1"),
    "link": (0, 1, 2, 99, 0xFFFFFFFF),
    "port": (0, 1, 6080, 6081),
    "dport": (0, 1, 6080, 65535),
    "sport": (0, 6080),
    "sport_range": ((0, 9), (1, 9), (9, 9), (10, 9)),
    "mode": (0, 0, 0, 1, 2),
    "variant": (0, 0, 1, 2),
    "external": (True,),
    "ttl": (0, 1, 255),
    "ttl_inherit": (0, 1, 2),
    "tos": (0, 1, 0xB8),
    "tos_inherit": (0, 1, 2),
    "df": (0, 1, 2, 3),
    "flowlabel": (0, 5, 0xFFFFF, 0x100000),
    "udp_csum": (0, 1, 2),
    "udp_zero_csum6_tx": (0, 1, 2),
    "udp_zero_csum6_rx": (0, 1, 2),
    "remcsum": (0, 1, 2, 3),
    "auth": (0, 1, 4, 5),
    "keepalive": (0, 1, 2, 65535),
    "dead": (0, 2, 3, 65535),
    "roaming": (0, 1, 1, 2),
}
# The options that `roaming` needs.
ROAMING = {"remote": "0.0.0.0", "sport": 6080, "auth": 1, "roaming": 1, "keepalive": 1}


def nested(number, content):
    """Returns an attribute that holds attributes."""
    return nl.attribute(number | 0x8000, content)


def named(name, data=None):
    """Returns the body of a request for a link, with the bytes of `IFLA_INFO_DATA`."""
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
    body += nl.attribute(IFLA_IFNAME, name.encode() + b"\0")
    if data is not None:
        info = nl.attribute(IFLA_INFO_KIND, b"gue\0") + nested(IFLA_INFO_DATA, data)
        body += nested(IFLA_LINKINFO, info)
    return body


def random_attribute(rng):
    """Returns an attribute of the kind, mostly a valid one."""
    name = rng.choice(list(VALUES))
    number, value = ATTRIBUTES[name], encode(name, rng.choice(VALUES[name]))
    if one_in(rng, 30):
        value = rng.randbytes(rng.randrange(24))
    if one_in(rng, 40):
        number = rng.randrange(0x10000)
    data = nl.attribute(number, value)
    if one_in(rng, 60):
        # A wrong length.
        data = struct.pack("=H", rng.choice((0, 3, 4, 5, 8, 0xFFFF))) + data[2:]
    return data


def random_data(rng):
    """Returns the bytes of IFLA_INFO_DATA."""
    data = b""
    if one_in(rng, 6):
        data = b"".join(
            nl.attribute(ATTRIBUTES[name], encode(name, ROAMING[name])) for name in ROAMING
        )
    elif not one_in(rng, 4):
        remote = rng.choice(("remote", "remote6"))
        data = nl.attribute(ATTRIBUTES[remote], encode(remote, rng.choice(VALUES[remote])))
    return data + b"".join(random_attribute(rng) for _ in range(rng.choice((0, 1, 1, 2, 3, 5))))


def random_request(rng):
    """Returns a request: type, body, flags."""
    name = rng.choice(NAMES)
    kind = rng.choice((RTM_NEWLINK,) * 6 + (RTM_DELLINK, RTM_GETLINK))
    if kind != RTM_NEWLINK:
        return kind, named(name), 0
    body = bytearray(named(name, random_data(rng)))
    if not one_in(rng, 3):
        # Up, so that the link opens a socket.
        struct.pack_into("=II", body, 8, IFF_UP, IFF_UP)
    if one_in(rng, 10):
        number = rng.choice((IFLA_MTU, IFLA_LINK, IFLA_LINK_NETNSID))
        body += nl.attribute(number, nl.s32(rng.choice((-1, 0, 1, 68, 1000, 65535, 1 << 30))))
    if one_in(rng, 30):
        body = body[: rng.randrange(16, len(body))]
    return kind, bytes(body), rng.choice((NEW, NEW, NLM_F_CREATE, 0, 0))


def fuzz(seed, count):
    """Sends random requests; returns how often each error number came (0: none)."""
    print(f"seed {seed}, {count} messages; {REPEAT}")
    rng = random.Random(seed)
    client = RouteNetlink()
    seen = {}
    for sent in range(count):
        progress.report(f"message {sent} of seed {seed}")
        number = 0
        kind, body, flags = random_request(rng)
        try:
            client.call(kind, body, nl.NLM_F_ACK | flags)
        except NetlinkError as error:
            number = error.errno
        seen[number] = seen.get(number, 0) + 1
    client.close()
    assert set(seen) <= KNOWN | {0}, f"the kind does not have this error number: {seen}"
    return seen


def delete_all():
    """Deletes the links that are left."""
    client = RouteNetlink()
    for name in NAMES:
        try:
            client.call(RTM_DELLINK, named(name))
        except NetlinkError as error:
            assert error.errno == errno.ENODEV, error
    client.close()


def test_administrator(hosts):
    host, _ = hosts
    with host.inside():
        seen = fuzz(SEED, MESSAGES)
        assert seen[0] > MESSAGES // 10, f"too few requests were accepted: {seen}"
        delete_all()
    for name in ("udp", "udp6"):
        assert len(host.proc_net(name).splitlines()) == 1, "a socket was left open"


def test_user_without_rights(hosts):
    host, _ = hosts
    host.ip("link", "add", "gue0", "type", "gue", "remote", "192.0.2.2", "id", "77")
    before = host.link("gue0")

    def work():
        host.enter()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        seen = fuzz(SEED + 1, MESSAGES)
        assert seen[errno.EPERM] > MESSAGES * 2 // 3, f"NEWLINK and DELLINK are not refused: {seen}"

    in_child(work)
    assert host.link("gue0") == before
    assert host.ip("-br", "link", "show", "type", "gue").stdout.count("\n") == 1


@pytest.mark.parametrize("ends", ["by itself", "with its namespace"])
def test_root_of_a_user_namespace(ends):
    """Root of a user namespace may make gue links in its network namespace, as of any kind."""

    def work():
        os.setresuid(NOBODY, NOBODY, NOBODY)
        # Dumpable, so that this process owns its files in /proc.
        assert libc.prctl(4, 1, 0, 0, 0) == 0
        os.unshare(CLONE_NEWUSER | os.CLONE_NEWNET)
        seen = fuzz(SEED + 2, MESSAGES // 2)
        assert seen[0] > MESSAGES // 20, f"too few requests were accepted: {seen}"
        if ends == "by itself":
            delete_all()

    in_child(work)


def test_link_of_another_namespace_is_out_of_reach():
    """A user namespace's root cannot use the device of a namespace that it does not own."""
    host = Host("other")
    try:
        with host.inside():
            outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)

        def work():
            os.setresuid(NOBODY, NOBODY, NOBODY)
            assert libc.prctl(4, 1, 0, 0, 0) == 0
            os.unshare(CLONE_NEWUSER | os.CLONE_NEWNET)
            client = RouteNetlink()
            data = nl.attribute(ATTRIBUTES["remote"], nl.v4("192.0.2.2"))
            there = nl.attribute(IFLA_NET_NS_FD, nl.s32(outside))
            with pytest.raises(NetlinkError) as info:
                client.call(RTM_NEWLINK, named("gue0", data) + there, nl.NLM_F_ACK | NEW)
            assert info.value.errno == errno.EPERM

        in_child(work)
        os.close(outside)
        assert host.ip("link", "show", "type", "gue").stdout == ""
    finally:
        host.remove()


def test_link_whose_socket_is_in_another_namespace_is_not_changed(hosts):
    """A user namespace's root cannot change a device whose outer packets leave elsewhere."""
    host, _ = hosts
    host.ip("link", "add", "gue0", "type", "gue", "remote", "192.0.2.2")

    def work():
        own = os.getpid()
        is_there, there = os.pipe()
        is_moved, moved = os.pipe()
        if os.fork() == 0:
            # Has its rights still. An empty read: the parent has failed.
            os.close(there)
            if os.read(is_there, 1):
                host.ip("link", "set", "gue0", "netns", str(own))
                os.write(moved, b"1")
            os._exit(0)
        os.close(moved)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        assert libc.prctl(4, 1, 0, 0, 0) == 0
        os.unshare(CLONE_NEWUSER | os.CLONE_NEWNET)
        os.write(there, b"1")
        assert os.read(is_moved, 1) == b"1", "gue0 was not moved"
        client = GueLinks()
        with pytest.raises(NetlinkError) as info:
            client.set("gue0", ttl=1)
        reason = "needs CAP_NET_ADMIN in the network namespace of the link's socket"
        assert (info.value.errno, info.value.reason) == (errno.EPERM, reason)
        assert client.show("gue0")["ttl"] == 0
        client.delete("gue0")

    in_child(work)
