"""Where the time of a run went."""

from dockwright.measure.ledger import PHASES, Ledger, Phase, PhaseTotal
from dockwright.measure.summary import Summary

__all__ = ["PHASES", "Ledger", "Phase", "PhaseTotal", "Summary"]
