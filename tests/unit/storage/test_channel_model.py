"""Releases and channels against a model that is too simple to be wrong."""

import tempfile
from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from milepost._base.digest import digest_of
from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Decision
from milepost.entities.errors import ConflictError, InputError, UnknownNameError
from milepost.entities.ids import CandidateId, ContestId, Digest
from milepost.entities.task import Task
from milepost.storage.ledger import Ledger

NAMES = st.sampled_from(["production", "canary"])
STALENESS = st.sampled_from([0, 0, 0, 1, -1])


class Channels(RuleBasedStateMachine):
    """The model: a count of releases, (release, previous, version) per channel, and a log."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger.open(f"sqlite:///{self.folder.name}/ledger.db")
        task = Task(name="route", labels={"a": "", "b": ""})
        digest = Digest(digest_of(task))
        self.ledger.save_task(task, digest)
        self.candidate = CandidateId("c0-head")
        self.ledger.save_contest(
            Contest(
                id=ContestId("c0"),
                task="route",
                task_version=digest,
                examples=digest,
                holdout=None,
                regime="cross_fitted",
                seed=0,
                budget_seconds=None,
                started=datetime(2026, 1, 1, tzinfo=UTC),
                seconds=1.0,
                candidates=(Candidate(id=self.candidate, strategy="head", bundle=digest),),
                decision=Decision(verdict="released", reasons=()),
                code="",
            )
        )
        self.count = 0
        self.channels: dict[str, tuple[int, int | None, int]] = {}
        self.log: list[tuple[str, str]] = []

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    def version(self, name: str) -> int:
        return self.channels[name][2] if name in self.channels else 0

    def move(self, name: str, to: int) -> None:
        before = self.channels.get(name, (None, None, 0))
        self.channels[name] = (to, before[0], before[2] + 1)
        self.log.append(("channel.moved", f"route@{name}"))

    @rule(name=NAMES, stale=STALENESS)
    def make(self, name: str, stale: int) -> None:
        expected = self.version(name) + stale
        if stale:
            with pytest.raises(ConflictError):
                self.ledger.make_release(
                    self.candidate, expected_version=expected, reason="r", channel=name
                )
            return
        made = self.ledger.make_release(
            self.candidate, expected_version=expected, reason="r", channel=name
        )
        self.count += 1
        assert made.number == self.count
        self.log.append(("release.made", f"route#{made.number}"))
        self.move(name, made.number)

    @rule(name=NAMES, to=st.integers(0, 6), stale=STALENESS)
    def point(self, name: str, to: int, stale: int) -> None:
        expected = self.version(name) + stale
        error: type[Exception] | None = None
        if not 1 <= to <= self.count:
            error = UnknownNameError
        elif stale:
            error = ConflictError
        elif name in self.channels and self.channels[name][0] == to:
            error = InputError
        if error:
            with pytest.raises(error):
                self.ledger.move_channel("route", name, to, expected_version=expected, reason="")
            return
        self.ledger.move_channel("route", name, to, expected_version=expected, reason="")
        self.move(name, to)

    @precondition(lambda self: hasattr(self, "ledger"))
    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(f"sqlite:///{self.folder.name}/ledger.db")

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for name in ("production", "canary"):
            found = self.ledger.channel("route", name)
            seen = (found.release, found.previous, found.version) if found else None
            assert seen == self.channels.get(name)
        numbers = [release.number for release in self.ledger.releases("route")]
        assert numbers == list(range(self.count, 0, -1))
        entries = self.ledger.audit()[::-1]
        assert [(each.action, each.subject) for each in entries] == self.log
        assert [each.sequence for each in entries] == list(range(1, len(self.log) + 1))


TestChannels = Channels.TestCase
TestChannels.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
