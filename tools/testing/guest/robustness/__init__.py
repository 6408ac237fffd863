"""Failing memory, races, random messages and packets, nesting, misused APIs."""
