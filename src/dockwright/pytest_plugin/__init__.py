"""Everything that pytest loads: hooks, fixtures, markers, and what they share."""
