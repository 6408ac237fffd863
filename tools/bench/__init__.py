# SPDX-License-Identifier: GPL-2.0
"""Measures rfou beside Linux's fou in guests, and reports."""
