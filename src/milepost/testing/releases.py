"""Releases made by hand for tests: real bundles in a real workspace, without a contest."""

from itertools import count

import msgspec
import numpy as np

from milepost.entities.errors import UnknownNameError
from milepost.entities.ids import Digest
from milepost.entities.release import Manifest
from milepost.entities.task import Task
from milepost.predictors.base import Predictor
from milepost.predictors.constant import ConstantPredictor
from milepost.predictors.linear import LinearPredictor
from milepost.testing.records import some_contest
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import store_bundle
from milepost.workflows.tasks.current import current_task, version_of
from milepost.workflows.tasks.files import write_task

_numbers = count(1)


def add_task(context: Context, task: Task) -> Task:
    """A task with its file, known to the ledger."""
    write_task(context.root, task)
    return current_task(context, task.name)


def some_linear(context: Context, labels: tuple[str, ...], seed: int = 0) -> LinearPredictor:
    """A head on the workspace's encoder that answers by chance, but always the same."""
    rng = np.random.default_rng(seed)
    d = context.bare_encoder().dimensions
    return LinearPredictor(
        labels=labels,
        temperature=0.5,
        weights=rng.normal(size=(len(labels), d)).astype(np.float32),
        bias=np.zeros(len(labels), np.float32),
    )


def always(labels: tuple[str, ...], label: str, probability: float = 0.9) -> ConstantPredictor:
    """A predictor that gives one label whatever it is asked."""
    rest = (1.0 - probability) / (len(labels) - 1)
    prior = [probability if each == label else rest for each in labels]
    return ConstantPredictor(labels=labels, log_prior=np.log(np.array(prior)))


def release(
    context: Context,
    name: str,
    predictor: Predictor,
    *,
    channel: str = "production",
    abstain_below: float | None = None,
) -> int:
    """Store a predictor as the next release of a task, point a channel at it, give its number."""
    task = current_task(context, name)
    reads = predictor.uses == "vectors"
    manifest = Manifest(
        kind=predictor.kind,
        task=name,
        task_version=version_of(task),
        labels=predictor.labels,
        strategy="by_hand",
        encoder=Digest(context.bare_encoder().digest) if reads else None,
        variant="fp32" if reads else None,
        abstain_below=msgspec.UNSET if abstain_below is None else abstain_below,
    )
    digest = store_bundle(context, predictor, manifest)
    contest = some_contest(next(_numbers), task=task, failures=0)
    candidate = msgspec.structs.replace(contest.candidates[0], strategy="by_hand", bundle=digest)
    contest = msgspec.structs.replace(
        contest, task_version=version_of(task), candidates=(candidate,)
    )
    before = context.ledger.channel(name, channel)
    made = context.ledger.conclude(
        contest,
        expected_version=before.version if before else 0,
        actor=context.actor,
        channel=channel,
    )
    if made.release is None:
        raise UnknownNameError("release", name, ())
    return made.release
