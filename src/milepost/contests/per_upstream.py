"""A strategy that asks a language model, as it enters a contest: with one upstream, under its name.

The strategy is not told that there are others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any, cast

from milepost.entities.kinds import Kind
from milepost.predictors.base import Predictor
from milepost.strategy import Problem, Strategy, kinds_of


def asks(strategy: Strategy) -> bool:
    """Whether a strategy asks language models; its class says so by ``asks = True``."""
    return bool(getattr(strategy, "asks", False))


def per_upstream(strategy: Strategy, upstreams: Sequence[str]) -> list[Strategy]:
    """The strategy once for each upstream; the first one's entry has the strategy's own name."""
    # Its name is a property; the protocol's is written for plain classes.
    return [
        cast("Strategy", PerUpstream(strategy, upstream, first=at == 0))
        for at, upstream in enumerate(upstreams)
    ]


@dataclass(frozen=True)
class PerUpstream:
    """A strategy that asks one upstream and no other.

    Attributes:
        inner: The strategy.
        upstream: Name of the upstream.
        first: Whether it is the task's first one.
    """

    inner: Strategy
    upstream: str
    first: bool

    asks = True

    @property
    def name(self) -> str:
        """That of the strategy, and the upstream's where it is not the first."""
        return self.inner.name if self.first else f"{self.inner.name}-{self.upstream}"

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Those of the strategy."""
        return kinds_of(self.inner)

    @property
    def parameters(self) -> Mapping[str, object]:
        """Those of the strategy, and its upstream."""
        plain = asdict(cast("Any", self.inner)) if is_dataclass(self.inner) else {}
        return {**plain, "upstream": self.upstream}

    def supports(self, problem: Problem) -> str | None:
        """Why it cannot solve the problem; without its upstream it cannot."""
        if self.upstream not in problem.language:
            return f"The upstream `{self.upstream}` cannot be asked here."
        return self.inner.supports(self._alone(problem))

    def fit(self, problem: Problem) -> Predictor:
        """What the strategy fits with its upstream alone."""
        return self.inner.fit(self._alone(problem))

    def _alone(self, problem: Problem) -> Problem:
        return replace(problem, language={self.upstream: problem.language[self.upstream]})
