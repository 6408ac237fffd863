# SPDX-License-Identifier: GPL-2.0
"""Notifications of ports that come and go: the group `ports` of the family `rfou`."""

import errno
import json
import socket

import pytest

from testing.lib import netlink as nl
from testing.lib import ports, ynl
from testing.lib.hosts import run
from testing.lib.netlink import NetlinkError
from testing.lib.ports import NLM_F_REPLACE, PORT_ADDED, PORT_DELETED, Listener, Rfou
from testing.lib.rfou_module import rfou_file

pytestmark = pytest.mark.rfou_only


@pytest.fixture(name="clients")
def clients_fixture(hosts):
    """A client and a listener in the first host."""
    with hosts[0].inside():
        made = Rfou(), Listener()
    yield made
    for client in made:
        client.close()


def heard(listener, count):
    """Returns the next notifications as pairs of command and port number."""
    return [(command, port.number) for command, port in (listener.receive() for _ in range(count))]


def test_notifications_come_in_order_from_both_families(hosts, fou, clients):
    rfou, listener = clients
    expected = []
    for number in range(5000, 5050):
        rfou.add(*ports.gue(number))
        fou.add((nl.PORT, nl.be16(number + 100)), (nl.TYPE, nl.u8(nl.GUE)))
        expected += [(PORT_ADDED, number), (PORT_ADDED, number + 100)]
        if number % 2:
            rfou.delete(*ports.key(number + 100))
            hosts[0].ip("fou", "del", "port", number)
            expected += [(PORT_DELETED, number + 100), (PORT_DELETED, number)]
    assert heard(listener, len(expected)) == expected
    assert listener.receive(0.1) is None


def test_notification_describes_the_port_as_get_does(hosts, clients):
    rfou, listener = clients
    asked = (
        (ports.PORT, nl.be16(5555)),
        (ports.FAMILY, nl.u8(socket.AF_INET6)),
        (ports.LOCAL_V6, nl.v6("2001:db8::1")),
        (ports.PEER_V6, nl.v6("2001:db8::2")),
        (ports.PEER_PORT, nl.be16(7)),
    )
    settings = (ports.ENCAP, nl.u8(ports.GUE)), (ports.REMCSUM_NOPARTIAL, b"")
    rfou.add(*asked, *settings)
    got = rfou.get(*asked)
    rfou.delete(*asked)
    assert got.attributes == dict((*asked, *settings))
    for expected in (PORT_ADDED, PORT_DELETED):
        command, port = listener.receive()
        assert command == expected
        assert port.attributes == got.attributes
        assert port.counters.all() == got.counters.all()


def test_deletion_is_notified_with_the_final_counters(hosts, clients):
    rfou, listener = clients
    rfou.add(*ports.gue(5555))
    with hosts[1].inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(7):
        sender.sendto(bytes.fromhex("20000000"), ("192.0.2.1", 5555))
    sender.sendto(bytes.fromhex("003b0000") + bytes(6), ("192.0.2.1", 5555))
    sender.close()
    rfou.delete(*ports.key(5555))
    assert listener.receive()[0] == PORT_ADDED
    command, port = listener.receive()
    expected = {"packets": 1, "bytes": 10, "dropped": 7, "GUE_CONTROL": 7}
    assert (command, port.counters.all()) == (PORT_DELETED, expected)


def test_what_changes_nothing_is_not_notified(hosts, fou, clients):
    rfou, listener = clients
    rfou.add(*ports.gue(5555))
    rfou.add(*ports.gue(5555), flags=NLM_F_REPLACE)
    for call in (
        lambda: rfou.add(*ports.gue(5555)),
        lambda: rfou.add(*ports.fou(5555), flags=NLM_F_REPLACE),
        lambda: rfou.delete(*ports.key(5556)),
        lambda: fou.add((nl.PORT, nl.be16(5555)), (nl.TYPE, nl.u8(nl.GUE))),
        lambda: fou.delete((nl.PORT, nl.be16(5556))),
    ):
        with pytest.raises(NetlinkError):
            call()
    assert heard(listener, 1) == [(PORT_ADDED, 5555)]
    assert listener.receive(0.1) is None


def test_notifications_stay_in_their_namespace(hosts, clients):
    _, listener = clients
    with hosts[1].inside():
        other = Rfou()
    other.add(*ports.gue(5555))
    other.delete(*ports.key(5555))
    other.close()
    assert listener.receive(0.1) is None


def test_overrun_is_reported_and_the_rest_comes_in_order(hosts, clients):
    rfou, listener = clients
    listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    numbers = range(5000, 5200)
    for number in numbers:
        rfou.add(*ports.gue(number))
    with pytest.raises(OSError) as info:
        listener.receive()
    assert info.value.errno == errno.ENOBUFS
    kept = []
    while (message := listener.receive(0.1)) is not None:
        kept.append(message[1].number)
    assert 0 < len(kept) < len(numbers) and kept == list(numbers[: len(kept)])
    rfou.add(*ports.gue(6000))
    assert heard(listener, 1) == [(PORT_ADDED, 6000)]


def test_ynl_subscribes_by_the_spec(hosts, clients):
    rfou, _ = clients
    child = ynl.start(hosts[0], "rfou", "--subscribe", "ports", "--dump", "port-get")
    assert json.loads(child.stdout.readline()) == [], "subscribed, and has dumped"
    rfou.add(*ports.fou(5555))
    rfou.delete(*ports.key(5555))
    seen = [json.loads(child.stdout.readline()) for _ in range(2)]
    counters = {"rx-packets": 0, "rx-bytes": 0, "drops": 0}
    port = {"family": "inet", "port": 5555, "encap": "fou", "protocol": 4, "counters": counters}
    assert seen == [{"name": name, "msg": port} for name in ("port-added", "port-deleted")]


def test_listener_outlives_the_module(hosts, clients):
    """A listener does not keep the module loaded.

    The listener gets no notifications from a module that is loaded later.
    """
    rfou, listener = clients
    rfou.add(*ports.gue(5555))
    assert heard(listener, 1) == [(PORT_ADDED, 5555)]
    run("rmmod", "rfou")
    run("insmod", rfou_file())
    with hosts[0].inside():
        again = Rfou()
    again.add(*ports.gue(5555))
    assert listener.receive(0.1) is None
    again.close()
