# SPDX-License-Identifier: GPL-2.0
"""Keys of gue devices: who may set them, who sees them, and how both ends change them.

h1: gue0 10.1.1.1, fd00::1 -- eth0 ===== eth0 -- gue0 10.1.1.2, fd00::2 :h2
"""

import contextlib
import ctypes
import errno
import os
import threading
import time

import pytest

from testing.lib import netlink as nl
from testing.lib.gue_keys import (
    ACCEPT,
    BOTH,
    DEL,
    DIRECTION,
    GET,
    IFINDEX,
    KEY_ID,
    SECRET,
    SEND,
    SET,
    GueKeys,
    ifname,
    u32,
)
from testing.lib.gue_link import ALL, COOKIE8, COOKIE32, HMAC, GueLinks
from testing.lib.hosts import Capture, is_udp_to, wait_until
from testing.lib.netlink import NetlinkError
from testing.lib.secret_memory import found_in_memory, set_unseen
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import no_checksum_errors, segment_in_software

ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
SECRETS = {COOKIE8: b"12345678", COOKIE32: bytes(range(32)), HMAC: b"a secret of bytes"}
DATA = bytes(range(251)) * 2000


class Pair:
    """A device in each host, with the same options."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.links = [GueLinks(host) for host in hosts]
        self.keys = [GueKeys(host) for host in hosts]

    def add(self, outer=4, **options):
        """Makes the devices."""
        for number, (host, links) in enumerate(zip(self.hosts, self.links, strict=True)):
            links.add("gue0", remote=ENDS[outer][1 - number], up=True, **options)
            host.batch(
                f"addr add 10.1.1.{number + 1}/24 dev gue0",
                f"addr add fd00::{number + 1}/64 dev gue0 nodad",
            )

    def set(self, *arguments, **options):
        """Sets a key at both ends."""
        for keys in self.keys:
            keys.set("gue0", *arguments, **options)

    def close(self):
        """Closes the sockets."""
        for made in (*self.links, *self.keys):
            made.close()


@pytest.fixture
def pair(hosts):
    """A device in each host."""
    made = Pair(hosts)
    yield made
    made.close()


def errors(host):
    """Returns the errors that a host's device counts."""
    traffic = host.traffic("gue0")
    return traffic["rx"]["errors"] + traffic["tx"]["errors"]


MODES = {
    "cookie8": {"auth": COOKIE8},
    "cookie32": {"auth": COOKIE32, "headercsum": 1, "crc": 1},
    "hmac": {"auth": HMAC, "cover": 0},
    "hmac and remcsum": {"auth": HMAC, "cover": 0, "remcsum": 1, "udp_csum": 1},
    "hmac of the beginning": {"auth": HMAC, "cover": 100},
    "hmac of all": {"auth": HMAC, "cover": ALL},
    "all of all": {
        "auth": HMAC,
        "cover": ALL,
        "headercsum": 1,
        "headercsum_cover": ALL,
        "crc": 1,
        "crc_cover": ALL,
        "udp_csum": 1,
    },
}


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("outer", [4, 6])
def test_tcp_passes_both_ways(hosts, pair, outer, mode):
    """TCP sends GSO packets of 64 KiB. The device segments them if a field covers payload."""
    options = MODES[mode]
    pair.add(outer, **options)
    if "auth" in options:
        pair.set(1, SECRETS[options["auth"]])
    for address in ("10.1.1.", "fd00::"):
        assert tcp_arrives(*hosts, f"{address}2", DATA)
        assert tcp_arrives(*reversed(hosts), f"{address}1", DATA)
    assert all(no_checksum_errors(host) for host in hosts)
    assert [errors(host) for host in hosts] == [0, 0]


@pytest.mark.soak_on_debug
@pytest.mark.parametrize(
    "mode", ["hmac", "hmac and remcsum", "hmac of the beginning", "all of all"]
)
def test_tcp_passes_over_devices_without_offloads(hosts, pair, mode):
    """The stack completes checksums after the device: no field may cover a partial checksum."""
    pair.add(**MODES[mode])
    pair.set(1, SECRETS[HMAC])
    for host in hosts:
        segment_in_software(host)
        host.run("ethtool", "-K", "eth0", "tx", "off")
    assert tcp_arrives(*hosts, "10.1.1.2", DATA)
    assert tcp_arrives(*hosts, "fd00::2", DATA)
    assert all(no_checksum_errors(host) for host in hosts)
    assert [errors(host) for host in hosts] == [0, 0]


@pytest.mark.parametrize("mode", ["hmac", "hmac of all"])
def test_tcp_passes_through_vxlan_in_the_tunnel(hosts, pair, mode):
    """VXLAN's UDP checksum is partial, also in the segments of a GSO packet."""
    pair.add(**MODES[mode])
    pair.set(1, SECRETS[HMAC])
    for number, host in enumerate(hosts, start=1):
        host.batch(
            f"link add vx0 type vxlan id 5 remote 10.1.1.{3 - number} local 10.1.1.{number}"
            " dstport 4789 udpcsum",
            f"addr add 10.2.2.{number}/24 dev vx0",
            "link set vx0 up",
        )
        segment_in_software(host)
        host.run("ethtool", "-K", "eth0", "tx", "off")
    assert tcp_arrives(*hosts, "10.2.2.2", DATA)
    assert all(no_checksum_errors(host) for host in hosts)
    assert [errors(host) for host in hosts] == [0, 0]


@pytest.mark.parametrize("auth", SECRETS)
def test_keys_are_changed_without_losing_a_packet(hosts, pair, auth):
    """The new key is accepted at both ends before one of them sends with it."""
    pair.add(auth=auth)
    old, new = SECRETS[auth], bytes(byte ^ 0xFF for byte in SECRETS[auth])
    pair.set(1, old)
    results = []
    # Four transfers one after another, and the key changes meanwhile.
    sender = threading.Thread(
        target=lambda: results.extend(tcp_arrives(*hosts, "10.1.1.2", DATA) for _ in range(4))
    )
    sender.start()
    pair.set(2, new, direction=ACCEPT)
    pair.set(2, new)
    for keys in pair.keys:
        assert [key["direction"] for key in keys.dump()] == [ACCEPT, BOTH]
    for keys in pair.keys:
        keys.delete("gue0", 1)
    sender.join()
    assert results == [True] * 4
    assert [errors(host) for host in hosts] == [0, 0]


@pytest.mark.soak_on_debug
def test_old_key_is_not_accepted_after_its_deletion(hosts, pair):
    pair.add(auth=HMAC)
    pair.set(1, b"the old secret")
    hosts[0].run("ping", "-n", "-c", 1, "-W", 2, "10.1.1.2")
    pair.keys[1].set("gue0", 2, b"the new secret")
    pair.keys[1].delete("gue0", 1)
    before = errors(hosts[1])
    hosts[0].run("ping", "-n", "-c", 1, "-W", 1, "10.1.1.2", check=False)
    assert errors(hosts[1]) == before + 1


def test_key_of_one_id_is_replaced(hosts, pair):
    pair.add(auth=COOKIE8)
    pair.set(1, b"11111111")
    pair.set(1, b"22222222")
    assert len(pair.keys[0].dump()) == 1
    with Capture(hosts[1], "eth0") as capture:
        hosts[0].run("ping", "-n", "-c", 1, "-W", 2, "10.1.1.2")
        [frame] = capture.frames(lambda frame: is_udp_to(frame, 6080) and frame[12:14] == b"\x08\0")
    assert b"22222222" in frame and b"11111111" not in frame


def test_directions(pair):
    keys = pair.keys[0]
    pair.add(auth=HMAC)
    keys.set("gue0", 5, b"sends and accepts")
    keys.set("gue0", 3, b"accepts only", direction=ACCEPT)
    keys.set("gue0", 4, b"sends only", direction=SEND)
    shown = [(key["key_id"], key["direction"]) for key in keys.dump()]
    assert shown == [(3, ACCEPT), (4, SEND), (5, ACCEPT)]
    keys.set("gue0", 9, b"sends and accepts")
    # Key 9 sends from now on. Key 4 was only for sending, and is deleted.
    shown = [(key["key_id"], key["direction"]) for key in keys.dump()]
    assert shown == [(3, ACCEPT), (5, ACCEPT), (9, BOTH)]


@pytest.mark.parametrize("cover", [0, ALL])
@pytest.mark.parametrize("outer", [4, 6])
def test_nat_leaves_the_addresses_out(hosts, pair, outer, cover):
    """The hash of a key with nat leaves out the addresses. A key without nat covers them."""
    pair.add(outer, auth=HMAC, cover=cover)
    first, second = pair.keys
    there, back = b"from one to two", b"from two to one"
    first.set("gue0", 1, there, direction=SEND, nat=True)
    first.set("gue0", 2, back, direction=ACCEPT, nat=True)
    second.set("gue0", 1, there, direction=ACCEPT, nat=True)
    second.set("gue0", 2, back, direction=SEND, nat=True)
    hosts[0].run("ping", "-n", "-c", 1, "-W", 2, "10.1.1.2")
    assert [key["nat"] for key in first.dump()] == [True, True]
    # Another secret has another hash. So has the same one without nat, which covers the addresses.
    for secret, nat in ((b"another secret", True), (there, False)):
        second.delete("gue0", 1)
        second.set("gue0", 1, secret, direction=ACCEPT, nat=nat)
        before = errors(hosts[1])
        hosts[0].run("ping", "-n", "-c", 1, "-W", 1, "10.1.1.2", check=False)
        assert errors(hosts[1]) == before + 1


@pytest.mark.parametrize("cover", [0, ALL])
def test_key_that_only_sends_is_not_accepted(hosts, pair, cover):
    pair.add(auth=HMAC, cover=cover)
    first, second = pair.keys
    for keys in pair.keys:
        keys.set("gue0", 2, b"from two to one")
        keys.set("gue0", 1, b"from one to two", direction=ACCEPT)
    hosts[0].run("ping", "-n", "-c", 1, "-W", 2, "10.1.1.2")
    first.set("gue0", 1, b"from one to two")
    hosts[0].run("ping", "-n", "-c", 1, "-W", 2, "10.1.1.2")
    second.set("gue0", 1, b"from one to two", direction=SEND)
    before = errors(hosts[1])
    hosts[0].run("ping", "-n", "-c", 1, "-W", 1, "10.1.1.2", check=False)
    assert errors(hosts[1]) == before + 1


@contextlib.contextmanager
def refused(number, reason):
    """Expects a refusal with an error number and a text."""
    with pytest.raises(NetlinkError) as caught:
        yield
    assert (caught.value.errno, caught.value.reason) == (number, reason)


@pytest.mark.soak_on_debug
def test_refusals_name_what_is_wrong(pair):
    keys = pair.keys[0]
    pair.add(auth=HMAC)
    pair.links[0].add("plain", remote="192.0.2.9")
    pair.links[0].add("cookie", remote="192.0.2.10", auth=COOKIE8)
    name, one, secret = ifname("gue0"), (KEY_ID, u32(1)), (SECRET, b"a secret of bytes")
    no_device = "no gue device has this index or name"
    for command in (SET, DEL, GET):
        more = [secret] if command == SET else []
        with refused(errno.EINVAL, "a device is missing: its index or name"):
            keys.do(command, one, *more)
        with refused(errno.EINVAL, "key id is missing"):
            keys.do(command, name, *more)
        with refused(errno.EINVAL, "a device is named by its index or by its name"):
            keys.do(command, name, (IFINDEX, u32(1)), one, *more)
        for device in (ifname("none"), ifname("lo"), (IFINDEX, u32(1)), (IFINDEX, u32(2**32 - 1))):
            with refused(errno.ENODEV, no_device):
                keys.do(command, device, one, *more)
        with refused(errno.EOPNOTSUPP, "the device was made without auth, and has no keys"):
            keys.do(command, ifname("plain"), one, *more)
    with refused(errno.EINVAL, "secret is missing"):
        keys.do(SET, name, one)
    for length in (0, 1, 7, 129, 1000):
        with pytest.raises(NetlinkError) as caught:
            keys.set("gue0", 1, bytes(length))
        assert caught.value.errno in (errno.EINVAL, errno.ERANGE), length
    for length in (7, 9, 16):
        with refused(errno.EINVAL, "a secret for cookie8 has 8 bytes"):
            keys.set("cookie", 1, bytes(length))
    with refused(errno.EINVAL, "direction must be 1 (accept), 2 (send) or 3 (both)"):
        keys.set("gue0", 1, secret[1], direction=4)
    with refused(errno.EINVAL, "nat needs auth hmac: a cookie does not cover addresses"):
        keys.set("cookie", 1, bytes(8), direction=SEND, nat=True)
    with pytest.raises(NetlinkError, match="with nat, accept and send need keys of their own"):
        keys.set("gue0", 1, secret[1], nat=True)
    keys.set("gue0", 1, secret[1], direction=SEND, nat=True)
    with refused(errno.EINVAL, "with nat, the keys to accept and to send must differ"):
        keys.set("gue0", 2, secret[1], direction=ACCEPT, nat=True)
    with refused(errno.ENOENT, "the device has no key with this id"):
        keys.delete("gue0", 2)
    for command in (DEL, GET):
        with refused(errno.EINVAL, "only a request to set a key has this attribute"):
            keys.do(command, name, one, (DIRECTION, nl.u8(1)))
    for key_id in range(2, 9):
        keys.set("gue0", key_id, secret[1] + bytes([key_id]), direction=ACCEPT)
    with refused(errno.ENOSPC, "the device has 8 keys; delete one first"):
        keys.set("gue0", 9, b"one too many", direction=ACCEPT)
    assert [key["key_id"] for key in keys.dump()] == list(range(1, 9))


@pytest.mark.soak_on_debug
def test_dump_goes_over_many_buffers(hosts, pair):
    """Each key once, in the order of devices and ids, and no key of another namespace."""
    expected = []
    # More than one buffer of 32 KiB.
    for number in range(120):
        pair.links[0].add(f"g{number}", remote="192.0.2.2", id=number, auth=HMAC)
        for key_id in range(8):
            pair.keys[0].set(f"g{number}", key_id, b"a secret of bytes", direction=ACCEPT)
            expected.append((f"g{number}", key_id))
    shown = pair.keys[0].dump()
    assert [(key["device"], key["key_id"]) for key in shown] == expected
    assert {key["auth"] for key in shown} == {HMAC}
    assert pair.keys[1].dump() == []
    index = int(hosts[0].link("g7")["ifindex"])
    assert {key["ifindex"] for key in shown if key["device"] == "g7"} == {index}


def test_nobody_sees_a_secret(hosts, pair):
    """No answer to root has the secret. Any user sees that there is a key, and cannot change it."""
    secret = os.urandom(24)
    pair.add(auth=HMAC)
    pair.keys[0].set("gue0", 7, secret)
    answers = b"".join(pair.keys[0].dump_raw())
    answers += b"".join(
        pair.keys[0].do(GET, ifname("gue0"), (KEY_ID, u32(7)))
        + [value for _, value in pair.links[0].attributes("gue0")]
    )
    assert secret[:8] not in answers
    assert pair.keys[0].get("gue0", 7)["key_id"] == 7
    with hosts[0].inside():
        seteuid(65534)
        try:
            user = GueKeys()
            assert [key["key_id"] for key in user.dump()] == [7]
            assert secret[:8] not in b"".join(user.dump_raw())
            for work in (
                lambda: user.set("gue0", 7, secret),
                lambda: user.delete("gue0", 7),
            ):
                with pytest.raises(NetlinkError) as caught:
                    work()
                assert caught.value.errno == errno.EPERM
            user.close()
        finally:
            seteuid(0)


def seteuid(user):
    """Changes the effective user of this thread alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(117, -1, user, -1):
        raise OSError(ctypes.get_errno(), "setresuid")


def test_refused_request_does_not_echo_the_secret(pair):
    """Netlink's error message has the request, in which rgue has overwritten the secret."""
    secret = os.urandom(16)
    pair.add(auth=COOKIE8)
    keys = pair.keys[0]
    wire, answers = keys.socket, []

    class Listening:
        """A socket that records the answers that it receives."""

        def recv(self, size):
            """Receives."""
            answers.append(wire.recv(size))
            return answers[-1]

        def __getattr__(self, name):
            return getattr(wire, name)

    keys.socket = Listening()
    name, one, field = ifname("gue0"), (KEY_ID, u32(1)), (SECRET, secret)
    requests = {
        "a secret for cookie8 has 8 bytes": (SET, name, one, field),
        "no gue device has this index or name": (SET, ifname("gue9"), one, field),
        "key id is missing": (SET, name, field),
        "a device is missing: its index or name": (SET, one, field),
        "direction must be 1 (accept), 2 (send) or 3 (both)": (
            SET,
            name,
            one,
            (DIRECTION, nl.u8(9)),
            field,
        ),
        "only a request to set a key has this attribute": (DEL, name, one, field),
    }
    try:
        for reason, request in requests.items():
            with pytest.raises(NetlinkError) as caught:
                keys.do(*request)
            assert caught.value.reason == reason
    finally:
        keys.socket = wire
    assert len(answers) == len(requests)
    assert all(secret[:8] not in answer for answer in answers)


@pytest.mark.stock_only
def test_memory_has_no_key_that_is_gone(pair):
    """Memory has a cookie in use once, no deleted cookie, and no secret of a keyed hash."""
    pair.add(auth=COOKIE32)
    pair.links[0].add("gue1", remote="192.0.2.9", auth=HMAC)
    keys = pair.keys[0]
    used = set_unseen(keys, "gue0", 1, 32)
    deleted = set_unseen(keys, "gue0", 2, 32)
    hashed = set_unseen(keys, "gue1", 1, 32)
    gone = set_unseen(keys, "gue1", 2, 32)
    keys.delete("gue0", 2)
    keys.delete("gue1", 2)
    expected = {used: 1, deleted: 0, hashed: 0, gone: 0}
    # rgue overwrites keys after an RCU grace period, which takes seconds on a busy machine.
    for _ in range(3):
        time.sleep(0.5)
        found = found_in_memory(list(expected))
        if found == expected:
            break
    assert found == expected


def test_keys_belong_to_the_namespace_that_the_device_sends_to(hosts, pair):
    """Root of another user namespace has the device in its namespace, and cannot set its keys."""
    pair.add(auth=COOKIE8)
    pair.keys[0].set("gue0", 1, b"12345678")
    # A network namespace of a user namespace of its own: its owner has all rights there.
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
            os.write(ready[1], b".")
            os.read(done[0], 1)
            keys = GueKeys()
            failures = []
            for work in (
                lambda: keys.set("gue0", 1, b"87654321"),
                lambda: keys.delete("gue0", 1),
            ):
                try:
                    work()
                    failures.append(0)
                except NetlinkError as error:
                    failures.append(error.errno)
            shown = [key["key_id"] for key in keys.dump()]
            os._exit(0 if failures == [errno.EPERM] * 2 and shown == [1] else 1)
        finally:
            os._exit(2)
    os.read(ready[0], 1)
    hosts[0].ip("link", "set", "gue0", "netns", child)
    os.write(done[1], b".")
    _, status = os.waitpid(child, 0)
    for number in (*ready, *done):
        os.close(number)
    assert os.waitstatus_to_exitcode(status) == 0


def test_auth_is_fixed(pair):
    pair.add(auth=HMAC, cover=0)
    links = pair.links[0]
    for auth in (COOKIE8, 0):
        with refused(errno.EOPNOTSUPP, "auth cannot be changed"):
            links.set("gue0", auth=auth)
    before = links.mtu("gue0")
    links.set("gue0", headercsum=1, crc=1)
    assert links.mtu("gue0") == before - 12
    links.set("gue0", headercsum=0, crc=0)
    assert links.mtu("gue0") == before


@pytest.mark.soak_on_debug
def test_change_of_coverage_takes_effect_at_once(hosts, pair):
    pair.add(auth=HMAC)
    pair.set(1, b"a secret of bytes")
    hosts[0].run("ping", "-n", "-c", 1, "-W", 2, "10.1.1.2")
    pair.links[1].set("gue0", cover=ALL)
    before = errors(hosts[1])
    hosts[0].run("ping", "-n", "-c", 1, "-W", 1, "10.1.1.2", check=False)
    assert errors(hosts[1]) == before + 1, "the coverage is demanded"
    pair.links[0].set("gue0", cover=ALL)
    hosts[0].run("ping", "-n", "-c", 1, "-W", 2, "10.1.1.2")


@pytest.mark.soak_on_debug
def test_change_of_sums_takes_effect_at_once(hosts, pair):
    pair.add()
    hosts[0].run("ping", "-n", "-c", 1, "-W", 2, "10.1.1.2")
    pair.links[1].set("gue0", headercsum=1)
    before = errors(hosts[1])
    hosts[0].run("ping", "-n", "-c", 1, "-W", 1, "10.1.1.2", check=False)
    assert errors(hosts[1]) == before + 1, "the checksum is demanded"
    pair.links[0].set("gue0", headercsum=1)
    hosts[0].run("ping", "-n", "-c", 1, "-W", 2, "10.1.1.2")


def test_keys_go_with_the_device(pair):
    pair.add(auth=HMAC)
    pair.keys[0].set("gue0", 1, b"a secret of bytes")
    pair.links[0].delete("gue0")
    wait_until(lambda: pair.keys[0].dump() == [], "the key is gone")
