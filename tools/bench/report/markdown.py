# SPDX-License-Identifier: GPL-2.0
"""Pieces of Markdown."""


def table(head, rows):
    """A table whose columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [*("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines), ""]


def whole(value):
    """A count as a reader compares it."""
    return f"{value:,.0f}"
