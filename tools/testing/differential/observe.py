# SPDX-License-Identifier: GPL-2.0
"""Record what a module does: observe OUTPUT [--packets FILE] [--transmit] [--netlink]

In a guest. OUTPUT is a line of JSON for each input: [part, name, what was seen]. FILE is what
packets.py wrote. Run once with each module; compare.py compares the two files.
"""

import argparse
import json
import os
import pathlib
import sys

from testing.differential import netlink, receive, transmit
from testing.lib.hosts import two_hosts


def put_off_nothing():
    """Gives ksoftirqd real-time priority, so that packets arrive before their sender goes on.

    A busy kernel leaves packets to this thread. On the guest's one CPU, the thread would otherwise
    run after the sender.
    """
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        if comm.read_text(encoding="ascii").startswith("ksoftirqd/"):
            os.sched_setscheduler(int(comm.parent.name), os.SCHED_FIFO, os.sched_param(50))
            return
    sys.exit("observe: there is no ksoftirqd")


def main():
    """Observes what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    parser.add_argument("--packets", help="packets to receive")
    parser.add_argument("--transmit", action="store_true", help="transmit, in every way")
    parser.add_argument("--netlink", action="store_true", help="ask for ports, in every way")
    options = parser.parse_args()
    put_off_nothing()
    with open(options.output, "w", encoding="ascii") as output:

        def reporter(part):
            def report(name, seen):
                output.write(json.dumps([part, name, seen]) + "\n")

            return report

        if options.transmit:
            with two_hosts() as hosts:
                transmit.observe(hosts, reporter("transmit"))
        if options.netlink:
            with two_hosts() as hosts:
                netlink.observe(hosts, reporter("netlink"))
        if options.packets:
            with two_hosts() as hosts:
                receive.observe(hosts, reporter("receive"), options.packets)


if __name__ == "__main__":
    main()
