"""Improve a task: data → contest → scorecards → gate → release, each step a record in the ledger.

Nothing is visible before it is whole: bundles are stored first, then the contest with all its
candidates, its release, the channel and the audit rows in one transaction.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from milepost._base.clock import Deadline
from milepost.contests.runner import Entry, Events, HeldVectors, learning_curve, run
from milepost.entities.contest import Candidate, Contest, CurvePoint
from milepost.entities.decision import Decision
from milepost.entities.errors import InputError
from milepost.entities.example import QualityReport
from milepost.entities.ids import ContestId, Digest
from milepost.entities.release import Channel, Manifest
from milepost.entities.task import Task
from milepost.metrics.intervals import estimate
from milepost.releases.gate import decide
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.registry import strategy_named, with_plugins
from milepost.strategy import Problem, Strategy
from milepost.workflows.contest.datasets import Material, once_per_message, prepare
from milepost.workflows.contest.incumbent import incumbent_evidence
from milepost.workflows.contest.judge import FLOOR_STRATEGY, Bench, Judgement, judge
from milepost.workflows.contest.stored_predictions import store_predictions
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import store_bundle
from milepost.workflows.tasks.current import current_task, version_of
from milepost.workflows.versions import code_version

CHANNEL = "production"
MOST_SEED = 2**32 - 1
"""Largest seed: what every generator of the strategies takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a contest.

    Attributes:
        budget: Wall seconds for the task; ``None`` for no limit.
        seed: The one seed, from 0 to ``MOST_SEED``.
        strategies: Names of the strategies that compete; ``None`` for all.
    """

    budget: float | None = None
    seed: int = 0
    strategies: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Improvement:
    """What an improvement came to.

    Attributes:
        contest: The record of the contest, verdict included.
        quality: What was found in the data.
    """

    contest: Contest
    quality: QualityReport


def improve(context: Context, name: str, options: Options) -> Improvement:
    """Let strategies compete on a task, judge them, and release what passes the gate.

    Raises:
        InputError: If the task file, its data or an option cannot be used.
    """
    started, clock_start = context.clock(), time.monotonic()
    _check(options)
    task = current_task(context, name)
    standing = context.ledger.channel(name, CHANNEL)
    strategies = _strategies(options.strategies)
    deadline = Deadline.after(options.budget)
    contest_id = ContestId(f"c{secrets.token_hex(6)}")

    def event(what: str, share: float) -> None:
        context.on_event(name, what, share)

    event("reading data", 0.0)
    context.encoder()  # one that cannot be opened is found before anything is recorded
    material = prepare(context, task, contest_id)
    problem = _problem(context, task, material, options.seed, deadline, event)
    event("contest", 0.1)
    entries = run(problem, material.train.groups, strategies, context.settings.folds, event)
    event("judging", 0.9)
    bench = _bench(context, task, material, problem, contest_id)
    judgement = judge(bench, entries, contest_id)
    curve = _curve(bench, problem, entries, context.settings.folds)
    decision = _decide(context, bench, judgement, standing)
    stored = _store(context, bench, judgement)
    contest = Contest(
        id=contest_id,
        task=name,
        task_version=version_of(task),
        examples=material.examples_digest,
        holdout=material.holdout_digest,
        regime=material.regime,
        seed=options.seed,
        budget_seconds=options.budget,
        started=started,
        seconds=time.monotonic() - clock_start,
        candidates=stored,
        curve=curve,
        decision=decision,
        code=code_version(),
    )
    event("recording", 0.98)
    recorded = context.ledger.conclude(
        contest,
        expected_version=standing.version if standing else 0,
        actor=context.actor,
        channel=CHANNEL,
    )
    return Improvement(contest=recorded, quality=material.quality)


def _check(options: Options) -> None:
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


def _strategies(names: Sequence[str] | None) -> list[Strategy]:
    """The competing strategies, those of plug-ins last; ``majority`` always takes part.

    Raises:
        UnknownNameError: If a name is not known.
        InputError: If an installed plug-in cannot be used.
    """
    table = with_plugins()
    wanted = list(table) if names is None else [FLOOR_STRATEGY, *names]
    return [strategy_named(name, table=table) for name in dict.fromkeys(wanted)]


def _problem(
    context: Context,
    task: Task,
    material: Material,
    seed: int,
    deadline: Deadline,
    event: Events,
) -> Problem:
    texts = material.train.texts
    held = material.holdout.texts if material.holdout is not None else ()

    def encoding(done: int, total: int) -> None:
        event(f"encoding {done:,} of {total:,} texts", 0.1 * done / max(1, total))

    return Problem(
        labels=material.labels,
        descriptions=tuple(task.labels.get(label, "") for label in material.labels),
        instruction=task.instruction,
        texts=texts,
        y=material.train_y,
        encoder=HeldVectors(context.encoder(), [*texts, *held], encoding, deadline),
        seed=seed,
        deadline=deadline,
    )


def _bench(
    context: Context, task: Task, material: Material, problem: Problem, contest: ContestId
) -> Bench:
    counted = once_per_message(material.train)
    judged, judged_y = material.train.take(counted.tolist()), material.train_y[counted]
    if material.holdout is not None and material.holdout_y is not None:
        judged, judged_y = material.holdout, material.holdout_y
    looks = context.ledger.record_look(
        task.name,
        material.holdout_digest or material.examples_digest,
        purpose="certify the candidates of a contest",
        actor=context.actor,
        contest=contest,
    )
    provenance = {
        "examples": material.examples_digest,
        "encoder": problem.encoder.digest,
        "encoder_name": problem.encoder.name,
        "variant": problem.encoder.variant,
        "code": code_version(),
    }
    if material.holdout_digest is not None:
        provenance["holdout"] = material.holdout_digest
    return Bench(
        task=task,
        labels=material.labels,
        regime=material.regime,
        train=material.train,
        train_y=material.train_y,
        counted=counted,
        judged=judged,
        judged_y=judged_y,
        encoder=problem.encoder,
        bare_encoder=context.bare_encoder(),
        settings=context.settings,
        seed=problem.seed,
        looks=looks,
        provenance=provenance,
    )


def _curve(
    bench: Bench, problem: Problem, entries: Sequence[Entry], fold_count: int
) -> tuple[CurvePoint, ...]:
    """Out-of-fold learning curve of the closed-form head; empty where it did not compete."""
    strategy = HeadClosedForm()
    entry = next((e for e in entries if e.strategy == strategy.name), None)
    if entry is None or entry.fitted is None:
        return ()
    points = learning_curve(problem, bench.train.groups, strategy, fold_count)
    whole = round(len(problem.texts) * (1 - 1 / fold_count))
    points.append((whole, entry.fitted.out_of_fold.argmax(axis=1)))
    metric, k = bench.task.objective.metric, len(bench.labels)
    return tuple(
        CurvePoint(
            examples=examples,
            estimate=estimate(
                metric, bench.train_y[bench.counted], answers[bench.counted], k, bench.sampling
            ),
        )
        for examples, answers in points
    )


def _decide(
    context: Context, bench: Bench, judgement: Judgement, standing: Channel | None
) -> Decision:
    chosen = judgement.chosen
    late = [c.strategy for c in judgement.candidates if c.error and "budget" in c.error]
    left_out = (
        (f"The budget left out {len(late)} of {len(judgement.candidates)} strategies.",)
        if late
        else ()
    )
    if chosen is None or chosen.scorecard is None or chosen.strategy == FLOOR_STRATEGY:
        return Decision(
            verdict="insufficient_evidence",
            reasons=(
                f"Nothing but `{FLOOR_STRATEGY}` could be fitted, so there is nothing to release.",
                *left_out,
            ),
        )
    decision = decide(
        bench.task.objective,
        chosen.scorecard,
        judgement.against_majority,
        incumbent_evidence(context, bench, judgement, standing),
        context.settings.confidence,
    )
    return msgspec.structs.replace(decision, reasons=(*decision.reasons, *left_out))


def _store(context: Context, bench: Bench, judgement: Judgement) -> tuple[Candidate, ...]:
    stored: list[Candidate] = []
    for candidate in judgement.candidates:
        predictor = judgement.predictors.get(candidate.strategy)
        card = candidate.scorecard
        if predictor is None or card is None:
            stored.append(candidate)
            continue
        reads_vectors = predictor.uses == "vectors"
        manifest = Manifest(
            kind=predictor.kind,
            task=bench.task.name,
            task_version=version_of(bench.task),
            labels=bench.labels,
            strategy=candidate.strategy,
            parameters=candidate.parameters,
            encoder=Digest(bench.encoder.digest) if reads_vectors else None,
            variant=bench.encoder.variant if reads_vectors else None,
            examples=Digest(bench.provenance["examples"]),
            seed=bench.seed,
            code=code_version(),
            metrics={name: each.value for name, each in card.metrics.items()},
        )
        stored.append(
            msgspec.structs.replace(
                candidate,
                bundle=store_bundle(context, predictor, manifest),
                predictions=store_predictions(
                    context,
                    bench.judged.ids,
                    bench.labels,
                    judgement.probabilities[candidate.strategy],
                ),
            )
        )
    return tuple(stored)
