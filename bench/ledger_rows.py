"""Fills a ledger with many honest rows: tasks, contests, releases, channels, and a right chain.

Rows go in past the ledger's methods, which would take an hour, and are what these would write.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

START = datetime(2025, 1, 1, tzinfo=UTC)
AUDIT = ("tenant", "sequence", "at", "actor", "role", "action", "subject", "reason", "details",
         "hash")  # fmt: skip

CONTESTS = ("tenant", "id", "task", "sequence", "task_version", "examples", "holdout", "regime",
            "seed", "verdict", "started", "seconds", "code", "record", "created",
            "actor")  # fmt: skip
CANDIDATES = ("tenant", "id", "contest", "position", "task", "strategy", "chosen", "failed",
              "value", "low", "high", "n", "bundle", "predictions", "fit_seconds",
              "record")  # fmt: skip
RELEASES = ("tenant", "task", "number", "candidate", "contest", "bundle", "strategy", "created",
            "actor", "digest")  # fmt: skip
CHANNELS = ("tenant", "task", "name", "release", "previous", "version", "updated", "actor")


@dataclass(frozen=True, slots=True)
class Size:
    """How many of each: one task has half of all releases, the others share the rest."""

    entries: int
    releases: int
    tasks: int


def fill(ledger: Any, first: str, size: Size) -> None:
    """Fill a ledger that knows one contest of the task ``first`` already."""
    from milepost.entities.task import Task
    from milepost.workflows.tasks.current import version_of

    known, real = ledger.task(first), ledger.contests(first, 1)[0]
    versions = {first: real.task_version}
    names = [first, *(f"task-{i:03d}" for i in range(1, size.tasks))]
    for name in names[1:]:
        task = Task(name=name, labels=known.task.labels)
        versions[name] = version_of(task)
        ledger.save_task(task, versions[name])
    head = ledger.audit_head()
    with ledger.database.engine.begin() as connection:
        driver = connection.connection.driver_connection
        acts: list[tuple[str, str, str, dict[str, object]]] = []
        rows = _rows(names, real, size, acts, versions)
        for table, columns, values in rows:
            _insert(ledger, driver, table, columns, values)
        entries = _entries(acts, head, size.entries)
        _insert(ledger, driver, "audit", AUDIT, entries)
        if ledger.database.is_sqlite:
            connection.exec_driver_sql("ANALYZE")


def _insert(ledger: Any, driver: Any, table: str, columns: Sequence[str], rows: Any) -> None:
    names = ", ".join(columns)
    if ledger.database.is_sqlite:
        marks = ", ".join("?" * len(columns))
        driver.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608
        return
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _rows(
    names: Sequence[str],
    real: Any,
    size: Size,
    acts: list[tuple[str, str, str, dict[str, object]]],
    versions: dict[str, Any],
) -> Iterator[tuple[str, Sequence[str], list[tuple[object, ...]]]]:
    """Rows by table; what each would be audited as goes into ``acts``."""
    from msgspec.structs import replace

    from milepost.entities.release import Release
    from milepost.storage.records.base import to_json
    from milepost.storage.records.releases import content_digest

    contests, candidates, releases = [], [], []
    share = [size.releases // 2, *_shared(size.releases - size.releases // 2, len(names) - 1)]
    last: dict[str, int] = {}
    for task, count in zip(names, share, strict=True):
        for number in range(1, count + 1):
            at = START + timedelta(seconds=len(releases))
            contest = replace(_contest(task, len(releases), at, real), task_version=versions[task])
            chosen = contest.candidates[0]
            release = Release(
                task=task,
                number=number,
                candidate=chosen.id,
                contest=contest.id,
                bundle=cast("Any", chosen.bundle),
                strategy=chosen.strategy,
                created=at,
                actor="bench",
            )
            digest = content_digest(release)
            moment = _stored(at)
            bare = to_json(_without_candidates(contest))
            contests.append(
                ("default", contest.id, task, number + 1, versions[task], real.examples, None,
                 "holdout", 0, "released", moment, 1.0, "0", bare, moment, "bench")
            )  # fmt: skip
            for position, each in enumerate(contest.candidates):
                candidates.append(
                    ("default", each.id, contest.id, position, task, each.strategy, each.chosen,
                     False, 0.9, 0.8, 0.95, 400, each.bundle, None, 0.1, to_json(each))
                )  # fmt: skip
            releases.append(
                ("default", task, number, chosen.id, contest.id, chosen.bundle, chosen.strategy,
                 moment, "bench", digest)
            )  # fmt: skip
            acts += _acts(contest, release, digest, last.get(task))
            last[task] = number
    yield "contests", CONTESTS, contests
    yield "candidates", CANDIDATES, candidates
    yield "releases", RELEASES, releases
    channels = [
        ("default", task, "production", n, n - 1 or None, n, _stored(START), "bench")
        for task, n in last.items()
    ]
    yield "channels", CHANNELS, channels


def _shared(total: int, among: int) -> list[int]:
    return [total // among + (i < total % among) for i in range(among)]


def _contest(task: str, index: int, at: datetime, real: Any) -> Any:
    """A contest of a released candidate and one that was not."""
    from milepost._base.digest import digest_of
    from milepost.entities.contest import Candidate, Contest
    from milepost.entities.decision import Decision
    from milepost.entities.estimate import Estimate
    from milepost.entities.scorecard import Scorecard

    value = Estimate(
        value=0.9, low=0.8, high=0.95, n=400, method="wilson", at_least=0.81, at_most=0.95
    )
    card = Scorecard(regime="holdout", metric="accuracy", metrics={"accuracy": value})
    made: Any = [
        Candidate(
            id=cast("Any", f"c{index:012x}-{strategy}"),
            strategy=strategy,
            selection=value,
            scorecard=card,
            bundle=cast("Any", digest_of([index, strategy])),
            chosen=strategy == "head_closed_form",
        )
        for strategy in ("head_closed_form", "majority")
    ]
    return Contest(
        id=cast("Any", f"c{index:012x}"),
        task=task,
        task_version=real.task_version,
        examples=real.examples,
        holdout=None,
        regime="holdout",
        seed=0,
        budget_seconds=None,
        started=at,
        seconds=1.0,
        candidates=tuple(made),
        decision=Decision(verdict="released", reasons=("Good enough.",)),
        code="0",
    )


def _without_candidates(contest: Any) -> Any:
    from msgspec.structs import replace

    return replace(contest, candidates=(), release=None)


def _acts(
    contest: Any, release: Any, digest: str, before: int | None
) -> list[tuple[str, str, str, dict[str, object]]]:
    why, task, number = "Good enough.", release.task, release.number
    verdict = {"verdict": "released", "task_version": contest.task_version}
    made = {"release": digest, "bundle": release.bundle, "contest": contest.id}
    moved: dict[str, object] = {"from": before, "to": number, "version": number}
    return [
        ("gate.decided", contest.id, why, verdict),
        ("release.made", f"{task}#{number}", why, made),
        ("channel.moved", f"{task}@production", why, moved),
    ]


def _entries(
    acts: Sequence[tuple[str, str, str, dict[str, object]]], head: Any, total: int
) -> Iterator[tuple[object, ...]]:
    """Audit rows up to ``total``: the acts, spread among looks and other things that were done."""
    from milepost._base.digest import canonical_json
    from milepost.storage.chain import entry_hash

    room = total - head.sequence
    previous, placed = head.hash, 0
    for sequence in range(head.sequence + 1, total + 1):
        if (sequence - head.sequence) * len(acts) // room > placed:
            act = acts[placed]
            placed += 1
        else:
            subject = f"task-{sequence % 100:03d}/holdout"
            act = ("holdout.looked", subject, "measure the candidates", {"number": sequence})
        action, subject, reason, details = act
        at = START + timedelta(seconds=sequence)
        stored = canonical_json(details).decode()
        previous = entry_hash(
            previous, "default", sequence, at, "bench", "owner", action, subject, reason, stored
        )
        yield (
            "default", sequence, _stored(at), "bench", "owner", action, subject, reason, stored,
            previous,
        )  # fmt: skip


def _stored(at: datetime) -> str:
    """A moment as text that both databases take for it."""
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"
