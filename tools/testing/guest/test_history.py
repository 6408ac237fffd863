"""What went wrong in Linux's fou before, each as the sequence that led to it.

Documentation/safety.rst has the whole list; what is not here has its test where the subject is.
"""

import contextlib
import errno
import os
import pathlib
import socket
import struct
import sys

import fou_netlink as nl
import pytest
from fou_netlink import Fou
from hosts import Capture, Host, add_nopartial, run, wait_until
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, IPv6
from scapy.layers.l2 import Ether

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "hostile"))

from target import GUE_PORT, HOST_MAC, NOPARTIAL_PORT, PEER_MAC, outstanding, target  # noqa: E402

PORT = 6080
SOL_PACKET, PACKET_VNET_HDR = 263, 15
# The SYN of gue-reference's vector 7 without its checksum, which is dd4c, and with it.
UNFINISHED = bytes.fromhex(
    "4500002800024000400624ca0a0101010a0101029c400050000000010000000050022000161f0000"
)
FINISHED = UNFINISHED[:36] + b"\xdd\x4c" + UNFINISHED[38:]
REMCSUM = bytes.fromhex("020400018000000000140024")
ECHO = bytes.fromhex("4500001c00014000400124dc0a0101010a0101020800e5ca12340001")


def nested(depth, protocol=17):
    """GUE headers in each other, through UDP alone."""
    packet = ECHO
    for level in range(depth):
        inner = 4 if level == 0 else protocol
        packet = (
            struct.pack("!HHHH", 1, PORT, 12 + len(packet), 0) + bytes((0, inner, 0, 0)) + packet
        )
    return packet


FOU_UDP = 5554


def through(depth, kind, packet):
    """A packet in so many headers, through UDP alone."""
    for level in range(depth):
        inner = 4 if level == 0 else 17
        head, port = bytes((0, inner, 0, 0)), GUE_PORT
        if kind == "FOU" and level > 0:
            head, port = b"", FOU_UDP
        packet = struct.pack("!HHHH", 1, port, 8 + len(head) + len(packet), 0) + head + packet
    return packet


@pytest.mark.parametrize("kind", ["FOU", "GUE"])
def test_row_1_gro_merges_what_is_in_one_header_and_lets_the_rest_go(kind):
    """GRO goes 15 callbacks deep; rfou sends it no deeper than through one header of its own."""
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1", proto=17)
    with target("gro") as (host, tap), Capture(host, "tap0") as capture:
        for depth, merged in ((1, True), (2, False), (10, False), (40, False)):
            sent = []
            for number in range(8):
                inner = IP(src="10.0.9.2", dst="10.0.0.1", id=number)
                inner = inner / TCP(sport=depth, dport=5, seq=1 + 300 * number, flags="A")
                packet = bytes(inner / (b"x" * 300))
                sent.append(bytes(outer / through(depth, kind, packet)))
            for frame in sent:
                os.writev(tap, [bytes(10), frame])
            # Not what the host itself has to say.
            link, before, left = sent[0][:12], len(sent[0]) - 300, 8 * 300
            seen = []
            while left > 0:
                frames = capture.frames(lambda f, link=link: f[:12] == link)
                assert frames, f"{depth} headers: {left} bytes have not come"
                seen += frames
                left -= sum(len(f) - before for f in frames)
            assert left == 0
            if merged:
                assert len(seen) < len(sent), f"{depth} headers: {len(seen)} packets"
            else:
                assert seen == sent, f"{depth} headers: {len(seen)} packets"


@pytest.mark.parametrize(
    "protocol",
    [
        pytest.param(17, id="UDP"),
        pytest.param(136, id="UDP-Lite", marks=pytest.mark.soak_on_debug),
    ],
)
@pytest.mark.parametrize("version", [4, 6])
def test_row_2_icmp_error_about_nested_gue_does_not_recurse(hosts, version, protocol):
    h1, h2 = hosts
    for family in ("-4", "-6"):
        h1.ip(family, "fou", "add", "port", PORT, "gue")
    raw = h2.packet_socket("eth0")
    link = Ether(src=h2.mac("eth0"), dst=h1.mac("eth0"))
    for depth in (1, 2, 3, 8, 40, 100):
        quoted = nested(depth, protocol)
        if version == 4:
            about = IP(src="192.0.2.1", dst="192.0.2.2", proto=17) / quoted
            error = IP(src="192.0.2.2", dst="192.0.2.1") / ICMP(type=3, code=4, nexthopmtu=1300)
        else:
            about = IPv6(src="2001:db8::1", dst="2001:db8::2", nh=17) / quoted
            error = IPv6(src="2001:db8::2", dst="2001:db8::1")
            error = error / ICMPv6DestUnreach(type=2, unused=1300)
        for _ in range(5):
            raw.send(bytes(link / error / bytes(about)[:1200]))
    raw.close()
    h2.run("ping", "-n", "-c", 1, "-W", 5, "192.0.2.1")


def free_packets():
    """Packets that the kernel holds, in kB of the caches they come from."""
    for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("SUnreclaim:"):
            return int(line.split()[1])
    raise AssertionError("no SUnreclaim in /proc/meminfo")


@pytest.mark.parametrize("version", [pytest.param(4, marks=pytest.mark.soak_on_debug), 6])
def test_row_7_every_protocol_number_passes_gro(version):
    """Through GUE, and through a FOU port of its own: most protocols have no share in GRO."""
    if version == 4:
        outer, family = IP(src="192.0.2.2", dst="192.0.2.1"), socket.AF_INET
    else:
        outer, family = IPv6(src="2001:db8::2", dst="2001:db8::1"), socket.AF_INET6
    link = Ether(src=PEER_MAC, dst=HOST_MAC) / outer
    head = len(link) + 8
    gue = bytes(link / UDP(sport=1, dport=GUE_PORT, chksum=0) / bytes((0, 0, 0, 0)) / ECHO)
    fou = bytes(link / UDP(sport=1, dport=0, chksum=0) / ECHO)
    with target("gro") as (host, tap):
        with host.inside():
            client = Fou()
        before = host.snmp("IpInReceives") if version == 4 else 0
        for protocol in range(1, 256):
            port = 20000 + protocol
            client.add(
                (nl.PORT, nl.be16(port)),
                (nl.TYPE, nl.u8(nl.DIRECT)),
                (nl.IPPROTO, nl.u8(protocol)),
                (nl.AF, nl.u8(family)),
            )
            frames = [
                gue[: head + 1] + bytes([protocol]) + gue[head + 2 :],
                fou[: head - 6] + nl.be16(port) + fou[head - 4 :],
            ]
            # Two, so that the second finds the first one held.
            for frame in frames * 2:
                os.writev(tap, [bytes(10), frame])
        client.close()
        if version == 4:
            wait_until(lambda: host.snmp("IpInReceives") - before >= 1000, "they arrive", 5)


# KASAN keeps what is freed for a while; on the debug kernel kmemleak tells.
@pytest.mark.stock_only
def test_rows_5_and_6_protocol_zero_leaks_no_packet(hosts):
    """A handler that says "go on as protocol 0" says "consumed", and nobody frees the packet."""
    h1, h2 = hosts
    with h2.inside():
        client = Fou()
    with pytest.raises(OSError) as refused:
        client.add((nl.PORT, nl.be16(5555)), (nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(0)))
    assert refused.value.errno == errno.ERANGE
    client.close()
    h2.ip("fou", "add", "port", PORT, "gue")
    number = 100_000
    with h1.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(("192.0.2.2", PORT))
    payload = bytes((0, 0, 0, 0)) + bytes(1000)
    for _ in range(1000):
        sender.send(payload)
    before, arrived = free_packets(), h2.snmp("IpInReceives")
    for _ in range(number):
        sender.send(payload)
    sender.close()
    wait_until(lambda: h2.snmp("IpInReceives") - arrived >= number * 9 // 10, "they arrive", 20)
    # Each would have been more than a kilobyte.
    wait_until(lambda: free_packets() - before < number // 4, "the packets are freed", 20)


@pytest.mark.parametrize(
    ("gro", "port"),
    [
        ("off", NOPARTIAL_PORT),
        ("on", GUE_PORT),
        pytest.param("off", GUE_PORT, marks=pytest.mark.soak_on_debug),
        pytest.param("on", NOPARTIAL_PORT, marks=pytest.mark.soak_on_debug),
    ],
)
def test_row_8_header_that_is_split_at_any_byte_is_read_right(gro, port):
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    frame = bytes(outer / UDP(sport=40000, dport=port) / REMCSUM / UNFINISHED)
    headers = 14 + 20 + 8 + 12 + 40
    with target("fragments") as (host, tap), Capture(host, "tun4") as capture:
        # GRO would make the headers that it reads linear.
        host.run("ethtool", "-K", "tap0", "gro", gro)
        cuts = range(34, headers)
        for cut in cuts:
            tail = [frame[cut : cut + 1], frame[cut + 1 : cut + 3], frame[cut + 3 :]]
            os.writev(tap, [bytes(10), frame[:cut], *filter(None, tail)])
        seen = capture.frames(lambda f: f[9] == 6 and f[12] == 10, len(cuts), timeout=20)
    # A port that leaves the sum to the receiver hands on what the sum is to be over.
    expected = {FINISHED} if port == NOPARTIAL_PORT else {UNFINISHED, FINISHED}
    assert len(seen) == len(cuts)
    assert set(seen) <= expected


def test_row_9_packet_that_gro_did_not_merge_is_unchanged():
    """GRO writes the remote checksum for a while; what joins no flow is as it was."""
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    with target("gro") as (host, tap), Capture(host, "tap0") as capture:
        sent = []
        for number in range(20):
            inner = IP(src="10.1.1.1", dst="10.0.0.1", id=number)
            # Each of a flow of its own.
            inner = inner / TCP(sport=1000 + number, dport=5, seq=7, flags="A") / (b"x" * 200)
            packet = bytearray(bytes(inner))
            pseudo = sum(struct.unpack("!4H", packet[12:20])) + 6 + len(packet) - 20
            packet[36:38] = ((pseudo & 0xFFFF) + (pseudo >> 16)).to_bytes(2, "big")
            # With a checksum: without one, GRO does not look at the remote one.
            udp = UDP(sport=40000, dport=NOPARTIAL_PORT)
            sent.append(bytes(outer / udp / REMCSUM / bytes(packet)))
        for frame in sent:
            os.writev(tap, [bytes(10), frame])
        # Not what the host's own tunnels have to say.
        seen = capture.frames(lambda f: f[:14] == sent[0][:14], len(sent))
    assert seen == sent


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("port", ["partial", "nopartial"])
def test_row_10_remote_checksum_is_taken_up_to_its_bounds(hosts, port):
    h1, h2 = hosts
    if port == "partial":
        h2.ip("fou", "add", "port", PORT, "gue")
    else:
        add_nopartial(h2, PORT)
    h2.batch(
        "link add tun1 type ipip local 192.0.2.2 remote 192.0.2.1",
        "link set tun1 up",
    )
    length = len(ECHO)
    raw = h1.packet_socket("eth0")
    link = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0")) / IP(src="192.0.2.1", dst="192.0.2.2")
    for start, offset, taken in (
        (0, length - 2, True),
        (0, length - 1, False),
        (0, length, False),
        (length - 2, length - 2, True),
        (length - 1, length - 1, False),
        (20, 19, False),
        (20, 20, True),
        (0, 0xFFFF, False),
        (0xFFFF, 0xFFFF, False),
        (0xFFFE, 0xFFFE, False),
    ):
        header = struct.pack("!IIHH", 0x02040001, 0x80000000, start, offset)
        with Capture(h2, "tun1") as tunnel:
            raw.send(bytes(link / UDP(sport=1, dport=PORT) / header / ECHO))
            seen = tunnel.frames(lambda f: len(f) == length, timeout=2 if taken else 0.2)
        assert bool(seen) == taken, f"start {start}, offset {offset}"
    raw.close()


def total(data):
    """The sum of 16-bit words."""
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def nested_in_udp(source, start, wrong):
    """GUE with a remote checksum over an IP packet with UDP, and FOU, within.

    The checksum is at the very end, and what stands there makes the one of UDP right, or wrong,
    when it has been computed.
    """
    innermost = IP(src="10.9.9.1", dst="10.9.9.2", proto=253) / (bytes([wrong]) * 120)
    # Something that is not 0, or UDP has no checksum.
    udp = UDP(sport=7, dport=5555, chksum=0x1234) / innermost / bytes(2)
    inner = bytearray(bytes(IP(src=source, dst="10.1.1.2") / udp))
    pseudo = total(inner[12:20]) + 17 + len(inner) - 20
    seed = pseudo + total(inner[:start]) + wrong
    inner[-2:] = (seed % 0xFFFF).to_bytes(2, "big")
    header = struct.pack("!IIHH", 0x02040001, 0x80000000, start, len(inner) - 2)
    return UDP(sport=1, dport=PORT) / header / bytes(inner)


def test_row_29_checksum_of_a_tunnel_within_is_verified(hosts):
    """A checksum that is left to be computed from within a header that the stack takes off.

    The stack forgets where that was, and takes the next checksum for good.
    """
    h1, h2 = hosts
    h2.ip("fou", "add", "port", PORT, "gue")
    h2.ip("fou", "add", "port", 5555, "ipproto", 4)
    h2.batch(
        "link add tun1 type ipip local 192.0.2.2 remote 192.0.2.1",
        "addr add 10.1.1.2/16 dev tun1",
        "link set tun1 up",
    )
    sources = [f"10.1.{number}.{255 - number}" for number in range(2, 250, 31)]
    for number, source in enumerate(sources):
        h2.batch(
            f"link add in{number} type ipip local 10.1.1.2 remote {source}",
            f"link set in{number} up",
        )
    raw = h1.packet_socket("eth0")
    link = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0")) / IP(src="192.0.2.1", dst="192.0.2.2")
    for start in (0, 8, 20, 28, 44, 60):
        for number, source in enumerate(sources):
            failed = h2.snmp("UdpInCsumErrors")
            with Capture(h2, f"in{number}") as tunnel:
                raw.send(bytes(link / nested_in_udp(source, start, 1)))
                raw.send(bytes(link / nested_in_udp(source, start, 0)))
                [seen] = tunnel.frames(lambda f: f[9] == 253)
            what = f"start {start}, from {source}"
            assert seen[20] == 0, f"{what}: the wrong one came too"
            assert h2.snmp("UdpInCsumErrors") == failed + 1, what
    raw.close()


def test_row_29_checksum_that_the_stack_has_lost_is_not_used(hosts):
    """The same by a packet socket, which may say that a checksum starts in the outer header."""
    h1, h2 = hosts
    run("modprobe", "vxlan")
    h2.ip("fou", "add", "port", PORT, "ipproto", 4)
    h2.batch(
        "link add vx0 type vxlan id 1 dstport 4789 local 192.0.2.2",
        "link set vx0 up",
        "addr add 10.1.1.2/24 dev vx0",
        "link add tun1 type ipip local 192.0.2.2 remote 192.0.2.1"
        f" encap fou encap-dport {PORT} encap-csum",
        "link set tun1 up",
        "route add 10.9.0.0/16 dev tun1",
    )
    h2.sysctl("net.ipv4.ip_forward", 1)
    inner = Ether(src="02:00:00:00:00:07", dst=h2.mac("vx0"))
    inner = inner / IP(src="10.1.1.7", dst="10.9.9.2", proto=253) / bytes(200)
    link = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0")) / IP(src="192.0.2.1", dst="192.0.2.2")
    vxlan = bytes(link / UDP(sport=1, dport=4789) / bytes.fromhex("0800000000000100") / inner)
    fou = bytes(link / UDP(sport=1, dport=PORT) / IP(src="10.9.9.1", dst="10.9.9.2") / bytes(200))
    with h1.inside():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sender.bind(("eth0", 0))
    with Capture(h1, "eth0") as wire, Capture(h2, "tun1") as tunnel:
        for port in range(1000, 1050):
            for frame in (vxlan, fou):
                lost = struct.pack("<BBHHHH", 1, 0, 0, 0, 24, 8)
                sender.send(lost + frame[:34] + struct.pack("!H", port) + frame[36:])

        def forwarded(frame):
            return frame[6:12] == vxlan[:6] and frame[23] == 17 and frame[36:38] == b"\x17\xc0"

        def received(packet):
            return packet[12:20] == fou[42:][12:20]

        # Nothing that came was sent on with a checksum made of who knows what.
        assert not wire.frames(forwarded, timeout=0.3)
        assert not tunnel.frames(received, timeout=0.3)
        # And without that they come.
        for frame in (vxlan, fou):
            sender.send(bytes(10) + frame)
        assert wire.frames(forwarded)
        assert tunnel.frames(received)
    sender.close()


@pytest.mark.rfou_only
@pytest.mark.parametrize("version", [pytest.param(4, marks=pytest.mark.soak_on_debug), 6])
def test_row_30_checksum_over_more_than_udp_counts_is_not_trusted(version):
    """GRO verifies it over IP's length, UDP takes it for one over its own: hw csum failure."""
    if version == 4:
        outer = IP(src="192.0.2.2", dst="192.0.2.1", proto=17)
        message, port = bytes(ICMP(type=0) / bytes(range(47))), 5557
    else:
        outer = IPv6(src="2001:db8::2", dst="2001:db8::1", nh=17)
        message = bytes(outer / ICMPv6EchoReply(data=bytes(range(47))))[40:]
        port = 5558
    beyond = b"\0"
    # With what is beyond in UDP's length too, the checksum is right.
    datagram = bytearray(bytes(outer / UDP(sport=40000, dport=port) / message / beyond))
    at = len(outer) + 4
    length = int.from_bytes(datagram[at : at + 2], "big") - len(beyond)
    datagram[at : at + 2] = length.to_bytes(2, "big")
    # The sum is to stay right with the pseudo header's length as it was.
    total = int.from_bytes(datagram[at + 2 : at + 4], "big") + len(beyond)
    datagram[at + 2 : at + 4] = ((total & 0xFFFF) + (total >> 16)).to_bytes(2, "big")
    with target("gro") as (host, tap), host.packet_socket("tap0"):

        def taken_in():
            if version == 4:
                return host.snmp("IcmpInMsgs"), host.snmp("IcmpInCsumErrors")
            values = dict(line.split() for line in host.proc_net("snmp6").splitlines())
            return int(values["Icmp6InMsgs"]), int(values["Icmp6InCsumErrors"])

        before, wrong = taken_in()
        ethertype = 0x0800 if version == 4 else 0x86DD
        frame = bytes(Ether(src=PEER_MAC, dst=HOST_MAC, type=ethertype)) + datagram
        os.writev(tap, [bytes(10), bytes(frame)])
        wait_until(lambda: taken_in() == (before + 1, wrong), "the message is taken in", 5)
    assert "hw csum failure" not in run("dmesg").stdout


@pytest.mark.parametrize(
    ("device", "port", "front"),
    [
        pytest.param("tun4", GUE_PORT, b"", marks=pytest.mark.soak_on_debug),
        ("eth4", 5553, bytes(Ether(src=HOST_MAC, dst=PEER_MAC, type=0x0800))),
    ],
    ids=["with remcsum", "without"],
)
def test_row_11_checksum_that_starts_anywhere_is_sent_or_refused(device, port, front):
    """A packet socket says where a checksum starts; what a tunnel sends is right all the same."""
    packet = front + UNFINISHED + bytes(100)
    sent = 0
    with target("transmit") as (host, _), contextlib.ExitStack() as stack:
        wire = stack.enter_context(Capture(host, "tap0"))
        with host.inside():
            sender = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
        sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sender.bind((device, 0))
        for start in (*range(0, 44), 60, 139, 140, 141, 0xFFFF):
            for field in (0, 1, 6, 16, 100, 0xFFFF):
                virtio = struct.pack("<BBHHHH", 1, 0, 0, 0, start, field)
                try:
                    sender.send(virtio + packet)
                except OSError as error:
                    assert error.errno in (22, 105), str(error)
        sender.send(struct.pack("<BBHHHH", 1, 0, 0, 0, len(front) + 20, 16) + packet)
        wait_until(lambda: outstanding(sender) == 0, "each packet is freed", 5)
        for frame in wire.frames(lambda f: f[36:38] == nl.be16(port), 10000, timeout=0):
            sent += 1
            addresses, datagram = frame[26:34], frame[34:]
            assert int.from_bytes(datagram[4:6], "big") == len(datagram)
            words = addresses + datagram + bytes(len(datagram) % 2)
            assert (total(words) + 17 + len(datagram)) % 0xFFFF == 0, "the outer checksum"
            gue = datagram[8:]
            if port == GUE_PORT and gue[0] == 2:
                start, field = struct.unpack_from("!HH", gue, 8)
                assert start <= field <= len(gue) - 12 - 2
    assert sent > 30


def test_row_13_ports_go_with_their_namespace(hosts):
    _, h2 = hosts
    third = Host("h3")
    h2.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", "h3")
    third.batch(
        *(f"fou add port {number} ipproto 4" for number in range(1, 20)),
        *(f"fou add port {number} ipproto 41 -6" for number in range(1, 20)),
    )
    third.remove()
    # The namespace's end takes its devices along, and their peers. A port that is left open does
    # not stop it; the debug kernel's checkers see that.
    wait_until(lambda: "v0" not in h2.ip("-br", "link").stdout, "the namespace ends", 30)


@pytest.mark.soak_on_debug
def test_row_17_nothing_of_a_closed_port_is_called():
    """UDP's GRO remembers the one tunnel that there is; sockets of several kinds come and go."""
    run("modprobe", "-a", "vxlan", "geneve")
    port = 7000
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    frames = [
        bytes(outer / UDP(sport=7, dport=each) / bytes((0, 4, 0, 0)) / ECHO)
        for each in (port, 4789, 6081)
    ] * 2
    train = []
    for number in range(2):
        inner = IP(src="10.0.9.2", dst="10.0.0.1", id=number)
        inner = inner / TCP(sport=1, dport=5, seq=1 + 300 * number, flags="A") / bytes(300)
        train.append(bytes(outer / UDP(sport=7, dport=port) / bytes((0, 4, 0, 0)) / inner))
    add = {
        "fou": f"fou add port {port} gue",
        "vxlan": "link add vx0 type vxlan id 1 dstport 4789 local 192.0.2.1",
        "geneve": "link add gen0 type geneve id 1 remote 192.0.2.2",
    }
    remove = {
        "fou": f"fou del port {port}",
        "vxlan": "link del vx0",
        "geneve": "link del gen0",
    }
    up = {"vxlan": ["link set vx0 up"], "geneve": ["link set gen0 up"]}
    orders = [("fou", "vxlan", "geneve"), ("vxlan", "fou", "geneve"), ("geneve", "vxlan", "fou")]
    with target("gro") as (host, tap), Capture(host, "tap0") as capture:
        with host.inside():
            client = Fou()
        # That it is the one tunnel there is.
        client.delete_all()
        client.close()

        def send(frames):
            for frame in frames:
                os.writev(tap, [bytes(10), frame])

        for first in orders:
            for second in orders:
                for kind in first:
                    host.batch(add[kind], *up.get(kind, []))
                    send(frames)
                    if kind == "fou":
                        wait_until(lambda: is_merged(capture, train, send), "the port merges")
                for kind in second:
                    host.batch(remove[kind])
                    send(frames)
        send(train)
        assert len(capture.frames(lambda f: f[36:38] == nl.be16(port) and len(f) > 300, 2)) == 2


def is_merged(capture, train, send):
    """Whether GRO makes one packet of a train."""
    send(train)
    ports, length = train[0][34:38], sum(map(len, train))
    seen = capture.frames(lambda f: f[34:38] == ports and len(f) > 300, timeout=1)
    assert seen and len(seen[0]) < length
    return len(seen[0]) > len(train[0])


@pytest.mark.soak_on_debug
@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("ipip", "type ipip local 192.0.2.{0} remote 192.0.2.{1}"),
        ("ip6tnl", "type ip6tnl mode any local 2001:db8::{0} remote 2001:db8::{1} encaplimit none"),
    ],
    ids=["ipip", "ip6tnl"],
)
@pytest.mark.parametrize("encap", ["fou", "gue"])
def test_row_19_tunnel_over_a_device_with_big_tcp(hosts, kind, how, encap):
    """Super-packets of more than 64 KiB, whose length fields are 0, on the device below.

    In this kernel the tunnel devices themselves refuse that size, and GRO merges no encapsulated
    packets to it: such a packet does not get to a port. What gets there is to be right.
    """
    limits = "gso_max_size 150000 gso_ipv4_max_size 150000 gro_max_size 150000"
    limits += " gro_ipv4_max_size 150000"
    for number, host in enumerate(hosts, start=1):
        family = "-4" if kind == "ipip" else "-6"
        what = ["gue"] if encap == "gue" else ["ipproto", 4]
        host.ip(family, "fou", "add", "port", PORT, *what)
        host.batch(
            f"link add tun1 {how.format(number, 3 - number)} encap {encap} encap-dport {PORT}",
            f"addr add 10.1.1.{number}/24 dev tun1",
            "link set tun1 up",
            f"link set eth0 {limits}",
        )
        host.run("ethtool", "-K", "eth0", "gro", "on")
        assert host.ip("link", "set", "tun1", *limits.split(), check=False).returncode != 0
    h1, h2 = hosts
    # The case is there: without a tunnel, packets are that long.
    assert longest_packet(hosts, "192.0.2.2") > 66000
    assert 20000 < longest_packet(hosts, "10.1.1.2") < 66000
    assert h2.snmp("TcpInCsumErrors") == 0
    assert h2.traffic("tun1")["rx"]["errors"] == 0
    assert h1.traffic("tun1")["tx"]["errors"] == 0


def longest_packet(hosts, address):
    """How long the longest packet is that the second host sees of a TCP transfer, in bytes."""
    h1, h2 = hosts
    # Or TCP makes no longer packets than it sends in a millisecond, which may be short ones.
    h1.sysctl("net.ipv4.tcp_tso_rtt_log", 31)
    server = h2.start("iperf3", "-s", "-1")
    wait_until(lambda: ":1451" in h2.proc_net("tcp6") + h2.proc_net("tcp"), "iperf3 listens")
    longest = 0
    with Capture(h2, "eth0") as wire:
        client = h1.start("iperf3", "-c", address, "-n", "15M", "-l", "512K")
        # Read as they come: more than a socket has room for are not seen.
        while client.poll() is None:
            lengths = [len(f) for f in wire.frames(lambda f: True, 1000, timeout=0.2)]
            longest = max([longest, *lengths])
    assert client.returncode == 0
    server.wait(10)
    return longest


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("change", [False, True], ids=["from the start", "changed later"])
@pytest.mark.parametrize("encap", ["fou", "gue"])
@pytest.mark.parametrize("kind", ["ipip", "sit", "gre", "ip6tnl"])
def test_row_21_packet_of_the_mtus_size_is_not_fragmented(hosts, kind, encap, change):
    outer6 = kind == "ip6tnl"
    mode = "mode any encaplimit none" if outer6 else ""
    outer = {"ipip": 20, "sit": 20, "gre": 24, "ip6tnl": 40}[kind] + (8 if encap == "fou" else 12)
    for number, host in enumerate(hosts, start=1):
        prefix = "2001:db8::" if outer6 else "192.0.2."
        protocol = {"ipip": 4, "sit": 41, "gre": 47, "ip6tnl": 4}[kind]
        what = ["gue"] if encap == "gue" else ["ipproto", protocol]
        host.ip("-6" if outer6 else "-4", "fou", "add", "port", PORT, *what)
        ends = f"local {prefix}{number} remote {prefix}{3 - number}"
        how = f"encap {encap} encap-sport auto encap-dport {PORT} encap-csum"
        if change:
            # The device keeps the MTU that it had.
            host.batch(
                f"link add tun1 type {kind} {mode} {ends} encap none",
                "link set tun1 up",
                f"link change tun1 type {kind} {mode} {ends} {how}",
                f"link set tun1 mtu {1500 - outer}",
            )
        else:
            host.batch(f"link add tun1 type {kind} {mode} {ends} {how}", "link set tun1 up")
        address = f"fd00::{number}/64" if kind == "sit" else f"10.1.1.{number}/24"
        host.batch(f"addr add {address} dev tun1" + (" nodad" if kind == "sit" else ""))
    h1, h2 = hosts
    mtu = h1.link("tun1")["mtu"]
    assert mtu == 1500 - outer
    address, header = ("fd00::2", 48) if kind == "sit" else ("10.1.1.2", 28)
    with Capture(h2, "eth0") as wire:
        h1.run(
            "ping", "-n", "-c", 2, "-i", "0.01", "-W", 5, "-M", "do", "-s", mtu - header, address
        )
        frames = wire.frames(lambda f: len(f) > 1200, 4, timeout=1)
    ports = {struct.unpack_from("!H", f, 14 + (40 if outer6 else 20) + 2)[0] for f in frames}
    assert ports == {PORT}, "each is whole, and encapsulated"
    assert {len(f) for f in frames} == {14 + mtu + outer}


def test_row_22_tunnel_routed_into_itself_ends(hosts):
    h1 = hosts[0]
    h1.batch(
        f"link add tun1 type ipip local 192.0.2.1 remote 203.0.113.9 encap gue encap-dport {PORT}",
        "addr add 10.1.1.1/24 dev tun1",
        "link set tun1 up",
        "route add 203.0.113.9/32 dev tun1",
    )
    with h1.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(50):
        # Refused or dropped, as the tunnel likes.
        try:
            sender.sendto(bytes(100), ("10.1.1.2", 9))
        except OSError as error:
            assert error.errno in (40, 105, 113, 101), str(error)
    sender.close()
    stats = h1.traffic("tun1")["tx"]
    assert stats["errors"] + stats["dropped"] + stats["collisions"] > 0, "the loop is seen"
    h1.run("ping", "-n", "-c", 1, "-W", 5, "192.0.2.2")
