# SPDX-License-Identifier: GPL-2.0
"""The core's table of drop reasons, by subsystem number, read from /proc/kcore."""

import functools
import os
import struct

PT_LOAD = 1
# enum skb_drop_reason_subsys.
MAC80211, OPENVSWITCH = 1, 2


class KernelMemory:
    """The kernel's memory, by address."""

    def __init__(self):
        self.file = os.open("/proc/kcore", os.O_RDONLY)
        [table] = struct.unpack("32xQ", os.pread(self.file, 40, 0))
        size, count = struct.unpack("54xHH", os.pread(self.file, 58, 0))
        entries = os.pread(self.file, size * count, table)
        self.segments = []
        for at in range(0, len(entries), size):
            kind, offset, start, length = struct.unpack_from("I4xQQ8xQ", entries, at)
            if kind == PT_LOAD:
                self.segments.append((start, length, offset))

    def read(self, address, length):
        """Returns the bytes at an address."""
        for start, size, offset in self.segments:
            if start <= address < start + size:
                return os.pread(self.file, length, offset + address - start)
        raise ValueError(f"no segment holds {address:#x}")

    def words(self, address, count):
        """Returns machine words at an address."""
        return struct.unpack(f"{count}Q", self.read(address, 8 * count))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.file)


@functools.cache
def address_of(symbol):
    """Returns the address of a symbol of vmlinux."""
    with open("/proc/kallsyms", encoding="ascii") as symbols:
        return next(int(line.split()[0], 16) for line in symbols if line.split()[2] == symbol)


def first_name(number):
    """Returns the first name of a subsystem's reasons, or None if its number is free."""
    with KernelMemory() as memory:
        [reasons] = memory.words(address_of("drop_reasons_by_subsys") + 8 * number, 1)
        if not reasons:
            return None
        names, count = memory.words(reasons, 2)
        first = next(name for name in memory.words(names, count) if name)
        return memory.read(first, 64).split(b"\0")[0].decode()
