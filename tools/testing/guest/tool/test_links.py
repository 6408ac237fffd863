# SPDX-License-Identifier: GPL-2.0
"""The command and gue devices: shown, applied, monitored, on `rfou top`.

h1: gue0 10.1.1.1 -- eth0 ===== eth0 -- gue0 10.1.1.2 :h2
"""

import json
import os
import subprocess

import pytest

from testing.lib.rfou_command import FAILED, NOT_FOUND, USAGE, WOULD_CHANGE, checked

pytestmark = [
    pytest.mark.stock_only,
    pytest.mark.usefixtures("no_links_are_left"),
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]

FILE = """
exclusive = true

[[link]]
name = "gue0"
remote = "192.0.2.2"
id = 7
ttl = 64

[[link]]
name = "gue1"
remote = "2001:db8::2"
mtu = 1300
remcsum = "draft"
"""


def names(rfou):
    """Returns the names of the gue devices that exist."""
    return [link["name"] for link in rfou.json("link show", "link", "show")["links"]]


def test_devices_are_shown_with_what_differs_from_the_defaults(hosts, rfou):
    assert rfou("link", "show").stdout == ""
    hosts[0].ip("link", "add", "gue0", "type", "gue", "remote", "192.0.2.2", "id", "7")
    assert rfou("link", "show").stdout.splitlines() == [
        "gue0: down state down mtu 1464",
        "       id 7 remote 192.0.2.2",
    ]
    [link] = rfou.json("link show", "link", "show", "gue0")["links"]
    assert (link["name"], link["remote"]) == ("gue0", "192.0.2.2")
    assert (link["id"], link["dport"]) == (7, 6080)
    assert "counters" not in link
    error = rfou.refused("link", "show", "gue9", status=NOT_FOUND)
    assert "gue9" in error["message"] and error["argument"] == "NAME"


@pytest.mark.parametrize("words", ["add gue0 type gue id 5", "set gue0 --ttl 3", "del gue0", "add"])
def test_commands_that_link_lacks_point_to_ip_link(rfou, words):
    assert "ip link add gue0 type gue id 5" in rfou("link", *words.split(), status=USAGE).stderr
    assert "ip link add gue0 type gue id 5" in rfou("link", "--help").stdout


def test_counters_are_what_went_through(hosts, rfou):
    for number, host in enumerate(hosts, start=1):
        host.batch(
            f"link add gue0 type gue remote 192.0.2.{3 - number}",
            f"addr add 10.1.1.{number}/24 dev gue0",
            "link set gue0 addrgenmode none up",
        )
    hosts[0].run("ping", "-n", "-c", 3, "-i", "0.01", "-W", 2, "10.1.1.2")
    [link] = rfou.json("link show", "link", "show", "-s")["links"]
    counters = link["counters"]
    assert (counters["rx_packets"], counters["tx_packets"]) == (3, 3)
    assert (counters["rx_bytes"], counters["tx_bytes"]) == (3 * 84, 3 * 84)
    assert "received 3 packets, 252" in rfou("link", "show", "-s").stdout
    top = rfou.json("top", "top", "--batch", "--count", "1", "--delay", "0.1")
    assert "link gue0" in [row["name"] for row in top["rows"]]


def test_devices_are_applied_once_and_changed_in_place(hosts, rfou, tmp_path):
    dry = rfou("apply", "-", "--dry-run", stdin=FILE, status=WOULD_CHANGE).stdout
    assert dry.splitlines() == ["would add link gue0", "would add link gue1"]
    assert names(rfou) == []
    rfou("apply", "-", stdin=FILE)
    assert names(rfou) == ["gue0", "gue1"]
    assert rfou("apply", "-", stdin=FILE).stdout == "nothing to change\n"
    before = hosts[0].link("gue0")["ifindex"]
    changed = FILE.replace("ttl = 64", "ttl = 32").replace("mtu = 1300", "mtu = 1280")
    assert rfou("apply", "-", stdin=changed).stdout.splitlines() == [
        "changed link gue0: ttl 64 -> 32",
        "changed link gue1: mtu 1300 -> 1280",
    ]
    shown = hosts[0].link("gue0")
    assert shown["ifindex"] == before and shown["linkinfo"]["info_data"]["ttl"] == 32
    assert "UP" in shown["flags"], "a device of the file is up"
    saved = tmp_path / "saved.toml"
    rfou("apply", "--from-system", saved)
    rfou("apply", "-", stdin="exclusive = true")
    assert names(rfou) == []
    rfou("apply", saved)
    assert rfou("apply", "-", stdin=changed).stdout == "nothing to change\n"


def test_a_property_that_cannot_change_is_named_and_the_device_stays(hosts, rfou):
    rfou("apply", "-", stdin=FILE)
    before = hosts[0].link("gue0")
    done = rfou.json("apply", "apply", "-", stdin=FILE.replace("id = 7", "id = 8"), status=None)
    [wrong] = [step for step in done["steps"] if not step["done"]]
    assert "gue0" in wrong["object"] and "id" in json.dumps(wrong["error"])
    after = hosts[0].link("gue0")
    assert (after["ifindex"], after["linkinfo"]) == (before["ifindex"], before["linkinfo"])
    # The kernel's own refusals name the property, too.
    wrong_remote = '[[link]]\nname = "gue2"\nremote = "224.0.0.1"\n'
    done = rfou.json("apply", "apply", "-", stdin=wrong_remote, status=FAILED)
    [step] = done["steps"]
    assert step["error"]["argument"] == "remote" and "unicast" in step["error"]["message"]
    assert names(rfou) == ["gue0", "gue1"]


def test_changes_of_devices_are_reported_in_order(hosts, rfou):
    child = rfou.start("monitor", "--json", stdout=subprocess.PIPE)

    def told():
        event = checked(json.loads(child.stdout.readline()), "monitor")
        return event["event"], event.get("link", {})

    # The monitor may begin after the first device was made.
    hosts[0].ip("link", "add", "first", "type", "gue", "remote", "192.0.2.3")
    hosts[0].ip("link", "set", "first", "up")
    while told()[1].get("name") != "first":
        pass
    hosts[0].ip("link", "add", "gue0", "type", "gue", "remote", "192.0.2.2")
    hosts[0].ip("link", "set", "gue0", "up")
    hosts[0].ip("link", "set", "gue0", "type", "gue", "ttl", "5")
    hosts[0].ip("link", "del", "gue0")
    found = []
    while not found or found[-1][0] != "link-deleted":
        event, link = told()
        if link.get("name") == "gue0":
            found.append((event, link["ttl"], link["up"]))
    assert found[0] == ("link-added", 0, False)
    changes = found[1:-1]
    assert {event for event, _, _ in changes} == {"link-changed"}
    assert changes[0] == ("link-changed", 0, True) and ("link-changed", 5, True) in changes
