# SPDX-License-Identifier: GPL-2.0
"""Counters and notifications of the family `rfou`, as the command shows them."""

import json
import signal
import socket
import subprocess

import pytest

from testing.guest.tool.conftest import families
from testing.lib import netlink as nl
from testing.lib.hosts import wait_until
from testing.lib.netlink import Fou
from testing.lib.rfou_command import checked

pytestmark = [
    pytest.mark.stock_only,
    pytest.mark.skipif("rfou" not in families(), reason="the kernel lacks the family rfou"),
]

# An IPv4 header for no protocol that the host knows, and nothing after it.
INNER = bytes.fromhex("4500001400000000403d0000c6336401c0000201")
# A GUE header whose Hlen says 124 bytes, before only 8 bytes.
BAD_HLEN = bytes.fromhex("1f040000") + bytes(8)


def send(host, port, payload, count):
    """Sends datagrams to the first host."""
    with host.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(count):
        sender.sendto(payload, ("192.0.2.1", port))
    sender.close()


def counters(rfou, number):
    """Returns the counters of a port."""
    ports = rfou.json("port show", "port", "show", number, "-s")["ports"]
    return ports[0]["counters"]


def test_counters_are_exact_and_drops_have_reasons(hosts, rfou):
    rfou("port", "add", "5555", "--protocol", "ipip")
    rfou("port", "add", "6080", "--encap", "gue")
    send(hosts[1], 5555, INNER, 100)
    send(hosts[1], 6080, BAD_HLEN, 7)
    wait_until(lambda: counters(rfou, 6080)["drops"] >= 7, "the last packet is counted")
    received = counters(rfou, 5555)
    assert (received["rx_packets"], received["rx_bytes"]) == (100, 100 * len(INNER))
    dropped = counters(rfou, 6080)
    assert (dropped["rx_packets"], dropped["drops"]) == (0, 7)
    reasons = {drop["reason"]: drop["packets"] for drop in dropped["drops_by_reason"]}
    assert {reason for reason, packets in reasons.items() if packets} == {"GUE_BAD_HLEN"}
    text = rfou("port", "show", "-s").stdout
    assert "received 100 packets, 2.0 KiB; dropped 0\n" in text
    assert "received 0 packets, 0 B; dropped 7: GUE_BAD_HLEN 7\n" in text
    assert "received" not in rfou("port", "show").stdout


def test_rates_are_what_was_sent(hosts, rfou):
    rfou("port", "add", "5555", "--protocol", "ipip")
    rfou("port", "add", "6080", "--encap", "gue")
    words = ("top", "--json", "--count", "8", "--delay", "0.3", "--sort", "drops")
    child = rfou.start(*words, stdout=subprocess.PIPE)
    child.stdout.readline()
    send(hosts[1], 5555, INNER, 60)
    send(hosts[1], 6080, BAD_HLEN, 30)
    packets = drops = 0
    first = set()
    for line in child.communicate(timeout=20)[0].splitlines():
        answer = checked(json.loads(line), "top")
        rows = {row["name"]: row for row in answer["rows"]}
        packets += rows["port 5555 ipv4 fou ipip"]["rx_packets"] * answer["seconds"]
        dropped = rows["port 6080 ipv4 gue"]
        drops += dropped["drops"] * answer["seconds"]
        if dropped["drops"]:
            first.add(answer["rows"][0]["name"])
            assert dropped["drops_by_reason"][0]["reason"] == "GUE_BAD_HLEN"
    assert round(packets) == 60 and round(drops) == 30
    assert first == {"port 6080 ipv4 gue"}, "sorted by drops"


def test_a_deletion_is_reported_with_the_last_counters(hosts, rfou):
    rfou("port", "add", "5555", "--protocol", "ipip")
    child = rfou.start("monitor", "--json", "--count", "1", stdout=subprocess.PIPE)
    wait_until(lambda: subscribed(hosts[0]) >= 2, "the monitor is subscribed")
    send(hosts[1], 5555, INNER, 5)
    wait_until(lambda: counters(rfou, 5555)["rx_packets"] == 5, "all packets are counted")
    hosts[0].ip("fou", "del", "port", "5555")
    event = checked(json.loads(child.communicate(timeout=20)[0]), "monitor")
    assert event["event"] == "port-deleted"
    assert event["port"]["counters"]["rx_packets"] == 5


def subscribed(host):
    """Returns the number of netlink sockets that are in a multicast group."""
    lines = host.proc_net("netlink").splitlines()[1:]
    return sum(int(line.split()[3], 16) != 0 for line in lines)


def test_hundreds_of_changes_are_reported_in_order(hosts, rfou):
    child = rfou.start("monitor", "--json", "--count", "600", stdout=subprocess.PIPE)
    wait_until(lambda: subscribed(hosts[0]) >= 2, "the monitor is subscribed")
    change(hosts[0], range(10000, 10300))
    told = [json.loads(line) for line in child.communicate(timeout=60)[0].splitlines()]
    assert [(event["event"], event["port"]["port"]) for event in told] == [
        (event, number)
        for number in range(10000, 10300)
        for event in ("port-added", "port-deleted")
    ]


def change(host, numbers):
    """Adds and deletes ports one after another."""
    with host.inside():
        client = Fou()
    for number in numbers:
        port = (nl.PORT, nl.be16(number))
        client.add(port, (nl.TYPE, nl.u8(nl.GUE)))
        client.delete(port)
    client.close()


def test_lost_changes_are_reported(hosts, rfou, tmp_path):
    output = tmp_path / "output"
    with output.open("w", encoding="ascii") as file:
        child = rfou.start("monitor", "--json", stdout=file)
    wait_until(lambda: subscribed(hosts[0]) >= 2, "the monitor is subscribed")
    # Too slow a reader: stopped while its buffer overflows.
    child.send_signal(signal.SIGSTOP)
    change(hosts[0], range(10000, 13000))
    child.send_signal(signal.SIGCONT)

    def goes_on():
        # Reported only after the monitor has read what its buffer held.
        change(hosts[0], [9000])
        return '"port":9000' in output.read_text(encoding="ascii")

    wait_until(goes_on, "the monitor goes on", timeout=60)
    [overrun] = [line for line in output.read_text(encoding="ascii").splitlines() if "over" in line]
    assert checked(json.loads(overrun), "monitor")["of"] == "ports"


def test_replacing_a_port_by_itself_keeps_its_counters(hosts, rfou):
    rfou("port", "add", "6080", "--encap", "gue")
    send(hosts[1], 6080, BAD_HLEN, 3)
    wait_until(lambda: counters(rfou, 6080)["drops"] == 3, "the packets are counted")
    words = ("port", "add", "6080", "--encap", "gue", "--replace")
    assert rfou.json("port add", *words)["result"] == "unchanged"
    assert counters(rfou, 6080)["drops"] == 3, "the same port"
