"""Whether the promise of a release still holds, by labels that people gave of its answers since.

Only answers that were drawn by chance count: what users complain of by themselves is not a sample
of what is answered. An answer is drawn by its id, so that everybody draws the same.
"""

import csv
import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.cascade import Promise, Recheck, RecheckOutcome
from milepost.entities.errors import InputError
from milepost.entities.serving import Trace, TraceFilter
from milepost.evaluation.cascading import Given, promised
from milepost.metrics.inference.intervals import proportion
from milepost.metrics.risk.costs import Costs
from milepost.metrics.risk.testing import fewest_labels
from milepost.predictors.cascade import CascadePredictor
from milepost.serving.asking import Said
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import find_answerer
from milepost.workflows.serving.feedback import give_feedback
from milepost.workflows.serving.recording import found_trace, open_sink
from milepost.workflows.tasks.current import current_task

MOST = 100_000
"""Most answers that are looked at, the newest first."""

_PAGE = 1000


def recheck(
    context: Context,
    name: str,
    release: int | None = None,
    ask: Path | None = None,
    labels: Path | None = None,
) -> Recheck:
    """Hold a release's promise against labels of answers that were drawn to be checked.

    Args:
        context: The workspace.
        name: The task.
        release: Number of the release; ``None`` takes the one in production.
        ask: File to write the drawn answers to that nobody checked yet, as CSV.
        labels: The same file with labels filled in; they are kept as feedback first.

    Raises:
        UnknownNameError: If there is no such task, release, trace or label.
        InputError: If the release promises nothing, no answers are drawn, or a file cannot be used.
        WorkspaceError: If nothing is in production.
    """
    answerer = find_answerer(context, name, release, None)
    predictor = answerer.predictor
    if not isinstance(predictor, CascadePredictor) or predictor.promise is None:
        raise InputError(
            f"release {answerer.release} of {name} promises nothing: it is no cascade.",
            advice=f"`milepost improve {name} --strategy cascade` makes one.",
        )
    share = current_task(context, name).cascade_rule.audit_share
    if not share:
        raise InputError(
            "no answers are drawn to be checked.",
            where=f"tasks/{name}.yaml: cascade.audit_share",
            advice="Set it to a share such as 0.02; drawn are then also answers given before.",
        )
    if labels is not None:
        _keep(context, name, labels)
    number = answerer.release or 0
    before = set(predictor.names[:-1])
    drawn = {t.id: t for t in _answers(context, name, number, before) if is_drawn(t.id, share)}
    said: dict[str, str] = {}
    for each in sorted(context.ledger.feedback(name), key=lambda each: each.id):
        if each.label is not None and each.trace in drawn:
            # The first word counts: what is changed later would change what was tested before.
            said.setdefault(each.trace, each.label)
    if ask is not None:
        _write(ask, [trace for id_, trace in drawn.items() if id_ not in said])
    given = Given(
        _places(predictor.labels, [drawn[trace].label for trace in said]),
        _places(predictor.labels, list(said.values())),
    )
    found = _found(predictor.promise, given, context.settings.confidence)
    return msgspec.structs.replace(
        found,
        task=name,
        release=number,
        asked=len(drawn),
        since=min((drawn[trace].at for trace in said), default=None),
    )


def _found(promise: Promise, given: Given, confidence: float) -> Recheck:
    """The verdict on checked answers, of no task yet."""
    checked, evidence = len(given.answers), given.evidence(promise)
    enough, needed = 1.0 / (1.0 - promise.confidence), _fewest(promise)
    outcome: RecheckOutcome = "kept"
    if evidence >= enough:
        outcome = "broken"
    elif checked < needed:
        outcome = "too_few"
    elif not given.within(promise):
        outcome = "open"
    told = {
        "kept": "no more than promised",
        "open": "which does not show that the promise is broken",
        "broken": "which shows that the promise is broken",
        "too_few": f"too few to say: it takes {needed:,} to show a promise at all",
    }[outcome]
    cost = given.mean_cost(promise, confidence)
    mean = "" if cost is None else f" and cost {cost.value:.3g} on average"
    return Recheck(
        task="",
        release=0,
        promise=promise,
        asked=0,
        checked=checked,
        needed=needed,
        wrong=given.wrong,
        evidence=evidence,
        risk=proportion(given.wrong, checked, confidence) if checked else None,
        cost=cost,
        outcome=outcome,
        sentence=(
            f"{promised(promise)}. {given.wrong:,} of {checked:,} answers that were checked since "
            f"are wrong{mean}, {told} (evidence {evidence:.3g}; {enough:.3g} shows it to be "
            "broken, however often it is looked at)."
        ),
    )


def _fewest(promise: Promise) -> int:
    """Answers without a mistake that would show the promise."""
    at_most = promise.at_most_wrong
    if promise.cost is not None:
        table = Costs(np.array(promise.cost.costs))
        at_most = float(table.scaled(promise.cost.at_most))
    return fewest_labels(at_most or 0.0, promise.confidence)


def _places(labels: tuple[str, ...], said: list[str | None]) -> NDArray[np.int64]:
    """Where each label stands, ``(n,)``; -1 for one that the release does not know."""
    at = {label: i for i, label in enumerate(labels)}
    return np.array([at.get(each or "", -1) for each in said], np.int64)


def _keep(context: Context, name: str, path: Path) -> None:
    """Keep the labels of a file as feedback; a row without one is left out.

    The same file again changes nothing: the same said again is kept once.

    Raises:
        InputError: If the file cannot be read, with the line that is wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"it cannot be read ({error}).", where=str(path)) from error
    if not rows or not {"trace", "label"} <= set(rows[0]):
        raise InputError(
            "it has no row, or no columns named trace and label.",
            where=str(path),
            advice=f"`milepost recheck {name} --ask {path}` writes one to fill in.",
        )
    with closing(open_sink(context)) as sink:
        for line, row in enumerate(rows, start=2):
            trace, label = (row["trace"] or "").strip(), (row["label"] or "").strip()
            if not label:
                continue
            try:
                # The text is needed only where the trace kept none; a spreadsheet may change it.
                text = None if found_trace(sink, trace).text else row.get("text")
                said = Said(trace=trace, label=label, text=text, tasks=(name,))
                give_feedback(context, sink, said)
            except InputError as error:
                where = f"{path}, line {line}"
                raise InputError(error.what, where=where, advice=error.advice) from error


def is_drawn(trace: str, share: float) -> bool:
    """Whether an answer is among the share that people are asked to check; by its id alone."""
    number = int.from_bytes(hashlib.sha256(trace.encode()).digest()[:8], "big")
    return number < share * 2.0**64


def _answers(context: Context, name: str, release: int, before: set[str]) -> Iterator[Trace]:
    """Answers of a release before its last rung, newest first, at most ``MOST`` looked at."""
    last = None
    with closing(open_sink(context)) as sink:
        for _ in range(MOST // _PAGE):
            page = sink.traces(name, limit=_PAGE, before=last, only=TraceFilter(release=release))
            yield from (t for t in page if t.rung in before and t.label is not None)
            if len(page) < _PAGE:
                return
            last = page[-1].id


def _write(path: Path, traces: list[Trace]) -> None:
    """Texts to label, without the answers: who reads one first is led by it.

    Raises:
        InputError: If the file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["trace", "text", "label"])
            rows.writerows([trace.id, trace.text or "", ""] for trace in traces)
    except OSError as error:
        raise InputError(f"it cannot be written ({error}).", where=str(path)) from error
