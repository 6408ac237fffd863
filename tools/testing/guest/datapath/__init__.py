"""Packets through tunnels: contents, checksums, GRO and GSO, ICMP errors, drops."""
