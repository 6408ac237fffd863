# SPDX-License-Identifier: GPL-2.0
"""Fixtures of tests of devices of kind gue."""

import os

import pytest

from testing.lib.gue_link import GueLinks


def pytest_collection_modifyitems(items):
    """Skips the tests of this folder if rgue is not loaded."""
    if "rgue" not in os.environ["RFOU_MODULE"].split(","):
        for item in items:
            if "/guest/device/" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="needs --module rgue"))


@pytest.fixture
def gue(hosts):
    """Links of kind gue in the first host."""
    links = GueLinks(hosts[0])
    yield links
    links.close()
