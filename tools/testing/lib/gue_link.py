# SPDX-License-Identifier: GPL-2.0
"""Links of kind `gue` as bytes: `ip` needs a plug-in for them, and sends only valid messages."""

import ipaddress
import os
import socket
import struct

from testing.lib import netlink as nl

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_LINKINFO, IFLA_NET_NS_FD = 3, 4, 5, 18, 28
IFLA_LINK_NETNSID = 37
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
NLMSGERR_ATTR_OFFS = 2
IFF_UP = 1

ATTRIBUTES = {
    "id": 1,
    "remote": 2,
    "remote6": 3,
    "local": 4,
    "local6": 5,
    "link": 6,
    "port": 7,
    "dport": 8,
    "sport": 9,
    "sport_range": 10,
    "mode": 11,
    "variant": 12,
    "external": 13,
    "ttl": 14,
    "ttl_inherit": 15,
    "tos": 16,
    "tos_inherit": 17,
    "df": 18,
    "flowlabel": 19,
    "udp_csum": 20,
    "udp_zero_csum6_tx": 21,
    "udp_zero_csum6_rx": 22,
    "remcsum": 23,
    "auth": 24,
    "cover": 25,
    "headercsum": 26,
    "headercsum_cover": 27,
    "crc": 28,
    "crc_cover": 29,
    "fragment": 30,
    "fragment_size": 31,
    "keepalive": 32,
    "dead": 33,
    "roaming": 34,
}
NAMES = {number: name for name, number in ATTRIBUTES.items()}
REMCSUM_DRAFT, REMCSUM_LINUX = 1, 2
COOKIE8, COOKIE16, COOKIE32, HMAC = 1, 2, 3, 4
# A coverage of the whole payload.
ALL = 65535
DF_UNSET, DF_SET, DF_INHERIT = 0, 1, 2


ADDRESSES = ("remote", "remote6", "local", "local6")
# The formats of numbers; others have one byte.
FORMATS = {
    "id": "=I",
    "link": "=I",
    "port": "!H",
    "dport": "!H",
    "sport": "!H",
    "sport_range": "!HH",
    "flowlabel": "!I",
    "cover": "=H",
    "headercsum_cover": "=H",
    "crc_cover": "=H",
    "fragment_size": "=H",
    "keepalive": "=H",
    "dead": "=H",
    "external": "",
}


def encode(name, value):
    """Returns the bytes of an attribute's value. Bytes stay as they are."""
    if isinstance(value, bytes):
        return value
    if name in ADDRESSES:
        return ipaddress.ip_address(value).packed
    if name == "external":
        return b""
    return struct.pack(FORMATS.get(name, "=B"), *(value if isinstance(value, tuple) else [value]))


def decode(name, value):
    """Does the reverse of `encode`."""
    if name in ADDRESSES:
        return str(ipaddress.ip_address(value))
    numbers = struct.unpack(FORMATS.get(name, "=B"), value)
    return numbers[0] if len(numbers) == 1 else numbers


def encode_all(options):
    """Returns `IFLA_INFO_DATA` for options by the names in `ATTRIBUTES`, or by number ("30")."""
    data = b""
    for name, value in options.items():
        number = ATTRIBUTES.get(name) or int(name)
        if name == "remote" and isinstance(value, str) and ":" in value:
            number = ATTRIBUTES["remote6"]
        if name == "local" and isinstance(value, str) and ":" in value:
            number = ATTRIBUTES["local6"]
        data += nl.attribute(number, encode(name, value))
    return data


class RouteNetlink:
    """A socket of route netlink in the caller's namespace."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.socket.bind((0, 0))
        self.socket.setsockopt(nl.SOL_NETLINK, nl.NETLINK_EXT_ACK, 1)
        self.socket.setsockopt(nl.SOL_NETLINK, nl.NETLINK_GET_STRICT_CHK, 1)
        self.socket.settimeout(30)
        self.sequence = 0

    def call(self, kind, body, flags=nl.NLM_F_ACK):
        """Sends a message; returns the payloads of the answers. Raises `NetlinkError`."""
        self.sequence += 1
        head = struct.pack(
            "=IHHII", 16 + len(body), kind, nl.NLM_F_REQUEST | flags, self.sequence, 0
        )
        self.socket.send(head + body)
        answers = []
        while True:
            data = self.socket.recv(1 << 17)
            while len(data) >= 16:
                length, answer, answer_flags, sequence, _ = struct.unpack_from("=IHHII", data)
                content, data = data[16:length], data[(length + 3) & ~3 :]
                if sequence != self.sequence:
                    continue
                if answer in (nl.NLMSG_ERROR, nl.NLMSG_DONE):
                    number = -struct.unpack_from("=i", content)[0]
                    if number > 0:
                        raise nl.NetlinkError(
                            number, nl.GenericNetlink.reason(content, answer, answer_flags)
                        )
                    return answers
                answers.append(content)

    def change_link(self, name, flags, data, index=0, up=None, kind="gue", **more):
        """Sends `RTM_NEWLINK` for a link of a kind, with the bytes of its `IFLA_INFO_DATA`."""
        change = IFF_UP if up is not None else 0
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, change if up else 0, change)
        if name is not None:
            body += nl.attribute(IFLA_IFNAME, name.encode() + b"\0")
        if more.get("mtu") is not None:
            body += nl.attribute(IFLA_MTU, struct.pack("=I", more["mtu"]))
        if more.get("netns") is not None:
            body += nl.attribute(IFLA_NET_NS_FD, struct.pack("=I", more["netns"]))
        if more.get("link_netnsid") is not None:
            body += nl.attribute(IFLA_LINK_NETNSID, struct.pack("=i", more["link_netnsid"]))
        info = nl.attribute(IFLA_INFO_KIND, kind.encode() + b"\0")
        if data is not None:
            info += nl.attribute(IFLA_INFO_DATA, data)
        body += nl.attribute(IFLA_LINKINFO, info)
        self.call(RTM_NEWLINK, body, nl.NLM_F_ACK | flags)

    def close(self):
        """Closes the socket."""
        self.socket.close()


class GueLinks:
    """Makes, changes, shows and deletes links of kind `gue` in a host.

    Options have the names in `ATTRIBUTES`: `add("gue0", remote="192.0.2.2", id=7)`. An IPv6 address
    as remote or local gets the attribute for IPv6.
    """

    def __init__(self, host=None):
        if host is None:
            self.netlink = RouteNetlink()
        else:
            with host.inside():
                self.netlink = RouteNetlink()

    def add(self, name, *, up=False, mtu=None, netns=None, link_netnsid=None, **options):
        """Makes a link. `netns` is a file of the namespace that the device is made in."""
        self.netlink.change_link(
            name,
            NLM_F_CREATE | NLM_F_EXCL,
            encode_all(options),
            up=up or None,
            mtu=mtu,
            netns=netns,
            link_netnsid=link_netnsid,
        )

    def set(self, name, **options):
        """Changes a link."""
        self.netlink.change_link(name, 0, encode_all(options))

    def up(self, name, up=True):
        """Sets a link up or down."""
        self.netlink.change_link(name, 0, None, up=up)

    def delete(self, name):
        """Deletes a link."""
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
        self.netlink.call(RTM_DELLINK, body + nl.attribute(IFLA_IFNAME, name.encode() + b"\0"))

    def attributes(self, name):
        """Returns all attributes of a link: (number, bytes)."""
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
        body += nl.attribute(IFLA_IFNAME, name.encode() + b"\0")
        [answer] = self.netlink.call(RTM_GETLINK, body)
        return nl.parse_attributes(answer[16:])

    def show(self, name):
        """Returns the options of a link, by their names; addresses as `remote` and `local`."""
        info = dict(nl.parse_attributes(dict(self.attributes(name))[IFLA_LINKINFO]))
        shown = {}
        pairs = nl.parse_attributes(info[IFLA_INFO_DATA])
        assert len(dict(pairs)) == len(pairs), "an attribute is shown twice"
        for number, value in pairs:
            shown[NAMES[number]] = decode(NAMES[number], value)
        for name6 in ("remote6", "local6"):
            if name6 in shown:
                shown[name6.rstrip("6")] = shown.pop(name6)
        return shown

    def mtu(self, name):
        """Returns a link's MTU."""
        return struct.unpack("=I", dict(self.attributes(name))[IFLA_MTU])[0]

    def close(self):
        """Closes the socket."""
        self.netlink.close()


def netns_file(host):
    """Opens a host's namespace, for `netns`."""
    return os.open(f"/run/netns/{host.name}", os.O_RDONLY)
