# SPDX-License-Identifier: GPL-2.0
"""A thousand peers with keepalive stay alive. Prints their cost. Only in `make soak`.

h1: gue0 to gue999, with keepalive -- eth0 ===== eth0 -- gue0 to gue999 :h2
"""

import os
import pathlib
import time

import pytest

from testing.lib import progress
from testing.lib.gue_link import ALL, HMAC
from testing.lib.hosts import wait_until
from testing.lib.tunnel_ends import ends

pytestmark = [
    pytest.mark.soak_only,
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]

PEERS = int(os.environ.get("RFOU_PEERS", "1000"))
KEEPALIVE = 10
SECONDS = 30
KEYS = ((1, b"a key of both ends", {}),)
PROTECTION = {"auth": HMAC, "cover": ALL}


def memory():
    """Returns the kernel's own memory in KiB: slabs, per-CPU and vmalloc memory, and stacks."""
    time.sleep(1)
    lines = pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    sizes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    return sum(sizes[name] for name in ("Slab", "Percpu", "KernelStack", "VmallocUsed"))


def busy(seconds):
    """Returns the share of a CPU that is busy over some time."""

    def ticks():
        fields = pathlib.Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:]
        numbers = [int(field) for field in fields]
        # All but idle and iowait.
        return sum(numbers[:3] + numbers[5:8])

    before, begin = ticks(), time.monotonic()
    for _ in range(seconds):
        time.sleep(1)
        progress.report(f"at rest for {time.monotonic() - begin:.0f} s")
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begin)


def make(end, remote, **options):
    """Makes the devices of an end."""
    for number in range(PEERS):
        progress.report(f"{number} devices of {end.host.name}")
        end.links.add(f"gue{number}", remote=remote, id=number, **PROTECTION, **options)
        end.keys.set(f"gue{number}", *KEYS[0][:2])
        end.links.up(f"gue{number}")


def remove(end):
    """Deletes the devices of an end."""
    for number in range(PEERS):
        progress.report(f"{number} devices of {end.host.name} deleted")
        end.links.delete(f"gue{number}")


@pytest.mark.timeout(3000)
def test_a_thousand_peers_live_and_cost_little(hosts):
    for host in hosts:
        host.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    with ends(*hosts) as [one, two]:
        make(two, "192.0.2.1")
        idle = busy(SECONDS)
        empty = memory()
        make(one, "192.0.2.2")
        silent = memory()
        resting = busy(SECONDS)
        for number in range(PEERS):
            one.links.set(f"gue{number}", keepalive=KEEPALIVE)
        asking = memory()

        def answered():
            return sum(
                peer.get("alive", False) and "rtt" in peer for peer in one.peers.dump().values()
            )

        wait_until(lambda: answered() == PEERS, "each peer answers", 120)
        time.sleep(KEEPALIVE)
        before = sum(peer["requests"] for peer in two.peers.dump().values())
        living = busy(SECONDS)
        asked = sum(peer["requests"] for peer in two.peers.dump().values()) - before
        times = sorted(peer["rtt"] for peer in one.peers.dump().values())
        assert answered() == PEERS, "all live"
        expected = PEERS * SECONDS / KEEPALIVE
        assert 0.5 * expected < asked < 2 * expected, f"{asked} requests, not {expected:.0f}"
        print(
            f"\n{PEERS} devices, keepalive {KEEPALIVE}, {os.cpu_count()} CPUs:\n"
            f"memory for each device, KiB: {(silent - empty) / PEERS:.1f} without keepalive,"
            f" {(asking - empty) / PEERS:.1f} with\n"
            f"CPU at rest, both ends: {100 * idle:.2f} % with one end's devices alone,"
            f" {100 * resting:.2f} % without keepalive, {100 * living:.2f} % with"
            f" ({asked / SECONDS:.0f} requests a second)\n"
            f"round trip, ms: median {times[PEERS // 2] / 1e6:.3f}, most {times[-1] / 1e6:.3f}"
        )
        # Far below what a device costs by itself.
        assert asking - silent < 4 * PEERS
        remove(one)
        remove(two)
