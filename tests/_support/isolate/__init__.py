"""What the tests of worlds share: a legacy suite, and looks at what is left of worlds."""
