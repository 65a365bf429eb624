"""The closed-form head in production, opened so that it can learn and forget single examples.

What a release learned from is read back from its contest's snapshots and solved again; only where
that gives the very head that answers may it be changed. Knows nothing of who asks for a change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from dataclasses import field as with_default
from types import MappingProxyType
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost.data.duplicates import text_keys
from milepost.entities.errors import InputError
from milepost.entities.ids import Digest
from milepost.entities.kinds import Kind, Link, truths
from milepost.entities.learning import LEARNED, UPDATED, HeadUpdate
from milepost.entities.prediction import LabelSets, linked
from milepost.entities.release import Manifest, Release
from milepost.entities.serving import Feedback
from milepost.models.pairs import reads
from milepost.predictors.linear import LinearPredictor
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.head_ridge import HeadRidge
from milepost.strategies.incremental import Solved
from milepost.strategy import Problem
from milepost.workflows.contest.datasets import Material, Split, prepared
from milepost.workflows.contest.setting import problem_of
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import load_bundle

GUARD_ROWS = 200
"""Examples of the release that an updated head is tried on."""

_SAME = 1e-4
"""Largest difference of weights, as a share of the largest, that rounding explains."""

HEADS: Mapping[str, type[HeadClosedForm | HeadRidge]] = MappingProxyType(
    {HeadClosedForm.name: HeadClosedForm, HeadRidge.name: HeadRidge}
)
"""The strategies whose heads change by single examples."""

_MIDDLE: Mapping[Link, float] = MappingProxyType({"softmax": 0.0, "sigmoid": 0.5, "identity": 0.0})
"""Fitted value at which the log odds are 0."""

Vector = NDArray[np.float32]


class _Settled(msgspec.Struct, frozen=True):
    """What an updated head keeps of the release's: two numbers that were chosen."""

    shrinkage: float
    temperature: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Known:
    """An input that the head has learned from.

    Attributes:
        truth: A row of ``milepost.entities.kinds.truths``, such as the column of its label.
        vector: ``(d,) float32``.
        source: Where it came from, such as ``data/route.csv:12``; empty for what it was taught
            since.
        own: Whether it is one of the task's own examples.
    """

    truth: Any
    vector: Vector
    source: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LiveHead:
    """The head in production, solved and ready to change. Immutable.

    Attributes:
        task: Task name.
        release: The release.
        manifest: Of the release's own bundle.
        predictor: The release's own predictor: gives labels and temperature.
        solved: What answers now.
        settled: Shrinkage or penalty, and temperature, of the release.
        update: The record of what answers; ``None`` where it is the release as it was made.
        known: What it has learned from, by the key of the text.
        guard: ``(g, d)`` vectors and truths of examples, to try a change on.
        right: ``(g,) bool``, which of them the release gets right, each left out.
    """

    task: str
    release: Release
    manifest: Manifest
    predictor: LinearPredictor
    solved: Solved
    settled: _Settled
    update: HeadUpdate | None
    known: Mapping[str, Known]
    guard: tuple[Vector, NDArray[Any]]
    right: NDArray[np.bool_] = with_default(default_factory=lambda: np.zeros(0, np.bool_))

    @property
    def answering(self) -> LinearPredictor:
        """The predictor that answers now."""
        coefficients, bias = self.solved.linear()
        middle = _MIDDLE[self.predictor.link]
        return replace(
            self.predictor,
            weights=(coefficients / self.settled.temperature).astype(np.float32),
            bias=((bias - middle) / self.settled.temperature).astype(np.float32),
        )

    @property
    def bundle(self) -> Digest | None:
        """Digest of the bundle that answers; ``None`` for the release's own."""
        return None if self.update is None else self.update.bundle

    def updated_manifest(self, learned: int, forgotten: int) -> Manifest:
        """The manifest of an updated bundle: none of the release's numbers were measured on it."""
        said = {**msgspec.to_builtins(self.settled), "learned": learned, "forgotten": forgotten}
        parameters = {**self.manifest.parameters, UPDATED: said}
        return msgspec.structs.replace(self.manifest, parameters=parameters, metrics={}, files=())

    def tried(self, solved: Solved) -> NDArray[np.bool_]:
        """Which examples of the guard another head gets right, each left out.

        All labels of a set must be right; a score must be nearer than the mean of all is.
        """
        vectors, y = self.guard
        if not len(y):
            return np.zeros(0, np.bool_)
        numbers, link = solved.leave_one_out(vectors, y), self.predictor.link
        if link == "identity":
            return np.abs(numbers[:, 0] - y) < np.abs(y.mean() - y)
        scale = self.settled.temperature * self.predictor.temperature
        found = self.predictor.meaning(linked(link, (numbers - _MIDDLE[link]) / scale))
        if isinstance(found, LabelSets):
            return (found.held == (y[:, : len(found.labels)] > 0)).all(axis=1)
        return numbers.argmax(axis=1) == y


def taught(
    solved: Solved, known: Mapping[str, Known], key: str, new: Known
) -> tuple[Solved, dict[str, Known]]:
    """The head with one more label: in place of what it was taught of the same text before."""
    before = known.get(key)
    if before is not None and not before.own:
        solved = solved.without_example(before.vector, before.truth)
    return solved.with_example(new.vector, new.truth), {**known, key: new}


def open_head(context: Context, task: str, release: Release) -> LiveHead:
    """The head of a release as it answers now.

    Raises:
        InputError: If it cannot learn or forget single examples; says why.
        StorageError: If what it learned from is gone or damaged.
    """
    predictor, manifest = load_bundle(context, release.bundle)
    strategy = _strategy(release, predictor, manifest)
    assert isinstance(predictor, LinearPredictor)  # noqa: S101 - seen above, for the type checker
    context = context.reading(manifest.encoder)
    if context.encoder().digest != manifest.encoder:
        raise _cannot(release, "the workspace's encoder is not the one that it reads")
    material, problem = learned_from(context, release)
    update = context.ledger.release_update(task, release.number)
    now, settled = predictor, None
    if update is not None:
        answering, told = load_bundle(context, update.bundle)
        assert isinstance(answering, LinearPredictor)  # noqa: S101 - made of one
        now, settled = answering, msgspec.convert(told.parameters[UPDATED], _Settled)
    settled = settled or _Settled(*strategy.chosen(problem))
    solved = strategy.solved(problem, settled.shrinkage)
    head = LiveHead(
        task=task,
        release=release,
        manifest=manifest,
        predictor=predictor,
        solved=solved,
        settled=settled,
        update=update,
        known=_known(material, problem),
        guard=_guard(problem, solved),
    )
    head = replace(head, right=head.tried(solved))
    head = _with_lessons(context, head)
    if not _same(head.answering, now):
        raise _cannot(release, "what it learned from does not give the head that answers")
    return head


def without_chosen(
    context: Context,
    head: LiveHead,
    chosen: Callable[..., list[int]],
    keys: frozenset[str],
) -> tuple[LiveHead, int, int]:
    """The head as if it had been fitted without some examples, and never taught some inputs.

    Args:
        context: The workspace.
        head: The head as it answers now.
        chosen: Gives the rows of examples that are to go.
        keys: Keys of the inputs that are to go.

    Returns:
        The head, how many examples it has forgotten, and how many labels that it was taught.
    """
    material, problem = learned_from(context.reading(head.manifest.encoder), head.release)
    train = material.train.take([row for row, text in enumerate(material.train.texts) if text])
    own = sum(bool(text) for text in material.train.texts[: material.own])
    solved, known = head.solved, dict(head.known)
    taught_since = [key for key in keys if key in known and not known[key].source]
    rows = chosen(train, strict=False)
    for key in taught_since:
        solved = solved.without_example(known[key].vector, known[key].truth)
        del known[key]
    # What was taught anew has given its place up already.
    named = text_keys(train.texts)
    gone = [row for row in rows if row < own or named[row] not in taught_since]
    vectors = problem.encoder.encode([train.texts[row] for row in gone])
    solved = solved.without(vectors, problem.y[np.asarray(gone, np.int64)])
    for row in rows:
        known.pop(named[row], None)
    return replace(head, solved=solved, known=known), len(rows), len(taught_since)


def _strategy(
    release: Release, predictor: object, manifest: Manifest
) -> HeadClosedForm | HeadRidge:
    kind = HEADS.get(release.strategy)
    if kind is None:
        named = " nor ".join(f"`{name}`" for name in HEADS)
        raise _cannot(release, f"it is `{release.strategy}`, neither {named}")
    if not isinstance(predictor, LinearPredictor):
        raise _cannot(release, "a detector of inputs out of scope stands around its head")
    if predictor.adapter is not None:
        raise _cannot(release, "its encoder is tuned")
    names = {field.name for field in fields(kind)}
    given = {name: value for name, value in manifest.parameters.items() if name in names}
    given = {k: tuple(cast("list[float]", v)) if isinstance(v, list) else v
             for k, v in given.items()}  # fmt: skip
    return kind(**given)  # pyright: ignore[reportArgumentType]


def learned_from(context: Context, release: Release) -> tuple[Material, Problem]:
    """What the release's contest trained on, without what was forgotten since."""
    contest = context.ledger.contest(release.contest)
    if contest.split is None:
        raise _cannot(release, "its contest did not keep what it trained on")
    versions = {each.digest: each.task for each in context.ledger.task_versions(contest.task)}
    if contest.task_version not in versions:
        raise _cannot(release, "the task as it was is not in the ledger")
    split = msgspec.json.decode(context.artifacts.get(contest.split), type=Split)
    material = prepared(context, split)
    problem = problem_of(
        context,
        versions[contest.task_version],
        material,
        contest.seed,
        Deadline(),
        lambda what, share: context.on_event(release.task, what, share),
    )
    rows = np.flatnonzero([bool(text) for text in problem.texts])
    return material, problem.take(rows.astype(np.int64))


def _known(material: Material, problem: Problem) -> dict[str, Known]:
    vectors = problem.encoder.encode(problem.texts)
    kept = [row for row, text in enumerate(material.train.texts) if text]
    found: dict[str, Known] = {}
    for at, (row, key) in enumerate(zip(kept, text_keys(problem.texts), strict=True)):
        source, own = material.train.sources[row], row < material.own
        found.setdefault(
            key, Known(truth=problem.y[at], vector=vectors[at], source=source, own=own)
        )
    return found


def _guard(problem: Problem, solved: Solved) -> tuple[Vector, NDArray[Any]]:
    """Examples to try changes on, drawn by the contest's seed."""
    may = np.flatnonzero(solved.spare(problem.y))
    if len(may) > GUARD_ROWS:
        may = np.random.default_rng(problem.seed).choice(may, GUARD_ROWS, replace=False)
    texts = [problem.texts[row] for row in may.tolist()]
    return problem.encoder.encode(texts), problem.y[may]


def _with_lessons(context: Context, head: LiveHead) -> LiveHead:
    """With the labels that answers follow since the release was made, as they are kept."""
    number = head.release.number
    newest: dict[str, Feedback] = {}
    prepare = context.preparation(head.manifest.prepare)
    for said in context.ledger.feedback(head.task):
        if said.channel == LEARNED and said.release == number and said.text is not None:
            text = prepare([said.text])[0][: prepare.most]
            newest.setdefault(text_keys([text])[0], msgspec.structs.replace(said, text=text))
    solved, known = head.solved, head.known
    encoder = reads(head.manifest.inputs, context.encoder())
    vectors = encoder.encode([said.text or "" for said in newest.values()])
    for (key, said), vector in zip(newest.items(), vectors, strict=True):
        new = Known(truth=truth_of(head, said.label or ""), vector=vector)
        solved, known = taught(solved, known, key, new)
    return replace(head, solved=solved, known=known)


def truth_of(head: LiveHead, written: str) -> Any:
    """What is written of an example as the head takes it."""
    return truths(kind_of(head.manifest), [written], head.predictor.labels)[0]


def kind_of(manifest: Manifest) -> Kind:
    """Kind of the task that a bundle answers."""
    return manifest.answers or "classify"


def _same(one: LinearPredictor, other: LinearPredictor) -> bool:
    """Whether two heads are the same up to rounding."""
    if one.labels != other.labels or one.weights.shape != other.weights.shape:
        return False
    pairs = ((one.weights, other.weights), (one.bias, other.bias))
    return all(
        float(np.abs(a - b).max(initial=0.0)) <= _SAME * max(1.0, float(np.abs(b).max(initial=0.0)))
        for a, b in pairs
    )


def _cannot(release: Release, why: str) -> InputError:
    return InputError(
        f"release {release.number} of {release.task!r} cannot change at once: {why}.",
        advice=f"`milepost improve {release.task}` trains on it.",
    )
