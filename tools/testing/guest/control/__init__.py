# SPDX-License-Identifier: GPL-2.0
"""Ports and the module: netlink, loading and unloading, numbers of drop reasons."""
