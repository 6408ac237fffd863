# SPDX-License-Identifier: GPL-2.0
"""Peers of gue devices that move: behind NAT, to other addresses, and while attackers interfere.

The server is h1, with `remote any roaming`. The attacker's addresses are in h2.
"""

import contextlib
import dataclasses
import json
import time

import pytest

from testing.lib import gue_peer
from testing.lib.echo_peer import REPLY, REQUEST, EchoPeer, shared
from testing.lib.gue_keys import ACCEPT, SEND
from testing.lib.gue_link import ALL, HMAC
from testing.lib.gue_values import Header, Hmac, Outer
from testing.lib.hosts import Host, wait_until
from testing.lib.peer_family import PEER_ALIVE, PEER_DEAD, PEER_MOVED, PeerListener
from testing.lib.tunnel_ends import (
    DOWN,
    INNER,
    PEER,
    PORT,
    SERVER,
    SLACK,
    UP,
    data_arrives,
    ends,
    introduce,
)
from testing.lib.ynl import start as start_ynl

SERVER_ADDRESS, NAT_ADDRESS, NEW_NAT_ADDRESS = "192.0.2.1", "192.0.2.2", "192.0.2.202"
# Further addresses of h2: of a peer, and of an attacker.
HOME, AWAY, EVIL = "192.0.2.2", "192.0.2.22", "192.0.2.66"


@pytest.fixture(name="server")
def server_fixture(hosts):
    """The first host's devices."""
    with ends(hosts[0]) as [made]:
        yield made


@contextlib.contextmanager
def peers_of(host, *addresses, terms=PEER):
    """Yields a peer in Python for each address and port, in a host that gets the addresses."""
    made = []
    try:
        for address, port in addresses:
            host.ip("addr", "replace", f"{address}/24", "dev", "eth0")
            made.append(EchoPeer(host, address, SERVER_ADDRESS, terms, port))
        yield made
    finally:
        for peer in made:
            peer.close()


def behind_nat(nat, number):
    """Makes a host behind a NAT.

    number: eth0 10.8.<number>.2/24 ===== lan<number> 10.8.<number>.1/24 :nat
    """
    host = Host(f"p{number}")
    nat.batch(
        f"link add lan{number} type veth peer name eth0 netns {host.name}",
        f"addr add 10.8.{number}.1/24 dev lan{number}",
        f"link set lan{number} up",
    )
    host.batch(
        "link set lo up",
        f"addr add 10.8.{number}.2/24 dev eth0",
        "link set eth0 up",
        f"route add default via 10.8.{number}.1",
    )
    return host


@contextlib.contextmanager
def two_behind_nat(nat):
    """Makes a NAT of a host, and two hosts behind it.

    h1: eth0 192.0.2.1 ===== eth0 192.0.2.2 :h2 (NAT): lan1 ===== p1
                                                       lan2 ===== p2
    """
    made = []
    try:
        nat.sysctl("net.ipv4.ip_forward", 1)
        chain = 'type nat hook postrouting priority 100; oifname "eth0" masquerade random;'
        nat.run("nft", f"table ip nat {{ chain out {{ {chain} }}; }}")
        for number in (1, 2):
            made.append(behind_nat(nat, number))
        yield made
    finally:
        for host in made:
            host.remove()


def behind_keys(up, down):
    """Returns the keys of a peer's device for `End.add`."""
    return (
        (1, up, {"direction": SEND, "nat": True}),
        (2, down, {"direction": ACCEPT, "nat": True}),
    )


def pings(host, address, count=1):
    """Returns whether a host has an answer from inside the tunnel."""
    done = host.run("ping", "-n", "-c", count, "-i", "0.05", "-W", 1, address, check=False)
    return done.returncode == 0


def test_two_peers_behind_one_nat_find_back(hosts):
    """The NAT loses its mappings and then its address. Both peers are back in two keepalives."""
    h1, nat = hosts
    with two_behind_nat(nat) as behind, ends(h1, *behind) as [server, *peers]:
        listener = PeerListener(h1)
        for number, peer in enumerate(peers, start=1):
            server.serve(f"peer{number}", id=number, keepalive=1, dead=5)
            peer.add(
                "gue0",
                id=number,
                **(SERVER | {"remote": SERVER_ADDRESS}),
                keepalive=1,
                dead=5,
                keys=behind_keys(UP, DOWN),
            )
            h1.ip("addr", "add", f"10.0.{number}.1/24", "dev", f"peer{number}")
            peer.host.ip("addr", "add", f"10.0.{number}.2/24", "dev", "gue0")
        assert not server.has_carrier("peer1") or server.peer("peer1")
        begin = time.monotonic()

        def known(address, but=()):
            found = {server.peer(f"peer{number}") for number in (1, 2)}
            return (
                len(found) == 2
                and not found & set(but)
                and {at[0] for at in found if at} == {address}
            )

        def found(address, why, but=()):
            wait_until(lambda: known(address, but), f"both peers are found {why}", 15)
            took = time.monotonic() - begin
            assert took < 2 + SLACK, f"{took:.1f} s {why}: more than two keepalives"
            for number, peer in enumerate(peers, start=1):
                # From either side, and to the right peer.
                assert pings(h1, f"10.0.{number}.2") and pings(peer.host, f"10.0.{number}.1")
                before = peer.host.traffic("gue0")["rx"]["packets"]
                assert pings(h1, f"10.0.{number}.2", 2)
                assert peer.host.traffic("gue0")["rx"]["packets"] >= before + 2
            return {server.peer(f"peer{number}") for number in (1, 2)}

        first = found(NAT_ADDRESS, "at first")
        assert {port for _, port in first} != {PORT}, "the NAT changes ports"
        # Masquerading drops its mappings when the address is deleted.
        nat.ip("addr", "del", f"{NAT_ADDRESS}/24", "dev", "eth0")
        nat.ip("addr", "add", f"{NAT_ADDRESS}/24", "dev", "eth0")
        begin = time.monotonic()
        second = found(NAT_ADDRESS, "after the mappings are gone", first)
        nat.ip("addr", "del", f"{NAT_ADDRESS}/24", "dev", "eth0")
        nat.ip("addr", "add", f"{NEW_NAT_ADDRESS}/24", "dev", "eth0")
        begin = time.monotonic()
        third = found(NEW_NAT_ADDRESS, "after the NAT has moved")
        moves = {peer: [] for peer in ("peer1", "peer2")}
        while (told := listener.receive(0.1)) is not None:
            if told[0] == PEER_MOVED:
                moves[told[1]["device"]].append((told[1]["remote"], told[1]["port"]))
        for places in moves.values():
            # The NAT may drop a mapping that is already new, which makes a further move.
            assert places[0] in first and places[-1] in third and second & set(places)
        for number in (1, 2):
            shown = server.peers.get(f"peer{number}")
            assert (shown["alive"], shown["auth_failures"]) == (True, 0)
            assert shown["moves"] == len(moves[shown["device"]])
        listener.close()


@pytest.mark.soak_on_debug
def test_data_goes_where_the_peer_has_proved_to_be(hosts, server):
    """Data follows the address that the peer has proved last. A dead peer keeps its address."""
    listener = PeerListener(hosts[0])
    server.serve("gue0", keepalive=1, dead=2)
    assert server.peer() is None and not server.has_carrier("gue0")
    shown = server.peers.get("gue0")
    assert "remote" not in shown and "last_heard" not in shown and not shown.get("alive")
    with peers_of(hosts[1], (HOME, PORT), (AWAY, 7000)) as [one, two]:
        one.request(1)
        challenge = one.expect(REQUEST)
        assert server.peer() is None and not server.has_carrier("gue0"), "not proved yet"
        one.answer(challenge)
        wait_until(lambda: server.peer() == (HOME, PORT), "the peer is known")
        wait_until(lambda: server.has_carrier("gue0"), "and has a carrier")
        command, peer = listener.receive()
        assert command == PEER_MOVED and (peer["remote"], peer["port"]) == (HOME, PORT)
        assert data_arrives(server, one)
        # The same peer at another address and port.
        two.last = one.last
        two.request(2)
        challenge = two.expect(REQUEST)
        assert server.peer() == (HOME, PORT) and data_arrives(server, one), "not proved yet"
        two.answer(challenge)
        wait_until(lambda: server.peer() == (AWAY, 7000), "the peer has moved")
        assert data_arrives(server, two)
        command, peer = listener.receive()
        assert command == PEER_MOVED and (peer["remote"], peer["port"]) == (AWAY, 7000)
        # Silence turns the carrier off, and keeps the address.
        wait_until(lambda: not server.has_carrier("gue0"), "the peer is dead")
        assert server.peer() == (AWAY, 7000)
        assert listener.receive()[0] == PEER_DEAD
        two.drain()
        two.serve(5, lambda: server.has_carrier("gue0"))
        assert listener.receive()[0] == PEER_ALIVE
    listener.close()


def data_packet(peer, terms=PEER):
    """Returns the UDP payload of an authentic data packet of a Python peer."""
    header = dataclasses.replace(
        terms.header(len(INNER)), proto=4, control=False, hmac=Hmac(terms.send[0], 0, len(INNER))
    )
    outer = Outer(peer.address, SERVER_ADDRESS, peer.port, PORT)
    return gue_peer.build(header, INNER, terms.outer(outer), terms.send[1])


class Scene:
    """A server with a peer that has proved its address, and an attacker who has no key."""

    def __init__(self, server, host, peer, evil):
        self.server, self.host, self.peer, self.evil = server, host, peer, evil
        self.moves = server.peers.get("gue0")["moves"]
        self.sent = 0

    def send(self, data):
        """Sends bytes from the attacker's address."""
        self.evil.send(data)
        self.sent += len(data)

    def received(self):
        """Returns the messages that the attacker has got."""
        time.sleep(0.1)
        return self.evil.drain()

    def nobody_is_moved(self):
        """Fails if the peer was moved or the attacker has received more bytes than he has sent."""
        got = sum(len(message.data) for message in self.received())
        assert got <= self.sent, f"{self.sent} bytes are answered with {got}"
        assert self.server.peer() == (HOME, PORT)
        assert self.server.peers.get("gue0")["moves"] == self.moves
        assert data_arrives(self.server, self.peer), "data goes to the peer"
        self.peer.drain()
        self.peer.request(99)
        wait_until(self.replies, "the peer is answered as before", 2)

    def replies(self):
        """Returns the answers that the peer has got; answers requests."""
        found = []
        for message in self.peer.drain():
            if message.kind == REPLY:
                found.append(message)
            else:
                self.peer.answer(message)
        return found


@pytest.fixture(name="scene")
def scene_fixture(hosts, server):
    """A peer at HOME, and an attacker at EVIL who sees everything."""
    server.serve("gue0", keepalive=5, dead=60)
    addresses = ((HOME, PORT), (EVIL, 6666))
    with peers_of(hosts[1], *addresses) as [peer, evil]:
        introduce(server, peer)
        yield Scene(server, hosts[1], peer, evil)


@pytest.mark.soak_on_debug
def test_recorded_messages_from_elsewhere_move_nobody(scene):
    request = scene.peer.request(1)
    assert scene.peer.expect(REPLY).token == 1
    scene.server.peers.ping("gue0")
    answer = scene.peer.answer(scene.peer.expect(REQUEST))
    for _ in range(3):
        for data in (request, answer, data_packet(scene.peer)):
            scene.send(data)
    scene.nobody_is_moved()


@pytest.mark.soak_on_debug
def test_a_raced_message_moves_nobody(scene):
    """The attacker holds the peer's message up, and sends it first, from his address."""
    held = scene.peer.message(REQUEST, 1)
    scene.send(held)
    challenges = [message for message in scene.received() if message.kind == REQUEST]
    # He has no key to answer with: he sends back what he sees.
    for challenge in challenges:
        scene.send(challenge.data)
        scene.send(held)
        scene.send(
            gue_peer.build(
                Header(proto=255, control=True),
                gue_peer.echo(REPLY, time.time_ns(), challenge.token),
                None,
            )
        )
    scene.peer.send(held)
    scene.nobody_is_moved()


@pytest.mark.soak_on_debug
def test_an_answer_to_another_request_proves_nothing(scene):
    """The attacker has the peer's answer to an earlier request, and sends it as his proof."""
    scene.server.peers.ping("gue0")
    asked = scene.peer.expect(REQUEST)
    stolen = scene.peer.message(REPLY, asked.token)
    # A message that starts a challenge to him, and an answer with the wrong token.
    scene.send(scene.peer.message(REQUEST, 2))
    scene.received()
    scene.send(stolen)
    for guess in (0, 1, asked.token ^ 1):
        scene.send(scene.peer.message(REPLY, guess))
    scene.nobody_is_moved()


@pytest.mark.soak_on_debug
def test_reflected_messages_move_nobody(scene):
    """The server's own messages come back, from the peer's address and from the attacker's."""
    scene.server.peers.ping("gue0")
    asked = scene.peer.expect(REQUEST)
    scene.peer.request(3)
    answer = scene.peer.expect(REPLY)
    before = scene.server.peers.get("gue0")
    for data in (asked.data, answer.data):
        scene.peer.send(data)
        scene.send(data)
    wait_until(
        lambda: scene.server.peers.get("gue0")["auth_failures"] >= before["auth_failures"] + 4,
        "each fails: the two directions have keys of their own",
    )
    assert scene.server.peers.get("gue0")["replies"] == before["replies"]
    assert scene.received() == []
    scene.nobody_is_moved()


@pytest.mark.soak_on_debug
def test_a_wrong_key_moves_nobody(scene):
    wrong = dataclasses.replace(PEER, send=(1, b"guessed"))
    before = scene.server.peers.get("gue0")["auth_failures"]
    for number in range(5):
        scene.send(scene.evil.message(REQUEST, number, terms=wrong))
        scene.send(scene.evil.message(REPLY, number, terms=wrong))
    wait_until(
        lambda: scene.server.peers.get("gue0")["auth_failures"] == before + 10, "each is counted"
    )
    assert scene.received() == [], "a sender without the key gets nothing"
    scene.nobody_is_moved()


@pytest.mark.soak_on_debug
def test_data_moves_nobody(scene):
    """An authentic data packet from elsewhere is delivered, and no answer goes there."""
    before = scene.server.host.traffic("gue0")["rx"]["packets"]
    scene.send(data_packet(scene.peer))
    wait_until(
        lambda: scene.server.host.traffic("gue0")["rx"]["packets"] == before + 1, "it is received"
    )
    scene.sent = 0
    scene.nobody_is_moved()


@pytest.mark.soak_on_debug
def test_requests_from_many_ports_get_few_challenges(scene):
    """The attacker sends requests of the peer from 200 ports: few challenges, and no move."""
    with peers_of_ports(scene, 200) as many:
        for peer in many:
            peer.send(scene.peer.message(REQUEST, 1))
        time.sleep(0.2)
        got = sum(len(peer.drain()) for peer in many)
    assert 0 < got < 20, f"{got} messages to 200 ports"
    scene.nobody_is_moved()


@contextlib.contextmanager
def peers_of_ports(scene, count):
    """Yields attackers at many ports."""
    made = []
    try:
        for number in range(count):
            made.append(EchoPeer(scene.host, EVIL, SERVER_ADDRESS, PEER, 10000 + number))
        yield made
    finally:
        for peer in made:
            peer.close()


@pytest.mark.soak_on_debug
def test_a_device_without_roaming_stays_with_its_remote(hosts, server):
    """An authentic message from another address does not reach the device, and gets no answer."""
    key = b"a key of both ends"
    server.add("gue0", remote=HOME, auth=HMAC, cover=ALL, keys=((1, key, {}),))
    with peers_of(hosts[1], (HOME, PORT), (AWAY, PORT), terms=shared(1, key)) as [one, two]:
        one.request(1)
        assert one.expect(REPLY).token == 1
        two.last = one.last
        two.request(2)
        assert two.receive(0.3) is None
        assert server.peer() == (HOME, PORT)


@pytest.mark.soak_on_debug
def test_addresses_in_the_hash_bind_a_copy_to_its_sender(hosts, server):
    """Without nat, the hash covers the addresses, so a copy from another address is a forgery."""
    key = b"a key of both ends"
    server.add("gue0", keys=((1, key, {}),), **SERVER)
    with peers_of(hosts[1], (HOME, PORT), (AWAY, PORT), terms=shared(1, key)) as [one, two]:
        introduce(server, one)
        before = server.peers.get("gue0")["auth_failures"]
        for data in (one.message(REQUEST, 1), one.message(REPLY, 1)):
            two.send(data)
        wait_until(
            lambda: server.peers.get("gue0")["auth_failures"] == before + 2, "each is a forgery"
        )
        assert two.receive(0.2) is None
        # The peer itself may move, because it has the key.
        two.last = one.last
        introduce(server, two)
        assert data_arrives(server, two)


@pytest.mark.soak_on_debug
def test_ynl_shows_peers_and_their_moves(hosts, server):
    """The kernel's unmodified ynl needs only the spec."""
    server.serve("gue0", keepalive=5)
    child = start_ynl(hosts[0], "gue", "--subscribe", "peers", "--dump", "peer-get")
    [dumped] = json.loads(child.stdout.readline())
    assert dumped["ifname"] == "gue0" and "remote4" not in dumped
    with peers_of(hosts[1], (HOME, PORT)) as [peer]:
        introduce(server, peer)
    told = json.loads(child.stdout.readline())
    assert told["name"] == "peer-moved"
    assert (told["msg"]["remote4"], told["msg"]["remote-port"]) == (HOME, PORT)
