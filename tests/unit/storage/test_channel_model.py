"""Releases, channels and approvals against a model that is too simple to be wrong.

Several people with several open ledgers act in turns that hypothesis chooses. After each turn the
stored state equals the model's, the audit chain recomputes, and every place where a channel ever
stood is explained by an entry.
"""

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from milepost.entities.contest import Contest
from milepost.entities.errors import ConflictError, InputError, UnknownNameError
from milepost.entities.release import Channel
from milepost.storage.ledger import Ledger
from milepost.testing.records import chained, some_contest, some_task, task_digest

CHANNELS = ("production", "canary", "shadow")
PEOPLE = ("ann", "ben", "cyd", "dan")
HANDLES = 3

NAMES = st.sampled_from(CHANNELS)
ACTORS = st.sampled_from(PEOPLE)
WHICH = st.integers(0, HANDLES - 1)
NUMBERS = st.integers(0, 50)
SHARES = st.sampled_from([None, None, 0.0, 0.1, 1.0, -0.1, 1.5])
STALENESS = st.sampled_from([*[0] * 9, 1, -1])


@dataclass
class Made:
    """What the model knows of a release."""

    maker: str
    channel: str
    version: int
    asked: int
    approved: list[str] = field(default_factory=list)


class Releases(RuleBasedStateMachine):
    """The model: releases, (release, previous, version, share) per channel, the rule, a log."""

    url: str
    tenants = count()

    @initialize(asked=st.integers(0, 2), contests=st.integers(1, 3))
    def begin(self, asked: int, contests: int) -> None:
        # A tenant of its own is as good as an empty ledger, and is had at once.
        self.tenant = f"tenant {next(self.tenants)}"
        self.ledgers = [self.opened() for _ in range(HANDLES)]
        self.made: list[Made] = []
        self.channels: dict[str, tuple[int, int | None, int, float | None]] = {}
        self.log: list[tuple[str, str, str]] = []
        self.asked = 0
        self.contests = 0
        self.done: list[tuple[str, str, Contest, str]] = []
        self.task = some_task()
        self.ledgers[0].save_task(self.task, task_digest(self.task), "ann")
        self.log.append(("task.added", "route", "ann"))
        self.ask_for(0, asked, "ann")
        for _ in range(contests):
            self.conclude(0, "production", "ann", 0)

    def opened(self) -> Ledger:
        return Ledger.open(self.url, tenant=self.tenant)

    def teardown(self) -> None:
        for ledger in getattr(self, "ledgers", []):
            ledger.close()

    def version(self, name: str) -> int:
        return self.channels[name][2] if name in self.channels else 0

    def move(self, name: str, to: int, actor: str, share: float | None = None) -> None:
        before = self.channels.get(name, (None, None, 0, None))
        kept = before[3] if share is None else share
        self.channels[name] = (to, before[0], before[2] + 1, kept)
        self.log.append(("channel.moved", f"route@{name}", actor))
        canary = self.channels.get("canary")
        if name == "production" and canary and canary[0] == to and canary[3]:
            self.move("canary", to, actor, 0.0)

    @rule(handle=WHICH, approvals=st.integers(0, 2), actor=ACTORS)
    def ask_for(self, handle: int, approvals: int, actor: str) -> None:
        """Somebody changes how many approvals the task asks for."""
        if approvals != self.asked:
            self.log.append(("task.changed", "route", actor))
        self.asked = approvals
        self.task = some_task(approvals=approvals or None)
        self.ledgers[handle].save_task(self.task, task_digest(self.task), actor)

    @rule(handle=WHICH, name=NAMES, actor=ACTORS, stale=STALENESS)
    def conclude(self, handle: int, name: str, actor: str, stale: int) -> None:
        """A contest ends with a release, which goes live or waits."""
        number = self.contests + 1
        contest, key = some_contest(number, task=self.task), f"k{number}"

        def act(expected: int) -> Contest:
            return self.ledgers[handle].conclude(
                contest,
                expected_version=expected,
                actor=actor,
                channel=name,
                idempotency_key=key,
            )

        if stale:
            with pytest.raises(ConflictError):
                act(self.version(name) + stale)
            return
        made = act(self.version(name))
        self.contests = number
        self.made.append(Made(actor, name, self.version(name), self.asked))
        assert made.release == len(self.made)
        subject = f"route#{made.release}"
        self.log.append(("candidate.certified", contest.candidates[0].id, actor))
        self.log.append(("gate.decided", contest.id, actor))
        self.log.append(("release.made", subject, actor))
        if not self.asked:
            self.move(name, len(self.made), actor)
        self.done.append((key, name, contest, actor))

    @rule(handle=WHICH, which=st.integers(0, 20), stale=STALENESS)
    def conclude_again(self, handle: int, which: int, stale: int) -> None:
        """A request whose answer was lost is asked again, whatever happened since."""
        if not self.done:
            return
        key, name, contest, actor = self.done[which % len(self.done)]
        again = self.ledgers[handle].conclude(
            contest,
            expected_version=max(0, self.version(name) + stale),
            actor=actor,
            channel=name,
            idempotency_key=key,
        )
        assert again.release == 1 + self.done.index((key, name, contest, actor))
        with pytest.raises(InputError):
            self.ledgers[handle].conclude(
                some_contest(999, task=self.task),
                expected_version=self.version(name),
                actor=actor,
                channel=name,
                idempotency_key=key,
            )

    def number(self, drawn: int) -> int:
        """Of a release that is there, or of the next one, which is not."""
        return 1 + drawn % (len(self.made) + 1)

    def lacking(self, number: int, *, back: bool = False) -> int:
        made = self.made[number - 1]
        asked = made.asked if back else max(made.asked, self.asked)
        return max(0, asked - len(made.approved))

    @rule(handle=WHICH, number=NUMBERS, actor=ACTORS)
    def approve(self, handle: int, number: int, actor: str) -> None:
        ledger, number = self.ledgers[handle], self.number(number)
        if number > len(self.made):
            with pytest.raises(UnknownNameError):
                ledger.approve("route", number, reason="r", actor=actor)
            return
        made = self.made[number - 1]
        again = actor in made.approved
        if actor == made.maker or (not again and not self.lacking(number)):
            with pytest.raises(InputError):
                ledger.approve("route", number, reason="r", actor=actor)
            return
        came = ledger.approve("route", number, reason="r", actor=actor)
        assert came.repeated == again
        # What was released without a rule was made for production as far as approvals go.
        name = made.channel if made.asked else "production"
        stands = name in self.channels and self.channels[name][0] == number
        if not again:
            made.approved.append(actor)
            self.log.append(("release.approved", f"route#{number}", actor))
            if not self.lacking(number) and made.asked and self.version(name) == made.version:
                self.move(name, number, actor)
                stands = True
        expected = "waiting" if self.lacking(number) else "live" if stands else "overtaken"
        assert came.outcome == expected
        assert (came.given, came.needed) == (len(made.approved), max(made.asked, self.asked))

    @rule(
        handle=WHICH,
        name=NAMES,
        to=NUMBERS,
        actor=ACTORS,
        stale=STALENESS,
        back=st.booleans(),
        share=SHARES,
    )
    def point(
        self,
        handle: int,
        name: str,
        to: int,
        actor: str,
        stale: int,
        back: bool,
        share: float | None,
    ) -> None:
        now, to = self.channels.get(name), self.number(to)
        error: type[Exception] | None = None
        if share is not None and (name == "production" or not 0 <= share <= 1):
            error = InputError
        elif to > len(self.made):
            error = UnknownNameError
        elif stale:
            error = ConflictError
        else:
            nothing_to_do = now is not None and now[0] == to and share in {None, now[3]}
            not_back = back and (now is None or to > now[0])
            consent = name != "shadow" and share != 0
            if nothing_to_do or not_back or (consent and self.lacking(to, back=back)):
                error = InputError

        def act() -> Channel:
            return self.ledgers[handle].move_channel(
                "route",
                name,
                to,
                expected_version=self.version(name) + stale,
                reason="r",
                actor=actor,
                back=back,
                share=share,
            )

        if error:
            with pytest.raises(error):
                act()
            return
        act()
        self.move(name, to, actor, share)

    @rule(handle=WHICH)
    def reopen(self, handle: int) -> None:
        self.ledgers[handle].close()
        self.ledgers[handle] = self.opened()

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "ledgers"):
            return
        ledger = self.ledgers[len(self.log) % HANDLES]
        for name in CHANNELS:
            found = ledger.channel("route", name)
            place = (found.release, found.previous, found.version, found.share) if found else None
            assert place == self.channels.get(name)
        every = {each.name: each.share for each in ledger.every_channel()}
        assert every == {name: each[3] for name, each in self.channels.items()}
        releases = ledger.releases("route")
        assert [each.number for each in releases] == list(range(len(self.made), 0, -1))
        states = ledger.approval_states("route", [each.number for each in releases])
        for number, made in enumerate(self.made, start=1):
            assert {a.actor for a in states[number].approvals} == set(made.approved)
            assert states[number].lacking == self.lacking(number)

    @invariant()
    def is_explained(self) -> None:
        """The log says what was done, unbroken, and the channels follow from it alone."""
        if not hasattr(self, "ledgers"):
            return
        ledger = self.ledgers[0]
        entries = ledger.audit()[::-1]
        assert [(each.action, each.subject, each.actor) for each in entries] == self.log
        assert [each.sequence for each in entries] == list(range(1, len(self.log) + 1))
        assert chained(ledger)
        told: dict[str, tuple[Any, Any, Any, Any]] = {}
        for entry in entries:
            if entry.action == "channel.moved":
                name = entry.subject.removeprefix("route@")
                before = told.get(name, (None, None, 0, None))
                said = entry.details
                assert (said["from"], said["version"]) == (before[0], before[2] + 1)
                told[name] = (said["to"], said["from"], said["version"], said.get("share"))
        assert told == self.channels


def run(url: str, examples: int, steps: int) -> None:
    machine = type("Machine", (Releases,), {"url": url})
    rounds = settings(max_examples=examples, stateful_step_count=steps)
    run_state_machine_as_test(machine, settings=rounds)


def test_on_sqlite(tmp_path: Path) -> None:
    run(f"sqlite:///{tmp_path}/ledger.db", examples=20, steps=25)


def test_on_postgresql(postgres_url: str) -> None:
    run(postgres_url, examples=5, steps=25)


@pytest.mark.exhaustive
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_for_long(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
    run(url, examples=60, steps=50)
