"""Tests that run in a guest: what a user does and sees."""
