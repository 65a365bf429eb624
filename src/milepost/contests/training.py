"""Strategies that train for minutes: whether what is left of the time is enough for one."""

import math

from milepost.strategy import Problem, Strategy, Training

STEPS = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90)
"""Minutes that a budget is advised in; above, whole hours."""

SPARE = 1.5
"""How much more than its own time is advised: others take their part of the budget, too."""


def trains(strategy: Strategy) -> Training | None:
    """The strategy, or the one that it stands around, where it trains for minutes."""
    inner: object = getattr(strategy, "inner", strategy)
    return inner if isinstance(inner, Training) else None


def too_long(problem: Problem, strategy: Strategy, fits: int) -> str | None:
    """Why a strategy cannot train in the time that is left, and what to type; else ``None``.

    Args:
        problem: All training examples; its deadline is what is left.
        strategy: Any strategy.
        fits: How often it is fitted: for each fold, and once on everything.
    """
    training = trains(strategy)
    if training is None or problem.deadline.at is None:
        return None
    needed, left = fits * training.seconds(problem), problem.deadline.remaining
    if needed <= left:
        return None
    return (
        f"It would take about {_span(needed)} of the budget, and {_span(left)} is left: "
        f"`--budget {_advised(needed)}` would let it."
    )


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _advised(needed: float) -> str:
    minutes = SPARE * needed / 60
    fitting = next((step for step in STEPS if step >= minutes), None)
    return f"{math.ceil(minutes / 60)}h" if fitting is None else f"{fitting}m"
