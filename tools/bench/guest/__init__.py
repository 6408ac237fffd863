# SPDX-License-Identifier: GPL-2.0
"""Programs that measure in a guest."""
