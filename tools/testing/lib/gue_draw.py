# SPDX-License-Identifier: GPL-2.0
"""Every combination of GUE's fields, with random values, for the peer in gue_peer."""

import itertools

from testing.lib.gue_peer import NO_NEXT_HEADER
from testing.lib.gue_values import Agreement, Fragment, Header, Hmac, Transform


def combinations():
    """Yields every combination of fields, as keyword arguments of `draw`."""
    choices = {
        "group": (False, True),
        "security": (None, 8, 16, 32, "hmac"),
        "fragment": (False, True),
        "transform": (False, True),
        "remcsum": (None, "draft", "linux"),
        "checksum": (False, True),
        "nat": (False, True),
        "crc": (False, True),
    }
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def draw(rng, payload, *, group, security, fragment, transform, remcsum, checksum, nat, crc):
    """Returns a random header with these fields, its key, and the agreement of its receiver."""
    proto = rng.choice([4, 41])
    values, agreed, key = {}, {"checksum": checksum, "crc": crc}, b""
    if fragment:
        offset = rng.randrange(0, 4096, 8)
        more = bool(payload) and len(payload) % 8 == 0 and rng.random() < 0.5
        values["fragment"] = Fragment(offset, more, proto, rng.getrandbits(40))
        proto = NO_NEXT_HEADER if offset else proto
    if transform:
        values["transform"] = Transform(rng.randrange(1, 256), proto)
        proto = NO_NEXT_HEADER
    if group:
        values["group"] = rng.getrandbits(32)
    if security == "hmac":
        length = rng.choice([0, len(payload), rng.randrange(len(payload) + 1)])
        key = rng.randbytes(rng.randrange(16, 65))
        values["hmac"] = Hmac(rng.getrandbits(32), 0, length)
        agreed |= {"keys": {values["hmac"].key_id: key}, "coverage": length}
    elif security:
        values["cookie"] = rng.randbytes(security)
        agreed["cookies"] = (values["cookie"],)
    if remcsum:
        start = rng.randrange(len(payload) - 1)
        place = (start, rng.randrange(start, len(payload) - 1))
        values["remcsum" if remcsum == "draft" else "linux"] = place
    if checksum:
        values["checksum"] = rng.randrange(len(payload) + 1)
    if crc:
        values["crc"] = rng.randrange(len(payload) + 1)
    surplus = rng.randbytes(4 * rng.choice([0, 0, 1, 8]))
    return Header(proto, nat=nat, surplus=surplus, **values), key, Agreement(**agreed)
