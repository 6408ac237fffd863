# SPDX-License-Identifier: GPL-2.0
"""The guest that measurements run in: the generator, modules, tunnels, ports."""

import os
import pathlib
import socket
import time

from bench.paths import (
    COVERING,
    DEVICE,
    ETHERNET,
    GENEVE_SAMPLE,
    GUE_ETHERNET,
    HASHING,
    PROTECTED,
)
from bench.wire import (
    COOKIE,
    FOU_PORT,
    GUE_PORT,
    HMAC_KEY,
    KEY_ID,
    LOCAL,
    MAC,
    REMOTE,
    TUNNEL_MAC,
    VXLAN_PORT,
)
from testing.lib import netlink as nl
from testing.lib.gue_keys import GueKeys
from testing.lib.hosts import run

SAMPLES = pathlib.Path("build/stock/samples")
DEBUGFS = pathlib.Path("/sys/kernel/debug/rfou_bench")
# Ports that no packet is sent to.
FURTHER_PORTS = 20000
# Features that are off while the device segments nothing by itself.
SEGMENTATION = (
    "tx-tcp-segmentation",
    "tx-tcp6-segmentation",
    "tx-ipxip4-segmentation",
    "tx-ipxip6-segmentation",
    "tx-udp_tnl-segmentation",
    "tx-udp_tnl-csum-segmentation",
)
# The words of a gue device for each encapsulation.
GUE_OPTIONS = {"gue": "", "gue-local": "", "gue-id": "id 1", "gue-csum": "udpcsum"}
GUE_OPTIONS |= {"gue-cookie": "auth cookie8", "gue-hmac": "auth hmac"}
GUE_OPTIONS[COVERING] = "auth hmac cover all"
GUE_OPTIONS |= {"gue-in-pieces": "", "gue-in-ip-fragments": ""}
GUE_OPTIONS["gue-remcsum"] = "udpcsum linux-remcsum"


def batch(*lines):
    """Run several `ip` commands at once."""
    run("ip", "-batch", "-", stdin="".join(f"{line}\n" for line in lines))


def use(module):
    """Load the modules that a column needs, and unload the others."""
    loaded = pathlib.Path("/proc/modules").read_text(encoding="ascii").split("\n")
    names = [line.split()[0] for line in loaded if line]
    for name in ("geneve_sample", "rgue", "rfou6", "rfou", "fou6", "fou"):
        if name in names:
            run("rmmod", name)
    if module == HASHING:
        module = DEVICE
    if module in ("fou", DEVICE):
        run("modprobe", "-a", "fou", "fou6")
    if module in (DEVICE, ETHERNET):
        run("insmod", os.environ["RGUE_MODULE_FILE"])
    if module == ETHERNET:
        run("modprobe", "-a", "udp_tunnel", "ip6_udp_tunnel")
        run("insmod", SAMPLES / "geneve_sample.ko")
    elif module == "rfou":
        run("modprobe", "-a", "udp_tunnel", "ip6_udp_tunnel", "ip_tunnel", "ip6_tunnel")
        run("insmod", os.environ["RFOU_MODULE_FILE"])
        run("insmod", os.environ["RFOU6_MODULE_FILE"])


def start():
    """Load the generator, give its device addresses, and load what all paths need."""
    for name, value in {
        "net/ipv6/conf/default/addr_gen_mode": 1,
        "net/ipv6/conf/default/router_solicitations": 0,
        "net/ipv6/conf/default/accept_dad": 0,
    }.items():
        pathlib.Path("/proc/sys", name).write_text(f"{value}\n", encoding="ascii")
    run("insmod", "build/stock/bench/rfou_bench.ko")
    modules = "sch_ingress", "cls_matchall", "act_gact", "ipip", "ip6_tunnel", "vxlan", "geneve"
    run("modprobe", "-a", *modules)
    batch(
        f"link set bench0 address {MAC} mtu 65535 up",
        f"addr add {LOCAL[4]}/24 dev bench0",
        f"addr add {LOCAL[6]}/64 dev bench0 nodad",
    )


def tunnel(encap, version, name="tun1", remote=None):
    """Make a tunnel device that drops what it receives."""
    local, remote = LOCAL[version], remote or REMOTE[version]
    if encap in ("vxlan", "geneve"):
        kind = f"{encap} id 1 remote {remote}"
        if encap == "vxlan":
            kind += f" local {local} dstport {VXLAN_PORT}"
        kind += " udp6zerocsumrx" if version == 6 else " noudpcsum"
        batch(f"link add {name} address {TUNNEL_MAC} type {kind}")
    else:
        kind = "ipip" if version == 4 else "ip6tnl mode ipip6 encaplimit none"
        words = f"link add {name} type {kind} local {local} remote {remote}"
        if encap != "plain":
            port = FOU_PORT if encap == "fou" else GUE_PORT
            encap_type = "fou" if encap == "fou" else "gue"
            words += f" encap {encap_type} encap-sport auto encap-dport {port}"
            if encap in ("gue-csum", "gue-remcsum"):
                words += " encap-csum"
            if encap == "gue-remcsum":
                words += " encap-remcsum"
        batch(words)
    set_up(name)


def gue_device(encap, version, name="tun1"):
    """Make a gue device that drops what it receives, and that sends like a tunnel of fou."""
    words = f"link add {name} type gue remote {REMOTE[version]} {GUE_OPTIONS[encap]}"
    words += " df set" if version == 4 else " udp6zerocsumtx"
    if encap == "gue-local":
        words += f" local {LOCAL[version]}"
    batch(words)
    if encap in (*PROTECTED, COVERING):
        keys = GueKeys()
        keys.set(name, KEY_ID, COOKIE if encap == "gue-cookie" else HMAC_KEY)
        keys.close()
    set_up(name)


def ethernet_device(encap, version, name="tun1"):
    """Make an Ethernet device of any kind that drops what it receives."""
    if encap not in (GUE_ETHERNET, GENEVE_SAMPLE):
        tunnel(encap, version, name)
        return
    # As with geneve's devices, UDP checksums are on over IPv6 only.
    words = f"link add {name} address {TUNNEL_MAC} type"
    words += " gue mode ethernet" if encap == GUE_ETHERNET else " geneve_sample id 1"
    words += f" remote {REMOTE[version]}"
    # Only the sample's plug-in is in that folder.
    plugin = ("env", f"IP_LIB_DIR={SAMPLES}") if encap == GENEVE_SAMPLE else ()
    run(*plugin, "ip", *words.split())
    set_up(name)


def maker(column):
    """Return the function that makes the devices of a column."""
    return {DEVICE: gue_device, HASHING: gue_device, ETHERNET: ethernet_device}.get(column, tunnel)


def set_up(name):
    """Set a tunnel device up, and let it drop what it receives."""
    batch(f"link set {name} mtu 65000 up")
    run("tc", "qdisc", "add", "dev", name, "clsact")
    run("tc", "filter", "add", "dev", name, "ingress", "matchall", "action", "drop")


def port_key(encap, version, port):
    """The attributes by which a port is found."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    attributes = [(nl.PORT, nl.be16(port)), (nl.AF, nl.u8(family))]
    if encap == "gue-local":
        number = nl.LOCAL_V4 if version == 4 else nl.LOCAL_V6
        attributes.append((number, socket.inet_pton(family, LOCAL[version])))
    return attributes


def port_attributes(encap, version, port):
    """A port for this encapsulation, as netlink attributes."""
    attributes = port_key(encap, version, port)
    if encap == "fou":
        return [*attributes, (nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(4))]
    return [*attributes, (nl.TYPE, nl.u8(nl.GUE))]


def add_ports(client, encap, version, number):
    """Open the port that packets are sent to, and further ones. Return the ports' numbers."""
    numbers = [FOU_PORT if encap == "fou" else GUE_PORT]
    numbers += range(FURTHER_PORTS, FURTHER_PORTS + number - 1)
    for port in numbers:
        client.add(*port_attributes(encap, version, port))
    return numbers


def delete_ports(client, encap, version, numbers):
    """Delete ports."""
    for port in numbers:
        client.delete(*port_key(encap, version, port))


def load(frames):
    """Give the generator its packets."""
    with open(DEBUGFS / "frames", "wb", buffering=0) as file:
        data = pathlib.Path(frames).read_bytes()
        for at in range(0, len(data), 1 << 20):
            file.write(data[at : at + (1 << 20)])


def fire(kind, count, device="tun1"):
    """Send packets. Return the nanoseconds, and the packets, segments and bytes on the wire."""
    (DEBUGFS / "run").write_text(f"{kind} {count} {device}\n", encoding="ascii")
    values = (DEBUGFS / "run").read_text(encoding="ascii").split()
    return tuple(int(value) for value in values)


def taken_in(device="tun1"):
    """The number of packets that a device has received."""
    path = pathlib.Path("/sys/class/net", device, "statistics/rx_packets")
    return int(path.read_text(encoding="ascii"))


def now_ns():
    """The guest's time; with --icount, the number of executed instructions."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
