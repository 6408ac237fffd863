# SPDX-License-Identifier: GPL-2.0
"""Debian's systemd-networkd opens ports and makes tunnels that use them."""

import contextlib
import textwrap

import pytest

from testing.lib import netlink as nl
from testing.lib.hosts import Capture, is_udp_to, wait_until

pytestmark = pytest.mark.stock_only

PORT = 5555
# With a read-only /sys, networkd does not wait for udev.
START = """
mount --bind "$1" /run
mount -t sysfs -o ro sys /sys
exec /usr/lib/systemd/systemd-networkd
"""


@contextlib.contextmanager
def networkd(host, folder, files):
    """Runs systemd-networkd in a host with configuration files; yields the path of its log."""
    configuration = folder / "run/systemd/network"
    configuration.mkdir(parents=True)
    for name, text in files.items():
        (configuration / name).write_text(textwrap.dedent(text), encoding="ascii")
    # networkd gives up root and reads its files as systemd-network.
    for path in (folder, *folder.parents[:2], *folder.glob("run/**/")):
        path.chmod(0o755)
    log = folder / "log"
    with log.open("w", encoding="utf-8") as output:
        process = host.start(
            "unshare", "--mount", "sh", "-euc", START, "sh", folder / "run", stderr=output
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait()
        # pytest shows this if the test fails.
        print(log.read_text(encoding="utf-8"))


def port_file(encapsulation, protocol):
    """Returns a .netdev file for a port on the first host's address."""
    return f"""
        [NetDev]
        Name=port
        Kind=fou

        [FooOverUDP]
        Encapsulation={encapsulation}
        Port={PORT}
        Local=192.0.2.1
        {protocol}
        """


def tunnel_file(kind, encapsulation):
    """Returns a .netdev file for a tunnel to the second host."""
    return f"""
        [NetDev]
        Name=tunnel
        Kind={kind}

        [Tunnel]
        Independent=yes
        Local=192.0.2.1
        Remote=192.0.2.2
        FooOverUDP=yes
        Encapsulation={encapsulation}
        FOUDestinationPort={PORT}
        """


ADDRESS_FILE = """
    [Match]
    Name=tunnel

    [Network]
    LinkLocalAddressing=no
    IPv6AcceptRA=no
    Address={}
    """


def peer(host, kind, encap, port, address):
    """Makes the other end of the tunnel, by iproute2."""
    ends = "local 192.0.2.2 remote 192.0.2.1"
    host.batch(
        f"fou add port {PORT} {port}",
        f"link add tunnel type {kind} {ends} encap {encap} encap-sport auto encap-dport {PORT}",
        f"addr add {address} dev tunnel",
        "link set tunnel up",
    )


def ping(host, address, device="eth0"):
    """Pings once; returns the source addresses of the datagrams to PORT on the device."""
    with Capture(host, device) as capture:
        host.run("ping", "-n", "-c", "1", "-W", "5", address)
        return [frame[26:30] for frame in capture.frames(lambda f: is_udp_to(f, PORT), 2)]


def opened(host, fou, address):
    """Waits for the tunnel's address and the port. Returns the port's attributes."""
    wait_until(lambda: address in host.ip("addr").stdout and fou.dump(), "port and tunnel")
    [port] = fou.dump()
    attributes = dict(port)
    assert attributes[nl.PORT] == nl.be16(PORT)
    assert attributes[nl.LOCAL_V4] == nl.v4("192.0.2.1")
    return attributes


BOTH_WAYS = [nl.v4("192.0.2.1"), nl.v4("192.0.2.2")]


def test_networkd_opens_a_fou_port_for_its_ipip_tunnel(hosts, fou, tmp_path):
    h1, h2 = hosts
    peer(h2, "ipip", "fou", "ipproto 4", "10.1.1.2/24")
    files = {
        "port.netdev": port_file("FooOverUDP", "Protocol=ipip"),
        "tunnel.netdev": tunnel_file("ipip", "FooOverUDP"),
        "tunnel.network": ADDRESS_FILE.format("10.1.1.1/24"),
    }
    with networkd(h1, tmp_path, files):
        port = opened(h1, fou, "10.1.1.1")
        assert port[nl.TYPE] == nl.u8(nl.DIRECT)
        assert port[nl.IPPROTO] == nl.u8(4)
        assert ping(h1, "10.1.1.2") == BOTH_WAYS


@pytest.mark.shows_both
def test_networkd_opens_a_gue_port_for_its_sit_tunnel(hosts, fou, module, tmp_path):
    """networkd sends IPPROTO 0 with TYPE GUE."""
    h1, h2 = hosts
    peer(h2, "sit", "gue", "gue", "2001:db8:1::2/64")
    files = {
        "port.netdev": port_file("GenericUDPEncapsulation", ""),
        "tunnel.netdev": tunnel_file("sit", "GenericUDPEncapsulation"),
        "tunnel.network": ADDRESS_FILE.format("2001:db8:1::1/64"),
    }
    with networkd(h1, tmp_path, files) as log:
        if module == "fou":
            refusal = "port: netdev could not be created: Numerical result out of range"
            wait_until(lambda: refusal in log.read_text(), "Linux's fou refuses the port")
            assert fou.dump() == []
            return
        port = opened(h1, fou, "2001:db8:1::1")
        assert port[nl.TYPE] == nl.u8(nl.GUE)
        assert port[nl.IPPROTO] == nl.u8(0)
        assert ping(h1, "2001:db8:1::2") == BOTH_WAYS
