"""The archive of a backup: its layout, its writer and its reader."""
