# SPDX-License-Identifier: GPL-2.0
"""Carries traffic through tunnels; prints a line for each, "ok" or "not ok".

python3 -m testing.smoke [few]   in a guest with rfou and rgue loaded

The short test of a kernel: FOU and GUE over IPv4 and IPv6 by every kind of tunnel, with computed
and with remote checksums, and gue devices; echo and TCP. With `few`, one kind of tunnel for each
pair of IP versions, and two devices. The guest tests cover more, on one kernel.
"""

import itertools
import sys

from testing.lib.hosts import CommandError, fallback_devices, two_hosts
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import KINDS, inner_address, make_tunnel, no_checksum_errors

FEW_KINDS = ("ipip", "sit", "ip4ip6", "ip6ip6")
FORMS = (("fou", "checksum"), ("gue", "plain"), ("gue", "remcsum"))
FEW_FORMS = (("fou", "checksum"), ("gue", "remcsum"))
DEVICES = ("", "id 5", "variant 1", "id 5 remcsum", "linux-remcsum")
FEW_DEVICES = ("id 5 remcsum",)


def fails(make, address):
    """Returns why a tunnel does not carry echo and TCP; an empty string if it does."""
    with two_hosts() as hosts:
        try:
            make(hosts)
            hosts[0].run("ping", "-n", "-c", 2, "-i", "0.01", "-W", 2, address)
            if not tcp_arrives(*hosts, address, bytes(range(251)) * 400):
                return "TCP's data changed on the way"
            if not all(no_checksum_errors(host) for host in hosts):
                return "a checksum was wrong"
        except (CommandError, OSError) as error:
            return str(error).replace("\n", "; ")
    return ""


def make_devices(hosts, version, options):
    """Makes a gue device on each of two hosts.

    h1: gue1 10.1.1.1 -- eth0 ===== eth0 -- gue1 10.1.1.2 :h2
    """
    prefix = "192.0.2." if version == 4 else "2001:db8::"
    for number, host in enumerate(hosts, start=1):
        host.batch(
            f"link add gue1 type gue local {prefix}{number} remote {prefix}{3 - number} {options}",
            f"addr add 10.1.1.{number}/24 dev gue1",
            "link set gue1 up",
        )


def cases(few):
    """Yields the name of each tunnel, how it is made, and the address at its other end."""
    for kind, form in itertools.product(FEW_KINDS if few else KINDS, FEW_FORMS if few else FORMS):
        yield (
            f"{kind} in {form[0]}, {form[1]}",
            lambda hosts, kind=kind, form=form: make_tunnel(hosts, kind, *form),
            inner_address(kind, 2),
        )
    for version, options in itertools.product((4, 6), FEW_DEVICES if few else DEVICES):
        yield (
            f"gue device over IPv{version}, {options or 'plain'}",
            lambda hosts, version=version, options=options: make_devices(hosts, version, options),
            "10.1.1.2",
        )


def main():
    """Tries each tunnel; returns the exit status."""
    if sys.argv[1:] not in ([], ["few"]):
        print(__doc__, file=sys.stderr)
        return 2
    failed = 0
    with fallback_devices("first namespace"):
        for name, make, address in cases(few=bool(sys.argv[1:])):
            reason = fails(make, address)
            failed += bool(reason)
            print(f"not ok {name}: {reason}" if reason else f"ok {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
