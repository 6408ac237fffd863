# SPDX-License-Identifier: GPL-2.0
"""Figures, bars, pages and plots of what the guests wrote."""
