"""Upstreams, prompts, aliases, budgets and splits against a model too simple to be wrong.

Two tenants of one database act in turns that hypothesis chooses, with the same names. After each
turn what is stored equals each model, and what the audit logs recorded is what the rows say.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path

import msgspec
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

from milepost._base.digest import sha256_bytes
from milepost.entities.errors import ConflictError, InputError, UnknownNameError
from milepost.entities.ids import Digest
from milepost.entities.prompts import PromptTemplate
from milepost.storage.ledger import Ledger
from milepost.storage.proof.checkpoints import Checkpoints
from milepost.storage.proof.places import LocalPlace
from milepost.storage.proof.verification import verify
from milepost.testing.records import some_call, some_task, some_upstream

WHOSE = st.integers(0, 1)
NAMES = st.sampled_from(["big", "small"])
HOLDERS = st.sampled_from(["h1", "h2"])
SCOPE = "workspace"


@dataclass
class Known:
    """What the model knows of a tenant.

    ``upstreams``: prices by version, ``None`` for a removal; ``alias``: number and version;
    ``limit``, ``spent`` and ``held``: of the workspace's budget, in micro-USD.
    """

    upstreams: dict[str, list[int | None]] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)
    alias: tuple[int, int] | None = None
    limit: int | None = None
    spent: int = 0
    held: dict[str, int] = field(default_factory=dict)
    sides: dict[str, str] = field(default_factory=dict)


class Asking(RuleBasedStateMachine):
    """The ledgers of two tenants, and what is known of each."""

    url: str
    nothing: Path
    tenants = count()
    calls = count(1)

    @initialize()
    def begin(self) -> None:
        number = next(self.tenants)
        self.ledgers = [Ledger.open(self.url, tenant=f"t{number} {each}") for each in "ab"]
        self.known = [Known(), Known()]
        task = some_task()
        for ledger in self.ledgers:
            # The digest that verification asks for: of the text as it is stored.
            ledger.save_task(task, Digest(sha256_bytes(msgspec.json.encode(task))), "ann")

    def teardown(self) -> None:
        for ledger in getattr(self, "ledgers", []):
            ledger.close()

    @rule(whose=WHOSE, name=NAMES, price=st.integers(1, 3), replace=st.booleans())
    def add_upstream(self, whose: int, name: str, price: int, replace: bool) -> None:
        ledger, versions = self.ledgers[whose], self.known[whose].upstreams.setdefault(name, [])
        row = some_upstream(name, price=price * 1_000_000)
        last = versions[-1] if versions else None
        if last is not None and last != price and not replace:
            with pytest.raises(ConflictError):
                ledger.add_upstream(row, reason="r", actor="ann")
            return
        ledger.add_upstream(row, reason="r", actor="ann", replace=replace)
        if last != price:
            versions.append(price)

    @rule(whose=WHOSE, name=NAMES)
    def remove_upstream(self, whose: int, name: str) -> None:
        versions = self.known[whose].upstreams.get(name, [])
        if not versions or versions[-1] is None:
            with pytest.raises(UnknownNameError):
                self.ledgers[whose].remove_upstream(name, reason="r")
            return
        self.ledgers[whose].remove_upstream(name, reason="r")
        versions.append(None)

    @rule(whose=WHOSE, text=st.sampled_from("abcd"))
    def add_prompt(self, whose: int, text: str) -> None:
        template, known = PromptTemplate(user=f"{text} {{{{ text }}}}"), self.known[whose].prompts
        made = self.ledgers[whose].add_prompt("route", template, actor="ben")
        if text not in known:
            known.append(text)
        assert made.number == known.index(text) + 1

    @rule(whose=WHOSE, to=st.integers(1, 5), stale=st.sampled_from([0, 0, 0, 1, -1]))
    def promote(self, whose: int, to: int, stale: int) -> None:
        known = self.known[whose]
        number, version = known.alias or (None, 0)
        error: type[Exception] | None = None
        if to > len(known.prompts):
            error = UnknownNameError
        elif stale:
            error = ConflictError
        elif to == number:
            error = InputError

        def act() -> None:
            self.ledgers[whose].move_prompt_alias(
                "route", "production", to, expected_version=version + stale, reason="r"
            )

        if error is not None:
            with pytest.raises(error):
                act()
            return
        act()
        known.alias = (to, version + 1)

    @rule(whose=WHOSE, limit=st.integers(0, 100))
    def set_budget(self, whose: int, limit: int) -> None:
        self.ledgers[whose].set_budget(SCOPE, limit, period="total", reason="r")
        self.known[whose].limit = limit

    @rule(whose=WHOSE)
    def remove_budget(self, whose: int) -> None:
        if self.known[whose].limit is None:
            with pytest.raises(UnknownNameError):
                self.ledgers[whose].remove_budget(SCOPE, reason="r")
            return
        self.ledgers[whose].remove_budget(SCOPE, reason="r")
        self.known[whose].limit = None

    @rule(whose=WHOSE, holder=HOLDERS, amount=st.integers(1, 60))
    def reserve(self, whose: int, holder: str, amount: int) -> None:
        ledger, known = self.ledgers[whose], self.known[whose]
        until = ledger.clock() + timedelta(days=1)
        came = ledger.reserve(holder, {SCOPE: amount}, until)
        if known.limit is None:
            assert came.lacking is None
            return
        fits = known.spent + sum(known.held.values()) + amount <= known.limit
        assert came.lacking == (None if fits else SCOPE)
        if fits:
            known.held[holder] = known.held.get(holder, 0) + amount

    @rule(whose=WHOSE, holder=HOLDERS, calls=st.integers(0, 2))
    def settle(self, whose: int, holder: str, calls: int) -> None:
        """A process books what it called, and gives back all that it holds."""
        ledger, known = self.ledgers[whose], self.known[whose]
        booked = [some_call(next(self.calls)) for _ in range(calls)]
        taken = known.held.pop(holder, 0)
        until = ledger.clock() + timedelta(days=1)
        assert ledger.settle(holder, booked, {SCOPE: taken} if taken else {}, until)
        known.spent += sum(call.micro_usd for call in booked)

    @rule(
        whose=WHOSE,
        keys=st.sets(st.sampled_from("abcdef")),
        side=st.sampled_from(["train", "holdout"]),
    )
    def draw(self, whose: int, keys: set[str], side: str) -> None:
        known = self.known[whose].sides
        for key in keys:
            known.setdefault(key, side)
        asked = dict.fromkeys(sorted(keys), side)
        assert self.ledgers[whose].record_sides("route", asked) == {k: known[k] for k in keys}

    @invariant()
    def agrees(self) -> None:
        for ledger, known in zip(
            getattr(self, "ledgers", []), getattr(self, "known", []), strict=True
        ):
            for name, versions in known.upstreams.items():
                found = ledger.upstream_versions(name)
                prices = [v.upstream and v.upstream.prices[-1].input // 1_000_000 for v in found]
                assert prices == versions
            assert [v.template.user[0] for v in ledger.prompts("route")] == known.prompts
            alias = ledger.prompt_alias("route", "production")
            assert (alias and (alias.number, alias.version)) == known.alias
            told = [(b.micro_usd, b.spent, b.reserved) for b in ledger.budgets()]
            limit = known.limit
            assert told == (
                [] if limit is None else [(limit, known.spent, sum(known.held.values()))]
            )
            assert ledger.sides("route") == known.sides

    @invariant()
    def is_as_recorded(self) -> None:
        if not hasattr(self, "ledgers"):
            return
        report = verify(self.ledgers[0].database, Checkpoints(LocalPlace(self.nothing)), ())
        assert {finding.kind for finding in report.findings} == {"unsigned"}


def run(url: str, nothing: Path, examples: int, steps: int) -> None:
    machine = type("Machine", (Asking,), {"url": url, "nothing": nothing})
    rounds = settings(max_examples=examples, stateful_step_count=steps)
    run_state_machine_as_test(machine, settings=rounds)


def test_on_sqlite(tmp_path: Path) -> None:
    run(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "none", examples=5, steps=20)


@pytest.mark.slow
def test_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    run(postgres_url, tmp_path / "none", examples=4, steps=20)


@pytest.mark.exhaustive
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_for_long(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
    run(url, tmp_path / "none", examples=40, steps=50)
