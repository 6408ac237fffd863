# SPDX-License-Identifier: GPL-2.0
"""`rfou ping`, and peers in `rfou link show`, `rfou monitor` and `rfou apply`.

h1: gue0 -- eth0 ===== eth0 -- gue0 :h2
"""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from testing.lib.hosts import wait_until
from testing.lib.peer_family import GuePeers
from testing.lib.rfou_command import FAILED, NOT_FOUND, PERMISSION, USAGE, checked

pytestmark = [
    pytest.mark.stock_only,
    pytest.mark.usefixtures("no_links_are_left"),
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]

PORT = 6080
TIME = r"\d+\.\d{3}"


def add(host, options, name="gue0"):
    """Makes a device that is up and sends nothing by itself."""
    host.batch(f"link add {name} type gue {options}", f"link set {name} addrgenmode none up")


@pytest.fixture(name="pair")
def pair_fixture(hosts):
    """A device in each host."""
    for number, host in enumerate(hosts, start=1):
        add(host, f"remote 192.0.2.{3 - number}")
    return hosts


def drop(host, rule="drop"):
    """Has a host apply an nftables rule to received packets of the tunnel."""
    chain = f"type filter hook input priority 0; udp dport {PORT} {rule};"
    host.run("nft", f"table inet cut {{ chain in {{ {chain} }}; }}")


def pinged(rfou, *words, status=0):
    """Returns the lines of a ping in JSON: events, and the summary."""
    done = rfou("ping", "gue0", *words, "--json", status=status)
    lines = [checked(json.loads(line), "ping") for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines].count("summary") == 1
    assert lines[-1]["event"] == "summary" and lines[-1]["device"] == "gue0"
    return lines[:-1], lines[-1]


@pytest.mark.usefixtures("pair")
def test_answers_are_printed_as_ping_prints_them(rfou):
    lines = rfou("ping", "gue0", "-c", 3, "-i", "0.05").stdout.splitlines()
    for number, line in enumerate(lines[:3], start=1):
        assert re.fullmatch(rf"from 192\.0\.2\.2 port {PORT}: seq={number} time={TIME} ms", line)
    assert lines[3:6] == ["", "--- gue0 ping statistics ---", "3 sent, 3 received, 0% loss"]
    times = "/".join([TIME] * 4)
    assert re.fullmatch(rf"rtt min/avg/max/mdev = {times} ms", lines[6])
    events, summary = pinged(rfou, "--count", 2, "--interval", "0.05")
    assert [event["event"] for event in events] == ["reply", "reply"]
    assert [event["seq"] for event in events] == [1, 2]
    assert {(event["from"], event["port"]) for event in events} == {("192.0.2.2", PORT)}
    times = sorted(event["rtt_ns"] for event in events)
    found = summary["rtt_ns"]
    assert (found["min"], found["max"]) == tuple(times) and times[0] > 0
    assert found["avg"] == sum(times) // 2
    counts = ("sent", "received", "not_sent", "loss_percent")
    assert [summary[name] for name in counts] == [2, 2, 0, 0]


def test_lost_requests_are_reported_and_counted(pair, rfou):
    drop(pair[1], "numgen inc mod 2 == 0 drop")
    events, summary = pinged(rfou, "-c", 4, "-i", "0.1", "-W", "0.3")
    answered = {event["seq"] for event in events if event["event"] == "reply"}
    lost = {event["seq"] for event in events if event["event"] == "no-answer"}
    assert answered in ({1, 3}, {2, 4}) and lost == {1, 2, 3, 4} - answered
    assert (summary["sent"], summary["received"], summary["loss_percent"]) == (4, 2, 50)


def test_silence_is_a_failure(pair, rfou):
    drop(pair[1])
    begin = time.monotonic()
    lines = rfou("ping", "gue0", "-c", 2, "-i", "0.1", "-W", "0.2", status=FAILED).stdout
    assert 0.3 <= time.monotonic() - begin < 5
    assert lines.splitlines() == [
        "seq=1 no answer",
        "seq=2 no answer",
        "",
        "--- gue0 ping statistics ---",
        "2 sent, 0 received, 100% loss",
    ]
    _, summary = pinged(rfou, "-c", 1, "-W", "0.1", status=FAILED)
    assert summary["rtt_ns"] is None


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_prints_the_summary(rfou, number):
    child = rfou.start("ping", "gue0", "-i", "0.1", stdout=subprocess.PIPE)
    assert child.stdout.readline().startswith("from 192.0.2.2 port 6080: seq=1 ")
    child.send_signal(number)
    text, _ = child.communicate(timeout=10)
    assert child.returncode == 0
    assert "--- gue0 ping statistics ---\n" in text and "rtt min/avg/max/mdev = " in text
    assert re.search(r"^(\d+) sent, [1-9]\d* received", text, re.MULTILINE)


def test_a_signal_in_silence_is_a_failure(pair, rfou):
    drop(pair[1])
    child = rfou.start("ping", "gue0", "-W", "0.05", stdout=subprocess.PIPE)
    assert child.stdout.readline() == "seq=1 no answer\n"
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=10)
    assert child.returncode == FAILED


def test_requests_that_cannot_be_sent_are_reported_with_the_reason(hosts, rfou):
    hosts[0].ip("link", "add", "gue0", "type", "gue", "remote", "192.0.2.2")
    lines = rfou("ping", "gue0", "-c", 2, "-i", "0.01", status=FAILED).stdout.splitlines()
    assert lines[0].startswith("seq=1 not sent: ") and lines[1].startswith("seq=2 not sent: ")
    assert lines[-1] == "0 sent, 0 received, 2 not sent"
    hosts[0].ip("link", "del", "gue0")
    add(hosts[0], "remote 192.0.2.2 auth hmac")
    events, summary = pinged(rfou, "-c", 1, status=FAILED)
    [event] = events
    assert event["event"] == "not-sent" and "key" in event["error"]["message"].lower()
    assert (summary["sent"], summary["not_sent"], summary["loss_percent"]) == (0, 1, None)
    # Later requests are sent when the reason is gone.
    hosts[0].ip("link", "del", "gue0")
    add(hosts[0], "remote 203.0.113.1")
    child = rfou.start("ping", "gue0", "-i", "0.05", stdout=subprocess.PIPE)
    assert "not sent" in child.stdout.readline()
    hosts[0].ip("addr", "add", "203.0.113.9/24", "dev", "eth0")
    hosts[1].ip("addr", "add", "203.0.113.1/24", "dev", "eth0")
    add(hosts[1], "remote 203.0.113.9")
    while "time=" not in (line := child.stdout.readline()):
        assert line, "the ping goes on"
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=10)
    assert child.returncode == 0


def test_wrong_words_are_refused(hosts, rfou):
    for words, argument in [
        ((), "DEVICE"),
        (("gue0", "-c", "0"), "--count"),
        (("gue0", "-c", "x"), "--count"),
        (("gue0", "-i", "0"), "--interval"),
        (("gue0", "-i", "3601"), "--interval"),
        (("gue0", "-W", "-1"), "-1"),
        (("gue0", "gue1"), "gue1"),
        (("a-name-of-letters",), "1 to 15 characters"),
    ]:
        error = rfou.refused("ping", *words, status=USAGE)
        assert argument in json.dumps(error), f"{words}: {error}"
    for name in ("gue9", "lo"):
        error = rfou.refused("ping", name, "-c", 1, status=NOT_FOUND)
        assert error["argument"] == "DEVICE" and "rfou link show" in error["hint"]
    add(hosts[0], "remote 192.0.2.2")
    done = rfou.by_another_user("ping", "gue0", "-c", "1")
    assert (done.returncode, done.stdout) == (PERMISSION, "")


@pytest.mark.usefixtures("pair")
def test_another_namespace_is_pinged(hosts, rfou):
    done = rfou("--netns", hosts[1].name, "ping", "gue0", "-c", 1)
    assert done.stdout.startswith("from 192.0.2.1 port 6080: seq=1 ")


def test_deleting_the_device_ends_the_ping(pair, rfou):
    child = rfou.start("ping", "gue0", "-i", "0.1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert "time=" in child.stdout.readline()
    pair[0].ip("link", "del", "gue0")
    text, error = child.communicate(timeout=10)
    assert child.returncode == NOT_FOUND and "no gue device" in error
    assert "--- gue0 ping statistics ---" in text


def test_peers_are_shown_with_counters(pair, rfou):
    [link] = rfou.json("link show", "link", "show")["links"]
    assert "peer" not in link
    rfou("ping", "gue0", "-c", 2, "-i", "0.01")
    [link] = rfou.json("link show", "link", "show", "-s")["links"]
    peer, known = link["peer"], GuePeers(pair[0]).get("gue0")
    assert (peer["remote"], peer["port"], peer["alive"]) == ("192.0.2.2", PORT, None)
    assert peer["rtt_ns"] == known["rtt"] > 0
    assert peer["last_heard_ms"] is not None
    pair[0].ip("link", "set", "gue0", "type", "gue", "keepalive", "30")
    text = rfou("link", "show", "-s").stdout
    assert re.search(
        rf"^       peer 192\.0\.2\.2 port {PORT}, alive, heard \d+ ms ago, rtt {TIME} ms, 0 moves$",
        text,
        re.MULTILINE,
    ), text
    assert "       echo requests 0, replies 0, limited 0; 0 replays, 0 auth failures" in text
    text = rfou("link", "show").stdout
    assert "peer" not in text and text.splitlines()[1] == "       remote 192.0.2.2 keepalive 30"


def test_peers_that_die_and_come_back_are_reported(pair, rfou):
    child = rfou.start("monitor", "--json", stdout=subprocess.PIPE)

    def told(wanted):
        while True:
            event = checked(json.loads(child.stdout.readline()), "monitor")
            if event["event"] == wanted:
                return event

    # The monitor may begin after a first change.
    pair[0].ip("link", "set", "gue0", "mtu", "1400")
    time.sleep(0.3)
    pair[0].ip("link", "set", "gue0", "mtu", "1300")
    told("link-changed")
    pair[0].ip("link", "set", "gue0", "type", "gue", "keepalive", "1", "dead", "2")
    peers = GuePeers(pair[0])
    wait_until(lambda: "rtt" in peers.get("gue0"), "the peer has answered")
    drop(pair[1])
    peer = told("peer-dead")["peer"]
    assert (peer["device"], peer["remote"], peer["alive"]) == ("gue0", "192.0.2.2", False)
    pair[1].run("nft", "delete table inet cut")
    assert told("peer-alive")["peer"]["alive"] is True


FILE = """
[[link]]
name = "gue0"
remote = "any"
id = 7
sport = 6080
auth = "cookie8"
keepalive = 5
roaming = true
"""


def test_keepalive_and_roaming_are_applied(hosts, rfou, tmp_path):
    rfou("apply", "-", stdin=FILE)
    shown = hosts[0].link("gue0")["linkinfo"]["info_data"]
    assert (shown["keepalive"], shown["dead"], shown["roaming"]) == (5, 15, True)
    assert rfou("apply", "-", stdin=FILE).stdout == "nothing to change\n"
    saved = tmp_path / "saved.toml"
    rfou("apply", "--from-system", saved)
    assert "keepalive = 5\n" in saved.read_text() and "dead" not in saved.read_text()
    changes = [
        ("keepalive = 5", "keepalive = 5\ndead = 6", "dead 15 -> 6"),
        ("keepalive = 5", "keepalive = 9", "keepalive 5 -> 9, dead 6 -> 27"),
        (
            "keepalive = 5\nroaming = true",
            "",
            "keepalive 9 -> 0, dead 27 -> none, roaming true -> false",
        ),
    ]
    for old, new, told in changes:
        text = FILE.replace(old, new)
        assert rfou("apply", "-", stdin=text).stdout == f"changed link gue0: {told}\n"
        assert rfou("apply", "-", stdin=text).stdout == "nothing to change\n"
    wrong = FILE.replace('auth = "cookie8"', "").replace("id = 7", "id = 8").replace("gue0", "gue1")
    done = rfou.json("apply", "apply", "-", stdin=wrong, status=FAILED)
    [step] = done["steps"]
    assert step["error"]["argument"] == "roaming" and "auth" in step["error"]["message"]
