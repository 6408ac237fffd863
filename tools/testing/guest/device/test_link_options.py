# SPDX-License-Identifier: GPL-2.0
"""The options of a link in `ip`, with its plug-in, and in ynl: set, shown, changed, refused."""

import copy
import re

import pytest

from testing.lib.gue_link import NLM_F_CREATE, NLM_F_EXCL
from testing.lib.ynl import connect, library

# The debug kernel takes five seconds for each test.
pytestmark = pytest.mark.soak_on_debug

DEFAULTS = {
    "port": 6080,
    "dport": 6080,
    "sport": 0,
    "mode": "ip",
    "variant": 0,
    "ttl": 0,
    "ttl_inherit": False,
    "tos": "0",
    "tos_inherit": False,
    "df": "unset",
    "label": "0",
    "udp_csum": False,
    "udp_zero_csum6_tx": False,
    "udp_zero_csum6_rx": False,
    "remcsum": "off",
    "auth": "none",
    "headercsum": False,
    "crc": False,
    "fragment": False,
    "keepalive": 0,
    "roaming": False,
}
REMOTE, REMOTE6 = "192.0.2.2", "2001:db8::2"
DEFAULTS4, DEFAULTS6 = DEFAULTS | {"remote": REMOTE}, DEFAULTS | {"remote": REMOTE6}


@pytest.fixture
def host(hosts):
    """The first host."""
    return hosts[0]


def shown(host, name="gue0"):
    """Returns the kind's options, as `ip -j -d` shows them."""
    info = host.link(name)["linkinfo"]
    assert info["info_kind"] == "gue"
    return info["info_data"]


def words(host, name="gue0"):
    """Returns the words that `ip -d` shows after the kind."""
    text = host.ip("-d", "link", "show", "dev", name).stdout
    return re.search(r"^    gue (.*?) addrgenmode", text, re.MULTILINE)[1]


def add(host, options):
    """Makes the link."""
    host.ip("link", "add", "gue0", "type", "gue", *options.split())


def change(host, options, check=True):
    """Changes the link."""
    return host.ip("link", "set", "gue0", "type", "gue", *options.split(), check=check)


def nothing_is_left(host):
    """Returns whether the host has no link of the kind and no UDP socket."""
    sockets = sum(len(host.proc_net(name).splitlines()) - 1 for name in ("udp", "udp6"))
    return sockets == 0 and host.ip("link", "show", "type", "gue").stdout == ""


@pytest.mark.parametrize("expected", [DEFAULTS4, DEFAULTS6], ids=["ipv4", "ipv6"])
def test_defaults_are_shown(host, expected):
    add(host, f"remote {expected['remote']}")
    assert shown(host) == expected
    assert words(host) == (
        f"remote {expected['remote']} port 6080 dport 6080 sport auto mode ip variant 0 ttl auto"
        " tos 0 df unset flowlabel 0 noudpcsum noudp6zerocsumtx noudp6zerocsumrx noremcsum"
        " auth none noheadercsum nocrc nofragment keepalive 0 noroaming"
    )
    host.ip("link", "del", "gue0")
    assert nothing_is_left(host)


def test_every_option_is_shown_in_its_place(host):
    options = (
        "remote 2001:db8::2 id 4294967295 local 2001:db8::1 dev eth0 port 7000 dport 7001"
        " srcport 7000 7000 mode ip variant 0 ttl 64 tos 0xb8 df inherit flowlabel 0xfedcb udpcsum"
        " udp6zerocsumtx udp6zerocsumrx remcsum auth hmac cover 0 headercsum crc"
        " fragment 1280 keepalive 5 dead 20 roaming"
    )
    add(host, options)
    assert words(host) == options
    assert shown(host) == {
        "remote": "2001:db8::2",
        "id": 4294967295,
        "local": "2001:db8::1",
        "link": "eth0",
        "port": 7000,
        "dport": 7001,
        "port_range": {"low": 7000, "high": 7000},
        "mode": "ip",
        "variant": 0,
        "ttl": 64,
        "ttl_inherit": False,
        "tos": "0xb8",
        "tos_inherit": False,
        "df": "inherit",
        "label": "0xfedcb",
        "udp_csum": True,
        "udp_zero_csum6_tx": True,
        "udp_zero_csum6_rx": True,
        "remcsum": "draft",
        "auth": "hmac",
        "cover": 0,
        "headercsum": True,
        "headercsum_cover": 0,
        "crc": True,
        "crc_cover": 0,
        "fragment": True,
        "fragment_size": 1280,
        "keepalive": 5,
        "dead": 20,
        "roaming": True,
    }
    # The words that are shown make the same link.
    host.ip("link", "del", "gue0")
    add(host, options)
    assert words(host) == options


# Words when the link is made, and what they show; words of a change, and what they show then.
CHANGES = [
    ("", {}, "ttl 64", {"ttl": 64}),
    ("ttl 64", {"ttl": 64}, "ttl inherit", {"ttl_inherit": True}),
    ("ttl inherit", {"ttl_inherit": True}, "ttl 1", {"ttl": 1}),
    ("ttl 255", {"ttl": 255}, "ttl auto", {}),
    ("", {}, "tos 0xb8", {"tos": "0xb8"}),
    ("tos 0xfc", {"tos": "0xfc"}, "tos inherit", {"tos_inherit": True}),
    ("tos inherit", {"tos_inherit": True}, "tos 0", {}),
    ("", {}, "df set", {"df": "set"}),
    ("df set", {"df": "set"}, "df inherit", {"df": "inherit"}),
    ("df inherit", {"df": "inherit"}, "df unset", {}),
    ("", {}, "udpcsum", {"udp_csum": True}),
    ("udpcsum", {"udp_csum": True}, "noudpcsum", {}),
    ("", {}, "udp6zerocsumtx", {"udp_zero_csum6_tx": True}),
    ("udp6zerocsumtx", {"udp_zero_csum6_tx": True}, "noudp6zerocsumtx", {}),
    ("", {}, "udp6zerocsumrx", {"udp_zero_csum6_rx": True}),
    ("udp6zerocsumrx", {"udp_zero_csum6_rx": True}, "noudp6zerocsumrx", {}),
    ("", {}, "remcsum", {"remcsum": "draft"}),
    ("remcsum", {"remcsum": "draft"}, "linux-remcsum", {"remcsum": "linux"}),
    ("linux-remcsum", {"remcsum": "linux"}, "noremcsum", {}),
    ("", {}, "dport 7000", {"dport": 7000}),
    ("dport 7000", {"port": 7000, "dport": 7000}, "dport 7001", {"port": 7000, "dport": 7001}),
    ("", {}, "sport 7000", {"sport": 7000}),
    ("sport 7000", {"sport": 7000}, "sport auto", {}),
    ("", {}, "headercsum", {"headercsum": True, "headercsum_cover": 0}),
    (
        "headercsum all",
        {"headercsum": True, "headercsum_cover": 65535},
        "headercsum",
        {"headercsum": True, "headercsum_cover": 0},
    ),
    ("headercsum", {"headercsum": True, "headercsum_cover": 0}, "noheadercsum", {}),
    ("", {}, "crc 65534", {"crc": True, "crc_cover": 65534}),
    ("crc 20", {"crc": True, "crc_cover": 20}, "nocrc", {}),
    ("", {}, "fragment", {"fragment": True}),
    ("fragment", {"fragment": True}, "fragment 300", {"fragment": True, "fragment_size": 300}),
    ("fragment 65535", {"fragment": True, "fragment_size": 65535}, "nofragment", {}),
    ("", {}, "keepalive 5", {"keepalive": 5, "dead": 15}),
    (
        "keepalive 5 dead 20",
        {"keepalive": 5, "dead": 20},
        "keepalive 10",
        {"keepalive": 10, "dead": 20},
    ),
    ("keepalive 5", {"keepalive": 5, "dead": 15}, "dead 6", {"keepalive": 5, "dead": 6}),
    ("keepalive 65534", {"keepalive": 65534, "dead": 65535}, "keepalive 0", {}),
    (
        "auth hmac",
        {"auth": "hmac", "cover": 0},
        "cover all",
        {"auth": "hmac", "cover": 65535},
    ),
]


@pytest.mark.parametrize(("given", "before", "changed", "after"), CHANGES)
def test_option_is_set_changed_and_shown(host, given, before, changed, after):
    add(host, f"remote {REMOTE} {given}")
    assert shown(host) == DEFAULTS4 | before
    change(host, changed)
    assert shown(host) == DEFAULTS4 | after


def test_source_port_is_fixed_or_of_a_range(host):
    add(host, f"remote {REMOTE} srcport 1000 1000")
    of_range = {key: value for key, value in DEFAULTS4.items() if key != "sport"}
    assert shown(host) == of_range | {"port_range": {"low": 1000, "high": 1000}}
    change(host, "sport 5")
    assert shown(host) == DEFAULTS4 | {"sport": 5}
    change(host, "srcport 1 65535")
    assert shown(host) == of_range | {"port_range": {"low": 1, "high": 65535}}
    assert "srcport 1 65535 mode" in words(host)
    change(host, "sport auto")
    assert shown(host) == DEFAULTS4, "sport auto removes the range"


def test_flowlabel_is_of_ipv6(host):
    add(host, f"remote {REMOTE6} flowlabel 1")
    assert shown(host)["label"] == "0x1"
    change(host, "flowlabel 0xfffff")
    assert shown(host) == DEFAULTS6 | {"label": "0xfffff"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("remote any", {"remote": "any"}),
        ("remote 0.0.0.0 local 192.0.2.1", {"remote": "any", "local": "192.0.2.1"}),
        ("remote ::", {"remote": "::"}),
        ("remote any local 2001:db8::1", {"remote": "::", "local": "2001:db8::1"}),
        (f"remote {REMOTE} local any", {"remote": REMOTE}),
        (f"remote {REMOTE6} local any", {"remote": REMOTE6}),
        (f"remote {REMOTE} id 0", {"remote": REMOTE, "id": 0}),
        (f"remote {REMOTE} variant 1", {"remote": REMOTE, "variant": 1}),
        (f"remote {REMOTE} port 1 dport 65535", {"remote": REMOTE, "port": 1, "dport": 65535}),
        (f"remote {REMOTE} dev eth0", {"remote": REMOTE, "link": "eth0"}),
    ],
)
def test_link_is_made_and_shown(host, options, expected):
    add(host, options)
    assert shown(host) == DEFAULTS | expected


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("port 7000", "port cannot be changed"),
        ("id 6", "id cannot be changed"),
        ("remote 192.0.2.3", "remote cannot be changed"),
        (f"remote {REMOTE6}", "remote cannot be changed"),
        ("local 192.0.2.3", "local cannot be changed"),
        ("dev eth0", "dev cannot be changed"),
        ("mode ethernet", "mode cannot be changed"),
        ("external", "external cannot be changed"),
        ("local 2001:db8::1", "local and remote must be of the same IP version"),
        ("variant 1", "variant 1 has no header for an id"),
        ("auth cookie8", "auth cannot be changed"),
    ],
)
def test_what_cannot_change_is_refused(host, options, text):
    add(host, f"remote {REMOTE} id 5 local 192.0.2.1")
    before = shown(host)
    done = change(host, options, check=False)
    assert done.returncode == 2
    assert f"Error: {text}" in done.stderr
    assert shown(host) == before
    # A request with the values in force is no change.
    change(host, f"port 6080 remote {REMOTE} id 5 local 192.0.2.1 mode ip")
    assert shown(host) == before


@pytest.fixture
def ynl(host):
    """The kernel's own netlink library with the kind's spec, in the first host."""
    return connect(host, "rt-link-gue")


YNL_SET = {
    "id": 5,
    "remote6": REMOTE6,
    "local6": "2001:db8::1",
    "port": 7000,
    "dport": 7001,
    "sport": 0,
    "sport-range": {"low": 1000, "high": 2000},
    "mode": "ip",
    "variant": 0,
    "ttl": 64,
    "ttl-inherit": 0,
    "tos": 0xB8,
    "tos-inherit": 0,
    "df": "inherit",
    "flowlabel": 0xFEDCB,
    "udp-csum": 1,
    "udp-zero-csum6-tx": 1,
    "udp-zero-csum6-rx": 1,
    "remcsum": "linux",
    "auth": "hmac",
    "cover": 0,
    "headercsum": 1,
    "headercsum-cover": 0,
    "crc": 1,
    "crc-cover": 0,
    "fragment": 1,
    "fragment-size": 1280,
    "keepalive": 5,
    "dead": 20,
    "roaming": 0,
}


def test_ynl_makes_changes_shows_and_deletes(host, ynl):
    def message(data):
        # A copy, because the library empties structures when it encodes them.
        return {"ifname": "gue0", "linkinfo": {"kind": "gue", "data": copy.deepcopy(data)}}

    def data():
        answers = [
            ynl.do("getlink", {"ifname": "gue0"}),
            *ynl.dump("getlink", {"linkinfo": {"kind": "gue"}}),
        ]
        found = [answer["linkinfo"]["data"] for answer in answers]
        never = {"last-heard-ms": 2**64 - 1, "rtt-ns": 0, "moves": 0, "limited": 0}
        assert all(never.items() <= answer["linkinfo"]["xstats"].items() for answer in answers)
        assert len(found) == 2 and found[0] == found[1], "one link, and the dump shows the same"
        return found[0]

    made = YNL_SET | {"link": host.link("eth0")["ifindex"]}
    ynl.do("newlink", message(made), [NLM_F_CREATE, NLM_F_EXCL])
    assert data() == made
    changed = {"ttl-inherit": 1, "remcsum": "off"}
    ynl.do("newlink", message(changed))
    assert data() == made | changed | {"ttl": 0}
    ynl.do("dellink", {"ifname": "gue0"})
    assert nothing_is_left(host)


# Options that are refused for a new link over IPv4, and the attribute at fault.
FAULTS = [
    ({"local6": "2001:db8::1"}, "local6"),
    ({"local": "224.0.0.1"}, "local"),
    ({"link": 9999}, "link"),
    ({"port": 0}, "port"),
    ({"dport": 0}, "dport"),
    ({"sport": 5, "sport-range": {"low": 1, "high": 2}}, "sport"),
    ({"sport-range": {"low": 2, "high": 1}}, "sport-range"),
    ({"variant": 1, "mode": "ethernet"}, "mode"),
    ({"variant": 2}, "variant"),
    ({"variant": 1, "id": 5}, "id"),
    ({"variant": 1, "remcsum": "linux"}, "remcsum"),
    ({"external": True}, "remote"),
    ({"ttl": 5, "ttl-inherit": 1}, "ttl-inherit"),
    ({"tos": 1}, "tos"),
    ({"df": 3}, "df"),
    ({"flowlabel": 1}, "flowlabel"),
    ({"udp-csum": 2}, "udp-csum"),
    ({"udp-zero-csum6-tx": 2}, "udp-zero-csum6-tx"),
    ({"udp-zero-csum6-rx": 2}, "udp-zero-csum6-rx"),
    ({"remcsum": 3}, "remcsum"),
    ({"dead": 5}, "dead"),
    ({"keepalive": 5, "dead": 5}, "dead"),
    ({"remote": "0.0.0.0", "keepalive": 5}, "keepalive"),
    ({"roaming": 1}, "roaming"),
    ({"roaming": 2}, "roaming"),
]


def test_refusal_names_the_attribute_at_fault(host, ynl):
    error = library().NlError
    for options, fault in FAULTS:
        data = {"remote": REMOTE} | copy.deepcopy(options)
        message = {"ifname": "gue0", "linkinfo": {"kind": "gue", "data": data}}
        with pytest.raises(error) as info:
            ynl.do("newlink", message, [NLM_F_CREATE, NLM_F_EXCL])
        answer = info.value.nl_msg.extack
        assert answer["msg"], options
        assert answer["bad-attr"].split(".")[-1] == fault, f"{options}: {answer}"
    assert nothing_is_left(host)
