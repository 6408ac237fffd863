# SPDX-License-Identifier: GPL-2.0
"""Control messages between gue devices and a second implementation.

h1 (the Python peer): eth0 192.0.2.1 ===== eth0 192.0.2.2, gue0 :h2
"""

import dataclasses
import errno
import threading
import time

import pytest

from testing.lib.echo_peer import REPLY, REQUEST, EchoPeer, Terms, shared
from testing.lib.gue_keys import ACCEPT, SEND, GueKeys
from testing.lib.gue_link import COOKIE8, HMAC, GueLinks
from testing.lib.gue_values import PORT
from testing.lib.hosts import Host, wait_until
from testing.lib.netlink import NetlinkError
from testing.lib.peer_family import PEER_ALIVE, PEER_DEAD, PEER_MOVED, GuePeers, PeerListener
from testing.lib.rgue_module import reload_rgue

ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
SECRET, OTHER = b"a secret of bytes", b"another secret"
COOKIE = b"12345678"
ROAMING = {"auth": HMAC, "sport": PORT, "roaming": 1}
# With NAT, each direction has its key.
NAT = Terms(send=(1, SECRET), accept=(2, OTHER), nat=True)


class Bench:
    """The device's host, and Python peers in the other."""

    def __init__(self, hosts):
        self.h1, self.h2 = hosts
        self.links, self.keys = GueLinks(self.h2), GueKeys(self.h2)
        self.family = GuePeers(self.h2)
        self.peers = []
        self.listeners = []

    def add(self, name="gue0", outer=4, remote=None, up=True, **options):
        """Makes the device."""
        self.links.add(name, remote=remote or ENDS[outer][0], **options)
        if up:
            self.links.up(name)

    def use_nat_keys(self, name="gue0"):
        """Gives the device the keys of NAT."""
        self.keys.set(name, 1, SECRET, direction=ACCEPT, nat=True)
        self.keys.set(name, 2, OTHER, direction=SEND, nat=True)

    def peer(self, terms=None, outer=4, address=None, **options):
        """Returns a peer of the device."""
        here, there = ENDS[outer]
        made = EchoPeer(self.h1, address or here, there, terms, **options)
        self.peers.append(made)
        return made

    def listen(self):
        """Returns a listener of events."""
        made = PeerListener(self.h2)
        self.listeners.append(made)
        return made

    def carrier(self, name="gue0"):
        """Returns whether the device has a carrier."""
        return "NO-CARRIER" not in self.h2.link(name)["flags"]

    def close(self):
        """Closes the sockets."""
        for made in (self.links, self.keys, self.family, *self.peers, *self.listeners):
            made.close()


@pytest.fixture
def bench(hosts):
    """The device's host and the peers'."""
    made = Bench(hosts)
    yield made
    made.close()


class WithSums(Terms):
    """Terms of a peer that sends checksum and CRC."""

    def header(self, *arguments):
        """Returns the header of a control message."""
        return dataclasses.replace(super().header(*arguments), checksum=0, crc=3)


METHODS = {
    "plain": ({}, None),
    "group, K and A": ({"id": 7, "headercsum": 1, "crc": 1, "crc_cover": 5}, WithSums(group=7)),
    "cookie": ({"auth": COOKIE8}, Terms(cookie=COOKIE)),
    "hmac": ({"auth": HMAC}, shared(1, SECRET)),
    "hmac, group, K and A": (
        {"auth": HMAC, "id": 7, "headercsum": 1, "headercsum_cover": 65535, "crc": 1},
        WithSums(group=7, send=(1, SECRET), accept=(1, SECRET)),
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("outer", [4, 6])
def test_request_is_answered_to_where_it_came_from(bench, outer, method):
    options, terms = METHODS[method]
    bench.add(outer=outer, **options)
    if "auth" in options:
        bench.keys.set("gue0", 1, COOKIE if options["auth"] == COOKIE8 else SECRET)
    for port in (PORT, 40000):
        peer = bench.peer(terms, outer, port=port)
        before = time.time_ns()
        sequences = []
        for token in (1, 2**64 - 1, 0):
            sent = peer.request(token)
            reply = peer.receive()
            assert (reply.kind, reply.token) == (REPLY, token)
            assert reply.sender == (ENDS[outer][1], PORT)
            assert len(reply.data) <= len(sent)
            sequences.append(reply.sequence)
        assert sequences == sorted(set(sequences)) and sequences[0] >= before - 10**9
    about = bench.family.get("gue0")
    assert (about["requests"], about["replies"], about["limited"]) == (6, 6, 0)
    assert about["last_heard"] < 5000 and "alive" not in about and "rtt" not in about
    assert bench.h2.traffic("gue0")["rx"]["errors"] == 0


def test_request_of_someone_without_the_key_is_not_answered(bench):
    bench.add(auth=HMAC)
    right, wrong = shared(1, SECRET), shared(1, OTHER)
    peer = bench.peer(right)
    peer.request()
    assert peer.receive(0.3) is None, "the device has no key"
    bench.keys.set("gue0", 1, SECRET)
    peer.request(terms=wrong)
    peer.request(terms=shared(5, SECRET))
    peer.request(terms=Terms())
    # A message without its last byte: the hash covers more than is there.
    peer.send(bytes(peer.message(REQUEST, 9, terms=right))[:-1])
    assert peer.receive(0.3) is None
    assert bench.family.get("gue0")["auth_failures"] == 5
    assert bench.family.get("gue0")["requests"] == 0
    peer.request()
    assert peer.receive().kind == REPLY


def test_old_message_counts_after_an_answer_with_its_token(bench):
    """A peer whose clock was set back proves by the token that its messages are new."""
    bench.add(auth=HMAC)
    bench.keys.set("gue0", 1, SECRET)
    peer = bench.peer(shared(1, SECRET))
    recorded = peer.request(1)
    assert peer.receive().kind == REPLY
    peer.send(recorded)
    challenge = peer.receive()
    assert challenge.kind == REQUEST, "a replayed message is challenged, and not answered"
    assert len(challenge.data) <= len(recorded)
    assert bench.family.get("gue0")["replays"] == 1
    # Someone with the message alone gets nothing more, at least for a second.
    for _ in range(20):
        peer.send(recorded)
    assert peer.receive(0.2) is None
    peer.last, peer.clock = 0, -3600 * 10**9
    peer.request(2)
    assert peer.receive(0.2) is None
    peer.answer(challenge, terms=shared(1, OTHER))
    peer.request(3)
    assert peer.receive(0.2) is None
    peer.answer(challenge)
    peer.request(4)
    reply = peer.receive()
    assert (reply.kind, reply.token) == (REPLY, 4)
    # The token counts once.
    peer.answer(challenge)
    peer.request(5)
    assert peer.receive().token == 5
    about = bench.family.get("gue0")
    assert about["replays"] >= 22 and about["moves"] == 0


def test_answer_that_was_held_up_makes_no_message_new(bench):
    """An attacker on the path delays an answer, and records messages that come after it."""
    bench.add(auth=HMAC)
    bench.keys.set("gue0", 1, SECRET)
    peer = bench.peer(shared(1, SECRET))
    bench.family.ping("gue0")
    held = peer.message(REPLY, peer.expect(REQUEST).token)
    recorded = peer.request(1)
    assert peer.receive().kind == REPLY
    peer.send(held)
    wait_until(lambda: "rtt" in bench.family.get("gue0"), "the answer counts")
    peer.send(recorded)
    assert peer.receive().kind == REQUEST, "the recorded message is challenged, and not answered"
    assert bench.family.get("gue0")["replays"] == 1
    peer.request(2)
    assert peer.expect(REPLY).token == 2


def test_answers_have_a_limit(bench):
    bench.add()
    peer = bench.peer()
    requests = [peer.message(REQUEST, token) for token in range(500)]
    start = time.monotonic()
    for request in requests:
        peer.send(request)
    wait_until(lambda: bench.family.get("gue0")["requests"] == 500, "all requests have come")
    elapsed = time.monotonic() - start
    about = bench.family.get("gue0")
    # The debug kernel may be too slow to reach the limit.
    assert 50 <= about["replies"] <= min(500, 51 + 100 * elapsed)
    assert about["limited"] == 500 - about["replies"]
    assert 0 < len(peer.drain()) <= about["replies"]


def test_silent_peer_is_asked_and_loses_the_carrier(bench):
    bench.add(keepalive=1, dead=3, up=False)
    events = bench.listen()
    peer = bench.peer()
    start = time.monotonic()
    bench.links.up("gue0")
    assert peer.expect(REQUEST, 1.0), "the first request comes at once"
    assert bench.family.get("gue0")["alive"] is True
    command, about = events.receive(6.0)
    assert (command, about["device"], about["alive"]) == (PEER_DEAD, "gue0", False)
    assert 2.5 < time.monotonic() - start < 4.5
    assert not bench.carrier()
    asked = len(peer.drain())
    assert 2 <= asked <= 5
    # The device keeps asking a dead peer.
    request = peer.expect(REQUEST, 3.0)
    peer.answer(request)
    command, about = events.receive()
    assert (command, about["alive"]) == (PEER_ALIVE, True)
    assert about["rtt"] > 0
    assert bench.carrier()
    # The device asks a peer that answers once per keepalive.
    assert 2 <= len(peer.serve(3.5)) <= 5
    # Any message of the peer counts, so a peer that sends requests is not asked.
    for number in range(15):
        peer.request(number)
        time.sleep(0.2)
    kinds = [message.kind for message in peer.drain()]
    # One request may have been sent before.
    assert kinds.count(REPLY) == 15 and kinds.count(REQUEST) <= 1
    bench.links.set("gue0", keepalive=0)
    assert "dead" not in bench.links.show("gue0")
    peer.drain()
    assert peer.receive(2.0) is None
    assert "alive" not in bench.family.get("gue0")


def test_carrier_comes_back_without_keepalive(bench):
    bench.add(keepalive=1, dead=2)
    wait_until(lambda: not bench.carrier(), "the peer is dead")
    bench.links.set("gue0", keepalive=0)
    assert bench.carrier()
    bench.links.set("gue0", keepalive=1)
    wait_until(lambda: not bench.carrier(), "the peer is dead")
    bench.links.up("gue0", up=False)
    bench.links.up("gue0")
    assert bench.carrier()


def test_peer_that_goes_back_to_its_remote_is_watched_anew(bench):
    """The peer has moved and is dead. Without roaming, the device asks the configured address."""
    bench.add(keepalive=1, dead=2, **ROAMING)
    bench.use_nat_keys()
    events = bench.listen()
    peer = bench.peer(NAT, port=40000)
    peer.request()
    peer.answer(peer.expect(REQUEST))
    seen = []
    while PEER_MOVED not in seen or seen[-1] != PEER_DEAD:
        seen.append(events.receive(8.0)[0])
    assert not bench.carrier()
    bench.links.set("gue0", roaming=0)
    assert bench.carrier(), "nothing is known of the configured address yet"
    wait_until(lambda: not bench.carrier(), "nobody answers there")


@pytest.mark.parametrize("outer", [4, 6])
def test_peer_moves_after_an_answer_with_its_token(bench, outer):
    bench.add(outer=outer, remote="0.0.0.0" if outer == 4 else "::", **ROAMING)
    bench.use_nat_keys()
    events = bench.listen()
    assert not bench.carrier()
    with pytest.raises(NetlinkError, match="no peer has come yet") as caught:
        bench.family.ping("gue0")
    assert caught.value.errno == errno.EDESTADDRREQ
    first = bench.peer(NAT, outer)
    second = bench.peer(NAT, outer, port=40001)
    for moves, peer in enumerate((first, second, first), start=1):
        sent = peer.request()
        challenge = peer.receive()
        assert challenge.kind == REQUEST and len(challenge.data) <= len(sent)
        other = second if peer is first else first
        # The token from another port, or another token from the right one, moves nobody.
        other.send(other.message(REPLY, challenge.token))
        peer.send(peer.message(REPLY, challenge.token ^ 1))
        assert bench.family.get("gue0")["moves"] == moves - 1
        peer.answer(challenge)
        command, about = events.receive()
        assert command == PEER_MOVED
        assert (about["remote"], about["port"]) == (ENDS[outer][0], peer.port)
        assert about["moves"] == moves
        peer.request(77)
        assert peer.receive().token == 77
        other.drain()
    assert bench.carrier()
    # The configuration stays.
    assert bench.links.show("gue0")["remote"] in ("0.0.0.0", "::")
    bench.links.set("gue0", ttl=5)
    assert bench.family.get("gue0")["port"] == first.port
    assert bench.family.rtt("gue0", 0.5) is None
    assert first.receive().kind == REQUEST


def test_recorded_message_moves_nobody(bench):
    """An attacker sends an old message from elsewhere, and the next one before the peer does."""
    bench.add(**ROAMING)
    bench.use_nat_keys()
    peer, attacker = bench.peer(NAT), bench.peer(NAT, port=50666)
    recorded = peer.request(1)
    assert peer.receive().kind == REPLY
    attacker.send(recorded)
    asked = attacker.receive()
    assert asked.kind == REQUEST and len(asked.data) <= len(recorded)
    # The attacker sends the peer's next message before the peer does.
    raced = peer.message(REQUEST, 2)
    attacker.send(raced)
    peer.send(raced)
    assert peer.receive().token == 2, "the peer's own message is still new"
    # The device does not take its own messages for the peer's.
    attacker.send(asked.data)
    for _ in range(10):
        attacker.send(recorded)
    about = bench.family.get("gue0")
    assert (about["moves"], about["port"]) == (0, PORT)
    assert len(attacker.drain()) <= 1


def test_own_message_that_comes_back_is_not_the_peers(bench):
    """A cookie does not tell directions apart."""
    bench.add(auth=COOKIE8, keepalive=1, dead=2)
    bench.keys.set("gue0", 1, COOKIE)
    peer = bench.peer(Terms(cookie=COOKIE))
    events = bench.listen()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        message = peer.receive(0.1)
        if message is not None:
            assert message.kind == REQUEST, "the device's own message was answered"
            peer.send(message.data)
    assert events.receive(0.1)[0] == PEER_DEAD
    assert bench.family.get("gue0")["requests"] == 0


def test_ping_measures_time(bench):
    bench.add(auth=HMAC)
    with pytest.raises(NetlinkError) as caught:
        bench.family.ping("gue0")
    assert caught.value.errno == errno.ENOKEY
    bench.keys.set("gue0", 1, SECRET)
    peer = bench.peer(shared(1, SECRET))
    sequence = bench.family.ping("gue0")
    request = peer.receive()
    assert request.sequence == sequence
    time.sleep(0.1)
    peer.answer(request)
    wait_until(lambda: bench.family.get("gue0").get("rtt", 0) >= 10**8, "the time was measured")
    bench.links.up("gue0", up=False)
    with pytest.raises(NetlinkError) as caught:
        bench.family.ping("gue0")
    assert caught.value.errno == errno.ENETDOWN
    bench.links.up("gue0")
    bench.h2.ip("addr", "flush", "dev", "eth0")
    with pytest.raises(NetlinkError) as caught:
        bench.family.ping("gue0")
    assert caught.value.errno == errno.EHOSTUNREACH


@pytest.mark.parametrize("options", [{"external": True}, {"remote": "0.0.0.0"}])
def test_device_without_one_peer_is_not_pinged(bench, options):
    bench.links.add("gue0", up=True, **options)
    with pytest.raises(NetlinkError, match="the device has no one peer") as caught:
        bench.family.ping("gue0")
    assert caught.value.errno == errno.EOPNOTSUPP


def test_pings_of_both_ends_are_answered_by_the_devices(hosts, bench):
    bench.add(auth=HMAC)
    there = GueLinks(bench.h1)
    there.add("gue0", remote="192.0.2.2", up=True, auth=HMAC)
    there.close()
    for host in hosts:
        keys = GueKeys(host)
        keys.set("gue0", 1, SECRET)
        keys.close()
    for _ in range(5):
        pong = bench.family.rtt("gue0")
        assert (pong["remote"], pong["port"]) == ("192.0.2.1", PORT)
        assert 0 < pong["rtt"] < 5 * 10**9
    limited = 0
    for _ in range(80):
        try:
            bench.family.ping("gue0")
        except NetlinkError as error:
            assert error.errno == errno.EAGAIN
            limited += 1
    assert bench.family.get("gue0")["limited"] == limited


REFUSED = {
    "dead without keepalive": ({"dead": 5}, "dead needs keepalive"),
    "dead is less than keepalive": ({"keepalive": 5, "dead": 5}, "dead must be greater"),
    "keepalive of the greatest": ({"keepalive": 65535}, "dead must be greater"),
    "nobody to ask": ({"remote": "0.0.0.0", "keepalive": 5}, "there is no peer to ask"),
    "roaming without auth": ({"roaming": 1, "sport": PORT}, "roaming needs auth"),
    "roaming with any port": ({"roaming": 1, "auth": HMAC}, "a fixed sport equal to port"),
    "roaming from elsewhere": (
        {"roaming": 1, "auth": HMAC, "sport": PORT, "port": 7000},
        "a fixed sport equal to port",
    ),
    "roaming is no number": ({"roaming": 2}, "roaming must be 0 or 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(bench, case):
    options, text = REFUSED[case]
    with pytest.raises(NetlinkError, match=text) as caught:
        bench.add(**{"remote": "192.0.2.1", **options})
    assert caught.value.errno == errno.EINVAL


def test_options_are_shown_and_changed(bench):
    bench.add(keepalive=5, **ROAMING)
    shown = bench.links.show("gue0")
    assert (shown["keepalive"], shown["dead"], shown["roaming"]) == (5, 15, 1)
    bench.links.set("gue0", keepalive=7, dead=8)
    with pytest.raises(NetlinkError, match="dead must be greater"):
        bench.links.set("gue0", keepalive=8)
    shown = bench.links.show("gue0")
    assert (shown["keepalive"], shown["dead"], shown["roaming"]) == (7, 8, 1)
    # A roaming device gets all packets of its group, so a group has only one.
    with pytest.raises(NetlinkError, match="another gue link has this id"):
        bench.add("gue1", remote="0.0.0.0")
    bench.links.set("gue0", roaming=0)
    bench.add("gue1", remote="0.0.0.0")
    with pytest.raises(NetlinkError, match="gets packets from every address"):
        bench.links.set("gue0", roaming=1)
    bench.links.delete("gue1")
    bench.links.set("gue0", roaming=1)
    peer = bench.peer(shared(1, SECRET), port=40000)
    bench.keys.set("gue0", 1, SECRET)
    peer.request()
    assert peer.expect(REQUEST)


def test_devices_change_while_messages_come(bench):
    """Up, down, other options, moves, deletion: no message finds a device that is gone."""
    peers = [bench.peer(NAT, port=40000 + number) for number in range(3)]
    events = bench.listen()
    is_over = threading.Event()

    def speak():
        while not is_over.is_set():
            for peer in peers:
                peer.request()
                for message in peer.drain():
                    if message.kind == REQUEST:
                        peer.answer(message)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        for turn in range(8):
            bench.add(remote="0.0.0.0", keepalive=1, dead=2, **ROAMING)
            bench.use_nat_keys()
            assert events.receive()[0] == PEER_MOVED
            for change in ({"keepalive": 0}, {"keepalive": 3}, {"ttl": 9}, {"dport": 7000 + turn}):
                bench.links.set("gue0", **change)
                bench.family.get("gue0")
            bench.links.set("gue0", keepalive=0)
            bench.links.set("gue0", roaming=0)
            bench.links.set("gue0", roaming=1)
            bench.links.up("gue0", up=False)
            bench.links.up("gue0")
            time.sleep(0.1 * (turn % 3))
            bench.links.delete("gue0")
            while events.receive(0.1):
                pass
    finally:
        is_over.set()
        speaker.join()


def test_devices_go_with_work_to_do(hosts, bench):
    """Devices with timers end by deletion, with their namespace, and with the module."""
    for number in range(20):
        bench.add("gue0", keepalive=1, id=number)
        if number % 3 == 0:
            bench.links.up("gue0", up=False)
        bench.links.delete("gue0")
    gone = Host("gone")
    try:
        gone.ip("link", "set", "lo", "up")
        links = GueLinks(gone)
        for number in range(10):
            links.add(f"g{number}", remote="127.0.0.1", id=number, keepalive=1, dead=2, up=True)
        links.close()
        time.sleep(1.5)
    finally:
        gone.remove()
    bench.add("gue0", keepalive=1, dead=2)
    peer = bench.peer()
    peer.request()
    bench.close()
    reload_rgue()
    assert not [line for line in hosts[1].proc_net("dev").splitlines() if "gue0" in line]
