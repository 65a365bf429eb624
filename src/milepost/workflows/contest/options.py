"""What a contest is asked for: options, who competes, and when two contests are the same work."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from milepost._base.digest import digest_of, sha256_file
from milepost.contests.per_upstream import asks, per_upstream
from milepost.contests.scoped import scoped
from milepost.entities.errors import InputError
from milepost.entities.ids import Digest
from milepost.entities.serving import Feedback
from milepost.entities.task import Task
from milepost.entities.upstream import Upstream
from milepost.evaluation.measuring import own_file
from milepost.strategies.registry import strategy_named, with_plugins
from milepost.strategy import Combining, Strategy
from milepost.workflows.contest.cases import case_files
from milepost.workflows.contest.corrections import said_digest
from milepost.workflows.contest.datasets import task_preparation
from milepost.workflows.contest.judge import FLOOR_STRATEGY
from milepost.workflows.context import Context
from milepost.workflows.prompts.using import prompt_for
from milepost.workflows.tasks.current import version_of
from milepost.workflows.versions import code_version

MOST_SEED = 2**32 - 1
"""Largest seed: what every generator of the strategies takes."""

MOST_USD = 1_000_000
"""Largest budget for language models, in USD: what is above is a slip of the pen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a contest.

    Attributes:
        budget: Wall seconds for the task, those of finished steps of an interrupted run included;
            ``None`` for no limit.
        seed: The one seed, from 0 to ``MOST_SEED``.
        strategies: Names of the strategies that compete; ``None`` for all.
        budget_usd: What language models may cost, in USD, an interrupted run included; ``None``
            asks none.
        with_feedback: Whether to train also on what was said of served answers.
    """

    budget: float | None = None
    seed: int = 0
    strategies: Sequence[str] | None = None
    with_feedback: bool = False
    budget_usd: float | None = None


def check_options(options: Options) -> None:
    """Refuse a seed or a budget that cannot be used.

    Raises:
        InputError: Naming which one and what is allowed.
    """
    if not isinstance(options.seed, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(
            f"the seed {options.seed!r} is not a whole number.", where="seed", advice="Such as 0."
        )
    if not isinstance(options.budget, int | float | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(
            f"the budget {options.budget!r} is not a number.",
            where="budget",
            advice="Give seconds, such as 60.",
        )
    if not isinstance(options.budget_usd, int | float | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(
            f"the budget {options.budget_usd!r} is not a number.",
            where="budget_usd",
            advice="Give USD, such as 0.5.",
        )
    if isinstance(options.strategies, str):
        raise InputError(
            "strategies is one text.", where="strategies", advice=f"Give [{options.strategies!r}]."
        )
    if not 0 <= options.seed <= MOST_SEED:
        raise InputError(
            f"the seed {options.seed} is out of range.",
            where="seed",
            advice=f"It is a whole number from 0 to {MOST_SEED}.",
        )
    if options.budget is not None and not 0 < options.budget < float("inf"):
        raise InputError(
            f"the budget of {options.budget:g} seconds is out of range.",
            where="budget",
            advice="Give more than 0 seconds, or None for no limit.",
        )
    if options.budget_usd is not None and not 0 < options.budget_usd <= MOST_USD:
        raise InputError(
            f"the budget of {options.budget_usd:g} USD is out of range.",
            where="budget_usd",
            advice=f"Give more than 0 and at most {MOST_USD:,} USD, or leave it out.",
        )


def check_paid(options: Options, strategies: Sequence[Strategy]) -> None:
    """Refuse strategies that were named and ask a language model that nothing may be spent on.

    Raises:
        InputError: Naming the first of them.
    """
    if options.strategies is None or options.budget_usd is not None:
        return
    for each in strategies:
        if asks(each):
            raise InputError(
                f"the strategy '{each.name}' asks a language model, and nothing may be spent.",
                where="strategies",
                advice="Say what it may cost, such as --budget-usd 0.50 (budget_usd in Python).",
            )


def competing(names: Sequence[str] | None) -> list[Strategy]:
    """The competing strategies, those of plug-ins last; ``majority`` always takes part.

    Raises:
        UnknownNameError: If a name is not known.
        InputError: If an installed plug-in cannot be used.
    """
    table = with_plugins()
    wanted = list(table) if names is None else [FLOOR_STRATEGY, *names]
    return [strategy_named(name, table=table) for name in dict.fromkeys(wanted)]


def entering(
    task: Task,
    strategies: Sequence[Strategy],
    upstreams: Sequence[str] = (),
    *,
    named: bool = False,
) -> list[Strategy]:
    """The strategies as they enter a contest: with a detector each where the task has a scope.

    The floor stays what it is: it is what everything is compared with. A strategy that asks
    language models enters once for each upstream and tells inputs out of scope by itself; without
    one it does not enter. Those that are made of others enter where a language model takes part,
    where the task says what they must promise, or where they were named.

    Args:
        task: The task.
        strategies: Those that compete.
        upstreams: Names of the upstreams that may be asked, preferred ones first.
        named: Whether somebody named the strategies.
    """
    rule, declared = task.out_of_scope, not isinstance(task.cascade, msgspec.UnsetType)
    entered: list[Strategy] = []
    for each in strategies:
        if asks(each):
            entered += per_upstream(each, upstreams)
        elif isinstance(each, Combining):
            entered += [each] if upstreams or declared or named else []
        elif each.name == FLOOR_STRATEGY or isinstance(rule, msgspec.UnsetType):
            entered.append(each)
        else:
            entered.append(scoped(each, rule))
    return entered


def work_key(
    context: Context,
    task: Task,
    options: Options,
    strategies: Sequence[Strategy],
    said: Sequence[Feedback] | None = None,
    upstreams: Sequence[Upstream] = (),
) -> Digest:
    """Digest of everything that makes two contests the same work.

    The budget is no part of it: it decides when to stop, not what comes out of a strategy.
    """
    files = [*task.data.example_files, *task.data.test_files, *case_files(task)]
    encoder, measure = context.encoder(), own_file(task.objective, context.root)
    prompt = prompt_for(context, task) if upstreams else None
    return Digest(
        digest_of(
            {
                "task": version_of(task),
                "measure": _file_digest(measure) if measure else None,
                "prepare": task_preparation(context, task).steps,
                "data": [_file_digest(context.root / file) for file in files],
                "seed": options.seed,
                "strategies": [_made_of(strategy) for strategy in strategies],
                "encoder": [encoder.digest, encoder.variant],
                "settings": context.settings,
                "code": code_version(),
                **({} if said is None else {"feedback": said_digest(said)}),
                **({"upstreams": list(upstreams)} if upstreams else {}),
                **({} if prompt is None else {"prompt": prompt}),
            }
        )
    )


def _file_digest(path: Path) -> str | None:
    """SHA-256 of a data file; ``None`` where it cannot be read, which the reader will say."""
    try:
        return sha256_file(path)
    except OSError:
        return None


def _made_of(strategy: Strategy) -> list[object]:
    """A strategy's name, parameters and code: a plug-in may change without a new version."""
    module = sys.modules[type(strategy).__module__]
    source = _file_digest(Path(module.__file__)) if module.__file__ else None
    parameters = asdict(cast("Any", strategy)) if is_dataclass(strategy) else {}
    return [strategy.name, module.__name__, source, repr(sorted(parameters.items()))]
