# SPDX-License-Identifier: GPL-2.0
"""Addresses and ports of the wire that the generator's device is on."""

MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
TUNNEL_MAC, INNER_MAC = "02:00:00:00:01:01", "02:00:00:00:01:02"
LOCAL = {4: "192.0.2.1", 6: "2001:db8::1"}
REMOTE = {4: "192.0.2.2", 6: "2001:db8::2"}
INNER_LOCAL, INNER_REMOTE = "10.0.0.1", "10.0.0.2"

FOU_PORT, GUE_PORT, VXLAN_PORT, GENEVE_PORT = 5555, 6080, 4789, 6081
# The default of sysctl net.ipv4.ip_local_port_range: source ports of flows.
LOWEST_SOURCE_PORT, HIGHEST_SOURCE_PORT = 32768, 60999

# The key of devices that protect their packets.
KEY_ID, COOKIE, HMAC_KEY = 1, b"12345678", b"a secret of a bench"
