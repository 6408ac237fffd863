# SPDX-License-Identifier: GPL-2.0
"""Tests of devices of kind gue."""
