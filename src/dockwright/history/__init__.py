"""Reads the recorded runs of a project together: what changed, what is flaky, where times go."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.history.choose import main_branch, revision_by_git, runs_back, runs_named
    from dockwright.history.comparison import Change, Comparison, compare, compare_runs
    from dockwright.history.flaky import FlakyTest, flaky_tests
    from dockwright.history.imports import imported
    from dockwright.history.measures import Measure, Thresholds
    from dockwright.history.search import (
        Regression,
        Regressions,
        Search,
        regressions,
        regressions_against,
    )
    from dockwright.history.series import Series
    from dockwright.history.statistics import FEWEST_AFTER, FEWEST_BEFORE
    from dockwright.history.trends import Growth, Trend, Week, growths, trend

__all__ = [
    "FEWEST_AFTER",
    "FEWEST_BEFORE",
    "Change",
    "Comparison",
    "FlakyTest",
    "Growth",
    "Measure",
    "Regression",
    "Regressions",
    "Search",
    "Series",
    "Thresholds",
    "Trend",
    "Week",
    "compare",
    "compare_runs",
    "flaky_tests",
    "growths",
    "imported",
    "main_branch",
    "regressions",
    "regressions_against",
    "revision_by_git",
    "runs_back",
    "runs_named",
    "trend",
]

__getattr__ = lazily(
    __name__,
    {
        "choose": ("main_branch", "revision_by_git", "runs_back", "runs_named"),
        "comparison": ("Change", "Comparison", "compare", "compare_runs"),
        "flaky": ("FlakyTest", "flaky_tests"),
        "imports": ("imported",),
        "measures": ("Thresholds", "Measure"),
        "series": ("Series",),
        "statistics": ("FEWEST_AFTER", "FEWEST_BEFORE"),
        "trends": ("Growth", "Trend", "Week", "growths", "trend"),
        "search": (
            "Regression",
            "Regressions",
            "Search",
            "regressions",
            "regressions_against",
        ),
    },
)
