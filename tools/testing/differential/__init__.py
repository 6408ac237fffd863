# SPDX-License-Identifier: GPL-2.0
"""Linux's fou and rfou given the same packets and requests, and compared."""
