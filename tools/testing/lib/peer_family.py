# SPDX-License-Identifier: GPL-2.0
"""The generic netlink family `gue` as bytes: peers of gue devices, pings, notifications."""

import contextlib
import ipaddress
import struct

from testing.lib import netlink as nl
from testing.lib.gue_keys import IFINDEX, IFNAME, ifname
from testing.lib.ports import (
    CTRL_ATTR_MCAST_GROUPS,
    CTRL_ATTR_MCAST_GRP_ID,
    CTRL_ATTR_MCAST_GRP_NAME,
    NETLINK_ADD_MEMBERSHIP,
    number,
)

PEER_GET, PING, PONG, PEER_MOVED, PEER_DEAD, PEER_ALIVE = range(4, 10)
REMOTE4, REMOTE6, REMOTE_PORT, ALIVE = 8, 9, 10, 11
SEQUENCE, PAD = 20, 21
NUMBERS = {
    "last_heard": 12,
    "rtt": 13,
    "moves": 14,
    "replays": 15,
    "auth_failures": 16,
    "requests": 17,
    "replies": 18,
    "limited": 19,
    "sequence": SEQUENCE,
}
NAMES = {value: name for name, value in NUMBERS.items()}


def shown(message):
    """Returns the attributes that a message has, by name."""
    values = {}
    for attribute, value in nl.parse_attributes(message[4:]):
        if attribute == IFINDEX:
            values["ifindex"] = struct.unpack("=I", value)[0]
        elif attribute == IFNAME:
            values["device"] = value.rstrip(b"\0").decode()
        elif attribute in (REMOTE4, REMOTE6):
            assert len(value) == (4 if attribute == REMOTE4 else 16)
            values["remote"] = str(ipaddress.ip_address(value))
        elif attribute == REMOTE_PORT:
            values["port"] = int.from_bytes(value, "big")
        elif attribute == ALIVE:
            values["alive"] = bool(value[0])
        elif attribute in NAMES:
            values[NAMES[attribute]] = struct.unpack("=Q", value)[0]
        else:
            assert attribute == PAD, f"an unknown attribute {attribute}"
    return values


class GuePeers(nl.GenericNetlink):
    """A socket of the family in a host, or in the caller's namespace."""

    def __init__(self, host=None):
        with host.inside() if host else contextlib.nullcontext():
            super().__init__("gue")

    def get(self, device):
        """Returns a device's peer: the attributes of the answer, by name."""
        [reply] = self.do(PEER_GET, ifname(device))
        return shown(reply)

    def dump(self):
        """Returns the peers of the namespace's devices, by the devices' names."""
        replies = self.call(self.family, PEER_GET, b"", flags=nl.NLM_F_DUMP)
        peers = [shown(reply) for reply in replies]
        named = {peer["device"]: peer for peer in peers}
        assert len(named) == len(peers), "a device is shown twice"
        return named

    def ping(self, device):
        """Has a device ping its peer; returns the request's sequence number. Ignores the answer."""
        replies = self.do(PING, ifname(device))
        [reply] = [reply for reply in replies if reply[0] == PING]
        return shown(reply)["sequence"]

    def rtt(self, device, timeout=5.0):
        """Has a device ping its peer; returns the answer, or None if none comes in time."""
        self.sequence += 1
        body = struct.pack("=BBH", PING, 1, 0) + nl.attribute(*ifname(device))
        flags = nl.NLM_F_REQUEST | nl.NLM_F_ACK
        head = struct.pack("=IHHII", 16 + len(body), self.family, flags, self.sequence, 0)
        self.socket.send(head + body)
        self.socket.settimeout(timeout)
        asked, pongs, is_acknowledged = None, {}, False
        try:
            while not is_acknowledged or asked not in pongs:
                for kind, content in messages(self.socket.recv(1 << 16)):
                    if kind == nl.NLMSG_ERROR:
                        errno = -struct.unpack_from("=i", content)[0]
                        if errno:
                            raise nl.NetlinkError(errno, None)
                        is_acknowledged = True
                    elif content[0] == PING:
                        asked = shown(content)["sequence"]
                    elif content[0] == PONG:
                        pong = shown(content)
                        pongs[pong["sequence"]] = pong
        except (TimeoutError, BlockingIOError):
            return None
        finally:
            self.socket.settimeout(10)
        return pongs[asked]


def messages(data):
    """Yields the type and the content of each message in a buffer."""
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]


class PeerListener(GuePeers):
    """A member of the group `peers`."""

    def __init__(self, host=None):
        super().__init__(host)
        groups = {}
        for _, value in nl.parse_attributes(self.about[CTRL_ATTR_MCAST_GROUPS]):
            group = dict(nl.parse_attributes(value))
            name = group[CTRL_ATTR_MCAST_GRP_NAME].rstrip(b"\0").decode()
            groups[name] = number(group[CTRL_ATTR_MCAST_GRP_ID])
        self.socket.setsockopt(nl.SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, groups["peers"])
        self.waiting = []

    def receive(self, timeout=5.0):
        """Returns the command and the peer of the next notification, or None if none comes."""
        self.socket.settimeout(timeout)
        if not self.waiting:
            try:
                data = self.socket.recv(1 << 16)
            except (TimeoutError, BlockingIOError):
                return None
            self.waiting = [(content[0], shown(content)) for _, content in messages(data)]
        return self.waiting.pop(0)
