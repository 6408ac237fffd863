# SPDX-License-Identifier: GPL-2.0
"""An NFQUEUE, in which packets wait for a verdict from this process."""

import socket
import struct

from testing.lib import netlink as nl

NETLINK_NETFILTER = 12
NFNL_SUBSYS_QUEUE = 3
NFQNL_MSG_PACKET, NFQNL_MSG_VERDICT, NFQNL_MSG_CONFIG = 0, 1, 2
NFQA_PACKET_HDR = 1
NFQA_VERDICT_HDR = 2
NFQA_CFG_CMD, NFQA_CFG_PARAMS = 1, 2
NFQNL_CFG_CMD_BIND = 1
NFQNL_COPY_META = 1
NF_ACCEPT = 1


class Queue:
    """Binds a queue by number, in the caller's network namespace."""

    def __init__(self, number):
        self.number = number
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.bind((0, 0))
        self.socket.settimeout(10)
        for attribute in (
            nl.attribute(NFQA_CFG_CMD, struct.pack("!BxH", NFQNL_CFG_CMD_BIND, 0)),
            nl.attribute(NFQA_CFG_PARAMS, struct.pack("!IB", 0, NFQNL_COPY_META)),
        ):
            self._send(NFQNL_MSG_CONFIG, attribute)

    def packet(self):
        """Waits for the next packet; returns its number."""
        data = self.socket.recv(1 << 16)
        length, kind = struct.unpack_from("=IH", data)
        assert kind == NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET
        header = dict(nl.parse_attributes(data[20:length]))[NFQA_PACKET_HDR]
        return int.from_bytes(header[:4], "big")

    def accept(self, packet):
        """Accepts a packet; returns when the stack has processed it."""
        verdict = struct.pack("!II", NF_ACCEPT, packet)
        self._send(NFQNL_MSG_VERDICT, nl.attribute(NFQA_VERDICT_HDR, verdict))

    def _send(self, message, attribute):
        body = struct.pack("!BBH", socket.AF_UNSPEC, 0, self.number) + attribute
        kind = NFNL_SUBSYS_QUEUE << 8 | message
        flags = nl.NLM_F_REQUEST | nl.NLM_F_ACK
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body)
        answer = self.socket.recv(1 << 16)
        error = struct.unpack_from("=IHHIIi", answer)[5]
        if error:
            raise nl.NetlinkError(-error, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
