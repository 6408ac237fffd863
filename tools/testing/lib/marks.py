# SPDX-License-Identifier: GPL-2.0
"""Marks for parametrized cases."""

import pytest


def few_on_debug(cases, few):
    """Returns the cases, those outside `few` left to longer runs on the debug kernel."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if case in few else pytest.mark.soak_on_debug,
        )
        for case in cases
    ]
