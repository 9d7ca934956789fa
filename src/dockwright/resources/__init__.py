"""What a test needs beside its stack, as context managers that leave nothing behind."""

from dockwright.resources.backup_dir import TemporaryBackupDir
from dockwright.resources.config_dir import TemporaryConfigDir
from dockwright.resources.per_test import TestArtifactTracker
from dockwright.resources.services import StackServiceManager
from dockwright.resources.tracker import ArtifactTracker

__all__ = [
    "ArtifactTracker",
    "StackServiceManager",
    "TemporaryBackupDir",
    "TemporaryConfigDir",
    "TestArtifactTracker",
]
