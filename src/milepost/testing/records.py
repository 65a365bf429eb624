"""Records made up for tests: small, valid, with odd texts and numbers that round badly."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from milepost._base.digest import canonical_json, digest_of
from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Decision, Verdict
from milepost.entities.estimate import Estimate
from milepost.entities.example import Dataset, Finding, QualityReport, SourceFile
from milepost.entities.ids import CandidateId, ContestId, Digest
from milepost.entities.language import Tokens
from milepost.entities.model_calls import ModelCall
from milepost.entities.scorecard import Scorecard
from milepost.entities.serving import Feedback, Fidelity, Key, Trace
from milepost.entities.serving import Verdict as GuardVerdict
from milepost.entities.task import ReleaseRule, Task
from milepost.entities.upstream import Endpoint, Price, Upstream
from milepost.storage.chain import GENESIS, entry_hash
from milepost.storage.ledger import Ledger

START = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
"""Where the ticking clock begins; a second before a month ends."""

TASK = Task(name="route", labels={"refund": "Money back", "card": "", "ärger": "😀 \x00"})
"""A task whose labels hold what is hard to store."""


class Ticking:
    """A clock that goes on by a second at each look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """The next second."""
        self.now += timedelta(seconds=1)
        return self.now


def some_digest(seed: object) -> Digest:
    """A digest, equal for equal seeds."""
    return Digest(digest_of(seed))


def task_digest(task: Task) -> Digest:
    """What versions of a task are told apart by in tests."""
    return Digest(digest_of(task))


def some_task(name: str = "route", approvals: int | None = None) -> Task:
    """The task under another name, asking for approvals where a number is given."""
    task = msgspec.structs.replace(TASK, name=name)
    if approvals is None:
        return task
    return msgspec.structs.replace(task, release=ReleaseRule(approvals=approvals))


def some_estimate(value: float) -> Estimate:
    """An estimate with an interval that holds it."""
    return Estimate(
        value=value, low=value - 0.1, high=1.0, n=7, method="wilson", at_least=0.1, at_most=1.0
    )


def some_contest(
    number: int, *, task: Task = TASK, failures: int = 1, verdict: Verdict = "released"
) -> Contest:
    """A contest with one candidate that was chosen, and some that failed."""
    name = ContestId(f"c{number:012x}")
    good = Candidate(
        id=CandidateId(f"{name}-head"),
        strategy="head",
        parameters={"shrinkage": 0.1, "layers": [1, 2], "note": 'a "quoted" \x00 € text'},
        selection=some_estimate(0.1 + 0.2),
        scorecard=Scorecard(
            regime="holdout", metric="accuracy", metrics={"accuracy": some_estimate(2 / 3)}
        ),
        bundle=some_digest(name),
        predictions=some_digest("p"),
        chosen=True,
        fit_seconds=0.25,
    )
    bad = [
        Candidate(id=CandidateId(f"{name}-bad{i}"), strategy=f"bad{i}", error="ValueError: boom")
        for i in range(failures)
    ]
    return Contest(
        id=name,
        task=task.name,
        task_version=task_digest(task),
        examples=some_digest("e"),
        holdout=some_digest("h"),
        regime="holdout",
        seed=2**40,
        budget_seconds=None,
        started=START,
        seconds=1 / 3,
        candidates=(good, *bad),
        decision=Decision(verdict=verdict, reasons=("It is good enough.",)),
        code="0.1.0",
    )


def some_dataset(
    seed: str, *, task: str = "route", role: str = "examples", path: str = "a.csv"
) -> Dataset:
    """A snapshot of one file."""
    return Dataset(
        digest=some_digest(seed),
        artifact=some_digest(seed + "artifact"),
        task=task,
        role=role,
        rows=3,
        sources=(SourceFile(path=path, sha256=some_digest("file"), rows=4),),
        quality=QualityReport(
            rows=4,
            used=3,
            labelled=2,
            label_counts={"refund": 2},
            findings=(
                Finding(check="empty", severity="error", count=1, summary="One row is empty."),
            ),
        ),
    )


def chained(ledger: Ledger) -> bool:
    """Whether the hash of every audit entry follows from it and the one before."""
    last = GENESIS
    for entry in ledger.audit_stream():
        last = entry_hash(
            last,
            ledger.tenant,
            entry.sequence,
            entry.at,
            entry.actor,
            entry.role,
            entry.action,
            entry.subject,
            entry.reason,
            canonical_json(entry.details).decode(),
        )
        if last != entry.hash:
            return False
    return True


def some_key(number: int) -> Key:
    """A key that may ask one task."""
    return Key(
        id=f"k{number:012x}",
        name=f"desk {number} ä",
        role="consumer",
        tasks=("route",),
        created=START + timedelta(seconds=number),
        actor="ann",
        per_second=100.5,
    )


def some_trace(number: int, *, task: str = "route", label: str = "refund", **more: Any) -> Trace:
    """An answer, a second after the one of the number before; its text is hard to store."""
    verdict = GuardVerdict(label="toxic", score=0.7, tripped=number % 2 == 1)
    fields: dict[str, Any] = {
        "id": f"t{number:032x}",
        "task": task,
        "release": 1,
        "channel": "production",
        "at": START + timedelta(seconds=number),
        "key": some_key(1).id,
        "label": label,
        "confidence": 0.1 + 0.2,
        "probabilities": {"refund": 0.1 + 0.2, "card": 1 / 3},
        "rung": "head",
        "guards": {"toxicity": verdict},
        "text": f"{number}: 'odd' \x00 \"€\" \\ 😀",
        "seconds": 0.004,
    }
    return Trace(**{**fields, **more})


def some_feedback(trace: Trace, *, label: str | None = "card", **more: Any) -> Feedback:
    """A correction of a trace, a second later."""
    fields: dict[str, Any] = {
        "id": "f" + trace.id[1:],
        "trace": trace.id,
        "task": trace.task,
        "release": trace.release,
        "channel": trace.channel,
        "at": trace.at + timedelta(seconds=1),
        "key": trace.key,
        "label": label,
        "text": trace.text,
    }
    return Feedback(**{**fields, **more})


def some_fidelity() -> Fidelity:
    """A check of a fast variant that was passed."""
    return Fidelity(
        bundle=some_digest("bundle"),
        encoder=some_digest("encoder"),
        variant="int8",
        reference="fp32",
        n=500,
        agree=496,
        loss=0.1 + 0.2,
        passed=True,
        at=START,
    )


def some_upstream(name: str = "big", *, price: int = 2_500_000) -> Upstream:
    """A language model with two prices; its words are hard to store."""
    return Upstream(
        name=name,
        model="größe-1 😀",
        endpoints=(
            Endpoint(base_url="https://one.example/v1", key="env:SOME_KEY", weight=0.1 + 0.2),
            Endpoint(base_url="https://two.example/v1", region="eu", private=True),
        ),
        prices=(
            Price(since=date(2025, 1, 1), input=2 * price, output=8 * price),
            Price(
                since=date(2026, 1, 1),
                input=price,
                output=4 * price,
                cached_input=price // 10,
                cache_write=price * 5 // 4,
            ),
        ),
    )


def some_call(number: int, *, upstream: str = "big", **more: Any) -> ModelCall:
    """A call of a language model, a second after the one of the number before."""
    at = START + timedelta(seconds=number)
    milliseconds = int(at.timestamp() * 1000)
    fields: dict[str, Any] = {
        "id": f"m{milliseconds:012x}{number:020x}",
        "at": at,
        "upstream": upstream,
        "purpose": "serve",
        "task": "route",
        "key": some_key(1).id,
        "tokens": Tokens(
            input=100 + number, output=7, cached_input=50, reasoning=3, cache_write=20
        ),
        "micro_usd": 10 + number,
        "seconds": 0.1 + 0.2,
    }
    return ModelCall(**{**fields, **more})
