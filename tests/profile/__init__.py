"""Tests of the profile of any suite."""  # noqa: A005 - as the room is called
