"""What a test needs beside its stack, as context managers that leave nothing behind."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.resources.directories import TemporaryBackupDir, TemporaryConfigDir
    from dockwright.resources.project import ComposeProject
    from dockwright.resources.services import StackServiceManager
    from dockwright.resources.tracker import ArtifactTracker, TestArtifactTracker

__all__ = [
    "ArtifactTracker",
    "ComposeProject",
    "StackServiceManager",
    "TemporaryBackupDir",
    "TemporaryConfigDir",
    "TestArtifactTracker",
]

__getattr__ = lazily(
    __name__,
    {
        "directories": (
            "TemporaryBackupDir",
            "TemporaryConfigDir",
        ),
        "project": ("ComposeProject",),
        "services": ("StackServiceManager",),
        "tracker": (
            "ArtifactTracker",
            "TestArtifactTracker",
        ),
    },
)
