"""Tunnels of every kind over FOU and GUE: traffic, merging of segments, errors from the way."""

import hashlib
import select
import socket
import struct
import threading
import time

import fou_netlink as nl
import pytest
from fou_netlink import Fou
from hosts import Capture, add_nopartial, is_udp_to, wait_until
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Ether

PORT = 5555
IP_RECVERR = 11

# By kind: outer and inner IP version, IP protocol of the device's packets, how it is made.
KINDS = {
    "ipip": (4, 4, 4, "type ipip"),
    "sit": (4, 6, 41, "type sit"),
    "gre": (4, 4, 47, "type gre"),
    "gretap": (4, 4, 47, "type gretap"),
    "ip4ip6": (6, 4, 4, "type ip6tnl mode ipip6 encaplimit none"),
    "ip6ip6": (6, 6, 41, "type ip6tnl mode ip6ip6 encaplimit none"),
    "ip6gre": (6, 4, 47, "type ip6gre encaplimit none"),
    "ip6gretap": (6, 6, 47, "type ip6gretap encaplimit none"),
}


def few_on_debug(cases, few):
    """The cases, of which the debug kernel's checkers need to see but a few."""
    return [
        pytest.param(case, marks=() if case in few else pytest.mark.soak_on_debug) for case in cases
    ]


ALL_KINDS = few_on_debug(KINDS, ("gre", "ip6ip6"))
OPTIONS = {
    "plain": "no{csum} noencap-remcsum",
    "checksum": "{csum} noencap-remcsum",
    "remcsum": "{csum} encap-remcsum",
}


def inner_address(kind, number):
    """A host's address inside the tunnel."""
    return f"10.1.1.{number}" if KINDS[kind][1] == 4 else f"fd00::{number}"


def make_tunnel(hosts, kind, encap, options="plain", sport="auto"):
    """A tunnel between both hosts, with a port on each."""
    outer, inner, protocol, how = KINDS[kind]
    csum = "encap-csum" if outer == 4 else "encap-udp6-csum"
    for number, host in enumerate(hosts, start=1):
        prefix = "192.0.2." if outer == 4 else "2001:db8::"
        host.batch(
            f"fou add port {PORT} {'gue' if encap == 'gue' else f'ipproto {protocol}'}"
            + (" -6" if outer == 6 else ""),
            f"link add tun1 {how} local {prefix}{number} remote {prefix}{3 - number}"
            f" encap {encap} encap-sport {sport} encap-dport {PORT} "
            + OPTIONS[options].format(csum=csum),
            f"addr add {inner_address(kind, number)}/{24 if inner == 4 else 64} dev tun1"
            + ("" if inner == 4 else " nodad"),
            "link set tun1 up",
        )


def transfer(hosts, kind, size):
    """Send bytes over TCP through the tunnel; whether what arrived is what was sent."""
    family = socket.AF_INET if KINDS[kind][1] == 4 else socket.AF_INET6
    with hosts[1].inside():
        listener = socket.create_server((inner_address(kind, 2), 5000), family=family)
    with hosts[0].inside():
        sender = socket.socket(family, socket.SOCK_STREAM)
    with listener, sender:
        sender.settimeout(60)
        sender.connect((inner_address(kind, 2), 5000))
        receiver, _ = listener.accept()
        receiver.settimeout(60)
        data = bytes(range(251)) * (size // 251)
        digest = hashlib.sha256()

        def receive():
            while chunk := receiver.recv(1 << 16):
                digest.update(chunk)

        with receiver:
            thread = threading.Thread(target=receive, daemon=True)
            thread.start()
            sender.sendall(data)
            sender.shutdown(socket.SHUT_WR)
            thread.join()
    return digest.digest() == hashlib.sha256(data).digest()


def no_checksum_errors(host):
    """Whether all checksums that this host has seen were good."""
    return not any(host.snmp(name) for name in ("TcpInCsumErrors", "UdpInCsumErrors"))


def to_port(frame):
    """Whether a frame is UDP to the tunnels' port."""
    return is_udp_to(frame, PORT)


@pytest.mark.parametrize("options", few_on_debug(OPTIONS, ("remcsum",)))
@pytest.mark.parametrize("encap", few_on_debug(["fou", "gue"], ["gue"]))
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_tcp_and_echo_pass(hosts, kind, encap, options):
    make_tunnel(hosts, kind, encap, options)
    hosts[0].run("ping", "-n", "-c", 2, "-i", "0.01", "-W", 2, inner_address(kind, 2))
    assert transfer(hosts, kind, 300_000)
    assert all(no_checksum_errors(host) for host in hosts)


@pytest.mark.shows_both
@pytest.mark.parametrize("encap", ["fou", "gue"])
@pytest.mark.parametrize("kind", few_on_debug(["ipip", "sit", "gre"], ["ipip"]))
def test_outer_checksum_is_right_where_routing_chooses_the_source(hosts, module, kind, encap):
    """For ipip and gre Linux sums with a source address of 0, as it is not known yet."""
    make_tunnel(hosts, kind, encap, "checksum")
    h1, h2 = hosts
    inner = KINDS[kind][1]
    h1.ip("link", "del", "tun1")
    h1.batch(
        f"link add tun1 {KINDS[kind][3]} remote 192.0.2.2"
        f" encap {encap} encap-dport {PORT} encap-csum",
        f"addr add {inner_address(kind, 1)}/{24 if inner == 4 else 64} dev tun1"
        + ("" if inner == 4 else " nodad"),
        "link set tun1 up",
    )
    h1.run("ethtool", "-K", "eth0", "tx", "off")
    linux_errs = module == "fou" and kind != "sit"
    with Capture(h2, "eth0") as capture:
        h1.run("ping", "-n", "-c", 1, "-W", 2, inner_address(kind, 2), check=not linux_errs)
        [request] = capture.frames(lambda f: to_port(f) and Ether(f)[IP].src == "192.0.2.1")
    # Not with the IP header as captured: Linux has shortened its length since.
    outer = IP(src="0.0.0.0" if linux_errs else "192.0.2.1", dst="192.0.2.2")
    udp = UDP(request[34:])
    on_wire, udp.chksum = udp.chksum, None
    assert on_wire != 0 and IP(bytes(outer / udp))[UDP].chksum == on_wire


def segment_in_software(host):
    """Super-packets do not leave this host whole."""
    host.run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off")
    for feature in ("tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"):
        host.run("ethtool", "-K", "eth0", feature, "off", check=False)


@pytest.mark.parametrize(
    ("encap", "options"),
    [
        ("fou", "plain"),
        pytest.param("fou", "checksum", marks=pytest.mark.soak_on_debug),
        pytest.param("gue", "plain", marks=pytest.mark.soak_on_debug),
        pytest.param("gue", "checksum", marks=pytest.mark.soak_on_debug),
        pytest.param("gue", "remcsum", marks=pytest.mark.shows_both),
    ],
)
# Of GRE in UDP this kernel merges no segments, whichever module it is.
@pytest.mark.parametrize("kind", [each for each in ALL_KINDS if "gre" not in each.values[0]])
def test_segments_of_a_flow_are_merged_on_receive(hosts, module, kind, encap, options):
    make_tunnel(hosts, kind, encap, options)
    if module == "fou" and options == "remcsum":
        # Linux takes segments made on this machine for ones already adjusted.
        segment_in_software(hosts[0])
        transfer(hosts, kind, 100_000)
        assert not no_checksum_errors(hosts[1])
    else:
        assert_merged(hosts, kind)


@pytest.mark.rfou_only
@pytest.mark.parametrize("kind", few_on_debug(["ipip", "ip6ip6"], ["ipip"]))
def test_segments_are_merged_by_a_port_that_computes_remote_checksums(hosts, kind):
    """For the time of GRO the checksum stands in the packet, and then no longer."""
    make_tunnel(hosts, kind, "gue", "remcsum")
    version = KINDS[kind][0]
    hosts[1].ip(f"-{version}", "fou", "del", "port", PORT)
    add_nopartial(hosts[1], PORT, version)
    assert_merged(hosts, kind)


@pytest.mark.shows_both
@pytest.mark.parametrize("kind", few_on_debug(KINDS, ("ip6ip6",)))
def test_remote_checksums_leave_super_packets_whole_where_the_device_segments(hosts, module, kind):
    """Linux has them segmented in software, as no device does that with remote checksums."""
    make_tunnel(hosts, kind, "gue", "remcsum")
    h1, h2 = hosts
    gue = 42 if KINDS[kind][0] == 4 else 62

    def data_sent():
        """Frames with more than an acknowledgement, and whether each has a remote checksum."""
        with Capture(h2, "eth0") as wire:
            arrived = transfer(hosts, kind, 500_000)
            frames = wire.frames(to_port, 5000, timeout=0)
        return arrived, [(len(f), bool(f[gue + 3] & 1)) for f in frames if len(f) > 500]

    arrived, sent = data_sent()
    if module == "fou":
        assert sent and all(length < 2000 and remote for length, remote in sent)
    else:
        assert arrived and any(length > 2000 for length, _ in sent)
        assert not any(remote for _, remote in sent), "their segments' checksums are done"
        assert all(no_checksum_errors(host) for host in hosts)

    segment_in_software(h1)
    if module == "rfou" and KINDS[kind][0] == 4:
        # For so long it may go by what the device did before.
        time.sleep(1)
    arrived, sent = data_sent()
    assert sent and all(length < 2000 and remote for length, remote in sent)
    if module == "rfou":
        assert arrived and all(no_checksum_errors(host) for host in hosts)


def assert_merged(hosts, kind):
    """Send by TCP in small segments, and see that the second host merges them, and well."""
    segment_in_software(hosts[0])
    hosts[1].run("ethtool", "-K", "eth0", "gro", "on")
    # A capture comes after GRO. That of the tunnel device would not do: some merge again.
    with Capture(hosts[1], "eth0") as wire:
        assert transfer(hosts, kind, 1_000_000)
        sizes = [len(f) for f in wire.frames(to_port, 5000, timeout=0) if len(f) > 1000]
    assert sum(sizes) > 1_000_000
    assert max(sizes) > 2000, "there are merged packets"
    assert len(sizes) < 600, "and few single ones: more than 700 segments were sent"
    assert all(no_checksum_errors(host) for host in hosts)


# What an ICMP error quotes. GUE of variant 1, which has no header, is nothing that these tunnels
# send; it looks like FOU. On the debug kernel one of each IP version will do.
QUOTED = [
    pytest.param(
        kind,
        form,
        marks=()
        if (kind, form) in (("gre", "gue"), ("ip6ip6", "gue variant 1"))
        else pytest.mark.soak_on_debug,
    )
    for kind in KINDS
    for form in ("fou", "gue", "gue variant 1")
    if form != "gue variant 1" or "gre" not in kind
]


# Linux's fou has GRE look for its header here: as no version of GRE, or now and then it is one.
SOURCE_PORT = 0xC907


def packet_sent(hosts, kind, form):
    """An outer IP packet of more than 1400 bytes, that the first host sent through a new tunnel."""
    make_tunnel(hosts, kind, form[:3], sport=SOURCE_PORT)
    h1, h2 = hosts
    with Capture(h2, "eth0") as capture:
        h1.run("ping", "-n", "-c", 1, "-W", 2, "-s", 1350, inner_address(kind, 2))
        [request] = capture.frames(lambda f: to_port(f) and len(f) > 1400)
    packet = request[14:]
    if form == "gue variant 1":
        header = (20 if KINDS[kind][0] == 4 else 40) + 8
        packet = packet[:header] + packet[header + 4 :]
    return packet


def send_error(hosts, version, kind, quoted):
    """The second host says why a packet of the first's did not arrive."""
    h1, h2 = hosts
    if version == 4:
        codes = {"unreachable": {"code": 1}, "too big": {"code": 4, "nexthopmtu": 1400}}
        error = IP(src="192.0.2.2", dst="192.0.2.1") / ICMP(type=3, **codes[kind])
    else:
        codes = {"unreachable": {"type": 1, "code": 3}, "too big": {"type": 2, "unused": 1400}}
        error = IPv6(src="2001:db8::2", dst="2001:db8::1") / ICMPv6DestUnreach(**codes[kind])
    raw = h2.packet_socket("eth0")
    raw.send(bytes(Ether(src=h2.mac("eth0"), dst=h1.mac("eth0")) / error / quoted[:1200]))
    raw.close()


def icmp(host, version, name):
    """A counter of this host's ICMP or ICMPv6."""
    if version == 4:
        return host.snmp(f"Icmp{name}")
    values = dict(line.split() for line in host.proc_net("snmp6").splitlines())
    return int(values[f"Icmp6{name}"])


def sender_is_told(hosts, kind, quoted):
    """Have an error come about a packet, and send by its tunnel: whether that is refused."""
    outer, inner, *_ = KINDS[kind]
    h1 = hosts[0]
    told, arrived = icmp(h1, inner, "OutDestUnreachs"), icmp(h1, outer, "InDestUnreachs")
    send_error(hosts, outer, "unreachable", quoted)
    wait_until(lambda: icmp(h1, outer, "InDestUnreachs") > arrived, "the error arrives")
    # The first packet of the tunnel's after the error is refused, and that may be ARP's.
    h1.run("ping", "-n", "-c", 1, "-W", "0.3", inner_address(kind, 2), check=False)
    return icmp(h1, inner, "OutDestUnreachs") > told


@pytest.mark.shows_both
@pytest.mark.parametrize(("kind", "form"), QUOTED)
def test_unreachable_from_the_way_reaches_the_tunnel(hosts, module, kind, form):
    """A router says that the other end cannot be reached: the tunnel tells who sends through it.

    The core counts an error about UDP as a wrong one if nobody knows what it is about.
    """
    outer, *_ = KINDS[kind]
    h1 = hosts[0]
    quoted = packet_sent(hosts, kind, form)
    wrong = icmp(h1, outer, "InErrors")
    # Linux has the tunnel look for its packet where the UDP header is. And sit would answer from
    # an IPv4 address, which IPv6 refuses.
    if module == "fou" and kind != "ipip":
        assert not sender_is_told(hosts, kind, quoted)
        return
    if kind == "sit":
        sender_is_told(hosts, kind, quoted)
    else:
        wait_until(lambda: sender_is_told(hosts, kind, quoted), "the sender is told")
    assert icmp(h1, outer, "InErrors") == wrong


@pytest.mark.shows_both
@pytest.mark.soak_on_debug
@pytest.mark.parametrize("kind", ["ipip", "ip6ip6"])
def test_unreachable_about_a_tunnel_that_sends_from_an_open_port(hosts, module, kind):
    """The error is not for the port, although it quotes a packet of its number."""
    quoted = packet_sent(hosts, kind, "gue")
    hosts[0].ip(f"-{KINDS[kind][0]}", "fou", "add", "port", SOURCE_PORT, "gue")
    if module == "fou":
        assert not sender_is_told(hosts, kind, quoted)
    else:
        wait_until(lambda: sender_is_told(hosts, kind, quoted), "the sender is told")


@pytest.mark.rfou_only
@pytest.mark.soak_on_debug
def test_error_that_a_socket_keeps_shows_where_its_packet_went(hosts):
    """The handler of a protocol in GUE gives a socket a clone of the error, to read later."""
    h1 = hosts[0]
    h1.ip("fou", "add", "port", PORT, "gue")
    h1.sysctl("net.ipv4.ping_group_range", "0 0")
    with h1.inside():
        pinger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    with pinger:
        pinger.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        pinger.bind(("0.0.0.0", 0x1234))
        gue = bytes.fromhex("00010000")
        about = IP(src="192.0.2.1", dst="192.0.2.2")
        about /= UDP(sport=SOURCE_PORT, dport=PORT, chksum=0) / gue / ICMP(id=0x1234) / bytes(64)
        send_error(hosts, 4, "unreachable", bytes(about))
        # It counts as ready for reading, too, if there is an error.
        assert select.select([pinger], [], [], 5)[0], "the error arrives"
        *_, address = pinger.recvmsg(1000, 1000, socket.MSG_ERRQUEUE)
    assert address[0] == "192.0.2.2"


@pytest.mark.rfou_only
@pytest.mark.parametrize(("kind", "form"), QUOTED)
def test_packet_too_big_from_the_way_lowers_the_path_mtu(hosts, kind, form):
    """The core lowers it by itself, but counts the error as a wrong one if no tunnel takes it."""
    outer, inner, *_ = KINDS[kind]
    h1, h2 = hosts
    quoted = packet_sent(hosts, kind, form)
    # That of IPv4 is a kind of unreachable.
    too_big = "OutDestUnreachs" if inner == 4 else "OutPktTooBigs"
    told, wrong = icmp(h1, inner, too_big), icmp(h1, outer, "InErrors")
    send_error(hosts, outer, "too big", quoted)
    end = "192.0.2.2" if outer == 4 else "2001:db8::2"
    wait_until(lambda: "mtu 1400" in h1.ip("route", "get", end).stdout, "path MTU", 3)
    if kind in ("ip4ip6", "ip6ip6"):
        # These pass it on to who sent the packet within.
        wait_until(lambda: icmp(h1, inner, too_big) > told, "the sender is told", 2)
    with Capture(h2, "eth0") as capture:
        done = h1.run("ping", "-n", "-c", 2, "-i", "0.1", "-W", "0.2", "-M", "do", "-s", 1350,
                      inner_address(kind, 2), check=False)  # fmt: skip
        sent = [len(f) for f in capture.frames(to_port, 100, timeout=0)]
    assert not [each for each in sent if each > 1414], "nothing that is too big leaves"
    assert " 0 received" in done.stdout and "errors" in done.stdout, "the sender is told"
    assert icmp(h1, outer, "InErrors") == wrong


@pytest.mark.rfou_only
@pytest.mark.parametrize("form", few_on_debug(["fou", "gue"], ["gue"]))
@pytest.mark.parametrize("kind", few_on_debug(["ipip", "ip6ip6"], ["ip6ip6"]))
def test_error_that_quotes_too_little_reaches_no_tunnel(hosts, kind, form):
    """Error handlers read the first 8 bytes behind the header without asking for them."""
    outer, *_ = KINDS[kind]
    h1 = hosts[0]
    quoted = packet_sent(hosts, kind, form)
    headers = (20 if outer == 4 else 40) + 8 + (4 if form == "gue" else 0)
    for within in range(9):
        seen, wrong = icmp(h1, outer, "InMsgs"), icmp(h1, outer, "InErrors")
        send_error(hosts, outer, "too big", quoted[: headers + within])
        wait_until(lambda seen=seen: icmp(h1, outer, "InMsgs") > seen, "it arrives", 3)
        assert icmp(h1, outer, "InErrors") - wrong == (within < 8), f"{within} bytes"


def test_error_about_a_packet_that_is_not_ours_is_ignored(hosts):
    make_tunnel(hosts, "ipip", "gue")
    h1, h2 = hosts
    quoted = IP(src="192.0.2.1", dst="198.51.100.9") / UDP(sport=5, dport=PORT)
    gue_udp = bytes.fromhex("00110000") * 4
    chain = struct.pack("!BBH", 0, 17, 0)
    raw = h2.packet_socket("eth0")
    wrong = icmp(h1, 4, "InErrors")
    payloads = (b"", b"\0\4", gue_udp, chain * 8, b"\x45" * 40, b"\x1f\4\0\0", b"\xff" * 60)
    for payload in payloads:
        error = IP(src="192.0.2.2", dst="192.0.2.1") / ICMP(type=3, code=4, nexthopmtu=600)
        raw.send(bytes(Ether(src=h2.mac("eth0"), dst=h1.mac("eth0")) / error / quoted / payload))
    raw.close()
    h1.run("ping", "-n", "-c", 2, "-i", "0.01", "-W", 2, "10.1.1.2")
    assert "mtu" not in h1.ip("route", "get", "192.0.2.2").stdout
    assert icmp(h1, 4, "InErrors") == wrong + len(payloads), "nobody knows what they are about"


@pytest.mark.parametrize("encap", few_on_debug(["fou", "gue"], ["gue"]))
def test_port_comes_and_goes_under_merged_traffic(hosts, encap):
    """Deleting a port while packets to it are held back by GRO."""
    make_tunnel(hosts, "ipip", encap, "checksum")
    segment_in_software(hosts[0])
    h1, h2 = hosts
    h2.run("ethtool", "-K", "eth0", "gro", "on")
    # What is lost while there is no port is sent again soon, not in ever longer intervals.
    h1.sysctl("net.ipv4.tcp_rto_max_ms", 1000)
    with h2.inside():
        listener = socket.create_server(("10.1.1.2", 5000))
    with h1.inside():
        sender = socket.create_connection(("10.1.1.2", 5000), timeout=60)
    receiver, _ = listener.accept()
    received = 0
    stop = threading.Event()

    def send():
        while not stop.is_set():
            try:
                sender.send(bytes(1 << 16))
            except OSError:
                return

    def receive():
        nonlocal received
        while chunk := receiver.recv(1 << 16):
            received += len(chunk)

    threads = [threading.Thread(target=each, daemon=True) for each in (send, receive)]
    for thread in threads:
        thread.start()
    with h2.inside():
        client = Fou()
    port = [(nl.PORT, nl.be16(PORT)), (nl.TYPE, nl.u8(nl.GUE if encap == "gue" else nl.DIRECT))]
    if encap == "fou":
        port.append((nl.IPPROTO, nl.u8(4)))
    for _ in range(30):
        client.delete(port[0])
        client.add(*port)
        time.sleep(0.05)
    client.close()
    before = received
    wait_until(lambda: received > before, "traffic goes on", 60)
    stop.set()
    sender.settimeout(1)
    threads[0].join()
    sender.close()
    threads[1].join(10)
    receiver.close()
    listener.close()
