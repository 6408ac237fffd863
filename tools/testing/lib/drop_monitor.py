# SPDX-License-Identifier: GPL-2.0
"""Drop reasons as dropwatch sees them: the netlink family NET_DM."""

import contextlib
import socket
import struct

from testing.lib.netlink import SOL_NETLINK, GenericNetlink, parse_attributes

CTRL_ATTR_MCAST_GROUPS, CTRL_ATTR_MCAST_GRP_ID = 7, 2
NETLINK_ADD_MEMBERSHIP, NETLINK_NO_ENOBUFS = 1, 5
SO_RCVBUFFORCE = 33
PACKET_ALERT, CONFIG, START, STOP = 5, 2, 3, 4
ALERT_MODE, PAYLOAD, REASON = 1, 7, 23
ALERT_MODE_PACKET = b"\x01"


class DropMonitor(GenericNetlink):
    """Reports the packets dropped in any namespace from now on."""

    def __init__(self):
        super().__init__("NET_DM")
        self.do(CONFIG, (ALERT_MODE, ALERT_MODE_PACKET))
        [(_, group)] = parse_attributes(self.about[CTRL_ATTR_MCAST_GROUPS])
        [number] = struct.unpack("=I", dict(parse_attributes(group))[CTRL_ATTR_MCAST_GRP_ID])
        self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, number)
        # A full buffer is no error, because a test waits for its own packets only.
        self.socket.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        # Room for drops that no test reads.
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self.do(START)

    def drop_for(self, wanted, timeout=5.0):
        """Returns the next dropped packet that `wanted(packet)` accepts, and its reason."""
        self.socket.settimeout(timeout)
        while True:
            data = self.socket.recv(1 << 16)
            attributes = dict(parse_attributes(data[20:]))
            packet = attributes.get(PAYLOAD, b"")
            if wanted(packet):
                return packet, attributes[REASON].rstrip(b"\0").decode()

    def drops_for(self, wanted, timeout=2.0):
        """Returns drops as `drop_for` would, until none comes for `timeout` seconds."""
        drops = []
        with contextlib.suppress(TimeoutError):
            while True:
                drops.append(self.drop_for(wanted, timeout))
        return drops

    def reason_for(self, wanted, timeout=5.0):
        """Returns the reason of the next drop that `drop_for` would return."""
        return self.drop_for(wanted, timeout)[1]

    def reasons_for(self, wanted, timeout=2.0):
        """Returns the reasons of the drops that `drops_for` would return."""
        return [reason for _, reason in self.drops_for(wanted, timeout)]

    def close(self):
        """Ends the reports."""
        # Through another socket, because the buffer of this one may be full.
        super().close()
        control = GenericNetlink("NET_DM")
        control.do(STOP)
        control.close()
