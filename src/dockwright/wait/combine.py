"""Waiting for all of several conditions, or for any of them."""

from __future__ import annotations

from dataclasses import dataclass

from dockwright.wait.outcome import Continue, Failed, Outcome, Ready
from dockwright.wait.strategy import Check, Strategy, Wait, begin_guarded


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition held at some time; one that fails ends the wait."""

    strategies: tuple[Strategy, ...]

    @property
    def survives_exit(self) -> bool:
        """Each part observes the exit for itself."""
        return True

    def __str__(self) -> str:
        return " and ".join(map(str, self.strategies))

    def begin(self, wait: Wait) -> Check:
        """Begin every part."""
        waiting = {n: begin_guarded(each, wait) for n, each in enumerate(self.strategies)}
        values: dict[int, object] = {}

        def check() -> Outcome:
            missing = []
            for number, part in list(waiting.items()):
                match outcome := part():
                    case Ready(value):
                        values[number] = value
                        del waiting[number]
                    case Failed():
                        return outcome
                    case Continue(message):
                        missing.append(f"{self.strategies[number]}: {message}")
            if missing:
                return Continue("; ".join(missing))
            return Ready(tuple(values[number] for number in sorted(values)))

        return check


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the conditions holds; the wait fails when all of them have.

    Args:
        strategies: the conditions.
        text: what messages call it; default: the conditions, one after the other.
    """

    strategies: tuple[Strategy, ...]
    text: str = ""

    @property
    def survives_exit(self) -> bool:
        """Each part observes the exit for itself."""
        return True

    def __str__(self) -> str:
        return self.text or " or ".join(map(str, self.strategies))

    def begin(self, wait: Wait) -> Check:
        """Begin every part."""
        parts = [begin_guarded(each, wait) for each in self.strategies]

        def check() -> Outcome:
            outcomes = [part() for part in parts]
            for outcome in outcomes:
                if isinstance(outcome, Ready):
                    return outcome
            open_parts = [each for each in outcomes if isinstance(each, Continue)]
            if not open_parts:
                return outcomes[-1]
            return Continue("; ".join(each.message for each in open_parts))

        return check


def all_of(*strategies: Strategy) -> AllOf:
    """Return the condition that holds once every one of `strategies` has held."""
    return AllOf(_some(strategies))


def any_of(*strategies: Strategy) -> AnyOf:
    """Return the condition that holds as soon as one of `strategies` does."""
    return AnyOf(_some(strategies))


def _some(strategies: tuple[Strategy, ...]) -> tuple[Strategy, ...]:
    if not strategies:
        raise ValueError("at least one condition is needed")
    return strategies
