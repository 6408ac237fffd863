# SPDX-License-Identifier: GPL-2.0
"""Two peers for the module's tests talk to each other, without the module."""

import contextlib
import dataclasses

import pytest

from testing.lib import gue_peer
from testing.lib.echo_peer import REPLY, REQUEST, EchoPeer, Terms, shared
from testing.lib.gue_peer import Refused
from testing.lib.gue_values import Outer

ADDRESSES = ("127.0.0.1", "127.0.0.2")
KEY, OTHER = b"a secret", b"another one"
# The terms of both ends.
TERMS = {
    "none": (Terms(), Terms()),
    "group": (Terms(group=7), Terms(group=7)),
    "cookie": (Terms(cookie=KEY), Terms(cookie=KEY)),
    "keyed hash": (shared(1, KEY, 7), shared(1, KEY, 7)),
    "through NAT": (
        Terms(send=(1, KEY), accept=(2, OTHER), nat=True),
        Terms(send=(2, OTHER), accept=(1, KEY), nat=True),
    ),
}


class Here:
    """The namespace of the test itself."""

    def inside(self):
        """Stays here."""
        return contextlib.nullcontext()


@contextlib.contextmanager
def talking(*terms):
    """Yields two peers with their terms."""
    ends = []
    try:
        for number, own in enumerate(terms):
            ends.append(EchoPeer(Here(), ADDRESSES[number], ADDRESSES[1 - number], own))
        yield ends
    finally:
        for end in ends:
            end.close()


@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
def test_a_request_is_answered_with_its_token(terms):
    with talking(*terms) as (one, two):
        one.request(token=0xFEDCBA9876543210)
        asked = two.expect(REQUEST, 1)
        assert (asked.token, asked.sender) == (0xFEDCBA9876543210, (ADDRESSES[0], one.port))
        two.answer(asked)
        answered = one.expect(REPLY, 1)
        assert answered.token == asked.token
        assert len(answered.data) == len(asked.data), "a reply is as long as its request"
        first = two.sequence()
        assert answered.sequence < first < two.sequence()
        assert one.receive(0) is None


@pytest.mark.parametrize(
    ("own", "theirs", "rule"),
    [
        (shared(1, OTHER), shared(1, KEY), "keyed hash is wrong"),
        (shared(2, KEY), shared(1, KEY), "unknown key"),
        (Terms(), shared(1, KEY), "keyed hash is missing"),
        (Terms(cookie=OTHER[:8]), Terms(cookie=KEY), "cookie is wrong"),
    ],
)
def test_a_sender_with_another_key_or_cookie_is_refused(own, theirs, rule):
    with talking(own, theirs) as (one, two):
        one.request()
        with pytest.raises(Refused, match=rule):
            two.receive(1)


def test_a_keyed_hash_is_valid_in_one_direction_only():
    """The hash covers the addresses in order; with NAT, each direction has its own key."""
    for terms in (TERMS["keyed hash"], TERMS["through NAT"]):
        with talking(*terms) as (one, two):
            data = one.request()
            assert two.receive(1).data == data
            two.send(data)
            with pytest.raises(Refused):
                one.receive(1)


def test_a_control_message_is_covered_as_a_whole():
    with talking(*TERMS["keyed hash"]) as (one, two):
        terms = one.terms
        short = dataclasses.replace(
            terms.header(), hmac=dataclasses.replace(terms.header().hmac, length=8)
        )
        outer = Outer(one.address, two.address, one.port, two.port)
        one.send(gue_peer.build(short, gue_peer.echo(REQUEST, 1, 1), outer, KEY))
        with pytest.raises(Refused, match="other coverage"):
            two.receive(1)


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (gue_peer.echo(1, 1, 1)[:-1], "truncated"),
        (b"rfou" + gue_peer.echo(1, 1, 1)[4:], "another experiment"),
        (gue_peer.echo(3, 1, 1), "unknown kind"),
        (gue_peer.echo(1, 1, 1)[:5] + b"\1" + gue_peer.echo(1, 1, 1)[6:], "unknown flag"),
    ],
)
def test_a_truncated_or_unknown_message_is_refused(payload, rule):
    with pytest.raises(Refused, match=rule):
        gue_peer.parse_echo(payload)
