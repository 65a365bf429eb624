"""Compare two candidates or releases of a task on examples that are honest for both.

**It is a look.** Whoever reads which judged examples were won and lost has looked at them,
whether the answers were recorded by a contest or are fresh. Each comparison on examples that
contests judge on is recorded with who, when and what for. Nothing is decided by it, so it pays
nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from milepost.data.ranking import at_home, grouped_anew
from milepost.data.read import read_examples
from milepost.entities.difference import Difference, Side
from milepost.entities.errors import DataError, InputError
from milepost.entities.estimate import Estimate
from milepost.entities.example import Examples
from milepost.entities.inputs import sides
from milepost.entities.kinds import KINDS, columns_of, truths
from milepost.entities.task import Objective, Task
from milepost.evaluation.answers import Answers
from milepost.evaluation.differences import cases_words, differences, notes_on
from milepost.evaluation.measuring import measure_of, row_units, task_measure
from milepost.evaluation.slices import slice_masks
from milepost.metrics.inference.intervals import Sampling, estimate_of
from milepost.metrics.scoring.calibration import calibration
from milepost.metrics.scoring.links import judged_spans
from milepost.metrics.scoring.measures import Sample
from milepost.workflows.contest.datasets import once_per_message
from milepost.workflows.contest.honest import (
    Competitor,
    Honest,
    honest_answers,
    kind_of,
    recorded,
)
from milepost.workflows.contest.judge import FLOOR_STRATEGY
from milepost.workflows.context import Context
from milepost.workflows.looking.looks import look_by_evaluation
from milepost.workflows.release.competitors import find_competitor
from milepost.workflows.tasks.current import current_task
from milepost.workflows.tasks.files import write_whole

T = TypeVar("T")

MOST_SHOWN = 1000
"""The most examples of a kind that may be asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shared:
    """Examples that both have honest answers to.

    Attributes:
        examples: The examples.
        answers: Of the first and of the second, on all examples that were thought of.
        rows: Rows of those that both answered.
        labels: Columns of the answers.
        source: Where the examples come from, in words.
        notes: What was left out and why.
    """

    examples: Examples
    answers: tuple[Honest, Honest]
    rows: NDArray[np.int64]
    labels: tuple[str, ...]
    source: str
    notes: tuple[str, ...]


def compare(
    context: Context,
    name: str,
    first: str,
    second: str,
    *,
    on: object | None = None,
    top: int = 10,
) -> Difference:
    """What the second of two candidates or releases does differently from the first.

    Args:
        context: The workspace.
        name: Name of the task.
        first: A release (``3``), a channel (``production``), the id of a candidate, or the name
            of a strategy of the last contest.
        second: The same, of the one to judge.
        on: A labelled file or dataframe to ask both about; ``None`` takes the examples that their
            contests judged them on.
        top: Examples shown of each kind, 0 to ``MOST_SHOWN``.

    Raises:
        UnknownNameError: If there is no such task, or nothing is called that.
        InputError: If the two are the same, or there is no example that is honest for both.
        StorageError: If what is needed is gone or damaged.
    """
    if not 0 <= top <= MOST_SHOWN:
        raise InputError(f"{top} examples cannot be shown.", where="top",
                         advice=f"Give 0 to {MOST_SHOWN:,}.")  # fmt: skip
    task = current_task(context, name)
    pair = (find_competitor(context, name, first), find_competitor(context, name, second))
    if pair[0].candidate.id == pair[1].candidate.id:
        raise InputError(
            f"{first!r} and {second!r} are the same: {pair[0].name}.",
            advice="Name two; `milepost releases` and `milepost candidates` list them.",
        )
    for each in pair:
        _check_kind(context, task, each)
    shared = _on_file(context, task, pair, on) if on is not None else _recorded(context, task, pair)
    found = _compared(context, task, pair, shared, top)
    purpose = f"compare {pair[0].name} with {pair[1].name}"
    look_by_evaluation(context, name, shared.examples.take(shared.rows.tolist()), purpose)
    return found


def _check_kind(context: Context, task: Task, competitor: Competitor) -> None:
    """Refuse one whose answers are not of the kind that the task asks for now.

    Raises:
        InputError: Saying what it answers with.
    """
    kind = kind_of(context, competitor.contest)
    if KINDS[kind].link != KINDS[task.kind].link:
        raise InputError(
            f"{competitor.name} answers with {KINDS[kind].answer}, and the task asks for "
            f"{KINDS[task.kind].answer} now.",
            where=task.name,
            advice="Compare candidates or releases of contests since its kind was changed.",
        )


def write_difference(context: Context, found: Difference, output: Path) -> Path:
    """Write a comparison as one self-contained HTML page.

    Raises:
        WorkspaceError: If the place cannot be written.
    """
    from milepost.reports.comparison.page import render_difference

    write_whole(output, render_difference(found, context.clock()).encode())
    return output


def _recorded(context: Context, task: Task, pair: tuple[Competitor, Competitor]) -> _Shared:
    """What the contest of either judged on, where both are honest; the newer one's labels hold."""
    order = sorted(pair, key=lambda each: each.contest.started, reverse=True)
    parts = [recorded(context, order[0])]
    if order[0].contest.id != order[1].contest.id:
        known = set(zip(parts[0].ids, parts[0].asked, strict=True))
        other = recorded(context, order[1])
        ids = set(parts[0].ids)
        # The same id with another text is another example, and two of an id cannot be told apart.
        new = [
            i
            for i, (identity, text) in enumerate(zip(other.ids, other.asked, strict=True))
            if (identity, text) not in known and identity not in ids
        ]
        parts.append(other.take(new))
    examples = _joined(context, task, parts)
    labels = _labels(task, order)
    answers = _answers(context, task, pair, examples, labels)
    rows = _by_both(task, examples, answers)
    notes = _left_out(pair, answers, len(examples) - len(rows))
    if not len(rows):
        raise InputError(
            f"{pair[0].name} and {pair[1].name} share no example: what one was judged on, the "
            "other was trained on.",
            advice="Ask both about a labelled file of new examples: --on FILE.",
        )
    source = _source(pair, cases_words(task.kind, _cases(task, examples, rows)))
    return _Shared(examples, answers, rows, labels, source, notes)


def _on_file(
    context: Context, task: Task, pair: tuple[Competitor, Competitor], on: object
) -> _Shared:
    read = read_examples(
        [on],
        at_home(task, context.root),
        context.settings,
        unknown_labels="keep",
        prepare=context.preparation(task.prepare),
    )
    examples = read.examples.take(read.examples.labelled_rows)
    if not len(examples):
        raise DataError(
            "no row has a label.",
            where=read.sources[0].path,
            advice=f"Is {task.data.label!r} the column?",
        )
    examples = examples.take(once_per_message(examples).tolist())
    labels = _labels(task, pair)
    answers = _answers(context, task, pair, examples, labels)
    rows = _by_both(task, examples, answers)
    path = read.sources[0].path
    if not len(rows):
        raise DataError(
            "every row of the file, or a near-duplicate of it, was trained on by one of the two.",
            where=path,
            advice="Give examples that neither has seen.",
        )
    source = f"{cases_words(task.kind, _cases(task, examples, rows))} of {path}"
    return _Shared(examples, answers, rows, labels, source,
                   _left_out(pair, answers, len(examples) - len(rows)))  # fmt: skip


def _by_both(task: Task, examples: Examples, answers: tuple[Honest, Honest]) -> NDArray[np.int64]:
    """Rows that both answered; of candidates in order all of a query, or none."""
    both = answers[0].answered & answers[1].answered
    if task.kind == "rank":
        queries = [sides(text)[0] for text in examples.texts]
        partly = {query for query, there in zip(queries, both, strict=True) if not there}
        both = np.array([query not in partly for query in queries], np.bool_)
    return np.flatnonzero(both)


def _cases(task: Task, examples: Examples, rows: NDArray[np.int64]) -> int:
    """How many examples, or queries, those rows are."""
    if task.kind != "rank":
        return len(rows)
    return len({sides(examples.texts[row])[0] for row in rows.tolist()})


def _answers(
    context: Context,
    task: Task,
    pair: tuple[Competitor, Competitor],
    examples: Examples,
    labels: tuple[str, ...],
) -> tuple[Honest, Honest]:
    found: list[Honest] = []
    for at, each in enumerate(pair):
        context.on_event(each.contest.task, f"asking {each.name}", at / 2)
        found.append(honest_answers(context, task, each, examples, labels))
    return found[0], found[1]


def _compared(
    context: Context,
    task: Task,
    pair: tuple[Competitor, Competitor],
    shared: _Shared,
    top: int,
) -> Difference:
    examples = shared.examples.take(shared.rows.tolist())
    y = truths(task.kind, examples.labels, shared.labels)
    first, second = (each.probabilities[shared.rows] for each in shared.answers)
    sampling = Sampling(
        confidence=context.settings.confidence, resamples=context.settings.bootstrap
    )
    measure = task_measure(task, shared.labels, context.root)
    answers = Answers(
        task=task.name,
        kind=task.kind,
        measure=measure,
        labels=shared.labels,
        ids=examples.ids,
        texts=examples.texts,
        y=y,
        first=first,
        second=second,
        masks=slice_masks(examples, task.input_name, task.objective.slices),
        predicates=task.objective.slices,
        candidates=_chosen_from(pair, shared),
        sampling=sampling,
        units=row_units(examples.groups),
    )
    if task.kind == "rank" and not (y[:, 0] > 0).any():
        raise InputError(
            "no query of these has a relevant candidate.",
            where=shared.source,
            advice="Give queries with candidates that are relevant to them: --on FILE.",
        )
    both = tuple(
        _side(each, honest, answers, sample)
        for each, honest, sample in zip(pair, shared.answers, answers.samples, strict=True)
    )
    notes = (*shared.notes, *notes_on(answers), *_notes(pair, answers))
    return differences(answers, (both[0], both[1]), shared.source, notes, top)


def _side(competitor: Competitor, honest: Honest, answers: Answers, sample: Sample) -> Side:
    card = competitor.candidate.scorecard
    temperature = card.calibration.temperature if card and card.calibration else 1.0
    stated = _stated(answers, sample)
    confidence = answers.sampling.confidence
    return Side(
        name=competitor.name,
        candidate=competitor.candidate.id,
        contest=competitor.contest.id,
        release=competitor.release,
        strategy=competitor.candidate.strategy,
        estimate=estimate_of(answers.measure.found(sample), confidence),
        calibration=calibration(*stated, temperature, answers.sampling) if stated else None,
        confidence=float(stated[1].max(axis=1).mean()) if stated else None,
        latency=card.latency if card else None,
        fresh=honest.fresh,
        also=_also(answers, sample),
    )


def _stated(
    answers: Answers, sample: Sample
) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
    """Truths and probabilities of what states how sure it is; ``None`` where nothing does.

    Of spans each that was found, right or not. Those of labels were moved to where their thresholds
    are, and those of candidates are but their order.
    """
    link = KINDS[answers.kind].link
    if link == "softmax":
        return sample.y, sample.probabilities
    if link != "spans":
        return None
    right, likely = judged_spans(sample.y, sample.probabilities)
    if not len(right):
        return None
    return right.astype(np.int64), np.stack([1.0 - likely, likely], axis=1).astype(np.float32)


def _also(answers: Answers, sample: Sample) -> dict[str, Estimate]:
    """The other measures of the kind, but for one that reads probabilities as they were stated."""
    names = [name for name in KINDS[answers.kind].metrics
             if name not in (answers.measure.name, "log_loss")]  # fmt: skip
    return {
        name: estimate_of(
            measure_of(Objective(metric=name), answers.labels, Path(), kind=answers.kind).found(
                sample
            ),
            answers.sampling.confidence,
        )
        for name in names
    }


def _chosen_from(pair: tuple[Competitor, Competitor], shared: _Shared) -> int:
    """How many candidates one of them was chosen from on the very examples of the comparison."""
    found = [1]
    for each, honest in zip(pair, shared.answers, strict=True):
        on_these = int(honest.answered.sum()) > honest.fresh
        if each.contest.regime == "cross_fitted" and each.candidate.chosen and on_these:
            competing = [
                c
                for c in each.contest.candidates
                if c.scorecard is not None and c.strategy != FLOOR_STRATEGY
            ]
            found.append(len(competing))
    return max(found)


def _notes(pair: tuple[Competitor, Competitor], answers: Answers) -> tuple[str, ...]:
    notes: list[str] = []
    if answers.candidates > 1:
        notes.append(
            f"One of them was chosen among {answers.candidates} on these same examples; intervals "
            "and p-values pay for it (Bonferroni)."
        )
    if pair[0].contest.id != pair[1].contest.id:
        notes.append("Time and cost were measured in two contests, maybe on different machines.")
    known = [set(_known_labels(each)) for each in pair]
    for mine, other, each in ((known[0], known[1], pair[0]), (known[1], known[0], pair[1])):
        missing = sorted(other - mine)
        if missing:
            shown = ", ".join(f"`{label}`" for label in missing[:3])
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            notes.append(f"{_capital(each.name)} does not know {shown}{more}; it never answers so.")
    return tuple(notes)


def _left_out(
    pair: tuple[Competitor, Competitor], answers: tuple[Honest, Honest], count: int
) -> tuple[str, ...]:
    if not count:
        return ()
    who = [each.name for each, honest in zip(pair, answers, strict=True) if honest.seen]
    many = f"{count:,} example{'s were' if count > 1 else ' was'}"
    return (
        f"{many} left out: {' or '.join(who)} was trained on {'them' if count > 1 else 'it'}, word "
        "for word or nearly, and has no honest answer there.",
    )


def _source(pair: tuple[Competitor, Competitor], cases: str) -> str:
    """Where so many examples come from."""
    n, _, what = cases.partition(" ")
    regimes = list(dict.fromkeys(each.contest.regime for each in pair))
    if len(regimes) > 1:
        return f"{cases} that are honest for both"
    if regimes[0] == "test_file":
        return f"{cases} of the test file"
    return f"{n} {'held-out' if regimes[0] == 'holdout' else 'cross-fitted'} {what}"


def _labels(task: Task, order: Sequence[Competitor]) -> tuple[str, ...]:
    """All labels that either knows, in the order of the first in ``order``; else the one column."""
    known = dict.fromkeys(label for each in order for label in _known_labels(each))
    return columns_of(task.kind, tuple(known))


def _known_labels(competitor: Competitor) -> tuple[str, ...]:
    card = competitor.candidate.scorecard
    return tuple(score.label for score in card.labels) if card is not None else ()


def _joined(context: Context, task: Task, parts: Sequence[Examples]) -> Examples:
    """Examples one after the other, grouped anew; a column that one part lacks is empty there."""
    if len(parts) == 1:
        return parts[0]
    names = dict.fromkeys(name for part in parts for name in part.metadata)
    owned = any(part.owners for part in parts)
    prepared = any(part.originals for part in parts)
    whole = Examples(
        ids=_all(part.ids for part in parts),
        texts=_all(part.texts for part in parts),
        labels=_all(part.labels for part in parts),
        groups=_all(part.groups for part in parts),
        sources=_all(part.sources for part in parts),
        metadata={
            name: _all(part.metadata.get(name, (None,) * len(part)) for part in parts)
            for name in names
        },
        owners=_all(part.owners or (None,) * len(part) for part in parts) if owned else (),
        originals=_all(part.asked for part in parts) if prepared else (),
    )
    return grouped_anew([whole], task, context.settings.near_duplicate)[0]


def _all(columns: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(chain.from_iterable(columns))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
