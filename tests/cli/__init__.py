"""Tests of the commands, on a real engine wherever one is touched."""
