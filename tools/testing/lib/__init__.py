# SPDX-License-Identifier: GPL-2.0
"""Shared by tests and programs: hosts, netlink, faults, the drop monitor, the watchdog."""
