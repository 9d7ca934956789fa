"""The tests mirror the rooms of `dockwright`; what they share is here and in `conftest`."""
