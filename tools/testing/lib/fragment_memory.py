# SPDX-License-Identifier: GPL-2.0
"""The memory of GUE fragments that wait for the rest of their packets, in a host."""


class Reassembly:
    """The settings of a host in /proc/sys/net/gue."""

    def __init__(self, host):
        self.host = host

    def memory(self):
        """Returns how many bytes all waiting pieces take."""
        return int(self.host.sysctl("net.gue.frag_mem"))

    def set_limit(self, size):
        """Limits the memory. At the limit a new packet's piece is dropped."""
        self.host.sysctl("net.gue.frag_high_thresh", size)

    def set_timeout(self, seconds):
        """Sets how long pieces wait, from now on."""
        self.host.sysctl("net.gue.frag_time", seconds)

    def timeouts(self):
        """Returns how many packets did not become whole in time."""
        return int(self.host.sysctl("net.gue.frag_timeouts"))
