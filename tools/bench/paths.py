# SPDX-License-Identifier: GPL-2.0
"""The measured paths of a packet: which packets, through what, how many."""

import dataclasses
import itertools

MODULES = ("fou", "rfou")
# Tunnels that the modules' tunnels are compared with; "plain" has no UDP.
REFERENCES = ("plain", "vxlan", "geneve")

# Number of runs of every path, after a first run that fills caches. The least one counts, because
# other work of the kernel adds instructions to a run and never removes any.
RUNS = 5

SMALL, FULL = 64, 1400
TRAIN = 16
GSO_BYTES = 64000
SPREAD_FLOWS = 10000
COUNTS = {"receive": 12000, "gro": 12288, "transmit": 12000, "gso": 1200, "gso-segmented": 60}
PROFILE_COUNTS = {"receive": 640, "gro": 640, "transmit": 640, "gso": 640, "gso-segmented": 8}


@dataclasses.dataclass(frozen=True)
class Path:
    """One way of a packet through the stack."""

    direction: str
    encap: str
    version: int
    size: int
    flows: int = 1
    ports: int = 1
    # A port for each IP version: UDP's GRO then has sockets of both to tell apart.
    both_versions: bool = False

    @property
    def frames(self):
        """The name of the file with its packets."""
        if self.direction in ("receive", "gro"):
            through = f"{self.encap}-v{self.version}"
        else:
            through = "ethernet" if self.encap in ("vxlan", "geneve") else "ip"
        direction = self.direction.removesuffix("-segmented")
        return f"{direction}-{through}-{self.size}-{self.flows}"

    @property
    def kind(self):
        """The generator's word for it."""
        return "transmit" if self.direction.startswith("gso") else self.direction

    @property
    def name(self):
        """Its name in the results; a reference's name differs in `encap` alone."""
        words = [self.direction, self.encap, f"v{self.version}", f"{self.size} B"]
        words.append("1 flow" if self.flows == 1 else f"{self.flows} flows")
        if self.direction in ("receive", "gro"):
            words.append("1 port" if self.ports == 1 else f"{self.ports} ports")
        if self.both_versions:
            words.append("both IP versions")
        return ", ".join(words)

    def reference(self, encap):
        """The same packets through another kind of tunnel, for which ports do not matter."""
        return dataclasses.replace(self, encap=encap, ports=1, both_versions=False)


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


def profiled_paths():
    """The paths whose cost is reported by function."""
    for path in all_paths():
        if path.flows == 1 and path.ports == 1 and not path.both_versions and path.size != SMALL:
            yield path


def all_references():
    """Every path by the encapsulations that they are compared with."""
    found = {path.reference(encap) for path in all_paths() for encap in REFERENCES}
    return sorted(found, key=dataclasses.astuple)
