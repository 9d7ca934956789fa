"""Tests of the engine room, on a real engine wherever one is touched."""
