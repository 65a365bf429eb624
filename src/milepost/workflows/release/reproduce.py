"""Recompute the numbers of a release from what its contest recorded.

The snapshots, the split, the task and the settings are read as they were; every strategy is fitted
again on the same folds with the same seed, everything is judged and examined again, and what comes
out is held against the record, value by value. Nothing is recorded, and no look is taken: the same
look is repeated, and nothing is decided by it. Time is never recomputed.
"""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as with_fields
from typing import cast

import msgspec
import numpy as np

from milepost._base.clock import Deadline
from milepost.contests.asking import Language
from milepost.contests.held import HeldVectors
from milepost.contests.per_upstream import PerUpstream, asks
from milepost.contests.runner import Events, combine, run
from milepost.contests.searching.searched import as_recorded
from milepost.data.snapshot import snapshot_digest
from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Decision
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.ids import Digest
from milepost.entities.release import Channel, Manifest, Release
from milepost.entities.reproduction import Reproduction, Unequal
from milepost.entities.task import Task
from milepost.models.language.asking import Terms
from milepost.models.pairs import reads
from milepost.predictors.base import Predictor
from milepost.predictors.bundle import MANIFEST, bundle_files
from milepost.strategies.registry import STRATEGIES
from milepost.strategy import Problem, Strategy
from milepost.workflows.contest.asking.combining import combining, contenders
from milepost.workflows.contest.asking.money import within
from milepost.workflows.contest.datasets import Material, Split, prepared
from milepost.workflows.contest.examining import examine_chosen, with_examination
from milepost.workflows.contest.holding import CHANNEL, decided
from milepost.workflows.contest.judge import Bench, Judgement, judge
from milepost.workflows.contest.naive import naive_of, with_naive
from milepost.workflows.contest.options import competing, entering, with_parameters
from milepost.workflows.contest.setting import bench_of, folding_of, problem_of
from milepost.workflows.contest.stored_predictions import load_predictions
from milepost.workflows.context import Context
from milepost.workflows.encoders import require_encoder
from milepost.workflows.release.bundles import load_bundle
from milepost.workflows.tasks.current import current_task
from milepost.workflows.versions import code_version

_AGAIN = "`milepost improve` makes a release whose numbers can be recomputed."


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """A release with everything as it was.

    Attributes:
        release: The release.
        contest: Its contest.
        candidate: Its candidate, with a scorecard.
        task: The task as it was.
        material: What the contest worked on.
        strategies: Those that came to something.
    """

    release: Release
    contest: Contest
    candidate: Candidate
    task: Task
    material: Material
    strategies: list[Strategy]


def reproduce(context: Context, name: str, number: int, tolerance: float = 0.0) -> Reproduction:
    """Recompute a release's scorecard, selection, comparison and decision.

    Args:
        context: The workspace.
        name: Name of the task.
        number: Number of the release.
        tolerance: Largest difference between two numbers that counts as the same, 0 or more.

    Raises:
        UnknownNameError: If there is no such task or release.
        InputError: If it cannot be recomputed; says what is missing.
        StorageError: If what is needed is gone or damaged.
    """
    if not 0.0 <= tolerance < 1.0:
        raise InputError(
            f"the tolerance {tolerance:g} is out of range.",
            where="tolerance",
            advice="It is a difference between two numbers, such as 1e-6.",
        )
    started = time.monotonic()
    current_task(context, name)
    past, notes = _past(context, name, number)
    then = _as_it_was(context, past, notes)
    with _kept_answers(then, past) as language:
        problem = problem_of(
            then,
            past.task,
            past.material,
            past.contest.seed,
            Deadline(),
            _telling(context, name),
            language,
        )
        bench = _bench(then, past, problem)
        judgement = _judged(then, past, problem, bench)
    again = next(c for c in judgement.candidates if c.strategy == past.candidate.strategy)
    decision = _decision(then, past, bench, judgement)
    numbers, texts, unequal = held_against(
        _record(past.candidate, past.contest.decision), _record(again, decision), tolerance
    )
    answers, apart = _answers(context, past, judgement, bench)
    vectors, vectors_apart = _vectors(then, past, problem, judgement)
    return Reproduction(
        task=name,
        release=number,
        candidate=past.candidate.id,
        contest=past.contest.id,
        strategy=past.candidate.strategy,
        numbers=numbers,
        texts=texts,
        unequal=unequal,
        tolerance=tolerance,
        predictor=_same_files(context, past, judgement.predictors[past.candidate.strategy]),
        answers=answers,
        answers_apart=apart,
        vectors=vectors,
        vectors_apart=vectors_apart,
        seconds=time.monotonic() - started,
        notes=tuple(notes),
    )


def held_against(
    recorded: object, recomputed: object, tolerance: float
) -> tuple[int, int, tuple[Unequal, ...]]:
    """Numbers and texts in both records together, and those that differ.

    Args:
        recorded: Plain data.
        recomputed: Plain data of the same shape.
        tolerance: Largest difference between two numbers that counts as the same.
    """
    left, right = dict(_leaves("", recorded)), dict(_leaves("", recomputed))
    numbers = texts = 0
    unequal: list[Unequal] = []
    for where in dict.fromkeys([*left, *right]):
        one, other = left.get(where, _MISSING), right.get(where, _MISSING)
        if _is_number(one) or _is_number(other):
            numbers += 1
        elif one is not None or other is not None:
            texts += 1
        apart = _apart(one, other)
        if one == other or (apart is not None and apart <= tolerance):
            continue
        unequal.append(
            Unequal(where=where, recorded=_json(one), recomputed=_json(other), apart=apart)
        )
    return numbers, texts, tuple(unequal)


class _Missing:
    """Stands for a value that is not there; equal to nothing else."""


_MISSING = _Missing()


def _leaves(where: str, value: object) -> Iterator[tuple[str, object]]:
    """Every value of plain data that holds no others, with its place."""
    items: Iterable[tuple[object, object]]
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
    elif isinstance(value, list | tuple):
        items = enumerate(cast("Sequence[object]", value))
    else:
        yield where, value
        return
    for key, each in items:
        yield from _leaves(f"{where}.{key}" if where else str(key), each)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _apart(one: object, other: object) -> float | None:
    """How far two numbers are apart; ``None`` where they are not both numbers."""
    if not (_is_number(one) and _is_number(other)):
        return None
    assert isinstance(one, int | float)  # noqa: S101 — seen above, for the type checker
    assert isinstance(other, int | float)  # noqa: S101
    return abs(float(one) - float(other))


def _json(value: object) -> str:
    return "" if value is _MISSING else msgspec.json.encode(value).decode()


def _record(candidate: Candidate, decision: object) -> object:
    """What of a candidate can be recomputed: everything but what a clock measured."""
    card = candidate.scorecard
    card = None if card is None else msgspec.structs.replace(card, latency=None)
    record = {
        "selection": candidate.selection,
        "scorecard": card,
        "chosen": candidate.chosen,
        "against": candidate.against,
        "decision": decision,
    }
    # As the ledger keeps it: JSON knows every float to the last digit, and no NaN.
    return msgspec.json.decode(msgspec.json.encode(record))


def _past(context: Context, name: str, number: int) -> tuple[_Past, list[str]]:
    release = context.ledger.release(name, number)
    contest = context.ledger.contest(release.contest)
    candidate = next(c for c in contest.candidates if c.id == release.candidate)
    if candidate.scorecard is None:
        raise InputError(f"{name}#{number} has no scorecard.", advice=_AGAIN)
    versions = {v.digest: v.task for v in context.ledger.task_versions(name)}
    task = versions.get(contest.task_version)
    if task is None:
        raise InputError(
            f"the task as it was ({contest.task_version[:12]}) is not in the ledger.",
            where=f"{name}#{number}",
            advice="Run `milepost audit verify`, and restore the ledger from a backup.",
        )
    material = prepared(context, _split(context, contest, f"{name}#{number}"))
    _check_material(contest, material, f"{name}#{number}")
    notes = [
        "Not recomputed: latency and cost, which a clock measured, and the contest's learning "
        "curve and forecast."
    ]
    if contest.moving is not None and contest.moving.together:
        notes.append(
            "The decision was taken for several tasks together, and is not recomputed from one."
        )
    if contest.code != code_version():
        notes.append(
            f"Made by milepost {contest.code}, recomputed by {code_version()}: another version may "
            "measure more, or otherwise."
        )
    took_part = {c.strategy: c for c in contest.candidates if c.scorecard is not None}
    order = _order(context, contest, list(took_part))
    try:
        strategies = competing([_own(name) for name in took_part])
        by_name = {each.name: each for each in strategies}
    except UnknownNameError as error:
        raise InputError(
            f"the strategy {error.name!r} took part, and is not installed.",
            where=f"{name}#{number}",
            advice="Install the plug-in that it comes from.",
        ) from error
    entered = [_entered(task, by_name[_own(each)], took_part[each]) for each in order]
    if any(asks(each) for each in entered):
        notes.append("Language models were not asked again: their answers are those kept then.")
    return _Past(release, contest, candidate, task, material, entered), notes


def _own(entry: str) -> str:
    """Name of an entry's strategy; the name of a further upstream stands behind it."""
    return entry.partition("-")[0]


def _entered(task: Task, strategy: Strategy, candidate: Candidate) -> Strategy:
    """The strategy as it entered, with the parameters that it had and those that it chose."""
    strategy = with_parameters(strategy, candidate.parameters)
    if not asks(strategy):
        return as_recorded(entering(task, [strategy])[0], candidate.parameters)
    upstream = str(candidate.parameters.get("upstream", ""))
    first = candidate.strategy == strategy.name
    return cast("Strategy", PerUpstream(strategy, upstream, first=first))


def _order(context: Context, contest: Contest, entered: Sequence[str]) -> list[str]:
    """Those that came to something in the order in which they competed, which breaks ties."""
    try:
        asked = context.ledger.job(_job(contest)).arguments.get("strategies")
    except UnknownNameError:
        asked = None
    known = cast("list[str]", asked) if isinstance(asked, list) else list(STRATEGIES)

    def place(entry: str) -> int:
        own = _own(entry)
        return known.index(own) if own in known else len(known)

    return sorted(entered, key=place)


def _job(contest: Contest) -> str:
    return f"j{contest.id[1:]}"


def _split(context: Context, contest: Contest, where: str) -> Split:
    """Which rows were trained on and which certified on, as the contest or its job recorded it."""
    digest = contest.split
    if digest is None:
        steps = context.ledger.job_steps(_job(contest))
        kept = next((step.result.get("split") for step in steps if step.name == "data"), None)
        digest = Digest(str(kept)) if kept is not None else None
    if digest is None or not context.artifacts.exists(digest):
        raise InputError(
            "which rows were trained on and which certified on was not kept: an earlier version "
            "of milepost made it.",
            where=where,
            advice=_AGAIN,
        )
    return msgspec.json.decode(context.artifacts.get(digest), type=Split)


def _check_material(contest: Contest, material: Material, where: str) -> None:
    """Hold the digests of what was read against those that the contest recorded.

    Raises:
        InputError: If they differ, or some were forgotten.
    """
    judged = material.holdout.texts if material.holdout is not None else ()
    forgotten = sum(not text for text in (*material.train.texts, *judged))
    if forgotten:
        raise InputError(
            f"{forgotten:,} of its examples were forgotten since, so that its numbers cannot be "
            "recomputed.",
            where=where,
            advice=_AGAIN,
        )
    found = {material.examples_digest: contest.examples}
    if material.holdout is not None and contest.regime == "holdout":
        found[snapshot_digest(material.holdout)] = contest.holdout or Digest("")
    for is_, should in found.items():
        if is_ != should:
            raise InputError(
                f"the recorded split is of other examples ({is_[:12]} instead of {should[:12]}).",
                where=where,
                advice="Run `milepost verify`, and restore what is damaged from a backup.",
            )


def _as_it_was(context: Context, past: _Past, notes: list[str]) -> Context:
    """The workspace with the settings of then, and the encoder that was measured with.

    Raises:
        InputError: If that encoder is not there.
    """
    card = past.candidate.scorecard
    wanted = card.provenance.get("encoder") if card is not None else None
    if wanted is not None:
        context = context.reading(wanted)
        require_encoder(wanted, context.encoder().digest, "release")
    settings = context.ledger.settings_at(past.contest.started)
    if settings is None:
        notes.append("The settings of then were not recorded; those of now were used.")
        return context
    configuration = msgspec.structs.replace(context.configuration, settings=settings)
    return with_fields(context, configuration=configuration)


def _judged(context: Context, past: _Past, problem: Problem, bench: Bench) -> Judgement:
    """Every strategy fitted and judged again, and the chosen one examined."""
    timed = {
        c.strategy: c.scorecard.latency
        for c in past.contest.candidates
        if c.scorecard is not None and c.scorecard.latency is not None
    }
    made_of = combining(past.strategies)
    own = [each for each in past.strategies if each not in made_of]
    folding = folding_of(context, past.material, problem)
    held = past.material.holdout.texts if past.material.holdout is not None else ()
    entries = run(
        problem,
        folding,
        own,
        lambda what, share: context.on_event(past.task.name, what, 0.7 * share),
        held=held,
    )
    if made_of and all(entry.fitted is not None for entry in entries):
        others = contenders(problem, own, entries, timed)
        entries += combine(problem, folding, made_of, others, held=held)
    failed = [entry for entry in entries if entry.fitted is None]
    if failed:
        raise InputError(
            f"{failed[0].strategy} could be fitted then, and cannot be now: {failed[0].error}",
            where=f"{past.task.name}#{past.release.number}",
            advice="`milepost doctor` says what is missing on this machine.",
        )
    context.on_event(past.task.name, "judging", 0.75)
    judgement = judge(bench, entries, past.contest.id, timed)
    chosen, card = judgement.chosen, past.candidate.scorecard
    if chosen is not None and card is not None and card.examination is not None:
        context.on_event(past.task.name, "examining", 0.85)
        out_of_fold = next(
            e.fitted.out_of_fold for e in entries if e.strategy == chosen.strategy and e.fitted
        )
        examination = examine_chosen(
            bench,
            problem,
            past.strategies,
            judgement,
            out_of_fold,
            brief=past.contest.moving is not None,
        )
        judgement = with_examination(judgement, examination)
    if not len(past.material.leaks):
        return judgement
    naive = naive_of(bench, problem, past.material, past.strategies, judgement)
    return with_naive(judgement, naive, len(past.material.leaks))


@contextmanager
def _kept_answers(context: Context, past: _Past) -> Generator[Language]:
    """What language models answered then, as far as it is kept; nothing is spent on asking anew."""
    names = dict.fromkeys(each.upstream for c in past.contest.candidates for each in c.asked)
    if not names:
        yield {}
        return
    from milepost.workflows.language.opening import speakers

    with speakers(context, None, Terms(purpose="evaluate", task=past.task.name)) as known:
        yield within({name: known[name] for name in names if name in known}, most=0)


def _bench(context: Context, past: _Past, problem: Problem) -> Bench:
    card = past.candidate.scorecard
    bench = bench_of(context, past.task, past.material, problem, card.spent if card else None)
    # Another version of the code is told as a note; as a number it is that of then.
    provenance = {**bench.provenance, "code": past.contest.code}
    return with_fields(bench, provenance=provenance, looks=card.looks if card else 0)


def _decision(context: Context, past: _Past, bench: Bench, judgement: Judgement) -> Decision:
    """What the gate says now; what several tasks decided together stands as it was."""
    contest = past.contest
    if contest.moving is not None and contest.moving.together:
        return contest.decision
    standing = _standing(context, contest)
    return decided(context, bench, judgement, standing, contest.moving)


def _standing(context: Context, contest: Contest) -> Channel | None:
    """The release in production when the gate decided, as the audit log tells it."""
    entries = context.ledger.audit(subject=contest.id, action="gate.decided")
    number = entries[0].details.get("incumbent") if entries else None
    if number is None:
        return None
    return Channel(
        task=contest.task, name=CHANNEL, release=int(str(number)), previous=None, version=1
    )


def _same_files(context: Context, past: _Past, predictor: Predictor) -> bool:
    """Whether fitting again gave the files of the bundle, to the byte."""
    _, manifest = load_bundle(context, past.release.bundle)
    again = bundle_files(predictor, msgspec.structs.replace(manifest, files=()))
    made = msgspec.json.decode(again[MANIFEST], type=Manifest)
    return _sums(made) == _sums(manifest)


def _sums(manifest: Manifest) -> Mapping[str, str]:
    return {file.name: file.sha256 for file in manifest.files}


def _answers(
    context: Context, past: _Past, judgement: Judgement, bench: Bench
) -> tuple[int, float]:
    """Stored probabilities that were recomputed, and the largest difference."""
    if past.candidate.predictions is None:
        return 0, 0.0
    ids, _, stored = load_predictions(context, past.candidate.predictions)
    again = judgement.probabilities[past.candidate.strategy]
    if ids != bench.judged.ids or stored.shape != again.shape:
        return stored.size, 1.0
    return stored.size, float(np.abs(stored - again).max(initial=0.0))


def _vectors(
    context: Context, past: _Past, problem: Problem, judgement: Judgement
) -> tuple[int, float]:
    """Texts encoded anew, without any cache, and how far the vectors are from those used."""
    if all(predictor.uses != "vectors" for predictor in judgement.predictors.values()):
        return 0, 0.0
    held = past.material.holdout.texts if past.material.holdout is not None else ()
    texts = list(dict.fromkeys([*past.material.train.texts, *held]))
    context.on_event(past.task.name, f"encoding {len(texts):,} texts anew", 0.9)
    fresh = HeldVectors(reads(past.material.split.inputs, context.bare_encoder()), texts).encode(
        texts
    )
    used = problem.encoder.encode(texts)
    return len(texts), float(np.abs(fresh - used).max(initial=0.0))


def _telling(context: Context, name: str) -> Events:
    def tell(what: str, share: float) -> None:
        context.on_event(name, what, share)

    return tell
