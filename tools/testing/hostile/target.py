# SPDX-License-Identifier: GPL-2.0
"""The host that the cannon fires at: a tap device, and ports and tunnels of every kind."""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import select
import struct

from testing.lib import progress
from testing.lib.gue_keys import GueKeys
from testing.lib.gue_peer import build
from testing.lib.gue_values import Header, Hmac, Outer
from testing.lib.hosts import Host, add_nopartial, call, run, wait_until

SIOCOUTQ = 0x5411
TUNSETIFF, TUNSETSNDBUF = 0x400454CA, 0x400454D4
IFF_TAP, IFF_NAPI, IFF_NAPI_FRAGS, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x10, 0x20, 0x1000, 0x4000
# Flags of the tap device, by the cannon's flavour.
TAP_FLAGS = {
    "plain": 0,
    "gro": IFF_NAPI,
    "fragments": IFF_NAPI | IFF_NAPI_FRAGS,
    "scattered": IFF_NAPI | IFF_NAPI_FRAGS,
    "pieces": IFF_NAPI,
    "transmit": 0,
}

WITNESS = "witness"
# The virtio header of a packet without offloads, which precedes each packet of a tap device.
NO_VIRTIO = bytes(10)

HOST_MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"

# As in the cannon's grammar: FOU ports by their IP protocol.
FOU_PORTS = {5551: 4, 5552: 41, 5553: 47, 5554: 17, 5555: 6, 5556: 136, 5557: 1, 5558: 58}
GUE_PORT, NOPARTIAL_PORT = 6080, 6081
# UDP ports of the gue devices; their groups are in the commands below.
DEVICE_PORT, VARIANT_1_PORT = 6090, 6091

V4 = "local 192.0.2.1 remote 192.0.2.2 ttl 64"
V6 = "local 2001:db8::1 remote 2001:db8::2 hoplimit 64 encaplimit none"
TUNNELS = {
    "tun4": f"type ipip {V4} encap gue encap-sport auto encap-dport {GUE_PORT} encap-csum"
    " encap-remcsum",
    "tun6": f"type sit {V4} encap fou encap-sport auto encap-dport 5552 encap-csum",
    "gre4": f"type gre {V4} encap gue encap-sport auto encap-dport {GUE_PORT}",
    "eth4": f"type gretap {V4} encap fou encap-sport auto encap-dport 5553 encap-csum",
    "tnl6": f"type ip6tnl mode any {V6} encap gue encap-sport auto encap-dport {GUE_PORT}"
    " encap-udp6-csum encap-remcsum",
    "gre6": f"type ip6gre {V6} encap fou encap-sport auto encap-dport 5553",
    "eth6": f"type ip6gretap {V6} encap gue encap-sport auto encap-dport {NOPARTIAL_PORT}"
    " encap-udp6-csum",
}
# Devices of rgue. They have no local address, so that multicast reaches them, too.
DEVICES = {
    "gue4": f"type gue remote 192.0.2.2 port {DEVICE_PORT} dport {DEVICE_PORT} udpcsum remcsum",
    "grp4": f"type gue id 7 remote 192.0.2.2 port {DEVICE_PORT} dport {DEVICE_PORT} udpcsum"
    " linux-remcsum ttl inherit tos inherit df inherit",
    "var4": f"type gue remote 192.0.2.2 port {VARIANT_1_PORT} dport {VARIANT_1_PORT} variant 1",
    "gue6": f"type gue remote 2001:db8::2 port {DEVICE_PORT} dport {DEVICE_PORT} linux-remcsum",
    "grp6": f"type gue id 0xfedcba98 remote 2001:db8::2 port {DEVICE_PORT} dport {DEVICE_PORT}"
    " udp6zerocsumrx udp6zerocsumtx remcsum",
    "key4": f"type gue id 9 remote 192.0.2.2 port {DEVICE_PORT} dport {DEVICE_PORT} auth cookie8",
    "key6": f"type gue id 9 remote 2001:db8::2 port {DEVICE_PORT} dport {DEVICE_PORT} auth hmac"
    " remcsum udp6zerocsumrx",
    "frm4": f"type gue id 10 remote 192.0.2.2 port {DEVICE_PORT} dport {DEVICE_PORT} udpcsum"
    " remcsum mode ethernet",
    "frm6": f"type gue id 10 remote 2001:db8::2 port {DEVICE_PORT} dport {DEVICE_PORT}"
    " mode ethernet udp6zerocsumrx",
    # On var4's port: receives the packets that var4 does not.
    "ext": f"type gue external port {VARIANT_1_PORT} dport {VARIANT_1_PORT} linux-remcsum"
    " udp6zerocsumrx",
    # These send GUE fragments.
    "frg4": f"mtu 9000 type gue id 11 remote 192.0.2.2 port {DEVICE_PORT} dport {DEVICE_PORT}"
    " udpcsum fragment 600",
    "frg6": f"mtu 9000 type gue id 11 remote 2001:db8::2 port {DEVICE_PORT} dport {DEVICE_PORT}"
    " fragment udp6zerocsumrx",
}
# A header for the devices that carry Ethernet: EtherIP, and the frame's header before IPv4.
HEADER_OF_FRAME = "01618000 0000000a 3000" + (HOST_MAC + PEER_MAC).replace(":", "") + "0800"
# The keys of the devices with auth; their id is 1.
KEYS = {"key4": b"cannon!!", "key6": b"the key of the cannon"}


def outstanding(sender):
    """Returns the bytes of a socket's packets that are not freed yet."""
    value = ctypes.c_int()
    call("ioctl", sender.fileno(), SIOCOUTQ, ctypes.byref(value))
    return value.value


def ports():
    """Yields commands for `ip`: the cannon's ports but NOPARTIAL_PORT, for both IP versions."""
    direct = [f"port {port} ipproto {protocol}" for port, protocol in FOU_PORTS.items()]
    for port in (*direct, f"port {GUE_PORT} gue"):
        for version in ("", "-6"):
            yield f"fou add {port} {version}"


def witness(name):
    """Returns a command for `ip`: a veth device whose peer is in the initial namespace.

    The peer stays as long as the namespace. A leaked port would hold the namespace.
    """
    return f"link add {WITNESS} type veth peer name {WITNESS}{name} netns 1"


def leave_witness(name):
    """Makes such a device in the caller's namespace."""
    run("ip", *witness(name).split())


def wait_for_witnesses():
    """Waits until every namespace with such a device has ended."""

    def are_gone():
        left = len(list(pathlib.Path("/sys/class/net").glob(f"{WITNESS}*")))
        progress.report(f"{left} namespaces end")
        return left == 0

    wait_until(are_gone, "the namespaces end", 60)


def set_send_buffer(tap, size):
    """Limits the bytes of packets from a tap device's writer that are not freed yet."""
    fcntl.ioctl(tap, TUNSETSNDBUF, struct.pack("i", size))


def make_tap(host, flavour, flush_ms, mac=HOST_MAC):
    """Makes a host's tap device; its GRO holds packets for `flush_ms`. Returns its file."""
    if not pathlib.Path("/dev/net/tun").exists():
        run("modprobe", "tun")
    # The tun driver does not wake a writer that sleeps in write(): Documentation/reports.rst.
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | TAP_FLAGS[flavour]
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"tap0", flags))
    # A writer that is faster than GRO must wait.
    set_send_buffer(tap, 1 << 22)
    # GRO holds packets for more of their flow; otherwise it would merge none.
    settings = pathlib.Path("/sys/class/net/tap0")
    (settings / "gro_flush_timeout").write_text(f"{flush_ms}000000\n", encoding="ascii")
    (settings / "napi_defer_hard_irqs").write_text("10\n", encoding="ascii")
    run("ip", "link", "set", "tap0", "address", mac, "netns", host.name)
    return tap


def write_frame(tap, pieces):
    """Writes one packet to the tap device; waits while the send buffer is full."""
    writable = select.poll()
    writable.register(tap, select.POLLOUT)
    while True:
        with contextlib.suppress(BlockingIOError):
            return os.writev(tap, pieces)
        writable.poll()


@contextlib.contextmanager
def tap_host(name, flavour, flush_ms, *lines):
    """Makes a host with a tap device; yields the host and the tap device's file.

    `lines` are further commands for `ip`, in the same process, because the debug kernel makes
    processes slowly.

                                +--------------------------------+
    this program           tap  | tap0  192.0.2.1/24, HOST_MAC   |
    192.0.2.2, PEER_MAC  -------| lo    10.0.0.1/32              |
                                +--------------------------------+
    """
    host = Host(name)
    tap = None
    try:
        tap = make_tap(host, flavour, flush_ms)
        for conf in ("ipv4.conf.all", "ipv4.conf.default"):
            host.sysctl(f"net.{conf}.rp_filter", 0)
            host.sysctl(f"net.{conf}.accept_local", 1)
        host.sysctl("net.ipv4.ip_forward", 1)
        host.sysctl("net.ipv4.icmp_ratelimit", 0)
        host.batch(
            witness(host.name),
            "link set lo up",
            "addr add 10.0.0.1/32 dev lo",
            "addr add 192.0.2.1/24 dev tap0",
            "link set tap0 up",
            f"neigh replace 192.0.2.2 lladdr {PEER_MAC} nud permanent dev tap0",
            *lines,
        )
        yield host, tap
    finally:
        if tap is not None:
            os.close(tap)
        host.remove()
    wait_for_witnesses()


def devices():
    """Yields commands for `ip`: the gue devices, and routes through some of them."""
    yield from (f"link add {name} {how}" for name, how in DEVICES.items())
    # The addresses that the frames are for.
    yield f"link set frm4 address {HOST_MAC}"
    yield f"link set frm6 address {HOST_MAC}"
    yield from (f"link set {name} up" for name in DEVICES if name not in KEYS)
    yield "route add 10.0.4.0/24 dev gue4"
    yield "route add 10.0.5.0/24 dev grp4"
    yield "route add fd00:4::/32 dev gue6"
    yield "route add fd00:5::/32 dev grp6"
    yield "route add 10.0.7.0/24 encap ip id 9 dst 192.0.2.2 csum dev ext"
    yield "route add fd00:7::/32 encap ip6 id 9 dst 2001:db8::2 dev ext"
    yield "route add 10.0.6.0/24 dev frg4"
    yield "route add fd00:6::/32 dev frg6"


def header_with_key(device):
    """Returns the header of a packet to a device with auth, before IPv4."""
    if device == "key4":
        header = Header(group=9, cookie=KEYS[device])
    else:
        header = Header(group=9, hmac=Hmac(1))
    return build(header, b"", Outer("2001:db8::2", "2001:db8::1"), KEYS[device])


def set_keys(host):
    """Sets the keys of the devices with auth, and sets the devices up.

    A device that is up sends packets of its own, which it would drop without a key.
    """
    keys = GueKeys(host)
    for name, secret in KEYS.items():
        keys.set(name, 1, secret)
    keys.close()
    host.batch(*(f"link set {name} up" for name in KEYS))


@contextlib.contextmanager
def target(flavour, flush_ms=2, rgue=False):
    """Makes the host to fire at; yields the host and the tap device's file.

    `rgue` asks for the gue devices, which need the module.

                                 +----------------------------------------------------------+
                                 |        ports: FOU_PORTS, GUE_PORT, NOPARTIAL_PORT        |
    this program            tap  | tap0 --+-- tunnels to .2/::2: TUNNELS, DEVICES           |
    192.0.2.2, 2001:db8::2 ------|  .1    |     routes 10.0.{1-7,9}.0/24, fd00:{1-7,9}:     |
                                 |  ::1   +-- vlan5                                         |
                                 | lo: 10.0.0.1, fd00::1                                    |
                                 +----------------------------------------------------------+
    """
    lines = (
        "addr add fd00::1/128 dev lo",
        "addr add 2001:db8::1/64 dev tap0 nodad",
        f"neigh replace 2001:db8::2 lladdr {PEER_MAC} nud permanent dev tap0",
        "link add link tap0 name vlan5 type vlan id 5",
        "link set vlan5 up",
        *(f"link add {name} {how}" for name, how in TUNNELS.items()),
        f"link set eth4 address {HOST_MAC}",
        f"link set eth6 address {HOST_MAC}",
        *(f"link set {name} up" for name in TUNNELS),
        "route add 10.0.1.0/24 dev tun4",
        "route add 10.0.2.0/24 dev gre4",
        "route add 10.0.3.0/24 dev eth4",
        f"neigh replace 10.0.3.1 lladdr {PEER_MAC} nud permanent dev eth4",
        "route add 10.0.9.0/24 dev tun4",
        "route add fd00:1::/32 dev tun6",
        "route add fd00:2::/32 dev tnl6",
        "route add fd00:3::/32 dev gre6",
        "route add fd00:9::/32 dev tnl6",
        *ports(),
        *(devices() if rgue else ()),
    )
    with tap_host("target", flavour, flush_ms, *lines) as (host, tap):
        host.sysctl("net.ipv6.conf.all.forwarding", 1)
        host.sysctl("net.ipv6.icmp.ratelimit", 0)
        add_nopartial(host, NOPARTIAL_PORT)
        add_nopartial(host, NOPARTIAL_PORT, 6)
        if rgue:
            set_keys(host)
        # The tunnels log each packet whose ECN bits do not fit together.
        for knob in pathlib.Path("/sys/module").glob("*/parameters/log_ecn_error"):
            knob.write_text("N\n", encoding="ascii")
        yield host, tap
