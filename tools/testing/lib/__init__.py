# SPDX-License-Identifier: GPL-2.0
"""What the tests and programs share: hosts, netlink, faults, the drop monitor, the watchdog."""
