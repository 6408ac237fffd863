# SPDX-License-Identifier: GPL-2.0
"""Tests that run in a guest: what a user does and sees."""
