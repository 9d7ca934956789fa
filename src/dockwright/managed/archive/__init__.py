"""The archive of a backup: its layout, how it is written, and how it is read."""
