"""Tests of the reset room."""
