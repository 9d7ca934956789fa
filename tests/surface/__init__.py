"""Tests that the public surface stays what it is."""
