# SPDX-License-Identifier: GPL-2.0
"""`rfou monitor` reports each change, in order."""

import json
import select
import subprocess

import pytest

from testing.lib.rfou_command import checked

pytestmark = pytest.mark.stock_only


def select_readable(stream, seconds):
    """Returns whether there is something to read within a time."""
    return bool(select.select([stream], [], [], seconds)[0])


def events(child, count, first):
    """Returns `count` events, beginning with the first event about the port `first`."""
    found = []
    while len(found) < count:
        event = checked(json.loads(child.stdout.readline()), "monitor")
        if found or event.get("port", {}).get("port") == first:
            found.append((event["event"], event["port"]["port"]))
    return found


def test_changes_of_ports_are_reported_in_order(hosts, rfou_by_each_family):
    rfou = rfou_by_each_family
    child = rfou.start("monitor", "--json", stdout=subprocess.PIPE)
    settle(rfou, child)
    rfou("port", "add", "5555", "--protocol", "ipip")
    assert events(child, 1, 5555) == [("port-added", 5555)]
    hosts[0].ip("fou", "add", "port", "5556", "gue")
    assert events(child, 1, 5556) == [("port-added", 5556)]
    rfou("port", "del", "5555")
    assert events(child, 1, 5555) == [("port-deleted", 5555)]


def settle(rfou, child):
    """Adds and deletes a port until the monitor reports changes."""
    rfou("port", "add", "9000", "--encap", "gue")
    while not select_readable(child.stdout, 1):
        rfou("port", "del", "9000")
        rfou("port", "add", "9000", "--encap", "gue")


def test_text_has_one_line_for_each_change(rfou):
    child = rfou.start("monitor", "--timestamp", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    settle(rfou, child)
    rfou("port", "add", "5555", "--protocol", "ipip", "--local", "192.0.2.1")
    line = ""
    while "5555" not in line:
        line = child.stdout.readline()
    time, text = line.split(maxsplit=1)
    assert float(time) > 0 and text == "added port 5555 ipv4 local 192.0.2.1 fou ipip\n"


def test_the_monitor_ends_after_a_count(rfou):
    child = rfou.start("monitor", "--count", "1", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    settle(rfou, child)
    output, _ = child.communicate(timeout=20)
    assert child.returncode == 0 and output.count("\n") == 1
