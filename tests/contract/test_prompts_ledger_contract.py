"""Prompts in the ledger: versions are kept once and never change, aliases move one at a time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from milepost.entities.errors import ConflictError, InputError, StorageError, UnknownNameError
from milepost.entities.prompts import PromptTemplate
from milepost.storage.ledger import Ledger

FIRST = PromptTemplate(system="Be short.", user="{{ text }}")
SECOND = PromptTemplate(user="{{ text }}?", answer="json")


def test_the_same_prompt_is_the_same_version(routed: Ledger) -> None:
    one = routed.add_prompt("route", FIRST, note="a start", actor="ann")
    two = routed.add_prompt("route", SECOND, parent=1, origin="c123", actor="ben")
    again = routed.add_prompt("route", FIRST, note="once more", actor="cyd")
    assert again == one
    assert (one.number, two.number, two.parent, two.origin) == (1, 2, 1, "c123")
    assert routed.prompts("route") == (one, two)
    assert routed.prompt("route", 2).template == SECOND
    added = routed.audit(action="prompt.added")
    assert [entry.subject for entry in added] == ["route/prompt/2", "route/prompt/1"]


def test_aliases_move_by_compare_and_swap_each_with_its_audit_entry(routed: Ledger) -> None:
    for template in (FIRST, SECOND):
        routed.add_prompt("route", template)
    assert routed.prompt_alias("route", "production") is None
    first = routed.move_prompt_alias("route", "production", 1, expected_version=0, reason="start")
    with pytest.raises(ConflictError, match="points to version 1 now"):
        routed.move_prompt_alias("route", "production", 2, expected_version=0, reason="late")
    with pytest.raises(InputError, match="already"):
        routed.move_prompt_alias("route", "production", 1, expected_version=1, reason="again")
    second = routed.move_prompt_alias(
        "route", "production", 2, expected_version=1, reason="better", actor="ben"
    )
    assert (first.version, second.version, second.number) == (1, 2, 2)
    assert routed.prompt_aliases("route") == (second,)
    entries = routed.audit(action="prompt.promoted")
    assert [(e.subject, e.reason, e.actor) for e in entries] == [
        ("route/prompt/production", "better", "ben"),
        ("route/prompt/production", "start", "default"),
    ]


def test_one_of_many_movers_wins(routed: Ledger) -> None:
    for number in range(8):
        routed.add_prompt("route", PromptTemplate(user=f"{{{{ text }}}} {number}"))

    def move(number: int) -> bool:
        try:
            routed.move_prompt_alias("route", "trial", number, expected_version=0, reason="mine")
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(move, range(1, 9))) == 1
    assert len(routed.audit(action="prompt.promoted")) == 1


def test_unknown_names_are_answered_with_what_there_is(routed: Ledger) -> None:
    routed.add_prompt("route", FIRST)
    with pytest.raises(UnknownNameError, match="Known: 1"):
        routed.prompt("route", 7)
    with pytest.raises(UnknownNameError, match="'route'"):
        routed.prompts("rout")
    with pytest.raises(UnknownNameError, match="prompt '9'"):
        routed.add_prompt("route", SECOND, parent=9)
    with pytest.raises(UnknownNameError, match="prompt '3'"):
        routed.move_prompt_alias("route", "production", 3, expected_version=0, reason="x")
    assert len(routed.prompts("route")) == 1
    assert len(routed.audit(action="prompt.added")) == 1


def test_the_database_refuses_to_change_a_version(routed: Ledger) -> None:
    routed.add_prompt("route", FIRST)
    for statement in ("UPDATE prompts SET actor = 'eve'", "DELETE FROM prompts"):
        with (
            pytest.raises((StorageError, sa.exc.DBAPIError)),
            routed.database.write(routed.tenant) as connection,
        ):
            connection.execute(sa.text(statement))
    assert routed.prompt("route", 1).actor == "default"


def test_prompts_of_other_tenants_are_never_seen(ledger_url: str, tmp_path: object) -> None:
    if ledger_url == "sqlite://":
        pytest.skip("a database in memory has one connection")
    from milepost.testing.records import TASK, task_digest

    with Ledger.open(ledger_url) as mine, Ledger.open(ledger_url, tenant="other") as other:
        for each in (mine, other):
            each.save_task(TASK, task_digest(TASK))
        mine.add_prompt("route", FIRST)
        mine.move_prompt_alias("route", "production", 1, expected_version=0, reason="x")
        assert other.prompts("route") == ()
        assert other.prompt_aliases("route") == ()
        assert other.add_prompt("route", SECOND).number == 1
