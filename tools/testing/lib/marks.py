# SPDX-License-Identifier: GPL-2.0
"""Marks for parametrized cases."""

import pytest


def few_on_debug(cases, few):
    """Returns the cases; marks those outside `few` as `soak_on_debug`."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if case in few else pytest.mark.soak_on_debug,
        )
        for case in cases
    ]
