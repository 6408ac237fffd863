# SPDX-License-Identifier: GPL-2.0
"""Failing memory, races, random messages and packets, nesting, misused APIs."""
