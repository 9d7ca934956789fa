"""Where the wall time of any suite goes, and what to change; ``dockwright profile`` runs it."""

from dockwright.profile.analysis import Finished, Profile, analyse
from dockwright.profile.command import EngineWatch, run_command

__all__ = ["EngineWatch", "Finished", "Profile", "analyse", "run_command"]
