# SPDX-License-Identifier: GPL-2.0
"""Checks that the benchmark measures each path that a path is compared with."""

import itertools

from bench.paths import (
    DEVICE,
    covering_paths,
    device_paths,
    measured_paths,
    profiled_paths,
    protected_paths,
)


def test_device_paths_are_compared_with_measured_ones():
    names = {path.name for path in measured_paths("fou")}
    assert {path.by_module.name for path in device_paths()} <= names


def test_only_device_measures_the_paths_that_the_device_is_compared_with():
    needed = {path.by_module.name for path in device_paths()}
    assert {path.name for path in measured_paths("fou", only_device=True)} == needed
    references = {path.name for path in measured_paths("plain", only_device=True)}
    assert {path.reference("plain").name for path in device_paths()} <= references


def test_each_device_path_has_a_profile():
    profiled = {path.name for path in profiled_paths(DEVICE)}
    assert {path.profiled.name for path in device_paths()} == profiled


def test_device_paths_have_names_of_their_own():
    names = [path.name for path in device_paths()]
    assert len(names) == len(set(names))


def test_protected_paths_are_compared_with_measured_ones():
    """For each protected path, the benchmark measures the same path without auth, too."""
    names = {path.name for path in measured_paths(DEVICE)}
    for path in itertools.chain(protected_paths(), *covering_paths()):
        assert {path.name, path.unprotected.name} <= names
