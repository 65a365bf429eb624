"""One task on the other encoder: the strategy of its release refitted, judged beside the release.

The rows, the folds and the seed are those of the contest that the release came from as far as the
data is the same, so that both answer the same examples, each from a predictor that never saw them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self, cast

import msgspec

from milepost._base.digest import canonical_json, digest_of
from milepost.contests.per_upstream import asks
from milepost.entities.contest import Candidate, Contest, Moving
from milepost.entities.errors import CorruptError, InputError, MilepostError
from milepost.entities.ids import Digest
from milepost.entities.job import Step
from milepost.entities.release import Channel, Release
from milepost.entities.task import Task
from milepost.predictors.base import Predictor
from milepost.predictors.bundle import read_manifest
from milepost.serving.driving import is_driven
from milepost.strategies.registry import strategy_named, with_plugins
from milepost.strategy import Combining, Strategy, Training
from milepost.workflows.contest.corrections import feedback_for, taught
from milepost.workflows.contest.datasets import Split, prepare
from milepost.workflows.contest.holding import Asked, contest_id, held
from milepost.workflows.contest.judge import FLOOR_STRATEGY
from milepost.workflows.contest.options import Options, entering, work_key
from milepost.workflows.context import Context
from milepost.workflows.encoders import require_readable
from milepost.workflows.looking.looks import require_unworn
from milepost.workflows.release.bundles import load_bundle
from milepost.workflows.tasks.current import current_task
from milepost.workflows.upkeep.job_parts import Part
from milepost.workflows.upkeep.jobs import Kept, Work

IN_PLACE = "head_closed_form"
"""What is fitted where the release's own strategy trains for minutes, or is made of others."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one task, as it is recorded.

    Attributes:
        task: Its name.
        release: Number of the release in production; ``None`` without one.
        version: Version of the channel when it was judged.
        contest: Artifact of the contest, which is not concluded yet; ``None`` where nothing was
            judged.
        why: Why nothing was, as a sentence; empty where something was.
        settled: Whether it reads the other encoder already.
        failed: Whether something is in production that should have been judged, and could not be.
    """

    task: str
    release: int | None = None
    version: int = 0
    contest: Digest | None = None
    why: str = ""
    settled: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Judging:
    """What all tasks of a migration are judged with.

    Attributes:
        context: The workspace as it is.
        there: The workspace on the other encoder.
        work: The job.
        loss: Largest loss that is accepted.
        done: Tasks whose contest is concluded already, by name.
    """

    context: Context
    there: Context
    work: Work
    loss: float
    done: Mapping[str, Judged]

    @classmethod
    def begin(cls, context: Context, there: Context, work: Work, loss: float) -> Self:
        """Begin, or go on where an earlier process ended after all was concluded."""
        done: dict[str, Judged] = {}
        steps = context.ledger.job_steps(work.job.id) if work.job.attempts > 1 else ()
        for step in steps:
            judged = msgspec.convert(step.result, Judged)
            if _is_concluded(context, judged):
                done[judged.task] = judged
        return cls(context, there, work, loss, done)

    def task(self, name: str, shares: tuple[float, float]) -> Judged:
        """A task, judged now or by an earlier process; what cannot be judged is a row, no end."""
        if name in self.done:
            return self.done[name]
        ledger, found = self.context.ledger, Judged(task=name)
        try:
            task = current_task(self.context, name)
            channel = ledger.channel(name)
            if channel is None:
                return msgspec.structs.replace(found, why="Nothing is in production.")
            release = ledger.release(name, channel.release)
            found = Judged(task=name, release=release.number, version=channel.version)
            predictor, manifest = load_bundle(self.context, release.bundle)
            if manifest.encoder == self.there.encoder().digest:
                why = "It reads this encoder already."
                return msgspec.structs.replace(found, why=why, settled=True)
            why = _not_for(predictor, release)
            if task.own_encoder is not None:
                why = "Its file names its encoder; name another one there, and improve it."
            if why:
                return msgspec.structs.replace(found, why=why)
            require_readable(task, self.there.inputs_read())
            return self._judged(task, channel, release, shares)
        except MilepostError as error:
            why = f"It could not be judged: {error}"
            return msgspec.structs.replace(found, why=why, failed=True)

    def _judged(
        self, task: Task, channel: Channel, release: Release, shares: tuple[float, float]
    ) -> Judged:
        before = self.context.ledger.contest(release.contest)
        candidate = next(c for c in before.candidates if c.id == release.candidate)
        strategies = [strategy_named(FLOOR_STRATEGY), same_strategy(candidate)]
        options = Options(seed=before.seed, with_feedback=_with_feedback(self.context, before))
        every = feedback_for(self.context, task)
        said = every if options.with_feedback else taught(every) or None
        key = work_key(self.there, task, options, strategies, said)
        asked = Asked(
            task,
            entering(task, strategies),
            options,
            {},
            moving=Moving(loss=self.loss),
        )

        def judge() -> Judged:
            part = Part(self.work, task.name, shares)
            part.tell("reading data", 0.0)
            material = prepare(self.there, task, contest_id(part), said)
            require_unworn(self.there, task, material, contest_id(part))
            contest = held(self.there, part, asked, material)[0]
            return Judged(
                task=task.name,
                release=release.number,
                version=channel.version,
                contest=self.context.artifacts.put(canonical_json(contest)),
            )

        def save(judged: Judged) -> Kept:
            plain = cast("dict[str, object]", msgspec.to_builtins(judged))
            return Kept(plain, _needed(self.context, judged))

        def load(step: Step) -> Judged:
            judged = msgspec.convert(step.result, Judged)
            _needed(self.context, judged)  # what is gone or went bad is judged again
            return judged

        step = f"{task.name} {digest_of([key, release.digest, channel.version])[:16]}"
        return self.work.once(step, judge, save, load)


def contest_at(context: Context, artifact: Digest) -> Contest:
    """A contest that was judged and is not concluded yet.

    Raises:
        CorruptError: If what is stored is none; it is judged again then.
    """
    try:
        return msgspec.json.decode(context.artifacts.get(artifact), type=Contest)
    except msgspec.DecodeError as error:
        raise CorruptError(f"a judged contest cannot be read ({error}).", where=artifact) from error


def same_strategy(candidate: Candidate) -> Strategy:
    """The strategy of a release with its parameters, where it can be fitted alone in seconds."""
    table = with_plugins()
    if candidate.strategy not in table:
        return strategy_named(IN_PLACE)
    allowed = {field.name for field in fields(table[candidate.strategy])}
    given = {name: value for name, value in candidate.parameters.items() if name in allowed}
    try:
        found = strategy_named(candidate.strategy, given, table=table)
    except InputError:
        # Parameters of another version of the strategy: it is fitted with those of now.
        found = strategy_named(candidate.strategy, table=table)
    if isinstance(found, Training | Combining) or asks(found):
        return strategy_named(IN_PLACE)
    return found


def judged_contests(context: Context, judged: list[Judged]) -> dict[str, Contest]:
    """The contests of the tasks that were judged, by task."""
    return {
        each.task: contest_at(context, each.contest) for each in judged if each.contest is not None
    }


def _not_for(predictor: Predictor, release: Release) -> str:
    """Why a release has nothing to move, as a sentence; empty where it has."""
    if is_driven(predictor):
        return "It is a cascade or asks language models: `milepost improve` makes it anew."
    if predictor.uses != "vectors":
        return f"Release {release.number} ({release.strategy}) reads text, and no encoder."
    return ""


def _with_feedback(context: Context, contest: Contest) -> bool:
    """Whether a contest was trained on feedback too."""
    if contest.split is None or not context.artifacts.exists(contest.split):
        return False
    split = msgspec.json.decode(context.artifacts.get(contest.split), type=Split)
    return bool(split.feedback)


def _is_concluded(context: Context, judged: Judged) -> bool:
    try:
        found = judged_contests(context, [judged])
        return bool(found) and bool(context.ledger.contest(found[judged.task].id))
    except MilepostError:
        return False


def _needed(context: Context, judged: Judged) -> tuple[Digest, ...]:
    """Everything stored that a judged task rests on.

    Raises:
        StorageError: If it cannot be read.
    """
    assert judged.contest is not None  # noqa: S101 — it was judged, for the type checker
    contest = contest_at(context, judged.contest)
    found = [judged.contest, *([contest.split] if contest.split is not None else [])]
    for candidate in contest.candidates:
        if candidate.predictions is not None:
            found.append(candidate.predictions)
        if candidate.bundle is not None:
            manifest = read_manifest(context.artifacts.get(candidate.bundle))
            found += [candidate.bundle, *(file.sha256 for file in manifest.files)]
    return tuple(found)
