"""What a contest is asked for: options, who competes, and when two contests are the same work."""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from milepost._base.digest import digest_of, sha256_file
from milepost.contests.per_upstream import asks, per_upstream
from milepost.contests.scoped import scoped
from milepost.contests.searching.searched import searched
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.ids import Digest
from milepost.entities.kinds import KINDS
from milepost.entities.serving import Feedback
from milepost.entities.task import Task
from milepost.entities.upstream import Upstream
from milepost.evaluation.measuring import own_file
from milepost.strategies.multitask import Multitask
from milepost.strategies.registry import strategy_named, with_plugins
from milepost.strategy import Combining, Strategy, Training, kinds_of, reads_images
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
        parameters: Parameters of strategies that are set by hand, by strategy; they come before
            those of the task file. A strategy that is named here was asked for.
        together: Where the record is stored of tasks that were tuned together, this one among
            them: what they came to competes, too. ``None`` where they were not.
    """

    budget: float | None = None
    seed: int = 0
    strategies: Sequence[str] | None = None
    with_feedback: bool = False
    budget_usd: float | None = None
    parameters: Mapping[str, Mapping[str, object]] = field(
        default_factory=dict[str, Mapping[str, object]]
    )
    together: Digest | None = None

    def names(self, strategy: str) -> bool:
        """Whether somebody asked for this strategy rather than for all."""
        return self.strategies is not None or strategy in self.parameters


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


def by_hand(task: Task, options: Options) -> dict[str, dict[str, object]]:
    """Parameters that somebody set, by strategy: those of the task file, then those of the call.

    Raises:
        UnknownNameError: If there is no such strategy.
        InputError: If one is set for the call and does not take part in it.
    """
    told = {} if isinstance(task.strategies, msgspec.UnsetType) else task.strategies
    table = with_plugins()
    given = {f"tasks/{task.name}.yaml: strategies": told, "set": options.parameters}
    for where, names in given.items():
        for name in names:
            if name not in table:
                raise UnknownNameError("strategy", name, table, where=where)
    for name in options.parameters:
        if options.strategies is not None and name not in options.strategies:
            raise InputError(
                f"a parameter of '{name}' is set, and it does not take part.",
                where="set",
                advice=f"Name it, too (--strategy {name}), or leave it out.",
            )
    return {
        name: {**told.get(name, {}), **options.parameters.get(name, {})}
        for name in (*told, *options.parameters)
    }


def competing(
    names: Sequence[str] | None, parameters: Mapping[str, Mapping[str, object]] | None = None
) -> list[Strategy]:
    """The competing strategies, those of plug-ins last; ``majority`` always takes part.

    Args:
        names: Those that compete; ``None`` for all.
        parameters: Those that are not the defaults, by strategy.

    Raises:
        UnknownNameError: If a name is not known, or a parameter.
        InputError: If a parameter is out of range, or an installed plug-in cannot be used.
    """
    table, given = with_plugins(), parameters or {}
    wanted = list(table) if names is None else [FLOOR_STRATEGY, *names]
    return [strategy_named(name, given.get(name), table=table) for name in dict.fromkeys(wanted)]


def entering(
    task: Task,
    strategies: Sequence[Strategy],
    upstreams: Sequence[str] = (),
    options: Options | None = None,
    begun: Collection[str] = (),
) -> list[Strategy]:
    """The strategies as they enter a contest: with a detector each where the task has a scope.

    The floor stays what it is: it is what everything is compared with. A strategy that asks
    language models enters once for each upstream and tells inputs out of scope by itself; without
    one it does not enter. Those that offer ``Training`` enter where time was given, or they were
    asked for. Cascades enter where a language model takes part, where
    the task says what they must promise, or where they were asked for. With time given, what can
    be searched is; a task with a scope searches nothing.

    Args:
        task: The task.
        strategies: Those that compete.
        upstreams: Names of the upstreams that may be asked, preferred ones first.
        options: How the contest is run; ``None`` where each of the strategies was asked for.
        begun: Names of strategies that an earlier process of the contest finished.
    """
    chosen = options or Options(strategies=[each.name for each in strategies])
    rule, timed = task.out_of_scope, chosen.budget is not None
    told = {} if isinstance(task.strategies, msgspec.UnsetType) else task.strategies
    classes = KINDS[task.kind].link == "softmax"
    entered: list[Strategy] = []
    for each in strategies:
        joined = each.name == Multitask.name and chosen.together is not None
        wanted = joined or chosen.names(each.name) or each.name in begun
        fits = task.kind in kinds_of(each) and (reads_images(each) or not task.images)
        if not fits and not wanted:
            continue
        if asks(each):
            entered += per_upstream(each, upstreams)
        elif not wanted and (
            each.name == Multitask.name or (isinstance(each, Training) and not timed)
        ):
            continue
        elif isinstance(each, Training) and isinstance(each, Combining):
            entered.append(each)
        elif isinstance(each, Combining):
            declared = not isinstance(task.cascade, msgspec.UnsetType)
            entered += [each] if upstreams or declared or wanted else []
        elif each.name == FLOOR_STRATEGY:
            entered.append(each)
        elif not isinstance(rule, msgspec.UnsetType):
            entered.append(scoped(each, rule))
        else:
            set_by_hand = {*told.get(each.name, ()), *chosen.parameters.get(each.name, ())}
            entered.append(searched(each, tuple(set_by_hand)) if timed and classes else each)
    return entered


def with_parameters(strategy: Strategy, recorded: Mapping[str, object]) -> Strategy:
    """The strategy with the parameters that a candidate's record tells, as far as it has them."""
    if not is_dataclass(strategy):
        return strategy
    plain = asdict(cast("Any", strategy))
    known = {name: value for name, value in recorded.items() if name in plain}
    return cast("Strategy", msgspec.convert({**plain, **known}, type(strategy)))


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
    named = (
        task.data.example_files,
        task.data.test_files,
        task.data.unlabeled_files,
        task.data.candidate_files,
    )
    files = [*(file for each in named for file in each), *case_files(task)]
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
                **({} if options.together is None else {"together": options.together}),
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
