"""The declared tests of behaviour, asked of a release or a candidate without a contest."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.contests.runner import predict
from milepost.data.snapshot import read_snapshot
from milepost.entities.errors import InputError
from milepost.entities.examination import Behaved
from milepost.entities.example import Examples
from milepost.entities.expectations import Behaviour
from milepost.entities.task import Task
from milepost.evaluation.declared import check_declared
from milepost.evaluation.examination.behaviour import Examinee, run_tests
from milepost.evaluation.examination.subject import Answering
from milepost.metrics.inference.intervals import Sampling
from milepost.workflows.answering.speaking import language_of
from milepost.workflows.contest.cases import case_files, read_cases
from milepost.workflows.contest.datasets import Split, load, prepared
from milepost.workflows.contest.examining import known_texts, prepared_where_new
from milepost.workflows.context import Context
from milepost.workflows.encoders import require_encoder
from milepost.workflows.release.bundles import Answerer, find_answerer
from milepost.workflows.tasks.current import current_task

SHOWN = 20
"""Failures that are listed per test, and per part of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """Cases of a file that must be answered right, besides the declared tests.

    Attributes:
        file: The file, with the task's columns; relative to the current folder.
        by: Column by whose values they are reported, each held against ``at_least``.
        at_least: Smallest share that must pass, 0 to 1.
    """

    file: str
    by: str | None = None
    at_least: float = 1.0


def behave(
    context: Context,
    name: str,
    release: int | None = None,
    candidate: str | None = None,
    more: More | None = None,
) -> Behaved:
    """Run the declared tests of a task, as its file has them now.

    Inputs are changed that the predictor's contest judged on; their labels are not read, so that
    this is no look at the holdout.

    Args:
        context: The workspace.
        name: Name of the task.
        release: Number of the release; ``None`` for what is in production.
        candidate: Id of a candidate instead.
        more: Further cases.

    Raises:
        InputError: If there is nothing to run, a test cannot be run, or the task has no room for
            any.
        WorkspaceError: If there is no release yet.
    """
    declared = current_task(context, name)
    refused = declared.no_room_for.get("behaviour")
    if refused is not None:
        raise InputError(
            f"tests of behaviour are not for {refused}.",
            where=f"tasks/{name}.yaml",
            advice=f"Measure it on a labelled file: milepost evaluate {name} FILE.",
        )
    task = declared if more is None else _with(declared, more)
    if not task.behaviour:
        raise InputError(
            "the task declares no tests of behaviour.",
            where=f"tasks/{name}.yaml",
            advice="Declare some under behaviour:, or give cases with --file.",
        )
    answerer = find_answerer(context, name, release, candidate)
    inputs, trained = _examples(context, task, answerer)
    cases = _cases(context, declared, more, answerer)
    labels = answerer.predictor.labels
    check_declared(task, labels, inputs, cases)
    found = run_tests(
        Examinee(
            task=task,
            labels=labels,
            inputs=inputs,
            predict=_answering(context, answerer, known_texts((inputs, *cases.values()))),
            cases=cases,
            trained=trained.texts,
            chars=context.settings.examine_chars,
            sampling=Sampling(confidence=context.settings.confidence),
            shown=SHOWN,
        )
    )
    return Behaved(
        task=name,
        release=answerer.release,
        candidate=answerer.candidate,
        behaviour=found.scores,
        checks=found.checks,
        notes=found.notes,
    )


def _with(task: Task, more: More) -> Task:
    """The task with the further cases as one more test."""
    if not 0 <= more.at_least <= 1:
        raise InputError(
            f"{more.at_least:g} is out of range.",
            where="at_least",
            advice="It is a share between 0 and 1, such as 0.9.",
        )
    tests = task.behaviour if isinstance(task.behaviour, tuple) else ()
    taken = {test.name for test in tests}
    free = next(n for n in ("file", *(f"file-{i}" for i in range(2, 10**6))) if n not in taken)
    test = Behaviour(name=free, kind="minimum", file=more.file, by=more.by, at_least=more.at_least)
    return msgspec.structs.replace(task, behaviour=(*tests, test))


def _cases(
    context: Context, task: Task, more: More | None, answerer: Answerer
) -> dict[str, Examples]:
    """Cases by file: those of the task file lie in the workspace, the further ones anywhere."""
    prepare = context.preparation(answerer.manifest.prepare)
    read = read_cases(case_files(task), task, context.settings, root=context.root, prepare=prepare)
    if more is not None:
        read |= read_cases([more.file], task, context.settings, prepare=prepare)
    return {file: reading.examples for file, reading in read.items()}


def _examples(context: Context, task: Task, answerer: Answerer) -> tuple[Examples, Examples]:
    """What the predictor's contest judged on, and what it trained on."""
    contest = context.ledger.contest_of(answerer.candidate)
    if contest.split is not None:
        split = msgspec.json.decode(context.artifacts.get(contest.split), type=Split)
        material = prepared(context, split)
        own = material.train.take(range(material.own))
        return material.holdout or own, material.train
    dataset = context.ledger.dataset(contest.examples)
    trained = read_snapshot(context.artifacts.get(dataset.artifact))
    test = load(context, task).test
    return (test.examples if test is not None else trained), trained


def _answering(context: Context, answerer: Answerer, known: frozenset[str]) -> Answering:
    manifest, predictor = answerer.manifest, answerer.predictor
    encoder = context.reading(manifest.encoder).encoder()
    if predictor.uses == "vectors":
        require_encoder(manifest.encoder, encoder.digest)
    prepare = context.preparation(answerer.manifest.prepare)

    def answer(texts: Sequence[str]) -> NDArray[np.float32]:
        if answerer.manifest.prepare:
            texts = prepared_where_new(prepare, texts, known)
        with language_of(context, answerer.manifest.task, predictor, "evaluate") as language:
            return predict(predictor, texts, encoder, language)

    return answer
