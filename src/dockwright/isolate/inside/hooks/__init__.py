"""A directory with one pytest plugin, for the Python path of suites."""
