"""What a contest is about: the problem that strategies solve, and what they are judged on."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost._base.digest import sha256_file
from milepost.contests.asking import Language
from milepost.contests.held import HeldVectors
from milepost.contests.runner import Events
from milepost.data.splitting.folding import Folding, fold_examples
from milepost.entities.scorecard import Spending
from milepost.entities.task import Task
from milepost.evaluation.measuring import cost_table, own_file, task_measure
from milepost.models.pairs import reads
from milepost.strategy import Problem
from milepost.workflows.contest.asking.money import within
from milepost.workflows.contest.datasets import Material, once_per_message
from milepost.workflows.contest.judge import Bench
from milepost.workflows.context import Context
from milepost.workflows.prompts.using import prompt_for
from milepost.workflows.together.stored import joint_of
from milepost.workflows.versions import code_version


def problem_of(
    context: Context,
    task: Task,
    material: Material,
    seed: int,
    deadline: Deadline,
    event: Events,
    language: Language | None = None,
) -> Problem:
    """What the strategies of a contest solve; nothing is encoded before one asks."""
    texts = material.train.texts
    held = material.holdout.texts if material.holdout is not None else ()

    def encoding(done: int, total: int) -> None:
        event(f"encoding {done:,} of {total:,} texts", 0.1 + 0.1 * done / max(1, total))

    problem = Problem(
        labels=material.labels,
        descriptions=tuple(task.labels.get(label, "") for label in material.labels),
        instruction=task.instruction,
        texts=texts,
        y=material.train_y,
        encoder=HeldVectors(
            reads(task.composition, context.encoder()), [*texts, *held], encoding, deadline
        ),
        seed=seed,
        deadline=deadline,
        language=language or {},
        prompt=prompt_for(context, task, material.labels),
        input_name=task.input_name,
        kind=task.kind,
        metric=task.objective.metric,
        images=bool(task.images),
        cascade=task.cascade_rule,
        costs=cost_table(task.objective, material.labels)
        if task.objective.metric == "utility"
        else None,
        unlabeled=material.unlabeled,
        weights=context.weights,
        joint=joint_of(context, task.name, material),
    )
    return replace(problem, evidence=evidence_rows(context, material, problem))


def folding_of(context: Context, material: Material, problem: Problem) -> Folding:
    """Which rows answer which out of fold; of tasks tuned together the folds that they share."""
    if problem.joint is not None:
        shared = [problem.joint.fold_of[text] for text in problem.texts]
        own = np.unique(shared, return_inverse=True)[1]
        return Folding(own.astype(np.int64), np.ones(len(shared), np.bool_))
    return fold_examples(
        material.train, material.strata, context.settings.folds, problem.seed, material.own
    )


def counted_rows(context: Context, material: Material, problem: Problem) -> NDArray[np.int64]:
    """Training rows that count as evidence, ascending: one per message, and one that was answered.

    What came of feedback stands behind the task's own examples, and is never evidence.
    """
    counted = once_per_message(material.train.take(range(material.own)))
    if material.train.times:
        counted = counted[folding_of(context, material, problem).counts[counted]]
    return counted


def evidence_rows(context: Context, material: Material, problem: Problem) -> NDArray[np.int64]:
    """Counted rows of which no two belong to the same owner, such as a customer."""
    counted, owners = counted_rows(context, material, problem), material.train.clusters
    if owners is None:
        return counted
    first: dict[str, int] = {}
    for row in counted.tolist():
        first.setdefault(owners[row], row)
    return np.asarray(list(first.values()), np.int64)


def bench_of(
    context: Context,
    task: Task,
    material: Material,
    problem: Problem,
    spent: Spending | None,
) -> Bench:
    """What candidates are judged on, at a look that costs so much; records none."""
    counted = counted_rows(context, material, problem)
    judged, judged_y = material.train.take(counted.tolist()), material.train_y[counted]
    if material.holdout is not None and material.holdout_y is not None:
        judged, judged_y = material.holdout, material.holdout_y
    provenance = {
        "examples": material.examples_digest,
        "encoder": problem.encoder.digest,
        "encoder_name": problem.encoder.name,
        "variant": problem.encoder.variant,
        "code": code_version(),
    }
    if material.holdout_digest is not None:
        provenance["holdout"] = material.holdout_digest
    own = own_file(task.objective, context.root)
    if own is not None:
        provenance["measure"] = sha256_file(own)
    return Bench(
        task=task,
        labels=material.labels,
        regime=material.regime,
        train=material.train,
        train_y=material.train_y,
        folding=folding_of(context, material, problem),
        counted=counted,
        own=material.own,
        judged=judged,
        judged_y=judged_y,
        encoder=problem.encoder,
        bare_encoder=reads(task.composition, context.bare_encoder()),
        settings=context.settings,
        seed=problem.seed,
        looks=spent.look if spent else 0,
        spent=spent,
        one_sided=1.0 - spent.alpha if spent else None,
        provenance=provenance,
        measure=task_measure(task, material.labels, context.root),
        cases=material.cases,
        prepare=context.preparation(material.split.prepare) if material.split.prepare else None,
        language=within(problem.language),
    )
