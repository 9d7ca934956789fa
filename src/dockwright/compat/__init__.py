"""Other plugins' fixtures on dockwright's stacks, so that their suites run unchanged."""
