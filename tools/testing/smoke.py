# SPDX-License-Identifier: GPL-2.0
"""Carries traffic through every kind of tunnel; prints a line for each, "ok" or "not ok".

python3 -m testing.smoke   in a guest with rfou loaded

The short test of a kernel: FOU and GUE over IPv4 and IPv6, with computed and with remote
checksums, echo and TCP. The guest tests say more, about one kernel.
"""

import sys

from testing.lib.hosts import CommandError, fallback_devices, two_hosts
from testing.lib.tunnels import KINDS, inner_address, make_tunnel, no_checksum_errors, transfer


def carries(kind, encap, options):
    """Returns why a tunnel does not carry echo and TCP; nothing if it does."""
    with two_hosts() as hosts:
        try:
            make_tunnel(hosts, kind, encap, options)
            address = inner_address(kind, 2)
            hosts[0].run("ping", "-n", "-c", 2, "-i", "0.01", "-W", 2, address)
            if not transfer(hosts, kind, 100_000):
                return "TCP's data changed on the way"
            if not all(no_checksum_errors(host) for host in hosts):
                return "a checksum was wrong"
        except (CommandError, OSError) as error:
            return str(error).replace("\n", "; ")
    return ""


def main():
    """Tries each tunnel; returns the exit status."""
    failed = 0
    with fallback_devices("first namespace"):
        for kind in KINDS:
            for encap, options in (("fou", "checksum"), ("gue", "plain"), ("gue", "remcsum")):
                reason = carries(kind, encap, options)
                failed += bool(reason)
                name = f"{kind} in {encap}, {options}"
                print(f"not ok {name}: {reason}" if reason else f"ok {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
