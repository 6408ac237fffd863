# SPDX-License-Identifier: GPL-2.0
"""Packets through tunnels: contents, checksums, GRO and GSO, ICMP errors, drops."""
