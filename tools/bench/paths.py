# SPDX-License-Identifier: GPL-2.0
"""The measured paths of a packet: which packets, through what, how many."""

import dataclasses
import itertools

MODULES = ("fou", "rfou")
# The column of the gue device, which is measured beside Linux's fou.
DEVICE = "device"
# Tunnels that the modules' tunnels are compared with; "plain" has no UDP.
REFERENCES = ("plain", "vxlan", "geneve")

# The gue device with a cookie of 8 bytes, and with a keyed hash that covers no payload.
PROTECTED = ("gue-cookie", "gue-hmac")
# The gue device with a keyed hash that covers all payload.
COVERING = "gue-hmac-all"

# The column of profiles that tell the hash's own cost from the rest.
HASHING = "hashing"

# The column of Ethernet devices, which are measured beside each other.
ETHERNET = "ethernet"
# Of these, the gue device with `mode ethernet`, and the sample, a Geneve device.
GUE_ETHERNET, GENEVE_SAMPLE = "gue-ethernet", "geneve-sample"
ETHERNET_DEVICES = (GUE_ETHERNET, GENEVE_SAMPLE, "vxlan", "geneve")
# The gue device without fragments; with packets in two GUE fragments; with GUE packets in two IPv4
# fragments, which IP joins before the device sees them.
REASSEMBLED = ("gue", "gue-in-pieces", "gue-in-ip-fragments")
PIECES = {"gue": 1, "gue-in-pieces": 2, "gue-in-ip-fragments": 2}

# Number of runs of every path, after a first run that fills caches. The least one counts, because
# other work of the kernel adds instructions to a run and never removes any.
RUNS = 5

SMALL, FULL = 64, 1400
TRAIN = 16
GSO_BYTES = 64000
SPREAD_FLOWS = 10000
COUNTS = {"receive": 12000, "gro": 12288, "transmit": 12000, "gso": 1200, "gso-segmented": 60}
COUNTS["reassembly"] = 12000
# Few, so that a run can end before the next timer interrupt. Longer runs have more interrupts, and
# the difference of two paths would count them.
PROFILE_COUNTS = {"receive": 320, "gro": 320, "transmit": 320, "gso": 320, "gso-segmented": 8}


# Directions of packets that arrive.
INCOMING = ("receive", "gro", "reassembly")


@dataclasses.dataclass(frozen=True)
class Path:
    """One way of a packet through the stack."""

    direction: str
    encap: str
    version: int
    size: int
    flows: int = 1
    ports: int = 1
    # There is a port for each IP version, so UDP's GRO has to tell sockets of both apart.
    both_versions: bool = False

    @property
    def frames(self):
        """The name of the file with its packets."""
        if self.direction in INCOMING:
            wire = "geneve" if self.encap == GENEVE_SAMPLE else self.encap
            through = f"{wire}-v{self.version}"
        else:
            through = "ethernet" if self.encap in ETHERNET_DEVICES else "ip"
        direction = self.direction.removesuffix("-segmented")
        return f"{direction}-{through}-{self.size}-{self.flows}"

    @property
    def kind(self):
        """The generator's name for the direction."""
        if self.direction == "reassembly":
            return "receive"
        return "transmit" if self.direction.startswith("gso") else self.direction

    @property
    def name(self):
        """The path's name in the results."""
        words = [self.direction, self.encap, f"v{self.version}", f"{self.size} B"]
        words.append("1 flow" if self.flows == 1 else f"{self.flows} flows")
        if self.direction in INCOMING:
            words.append("1 port" if self.ports == 1 else f"{self.ports} ports")
        if self.both_versions:
            words.append("both IP versions")
        return ", ".join(words)

    def reference(self, encap):
        """The same packets through another kind of tunnel, for which ports do not matter."""
        return dataclasses.replace(self, encap=encap, ports=1, both_versions=False)

    @property
    def by_module(self):
        """The path through a module's tunnel that a path through the device is compared with."""
        return dataclasses.replace(self, encap=self.encap.removesuffix("-id"))

    @property
    def unprotected(self):
        """The path through the same device without auth."""
        return dataclasses.replace(self, encap="gue")

    @property
    def profiled(self):
        """The profiled path that executes the same functions."""
        size = FULL if self.size == SMALL else self.size
        return dataclasses.replace(self, size=size, flows=1)


def all_paths():
    """Every path by the modules under test."""
    versions = (4, 6)
    for version, encap in itertools.product(versions, ("fou", "gue", "gue-v1", "gue-remcsum")):
        for size, flows, ports in itertools.product((SMALL, FULL), (1, 1000), (1, 1000)):
            if flows == 1 or ports == 1:
                yield Path("receive", encap, version, size, flows, ports)
        yield Path("gro", encap, version, FULL)
    for version in versions:
        yield Path("gro", "fou", version, FULL, both_versions=True)
    for version, encap in itertools.product(versions, ("fou", "gue", "gue-csum", "gue-remcsum")):
        for size, flows in itertools.product((SMALL, FULL), (1, 1000)):
            yield Path("transmit", encap, version, size, flows)
        for direction in ("gso", "gso-segmented"):
            yield Path(direction, encap, version, GSO_BYTES)


def device_paths():
    """Every path by the gue device: plain, with id, Linux's remote checksums, local address."""
    for version, encap in itertools.product((4, 6), ("gue", "gue-id", "gue-remcsum")):
        for size, flows in itertools.product((SMALL, FULL), (1, 1000)):
            yield Path("receive", encap, version, size, flows)
        yield Path("gro", encap, version, FULL)
        # Over IPv6, a module's tunnel here sends remote checksums without an outer checksum.
        if encap == "gue-remcsum" and version == 6:
            continue
        for size, flows in itertools.product((SMALL, FULL), (1, 1000)):
            yield Path("transmit", encap, version, size, flows)
        for direction in ("gso", "gso-segmented"):
            yield Path(direction, encap, version, GSO_BYTES)
    yield from local_paths()


def protected_paths():
    """Paths by a device that protects its packets: compared with the same device without auth."""
    for version, encap in itertools.product((4, 6), PROTECTED):
        for direction in ("receive", "gro", "transmit"):
            yield Path(direction, encap, version, FULL)
        yield Path("gso", encap, version, GSO_BYTES)


def covering_paths():
    """Pairs of paths, of two payload lengths, by a device whose keyed hash covers payloads."""
    for version, direction in itertools.product((4, 6), ("receive", "transmit")):
        yield tuple(Path(direction, COVERING, version, size) for size in (SMALL, FULL))


def ethernet_paths():
    """Every path by Ethernet devices."""
    for version, encap in itertools.product((4, 6), ETHERNET_DEVICES):
        for size, flows in itertools.product((SMALL, FULL), (1, 1000)):
            yield Path("receive", encap, version, size, flows)
            yield Path("transmit", encap, version, size, flows)
        yield Path("gro", encap, version, FULL)
        for direction in ("gso", "gso-segmented"):
            yield Path(direction, encap, version, GSO_BYTES)


def reassembly_paths():
    """Paths of a packet that arrives whole, in GUE fragments and in IPv4 fragments."""
    for encap in REASSEMBLED:
        yield Path("reassembly", encap, 4, FULL)


def local_paths():
    """Paths through a port or device with a local address; the other paths have none.

    With a local address UDP's GRO looks the socket up, at least over IPv6.
    """
    for version, direction in itertools.product((4, 6), ("receive", "gro")):
        yield Path(direction, "gue-local", version, FULL)


def module_paths():
    """Every path by the modules under test, and those that only the device is compared with."""
    return itertools.chain(all_paths(), local_paths())


def profiled_paths(column):
    """The paths of a column whose cost is reported by function."""
    if column == HASHING:
        for path in itertools.chain.from_iterable(covering_paths()):
            if path.size == SMALL:
                yield from (path.unprotected, path)
        return
    paths = {DEVICE: device_paths, ETHERNET: ethernet_paths}.get(column, module_paths)
    for path in paths():
        if path.flows == 1 and path.ports == 1 and not path.both_versions and path.size != SMALL:
            yield path


def all_references(paths):
    """Every path by the encapsulations that these paths are compared with."""
    found = {path.reference(encap) for path in paths for encap in REFERENCES}
    return sorted(found, key=dataclasses.astuple)


def measured_paths(column, only_device=False):
    """The paths of a column. `only_device` keeps those that the device is compared with."""
    if column == ETHERNET:
        return list(ethernet_paths())
    paths = list(module_paths())
    if only_device:
        paths = list(dict.fromkeys(path.by_module for path in device_paths()))
    if column == "plain":
        return all_references(paths)
    if column == DEVICE:
        covering = itertools.chain.from_iterable(covering_paths())
        return [*device_paths(), *protected_paths(), *covering, *reassembly_paths()]
    return paths
