# SPDX-License-Identifier: GPL-2.0
"""Secrets that leave no copy in user space, and the search for them in the machine's memory."""

import ctypes
import mmap
import os
import struct

from testing.lib import gue_keys
from testing.lib import netlink as nl

MASK = 0x55
MASKED = bytes(byte ^ MASK for byte in range(256))
PT_LOAD = 1
CHUNK = 1 << 20


def set_unseen(keys, device, key_id, length):
    """Sets a random key, which is nowhere but in the kernel afterwards; returns it masked.

    The secret is made in a page of its own, sent from there, and overwritten.
    """
    head = nl.attribute(gue_keys.IFNAME, device.encode() + b"\0")
    head += nl.attribute(gue_keys.KEY_ID, gue_keys.u32(key_id))
    head += struct.pack("=HH", 4 + length, gue_keys.SECRET)
    total = 20 + len(head) + length
    flags = nl.NLM_F_REQUEST | nl.NLM_F_ACK
    head = struct.pack("=IHHIIBBH", total, keys.family, flags, 1, 0, gue_keys.SET, 1, 0) + head
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        page[: len(head)] = head
        start = ctypes.addressof(ctypes.c_char.from_buffer(page)) + len(head)
        assert ctypes.CDLL(None).getrandom(ctypes.c_void_p(start), length, 0) == length
        with memoryview(page) as view:
            keys.socket.send(view[:total])
            masked = bytes(view[len(head) + at] ^ MASK for at in range(length))
        ctypes.memset(start, 0, length)
    answer = keys.socket.recv(1 << 16)
    assert struct.unpack_from("=i", answer, 16)[0] == 0, "the key is refused"
    return masked


def segments():
    """Yields the places of physical memory in /proc/kcore: file offset and length."""
    with open("/proc/kcore", "rb") as core:
        header = core.read(64)
        offset, size, count = struct.unpack_from("<Q", header, 32)[0], 56, header[56]
        core.seek(offset)
        programs = [struct.unpack("<IIQQQQQQ", core.read(size)) for _ in range(count)]
    for kind, _, place, _, physical, _, length, _ in programs:
        # Other segments show the same memory at other addresses, or no memory.
        if kind == PT_LOAD and physical != 2**64 - 1 and length:
            yield place, length


def found_in_memory(masked):
    """Returns for each masked secret how often it is in the machine's memory."""
    found = dict.fromkeys(masked, 0)
    longest = max(map(len, masked))
    core = os.open("/proc/kcore", os.O_RDONLY)
    try:
        for place, length in segments():
            for at in range(0, length, CHUNK):
                try:
                    data = os.pread(core, min(CHUNK + longest - 1, length - at), place + at)
                except OSError:
                    continue
                hidden = data.translate(MASKED)
                for secret in masked:
                    found[secret] += hidden.count(secret)
    finally:
        os.close(core)
    return found
