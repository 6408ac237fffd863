# SPDX-License-Identifier: GPL-2.0
"""Keepalive of gue devices: echo requests and replies, the carrier, replays and floods.

h1: gue0 10.1.1.1 -- eth0 ===== eth0 -- gue0 10.1.1.2, or a peer in Python :h2
"""

import contextlib
import json
import subprocess
import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testing.lib import gue_peer
from testing.lib.echo_peer import REPLY, REQUEST, EchoPeer, Terms, shared
from testing.lib.gue_link import ALL, HMAC
from testing.lib.gue_values import Header
from testing.lib.hosts import Capture, wait_until
from testing.lib.peer_family import PEER_ALIVE, PEER_DEAD, PeerListener
from testing.lib.tunnel_ends import PORT, SLACK, ends, is_control

ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
KEY = b"a key of both ends"
# By name: options of the device, its keys, and the terms of a Python peer.
MODES = {
    "no auth": ({}, (), Terms()),
    "hmac": ({"auth": HMAC, "cover": ALL}, ((1, KEY, {}),), shared(1, KEY)),
}


@pytest.fixture(name="both")
def both_fixture(hosts):
    """Devices of both hosts."""
    with ends(*hosts) as made:
        yield made


@contextlib.contextmanager
def python_peer(hosts, outer=4, terms=None, **options):
    """Yields a peer in Python in the second host."""
    peer = EchoPeer(hosts[1], ENDS[outer][1], ENDS[outer][0], terms, **options)
    try:
        yield peer
    finally:
        peer.close()


def cut(host):
    """Has a host drop the tunnel's packets."""
    chain = f"type filter hook input priority 0; udp dport {PORT} drop;"
    host.run("nft", f"table inet cut {{ chain in {{ {chain} }}; }}")


def mend(host):
    """Ends `cut`."""
    host.run("nft", "delete table inet cut")


def way_out(host):
    """Returns the device that a packet for a far address leaves by."""
    [route] = json.loads(host.ip("-j", "route", "get", "198.51.100.9").stdout)
    return route["dev"]


@pytest.mark.parametrize(
    ("outer", "mode"), [pytest.param(4, "no auth", marks=pytest.mark.soak_on_debug), (6, "hmac")]
)
def test_carrier_follows_the_peer(hosts, both, outer, mode):
    """Carrier, route, `ip monitor` and the family follow a cut of the underlay and its end."""
    h1, h2 = hosts
    one, two = both
    options, keys, _ = MODES[mode]
    listener = PeerListener(h1)
    one.add("gue0", remote=ENDS[outer][1], keys=keys, keepalive=1, dead=2, **options)
    # The other end answers without a keepalive of its own.
    two.add("gue0", remote=ENDS[outer][0], keys=keys, **options)
    h1.batch(
        "addr add 10.1.1.1/24 dev gue0",
        "route add default dev gue0 metric 10",
        "route add default via 192.0.2.2 dev eth0 metric 20",
    )
    h1.sysctl("net.ipv4.conf.gue0.ignore_routes_with_linkdown", 1)
    wait_until(lambda: one.peers.get("gue0")["alive"], "the peer answers")
    wait_until(lambda: "last_heard" in one.peers.get("gue0"), "the peer is heard")
    assert one.has_carrier("gue0") and way_out(h1) == "gue0"
    monitor = h1.start("ip", "monitor", "link", stdout=subprocess.PIPE)
    cut(h2)
    begin = time.monotonic()
    wait_until(lambda: not one.has_carrier("gue0"), "the carrier goes")
    silence = time.monotonic() - begin
    assert silence < 2 + 1 + SLACK, f"dead after {silence:.1f} s, and not within 2 s and a tick"
    assert way_out(h1) == "eth0"
    shown = one.peers.get("gue0")
    assert shown["alive"] is False and shown["last_heard"] >= 2000
    command, told = heard(listener, PEER_DEAD)
    assert (told["device"], told["remote"], told["alive"]) == ("gue0", ENDS[outer][1], False)
    # The other end has no keepalive, and notices nothing.
    assert two.has_carrier("gue0") and "alive" not in two.peers.get("gue0")
    mend(h2)
    begin = time.monotonic()
    wait_until(lambda: one.has_carrier("gue0"), "the carrier comes back")
    assert time.monotonic() - begin < 2 + SLACK
    wait_until(lambda: way_out(h1) == "gue0", "the route is used again")
    command, told = heard(listener, PEER_ALIVE)
    assert command == PEER_ALIVE and told["alive"] is True
    assert "flags" in json.loads(h1.ip("-j", "link", "show", "gue0").stdout)[0]
    monitor.terminate()
    text = monitor.communicate(timeout=10)[0]
    lines = [line for line in text.splitlines() if " gue0: " in line]
    down = [number for number, line in enumerate(lines) if "NO-CARRIER" in line]
    assert down and down[-1] < len(lines) - 1, f"`ip monitor` does not show both changes: {lines}"
    listener.close()


def heard(listener, wanted):
    """Returns the next notification of a kind."""
    while (told := listener.receive()) is not None:
        if told[0] == wanted:
            return told
    raise AssertionError(f"no notification {wanted}")


@pytest.mark.soak_on_debug
def test_data_is_a_sign_of_life_and_saves_requests(hosts, both):
    for number, end in enumerate(both, start=1):
        end.add("gue0", remote=ENDS[4][2 - number], keepalive=1, dead=3)
        end.host.ip("addr", "add", f"10.1.1.{number}/24", "dev", "gue0")
    with Capture(hosts[1], "eth0") as capture:
        hosts[0].run("ping", "-n", "-q", "-c", 14, "-i", "0.2", "-W", 2, "10.1.1.2")
        during = capture.frames(is_control, 100, timeout=0)
        # The first ticks may come before the first packets.
        assert len(during) <= 2, f"{len(during)} control messages beside data"
        assert capture.frames(is_control, 1, timeout=3 + SLACK), "a silent peer is asked"
    assert all(end.peers.get("gue0")["alive"] for end in both)


@pytest.mark.soak_on_debug
def test_the_statistics_of_a_peer_are_those_of_the_device(hosts, both):
    """`ip -s -d link` and the family agree."""
    options, keys, terms = MODES["hmac"]
    both[0].add("gue0", remote=ENDS[4][1], keys=keys, **options)
    info = hosts[0].link("gue0")["linkinfo"]["info_xstats"]
    assert "rtt_ns" not in info and "last_heard_ms" not in info
    with python_peer(hosts, 4, terms) as peer:
        data = peer.request(1)
        assert peer.expect(REPLY).token == 1
        peer.send(data)
        peer.request(2, terms=Terms())
        both[0].peers.ping("gue0")
        for message in (peer.expect(REQUEST), peer.expect(REQUEST)):
            peer.answer(message)
        wait_until(lambda: "rtt" in both[0].peers.get("gue0"), "the ping is answered")
    shown = both[0].peers.get("gue0")
    info = hosts[0].link("gue0")["linkinfo"]["info_xstats"]
    names = ("requests", "replies", "limited", "auth_failures", "moves", "replays")
    assert {name: info[name] for name in names} == {name: shown[name] for name in names}
    assert [info[name] for name in names] == [1, 1, 0, 1, 0, 1]
    assert info["rtt_ns"] == shown["rtt"] and info["last_heard_ms"] < 5000


@pytest.mark.soak_on_debug
def test_recorded_messages_are_no_sign_of_life(hosts, both):
    """A recorded request is not answered, and a recorded answer keeps no carrier on."""
    options, keys, terms = MODES["hmac"]
    one = both[0]
    one.add("gue0", remote=ENDS[4][1], keys=keys, keepalive=1, dead=2, **options)
    with python_peer(hosts, 4, terms) as peer:
        asked = peer.expect(REQUEST)
        answer = peer.answer(asked)
        request = peer.request(7)
        assert peer.expect(REPLY).token == 7
        wait_until(lambda: one.peers.get("gue0")["alive"], "the peer lives")
        before = one.peers.get("gue0")
        # Replays both messages again and again, while the peer itself is silent.
        begin = time.monotonic()
        while one.has_carrier("gue0") and time.monotonic() - begin < 8:
            peer.send(request)
            peer.send(answer)
            for message in peer.drain():
                assert message.kind == REQUEST, "a recorded request is answered"
            time.sleep(0.1)
        assert not one.has_carrier("gue0"), "recorded messages keep the carrier on"
        after = one.peers.get("gue0")
        assert after["replays"] - before["replays"] > 4
        assert after["replies"] == before["replies"]
        # The peer itself is heard at once.
        peer.serve(5, lambda: one.has_carrier("gue0"))
        assert one.has_carrier("gue0")


@pytest.mark.soak_on_debug
def test_the_wall_clock_is_set_back_and_one_end_starts_again(hosts, both):
    """The hosts share a clock, so the new device's numbers are an hour below the old one's."""
    options, keys, _ = MODES["hmac"]
    one, two = both
    for number, end in enumerate(both):
        end.add("gue0", remote=ENDS[4][1 - number], keys=keys, keepalive=1, dead=3, **options)
    wait_until(lambda: all("rtt" in end.peers.get("gue0") for end in both), "both ends answer")
    two.links.delete("gue0")
    now = time.time()
    begin = time.monotonic()
    try:
        time.clock_settime(time.CLOCK_REALTIME, now - 3600)
        two.add("gue0", remote=ENDS[4][0], keys=keys, keepalive=1, dead=3, **options)
        wait_until(lambda: "rtt" in two.peers.get("gue0"), "the new device has an answer")
        wait_until(lambda: one.peers.get("gue0")["last_heard"] < 900, "and is heard", 4)
        took = time.monotonic() - begin
        assert took < 2 + SLACK, f"{took:.1f} s, and not two keepalives"
        assert all(end.has_carrier("gue0") for end in both)
        assert one.peers.rtt("gue0") is not None and two.peers.rtt("gue0") is not None
    finally:
        time.clock_settime(time.CLOCK_REALTIME, now + time.monotonic() - begin)


# The limit of replies per second, and the burst: see "Answers" in Documentation/security.rst.
RATE, BURST = 100, 50
FLOOD = 1500


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("auth", ["no auth", "no key"])
def test_a_flood_of_requests_has_few_answers(hosts, both, auth):
    """Requests from forged sources get no more replies than the limit, and none without a key."""
    h1, h2 = hosts
    options, keys, _ = MODES["no auth" if auth == "no auth" else "hmac"]
    one = both[0]
    one.add("gue0", remote="0.0.0.0", keys=keys, **options)
    h1.ip("route", "add", "10.9.0.0/16", "dev", "eth0", "scope", "link")
    mac = h2.mac("eth0")
    h1.batch(*(f"neigh add 10.9.{number}.1 lladdr {mac} dev eth0" for number in range(16)))
    ether = Ether(src=mac, dst=h1.mac("eth0"))
    data = gue_peer.build(Header(proto=255, control=True), gue_peer.echo(REQUEST, 1, 1), None)
    sources = []
    for number in range(16):
        ip = IP(src=f"10.9.{number}.1", dst=ENDS[4][0])
        sources.append(bytearray(bytes(ether / ip / UDP(dport=PORT, chksum=0) / data)))

    def is_answer(frame):
        return frame[34:36] == PORT.to_bytes(2, "big") and frame[26:30] == bytes([192, 0, 2, 1])

    with h2.packet_socket("eth0", 0) as wire, Capture(h2, "eth0") as capture:
        begin = time.monotonic()
        for number in range(FLOOD):
            frame = sources[number % 16]
            # The source port.
            frame[34:36] = (1024 + number).to_bytes(2, "big")
            wire.send(frame)
        seconds = time.monotonic() - begin
        wait_until(lambda: one.host.traffic("gue0") and counted(one) >= FLOOD, "all are received")
        answers = capture.frames(is_answer, FLOOD, timeout=0.5)
    shown = one.peers.get("gue0")
    assert len(answers) == shown["replies"]
    if auth == "no key":
        assert (len(answers), shown["auth_failures"]) == (0, FLOOD)
        return
    assert 0 < len(answers) <= BURST + RATE * (seconds + 1), f"{len(answers)} in {seconds:.1f} s"
    assert shown["limited"] == FLOOD - len(answers)


def counted(end):
    """Returns how many messages a device has counted, answered or not."""
    shown = end.peers.get("gue0")
    return shown["requests"] + shown["auth_failures"]
