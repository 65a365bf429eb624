"""Whole ledgers as plain data: kept from each version of the tables, and filled in again.

``scripts/keep_ledger.py`` keeps one of today's version before the tables change, so that every
later migration is tried on rows that the version before it really wrote.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from milepost._base import process
from milepost._base.settings import Settings
from milepost.entities.configuration import Configuration
from milepost.entities.ids import ContestId
from milepost.entities.job import Plan, Step
from milepost.entities.model_calls import KeptAnswer
from milepost.entities.prompts import PromptTemplate
from milepost.entities.task import Objective, Task
from milepost.storage.database import Database
from milepost.storage.ledger import Ledger
from milepost.storage.migrations.upgrade import VERSION_TABLE, stored_version, upgrade
from milepost.testing.records import (
    START,
    TASK,
    some_call,
    some_contest,
    some_dataset,
    some_digest,
    some_feedback,
    some_fidelity,
    some_key,
    some_task,
    some_trace,
    some_upstream,
    task_digest,
)

Kept = dict[str, Any]
"""``version``: of the tables. ``tables``: rows by table, each a mapping of columns."""


def dump_ledger(url: str) -> Kept:
    """All rows of all tables of a ledger, in the order of their keys; moments are UTC."""
    database = Database(url)
    with database.read() as connection:
        version = stored_version(connection, database)
        tables = {
            table.name: [
                {name: _plain(value) for name, value in row.items()}
                for row in connection.execute(
                    sa.select(table).order_by(*table.primary_key.columns)
                ).mappings()
            ]
            for table in _reflected(connection).sorted_tables
            if table.name != VERSION_TABLE
        }
    database.close()
    return {"version": version, "tables": tables}


def load_ledger(url: str, kept: Mapping[str, Any]) -> None:
    """Make the tables of the kept version in an empty database, and fill in the kept rows."""
    database = Database(url)
    upgrade(database, kept["version"])
    with database.migrate() as connection:
        for table in _reflected(connection).sorted_tables:
            rows = kept["tables"].get(table.name, [])
            if rows:
                connection.execute(sa.insert(table), [_typed(table, row) for row in rows])
    database.close()


def fill_ledger(url: str) -> None:
    """Do everything that a ledger records, so that no table is left empty."""
    with Ledger.open(url) as ledger, Ledger.open(url, tenant="other", role="auditor") as other:
        _act(ledger, TASK)
        _act(other, some_task("sort"))
        _serve(ledger, "route")
        _serve(other, "sort")
        _spend(ledger)
        _spend(other)
        ledger.pin("backup:b1", [some_digest("p")])
        plan = Plan(kind="improve", subject="route", key=some_digest("work"))
        begun = ledger.begin_job(plan, process.identity(), seconds=30.0, actor="ann")
        step = Step(name="data", result={"rows": 3}, seconds=0.5, finished=START)
        ledger.finish_step(begun.job.id, begun.lease, step)


def _act(ledger: Ledger, task: Task) -> None:
    """Three contests: one released, one released after an approval, one kept."""
    name, ruled = task.name, some_task(task.name, approvals=1)
    ledger.record_configuration(Configuration(), "ann")
    ledger.record_configuration(Configuration(settings=Settings(folds=7)), "ben")
    ledger.save_task(task, task_digest(task), "ann", use_case="support")
    ledger.save_dataset(some_dataset("one", task=name), "ann")
    ledger.record_sides(name, {"g1": "train", "g2": "holdout"}, ContestId("c0"))
    ledger.record_look(name, some_digest("h"), "certify", contest=ContestId("c0"), actor="ann")
    ledger.conclude(
        some_contest(1, task=task), expected_version=0, actor="ann", idempotency_key="first"
    )
    ledger.save_task(ruled, task_digest(ruled), "ann")
    ledger.conclude(some_contest(2, task=ruled), expected_version=1, actor="ann")
    ledger.approve(name, 2, reason="read it", actor="ben")
    stricter = Task(name=name, labels=task.labels, objective=Objective(at_least=0.9))
    ledger.save_task(stricter, task_digest(stricter), "cyd")
    ledger.conclude(some_contest(3, task=stricter, verdict="kept"), expected_version=2, actor="cyd")
    ledger.move_channel(
        name, "production", 1, expected_version=2, reason="complaints", actor="cyd", back=True
    )
    first = ledger.add_prompt(name, PromptTemplate(user="{{ text }}?"), note="a start", actor="ann")
    ledger.add_prompt(name, PromptTemplate(user="{{ text }}!"), parent=first.number, actor="ben")
    for to in (1, 2):
        ledger.move_prompt_alias(
            name, "production", to, expected_version=to - 1, reason="better", actor="ann"
        )


def _serve(ledger: Ledger, task: str) -> None:
    """Two keys, one of them revoked, answers, what was said of them, a check of a variant."""
    ledger.create_key(some_key(1), some_digest(f"{task} 1"), reason="first", actor="ann")
    ledger.create_key(some_key(2), some_digest(f"{task} 2"), reason="second", actor="ann")
    ledger.revoke_key(some_key(2).id, reason="lost", actor="ben")
    traces = [some_trace(number, task=task) for number in range(3)]
    ledger.add_traces([(trace, trace.at + timedelta(days=30)) for trace in traces])
    for trace in traces[:2]:
        ledger.add_feedback(some_feedback(trace))
    ledger.record_loss(2, reason="killed")
    ledger.add_fidelity(some_fidelity())


def _spend(ledger: Ledger) -> None:
    """Two language models, one changed and one removed, budgets, calls, an answer to keep."""
    ledger.add_upstream(some_upstream(), reason="first", actor="ann")
    ledger.add_upstream(some_upstream(price=3_000_000), reason="dearer", actor="ben", replace=True)
    ledger.add_upstream(some_upstream("small"), reason="second")
    ledger.remove_upstream("small", reason="gone")
    ledger.set_budget("workspace", 5_000_000, reason="a start", actor="ann")
    ledger.set_budget("task:nothing", 1, period="day", reason="slip")
    ledger.remove_budget("task:nothing", reason="slip")
    until = ledger.clock() + timedelta(days=365)
    ledger.reserve("h1", {"workspace": 1000}, until)
    ledger.settle("h1", [some_call(number) for number in range(3)], {"workspace": 400}, until)
    ledger.add_model_calls([some_call(3, upstream="small", job="j1", outcome="timeout")])
    ledger.keep_model_answers(
        [
            KeptAnswer(
                scope="task:route",
                digest=some_digest("asked"),
                upstream="big",
                answer=b'{"text": "refund"}',
            )
        ]
    )


def _reflected(connection: sa.Connection) -> sa.MetaData:
    metadata = sa.MetaData()
    metadata.reflect(connection)
    return metadata


def _plain(value: object) -> object:
    if not isinstance(value, datetime):
        return value
    moment = value.astimezone(UTC) if value.tzinfo else value
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"


def _typed(table: sa.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(table.c[name], value) for name, value in row.items()}


def _value(column: sa.Column[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, sa.DateTime):
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if column.type.timezone else moment
    return bool(value) if isinstance(column.type, sa.Boolean) else value
