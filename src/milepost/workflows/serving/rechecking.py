"""Whether the promise of a release still holds, by labels that people gave of its answers since.

Only answers that were drawn by chance count: what users complain of by themselves is not a sample
of what is answered. An answer is drawn by its id, so that everybody draws the same.
"""

import csv
import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from milepost.entities.cascade import PromiseOutcome, Recheck
from milepost.entities.errors import InputError
from milepost.entities.serving import Trace, TraceFilter
from milepost.evaluation.cascading import promised
from milepost.metrics.inference.intervals import proportion
from milepost.metrics.risk.testing import broken_evidence
from milepost.predictors.cascade import CascadePredictor
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import find_answerer
from milepost.workflows.serving.recording import open_sink
from milepost.workflows.tasks.current import current_task

MOST = 100_000
"""Most answers that are looked at, the newest first."""

_PAGE = 1000


def recheck(
    context: Context, name: str, release: int | None = None, ask: Path | None = None
) -> Recheck:
    """Hold a release's promise against labels of answers that were drawn to be checked.

    Args:
        context: The workspace.
        name: The task.
        release: Number of the release; ``None`` takes the one in production.
        ask: File to write the drawn answers to that nobody checked yet, as CSV.

    Raises:
        UnknownNameError: If there is no such task or release.
        InputError: If the release promises nothing, or the task has no answers checked.
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
    number = answerer.release or 0
    before = set(predictor.names[:-1])
    drawn = {t.id: t for t in _answers(context, name, number, before) if is_drawn(t.id, share)}
    said: dict[str, str] = {}
    for each in sorted(context.ledger.feedback(name), key=lambda each: each.id):
        if each.label is not None and each.trace in drawn:
            # The first word counts: what is changed later would change what was tested before.
            said.setdefault(each.trace, each.label)
    wrong = np.array([label != drawn[trace].label for trace, label in said.items()], np.bool_)
    if ask is not None:
        _write(ask, [trace for id_, trace in drawn.items() if id_ not in said])
    promise, evidence = predictor.promise, broken_evidence(wrong, predictor.promise.at_most_wrong)
    count = int(wrong.sum())
    risk = proportion(count, len(wrong), context.settings.confidence) if len(wrong) else None
    outcome: PromiseOutcome = "kept"
    if evidence >= 1.0 / (1.0 - promise.confidence):
        outcome = "broken"
    elif not len(wrong) or count > promise.at_most_wrong * len(wrong):
        outcome = "open"
    told = {
        "kept": "as promised",
        "open": "which does not show that the promise is broken",
        "broken": "which shows that the promise is broken",
    }[outcome]
    return Recheck(
        task=name,
        release=number,
        promise=promise,
        asked=len(drawn),
        checked=len(wrong),
        wrong=count,
        evidence=evidence,
        risk=risk,
        outcome=outcome,
        sentence=(
            f"{promised(promise)}. {count:,} of {len(wrong):,} answers that were checked since are "
            f"wrong, {told} (evidence {evidence:.3g}; {1.0 / (1.0 - promise.confidence):.3g} shows "
            "it, however often it is looked at)."
        ),
        since=min((drawn[trace].at for trace in said), default=None),
    )


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
