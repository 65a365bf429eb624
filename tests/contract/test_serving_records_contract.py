"""One suite over SQLite and PostgreSQL for keys, traces, feedback and fidelities."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from milepost.entities.errors import (
    ConflictError,
    InputError,
    OverloadedError,
    UnknownNameError,
)
from milepost.entities.serving import Trace, TraceFilter
from milepost.storage import tables
from milepost.storage.ledger import Ledger
from milepost.storage.proof.checkpoints import Checkpoints
from milepost.storage.proof.places import open_place
from milepost.storage.proof.verification import verify
from milepost.testing.records import (
    START,
    Ticking,
    some_digest,
    some_feedback,
    some_fidelity,
    some_key,
    some_trace,
)

KEY = some_key(1)
SECRET = some_digest("secret")
MONTH = timedelta(days=30)


def keep(ledger: Ledger, *traces: Trace) -> None:
    ledger.add_traces([(trace, trace.at + MONTH) for trace in traces])


def test_a_key_is_found_by_the_hash_of_its_secret_until_it_is_revoked(ledger: Ledger) -> None:
    assert ledger.create_key(KEY, SECRET, reason="new desk", actor="ann") == KEY
    assert ledger.key_by_hash(SECRET) == ledger.key(KEY.id) == KEY
    assert ledger.hashed_keys() == {SECRET: KEY}
    assert ledger.key_by_hash(some_digest("other")) is None
    revoked = ledger.revoke_key(KEY.id, reason="left", actor="ben")
    assert revoked.revoked is not None
    assert msgspec.structs.replace(revoked, revoked=None) == KEY
    assert ledger.key_by_hash(SECRET) == revoked
    assert ledger.hashed_keys() == {}
    with pytest.raises(InputError, match="was revoked on"):
        ledger.revoke_key(KEY.id, reason="again")


def test_keys_stand_in_the_order_of_their_making_and_in_the_audit_log(ledger: Ledger) -> None:
    for number in (3, 1, 2):
        ledger.create_key(some_key(number), some_digest(number), reason="new", actor="ann")
    ledger.revoke_key(KEY.id, reason="left", actor="ben")
    kept = ledger.keys()
    assert [key.id for key in kept] == [some_key(n).id for n in (1, 2, 3)]
    newest, *others = ledger.audit()
    assert (newest.action, newest.subject, newest.actor) == ("key.revoked", KEY.id, "ben")
    assert {entry.action for entry in others} == {"key.created"}
    # Neither secret nor hash stands there.
    assert all(some_digest(1) not in str(entry.details) for entry in ledger.audit())


def test_a_second_key_of_one_secret_or_id_is_refused(ledger: Ledger) -> None:
    ledger.create_key(KEY, SECRET, reason="new")
    for key, secret in ((some_key(2), SECRET), (KEY, some_digest("other"))):
        with pytest.raises(ConflictError):
            ledger.create_key(key, secret, reason="again")
    with pytest.raises(InputError):
        ledger.create_key(some_key(3), "the secret itself", reason="mistake")
    assert ledger.keys() == (KEY,)
    assert len(ledger.audit()) == 1


def test_an_unknown_key_is_answered_with_those_that_there_are(ledger: Ledger) -> None:
    ledger.create_key(KEY, SECRET, reason="new")
    with pytest.raises(UnknownNameError, match=KEY.id):
        ledger.revoke_key("k000000000002", reason="mistake")


def test_traces_come_back_newest_first_and_whole(ledger: Ledger) -> None:
    shown = [some_trace(number) for number in range(5)]
    other = some_trace(9, task="sort")
    keep(ledger, *shown, other)
    assert ledger.trace(shown[3].id) == shown[3]
    assert ledger.trace("t0") is None
    assert ledger.traces("route") == tuple(reversed(shown))
    assert ledger.traces("route", limit=2) == (shown[4], shown[3])
    assert ledger.traces("route", limit=2, before=shown[3].id) == (shown[2], shown[1])
    assert ledger.traces(limit=1) == (other,)
    assert ledger.traces("nothing") == ()


def test_filters_choose_among_traces(ledger: Ledger) -> None:
    traces = [
        some_trace(0, label="card"),
        some_trace(1, release=2, channel="canary"),
        some_trace(2, abstained=True, key=None),
        some_trace(3, request="r3"),
    ]
    keep(ledger, *traces)
    for only, expected in (
        (TraceFilter(label="card"), [0]),
        (TraceFilter(release=2), [1]),
        (TraceFilter(channel="production"), [3, 2, 0]),
        (TraceFilter(guard="toxicity"), [3, 1]),
        (TraceFilter(guard="other"), []),
        (TraceFilter(abstained=True), [2]),
        (TraceFilter(key=KEY.id, abstained=False), [3, 1, 0]),
        (TraceFilter(request="r3", guard="toxicity"), [3]),
    ):
        assert ledger.traces("route", only=only) == tuple(traces[n] for n in expected), only


def test_a_filter_looks_past_the_first_thousand(ledger: Ledger) -> None:
    keep(ledger, *(some_trace(n, abstained=n == 3) for n in range(2500)))
    found = ledger.traces("route", limit=5, only=TraceFilter(abstained=True))
    assert [trace.id for trace in found] == [some_trace(3).id]


def test_the_same_group_again_changes_nothing(ledger: Ledger) -> None:
    keep(ledger, some_trace(1), some_trace(2))
    keep(ledger, some_trace(2, label="card"), some_trace(3))
    assert [trace.label for trace in ledger.traces()] == ["refund"] * 3
    ledger.add_traces([])


def test_half_a_character_does_not_hold_up_its_group(ledger: Ledger) -> None:
    keep(ledger, some_trace(1), some_trace(2, text="half \ud83d", subject="\ud83d"))
    found = ledger.trace(some_trace(2).id)
    assert found is not None
    assert found.text == "half ?"
    assert len(ledger.traces()) == 2


def test_traces_expire_in_bounded_slices_oldest_first(ledger: Ledger) -> None:
    traces = [some_trace(number) for number in range(7)]
    keep(ledger, *traces)
    last = traces[4].at + MONTH
    assert ledger.expire_traces(last, 3) == 3
    assert ledger.traces() == tuple(reversed(traces[3:]))
    assert ledger.expire_traces(last, 3) == 2
    assert ledger.expire_traces(last, 3) == 0
    assert ledger.traces() == tuple(reversed(traces[5:]))


def test_what_expires_is_stored_as_the_moment_it_is(ledger: Ledger) -> None:
    """The group is written past SQLAlchemy's types; what they read must be what was given."""
    keep(ledger, some_trace(1))
    with ledger.database.read() as connection:
        row = connection.execute(sa.select(tables.traces)).one()
    assert (row.at, row.expires) == (some_trace(1).at, some_trace(1).at + MONTH)


def test_nobody_sees_the_traces_of_another_tenant(ledger_url: str, ledger: Ledger) -> None:
    if ledger_url == "sqlite://":
        pytest.skip("one in memory is its opener's alone")
    keep(ledger, some_trace(1))
    ledger.create_key(KEY, SECRET, reason="new")
    with Ledger.open(ledger_url, clock=Ticking(), tenant="other") as other:
        assert other.traces() == ()
        assert other.trace(some_trace(1).id) is None
        assert other.key_by_hash(SECRET) is None
        assert other.expire_traces(START + 2 * MONTH) == 0
    assert len(ledger.traces()) == 1


def test_feedback_is_kept_once_however_often_it_is_said(routed: Ledger) -> None:
    said = some_feedback(some_trace(1))
    assert routed.add_feedback(said) == (said, True)
    again = msgspec.structs.replace(said, id="f" + "9" * 32, at=said.at + timedelta(hours=1))
    assert routed.add_feedback(again) == (said, False)
    changed = msgspec.structs.replace(again, label="refund")
    assert routed.add_feedback(changed) == (changed, True)
    assert routed.feedback("route") == (changed, said)
    assert routed.feedback(trace=said.trace, key=KEY.id, limit=1) == (changed,)
    assert routed.feedback("route", before=changed.id) == (said,)
    assert routed.feedback(key="k9") == ()


def test_the_same_feedback_at_once_is_kept_once(routed: Ledger) -> None:
    said = some_feedback(some_trace(1))
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(lambda _: routed.add_feedback(said)[1], range(8)))
    assert sum(new) == 1
    assert routed.feedback() == (said,)


def test_a_key_says_only_so_much_in_a_day(routed: Ledger) -> None:
    hours = [some_feedback(some_trace(n), at=START + timedelta(hours=n)) for n in range(40)]
    for said in hours[:3]:
        routed.add_feedback(said, most=3)
    with pytest.raises(OverloadedError, match="3 times in 24 hours") as full:
        routed.add_feedback(hours[3], most=3)
    assert full.value.own
    assert routed.add_feedback(hours[2], most=3)[1] is False
    assert routed.add_feedback(hours[30], most=3)[1] is True
    other = some_feedback(some_trace(3), key="k000000000002")
    assert routed.add_feedback(other, most=3)[1] is True


def test_feedback_on_a_task_that_is_not_there_is_refused(routed: Ledger) -> None:
    with pytest.raises(UnknownNameError, match="route"):
        routed.add_feedback(some_feedback(some_trace(1, task="rout")))


def test_the_newest_fidelity_of_a_bundle_counts(ledger: Ledger) -> None:
    first = some_fidelity()
    assert ledger.fidelity(first.bundle, "int8") is None
    ledger.add_fidelity(first)
    later = msgspec.structs.replace(first, agree=10, passed=False, loss=None)
    ledger.add_fidelity(later)
    assert ledger.fidelity(first.bundle, "int8") == later
    assert ledger.fidelity(first.bundle, "fp32") is None


def test_lost_answers_stand_in_the_audit_log(ledger: Ledger) -> None:
    ledger.record_loss(17, reason="a server was killed")
    (entry,) = ledger.audit(action="traces.lost")
    assert entry.details == {"answers": 17}


def findings(ledger: Ledger, nothing: Path) -> list[str]:
    report = verify(ledger.database, Checkpoints(open_place(nothing)), ())
    return [finding.what for finding in report.findings if finding.kind == "record"]


def test_keys_that_were_changed_behind_the_ledger_are_noticed(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.create_key(KEY, SECRET, reason="new")
    ledger.create_key(some_key(2), some_digest("two"), reason="new")
    ledger.revoke_key(KEY.id, reason="left")
    assert findings(ledger, tmp_path) == []
    table = tables.keys
    admin = msgspec.json.encode(msgspec.structs.replace(some_key(2), role="admin")).decode()
    with ledger.database.write("default") as connection:
        connection.execute(sa.update(table).where(table.c.id == KEY.id).values(revoked=None))
        connection.execute(
            sa.update(table).where(table.c.id == some_key(2).id).values(record=admin)
        )
        row = connection.execute(sa.select(table).where(table.c.id == KEY.id)).mappings().one()
        forged = {**row, "id": "k0000000000ff", "hash": some_digest("forged")}
        connection.execute(sa.insert(table).values(**forged))
    told = findings(ledger, tmp_path)
    assert any(f"key {KEY.id} is not what entry" in what and "revoked" in what for what in told)
    assert any(f"key {some_key(2).id} is not what entry" in what for what in told)
    assert "no entry recorded key k0000000000ff, which is in the ledger." in told
    assert len(told) == 3
