"""What other tasks say of a strategy's configurations: a table learned on public sets.

Each row of the table is a task: how many examples a label had, how many labels and words there
were, and by which share of the default's loss each configuration lost more on inputs that nobody
had seen. A task that is like the present one counts more. ``bench/search_prior.py`` makes it.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.contests.searching.halving import Expected
from milepost.strategy import Problem

Configuration = dict[str, object]
"""Values of the parameters that a space is made of."""

Array = NDArray[np.float64]

WIDTH = 1.0
"""Width of the kernel between regimes, in standard deviations of the table's regimes."""

UNSURE = 0.01
"""Standard deviation of what a single task adds to what the table says, as a share of the loss."""

UNKNOWN = 0.2
"""Standard deviation of what is believed of a configuration that the table does not hold."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What was measured on ``p`` tasks.

    Attributes:
        sets: Name of the public set that each task was drawn from.
        regimes: ``(p, 3)``, see ``regime_of``.
        configurations: By strategy, those that were tried.
        excess: By strategy, ``(p, m)``: the share of the default's loss that each lost more.
    """

    sets: tuple[str, ...]
    regimes: Array
    configurations: Mapping[str, tuple[Configuration, ...]]
    excess: Mapping[str, Array]

    def without(self, name: str) -> "Table":
        """The table as it would be had the set not been measured."""
        kept = np.array([each != name for each in self.sets], np.bool_)
        return Table(
            tuple(each for each in self.sets if each != name),
            self.regimes[kept],
            self.configurations,
            {strategy: each[kept] for strategy, each in self.excess.items()},
        )


def configurations_of(
    space: Mapping[str, Sequence[object]], default: Mapping[str, object], fixed: Sequence[str] = ()
) -> list[Configuration]:
    """All combinations of a space, the default first.

    Args:
        space: Values by parameter.
        default: Parameters as they are; what the space does not name stays so.
        fixed: Parameters that somebody set by hand, and that are not searched.
    """
    free = {name: values for name, values in space.items() if name not in fixed}
    first: Configuration = {name: default[name] for name in free}
    made = [dict(zip(free, values, strict=True)) for values in itertools.product(*free.values())]
    return [first, *(each for each in made if each != first)]


def regime_of(problem: Problem) -> Array:
    """``(3,)``: examples of a label, labels, and words of an input; base-2 logarithms."""
    counts = np.bincount(problem.y, minlength=len(problem.labels))
    words = np.median([len(text.split()) for text in problem.texts]) if problem.texts else 1.0
    shots = float(counts[counts > 0].mean()) if counts.any() else 1.0
    return np.log2(np.maximum([shots, float(len(problem.labels)), float(words)], 1.0))


def expected(
    table: Table,
    strategy: str,
    configurations: Sequence[Configuration],
    fixed: Mapping[str, object],
    regime: Array,
) -> Expected:
    """What the table says of configurations in a regime.

    Args:
        table: What was measured.
        strategy: Name of the strategy.
        configurations: Those that may be tried, the default first.
        fixed: Values of parameters of the space that were set by hand.
        regime: See ``regime_of``.
    """
    m = len(configurations)
    mean, variance = np.zeros(m), np.full(m, UNKNOWN**2)
    rows = {_key(each): at for at, each in enumerate(table.configurations.get(strategy, ()))}
    held = [rows.get(_key({**fixed, **each})) for each in configurations]
    if not rows or held[0] is None or not len(table.sets):
        return Expected(mean, variance)
    weights = _weights(table, regime)
    excess = table.excess[strategy]
    base = excess[:, held[0]]
    for at, row in enumerate(held):
        if row is None:
            continue
        # The table holds all against its own default; what is compared is another one by hand.
        against = (1.0 + excess[:, row]) / (1.0 + base) - 1.0
        mean[at] = float(weights @ against)
        variance[at] = float(weights @ (against - mean[at]) ** 2) + UNSURE**2
    return Expected(mean, variance)


@cache
def learned() -> Table:
    """The table of the package."""
    return table_from(
        json.loads((files("milepost.contests.searching") / "prior.json").read_text("utf-8"))
    )


def table_from(content: Mapping[str, Any]) -> Table:
    """A table from its JSON."""
    return Table(
        sets=tuple(each["set"] for each in content["tasks"]),
        regimes=np.array([each["regime"] for each in content["tasks"]], np.float64).reshape(-1, 3),
        configurations={n: tuple(s["configurations"]) for n, s in content["strategies"].items()},
        excess={
            n: np.array(s["excess"], np.float64).reshape(-1, len(s["configurations"]))
            for n, s in content["strategies"].items()
        },
    )


def _weights(table: Table, regime: Array) -> Array:
    """How much each task counts, ``(p,)``; adds up to 1, and tasks of one set share theirs."""
    spread = np.maximum(table.regimes.std(axis=0), 0.5)
    distance = (((table.regimes - regime) / spread) ** 2).sum(axis=1)
    near = np.exp(-(distance - distance.min()) / (2.0 * WIDTH**2))
    return near / near.sum()


def _key(configuration: Mapping[str, object]) -> str:
    return json.dumps(configuration, sort_keys=True, default=str)
