# SPDX-License-Identifier: GPL-2.0
"""The generic netlink family `gue` as bytes: keys of gue devices."""

import struct

from testing.lib import netlink as nl

GET, SET, DEL = 1, 2, 3
IFINDEX, IFNAME, KEY_ID, SECRET, DIRECTION, NAT, AUTH = range(1, 8)
ACCEPT, SEND, BOTH = 1, 2, 3


def ifname(name):
    """Returns the attribute that names a device."""
    return (IFNAME, name.encode() + b"\0")


def u32(number):
    """Returns a number in host order."""
    return struct.pack("=I", number)


class GueKeys(nl.GenericNetlink):
    """A socket of the family in a host, or in the caller's namespace."""

    def __init__(self, host=None):
        if host is None:
            super().__init__("gue")
        else:
            with host.inside():
                super().__init__("gue")

    def set(self, device, key_id, secret, direction=None, nat=False):
        """Sets a key."""
        more = []
        if direction is not None:
            more.append((DIRECTION, nl.u8(direction)))
        if nat:
            more.append((NAT, b""))
        self.do(SET, ifname(device), (KEY_ID, u32(key_id)), (SECRET, secret), *more)

    def delete(self, device, key_id):
        """Deletes a key."""
        self.do(DEL, ifname(device), (KEY_ID, u32(key_id)))

    def get(self, device, key_id):
        """Returns the attributes of a key."""
        [reply] = self.do(GET, ifname(device), (KEY_ID, u32(key_id)))
        return shown(reply)

    def dump_raw(self):
        """Returns the messages of a dump."""
        return self.call(self.family, GET, b"", flags=nl.NLM_F_DUMP)

    def dump(self):
        """Returns the attributes of each key in the namespace."""
        return [shown(reply) for reply in self.dump_raw()]


def shown(reply):
    """Returns the attributes in an answer, by name."""
    found = dict(nl.parse_attributes(reply[4:]))
    assert set(found) <= {IFINDEX, IFNAME, KEY_ID, DIRECTION, NAT, AUTH}, "an unknown attribute"
    return {
        "device": found[IFNAME].rstrip(b"\0").decode(),
        "ifindex": struct.unpack("=I", found[IFINDEX])[0],
        "key_id": struct.unpack("=I", found[KEY_ID])[0],
        "direction": found[DIRECTION][0],
        "nat": NAT in found,
        "auth": found[AUTH][0],
    }
