# SPDX-License-Identifier: GPL-2.0
"""A datapath of Open vSwitch, driven by netlink without any program of Open vSwitch."""

import ipaddress
import socket
import struct

from testing.lib import netlink as nl
from testing.lib.hosts import run

NEW, DEL, EXECUTE = 1, 2, 3
# Attributes of datapaths, ports, packets, actions, userspace actions and keys.
DP_NAME, DP_UPCALL_PID, DP_USER_FEATURES = 1, 2, 5
PORT_NUMBER, PORT_TYPE, PORT_NAME, PORT_UPCALL_PID = 1, 2, 3, 5
PACKET, PACKET_KEY, PACKET_ACTIONS, PACKET_EGRESS_TUNNEL = 1, 2, 3, 5
ACTION_USERSPACE, ACTION_SET = 2, 3
USERSPACE_PID, USERSPACE_EGRESS_PORT = 1, 3
KEY_IN_PORT, KEY_TUNNEL = 3, 16
TUNNEL_ID, TUNNEL_SRC4, TUNNEL_DST4, TUNNEL_TTL = 0, 1, 2, 4
TUNNEL_SOURCE_PORT, TUNNEL_TARGET_PORT, TUNNEL_SRC6, TUNNEL_DST6 = 9, 10, 12, 13
NETDEV = 1


def u32(number):
    """Returns a number in host order."""
    return struct.pack("=I", number)


def nest(*attributes):
    """Returns attributes packed as the value of a nested attribute."""
    return b"".join(nl.attribute(number, value) for number, value in attributes)


class Family(nl.GenericNetlink):
    """A family whose messages name a datapath first."""

    def __init__(self, name, version=1):
        super().__init__(name)
        self.version = version

    def ask(self, command, datapath, *attributes):
        """Sends a request to a datapath."""
        payload = struct.pack("=i", datapath) + nest(*attributes)
        return self.call(self.family, command, payload, version=self.version)


class Datapath:
    """A datapath `ovs0` in a host, whose packets come to this process."""

    def __init__(self, host):
        self.host = host
        run("modprobe", "openvswitch")
        with host.inside():
            self.families = [
                Family("ovs_datapath", 2),
                Family("ovs_vport"),
                Family("ovs_packet"),
            ]
            self.upcalls = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nl.NETLINK_GENERIC)
        self.upcalls.bind((0, 0))
        self.upcalls.settimeout(10)
        self.pid = u32(self.upcalls.getsockname()[0])
        self.families[0].ask(
            NEW, 0, (DP_NAME, b"ovs0\0"), (DP_UPCALL_PID, self.pid), (DP_USER_FEATURES, u32(1))
        )
        self.number = int(host.link("ovs0")["ifindex"])

    def add_port(self, number, device):
        """Makes a device a port."""
        self.families[1].ask(
            NEW,
            self.number,
            (PORT_NUMBER, u32(number)),
            (PORT_TYPE, u32(NETDEV)),
            (PORT_NAME, device.encode() + b"\0"),
            (PORT_UPCALL_PID, self.pid),
        )

    def egress_tunnel(self, frame, port, target, key):
        """Returns the outer headers of a frame that would leave by a port through a tunnel.

        Returns None if the port's device does not fill them in.
        """
        to = TUNNEL_DST4 if target.version == 4 else TUNNEL_DST6
        tunnel = nest((TUNNEL_ID, struct.pack("!Q", key)), (to, target.packed), (TUNNEL_TTL, b"@"))
        actions = nest(
            (ACTION_SET, nest((KEY_TUNNEL, tunnel))),
            (ACTION_USERSPACE, nest((USERSPACE_PID, self.pid), (USERSPACE_EGRESS_PORT, u32(port)))),
        )
        self.families[2].ask(
            EXECUTE,
            self.number,
            (PACKET, frame),
            (PACKET_KEY, nest((KEY_IN_PORT, u32(0)))),
            (PACKET_ACTIONS, actions),
        )
        while True:
            upcall = dict(nl.parse_attributes(self.upcalls.recv(1 << 17)[24:]))
            # Packets that the host itself sends come here, too.
            if upcall[PACKET][:14] == frame[:14]:
                break
        if PACKET_EGRESS_TUNNEL not in upcall:
            return None
        found = dict(nl.parse_attributes(upcall[PACKET_EGRESS_TUNNEL]))
        source, to = (
            (TUNNEL_SRC4, TUNNEL_DST4) if target.version == 4 else (TUNNEL_SRC6, TUNNEL_DST6)
        )
        return {
            "source": source in found and ipaddress.ip_address(found[source]),
            "target": ipaddress.ip_address(found[to]),
            "source_port": int.from_bytes(found.get(TUNNEL_SOURCE_PORT, b""), "big"),
            "target_port": int.from_bytes(found.get(TUNNEL_TARGET_PORT, b""), "big"),
            "key": int.from_bytes(found[TUNNEL_ID], "big"),
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.families[0].ask(DEL, self.number)
        for family in self.families:
            family.close()
        self.upcalls.close()
