# SPDX-License-Identifier: GPL-2.0
"""Hosts under fire, the packets of the cannon and of the misuse tests."""
