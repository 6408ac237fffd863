# SPDX-License-Identifier: GPL-2.0
"""Answers of the netlink interface to every combination of attributes.

Answers are recorded whole, without the numbers that vary: the family's, the sender's port and the
sequence number. The content of extended acknowledgements is recorded apart, because rfou gives
reasons where Linux's fou gives none.
"""

import errno
import itertools
import pathlib
import struct

from testing.lib import netlink as nl

ATTRIBUTES = {
    nl.PORT: "port",
    nl.AF: "af",
    nl.IPPROTO: "ipproto",
    nl.TYPE: "type",
    nl.REMCSUM_NOPARTIAL: "nopartial",
    nl.LOCAL_V4: "local_v4",
    nl.LOCAL_V6: "local_v6",
    nl.PEER_V4: "peer_v4",
    nl.PEER_V6: "peer_v6",
    nl.PEER_PORT: "peer_port",
    nl.IFINDEX: "ifindex",
}
VALID = {
    nl.PORT: [nl.be16(5555)],
    nl.AF: [nl.u8(2), nl.u8(10)],
    nl.IPPROTO: [nl.u8(4)],
    nl.TYPE: [nl.u8(nl.DIRECT), nl.u8(nl.GUE)],
    nl.REMCSUM_NOPARTIAL: [b""],
    nl.LOCAL_V4: [nl.v4("192.0.2.1")],
    nl.LOCAL_V6: [nl.v6("2001:db8::1")],
    nl.PEER_V4: [nl.v4("192.0.2.2")],
    nl.PEER_V6: [nl.v6("2001:db8::2")],
    nl.PEER_PORT: [nl.be16(7777)],
    # combinations() adds the index of eth0.
    nl.IFINDEX: [],
}
# Values out of range, too short, too long, or invalid with others.
BAD = {
    nl.PORT: [nl.be16(0), b"\x15", bytes(3), b""],
    nl.AF: [nl.u8(0), nl.u8(7), struct.pack("=H", 10), b""],
    nl.IPPROTO: [nl.u8(0), nl.u8(255), struct.pack("=H", 41), b""],
    nl.TYPE: [nl.u8(0), nl.u8(3), struct.pack("=I", 2), b""],
    nl.REMCSUM_NOPARTIAL: [nl.u8(0)],
    nl.LOCAL_V4: [nl.v4("0.0.0.0"), nl.v4("192.0.2.77"), nl.v4("224.0.0.1"), bytes(3), bytes(5)],
    nl.LOCAL_V6: [nl.v6("::"), nl.v6("fe80::77"), nl.v6("::ffff:192.0.2.1"), bytes(15), bytes(17)],
    nl.PEER_V4: [nl.v4("0.0.0.0"), nl.v4("198.51.100.1"), bytes(3)],
    nl.PEER_V6: [nl.v6("::"), nl.v6("fe80::77"), bytes(15), bytes(17)],
    nl.PEER_PORT: [nl.be16(0), b"\x15"],
    nl.IFINDEX: [nl.s32(0), nl.s32(-1), nl.s32(12345), b"\0\0"],
}
# Attributes among which bad ones are tried.
AMONG = (
    [nl.PORT, nl.IPPROTO, nl.TYPE],
    [nl.PORT, nl.IPPROTO, nl.TYPE, nl.LOCAL_V4, nl.PEER_V4, nl.PEER_PORT, nl.IFINDEX],
    [nl.PORT, nl.AF, nl.IPPROTO, nl.TYPE, nl.LOCAL_V6, nl.PEER_V6, nl.PEER_PORT, nl.IFINDEX],
)
# Attributes that do not select a port.
NO_KEYS = (nl.IPPROTO, nl.TYPE, nl.REMCSUM_NOPARTIAL)
# Ports that exist while requests select them or similar ones.
PRESENT = (
    [(nl.PORT, nl.be16(5555)), (nl.LOCAL_V4, nl.v4("192.0.2.1")), (nl.TYPE, nl.u8(nl.GUE))],
    [
        (nl.PORT, nl.be16(5555)),
        (nl.LOCAL_V4, nl.v4("192.0.2.11")),
        (nl.IPPROTO, nl.u8(47)),
        (nl.TYPE, nl.u8(nl.DIRECT)),
    ],
    [
        (nl.PORT, nl.be16(5555)),
        (nl.AF, nl.u8(10)),
        (nl.TYPE, nl.u8(nl.GUE)),
        (nl.REMCSUM_NOPARTIAL, b""),
    ],
    [(nl.PORT, nl.be16(5556)), (nl.IPPROTO, nl.u8(4)), (nl.TYPE, nl.u8(nl.DIRECT))],
)


def combinations(ifindex, lookup):
    """Yields attributes to send: the group, and numbers with their bytes.

    For lookup, attributes that do not select a port do not vary.
    """
    valid = {**VALID, nl.IFINDEX: [nl.s32(ifindex)]}
    ways = {
        number: values[:1] if lookup and number in NO_KEYS else [None, *values]
        for number, values in valid.items()
    }
    for values in itertools.product(*ways.values()):
        yield "valid", list(zip(valid, values, strict=True))
    for among in AMONG[:1] if lookup else AMONG:
        # The last address family fits the addresses.
        base = {number: valid[number][-1 if number == nl.AF else 0] for number in among}
        for pair in itertools.combinations(valid, 2):
            for values in itertools.product(*([None, *valid[each], *BAD[each]] for each in pair)):
                changed = {**dict.fromkeys(valid), **base, **dict(zip(pair, values, strict=True))}
                yield "two of any kind", list(changed.items())


def odd_messages():
    """Yields malformed messages: a name, and the bytes after the header."""
    good = [(nl.PORT, nl.be16(5555)), (nl.IPPROTO, nl.u8(4)), (nl.TYPE, nl.u8(nl.DIRECT))]
    whole = b"".join(nl.attribute(*each) for each in good)
    for cut in range(len(whole)):
        yield f"cut after {cut} bytes", whole[:cut]
    for number in (0, 12, 99, 0x3FFF):
        yield f"attribute {number} besides", whole + nl.attribute(number, b"x")
    for flag in (0x8000, 0x4000):
        yield f"flag {flag:x}", b"".join(nl.attribute(n | flag, value) for n, value in good)
    for number, values in BAD.items():
        for value in values:
            more = nl.attribute(number, value)
            yield f"{ATTRIBUTES[number]} again, {value.hex()}", whole + more
            yield f"{ATTRIBUTES[number]} before, {value.hex()}", more + whole
    for length in (0, 3, 5, 0xFFFF):
        yield f"attribute of {length} bytes", struct.pack("=HH", length, nl.PORT) + whole


class Client:
    """A netlink socket that keeps answers unchanged, and keeps their reasons apart."""

    def __init__(self):
        self.fou = nl.Fou()
        self.reasons = []

    def ask(self, what, command, payload, flags=nl.NLM_F_ACK, version=1, reserved=0):
        """Sends a request; returns whether it succeeded, and a line of all answers."""
        fou = self.fou
        fou.sequence += 1
        body = struct.pack("=BBH", command, version, reserved) + payload
        head = (16 + len(body), fou.family, nl.NLM_F_REQUEST | flags, fou.sequence, 0)
        fou.socket.send(struct.pack("=IHHII", *head) + body)
        answers, kind = [], None
        while kind not in (nl.NLMSG_ERROR, nl.NLMSG_DONE):
            data = fou.socket.recv(1 << 15)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                last, data = data[:length], data[(length + 3) & ~3 :]
                message, reason = split(last)
                answers.append(self.mask(message))
        number = -struct.unpack_from("=i", last, 16)[0]
        if number or reason:
            because = f"because {reason.hex()}" if reason else "for no reason"
            self.reasons.append(f"{what}: {because}")
        verdict = errno.errorcode.get(number, str(number)) if number else "done"
        return not number, f"{what}: {verdict}: {' '.join(answers)}"

    def dump(self, payload=b""):
        """Dumps all ports; returns the line of answers."""
        return self.ask("dump", nl.GET, payload, flags=nl.NLM_F_DUMP)[1]

    def mask(self, message):
        """Returns a message as text, without the numbers that vary, also in a quoted request."""
        data = bytearray(message)
        heads = (0, 20) if struct.unpack_from("=H", data, 4)[0] == nl.NLMSG_ERROR else (0,)
        for head in heads:
            if struct.unpack_from("=H", data, head + 4)[0] == self.fou.family:
                data[head + 4 : head + 6] = bytes(2)
            data[head + 8 : head + 16] = bytes(8)
        return data.hex()


def split(message):
    """Returns a message without its extended acknowledgement, and the acknowledgement."""
    _, kind, flags = struct.unpack_from("=IHH", message)
    if not flags & nl.NLM_F_ACK_TLVS:
        return message, b""
    end = 20
    if kind == nl.NLMSG_ERROR:
        asked = struct.unpack_from("=I", message, 20)[0]
        end += 16 if flags & nl.NLM_F_CAPPED else (asked + 3) & ~3
    head = struct.pack("=IHH", end, kind, flags & ~nl.NLM_F_ACK_TLVS)
    return head + message[8:end], message[end:]


class Table:
    """The ports that exist before each request, and again after it."""

    def __init__(self, client, ports):
        self.client = client
        self.ports = ports
        self.fill()

    def fill(self):
        """Restores the ports."""
        self.client.fou.delete_all()
        for port in self.ports:
            self.client.fou.add(*port)
        self.full = self.client.dump()

    def try_out(self, payload):
        """Sends GET, ADD, GET, dump, DEL with the same attributes, and a dump; returns all answers.

        Leaves out the second GET if ADD fails, and the second dump if DEL fails.
        """
        client = self.client
        seen = []

        def ask(what, command):
            done, line = client.ask(what, command, payload)
            seen.append(line)
            return done

        ask("get", nl.GET)
        if ask("add", nl.ADD):
            ask("get", nl.GET)
        # A dump ignores attributes.
        seen.append(client.dump(payload))
        if ask("delete", nl.DEL):
            seen.append(client.dump())
        if self.full not in seen[-2:]:
            self.fill()
        # Short for the full table, because most requests change nothing.
        return [line if line != self.full else "dump: as before" for line in seen]


def observe(hosts, report):
    """Sends all requests; calls report(name, answers), and again for the reasons."""
    host = hosts[0]
    host.ip("addr", "add", "192.0.2.11/24", "dev", "eth0")
    # Closing a port waits for an RCU grace period, thousands of times here.
    pathlib.Path("/sys/kernel/rcu_expedited").write_text("1\n", encoding="ascii")
    with host.inside():
        client = Client()
    ifindex = host.link("eth0")["ifindex"]

    def report_both(group, name, seen):
        report(f"{group}, {state}, {name}", seen)
        if client.reasons:
            report(f"reasons, {state}, {group}, {name}", client.reasons)
        client.reasons = []

    for ports in ((), PRESENT):
        table = Table(client, ports)
        state = f"{len(ports) or 'no'} ports"
        report(f"valid, {state}, the ports that are there", [table.full])
        known = set()
        for group, pairs in combinations(ifindex, lookup=bool(ports)):
            given = [(number, value) for number, value in pairs if value is not None]
            payload = b"".join(nl.attribute(*each) for each in given)
            if payload not in known:
                known.add(payload)
                words = (f"{ATTRIBUTES[number]}={value.hex()}" for number, value in given)
                report_both(group, " ".join(words), table.try_out(payload))
        for name, payload in odd_messages():
            report_both("odd messages", name, table.try_out(payload))
        for command, flags, version, reserved in itertools.product(
            range(6), (nl.NLM_F_ACK, nl.NLM_F_DUMP), (0, 1, 2), (0, 1)
        ):
            name = f"command {command}, flags {flags:x}, version {version}, reserved {reserved}"
            payload = nl.attribute(nl.PORT, nl.be16(5556))
            options = {"flags": flags, "version": version, "reserved": reserved}
            _, line = client.ask("request", command, payload, **options)
            report_both("odd headers", name, [line])
            table.fill()
    client.fou.delete_all()
    client.fou.close()
