"""Canary against production on what users say of their answers; the shadow on the answers alone."""

import itertools
import math
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from milepost.entities.release import AuditEntry, Channel
from milepost.entities.serving import Feedback, Trace, TraceFilter
from milepost.entities.trying import Agreement, Arm, Trial
from milepost.serving.recording.ids import TRACE
from milepost.serving.recording.sinks import TraceSink
from milepost.storage.records.releases import CANARY, PRODUCTION, SHADOW
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import nothing_live
from milepost.workflows.serving.recording import open_sink
from milepost.workflows.tasks.current import current_task

MOST_TRACES = 50_000
"""Newest answers on which the shadow is held against production."""

_PAGE = 2000
_PAIRS = 5


@dataclass(frozen=True, slots=True)
class _Judged:
    """One judgement: whether of the canary, and how good the answer was, 0 to 1."""

    canary: bool
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A canary and what was in production beside it, for as long as neither moved."""

    production: Channel
    canary: Channel
    since: datetime
    until: datetime | None = None


def compare_live(context: Context, name: str) -> Trial:
    """What the canary, and the release in the shadow, came to beside production so far.

    Where no canary runs it is what the last one came to.

    May be asked at any time and as often as one likes: its error is bounded over all looks
    together (see ``milepost.metrics.inference.sequential``).

    Raises:
        UnknownNameError: If there is no such task.
        WorkspaceError: If nothing is in production.
    """
    current_task(context, name)
    production = context.ledger.channel(name, PRODUCTION)
    if production is None:
        raise nothing_live(context, name)
    canary = _on(context.ledger.channel(name, CANARY))
    shadow = _on(context.ledger.channel(name, SHADOW))
    sink = open_sink(context)
    try:
        agreement = None if shadow is None else _agreement(context, sink, production, shadow)
        if canary is not None:
            pair = _Pair(production, canary, side_by_side(context, production, canary))
        else:
            pair = _last(context, production)
        if pair is None:
            arm = Arm(channel=PRODUCTION, release=production.release, n=0)
            return Trial(task=name, since=None, share=0.0, production=arm, shadow=agreement)
        return _trial(context, sink, pair, agreement)
    finally:
        # The ledger's own sink is the context's; closing it closes nothing.
        sink.close()


def _on(channel: Channel | None) -> Channel | None:
    return channel if channel is not None and channel.share else None


def _trial(context: Context, sink: TraceSink, pair: _Pair, shadow: Agreement | None) -> Trial:
    from milepost.metrics.inference.sequential import (
        block_means,
        blocks_needed,
        confidence_sequence,
    )

    alpha = 1.0 - context.settings.confidence
    judged, repeated = _judgements(context, sink, pair)
    means = block_means([j.value for j in judged], [j.canary for j in judged])
    differences = means[:, 0] - means[:, 1]
    paired = [float(each) for each in means.mean(axis=0)] if len(means) else [None, None]
    found = confidence_sequence(differences, alpha)
    more = None
    if not found.decided:
        blocks = blocks_needed(differences, alpha)
        more = None if blocks is None else math.ceil(blocks * len(judged) / found.blocks)
    return Trial(
        task=pair.production.task,
        since=pair.since,
        until=pair.until,
        share=pair.canary.share or 0.0,
        production=_arm(pair.production, [j.value for j in judged if not j.canary], paired[1]),
        canary=_arm(pair.canary, [j.value for j in judged if j.canary], paired[0]),
        blocks=found.blocks,
        difference=found.mean if found.blocks else None,
        low=found.low,
        high=found.high,
        confidence=context.settings.confidence,
        decided=None if not found.decided else CANARY if found.low > 0 else PRODUCTION,
        more=more,
        repeated=repeated,
        shadow=shadow,
    )


def _arm(channel: Channel, values: list[float], paired: float | None) -> Arm:
    mean = sum(values) / len(values) if values else None
    return Arm(
        channel=channel.name, release=channel.release, n=len(values), mean=mean, paired=paired
    )


def _last(context: Context, production: Channel) -> _Pair | None:
    """The canary that ended last, beside what was in production then; ``None`` without one.

    The audit log has it: the channel itself says only that it is off.
    """
    name = production.task
    canary = context.ledger.channel(name, CANARY)
    moves = _moves(context, f"{name}@{CANARY}")
    if canary is None or len(moves) < 2:
        return None
    end, ran = moves[0], moves[1:]
    to, share = ran[0].details.get("to"), ran[0].details.get("share")
    # A canary that was promoted ends in the step in which production gets to its release.
    before = [
        each
        for each in itertools.dropwhile(
            lambda each: each.at > end.at or each.details.get("to") == to,
            _moves(context, f"{name}@{PRODUCTION}"),
        )
        if each.at <= end.at
    ]
    if not before or not isinstance(to, int) or not isinstance(share, int | float):
        return None
    was = before[0].details.get("to")
    if not isinstance(was, int):
        return None
    return _Pair(
        msgspec.structs.replace(production, release=was),
        msgspec.structs.replace(canary, release=to, share=float(share)),
        max(began(ran), began(before)),
        end.at,
    )


def _moves(context: Context, subject: str) -> list[AuditEntry]:
    """All moves of a channel, newest first."""
    return [e for e in context.ledger.audit(subject=subject) if e.action == "channel.moved"]


def side_by_side(context: Context, production: Channel, canary: Channel) -> datetime:
    """Since when the two releases have answered beside each other without a break."""
    return max(
        began(context.ledger.audit(subject=f"{each.task}@{each.name}"))
        for each in (production, canary)
    )


def began(entries: Iterable[AuditEntry]) -> datetime:
    """When a channel began to point where it does.

    Args:
        entries: What was done to it, newest first; at least one of them moved it.
    """
    moves = [each for each in entries if each.action == "channel.moved"]
    last = moves[0]
    for move in moves[1:]:
        if move.details.get("to") != last.details.get("to") or move.details.get("share") == 0:
            break
        last = move
    return last.at


def _judgements(context: Context, sink: TraceSink, pair: _Pair) -> tuple[list[_Judged], int]:
    """What was said of answers of both in that time, in order; the first of each subject counts.

    What one subject says of several answers hangs together, and would count for more than it is.
    """
    wanted = {(c.name, c.release): c is pair.canary for c in (pair.production, pair.canary)}
    heard: set[str] = set()
    judged: list[_Judged] = []
    repeated = 0
    # Ids of traces sort by the time of the answer, in milliseconds.
    first, last = _trace_at(pair.since), _trace_at(pair.until) if pair.until else None
    for said in _feedback(context, pair.production.task, pair.since):
        arm, value = wanted.get((said.channel, said.release)), judgement(said)
        if arm is None or value is None or said.trace < first:
            continue
        if last is not None and said.trace >= last:
            continue
        trace = sink.trace(said.trace)
        who = {said.trace} | ({trace.subject} if trace is not None and trace.subject else set())
        if heard & who:
            repeated += 1
        else:
            judged.append(_Judged(arm, value))
        heard |= who
    return judged, repeated


def _trace_at(at: datetime) -> str:
    """What the ids of traces begin with, or lie above, from then on."""
    return f"{TRACE}{int(at.timestamp() * 1000):012x}"


def judgement(said: Feedback) -> float | None:
    """How good an answer was, 0 to 1: by its right label, else by its rating.

    ``None`` where it was not judged. An answer that was withheld is not right.
    """
    if said.label is not None:
        return float(said.label == said.answered)
    return said.rating


def _feedback(context: Context, task: str, since: datetime) -> list[Feedback]:
    """What was said since then, oldest first."""
    found: list[Feedback] = []
    before: str | None = None
    while True:
        page = context.ledger.feedback(task, limit=_PAGE, before=before)
        found += [each for each in page if each.at >= since]
        if len(page) < _PAGE or page[-1].at < since:
            return found[::-1]
        before = page[-1].id


def _agreement(
    context: Context, sink: TraceSink, production: Channel, shadow: Channel
) -> Agreement:
    """Production against the shadow on the newest answers that both gave; guards left out."""
    from milepost.metrics.inference.intervals import proportion

    agree = n = 0
    differ: Counter[tuple[str | None, str | None]] = Counter()
    for trace in _traces(sink, production):
        said = trace.shadow
        if said is None or said.release != shadow.release or trace.rung.startswith("guard:"):
            continue
        n += 1
        if said.label == trace.label:
            agree += 1
        else:
            differ[trace.label, said.label] += 1
    return Agreement(
        release=shadow.release,
        agree=proportion(agree, n, context.settings.confidence) if n else None,
        differ=tuple((was, would, count) for (was, would), count in differ.most_common(_PAIRS)),
    )


def _traces(sink: TraceSink, production: Channel) -> Generator[Trace]:
    only = TraceFilter(release=production.release, channel=PRODUCTION)
    before: str | None = None
    for _ in range(0, MOST_TRACES, _PAGE):
        page = sink.traces(production.task, limit=_PAGE, before=before, only=only)
        yield from page
        if len(page) < _PAGE:
            return
        before = page[-1].id
