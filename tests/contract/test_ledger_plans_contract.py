"""No listing reads a table from end to end: the plans of the statements that are really sent.

Statements are caught on their way to the database and explained there, so that a changed query is
looked at without anybody's remembering to. Small tables are where a planner likes to read all of
it, so PostgreSQL is told to do that only where it has no other way.
"""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from milepost.entities.configuration import Configuration
from milepost.entities.errors import UnknownNameError
from milepost.entities.model_calls import KeptAnswer
from milepost.entities.release import Channel
from milepost.entities.serving import TraceFilter
from milepost.storage.ledger import Ledger
from milepost.testing.ledgers import fill_ledger
from milepost.testing.records import (
    START,
    some_call,
    some_contest,
    some_digest,
    some_feedback,
    some_fidelity,
    some_key,
    some_trace,
    some_upstream,
)

FIRST = some_contest(1)
CANDIDATE = FIRST.candidates[0].id

TRACES = [some_trace(number) for number in range(3)]
LATER, TEN_YEARS = START + timedelta(days=365), timedelta(days=3650)
SOME = TraceFilter(label="refund", release=1, channel="production", guard="toxicity")

READS: dict[str, Callable[[Ledger], object]] = {
    "tasks": lambda ledger: ledger.tasks(),
    "tasks of a use case": lambda ledger: ledger.tasks("support"),
    "task": lambda ledger: ledger.task("route"),
    "task versions": lambda ledger: ledger.task_versions("route"),
    "dataset": lambda ledger: ledger.dataset(some_digest("one")),
    "latest dataset": lambda ledger: ledger.latest_dataset("route", "examples"),
    "sides": lambda ledger: ledger.sides("route"),
    "looks": lambda ledger: ledger.looks("route"),
    "looks at a holdout": lambda ledger: ledger.looks("route", some_digest("h")),
    "contests": lambda ledger: ledger.contests("route"),
    "newest contests": lambda ledger: ledger.contests("route", limit=2),
    "latest contest": lambda ledger: ledger.latest_contest("route"),
    "contest": lambda ledger: ledger.contest(FIRST.id),
    "candidate": lambda ledger: ledger.candidate(CANDIDATE),
    "contest of": lambda ledger: ledger.contest_of(CANDIDATE),
    "releases": lambda ledger: ledger.releases("route"),
    "release update": lambda ledger: ledger.release_update("route", 1),
    "forgotten by": lambda ledger: ledger.forgotten_by("route"),
    "snapshots": lambda ledger: ledger.snapshots("route"),
    "newest releases": lambda ledger: ledger.releases("route", 20),
    "older releases": lambda ledger: ledger.releases("route", 20, before=2),
    "release": lambda ledger: ledger.release("route", 1),
    "channel": lambda ledger: ledger.channel("route"),
    "approvals": lambda ledger: ledger.approvals("route", 2),
    "states of approval": lambda ledger: ledger.approval_states("route", [1, 2]),
    "newest admitted": lambda ledger: ledger.newest_admitted("route", before=2),
    "first result": lambda ledger: ledger.first_result("none", {}, Channel),
    "configuration": lambda ledger: ledger.record_configuration(Configuration()),
    "settings of a moment": lambda ledger: ledger.settings_at(FIRST.started),
    "keys": lambda ledger: ledger.keys(),
    "key": lambda ledger: ledger.key("k000000000001"),
    "key by hash": lambda ledger: ledger.key_by_hash(some_digest("route 1")),
    "keys by hash": lambda ledger: ledger.hashed_keys(),
    "trace": lambda ledger: ledger.trace(TRACES[0].id),
    "traces": lambda ledger: ledger.traces(),
    "traces of a task": lambda ledger: ledger.traces("route", limit=2),
    "older traces": lambda ledger: ledger.traces("route", limit=2, before=TRACES[1].id),
    "some traces": lambda ledger: ledger.traces("route", only=SOME),
    "feedback": lambda ledger: ledger.feedback(limit=10),
    "feedback of a task": lambda ledger: ledger.feedback("route"),
    "older feedback": lambda ledger: ledger.feedback("route", limit=1, before="f1"),
    "feedback on a trace": lambda ledger: ledger.feedback(trace=TRACES[0].id),
    "feedback of a key": lambda ledger: ledger.feedback(key="k000000000001"),
    "fidelity": lambda ledger: ledger.fidelity(some_digest("bundle"), "int8"),
    "upstreams": lambda ledger: ledger.upstreams(),
    "upstream": lambda ledger: ledger.upstream("big"),
    "versions of an upstream": lambda ledger: ledger.upstream_versions("big"),
    "budgets": lambda ledger: ledger.budgets(),
    "calls": lambda ledger: ledger.model_calls(limit=2),
    "calls of an upstream": lambda ledger: ledger.model_calls(upstream="big", limit=2),
    "older calls of a task": lambda ledger: ledger.model_calls(task="route", limit=2, before="m1"),
    "calls of a key": lambda ledger: ledger.model_calls(key="k000000000001"),
    "calls of a job": lambda ledger: ledger.model_calls(job="j1"),
    "spending": lambda ledger: ledger.spending(since=START.date()),
    "spending of a task": lambda ledger: ledger.spending("day", task="route", until=START.date()),
    "spending of a job": lambda ledger: ledger.spending("key", job="j1"),
    "answers": lambda ledger: ledger.model_answers(
        [("task:route", some_digest("asked")), ("task:route", some_digest(1))]
    ),
    "similar answers": lambda ledger: ledger.similar_answers("route"),
    "prompts": lambda ledger: ledger.prompts("route"),
    "prompt": lambda ledger: ledger.prompt("route", 1),
    "prompt alias": lambda ledger: ledger.prompt_alias("route", "production"),
    "prompt aliases": lambda ledger: ledger.prompt_aliases("route"),
    "audit": lambda ledger: ledger.audit(20),
    "audit of a subject": lambda ledger: ledger.audit(20, subject="route@production"),
    "audit of an action": lambda ledger: ledger.audit(20, action="channel.moved"),
    "audit stream": lambda ledger: list(ledger.audit_stream(3)),
    "audit head": lambda ledger: ledger.audit_head(),
}
WRITES: dict[str, Callable[[Ledger], object]] = {
    "look": lambda ledger: ledger.record_look(
        "route", some_digest("h"), "certify", contest=FIRST.id
    ),
    "conclude": lambda ledger: ledger.conclude(
        some_contest(9), expected_version=3, idempotency_key="nine"
    ),
    "approve": lambda ledger: ledger.approve("route", 2, reason="ok", actor="ben"),
    "create key": lambda ledger: ledger.create_key(some_key(7), some_digest("7"), reason="new"),
    "revoke key": lambda ledger: ledger.revoke_key("k000000000001", reason="old"),
    "expire": lambda ledger: ledger.expire_traces(TRACES[1].at, 10),
    "say": lambda ledger: ledger.add_feedback(some_feedback(TRACES[2]), most=100),
    "fidelity": lambda ledger: ledger.add_fidelity(some_fidelity()),
    "add upstream": lambda ledger: ledger.add_upstream(some_upstream("new"), reason="new"),
    "remove upstream": lambda ledger: ledger.remove_upstream("big", reason="old"),
    "set budget": lambda ledger: ledger.set_budget("key:k1", 5, reason="new"),
    "change budget": lambda ledger: ledger.set_budget("workspace", 5, period="day", reason="less"),
    "remove budget": lambda ledger: ledger.remove_budget("workspace", reason="old"),
    "reserve": lambda ledger: ledger.reserve("h2", {"workspace": 5, "task:route": 5}, LATER),
    "settle": lambda ledger: ledger.settle("h1", [some_call(7)], {"workspace": 5}, LATER),
    "expire reservations": lambda ledger: ledger.expire_reservations(LATER + TEN_YEARS),
    "add calls": lambda ledger: ledger.add_model_calls([some_call(8)]),
    "keep answers": lambda ledger: ledger.keep_model_answers(
        [
            KeptAnswer(scope="w", digest=some_digest(at), upstream="big", answer=b"{}")
            for at in range(3)
        ]
    ),
    "expire answers": lambda ledger: ledger.expire_model_answers(LATER),
    "similar": lambda ledger: ledger.keep_similar_answers("route", ()),
    "loss": lambda ledger: ledger.record_loss(1, reason="killed"),
    "move": lambda ledger: ledger.move_channel(
        "route", "canary", 1, expected_version=0, reason="try"
    ),
    "share": lambda ledger: ledger.move_channel(
        "route", "shadow", 1, expected_version=0, reason="try", share=0.5
    ),
}
MISSING: dict[str, Callable[[Ledger], object]] = {
    "task": lambda ledger: ledger.task("nothing"),
    "dataset": lambda ledger: ledger.dataset(some_digest("nothing")),
    "contest": lambda ledger: ledger.contest("nothing"),
    "candidate": lambda ledger: ledger.candidate("nothing"),
    "release": lambda ledger: ledger.release("route", 99),
    "key": lambda ledger: ledger.key("nothing"),
    "upstream": lambda ledger: ledger.upstream("nothing"),
    "budget": lambda ledger: ledger.remove_budget("nothing", reason="old"),
}


class Sent(NamedTuple):
    text: str
    parameters: Any


@pytest.fixture
def filled(new_url: Callable[[], str]) -> Generator[Ledger]:
    url = new_url()
    fill_ledger(url)
    with Ledger.open(url) as ledger:
        yield ledger


@contextmanager
def sent(ledger: Ledger) -> Generator[list[Sent]]:
    """The statements that read or change rows, with their parameters."""
    caught: list[Sent] = []

    def catch(_connection: Any, _cursor: Any, text: str, parameters: Any, *_rest: Any) -> None:
        if text.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            caught.append(Sent(text, parameters))

    sa.event.listen(ledger.database.engine, "before_cursor_execute", catch)
    try:
        yield caught
    finally:
        sa.event.remove(ledger.database.engine, "before_cursor_execute", catch)


def scans(ledger: Ledger, statement: Sent) -> list[str]:
    """What the database's plan for a statement reads from end to end."""
    with ledger.database.read() as connection:
        if ledger.database.is_sqlite:
            rows = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement.text}", statement.parameters
            )
            return [
                row[3] for row in rows if row[3].startswith("SCAN") and "CONSTANT" not in row[3]
            ]
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        found = connection.exec_driver_sql(
            f"EXPLAIN (FORMAT JSON) {statement.text}", statement.parameters
        ).scalar()
        plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        return [node["Relation Name"] for node in nodes(plan) if whole(node)]


def nodes(plan: dict[str, Any]) -> Generator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def whole(node: dict[str, Any]) -> bool:
    """Whether a node reads a table, or an index of it, without a condition on its keys."""
    if node["Node Type"] == "Seq Scan":
        return True
    return node["Node Type"].startswith("Index") and "Index Cond" not in node


def scanned(ledger: Ledger, acts: dict[str, Callable[[Ledger], object]]) -> dict[str, list[str]]:
    """What each act reads from end to end, by its name; those that read nothing so are left out."""
    found: dict[str, list[str]] = {}
    for name, act in acts.items():
        with sent(ledger) as statements, suppress(UnknownNameError):
            act(ledger)
        assert statements, name
        found[name] = [each for statement in statements for each in scans(ledger, statement)]
    return {name: each for name, each in found.items() if each}


def test_reading_scans_nothing(filled: Ledger) -> None:
    assert scanned(filled, READS) == {}


def test_writing_scans_nothing(filled: Ledger) -> None:
    assert scanned(filled, WRITES) == {}


def test_offering_names_scans_nothing(filled: Ledger) -> None:
    for act in MISSING.values():
        with pytest.raises(UnknownNameError):
            act(filled)
    assert scanned(filled, MISSING) == {}


def test_the_check_can_fail(filled: Ledger) -> None:
    for text in ("SELECT * FROM audit", "SELECT * FROM audit WHERE reason = 'x'"):
        assert scans(filled, Sent(text, ())) != []


def test_a_list_of_some_reads_only_those(filled: Ledger) -> None:
    """The number of statements does not grow with what there is."""
    with sent(filled) as few:
        filled.contests("route", limit=1)
    with sent(filled) as all_of_them:
        filled.contests("route")
    assert len(few) <= len(all_of_them) <= len(few) + 3


def test_every_listing_is_looked_at() -> None:
    """A new public method of the ledger's own records must be put into one of the tables above."""
    from milepost.storage.records.budgets import BudgetRecords
    from milepost.storage.records.channels import ChannelRecords
    from milepost.storage.records.configurations import ConfigurationRecords
    from milepost.storage.records.contests import ContestRecords
    from milepost.storage.records.datasets import DatasetRecords
    from milepost.storage.records.feedback import FeedbackRecords
    from milepost.storage.records.fidelities import FidelityRecords
    from milepost.storage.records.keys import KeyRecords
    from milepost.storage.records.model_answers import ModelAnswerRecords
    from milepost.storage.records.similar_answers import SimilarAnswerRecords
    from milepost.storage.records.tasks import TaskRecords
    from milepost.storage.records.traces import TraceRecords
    from milepost.storage.records.upstreams import UpstreamRecords

    kinds = (
        *(ChannelRecords, ConfigurationRecords, ContestRecords, DatasetRecords, TaskRecords),
        *(FeedbackRecords, FidelityRecords, KeyRecords, TraceRecords),
        *(BudgetRecords, ModelAnswerRecords, SimilarAnswerRecords, UpstreamRecords),
    )
    public = {name for kind in kinds for name in dir(kind) if not name.startswith("_")}
    used = {
        name
        for table in (READS, WRITES, MISSING)
        for act in table.values()
        for name in act.__code__.co_names
    }
    # These write through the same statements as the ones above, or hold no query of their own.
    others = {"keep_result", "make_release", "record_sides", "save_contest", "save_dataset"}
    others |= {"save_task", "gone", "add_traces"}
    assert public - used - others == set()
