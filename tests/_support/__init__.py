"""What the tests share: engines, projects, suites, batteries of changes. No tests are here."""
