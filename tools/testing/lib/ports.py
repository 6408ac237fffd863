# SPDX-License-Identifier: GPL-2.0
"""The family `rfou`: ports with counters, and notifications (Documentation/netlink/rfou.yaml)."""

import socket
import struct

from testing.lib.netlink import (
    NLM_F_ACK,
    NLM_F_DUMP,
    SOL_NETLINK,
    GenericNetlink,
    attribute,
    be16,
    parse_attributes,
    u8,
)

PORT_GET, PORT_ADD, PORT_DEL, PORT_ADDED, PORT_DELETED = 1, 2, 3, 4, 5
FAMILY, PORT, ENCAP, PROTOCOL, REMCSUM_NOPARTIAL = 1, 2, 3, 4, 5
LOCAL_V4, LOCAL_V6, PEER_V4, PEER_V6, PEER_PORT, IFINDEX, COUNTERS = 6, 7, 8, 9, 10, 11, 12
RX_PACKETS, RX_BYTES, DROPS, DROP = 1, 2, 3, 4
REASON, PACKETS = 1, 2
FOU, GUE = 1, 2
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400

CTRL_ATTR_MCAST_GROUPS = 7
CTRL_ATTR_MCAST_GRP_NAME, CTRL_ATTR_MCAST_GRP_ID = 1, 2
NETLINK_ADD_MEMBERSHIP = 1


def number(value):
    """Returns a number of 32 or 64 bits."""
    return int.from_bytes(value, "little")


class Counters:
    """A port's counters."""

    def __init__(self, value):
        at = parse_attributes(value)
        self.packets, self.bytes, self.dropped = (
            number(dict(at)[kind]) for kind in (RX_PACKETS, RX_BYTES, DROPS)
        )
        self.drops = {}
        for kind, nest in at:
            if kind == DROP:
                drop = dict(parse_attributes(nest))
                self.drops[drop[REASON].rstrip(b"\0").decode()] = number(drop[PACKETS])
        assert sum(self.drops.values()) == self.dropped, "the counts by reason do not add up"

    def all(self):
        """Returns every number by its name."""
        return {"packets": self.packets, "bytes": self.bytes, "dropped": self.dropped, **self.drops}


class Port:
    """A port as a message describes it: `attributes`, with the counters taken out."""

    def __init__(self, payload):
        self.attributes = dict(parse_attributes(payload[4:]))
        self.counters = Counters(self.attributes.pop(COUNTERS))

    @property
    def number(self):
        """The UDP port."""
        return struct.unpack("!H", self.attributes[PORT])[0]


def gue(port, version=4):
    """Returns the attributes of a GUE port."""
    return (PORT, be16(port)), family(version), (ENCAP, u8(GUE))


def fou(port, protocol=4, version=4):
    """Returns the attributes of a FOU port."""
    return (PORT, be16(port)), family(version), (PROTOCOL, u8(protocol))


def key(port, version=4):
    """Returns the attributes that name a port."""
    return (PORT, be16(port)), family(version)


def family(version):
    """Returns the attribute with the address family of an IP version."""
    return FAMILY, u8(socket.AF_INET6 if version == 6 else socket.AF_INET)


class Rfou(GenericNetlink):
    """The family `rfou`."""

    def __init__(self):
        super().__init__("rfou")

    def add(self, *attributes, flags=0):
        """Adds a port."""
        payload = b"".join(attribute(*pair) for pair in attributes)
        self.call(self.family, PORT_ADD, payload, NLM_F_ACK | flags)

    def delete(self, *attributes):
        """Deletes a port."""
        self.do(PORT_DEL, *attributes)

    def get(self, *attributes):
        """Returns one port."""
        [reply] = self.do(PORT_GET, *attributes)
        return Port(reply)

    def counters(self, port, version=4):
        """Returns the counters of a port."""
        return self.get(*key(port, version)).counters

    def dump(self, payload=b""):
        """Returns all ports."""
        return [Port(reply) for reply in self.call(self.family, PORT_GET, payload, NLM_F_DUMP)]


class Listener(Rfou):
    """A member of the group `ports`."""

    def __init__(self):
        super().__init__()
        groups = {}
        for _, value in parse_attributes(self.about[CTRL_ATTR_MCAST_GROUPS]):
            group = dict(parse_attributes(value))
            name = group[CTRL_ATTR_MCAST_GRP_NAME].rstrip(b"\0").decode()
            groups[name] = number(group[CTRL_ATTR_MCAST_GRP_ID])
        self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, groups["ports"])

    def receive(self, timeout=5):
        """Returns the command and the port of the next notification, or None if none comes."""
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            return None
        length, kind, _, sequence, portid = struct.unpack_from("=IHHII", data)
        assert (length, kind, sequence, portid) == (len(data), self.family, 0, 0)
        return data[16], Port(data[16:])
