# SPDX-License-Identifier: GPL-2.0
"""Tests of the built modules as files: inlining, and memory once loaded."""
