# SPDX-License-Identifier: GPL-2.0
"""`rfou apply` sets, shows, changes and writes back the options of gue devices."""

import os

import pytest

from testing.lib.rfou_command import FAILED

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
name = "metadata"
external = true
mode = "ethernet"
headercsum = true

[[link]]
name = "cut"
remote = "192.0.2.2"
mode = "ethernet"
srcport = [20000, 29999]
fragment = 1280
keepalive = 5

[[link]]
name = "server"
remote = "any"
local = "192.0.2.1"
id = 7
port = 6100
sport = 6100
auth = "hmac"
cover = "all"
keepalive = 10
dead = 40
roaming = true

[[link]]
name = "server6"
remote = "::"
local = "2001:db8::1"
port = 6100
sport = 6100
auth = "cookie16"
fragment = true
roaming = true
up = false
"""
SHOWN = {
    "metadata": {"external": True, "mode": "ethernet", "headercsum": True},
    "cut": {
        "remote": "192.0.2.2",
        "mode": "ethernet",
        "srcport": [20000, 29999],
        "fragment": 1280,
        "keepalive": 5,
        "dead": 15,
    },
    "server": {
        "remote": "any",
        "local": "192.0.2.1",
        "id": 7,
        "port": 6100,
        "sport": 6100,
        "auth": "hmac",
        "cover": "all",
        "keepalive": 10,
        "dead": 40,
        "roaming": True,
        "up": True,
    },
    "server6": {"auth": "cookie16", "fragment": True, "roaming": True, "up": False},
}
NOTHING = "nothing to change"


def apply(rfou, text, *words):
    """Applies a file; returns the lines of what was done."""
    return rfou("apply", "-", *words, stdin=text).stdout.splitlines()


def links(rfou):
    """Returns what the command shows of each device, by name, without the state.

    The state of a device with a keepalive changes with time, because its peer does not exist.
    """
    found = rfou.json("link show", "link", "show")["links"]
    return {link["name"]: {**link, "state": None} for link in found}


def test_options_are_applied_once_and_shown(hosts, rfou):
    assert apply(rfou, FILE) == [f"added link {name}" for name in SHOWN]
    assert apply(rfou, FILE) == [NOTHING]
    shown = links(rfou)
    for name, options in SHOWN.items():
        assert {key: shown[name].get(key) for key in options} == options, name
    # The kernel has them, too, and not only the command.
    data = {name: hosts[0].link(name)["linkinfo"]["info_data"] for name in SHOWN}
    assert data["metadata"]["external"] and data["metadata"]["mode"] == "ethernet"
    assert (data["cut"]["fragment"], data["cut"]["fragment_size"]) == (True, 1280)
    assert (data["server"]["keepalive"], data["server"]["dead"]) == (10, 40)
    assert data["server"]["roaming"] and data["server"]["auth"] == "hmac"
    assert data["server6"]["auth"] == "cookie16" and "fragment_size" not in data["server6"]
    text = rfou("link", "show", "server").stdout
    assert all(word in text for word in ("auth hmac", "cover all", "keepalive 10", "roaming")), text


CHANGES = [
    ("srcport = [20000, 29999]\n", "", "cut: srcport [20000,29999] -> none"),
    (
        "srcport = [20000, 29999]",
        "sport = 5000",
        "cut: sport auto -> 5000, srcport [20000,29999] -> none",
    ),
    ("fragment = 1280", "fragment = true", "cut: fragment 1280 -> true"),
    ("fragment = 1280\n", "", "cut: fragment 1280 -> false"),
    ("keepalive = 5", "keepalive = 7", "cut: keepalive 5 -> 7, dead 15 -> 21"),
    ("keepalive = 5\n", "", "cut: keepalive 5 -> 0, dead 15 -> none"),
    ("dead = 40", "dead = 11", "server: dead 40 -> 11"),
    ('cover = "all"', "cover = 20", "server: cover all -> 20"),
    ("fragment = true\nroaming = true", "fragment = true", "server6: roaming true -> false"),
    ("headercsum = true", "crc = true", "metadata: headercsum true -> false, crc false -> true"),
    ("roaming = true\nup = false", "roaming = true", "server6: up"),
]


def test_options_change_in_place_one_by_one_and_back(hosts, rfou):
    """The device and its other options stay. Applying the first file again restores the option."""
    apply(rfou, FILE)
    before = links(rfou)
    for old, new, what in CHANGES:
        assert FILE.count(old) == 1
        changed = FILE.replace(old, new)
        assert apply(rfou, changed) == [f"changed link {what}"]
        assert apply(rfou, changed) == [NOTHING], what
        name = what.partition(":")[0]
        after = links(rfou)
        assert after[name]["ifindex"] == before[name]["ifindex"]
        assert after != before and after | {name: None} == before | {name: None}, what
        apply(rfou, FILE)
        assert links(rfou) == before, what


FIXED = [
    ("external = true", 'remote = "192.0.2.9"\nport = 6999', "metadata", ["external", "remote"]),
    ('"192.0.2.2"\nmode = "ethernet"', '"192.0.2.2"\nmode = "ip"', "cut", ["mode"]),
    ('auth = "cookie16"', 'auth = "cookie8"', "server6", ["auth"]),
    ('auth = "hmac"\ncover = "all"', 'auth = "cookie8"', "server", ["auth"]),
]


@pytest.mark.parametrize(("old", "new", "name", "options"), FIXED)
def test_what_cannot_change_in_place_is_named_and_a_new_device_has_it(
    hosts, rfou, old, new, name, options
):
    """The device stays as it was until its user deletes it, as the hint says."""
    apply(rfou, FILE)
    before = links(rfou)
    assert FILE.count(old) == 1
    changed = FILE.replace(old, new)
    done = rfou.json("apply", "apply", "-", stdin=changed, status=FAILED)
    [step] = done["steps"]
    assert step["object"] == f"link {name}" and not step["done"]
    assert all(option in step["error"]["argument"] for option in options)
    assert f"ip link del {name}" in step["error"]["hint"]
    assert links(rfou) == before
    hosts[0].ip("link", "del", name)
    assert apply(rfou, changed) == [f"added link {name}"]
    assert apply(rfou, changed) == [NOTHING]
    assert links(rfou)[name]["ifindex"] != before[name]["ifindex"]


def test_the_file_from_system_makes_the_same_devices(rfou, tmp_path):
    apply(rfou, FILE)
    before = links(rfou)
    saved = tmp_path / "saved.toml"
    rfou("apply", "--from-system", saved)
    text = saved.read_text(encoding="ascii")
    for line in ("external = true", 'mode = "ethernet"', "fragment = 1280", "fragment = true",
                 "roaming = true", "dead = 40", 'cover = "all"', "up = false"):  # fmt: skip
        assert line in text.splitlines(), text
    assert apply(rfou, text, "--exclusive") == [NOTHING]
    assert apply(rfou, FILE) == [NOTHING]
    rfou("apply", "-", stdin="exclusive = true")
    assert links(rfou) == {}
    assert sorted(apply(rfou, text)) == sorted(f"added link {name}" for name in SHOWN)
    for name, link in links(rfou).items():
        assert {**link, "ifindex": before[name]["ifindex"]} == before[name]
    assert rfou("apply", "--from-system").stdout == text
