# SPDX-License-Identifier: GPL-2.0
"""In a guest with two CPUs: the speed of TCP and UDP through fou, rfou and gue devices in turn.

throughput OUT [--only-device] [PAIRS]   OUT: a JSON object per line; --only-device: without rfou
"""

import dataclasses
import itertools
import json
import re
import subprocess
import sys

from bench.guest import environment as guest
from bench.paths import DEVICE, MODULES
from testing.lib.hosts import two_hosts, wait_until

SECONDS = 2
PAIRS = 9
# iperf3's port in state LISTEN, as /proc/net/tcp has it.
LISTENING = re.compile(r":1451 00000000:0000 0A ")


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A transport through a tunnel."""

    encap: str
    transport: str = "TCP"
    offloads: bool = True

    @property
    def name(self):
        """Its name in the results."""
        return f"{self.transport}, {self.encap}, GRO and GSO {'on' if self.offloads else 'off'}"

    @property
    def octet(self):
        """The third octet of the tunnel's inner addresses."""
        return ENCAPS.index(self.encap) + 1


ENCAPS = ("plain", "fou", "gue", "gue-csum", "gue-remcsum")
ENCAPS_OF = {None: ("plain",), "fou": ENCAPS[1:], "rfou": ENCAPS[1:], DEVICE: ENCAPS[2:]}
SCENARIOS = [
    *(
        Scenario(encap, offloads=offloads)
        for offloads, encap in itertools.product((True, False), ENCAPS)
    ),
    *(Scenario(encap, transport="UDP") for encap in ENCAPS),
]


def make_tunnels(hosts, module):
    """Make a tunnel of each kind between both hosts, or the plain one without a module."""
    for number, host in enumerate(hosts, start=1):
        if module in MODULES:
            host.batch("fou add port 5555 ipproto 4", "fou add port 6080 gue")
        for octet, encap in enumerate(ENCAPS, start=1):
            if encap not in ENCAPS_OF[module]:
                continue
            # Each tunnel has addresses of its own, because receive finds a device by them alone.
            words = f"link add {encap} type {'gue' if module == DEVICE else 'ipip'}"
            words += (
                f" local 192.0.2.{10 * octet + number} remote 192.0.2.{10 * octet + 3 - number}"
            )
            if module == DEVICE:
                words += f" df set {guest.GUE_OPTIONS[encap]}"
            elif encap != "plain":
                kind, port = ("fou", 5555) if encap == "fou" else ("gue", 6080)
                words += f" encap {kind} encap-sport auto encap-dport {port}"
                if encap in ("gue-csum", "gue-remcsum"):
                    words += " encap-csum"
                if encap == "gue-remcsum":
                    words += " encap-remcsum"
            host.batch(
                f"addr replace 192.0.2.{10 * octet + number}/24 dev eth0",
                words,
                f"addr add 10.1.{octet}.{number}/24 dev {encap}",
                f"link set {encap} up",
            )


def set_offloads(hosts, encap, on):
    """Turn GRO, GSO and TSO on or off, for the tunnel device and for eth0."""
    words = [word for name in ("gro", "gso", "tso") for word in (name, "on" if on else "off")]
    for host in hosts:
        for device in (encap, "eth0"):
            host.run("ethtool", "-K", device, *words, check=False)


def transfer(hosts, scenario):
    """Run iperf3 once. Return the received Mbit/s."""
    server, client = hosts[1], hosts[0]
    address = f"10.1.{scenario.octet}.2"
    listening = server.start("iperf3", "-s", "-1", "-B", address, stdout=subprocess.DEVNULL)
    wait_until(lambda: LISTENING.search(server.proc_net("tcp")), "the server listens")
    command = ["iperf3", "-c", address, "-t", SECONDS, "--json"]
    if scenario.transport == "UDP":
        command += ["-u", "-b", "0", "-l", 1400]
    end = json.loads(client.run(*command).stdout)["end"]
    listening.wait(timeout=30)
    received = end["sum_received"] if "sum_received" in end else end["sum"]
    return received["bits_per_second"] / 1e6


def measure(module, hosts, report, pair):
    """Run each scenario once, through one module's tunnels."""
    guest.use(module)
    make_tunnels(hosts, module)
    offloads = True
    for scenario in SCENARIOS:
        if scenario.encap not in ENCAPS_OF[module]:
            continue
        if scenario.offloads != offloads:
            offloads = scenario.offloads
            for encap in ENCAPS:
                set_offloads(hosts, encap, offloads)
        errors = hosts[1].snmp("TcpInCsumErrors")
        rate = transfer(hosts, scenario)
        errors = hosts[1].snmp("TcpInCsumErrors") - errors
        report(scenario.name, module or "plain", rate, errors, pair)


def remove_tunnels(hosts, module):
    """Delete the tunnels and ports, which hold the module."""
    for host in hosts:
        host.batch(*(f"link del {encap}" for encap in ENCAPS_OF[module]))
        if module in MODULES:
            host.batch("fou del port 5555", "fou del port 6080")


def turns(pair, only_device):
    """Return the modules in the order of their runs: each runs right before or after fou."""
    # The first module has the colder caches, so every other pair reverses the order.
    order = ("fou", DEVICE) if only_device else ("rfou", "fou", DEVICE)
    return order if pair % 2 == 0 else order[::-1]


def main():
    """Measure in turn, because a machine's speed may drift."""
    file, *words = sys.argv[1:]
    only_device = words[:1] == ["--only-device"]
    [pairs] = words[1 if only_device else 0 :] or [PAIRS]
    with two_hosts() as hosts, open(file, "w", encoding="ascii") as out:

        def report(name, column, rate, errors, pair):
            line = {
                "scenario": name,
                "column": column,
                "pair": pair,
                "mbit": rate,
                "errors": errors,
            }
            print(json.dumps(line), file=out, flush=True)

        for pair in range(int(pairs)):
            for module in (None, *turns(pair, only_device)):
                measure(module, hosts, report, pair)
                remove_tunnels(hosts, module)


if __name__ == "__main__":
    main()
