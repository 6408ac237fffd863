# SPDX-License-Identifier: GPL-2.0
"""Random messages to the netlink families: from root, nobody, and root of a user namespace."""

import errno
import os
import random
import struct
import sys
import traceback

import pytest

from testing.lib import gue_keys as keys
from testing.lib import netlink as nl
from testing.lib import peer_family, ports, progress
from testing.lib.gue_keys import GueKeys
from testing.lib.gue_link import COOKIE8, HMAC, GueLinks
from testing.lib.hosts import libc
from testing.lib.netlink import Fou, NetlinkError
from testing.lib.ports import Rfou

SEED = int(os.environ.get("RFOU_SEED", "1"))
MESSAGES = int(os.environ.get("RFOU_MESSAGES", "3000"))
REPEAT = (
    f"to repeat: scripts/vm --kernel {os.environ['RFOU_BUILD']}"
    f" --module {os.environ['RFOU_MODULE']} --env RFOU_SEED={SEED} --env RFOU_MESSAGES={MESSAGES}"
    " -- python3 -B -m pytest tools/testing/guest/robustness/test_netlink_fuzz.py"
)
NOBODY = 65534
CLONE_NEWUSER = 0x10000000
KNOWN = (
    {0, errno.EINVAL, errno.ERANGE, errno.EPERM, errno.EOPNOTSUPP, errno.EMSGSIZE}
    | {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EALREADY, errno.ESRCH, errno.ENODEV}
    | {errno.EAFNOSUPPORT, errno.ENETUNREACH, errno.EACCES}
)
# rfou has EEXIST, EBUSY and ENOENT in place of EALREADY and ESRCH.
KNOWN_TO_RFOU = KNOWN - {errno.EALREADY, errno.ESRCH} | {errno.EEXIST, errno.EBUSY, errno.ENOENT}

# Values of the right length that pass most checks.
VALUES = {
    nl.PORT: [nl.be16(port) for port in (0, 1, 5555, 5556, 65535)],
    nl.AF: [nl.u8(family) for family in (0, 1, 2, 10, 16, 255)],
    nl.IPPROTO: [nl.u8(protocol) for protocol in (0, 4, 17, 41, 47, 255)],
    nl.TYPE: [nl.u8(kind) for kind in (0, 1, 2, 3, 255)],
    nl.REMCSUM_NOPARTIAL: [b""],
    nl.LOCAL_V4: [nl.v4(address) for address in ("0.0.0.0", "127.0.0.1", "192.0.2.1", "224.0.0.1")],
    nl.LOCAL_V6: [nl.v6(address) for address in ("::", "::1", "2001:db8::1", "ff02::1")],
    nl.PEER_V4: [nl.v4(address) for address in ("0.0.0.0", "127.0.0.1", "192.0.2.2")],
    nl.PEER_V6: [nl.v6(address) for address in ("::", "::1", "2001:db8::2")],
    nl.PEER_PORT: [nl.be16(port) for port in (0, 6666, 65535)],
    nl.IFINDEX: [nl.s32(index) for index in (0, 1, 2, -1, 1 << 30)],
}


class FouFamily:
    """The fuzzer's knowledge of the family `fou`."""

    client = Fou
    known = KNOWN
    values = VALUES
    change = (nl.ADD, nl.ADD, nl.ADD, nl.DEL, nl.DEL)
    get = (nl.GET, nl.GET)
    beginnings = ((),)


class RfouFamily:
    """The fuzzer's knowledge of the family `rfou`."""

    client = Rfou
    known = KNOWN_TO_RFOU
    # From LOCAL_V4 to IFINDEX, both families have the same numbers.
    values = VALUES | {
        ports.FAMILY: VALUES[nl.AF],
        ports.PORT: VALUES[nl.PORT],
        ports.ENCAP: VALUES[nl.TYPE],
        ports.PROTOCOL: VALUES[nl.IPPROTO],
    }
    change = (ports.PORT_ADD, ports.PORT_ADD, ports.PORT_ADD, ports.PORT_DEL, ports.PORT_DEL)
    get = (ports.PORT_GET, ports.PORT_GET)
    # Few messages of random attributes pass strict validation.
    beginnings = ((), ports.gue(5555), ports.fou(5556, 41, 6), ports.key(5555), ports.key(5556, 6))


class GueFamily:
    """The fuzzer's knowledge of the family `gue`, in a namespace with `DEVICES`."""

    client = GueKeys
    known = {0, errno.EINVAL, errno.ERANGE, errno.EPERM, errno.EOPNOTSUPP, errno.EMSGSIZE} | {
        errno.ENODEV,
        errno.ENOENT,
        errno.ENOSPC,
        # Errors of pings.
        errno.EAGAIN,
        errno.ENOKEY,
        errno.ENETDOWN,
        errno.EHOSTUNREACH,
    }
    values = {
        keys.IFINDEX: [keys.u32(index) for index in (0, 1, 2, 3, 4, 1 << 31, 2**32 - 1)],
        keys.IFNAME: [f"{name}\0".encode() for name in ("lo", "none", "k0", "k1", "p0", "k" * 15)],
        keys.KEY_ID: [keys.u32(number) for number in (0, 1, 2, 3, 2**32 - 1)],
        keys.SECRET: [bytes(length) for length in (1, 7, 8, 16, 32, 64, 128)],
        keys.DIRECTION: [nl.u8(direction) for direction in (0, 1, 2, 3, 4, 255)],
        keys.NAT: [b""],
        # Attributes that only answers have.
        peer_family.REMOTE4: [bytes(4)],
        peer_family.SEQUENCE: [bytes(8)],
    }
    change = (keys.SET, keys.SET, keys.SET, keys.DEL, peer_family.PING)
    get = (keys.GET, peer_family.PEER_GET)
    beginnings = (
        (),
        (keys.ifname("p0"),),
        (keys.ifname("k0"),),
        *(
            (keys.ifname(name), (keys.KEY_ID, keys.u32(number)), *secret)
            for name, secret in (
                ("k0", [(keys.SECRET, bytes(8))]),
                ("k1", [(keys.SECRET, bytes(20))]),
                ("k0", []),
                ("k1", []),
            )
            for number in (1, 2)
        ),
    )


DEVICES = {"k0": COOKIE8, "k1": HMAC}


def make_devices(host=None):
    """Makes devices for keys, in a host or in the caller's namespace."""
    links = GueLinks(host)
    for number, (name, auth) in enumerate(DEVICES.items()):
        links.add(name, remote="192.0.2.2", id=number, auth=auth)
    # A device to ping, while its keepalive timer runs.
    links.add("p0", remote="192.0.2.2", keepalive=1, up=True)
    links.close()


needs_rgue = pytest.mark.skipif(
    "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
)
FAMILIES = [FouFamily, pytest.param(RfouFamily, marks=pytest.mark.rfou_only)]
every_family = pytest.mark.parametrize("family", FAMILIES)


def one_in(rng, number):
    """Returns true once in `number` times."""
    return rng.randrange(number) == 0


def random_attribute(rng, values):
    """Returns an attribute, mostly a valid one."""
    number = rng.choice(list(values))
    value = rng.choice(values[number])
    if one_in(rng, 12):
        value = rng.randbytes(rng.randrange(24))
    if one_in(rng, 20):
        number = rng.randrange(0x10000)
    data = struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)
    if one_in(rng, 25):
        # A wrong length.
        data = struct.pack("=H", rng.choice((0, 3, 4, 5, 8, 0xFFFF, rng.randrange(64)))) + data[2:]
    return data


def random_message(rng, family):
    """Returns a message: command, version, flags and attributes."""
    command = rng.choice((*family.change, *family.get))
    if one_in(rng, 20):
        command = rng.randrange(256)
    flags = nl.NLM_F_ACK
    if one_in(rng, 6):
        flags |= nl.NLM_F_DUMP
    if one_in(rng, 20):
        flags |= rng.randrange(0x10000) & ~1
    count = rng.choice((0, 1, 2, 3, 4, 5, 8))
    beginning = rng.choice(family.beginnings)
    if beginning:
        count //= 4
    payload = b"".join(nl.attribute(*pair) for pair in beginning)
    payload += b"".join(random_attribute(rng, family.values) for _ in range(count))
    if one_in(rng, 20):
        payload = payload[: rng.randrange(len(payload) + 1)]
    if one_in(rng, 100):
        payload += bytes(rng.randrange(5000))
    return command, rng.choice((1, 1, 1, 0, 255)), flags, payload


def fuzz(family, seed, count):
    """Sends random messages; returns how often each error number came (0: none)."""
    print(f"seed {seed}, {count} messages; {REPEAT}")
    rng = random.Random(seed)
    client = family.client()
    client.socket.settimeout(1)
    seen = {}
    for sent in range(count):
        progress.report(f"message {sent} of seed {seed}")
        command, version, flags, payload = random_message(rng, family)
        number = 0
        try:
            # Without NLM_F_ACK, only errors and dumps would be answered.
            client.call(client.family, command, payload, flags | nl.NLM_F_ACK, version)
        except NetlinkError as error:
            number = error.errno
        seen[number] = seen.get(number, 0) + 1
    client.close()
    assert set(seen) <= family.known, f"the family does not have this error number: {seen}"
    return seen


def in_child(work):
    """Runs `work()` in a child process; fails if it raises."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "see above"


@every_family
def test_administrator(hosts, fou, family):
    with hosts[0].inside():
        seen = fuzz(family, SEED, MESSAGES)
    print(seen)
    assert seen[0] > MESSAGES // 100, f"too few messages were accepted: {seen}"
    fou.delete_all()
    assert fou.dump() == []
    for name in ("udp", "udp6"):
        assert len(hosts[0].proc_net(name).splitlines()) == 1, "a socket was left open"


@every_family
def test_user_without_rights(hosts, fou, family):
    fou.add((nl.PORT, nl.be16(5555)), (nl.TYPE, nl.u8(nl.GUE)))
    before = fou.dump()

    def work():
        hosts[0].enter()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        seen = fuzz(family, SEED + 1, MESSAGES)
        assert seen.get(errno.EPERM, 0) > MESSAGES // 2, f"ADD and DEL are not refused: {seen}"

    in_child(work)
    assert fou.dump() == before, "a port was changed"
    fou.delete((nl.PORT, nl.be16(5555)))


def test_root_of_a_user_namespace(hosts):
    """Root of a user namespace may not open kernel sockets, as with Linux's fou."""

    def work():
        os.setresuid(NOBODY, NOBODY, NOBODY)
        # Dumpable, so that this process owns its files in /proc.
        assert libc.prctl(4, 1, 0, 0, 0) == 0
        os.unshare(CLONE_NEWUSER | os.CLONE_NEWNET)
        seen = fuzz(FouFamily, SEED + 2, MESSAGES)
        assert seen.get(errno.EPERM, 0) > MESSAGES // 2, f"ADD and DEL are not refused: {seen}"
        client = Fou()
        assert client.dump() == [], "a port was added"

    in_child(work)


@pytest.mark.rfou_only
def test_root_of_a_user_namespace_with_rights(hosts):
    """The family `rfou` asks for rights in the user namespace of the network namespace."""

    def work():
        os.setresuid(NOBODY, NOBODY, NOBODY)
        assert libc.prctl(4, 1, 0, 0, 0) == 0
        os.unshare(CLONE_NEWUSER | os.CLONE_NEWNET)
        seen = fuzz(RfouFamily, SEED + 3, MESSAGES)
        assert seen[0] > MESSAGES // 100, f"too few messages were accepted: {seen}"

    in_child(work)


@needs_rgue
@pytest.mark.rfou_only
def test_administrator_of_keys(hosts):
    h1 = hosts[0]
    make_devices(h1)
    with h1.inside():
        seen = fuzz(GueFamily, SEED + 4, MESSAGES)
    print(seen)
    assert seen[0] > MESSAGES // 100, f"too few messages were accepted: {seen}"
    client = GueKeys(h1)
    for key in client.dump():
        client.delete(key["device"], key["key_id"])
    assert client.dump() == []
    client.close()


@needs_rgue
@pytest.mark.rfou_only
def test_user_without_rights_to_keys(hosts):
    h1 = hosts[0]
    make_devices(h1)
    client = GueKeys(h1)
    client.set("k0", 1, b"12345678")
    before = client.dump()

    def work():
        h1.enter()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        seen = fuzz(GueFamily, SEED + 5, MESSAGES)
        assert seen.get(errno.EPERM, 0) > MESSAGES // 3, f"SET and DEL are not refused: {seen}"

    in_child(work)
    assert client.dump() == before, "a key was changed"
    client.close()


@needs_rgue
@pytest.mark.rfou_only
def test_root_of_a_user_namespace_sets_keys_of_its_devices():
    def work():
        os.setresuid(NOBODY, NOBODY, NOBODY)
        assert libc.prctl(4, 1, 0, 0, 0) == 0
        os.unshare(CLONE_NEWUSER | os.CLONE_NEWNET)
        make_devices()
        seen = fuzz(GueFamily, SEED + 6, MESSAGES)
        assert seen[0] > MESSAGES // 100, f"too few messages were accepted: {seen}"

    in_child(work)


def odd_sizes():
    """Sends messages with zeros in place of attributes, and a length up to 3 bytes too small."""
    client = Fou()
    for size in (*range(0, 24), 4096, 65536):
        body = struct.pack("=BBH", nl.ADD, 1, 0) + bytes(size)
        for cut in range(4):
            header = struct.pack("=IHHII", 16 + len(body) - cut, client.family, 5, 1, 0)
            client.socket.send(header + body)
            client.socket.recv(1 << 17)
    client.close()


def test_oversized_and_undersized_messages(hosts, fou):
    with hosts[0].inside():
        odd_sizes()

    def work():
        hosts[0].enter()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        odd_sizes()

    in_child(work)
    assert fou.dump() == []
