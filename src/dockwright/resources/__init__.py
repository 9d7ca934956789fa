"""What a test needs beside its stack, as context managers that leave nothing behind."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
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

__getattr__ = lazily(
    __name__,
    {
        "backup_dir": ("TemporaryBackupDir",),
        "config_dir": ("TemporaryConfigDir",),
        "per_test": ("TestArtifactTracker",),
        "services": ("StackServiceManager",),
        "tracker": ("ArtifactTracker",),
    },
)
