# SPDX-License-Identifier: GPL-2.0
"""Devices in external mode: group and outer addresses come with each packet.

h1: gue0 10.1.1.1, fd00::1 -- eth0 ===== eth0 -- gue0 10.1.1.2, fd00::2 :h2
"""

import errno
import json
import struct

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.lib.gue_keys import GueKeys
from testing.lib.hosts import Capture, is_udp_to, wait_until
from testing.lib.netlink import NetlinkError
from testing.lib.rgue_module import reload_rgue
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import no_checksum_errors, segment_in_software

ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
PORT = 6080
DATA = bytes(range(251)) * 2000
# With the group 7: before IPv4, and before a frame.
HEADERS = {
    "ip": bytes.fromhex("01048000 00000007 45"),
    "ethernet": bytes.fromhex("01618000 00000007 3000"),
}


def add(hosts, *options):
    """Makes a device in each host: in external mode, or with the options for this host."""
    for number, host in enumerate(hosts, start=1):
        how = options[number - 1] if options else "external"
        host.batch(
            f"link add gue0 type gue {how}",
            f"addr add 10.1.1.{number}/24 dev gue0",
            f"addr add fd00::{number}/64 dev gue0 nodad",
            "link set gue0 up",
        )


def route(host, number, outer, what):
    """Sends a host's inner packets to the other host through a tunnel."""
    encap = "ip" if outer == 4 else "ip6"
    to = ENDS[outer][2 - number]
    for version, inner in (("-4", f"10.1.1.{3 - number}/32"), ("-6", f"fd00::{3 - number}/128")):
        host.ip(version, "route", "replace", inner, "encap", encap, *what.split(), "dst", to,
                "dev", "gue0")  # fmt: skip


def tc(host, *words):
    """Adds a filter to the host's device."""
    host.run("tc", "qdisc", "replace", "dev", "gue0", "clsact")
    host.run("tc", "filter", "add", "dev", "gue0", *words)


def set_tunnel(host, number, outer, *what):
    """Sets the tunnel of all packets that a host's device sends."""
    source, target = ENDS[outer] if number == 1 else reversed(ENDS[outer])
    tc(host, "egress", "matchall", "action", "tunnel_key", "set", "src_ip", source, "dst_ip",
       target, *what)  # fmt: skip


def matched(host):
    """Returns how many packets the ingress filters of a host's device matched, by tunnel id."""
    shown = json.loads(
        host.run("tc", "-s", "-j", "filter", "show", "dev", "gue0", "ingress").stdout
    )
    return {
        rule["options"].get("keys", {}).get("enc_key_id"): sum(
            action["stats"]["packets"] for action in rule["options"]["actions"]
        )
        for rule in shown
        if "actions" in rule.get("options", {})
    }


def ping(host, address, *options, count=2):
    """Sends echo requests; returns whether any has an answer."""
    command = ("ping", "-n", "-c", count, "-i", "0.05", "-W", 2, *options, address)
    return host.run(*command, check=False).returncode == 0


def on_the_wire(hosts, work, port=PORT):
    """Returns the first frame that leaves the first host for a UDP port while `work` runs."""
    mac = bytes.fromhex(hosts[0].mac("eth0").replace(":", ""))
    with Capture(hosts[1], "eth0") as capture:
        work()
        [frame] = capture.frames(lambda seen: is_udp_to(seen, port) and seen[6:12] == mac)
    return frame


def errors(host):
    """Returns how many packets a host's device has counted as errors or drops."""
    traffic = host.traffic("gue0")
    return sum(traffic[way][kind] for way in ("rx", "tx") for kind in ("errors", "dropped"))


def refusal(call, *arguments, **options):
    """Returns the error and the text with which a request is refused."""
    with pytest.raises(NetlinkError) as caught:
        call(*arguments, **options)
    return caught.value.errno, caught.value.reason


def test_device_has_a_carrier_both_sockets_and_room_for_the_longest_header(gue, hosts):
    h1 = hosts[0]
    gue.add("gue0", external=True, up=True)
    shown = gue.show("gue0")
    assert "external" in shown and not {"remote", "local", "id"} & set(shown)
    assert "NO-CARRIER" not in h1.link("gue0")["flags"]
    assert gue.mtu("gue0") == 1500 - 40 - 8 - 8
    for file in ("udp", "udp6"):
        assert f":{PORT:04X} " in h1.proc_net(file)
    gue.up("gue0", False)
    for file in ("udp", "udp6"):
        assert f":{PORT:04X} " not in h1.proc_net(file)
    gue.up("gue0")
    # The shown options make the same device.
    gue.set(
        "gue0", **{name: value for name, value in shown.items() if name not in ("port", "mode")}
    )
    assert gue.show("gue0") == shown


REFUSED = {
    "remote": ({"remote": "192.0.2.2"}, "external excludes remote"),
    "IPv6 remote": ({"remote": "::"}, "external excludes remote"),
    "local": ({"local": "192.0.2.1"}, "external excludes local"),
    "IPv6 local": ({"local": "2001:db8::1"}, "external excludes local"),
    "id": ({"id": 7}, "external excludes id"),
    "ttl": ({"ttl": 9}, "external excludes ttl: it comes with each packet"),
    "inherited ttl": ({"ttl_inherit": 1}, "external excludes ttl: it comes with each packet"),
    "tos": ({"tos": 4}, "external excludes tos: it comes with each packet"),
    "df": ({"df": 1}, "external excludes df: it comes with each packet"),
    "flow label": ({"flowlabel": 1}, "external excludes flowlabel: it comes with each packet"),
    "udpcsum": ({"udp_csum": 1}, "external excludes udpcsum: it comes with each packet"),
    "udp6zerocsumtx": (
        {"udp_zero_csum6_tx": 1},
        "external excludes udp6zerocsumtx: it comes with each packet",
    ),
    "variant 1": ({"variant": 1}, "variant 1 has no header for the ids of external"),
}


def test_options_of_a_peer_are_refused(gue, hosts):
    """Making and changing a device is refused with a text."""
    for name, (options, text) in REFUSED.items():
        assert refusal(gue.add, "gue0", external=True, **options) == (errno.EINVAL, text), name
        assert "gue0:" not in hosts[0].proc_net("dev")
    gue.add("gue0", external=True)
    before = gue.show("gue0")
    for name, (options, text) in REFUSED.items():
        assert refusal(gue.set, "gue0", **options) == (errno.EINVAL, text), name
    assert gue.show("gue0") == before
    gue.add("gue1", remote="192.0.2.2")
    assert refusal(gue.set, "gue1", external=True) == (
        errno.EOPNOTSUPP,
        "external cannot be changed",
    )


def test_a_port_has_one_external_device(gue, hosts):
    gue.add("gue0", external=True, up=True)
    assert refusal(gue.add, "gue1", external=True) == (
        errno.EEXIST,
        "another gue link is external on this port",
    )
    overlaps = "another gue link listens on this port, on an overlapping address"
    for local, remote in zip(*zip(*ENDS.values(), strict=True), strict=True):
        found = refusal(gue.add, "gue1", local=local, remote=remote)
        assert found == (errno.EADDRINUSE, overlaps)
    gue.add("gue1", external=True, port=6081)
    # A foreign socket of either version is in the way.
    text = "a program or another tunnel (ip fou, vxlan ...) listens on this port"
    for number, version in enumerate(([], ["-6"])):
        port = 6090 + number
        hosts[0].ip("fou", "add", "port", port, "gue", *version)
        assert refusal(gue.add, "gue2", external=True, port=port) == (errno.EADDRINUSE, text)
    hosts[0].ip("fou", "del", "port", 6091, "-6")
    gue.add("gue2", external=True, port=6091)
    gue.delete("gue0")
    gue.add("gue3", external=True)


# The debug kernel has no generic actions of tc.
@pytest.mark.stock_only
@pytest.mark.parametrize("mode", ["ip", "ethernet"])
@pytest.mark.parametrize("outer", [4, 6])
def test_tc_sets_and_matches_the_tunnel(hosts, outer, mode):
    """flower matches the addresses, the port and the id of received packets, both ways."""
    add(hosts, *[f"external mode {mode}"] * 2)
    for number, host in enumerate(hosts, start=1):
        set_tunnel(host, number, outer, "id", 7)
        other, own = reversed(ENDS[outer]) if number == 1 else ENDS[outer]
        addresses = ("enc_src_ip", other, "enc_dst_ip", own)
        rule = ("ingress", "protocol", "all", "prio", 1, "flower", *addresses, "enc_dst_port", PORT)
        tc(host, *rule, "enc_key_id", 8, "action", "ok")
        tc(host, *rule, "enc_key_id", 7, "action", "ok")
        # Packets that match no flower rule.
        tc(host, "ingress", "protocol", "all", "prio", 2, "matchall", "action", "ok")
    # Until the filters were set, the devices' own packets had no tunnel, and were dropped.
    before = [errors(host) for host in hosts]
    matched_before = [matched(host) for host in hosts]
    frame = on_the_wire(hosts, lambda: ping(hosts[0], "10.1.1.2"))
    assert HEADERS[mode] in frame
    assert ping(hosts[0], "10.1.1.2", count=5) and ping(hosts[1], "fd00::1")
    for host, old in zip(hosts, matched_before, strict=True):
        new = matched(host)
        assert new[7] >= old[7] + 8 and (new[8], new[None]) == (0, old[None]), new
    assert [errors(host) for host in hosts] == before


@pytest.mark.parametrize("outer", [4, 6])
def test_header_says_the_key_that_the_packet_has(hosts, outer):
    """A nonzero id or the flag `key` makes the group field; without both there is none."""
    add(hosts)
    for what, header in (
        ("id 7", "0104800000000007"),
        ("id 0 key", "0104800000000000"),
        ("id 0xffffffff key", "01048000ffffffff"),
        ("id 0", "00040000"),
    ):
        route(hosts[0], 1, outer, what)
        frame = on_the_wire(hosts, lambda: ping(hosts[0], "10.1.1.2", "-W", "0.1", count=1))
        payload = bytes(Ether(frame)[UDP].payload)
        assert payload.startswith(bytes.fromhex(header) + b"\x45"), what
    # An id that is longer than a group.
    route(hosts[0], 1, outer, "id 0x100000007")
    before = hosts[0].traffic("gue0")["tx"]
    assert not ping(hosts[0], "10.1.1.2", "-W", "0.1", count=1)
    after = hosts[0].traffic("gue0")["tx"]
    assert (after["packets"], after["errors"]) == (before["packets"], before["errors"] + 1)


def test_outer_fields_come_with_the_packet(hosts):
    add(hosts)
    h1, h2 = hosts
    h1.run("ethtool", "-K", "eth0", "tx", "off")

    def sent(outer, *what, port=PORT):
        h1.run("tc", "qdisc", "del", "dev", "gue0", "clsact", check=False)
        set_tunnel(h1, 1, outer, *what)
        request = lambda: ping(h1, "10.1.1.2", "-W", "0.1", count=1)  # noqa: E731
        return Ether(on_the_wire(hosts, request, port))

    frame = sent(4, "id", 7, "tos", "0xb8", "ttl", 33, "csum")
    assert (frame[IP].tos, frame[IP].ttl, frame[IP].flags) == (0xB8, 33, 0)
    assert frame[UDP].chksum != 0
    frame = sent(4, "id", 7, "nocsum", "dst_port", 7000, port=7000)
    assert (frame[IP].tos, frame[IP].ttl, frame[UDP].chksum) == (0, 64, 0), "the route's TTL"
    frame = sent(4, "id", 7, "nofrag")
    assert frame[IP].flags == "DF"
    frame = sent(6, "id", 7, "tos", "0xb8", "ttl", 33, "nocsum")
    assert (frame[IPv6].tc, frame[IPv6].hlim, frame[UDP].chksum) == (0xB8, 33, 0)
    frame = sent(6, "id", 7, "csum")
    assert (frame[IPv6].tc, frame[IPv6].hlim) == (0, 64) and frame[UDP].chksum != 0
    # The receiver dropped the packet over IPv6 without a UDP checksum.
    assert h2.traffic("gue0")["rx"]["errors"] == 1
    h1.run("tc", "qdisc", "del", "dev", "gue0", "clsact")
    # The outer header has the tunnel's DSCP and the inner ECN field.
    set_tunnel(h1, 1, 4, "id", 7, "tos", "0xb8")
    request = lambda: ping(h1, "10.1.1.2", "-Q", "0x02", "-W", "0.1", count=1)  # noqa: E731
    assert Ether(on_the_wire(hosts, request))[IP].tos == 0xBA


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("options", ["", "remcsum", "linux-remcsum"])
def test_route_leads_to_an_ordinary_device(hosts, outer, options):
    """TCP both ways between a device in external mode and one with a peer."""
    h1, h2 = hosts
    add(hosts, f"external {options}", f"id 7 remote {ENDS[outer][0]} {options}")
    route(h1, 1, outer, "id 7 csum")
    for software in (False, True):
        for address in ("10.1.1.", "fd00::"):
            assert tcp_arrives(h1, h2, f"{address}2", DATA), software
            assert tcp_arrives(h2, h1, f"{address}1", DATA), software
        for host in hosts:
            segment_in_software(host)
    assert all(no_checksum_errors(host) for host in hosts)
    assert [errors(host) for host in hosts] == [0, 0]


def test_frames_pass_to_an_ordinary_device(hosts):
    h1, h2 = hosts
    add(hosts, "external mode ethernet", f"id 7 mode ethernet remote {ENDS[4][0]} udpcsum")
    set_tunnel(h1, 1, 4, "id", 7)
    before = [errors(host) for host in hosts]
    for address in ("10.1.1.", "fd00::"):
        assert tcp_arrives(h1, h2, f"{address}2", DATA)
        assert tcp_arrives(h2, h1, f"{address}1", DATA)
    assert all(no_checksum_errors(host) for host in hosts)
    assert [errors(host) for host in hosts] == before


KEYS = {
    "cookie": ("auth cookie8", b"12345678"),
    "hash of the header, and sums": ("auth hmac headercsum crc remcsum", b"a secret of bytes"),
    "hash of all": ("auth hmac cover all", b"a secret of bytes"),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_protect_packets_to_any_address(hosts, name):
    options, secret = KEYS[name]
    add(hosts, *[f"external {options}"] * 2)
    for number, host in enumerate(hosts, start=1):
        keys = GueKeys(host)
        keys.set("gue0", 1, secret)
        keys.close()
        route(host, number, 4, "id 7")
    assert tcp_arrives(*hosts, "10.1.1.2", DATA)
    for number, host in enumerate(hosts, start=1):
        route(host, number, 6, "csum" if number == 1 else "id 9 csum")
    assert tcp_arrives(*hosts, "fd00::2", DATA)
    assert [errors(host) for host in hosts] == [0, 0]
    # Another secret on one side.
    keys = GueKeys(hosts[1])
    keys.set("gue0", 1, secret[::-1])
    keys.close()
    assert not ping(hosts[0], "10.1.1.2", "-W", "0.2", count=1)
    assert hosts[1].traffic("gue0")["rx"]["errors"] == 1


@pytest.mark.parametrize("outer", [4, 6])
def test_device_gets_the_packets_that_are_no_other_devices(hosts, outer):
    """A device with the packet's group comes first if its remote is the source or `any`."""
    h1, h2 = hosts
    any_remote = "any" if outer == 4 else "::"
    h2.batch(
        "link add ext type gue external",
        f"link add one type gue id 1 remote {ENDS[outer][0]}",
        f"link add other type gue id 2 remote {ENDS[outer][1]}",
        f"link add any3 type gue id 3 remote {any_remote}",
        *(f"link set {name} up" for name in ("ext", "one", "other", "any3")),
    )
    add([h1])
    expected = dict.fromkeys(("ext", "one", "other", "any3"), 0)
    for what, device in (
        ("id 1", "one"),
        ("id 2", "ext"),
        ("id 3", "any3"),
        ("id 4", "ext"),
        ("csum", "ext"),
    ):
        route(h1, 1, outer, f"{what} csum" if "csum" not in what else what)
        ping(h1, "10.1.1.2", "-W", "0.1", count=1)
        expected[device] += 1
        wait_until(
            lambda: {name: h2.traffic(name)["rx"]["packets"] for name in expected} == expected,
            f"{what} comes by {device}",
        )
    h2.ip("link", "set", "one", "down")
    route(h1, 1, outer, "id 1 csum")
    ping(h1, "10.1.1.2", "-W", "0.1", count=1)
    wait_until(lambda: h2.traffic("ext")["rx"]["packets"] == 4, "only devices that are up count")


def test_sender_learns_the_path_mtu_of_its_tunnel(hosts):
    """An ICMP error tells the sender the MTU of a route with a tunnel."""
    h1, h2 = hosts
    add(hosts, "external", f"id 7 remote {ENDS[4][0]}")
    route(h1, 1, 4, "id 7")
    h1.batch("route add 192.0.2.2/32 dev eth0 mtu lock 1300", "link set gue0 mtu 1464")
    # The outer packet of the first one is fragmented, because the tunnel has no DF.
    assert ping(h1, "10.1.1.2", "-M", "do", "-s", 1400, count=1)
    assert not ping(h1, "10.1.1.2", "-M", "do", "-s", 1264 - 27, count=1)
    assert ping(h1, "10.1.1.2", "-M", "do", "-s", 1264 - 28)


@pytest.fixture(name="own_reasons")
def own_reasons_fixture():
    """The module with its own drop reasons; the default is back afterwards."""
    reload_rgue("own_drop_reasons=1")
    yield
    reload_rgue()


@pytest.mark.stock_only
@pytest.mark.usefixtures("own_reasons")
def test_each_drop_has_its_reason(hosts, drop_monitor):
    h1 = hosts[0]
    add(hosts)
    h1.sysctl("net.ipv6.conf.gue0.disable_ipv6", 1)
    mark = b"where to?"
    packet = bytes(IP(src="10.1.1.1", dst="10.1.1.2") / ICMP() / mark)

    def dropped():
        with h1.packet_socket("gue0", 0) as sender:
            sender.send(packet)
        return drop_monitor.reason_for(lambda seen: mark in seen)

    before = h1.traffic("gue0")["tx"]
    assert dropped() == "RGUE_NO_METADATA"
    after = h1.traffic("gue0")["tx"]
    assert (after["dropped"], after["errors"]) == (before["dropped"] + 1, before["errors"])
    set_tunnel(h1, 1, 4, "id", 7)
    h1.ip("route", "add", "unreachable", "192.0.2.2")
    assert dropped() == "RGUE_NO_ROUTE"
    h1.batch("route del unreachable 192.0.2.2", "route add 192.0.2.2 dev gue0")
    assert dropped() == "RGUE_LOOP"
    h1.run("tc", "qdisc", "del", "dev", "gue0", "clsact")
    tc(h1, "egress", "matchall", "action", "tunnel_key", "set", "id", 7, "src_ip", "192.0.2.1",
       "dst_ip", "0.0.0.0")  # fmt: skip
    assert dropped() == "RGUE_NO_REMOTE"
    assert h1.traffic("gue0")["tx"]["packets"] == 0
    # The metadata of a received packet are no tunnel to send by.
    h1.run("tc", "qdisc", "del", "dev", "gue0", "clsact")
    tc(h1, "ingress", "matchall", "action", "mirred", "egress", "redirect", "dev", "gue0")
    inner = bytes(IP(src="10.1.1.2", dst="10.1.1.1") / ICMP() / mark)
    header = struct.pack("!BBHI", 1, 4, 0x8000, 7)
    outer = Ether(src=hosts[1].mac("eth0"), dst=h1.mac("eth0")) / IP(src=ENDS[4][1], dst=ENDS[4][0])
    with hosts[1].packet_socket("eth0", 0) as sender:
        sender.send(bytes(outer / UDP(sport=5, dport=PORT, chksum=0) / header / inner))
    assert drop_monitor.reason_for(lambda seen: mark in seen) == "RGUE_NO_METADATA"
