# SPDX-License-Identifier: GPL-2.0
"""The values of GUE headers, for the peer in gue_peer."""

import dataclasses
import ipaddress
import struct

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

PORT = 6080


@dataclasses.dataclass(frozen=True)
class Outer:
    """The outer addresses, as text, and the UDP ports."""

    source: str
    destination: str
    sport: int = 50000
    dport: int = PORT

    def addresses(self):
        """Returns both addresses as bytes."""
        both = (self.source, self.destination)
        return b"".join(ipaddress.ip_address(address).packed for address in both)

    def pseudo_header(self):
        """Returns the values of the outer headers that the GUE checksum covers."""
        return self.addresses() + struct.pack("!HH", self.sport, self.dport)

    def packet(self, payload, udp_checksum=True):
        """Returns the IP packet of a GUE header and its payload."""
        ip = IPv6 if ":" in self.source else IP
        udp = UDP(sport=self.sport, dport=self.dport)
        if not udp_checksum:
            udp.chksum = 0
        return ip(src=self.source, dst=self.destination) / udp / payload


@dataclasses.dataclass(frozen=True)
class Hmac:
    """A keyed hash: its key's id, and the part of the payload that it covers."""

    key_id: int
    offset: int = 0
    length: int = 0


@dataclasses.dataclass(frozen=True)
class Fragment:
    """The offset of a fragment in bytes, and the protocol and identification of the packet."""

    offset: int
    more: bool
    proto: int
    ident: int


@dataclasses.dataclass(frozen=True)
class Transform:
    """A payload transform: its type, and the protocol of the payload without it."""

    kind: int
    proto: int
    info: int = 0


@dataclasses.dataclass(frozen=True)
class Header:
    """The values of a GUE header. None: the header lacks the field."""

    proto: int = 4
    control: bool = False
    group: int | None = None
    cookie: bytes | None = None
    hmac: Hmac | None = None
    fragment: Fragment | None = None
    transform: Transform | None = None
    # Start and offset.
    remcsum: tuple[int, int] | None = None
    # Covered bytes of the payload.
    checksum: int | None = None
    nat: bool = False
    # Covered bytes of the payload.
    crc: int | None = None
    # Linux's form of a remote checksum: start and offset, or () for a word without flags.
    linux: tuple[int, int] | tuple[()] | None = None
    surplus: bytes = b""


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Values that both ends have configured: accepted cookies and keys, demanded fields."""

    cookies: tuple[bytes, ...] = ()
    keys: dict[int, bytes] = dataclasses.field(default_factory=dict)
    # Demanded coverage of keyed hashes: a number of bytes, or None for any.
    coverage: int | None = None
    checksum: bool = False
    crc: bool = False
