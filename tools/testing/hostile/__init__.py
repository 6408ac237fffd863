# SPDX-License-Identifier: GPL-2.0
"""The host that the cannon fires at, and the packets of the misuse tests."""
