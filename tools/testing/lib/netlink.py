# SPDX-License-Identifier: GPL-2.0
"""Generic netlink and the family `fou` as bytes: pyroute2 and `ip` send only valid messages."""

import errno
import os
import socket
import struct

NETLINK_GENERIC = 16
SOL_NETLINK = 270
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x01
NLM_F_ACK = 0x04
NLM_F_DUMP = 0x300
NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200
NLMSGERR_ATTR_MSG = 1
GENL_ID_CTRL = 16
CTRL_CMD_GETFAMILY = 3
CTRL_ATTR_FAMILY_ID = 1
CTRL_ATTR_FAMILY_NAME = 2

ADD, DEL, GET = 1, 2, 3
PORT, AF, IPPROTO, TYPE, REMCSUM_NOPARTIAL = 1, 2, 3, 4, 5
LOCAL_V4, LOCAL_V6, PEER_V4, PEER_V6, PEER_PORT, IFINDEX = 6, 7, 8, 9, 10, 11
DIRECT, GUE = 1, 2


def be16(number):
    """Returns a 16-bit big-endian attribute value, such as a port number."""
    return struct.pack("!H", number)


def u8(number):
    """Returns an 8-bit attribute value."""
    return bytes([number])


def s32(number):
    """Returns a signed 32-bit attribute value."""
    return struct.pack("=i", number)


def v4(address):
    """Returns an IPv4 address as an attribute value."""
    return socket.inet_pton(socket.AF_INET, address)


def v6(address):
    """Returns an IPv6 address as an attribute value."""
    return socket.inet_pton(socket.AF_INET6, address)


def attribute(number, value):
    """Returns an attribute: header, value, padding."""
    return struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)


def parse_attributes(data):
    """Returns the attributes in a message's payload as (number, bytes) pairs, in order."""
    found = []
    while len(data) >= 4:
        length, number = struct.unpack_from("=HH", data)
        assert length >= 4, "an attribute is at least its own header"
        found.append((number & 0x3FFF, data[4:length]))
        data = data[(length + 3) & ~3 :]
    return found


class NetlinkError(OSError):
    """The kernel refused a request: the error number, and the reason if the kernel gave one."""

    def __init__(self, number, reason):
        super().__init__(number, reason or os.strerror(number))
        self.reason = reason

    def __str__(self):
        return f"{errno.errorcode.get(self.errno, self.errno)}: {self.reason}"


class GenericNetlink:
    """A netlink socket for one family of generic netlink."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.socket.bind((0, 0))
        self.socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.socket.settimeout(10)
        self.sequence = 0
        request = attribute(CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0")
        [reply] = self.call(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, request)
        self.about = dict(parse_attributes(reply[4:]))
        self.family = struct.unpack("=H", self.about[CTRL_ATTR_FAMILY_ID])[0]

    def call(self, kind, command, payload, flags=NLM_F_ACK, version=1):
        """Sends a message; returns the payloads of the answers. Raises `NetlinkError`."""
        self.sequence += 1
        body = struct.pack("=BBH", command, version, 0) + payload
        header = struct.pack(
            "=IHHII", 16 + len(body), kind, NLM_F_REQUEST | flags, self.sequence, 0
        )
        self.socket.send(header + body)
        answers = []
        while True:
            data = self.socket.recv(1 << 17)
            while len(data) >= 16:
                length, answer, answer_flags, sequence, _ = struct.unpack_from("=IHHII", data)
                content, data = data[16:length], data[(length + 3) & ~3 :]
                if sequence != self.sequence:
                    continue
                if answer in (NLMSG_ERROR, NLMSG_DONE):
                    number = -struct.unpack_from("=i", content)[0]
                    if number > 0:
                        raise NetlinkError(number, self.reason(content, answer, answer_flags))
                    return answers
                answers.append(content)

    @staticmethod
    def reason(content, answer, flags):
        """Returns the text of an error message, or None."""
        if not flags & NLM_F_ACK_TLVS:
            return None
        skip = 4
        if answer == NLMSG_ERROR:
            skip += 16
            if not flags & NLM_F_CAPPED:
                skip += (struct.unpack_from("=I", content, 4)[0] + 3 & ~3) - 16
        values = dict(parse_attributes(content[skip:]))
        text = values.get(NLMSGERR_ATTR_MSG)
        return text.rstrip(b"\0").decode() if text else None

    def do(self, command, *attributes):
        """Sends a command with attributes as (number, bytes) pairs."""
        payload = b"".join(attribute(number, value) for number, value in attributes)
        return self.call(self.family, command, payload)

    def do_raw(self, command, payload):
        """Sends a command with any bytes after its header."""
        return self.call(self.family, command, payload)

    def close(self):
        """Closes the socket."""
        self.socket.close()


class Fou(GenericNetlink):
    """The family `fou`."""

    def __init__(self):
        super().__init__("fou")

    def add(self, *attributes):
        """Adds a port."""
        self.do(ADD, *attributes)

    def delete(self, *attributes):
        """Deletes a port."""
        self.do(DEL, *attributes)

    def get(self, *attributes):
        """Returns the attributes of one port, in the order of the answer."""
        [reply] = self.do(GET, *attributes)
        return parse_attributes(reply[4:])

    def dump_raw(self):
        """Dumps all ports; returns each message as it came."""
        return self.call(self.family, GET, b"", flags=NLM_F_DUMP)

    def dump(self):
        """Dumps all ports; returns a list of each port's attributes."""
        return [parse_attributes(reply[4:]) for reply in self.dump_raw()]

    def delete_all(self):
        """Deletes each port by the attributes that the dump shows."""
        for port in self.dump():
            # Linux's fou shows protocol 0 for a GUE port, and refuses it in a request.
            self.delete(*(pair for pair in port if pair[0] != IPPROTO))
