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
    from dockwright.schedule.plan import plan, simulated
    from dockwright.schedule.queue import BlockQueue

__all__ = [
    "DURATIONS",
    "AllCopies",
    "Block",
    "BlockQueue",
    "Bound",
    "Costs",
    "CostsFile",
    "Placed",
    "Plan",
    "Resources",
    "StackCost",
    "StackModel",
    "Test",
    "blocks_of",
    "bound_of",
    "in_order",
    "plan",
    "read_costs",
    "simulated",
    "typical",
]

__getattr__ = lazily(
    __name__,
    {
        "blocks": ("blocks_of", "in_order"),
        "bound": ("Bound", "bound_of"),
        "copies": ("AllCopies",),
        "costs": ("DURATIONS", "Costs", "CostsFile", "StackCost", "read_costs", "typical"),
        "model": ("Block", "Placed", "Plan", "Resources", "StackModel", "Test"),
        "plan": ("plan", "simulated"),
        "queue": ("BlockQueue",),
    },
)
