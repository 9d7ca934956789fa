"""What reports show of a run."""
