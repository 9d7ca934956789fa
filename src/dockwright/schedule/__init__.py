"""The order of a run: costs, blocks, plans, lower bounds and shards; no engine and no pytest."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.schedule.blocks import blocks_of, in_order
    from dockwright.schedule.bound import Bound, bound_of
    from dockwright.schedule.copies import AllCopies
    from dockwright.schedule.costs import (
        DURATIONS,
        Costs,
        CostsFile,
        StackCost,
        read_costs,
        typical,
    )
    from dockwright.schedule.model import Block, Placed, Plan, Resources, StackModel, Test
    from dockwright.schedule.outlook import Choice, Forecast, exclusive_leases, forecast
    from dockwright.schedule.picture import timeline
    from dockwright.schedule.planner import plan, simulated
    from dockwright.schedule.queue import BlockQueue
    from dockwright.schedule.resources import resources_of
    from dockwright.schedule.shards import shards_of
    from dockwright.schedule.verdict import Change, changes, held_back_by

__all__ = [
    "DURATIONS",
    "AllCopies",
    "Block",
    "BlockQueue",
    "Bound",
    "Change",
    "Choice",
    "Costs",
    "CostsFile",
    "Forecast",
    "Placed",
    "Plan",
    "Resources",
    "StackCost",
    "StackModel",
    "Test",
    "blocks_of",
    "bound_of",
    "changes",
    "exclusive_leases",
    "forecast",
    "held_back_by",
    "in_order",
    "plan",
    "read_costs",
    "resources_of",
    "shards_of",
    "simulated",
    "timeline",
    "typical",
]

__getattr__ = lazily(
    __name__,
    {
        "blocks": ("blocks_of", "in_order"),
        "bound": ("Bound", "bound_of"),
        "copies": ("AllCopies",),
        "costs": ("DURATIONS", "Costs", "CostsFile", "StackCost", "read_costs", "typical"),
        "outlook": ("Choice", "Forecast", "exclusive_leases", "forecast"),
        "model": ("Block", "Placed", "Plan", "Resources", "StackModel", "Test"),
        "planner": ("plan", "simulated"),
        "queue": ("BlockQueue",),
        "resources": ("resources_of",),
        "shards": ("shards_of",),
        "picture": ("timeline",),
        "verdict": ("Change", "changes", "held_back_by"),
    },
)
