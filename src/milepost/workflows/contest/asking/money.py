"""The money of a contest: a budget of its own, what each strategy would take, and what is left."""

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import msgspec

from milepost.contests.per_upstream import PerUpstream
from milepost.contests.runner import Entry
from milepost.entities.errors import InputError, UnknownNameError, UpstreamError
from milepost.entities.language import ModelRequest
from milepost.entities.money import MICRO, usd
from milepost.entities.task import Task
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import Answered, Speaker, Terms
from milepost.strategy import Problem, Strategy
from milepost.workflows.contest.asking.trying import foreseen_by_trying
from milepost.workflows.context import Context
from milepost.workflows.upkeep.jobs import Work

_log = logging.getLogger("milepost.jobs")


@runtime_checkable
class Foreseeing(Protocol):
    """Offered by strategies that can say what they will ask before they do."""

    def foreseen(self, problem: Problem, folds: int, others: Sequence[str]) -> int:
        """Micro-USD of a contest at about: all fits, and answers to the examples and to others.

        Raises:
            UpstreamError: If there is no price.
        """
        ...


@contextmanager
def speakers_of(
    context: Context, work: Work, task: Task, budget_usd: float | None
) -> Generator[Mapping[str, Speaker]]:
    """The language models that a contest may ask, under its own budget: none without one."""
    from milepost.workflows.language.opening import speakers

    if budget_usd is None:
        yield {}
        return
    limit = round(budget_usd * MICRO)
    spent = spent_by(context, work, {})
    work.reach(
        lambda: context.ledger.set_budget(
            f"job:{work.job.id}",
            limit,
            period="total",
            reason=f"improve {task.name}",
            actor=context.actor,
        )
    )
    terms = Terms(purpose="improve", task=task.name, job=work.job.id)

    def watch(done: int, asked: int, micro_usd: int) -> None:
        nonlocal spent
        spent += micro_usd
        work.tell_more(f"{done:,} of {asked:,} answers, {usd(spent)} of {usd(limit)} spent")

    with speakers(context, task, terms, watch) as found:
        yield found


def spent_by(context: Context, work: Work, language: Mapping[str, Speaker]) -> int:
    """Micro-USD that the books have under a contest's job."""
    settled = getattr(language, "settled", None)
    if settled is not None:
        settled()
    found = work.reach(lambda: context.ledger.spending(job=work.job.id))
    return sum(each.micro_usd for each in found)


def upstreams_for(context: Context, task: Task, budget_usd: float | None) -> tuple[Upstream, ...]:
    """The upstreams that compete on a task, preferred ones first: none without a budget.

    Where some are registered and none is asked, that is said in one line.

    Raises:
        UnknownNameError: If the task names one that is not registered.
        InputError: If there is a budget and nothing to spend it on.
    """
    known = {each.name: each for each in context.ledger.upstreams()}
    rule = task.language
    named = () if isinstance(rule, msgspec.UnsetType) else rule.upstreams
    for name in named:
        if name not in known:
            raise UnknownNameError(
                "upstream", name, known, where=f"tasks/{task.name}.yaml language.upstreams"
            )
    if budget_usd is None:
        if known:
            few = ", ".join(list(known)[:4]) + (", …" if len(known) > 4 else "")
            _log.info("No language model is asked (%s): --budget-usd lets prompts compete.", few)
        return ()
    if not known:
        raise InputError(
            "there is no language model to spend the budget on.",
            where="budget_usd",
            advice="Register one with `milepost upstreams add`, or leave the budget out.",
        )
    return tuple(known[name] for name in (named or known))


@dataclass(frozen=True, slots=True, eq=False)
class Purse:
    """What the strategies of a contest are foreseen to cost, and whether there is still enough.

    Attributes:
        foreseen: Micro-USD by entry name; what cannot be foreseen is not in it.
        refused: Why an entry cannot be paid for at all, by name.
        left: Micro-USD that the budgets leave now; ``None`` without any.
    """

    foreseen: Mapping[str, int]
    refused: Mapping[str, str]
    left: Callable[[], int | None]

    def around(self, strategy: Strategy, enter: Callable[[], Entry]) -> Entry:
        """The entry, or one that says what it would cost."""
        refused = self.refused.get(strategy.name)
        if refused is not None:
            return Entry(strategy=strategy.name, error=refused)
        cost, left = self.foreseen.get(strategy.name), self.left()
        if cost is not None and left is not None and cost > left:
            return Entry(
                strategy=strategy.name,
                error=f"It would cost about {usd(cost)}, and {usd(left)} of the budget is left.",
                late=True,
            )
        return enter()


def purse_of(
    problem: Problem, strategies: Sequence[Strategy], folds: int, held: Sequence[str]
) -> Purse:
    """Foresee what each strategy that asks language models would cost; nothing is asked yet.

    Args:
        problem: All training examples, with the language models.
        strategies: As they enter.
        folds: How often each is fitted for its out-of-fold answers.
        held: Texts that are held out.
    """
    foreseen: dict[str, int] = {}
    refused: dict[str, str] = {}
    for strategy in strategies:
        if not isinstance(strategy, PerUpstream) or strategy.supports(problem) is not None:
            continue
        speaker = problem.language[strategy.upstream]
        alone = replace(problem, language={strategy.upstream: speaker})
        try:
            foreseen[strategy.name] = (
                strategy.inner.foreseen(alone, folds, held)
                if isinstance(strategy.inner, Foreseeing)
                else foreseen_by_trying(strategy.inner, alone, folds, held)
            )
        except UpstreamError as error:
            refused[strategy.name] = " ".join(filter(None, [str(error.what), error.advice]))

    def left() -> int | None:
        return min(
            (left for each in problem.language.values() if (left := each.left()) is not None),
            default=None,
        )

    return Purse(foreseen, refused, left)


def tell_foreseen(purse: Purse) -> None:
    """Say what each strategy would cost, before anything is asked."""
    left = purse.left()
    have = "" if left is None else f" of {usd(left)}"
    for name, cost in sorted(purse.foreseen.items(), key=lambda each: each[1]):
        dear = left is not None and cost > left
        _log.info("%s: about %s%s%s", name, usd(cost), have, " — too dear" if dear else "")
    for name, why in purse.refused.items():
        _log.info("%s: %s", name, why)


def by_cost(strategies: Sequence[Strategy], purse: Purse) -> list[Strategy]:
    """The strategies with those that cost money last, cheap ones first."""
    return sorted(strategies, key=lambda each: purse.foreseen.get(each.name, -1))


class Within:
    """A ``Speaker`` that asks nothing which does not fit into what is left. Thread safe.

    For what may be left out, such as an examination: half of it would be money for nothing.

    Args:
        inner: Who is asked.
        most: Micro-USD that may be spent on one lot of requests; ``None`` for what is left.
    """

    def __init__(self, inner: Speaker, most: int | None = None) -> None:
        self._inner = inner
        self._most = most

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        return self._inner.upstream

    def ask(self, requests: Sequence[ModelRequest]) -> list[Answered]:
        """As that of the inner one.

        Raises:
            UpstreamError: Also if all of them would cost more than there is.
        """
        left = self.left()
        if left is not None:
            cost = self._inner.estimate(requests)
            if cost > left:
                have = f"{usd(left)} is left" if self._most != 0 else "nothing may be spent on it"
                raise UpstreamError(
                    "over_budget",
                    f"asking {self.upstream.name} would cost about {usd(cost)}, and {have}.",
                    upstream=self.upstream.name,
                )
        return self._inner.ask(requests)

    def estimate(self, requests: Sequence[ModelRequest]) -> int:
        """As that of the inner one."""
        return self._inner.estimate(requests)

    def left(self) -> int | None:
        """What the budgets leave, and no more than was allowed here."""
        left = self._inner.left()
        if self._most is None or left is None:
            return left if self._most is None else self._most
        return min(left, self._most)


def within(language: Mapping[str, Speaker], most: int | None = None) -> dict[str, Speaker]:
    """The same language models, asked only what fits into what is left."""
    return {name: Within(each, most) for name, each in language.items()}
