"""The paths of a packet that are measured: which packets, through what, how many."""

import dataclasses
import itertools

# Encapsulations that the modules under test make, and those they are compared with.
OURS = ("fou", "gue", "gue-v1", "gue-csum", "gue-remcsum")
REFERENCES = ("plain", "vxlan", "geneve")

SMALL, FULL = 64, 1400
TRAIN = 16
SUPER_PACKET = 64000
COUNTS = {"receive": 12000, "gro": 12288, "transmit": 12000, "gso": 1200, "gso-segmented": 60}


@dataclasses.dataclass(frozen=True)
class Path:
    """One way of a packet, and how it is taken."""

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
        """What the generator calls it."""
        return "transmit" if self.direction.startswith("gso") else self.direction

    @property
    def name(self):
        """What it is called in the results; a reference has the same name but for `encap`."""
        words = [self.direction, self.encap, f"v{self.version}", f"{self.size} B"]
        words.append("1 flow" if self.flows == 1 else f"{self.flows} flows")
        if self.direction in ("receive", "gro"):
            words.append("1 port" if self.ports == 1 else f"{self.ports} ports")
        if self.both_versions:
            words.append("both IP versions")
        return ", ".join(words)

    def reference(self, encap):
        """The same by another encapsulation, for which the ports do not matter."""
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
            yield Path(direction, encap, version, SUPER_PACKET)


def profiled_paths():
    """Paths whose cost is told by function, and how many packets are enough for that."""
    for path in all_paths():
        simple = path.flows == 1 and path.ports == 1 and not path.both_versions
        if simple and path.size != SMALL:
            yield path, 8 if path.direction == "gso-segmented" else 640


def all_references():
    """Every path by the encapsulations that they are compared with."""
    found = {path.reference(encap) for path in all_paths() for encap in REFERENCES}
    return sorted(found, key=dataclasses.astuple)
