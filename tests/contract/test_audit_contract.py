"""The audit log over SQLite and PostgreSQL: witnessed, tampered with behind its back, verified."""

# ruff: noqa: S608 - the statements of an attacker who owns the database

import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator

from milepost._base.clock import utc_now
from milepost._base.digest import digest_of, sha256_bytes
from milepost.entities.audit import AuditReport, Checkpoint, Expected
from milepost.entities.configuration import Configuration
from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Decision
from milepost.entities.estimate import Estimate
from milepost.entities.ids import CandidateId, ContestId, Digest
from milepost.entities.prompts import PromptTemplate
from milepost.entities.scorecard import Scorecard
from milepost.entities.task import ReleaseRule, Task
from milepost.storage import tables
from milepost.storage.ledger import Ledger
from milepost.storage.proof.checkpoints import Checkpoints, object_name, signed
from milepost.storage.proof.exports import export_lines
from milepost.storage.proof.places import LocalPlace
from milepost.storage.proof.signing import Signer
from milepost.storage.proof.verification import verify
from milepost.storage.proof.witness import Witness
from milepost.testing.records import some_upstream

TASK = Task(name="route", labels={"refund": "Money back", "card": ""})
DIGEST = Digest(sha256_bytes(msgspec.json.encode(TASK)))
COLUMNS = ("at", "actor", "role", "action", "subject", "reason", "details", "hash")


def new_signer() -> Signer:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Signer(Ed25519PrivateKey.generate())


class Desk:
    """A ledger with some history, its checkpoints, and an attacker's way in."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger = ledger
        self.folder = folder
        self.signer = new_signer()
        self.checkpoints = Checkpoints(LocalPlace(folder))
        self.witness = Witness(lambda: self.checkpoints, lambda: self.signer, utc_now, every=0.0)
        ledger.database.witness = self.witness

    def live(self) -> None:
        """A task, settings, two releases and two moves: twelve entries."""
        self.ledger.save_task(TASK, DIGEST, "ann")
        self.ledger.record_configuration(Configuration(), actor="ann")
        for number in (1, 2):
            self.release(number)
        for _ in range(2):
            self.move()

    def strict(self) -> None:
        """A task that asks for an approval, a release that waits for it, and two looks."""
        task = Task(name="strict", labels=TASK.labels, release=ReleaseRule(approvals=1))
        version = Digest(sha256_bytes(msgspec.json.encode(task)))
        self.ledger.save_task(task, version, "ann")
        self.release(9, "strict", version)
        for purpose in ("certify", "certify again"):
            self.ledger.record_look("route", Digest(digest_of("h")), purpose, actor="ann")

    def asks(self) -> None:
        """A split, an upstream whose price went up, two prompts, an alias, two budgets."""
        ledger = self.ledger
        ledger.record_sides("route", {"g1": "train", "g2": "holdout"}, actor="ann")
        ledger.record_sides("route", {"g3": "train"}, actor="ben")
        for price in (2_000_000, 3_000_000):
            ledger.add_upstream(some_upstream(price=price), reason="asked", replace=True)
        for user in ("{{ text }}?", "{{ text }}!"):
            ledger.add_prompt("route", PromptTemplate(user=user), note="a try", actor="ann")
        ledger.move_prompt_alias("route", "production", 2, expected_version=0, reason="better")
        ledger.set_budget("workspace", 5_000_000, reason="a start", actor="ann")
        ledger.set_budget("task:route", 7, period="day", reason="little")

    def release(self, number: int, task: str = "route", version: Digest = DIGEST) -> None:
        name = ContestId(f"c{number:012x}")
        value = Estimate(
            value=0.9, low=0.8, high=1.0, n=7, method="wilson", at_least=0.8, at_most=1.0
        )
        good = Candidate(
            id=CandidateId(f"{name}-head"),
            strategy="head",
            scorecard=Scorecard(regime="holdout", metric="accuracy", metrics={"accuracy": value}),
            bundle=Digest(digest_of(number)),
            chosen=True,
        )
        contest = Contest(
            id=name,
            task=task,
            task_version=version,
            examples=Digest(digest_of("e")),
            holdout=None,
            regime="holdout",
            seed=1,
            budget_seconds=None,
            started=utc_now(),
            seconds=1.0,
            candidates=(good,),
            decision=Decision(verdict="released", reasons=("It is good enough.",)),
            code="0.1.0",
        )
        channel = self.ledger.channel(task)
        self.ledger.conclude(
            contest, expected_version=channel.version if channel else 0, actor="ann"
        )

    def move(self) -> None:
        """Point the channel at the other release."""
        channel = self.ledger.channel("route")
        assert channel is not None
        self.ledger.move_channel(
            "route",
            "production",
            3 - channel.release,
            expected_version=channel.version,
            reason="it is",
            actor="ben",
        )

    def verify(self, expected: Expected | None = None) -> AuditReport:
        noted = (self.ledger.tenant, expected) if expected else None
        return verify(self.ledger.database, self.checkpoints, {self.signer.public}, noted)

    def faults(self) -> list[tuple[str, int, int]]:
        return [
            (f.kind, f.sequence, f.until) for f in self.verify().findings if f.severity == "fault"
        ]

    def attack(self, *statements: str) -> None:
        """Write past all guards, as somebody does who owns the database."""
        with self.ledger.database.engine.connect() as connection:
            # The driver's own words: no transaction of the ledger's kind, no check.
            for statement in (*self.disarm(), *statements):
                connection.exec_driver_sql(statement)
            connection.commit()

    def disarm(self) -> list[str]:
        guarded = ["audit", "releases", "approvals", "configurations", "task_versions"]
        guarded += ["proposals", "upstreams", "prompts"]
        if self.ledger.database.is_sqlite:
            acts = ("update", "delete")
            dropped = [f"DROP TRIGGER IF EXISTS {t}_no_{a}" for t in guarded for a in acts]
            return ["PRAGMA defer_foreign_keys = ON", *dropped]
        return [f"DROP TRIGGER IF EXISTS {t}_no_change ON {t}" for t in guarded]

    @property
    def length(self) -> int:
        return self.ledger.audit_head().sequence


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    url = f"sqlite:///{tmp_path}/ledger.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    with Ledger.open(url) as ledger:
        made = Desk(ledger, tmp_path / "checkpoints")
        made.live()
        yield made


def renumber(first: int, by: int) -> list[str]:
    """Statements that move the numbers from ``first`` on, without meeting a taken one."""
    return [
        f"UPDATE audit SET sequence = -sequence WHERE sequence >= {first}",
        f"UPDATE audit SET sequence = -sequence + {by} WHERE sequence < 0",
    ]


def test_an_honest_ledger_is_intact(desk: Desk) -> None:
    report = desk.verify()
    assert report.findings == ()
    assert report.intact
    (log,) = report.tenants
    assert (log.entries, log.covered, log.head) == (
        desk.length,
        desk.length,
        desk.ledger.audit_head().hash,
    )
    assert log.records["release"] == 2
    assert log.records["channel"] == 1
    head = desk.ledger.audit_head()
    noted = Expected(sequence=head.sequence, hash=Digest(head.hash))
    assert desk.verify(noted).intact


def test_an_edit_of_each_column(desk: Desk) -> None:
    for number, column in enumerate(COLUMNS, start=3):
        with desk.ledger.database.read() as connection:
            old = connection.scalar(
                sa.select(tables.audit.c[column]).where(tables.audit.c.sequence == number)
            )
        value = "2020-01-01 00:00:00.000000" if column == "at" else f"{str(old)[:-1]}~"
        restored = (
            f"{old:%Y-%m-%d %H:%M:%S.%f}{'' if desk.ledger.database.is_sqlite else '+00'}"
            if column == "at"
            else str(old).replace("'", "''")
        )
        set_to = "UPDATE audit SET {} = '{}' WHERE sequence = {}"
        desk.attack(set_to.format(column, value.replace("'", "''"), number))
        assert desk.faults()[0] == ("edited", number, number), column
        desk.attack(set_to.format(column, restored, number))
    assert desk.verify().intact


def test_a_deletion_a_swap_an_insertion(desk: Desk) -> None:
    desk.attack("DELETE FROM audit WHERE sequence = 4")
    assert ("deleted", 4, 4) in desk.faults()
    desk.attack(*renumber(5, -1))
    assert ("deleted", 4, 4) in desk.faults()


def test_a_swap(desk: Desk) -> None:
    desk.attack(
        "UPDATE audit SET sequence = -1 WHERE sequence = 5",
        "UPDATE audit SET sequence = 5 WHERE sequence = 8",
        "UPDATE audit SET sequence = 8 WHERE sequence = -1",
    )
    assert desk.faults() == [("reordered", 5, 8)]


def test_an_insertion(desk: Desk) -> None:
    columns = "tenant, sequence, at, actor, role, action, subject, reason, details, hash"
    copied = columns.replace("sequence", "6").replace("actor", "'eve'")
    desk.attack(
        *renumber(6, 1),
        f"INSERT INTO audit ({columns}) SELECT {copied} FROM audit WHERE sequence = 5",
    )
    assert desk.faults()[0] == ("inserted", 6, 6)


def test_a_truncated_tail(desk: Desk) -> None:
    last = desk.length
    desk.attack(f"DELETE FROM audit WHERE sequence > {last - 2}")
    assert ("truncated", last - 1, last) in desk.faults()
    desk.attack("DELETE FROM audit")
    assert ("truncated", 1, last) in desk.faults()


def test_a_full_rewrite_with_a_valid_chain(desk: Desk) -> None:
    """Everything is written anew by milepost itself, with another person's name."""
    last = desk.length
    with desk.ledger.database.read() as connection:
        rows = connection.execute(sa.select(tables.audit).order_by(tables.audit.c.sequence)).all()
    desk.ledger.database.witness = None
    desk.attack("DELETE FROM audit")
    for row in rows:
        with desk.ledger.database.write("default") as connection:
            desk.ledger._append_audit(
                connection,
                actor="eve" if row.actor == "ben" else row.actor,
                action=row.action,
                subject=row.subject,
                reason=row.reason,
                details=json.loads(row.details),
            )
    assert desk.faults() == [("rewritten", 1, last)]
    said = next(f.what for f in desk.verify().findings if f.kind == "rewritten")
    assert f"history up to entry {last} was rewritten" in said


def test_going_on_after_a_truncation_is_seen_and_said(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.attack(f"DELETE FROM audit WHERE sequence = {desk.length}")
    with caplog.at_level("WARNING", "milepost"):
        desk.ledger.record_look("route", Digest(digest_of("h")), "a look", actor="ann")
    # There is a checkpoint of this very number, with another hash.
    assert "the audit log was changed" in caplog.text
    assert ("rewritten", desk.length, desk.length) in desk.faults()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE releases SET bundle = '{zeros}' WHERE number = 2", "release route#2"),
        ("UPDATE releases SET actor = 'eve' WHERE number = 2", "release route#2"),
        ("UPDATE releases SET digest = '{zeros}' WHERE number = 2", "release route#2"),
        ("UPDATE channels SET release = 1", "channel route@production is not what entry"),
        ("UPDATE channels SET version = 99", "channel route@production is not what entry"),
        ("UPDATE channels SET share = 0.5", "channel route@production is not what entry"),
        ("DELETE FROM channels", "recorded channel route@production, which is not in"),
        ("UPDATE tasks SET version = 'x'", "task route is not what entry"),
        ("UPDATE contests SET verdict = 'kept' WHERE sequence = 1", "contest c000000000001 is"),
        ("UPDATE candidates SET record = replace(record, '0.9', '0.99')", "-head is not what"),
        ("UPDATE configurations SET record = '{{}}'", "the row of setting 1 was edited"),
        ("DELETE FROM configurations", "recorded setting 1, which is not in the ledger"),
        ("DELETE FROM proposals", "recorded proposal strict#1, which is not in the ledger"),
        ("UPDATE proposals SET approvals = 0", "proposal strict#1 is not what entry"),
        ("UPDATE proposals SET channel = 'x'", "proposal strict#1 is not what entry"),
        ("UPDATE proposals SET version = 7", "proposal strict#1 is not what entry"),
        (
            "INSERT INTO proposals (tenant, task, release, channel, version, approvals) "
            "VALUES ('default', 'route', 1, 'production', 0, 0)",
            "no entry recorded proposal route#1",
        ),
        (
            "UPDATE task_versions SET record = replace(record, '\"approvals\":1', "
            "'\"approvals\":0')",
            "the row of task version strict",
        ),
        ("UPDATE task_versions SET number = 9 WHERE task = 'strict'", "task version strict"),
        ("DELETE FROM looks WHERE number = 1", "recorded look route 1 at"),
        ("UPDATE looks SET purpose = 'none'", "look route 1 at"),
        ("UPDATE looks SET contest = 'other'", "look route 1 at"),
        ("UPDATE looks SET actor = 'eve'", "look route 1 at"),
        ("UPDATE looks SET holdout = '{zeros}' WHERE number = 2", "recorded look route 2 at"),
        ("UPDATE contests SET record = replace(record, 'good', 'bad')", "contest c000000000001"),
        ("UPDATE contests SET actor = 'eve' WHERE task = 'strict'", "contest c000000000009 is"),
        ("UPDATE candidates SET bundle = '{zeros}'", "contest c000000000001 is not what entry"),
        (
            "UPDATE candidates SET record = replace(record, 'parameters', 'more') "
            "WHERE task = 'strict'",
            "contest c000000000009 is not what entry",
        ),
        (
            "UPDATE candidates SET position = 5 WHERE task = 'strict'",
            "contest c000000000009 is not what entry",
        ),
    ],
)
def test_rows_are_held_against_their_entries(desk: Desk, statement: str, words: str) -> None:
    desk.strict()
    desk.attack(statement.format(zeros="0" * 64))
    faults = desk.verify().findings
    assert {fault.kind for fault in faults} == {"record"}
    assert any(words.format(zeros="0" * 64) in fault.what for fault in faults)


_PRICE = "UPDATE upstreams SET record = replace(record, '000000', '000001') WHERE number = {}"
_RECORD = "UPDATE prompts SET record = replace(record, '{}', '{}') WHERE number = 1"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (_PRICE.format(1), "upstream big version 1 is not what entry"),
        (_PRICE.format(2), "upstream big version 2 is not what entry"),
        ("UPDATE upstreams SET record = NULL WHERE number = 2", "upstream big version 2 is not"),
        ("UPDATE upstreams SET actor = 'eve' WHERE number = 1", "upstream big version 1 is not"),
        ("DELETE FROM upstreams WHERE number = 1", "recorded upstream big version 1, which is not"),
        ("UPDATE upstreams SET number = 5 WHERE number = 2", "no entry recorded upstream big"),
        (_RECORD.format("?", "."), "prompt route/prompt/1 is not what entry"),
        (_RECORD.format("a try", "mine"), "prompt route/prompt/1 is not what entry"),
        ("UPDATE prompts SET digest = 'x' WHERE number = 2", "prompt route/prompt/2 is not what"),
        ("UPDATE prompts SET actor = 'eve' WHERE number = 2", "prompt route/prompt/2 is not what"),
        ("DELETE FROM prompts WHERE number = 1", "recorded prompt route/prompt/1, which is not in"),
        ("UPDATE prompt_aliases SET number = 1", "prompt alias route/prompt/production is not"),
        ("UPDATE prompt_aliases SET version = 9", "prompt alias route/prompt/production is not"),
        ("DELETE FROM prompt_aliases", "recorded prompt alias route/prompt/production, which"),
        ("UPDATE budgets SET micro_usd = 9 WHERE scope = 'task:route'", "budget task:route is not"),
        (
            "UPDATE budgets SET period = 'total' WHERE scope = 'workspace'",
            "budget workspace is not",
        ),
        ("DELETE FROM budgets WHERE scope = 'task:route'", "recorded budget task:route, which is"),
        ("UPDATE sides SET side = 'train' WHERE group_key = 'g2'", "split route/split is not what"),
        ("DELETE FROM sides WHERE group_key = 'g1'", "split route/split is not what entry"),
        ("UPDATE sides SET group_key = 'g9' WHERE group_key = 'g3'", "split route/split is not"),
        ("DELETE FROM sides", "recorded split route/split, which is not in the ledger"),
    ],
)
def test_what_is_asked_and_what_it_may_cost(desk: Desk, statement: str, words: str) -> None:
    desk.asks()
    assert desk.verify().findings == ()
    desk.attack(statement)
    faults = desk.verify().findings
    assert {fault.kind for fault in faults} == {"record"}
    assert any(words in fault.what for fault in faults), [fault.what for fault in faults]


def test_the_rule_of_approvals_cannot_be_taken_away_unnoticed(desk: Desk) -> None:
    desk.strict()
    assert desk.verify().findings == ()
    desk.attack(
        "DELETE FROM proposals",
        "UPDATE task_versions SET record = replace(record, '\"approvals\":1', '\"approvals\":0')",
    )
    desk.ledger.move_channel(
        "strict", "production", 1, expected_version=0, reason="it is", actor="eve"
    )
    said = " ".join(fault.what for fault in desk.verify().findings)
    assert "proposal strict#1, which is not in the ledger" in said
    assert "the row of task version strict" in said


def test_what_is_collected_later_is_no_edit(desk: Desk) -> None:
    desk.attack("UPDATE candidates SET collected = '2026-01-01 00:00:00.000000'")
    assert desk.verify().findings == ()


def test_an_entry_from_before_digests_of_contests_is_believed(desk: Desk) -> None:
    log = desk.ledger.audit(action="gate.decided")[0]
    details = {k: v for k, v in log.details.items() if k not in {"record", "candidates"}}
    with desk.ledger.database.write("default") as connection:
        desk.ledger._append_audit(
            connection,
            actor=log.actor,
            action=log.action,
            subject=log.subject,
            reason=log.reason,
            details=details,
        )
    assert desk.verify().findings == ()


def test_rows_without_an_entry(desk: Desk) -> None:
    columns = "tenant, task, number, candidate, contest, bundle, strategy, created, actor, digest"
    desk.attack(
        f"INSERT INTO releases ({columns}) SELECT {columns.replace('number', '9')} "
        "FROM releases WHERE number = 1"
    )
    (fault,) = desk.verify().findings
    assert fault.kind == "record"
    assert "release route#9" in fault.what


class TestCheckpoints:
    def file(self, desk: Desk, number: int) -> Path:
        return desk.folder / object_name("default", number)

    def test_each_commit_has_one(self, desk: Desk) -> None:
        held = [msgspec.json.decode(data, type=Checkpoint) for _, data in desk.checkpoints.all()]
        assert held[-1].sequence == desk.length
        assert held[-1].hash == desk.ledger.audit_head().hash
        numbers = [each.sequence for each in held]
        assert [each.previous for each in held] == [0, *numbers[:-1]]

    def test_an_edited_one(self, desk: Desk) -> None:
        path = self.file(desk, desk.length)
        good = json.loads(path.read_text())
        for name in good:
            value = good[name]
            bad = {**good, name: value + 1 if isinstance(value, int) else f"{value[:-1]}0"}
            path.write_text(json.dumps(bad))
            if bad != good:
                assert [(kind, n) for kind, n, _ in desk.faults()] == [
                    ("checkpoint", desk.length)
                ], name
        path.write_text("not JSON")
        assert desk.faults() == [("checkpoint", desk.length, desk.length)]

    def test_one_of_another_key(self, desk: Desk) -> None:
        thief = new_signer()
        path = self.file(desk, desk.length)
        old = msgspec.json.decode(path.read_bytes(), type=Checkpoint)
        path.write_bytes(msgspec.json.encode(signed(old, thief)))
        assert desk.faults() == [("signer", desk.length, desk.length)]
        stolen = msgspec.structs.replace(signed(old, thief), key=desk.signer.public)
        path.write_bytes(msgspec.json.encode(stolen))
        assert desk.faults() == [("checkpoint", desk.length, desk.length)]

    def test_one_under_another_name(self, desk: Desk) -> None:
        last = desk.length
        self.file(desk, 900).write_bytes(self.file(desk, last).read_bytes())
        assert desk.faults() == [("checkpoint", 900, 900)]

    def test_a_deleted_one(self, desk: Desk) -> None:
        numbers = [int(name[-17:-5]) for name, _ in desk.checkpoints.all()]
        for gone in numbers[:-1]:
            held = self.file(desk, gone).read_bytes()
            self.file(desk, gone).unlink()
            assert desk.faults() == [("checkpoint", gone, gone)]
            self.file(desk, gone).write_bytes(held)
        self.file(desk, numbers[-1]).unlink()
        (limit,) = desk.verify().findings
        assert (limit.kind, limit.severity) == ("uncovered", "warning")
        assert (limit.sequence, limit.until) == (numbers[-2] + 1, numbers[-1])

    def test_none_at_all(self, desk: Desk) -> None:
        for name, _ in list(desk.checkpoints.all()):
            (desk.folder / name).unlink()
        (fault,) = desk.verify().findings
        assert (fault.kind, fault.severity) == ("unsigned", "fault")
        assert not desk.verify().intact
        # A head that was noted proves as much as a checkpoint of it.
        head = desk.ledger.audit_head()
        noted = Expected(sequence=head.sequence, hash=Digest(head.hash))
        assert desk.verify(noted).findings == ()
        # Of a ledger from before checkpoints, the next change signs what is there.
        desk.move()
        assert desk.verify().findings == ()

    def test_a_place_that_cannot_be_written_is_said_once_and_caught_up(
        self, desk: Desk, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        away = tmp_path / "away"
        desk.folder.rename(away)
        desk.folder.write_text("a file in its place")
        before = desk.length
        with caplog.at_level("WARNING", "milepost"):
            desk.move()
            desk.move()
        assert desk.length == before + 2
        assert caplog.text.count("could not be written") == 1
        desk.folder.unlink()
        away.rename(desk.folder)
        (limit,) = desk.verify().findings
        assert (limit.kind, limit.sequence, limit.until) == ("uncovered", before + 1, before + 2)
        desk.move()
        assert desk.verify().findings == ()

    def fail_half_way(self, ledger: Ledger) -> None:
        with ledger.database.write("default") as connection:
            ledger._append_audit(
                connection, actor="a", action="b", subject="c", reason="", details={}
            )
            _ = 1 / 0

    def test_a_transaction_that_fails_has_none(self, desk: Desk) -> None:
        before = len(list(desk.checkpoints.all()))
        with pytest.raises(ZeroDivisionError):
            self.fail_half_way(desk.ledger)
        desk.ledger.save_task(TASK, DIGEST, "ann")
        assert len(list(desk.checkpoints.all())) == before

    def test_many_writes_share_one(self, desk: Desk) -> None:
        before = len(list(desk.checkpoints.all()))
        patient = Witness(lambda: desk.checkpoints, lambda: desk.signer, utc_now, every=3600.0)
        desk.ledger.database.witness = patient
        for _ in range(20):
            desk.move()
        assert len(list(desk.checkpoints.all())) == before + 1
        patient.flush()
        assert len(list(desk.checkpoints.all())) == before + 2
        assert desk.verify().findings == ()

    def test_one_that_waits_is_written_without_another_commit(self, desk: Desk) -> None:
        written = threading.Event()
        add, last = desk.checkpoints.add, desk.length + 2

        def told(checkpoint: Checkpoint) -> None:
            add(checkpoint)
            if checkpoint.sequence == last:
                written.set()

        desk.checkpoints.add = told  # type: ignore[method-assign]
        desk.ledger.database.witness = Witness(
            lambda: desk.checkpoints, lambda: desk.signer, utc_now, every=0.05
        )
        desk.move()
        desk.move()
        assert written.wait(30)
        assert desk.verify().findings == ()


def test_all_tenants_are_verified(desk: Desk) -> None:
    other = Ledger(desk.ledger.database, utc_now, "other")
    other.save_task(TASK, DIGEST, "zoe")
    report = desk.verify()
    assert report.intact
    assert [t.tenant for t in report.tenants] == ["default", "other"]
    desk.attack("UPDATE audit SET actor = 'eve' WHERE tenant = 'other'")
    (fault,) = desk.verify().findings
    assert (fault.tenant, fault.kind, fault.sequence) == ("other", "edited", 1)
    # Even when nothing of a tenant is left.
    desk.attack(
        *(f"DELETE FROM {t} WHERE tenant = 'other'" for t in ("audit", "task_versions", "tasks"))
    )
    (gone,) = desk.verify().findings
    assert (gone.tenant, gone.kind, gone.until) == ("other", "truncated", 1)


def test_what_was_expected(desk: Desk) -> None:
    wrong = desk.verify(Expected(sequence=3, hash=Digest("0" * 64)))
    assert [f.kind for f in wrong.findings] == ["expected"]
    beyond = desk.verify(Expected(sequence=900, hash=Digest("0" * 64)))
    assert [(f.kind, f.until) for f in beyond.findings] == [("expected", 900)]


def test_exported_lines_verify_by_themselves(desk: Desk) -> None:
    lines = [json.loads(line) for line in export_lines(desk.ledger.database, "default", "jsonl", 0)]
    assert [line["sequence"] for line in lines] == list(range(1, desk.length + 1))
    for line in lines:
        said = [line[name] for name in ("previous", "tenant", "sequence", *COLUMNS[:7])]
        text = json.dumps([1, *said], separators=(",", ":"), ensure_ascii=False)
        assert sha256(text.encode()).hexdigest() == line["hash"]
    assert lines[-1]["hash"] == desk.ledger.audit_head().hash
    later = list(export_lines(desk.ledger.database, "default", "jsonl", 5))
    assert [json.loads(line) for line in later] == lines[5:]
    assert list(export_lines(desk.ledger.database, "default", "jsonl", 900)) == []


EVENT = {
    # The rules of CloudEvents 1.0.2 for the attributes that are used, and no other attribute.
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "additionalProperties": False,
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "format": "uri-reference", "minLength": 1},
        "type": {"type": "string", "minLength": 1},
        "subject": {"type": "string", "minLength": 1, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"},
        "time": {
            "type": "string",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
        },
        "datacontenttype": {"const": "application/json"},
        "data": {"type": "object"},
    },
}


def test_exported_events_are_cloudevents(desk: Desk) -> None:
    with desk.ledger.database.write("default") as connection:
        for subject in ("", "odd \x01\x85 subject"):
            desk.ledger._append_audit(
                connection, actor="a", action="b", subject=subject, reason="", details={"x": "ä\n"}
            )
    events = [
        json.loads(line) for line in export_lines(desk.ledger.database, "default", "cloudevents", 0)
    ]
    for event in events:
        Draft202012Validator(EVENT).validate(event)
    assert len({event["id"] for event in events}) == len(events) == desk.length
    assert events[-1]["data"]["details"] == {"x": "ä\n"}


def test_a_tenants_name_makes_a_valid_source(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/l.db", tenant="a b/ü%") as ledger:
        ledger.save_task(TASK, DIGEST)
        (event,) = map(json.loads, export_lines(ledger.database, "a b/ü%", "cloudevents", 0))
    assert event["source"] == "/milepost/tenants/a%20b%2F%C3%BC%25"
