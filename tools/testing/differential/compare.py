"""Tell how two modules differ: compare.py FOU RFOU REPORT

FOU and RFOU are what observe.py wrote. REPORT becomes Markdown: how many inputs there were of each
kind, on how many both did the same, and each difference. A line for each kind, "ok" or "not ok";
status 0 if no difference is there but those that are intended.
"""

import collections
import json
import pathlib
import struct
import sys

SHOWN = 20

# Offsets in a packet of the IP versions: of the GUE header.
GUE_AT = {4: 28, 6: 48}
GRE = 47


def remote_checksum(packet):
    """Where the remote checksum of a GUE packet starts, or None if it has none."""
    header = packet[GUE_AT[packet[0] >> 4] :]
    if len(header) < 12 or header[2:8] != bytes.fromhex("000180000000"):
        return None
    return int.from_bytes(header[8:10], "big")


def odd_remote_checksum(name, was, _now):
    """Linux sums from an odd byte on as from an even one."""
    start = remote_checksum(bytes.fromhex(was[0])) if "nopartial" in name else None
    return start is not None and start % 2 == 1


def zero_remote_checksum(name, was, now):
    """Linux writes a sum of 0 as 0, which UDP takes for none."""
    if "nopartial" not in name or remote_checksum(bytes.fromhex(was[0])) is None:
        return False
    return len(was) == len(now) and all(
        old == new or "ffff" in new and old == new.replace("ffff", "0000", 1)
        for old, new in zip(was, now, strict=True)
    )


def sum_of(data):
    """The checksum of a packet's part, RFC 1071."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", total ^ 0xFFFF or 0xFFFF)


def is_transport_checksum(number, payload, start, offset):
    """Whether that is the checksum of TCP or UDP right behind IP, or behind IP in GRE."""
    ip = 0
    if number == GRE:
        ip, number = 4, {b"\0\0\x08\0": 4, b"\0\0\x86\xdd": 41}.get(payload[:4])
    if number == 4:
        header = 4 * (payload[ip] & 15)
        whole = payload[ip] >> 4 == 4 and payload[ip + 6 : ip + 8] in (b"\0\0", b"\x40\0")
        transport = payload[ip + 9]
    else:
        header = 40
        whole = number == 41 and payload[ip] >> 4 == 6
        transport = payload[ip + 6]
    field = {6: 16, 17: 6}.get(transport)
    return whole and start == ip + header and offset - start == field


def computed_remote_checksum(name, was, now):
    """Linux leaves it to be computed, wherever it starts; rfou may not have left it."""
    packet = bytes.fromhex(was[0])
    start = remote_checksum(packet)
    if "nopartial" in name or start is None or len(was) != len(now):
        return False
    header = packet[GUE_AT[packet[0] >> 4] :]
    payload = header[4 + 4 * (header[0] & 31) :]
    offset = int.from_bytes(header[10:12], "big")
    if is_transport_checksum(header[1], payload, start, offset):
        return False
    field = sum_of(payload[start:])
    for old, new in zip(was[1:], now[1:], strict=True):
        (where, data), (place, found) = old.split(": "), new.split(": ")
        if where.split(", status ")[0] != place.split(", status ")[0]:
            return False
        data, found = bytearray.fromhex(data), bytes.fromhex(found)
        # Something may have been taken off in front; an answer quotes the packet whole.
        at = len(data) - len(payload) + offset
        if at < 0:
            return False
        data[at : at + 2] = field
        if where == "answer":
            icmp = {0x08: 36, 0x86: 56}[data[12]]
            data[icmp : icmp + 2] = found[icmp : icmp + 2]
        if data != found:
            return False
    return True


# What rfou does otherwise on purpose: see Documentation/differences.rst.
INTENDED = {
    "a remote checksum from an odd byte on": odd_remote_checksum,
    "a remote checksum of zero": zero_remote_checksum,
    "a remote checksum that is not the first transport header's": computed_remote_checksum,
}


def intended(name, was, now):
    """For which intended difference two observations differ, or None."""
    return next((why for why, holds in INTENDED.items() if holds(name, was, now)), None)


def group_of(part, name):
    """What an input is counted under."""
    if part == "receive":
        return f"receive: {name}"
    kind, encap = name.split(", ")[:2]
    return f"transmit: {kind} over {encap}"


def read(path):
    """The lines of an observation."""
    with open(path, encoding="ascii") as lines:
        return [json.loads(line) for line in lines]


def main():
    """Compare."""
    fou, rfou = read(sys.argv[1]), read(sys.argv[2])
    totals, same, meant = collections.Counter(), collections.Counter(), collections.Counter()
    reasons = collections.Counter()
    differences = []
    if [line[:2] for line in fou] != [line[:2] for line in rfou]:
        sys.exit("compare: the two observations are not of the same inputs")
    for (part, name, was), (_, _, now) in zip(fou, rfou, strict=True):
        group = group_of(part, name)
        totals[group] += 1
        if was == now:
            same[group] += 1
        elif part == "receive" and (why := intended(name, was, now)):
            meant[group] += 1
            reasons[why] += 1
        else:
            differences.append((group, name, was, now))
    report = ["# Linux's fou and rfou side by side", ""]
    report += [
        "| inputs | number | the same | meant to differ | not |",
        "|---|---:|---:|---:|---:|",
    ]
    for group in sorted(totals):
        rest = totals[group] - same[group] - meant[group]
        report.append(f"| {group} | {totals[group]} | {same[group]} | {meant[group]} | {rest} |")
    summary = f"{len(fou)} inputs: {sum(same.values())} the same, {sum(meant.values())} meant to"
    summary += f" differ, {len(differences)} differences."
    report += ["", summary, ""]
    report += [f"- {number} for {why}" for why, number in sorted(reasons.items())] + [""]
    for group, name, was, now in differences[:SHOWN]:
        report += [f"## {group}", "", name, ""]
        report += [f"- fou: `{line}`" for line in was if line not in now or len(was) != len(now)]
        report += [f"- rfou: `{line}`" for line in now if line not in was or len(was) != len(now)]
        report.append("")
    pathlib.Path(sys.argv[3]).write_text("\n".join(report) + "\n", encoding="utf-8")
    for group in sorted(totals):
        word = "ok" if same[group] + meant[group] == totals[group] else "not ok"
        more = f", {meant[group]} meant to differ" if meant[group] else ""
        print(f"{word} {group}: {same[group]} of {totals[group]} the same{more}")
    print(summary)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
