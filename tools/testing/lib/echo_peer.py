# SPDX-License-Identifier: GPL-2.0
"""A second implementation of rfou's control messages: the other end of a gue device.

Uses an ordinary UDP socket and gue_peer, and no code of the module.
"""

import dataclasses
import socket
import time

from testing.lib import gue_peer
from testing.lib.gue_values import PORT, Agreement, Header, Hmac, Outer

REQUEST, REPLY = 1, 2
EXPERIMENT = 255
LENGTH = 24
# The keyed hash covers zeros in place of addresses that a NAT may change.
NO_ADDRESS = {4: "0.0.0.0", 6: "::"}


@dataclasses.dataclass(frozen=True)
class Terms:
    """The agreement of both ends. Without `nat`, one key may serve both directions."""

    group: int | None = None
    cookie: bytes = b""
    # Keys by the direction of the Python peer's packets: their number and secret.
    send: tuple[int, bytes] | None = None
    accept: tuple[int, bytes] | None = None
    nat: bool = False

    def header(self, length=LENGTH):
        """Returns the header of a control message of this end."""
        return Header(
            proto=EXPERIMENT,
            control=True,
            group=self.group,
            cookie=self.cookie or None,
            hmac=Hmac(self.send[0], 0, length) if self.send else None,
        )

    def agreement(self):
        """Returns the cookie, key and coverage that the other end's packets must have."""
        return Agreement(
            cookies=(self.cookie,) if self.cookie else (),
            keys=dict([self.accept]) if self.accept else {},
            # A control message is covered as a whole.
            coverage=0xFFFF,
        )

    def outer(self, outer):
        """Returns the outer values as the keyed hash sees them."""
        if not self.nat:
            return outer
        nobody = NO_ADDRESS[6 if ":" in outer.source else 4]
        return dataclasses.replace(outer, source=nobody, destination=nobody)


def shared(number, secret, group=None):
    """Returns terms with one key for both directions."""
    return Terms(group=group, send=(number, secret), accept=(number, secret))


@dataclasses.dataclass(frozen=True)
class Message:
    """A control message as it came, and its sender."""

    kind: int
    sequence: int
    token: int
    sender: tuple[str, int]
    # The whole UDP payload.
    data: bytes


class EchoPeer:
    """A peer with a UDP socket in a host."""

    def __init__(self, host, address, remote, terms=None, port=PORT):
        self.address, self.port, self.remote = address, port, remote
        self.terms = terms or Terms()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with host.inside():
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        # The last sequence number. The clock makes the first one higher than any earlier peer's.
        self.last = 0
        # Offset of this peer's clock, in nanoseconds.
        self.clock = 0

    def sequence(self):
        """Returns the next sequence number."""
        self.last = max(self.last + 1, time.time_ns() + self.clock)
        return self.last

    def message(self, kind, token, sequence=None, outer=None, terms=None):
        """Returns the UDP payload of a control message from here, or from other addresses."""
        terms = terms or self.terms
        sequence = self.sequence() if sequence is None else sequence
        outer = outer or Outer(self.address, self.remote, self.port, PORT)
        secret = terms.send[1] if terms.send else b""
        payload = gue_peer.echo(kind, sequence, token)
        return gue_peer.build(terms.header(), payload, terms.outer(outer), secret)

    def send(self, data, to=None):
        """Sends bytes to the device."""
        self.socket.sendto(data, to or (self.remote, PORT))

    def request(self, token=0x1234, **options):
        """Sends an echo request; returns its bytes."""
        data = self.message(REQUEST, token, **options)
        self.send(data)
        return data

    def answer(self, message, **options):
        """Answers an echo request; returns the answer's bytes."""
        data = self.message(REPLY, message.token, **options)
        self.send(data, message.sender)
        return data

    def receive(self, timeout=5.0):
        """Returns the next control message of the device, checked; None if none comes.

        Raises gue_peer.Refused for what a peer must drop.
        """
        end = time.monotonic() + timeout
        while True:
            self.socket.settimeout(max(0, end - time.monotonic()))
            try:
                data, sender = self.socket.recvfrom(1 << 16)
            except (TimeoutError, BlockingIOError):
                return None
            outer = self.terms.outer(Outer(sender[0], self.address, sender[1], self.port))
            header, payload = gue_peer.check(data, outer, self.terms.agreement())
            if header.control:
                assert header.group == self.terms.group
                return Message(*gue_peer.parse_echo(payload), sender[:2], data)

    def expect(self, kind, timeout=5.0):
        """Returns the next message of a kind, passing over others."""
        end = time.monotonic() + timeout
        while (message := self.receive(max(0, end - time.monotonic()))) is not None:
            if message.kind == kind:
                return message
        raise AssertionError(f"no control message of kind {kind} within {timeout} s")

    def drain(self):
        """Returns the messages that have come already."""
        found = []
        while (message := self.receive(0)) is not None:
            found.append(message)
        return found

    def serve(self, seconds, is_enough=lambda: False):
        """Answers requests for some time, or until `is_enough()`; returns the requests."""
        end, found = time.monotonic() + seconds, []
        while not is_enough() and (left := end - time.monotonic()) > 0:
            message = self.receive(min(left, 0.05))
            if message is not None and message.kind == REQUEST:
                self.answer(message)
                found.append(message)
        return found

    def close(self):
        """Closes the socket."""
        self.socket.close()
