# SPDX-License-Identifier: GPL-2.0
"""Linux's fou and rfou as peers on one wire."""
